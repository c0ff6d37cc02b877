"""The kind ``cuda``: CuPy arrays. CuPy is imported when a CUDA device is asked for."""

from __future__ import annotations

import importlib.util
from functools import cached_property
from typing import Any

import numpy as np

from eagerflow.devices.kind import Kind, MemoryInfo
from eagerflow.errors import MissingExtraError


class CUDA(Kind):
    """CuPy on NVIDIA GPUs."""

    name = "cuda"

    @cached_property
    def namespace(self) -> Any:
        """The module ``cupy``, imported here for the first time."""
        try:
            import cupy
        except ImportError as error:
            raise MissingExtraError.of("CuPy", "cuda13", "the device kind 'cuda'") from error
        return cupy

    @cached_property
    def array_type(self) -> type:  # type: ignore[override]
        """``cupy.ndarray``."""
        array_type: type = self.namespace.ndarray
        return array_type

    def count(self) -> int:
        """Return the number of GPUs; 0 without CuPy or without a driver."""
        if importlib.util.find_spec("cupy") is None:
            return 0
        try:
            return int(self.namespace.cuda.runtime.getDeviceCount())
        except (ImportError, self.namespace.cuda.runtime.CUDARuntimeError):
            return 0

    def why_unavailable(self) -> str | None:
        """Tell a missing CuPy from a missing GPU."""
        if importlib.util.find_spec("cupy") is None:
            return "CuPy is not installed; install it with: pip install 'eagerflow[cuda13]'"
        return None if self.count() else "CuPy finds no GPU: is the NVIDIA driver installed and loaded?"

    def from_host(self, array: np.ndarray, index: int) -> Any:
        """Copy to the GPU on its current stream."""
        with self.activate(index):
            return self.namespace.array(array)

    def to_host(self, array: Any) -> np.ndarray:
        """Copy to the host and wait for it."""
        with array.device:
            host: np.ndarray = self.namespace.asnumpy(array)
        return host

    def copy(self, array: Any, index: int) -> Any:
        """Copy from GPU to GPU, not through the host."""
        with self.activate(index):
            return self.namespace.array(array)

    def activate(self, index: int) -> Any:
        """Return the CuPy context of GPU `index`."""
        return self.namespace.cuda.Device(index)

    def index_of(self, array: Any) -> int:
        """Return the number of the GPU that holds the array."""
        return int(array.device.id)

    def memory(self, index: int) -> MemoryInfo:
        """Return the memory of GPU `index`."""
        with self.activate(index):
            free, total = self.namespace.cuda.runtime.memGetInfo()
        return MemoryInfo(int(total), int(free))

    def synchronize(self, index: int) -> None:
        """Wait for the GPU's streams."""
        with self.activate(index):
            self.namespace.cuda.runtime.deviceSynchronize()
