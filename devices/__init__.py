"""What an array lives on: device kinds, names, allocation, copies and memory.

A *kind* (``cpu``, ``cuda``, or one of your own) knows an array namespace and how to move
arrays in and out of it. A *device* is one numbered instance of a kind.
"""

from eagerflow.devices.device import CPU0, Device, current, device, find, of_array
from eagerflow.devices.kind import Kind, MemoryInfo
from eagerflow.devices.name import DeviceName
from eagerflow.devices.registry import available as list  # the public name is devices.list
from eagerflow.devices.registry import kinds, register, set_logical_devices

__all__ = [
    "CPU0",
    "Device",
    "DeviceName",
    "Kind",
    "MemoryInfo",
    "current",
    "device",
    "find",
    "kinds",
    "list",
    "of_array",
    "register",
    "set_logical_devices",
]
