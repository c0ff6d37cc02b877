"""What an array lives on: device kinds, names, allocation, copies and memory.

A *kind* (``cpu``, ``cuda``, or one of your own) knows an array namespace and how to move
arrays in and out of it. A *device* is one numbered instance of a kind.
"""

from eagerflow.devices.device import CPU0, Device, current, device, find, numbered, of_array, set_soft_placement
from eagerflow.devices.kind import Kind, MemoryInfo
from eagerflow.devices.name import DeviceName
from eagerflow.devices.registry import available as list  # the public name is devices.list
from eagerflow.devices.registry import kinds, register, set_logical_devices
from eagerflow.devices.request import Request, asked, request, requested
from eagerflow.devices.transfer import transfer

__all__ = [
    "CPU0",
    "Device",
    "DeviceName",
    "Kind",
    "MemoryInfo",
    "Request",
    "asked",
    "current",
    "device",
    "find",
    "kinds",
    "list",
    "numbered",
    "of_array",
    "register",
    "request",
    "requested",
    "set_logical_devices",
    "set_soft_placement",
    "transfer",
]
