"""What an array lives on: device kinds, names, allocation, copies and memory.

A *kind* (``cpu``, ``cuda``, or one of your own) knows an array namespace and how to move
arrays in and out of it. A *device* is one numbered instance of a kind.
"""

from typing import TYPE_CHECKING

from eagerflow.devices.cuda_graphs import set_cuda_graphs
from eagerflow.devices.device import CPU0, Device, current, device, find, numbered, of_array, set_soft_placement
from eagerflow.devices.kind import Kind, Lacking, MemoryInfo
from eagerflow.devices.limits import memory_limit, set_memory_limit
from eagerflow.devices.matmul_precision import set_matmul_precision
from eagerflow.devices.name import DeviceName
from eagerflow.devices.registry import available as list  # the public name is devices.list
from eagerflow.devices.registry import generation, kinds, logical_devices, register, set_logical_devices
from eagerflow.devices.speed.rates import Link, Rates
from eagerflow.devices.transfer import transfer

if TYPE_CHECKING:
    from eagerflow.devices.speed.calibration import Calibration, calibrate, link, rates
    from eagerflow.devices.standard.array_api import ArrayAPIKind
else:
    from eagerflow.late import late

    __getattr__, __dir__ = late(
        __name__,
        {
            "eagerflow.devices.speed.calibration": ["Calibration", "calibrate", "link", "rates"],
            "eagerflow.devices.standard.array_api": ["ArrayAPIKind"],
        },
    )

__all__ = [
    "CPU0",
    "ArrayAPIKind",
    "Calibration",
    "Device",
    "DeviceName",
    "Kind",
    "Lacking",
    "Link",
    "MemoryInfo",
    "Rates",
    "calibrate",
    "current",
    "device",
    "find",
    "generation",
    "kinds",
    "link",
    "list",
    "logical_devices",
    "memory_limit",
    "numbered",
    "of_array",
    "rates",
    "register",
    "set_cuda_graphs",
    "set_logical_devices",
    "set_matmul_precision",
    "set_memory_limit",
    "set_soft_placement",
    "transfer",
]
