"""The kind ``cpu``: NumPy arrays in host memory."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from eagerflow.devices.kind import Kind, MemoryInfo


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
