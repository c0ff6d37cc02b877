"""The kind ``cpu``: NumPy arrays in host memory."""

from __future__ import annotations

import math
import os
import platform
from functools import cache
from typing import Any

import numpy as np

from eagerflow.devices.kind import Kind, MemoryInfo
from eagerflow.devices.speed.rates import Link, Rates


@cache
def cores() -> int:
    """Return the number of cores that this process may use."""
    count = getattr(os, "process_cpu_count", None)
    if count is not None:  # Python 3.13
        return int(count() or 1)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


@cache
def processor() -> str:
    """Return the name of the processor, as well as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class CPU(Kind):
    """NumPy on the host."""

    name = "cpu"
    array_type = np.ndarray
    namespace = np

    def __init__(self) -> None:
        self.logical = 1

    def count(self) -> int:
        """Return the number of logical devices that the host is divided into."""
        return self.logical

    def from_host(self, array: np.ndarray, index: int) -> np.ndarray:
        """Return a copy: tensors never share memory with arrays of the user."""
        return np.array(array)

    def to_host(self, array: Any) -> np.ndarray:
        """Return a copy, which the caller may write to."""
        return np.array(array)

    def memory(self, index: int) -> MemoryInfo:
        """Return the memory of the host, which all logical devices share."""
        page = os.sysconf("SC_PAGE_SIZE")
        return MemoryInfo(os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page)

    def rates(self, index: int) -> Rates:
        """Return modest figures for a few cores, of which each logical device has its share."""
        part = min(1.0, cores() / self.logical)
        return Rates(contraction=4e10 / self.logical, arithmetic=2e9 * part, bandwidth=8e9, launch=1e-6)

    def link(self, index: int, other: int | None) -> Link:
        """Return what one thread needs to hand over to another: the memory is shared."""
        return Link(0.0 if other is None else 3e-5, math.inf)

    def model(self, index: int) -> str:
        """Return the processor, and what computes on it."""
        return f"{processor()}, {cores()} cores, NumPy {np.__version__}"
