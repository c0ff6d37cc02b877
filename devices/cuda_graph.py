"""What is queued on a GPU, recorded as a CUDA graph: to queue it again is one launch instead of one for each kernel.

References
----------
NVIDIA, "CUDA C++ Programming Guide", section "CUDA Graphs".
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class CudaGraph:
    """What a function queued on the current GPU, to be launched again: from the same arrays into the same arrays.

    Parameters
    ----------
    cupy : module
        CuPy.
    run : callable
        ``run()`` queues work. Nothing of it is computed while it is recorded. It raises where it waits for the GPU or
        copies from the host, neither of which would be done again by a launch.

    Attributes
    ----------
    made : Any
        What `run` returned.
    """

    def __init__(self, cupy: Any, run: Callable[[], Any]) -> None:
        cuda = cupy.cuda
        self._cuda = cuda
        # Memory of temporaries stays with the graph: nobody else may get it from the pool.
        self._pool = cuda.MemoryPool()
        stream = cuda.Stream(non_blocking=True)
        stream.wait_event(self._now())
        with stream, cuda.using_allocator(self._pool.malloc), no_copies_from_the_host(cupy):
            stream.begin_capture()
            try:
                self.made = run()
            finally:
                self._graph = stream.end_capture()
        self._free = self._now()

    def _now(self) -> Any:
        """Return an event after all that is queued on the current stream."""
        return self._cuda.get_current_stream().record(self._cuda.Event(disable_timing=True))

    def __enter__(self) -> CudaGraph:
        """Let the current stream wait until nobody uses the arrays any more."""
        self._cuda.get_current_stream().wait_event(self._free)
        return self

    def launch(self) -> None:
        """Queue on the current stream what was recorded."""
        self._graph.launch(self._cuda.get_current_stream())

    def __exit__(self, *error: object) -> None:
        """Let other streams wait for what was queued meanwhile."""
        self._free = self._now()


class no_copies_from_the_host:
    """Let copies from the host fail in this thread: a graph would copy again from memory that others have by then."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy

    def __enter__(self) -> None:
        """Give out no memory that such copies go through."""
        usual, here = self._cupy.get_default_pinned_memory_pool().malloc, threading.get_ident()

        def malloc(size: int) -> Any:
            if threading.get_ident() == here:
                raise NotImplementedError("a kernel copies from the host")
            return usual(size)

        self._cupy.cuda.set_pinned_memory_allocator(malloc)

    def __exit__(self, *error: object) -> None:
        """Give it out again."""
        self._cupy.cuda.set_pinned_memory_allocator(self._cupy.get_default_pinned_memory_pool().malloc)
