"""The kind ``cuda``: CuPy arrays. CuPy is imported when a CUDA device is asked for.

What runs on a GPU is queued on the stream that is current in the thread: CuPy's default stream, unless the user enters
another. All threads of a process share the default stream of a GPU, so that the order in which work is queued is the
order in which it runs, also of memory that is used again, whichever thread let go of it.

Copies from one GPU to another have a stream of their own, which does not hold up the default one. Events make it wait
for the array, and what uses the copy wait for the copy. No thread of the host waits for any of this.
"""

from __future__ import annotations

import importlib.util
import threading
from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from eagerflow.devices.cuda_graph import CudaGraph
from eagerflow.devices.kind import Kind, MemoryInfo
from eagerflow.devices.speed.rates import Link, Rates
from eagerflow.errors import DTypeError, MissingExtraError

PRECISIONS = ("highest", "tf32")


class Flight(NamedTuple):
    """A copy from one GPU to another that has been queued.

    Attributes
    ----------
    array : array
        Where the copy comes to be; to be used after `CUDA.finish_copy`.
    source : array
        What is copied.
    done : event
        Passed when it is there.
    """

    array: Any
    source: Any
    done: Any


class CUDA(Kind):
    """CuPy on NVIDIA GPUs."""

    name = "cuda"
    records = True

    def __init__(self) -> None:
        self._copies: dict[int, Any] = {}  # streams for copies to each GPU
        self._flying: deque[Flight] = deque()  # copies whose memory nobody else may have yet
        self._lock = threading.Lock()

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

    def activate(self, index: int) -> Any:
        """Return the CuPy context of GPU `index`; the stream stays the one that is current in the thread."""
        return self.namespace.cuda.Device(index)

    def index_of(self, array: Any) -> int:
        """Return the number of the GPU that holds the array."""
        return int(array.device.id)

    def synchronize(self, index: int) -> None:
        """Wait for the GPU's streams."""
        with self.activate(index):
            self.namespace.cuda.runtime.deviceSynchronize()
        self._land()

    def record(self, run: Callable[[], Any], index: int) -> CudaGraph:
        """Record a CUDA graph."""
        with self.activate(index):
            return CudaGraph(self.namespace, run)

    # --- copies -----------------------------------------------------------------------------------

    def from_host(self, array: np.ndarray, index: int) -> Any:
        """Copy to the GPU on its current stream, by way of memory that the host does not wait for."""
        with self.activate(index):
            try:
                return self.namespace.array(array)
            except ValueError as error:
                if array.dtype.isbuiltin == 1:
                    raise
                raise DTypeError(
                    f"CuPy {self.namespace.__version__} has no arrays of {array.dtype}; convert with "
                    "x.astype(ef.float16) or, with CuPy 14 or newer, ef.bfloat16 before moving"
                ) from error

    def to_host(self, array: Any) -> np.ndarray:
        """Copy to the host, and wait for what was queued on the array's GPU up to here."""
        with array.device:
            host: np.ndarray = self.namespace.asnumpy(array)
        return host

    def copy(self, array: Any, index: int) -> Any:
        """Copy to another GPU, not through the host, and without waiting."""
        if array.device.id == index:
            with self.activate(index):
                return array.copy()
        return self.finish_copy(self.start_copy(array, index))

    def start_copy(self, array: Any, index: int) -> Flight:
        """Queue a copy to another GPU. What the target does meanwhile goes on, up to `finish_copy`."""
        cuda = self.namespace.cuda
        with array.device:
            source = self.namespace.ascontiguousarray(array)
            ready = cuda.get_current_stream().record(cuda.Event(disable_timing=True))
        with self.activate(index):
            made = self.namespace.empty(source.shape, source.dtype)
            # Kernels that are still queued may use the memory that it got.
            free = cuda.get_current_stream().record(cuda.Event(disable_timing=True))
            stream = self._copies.get(index)
            if stream is None:
                stream = self._copies.setdefault(index, cuda.Stream(non_blocking=True))
            with self._lock:  # so that what is queued for one copy stays together
                stream.wait_event(ready)
                stream.wait_event(free)
                if source.nbytes:
                    made.data.copy_from_device_async(source.data, source.nbytes, stream)
                flight = Flight(made, source, stream.record(cuda.Event(disable_timing=True)))
                self._flying.append(flight)
        self._land()
        return flight

    def finish_copy(self, flight: Flight) -> Any:
        """Let what is queued on the target from now on wait for the copy, and return it."""
        with flight.array.device:
            self.namespace.cuda.get_current_stream().wait_event(flight.done)
        return flight.array

    def _land(self) -> None:
        """Let go of copies that are done."""
        with self._lock:
            self._flying = deque(flight for flight in self._flying if not flight.done.done)

    # --- memory -----------------------------------------------------------------------------------

    def memory(self, index: int) -> MemoryInfo:
        """Return the memory of GPU `index`: what CuPy's pool holds in reserve is free, what it may not use is not."""
        with self.activate(index):
            free, total = self.namespace.cuda.runtime.memGetInfo()
            pool = self.namespace.get_default_memory_pool()
            free += pool.free_bytes()
            limit = pool.get_limit()
            if limit:
                total, free = min(total, limit), min(free, max(0, limit - pool.used_bytes()))
        return MemoryInfo(int(total), int(free))

    def limit_memory(self, index: int, limit: int | None) -> None:
        """Let CuPy's pool take `limit` bytes of GPU `index` at most; as much as there is for None."""
        with self.activate(index):
            self.namespace.get_default_memory_pool().set_limit(size=limit or 0)

    # --- how fast, and how exactly ----------------------------------------------------------------

    def rates(self, index: int) -> Rates:
        """Return modest figures for a GPU of a data center."""
        return Rates(contraction=1e13, arithmetic=1e12, bandwidth=5e11, launch=1e-5)

    def link(self, index: int, other: int | None) -> Link:
        """Return modest figures for PCI Express."""
        return Link(latency=2e-5, bandwidth=1e10)

    def model(self, index: int) -> str:
        """Return the GPU's name and CuPy's version."""
        name = self.namespace.cuda.runtime.getDeviceProperties(index)["name"]
        return f"{name.decode()}, CuPy {self.namespace.__version__}"

    def set_matmul_precision(self, precision: str) -> None:
        """Choose the precision of products of float32 matrices: one of `PRECISIONS`."""
        if not self.count():
            return
        # What CuPy documents is the environment variable CUPY_TF32, which it reads once.
        from cupy._core import _routines_linalg as routines

        chosen = routines.COMPUTE_TYPE_TF32 if precision == "tf32" else routines.COMPUTE_TYPE_DEFAULT
        routines.set_compute_type(np.float32, chosen)
