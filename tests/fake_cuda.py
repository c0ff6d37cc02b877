"""A stand-in for `cupy.cuda`: streams, events and graphs compute nothing and note in `log` what is asked of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

log: list[tuple[Any, ...]] = []  # what streams and events were asked for, in order
synchronized: list[str] = []  # by which array methods a kernel waited for its results


class Here(threading.local):
    def __init__(self) -> None:
        self.device = 0
        self.streams: dict[int, list[Stream]] = {}


class Device:
    """A device, which is current in its block."""

    def __init__(self, index: int | None = None) -> None:
        self.id = here.device if index is None else index
        self._before: list[int] = []

    def __enter__(self) -> Device:
        self._before.append(here.device)
        here.device = self.id
        return self

    def __exit__(self, *error: Any) -> None:
        here.device = self._before.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def synchronize(self) -> None:
        log.append(("synchronize device", self.id))


class Event:
    """An event; done once `finish` says so."""

    finished = True

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.name = f"event {sum(1 for entry in log if entry[0] == 'event')}"
        self._done: bool | None = None
        log.append(("event", self.name))

    @property
    def done(self) -> bool:
        return Event.finished

    def record(self, stream: Any = None) -> None:
        log.append(("record", self.name, (stream or get_current_stream()).name))

    def synchronize(self) -> None:
        log.append(("synchronize event", self.name))


class Stream:
    """A stream."""

    made = 0

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None
    ) -> None:
        self.device_id = -1 if null else here.device
        self.non_blocking = non_blocking
        self.capturing: Graph | None = None
        self.name = "null" if null else f"stream {self._number()} of {self.device_id}"

    @staticmethod
    def _number() -> int:
        Stream.made += 1
        return Stream.made

    def __enter__(self) -> Stream:
        if self.device_id not in (-1, here.device):
            raise RuntimeError(f"the stream is of device {self.device_id}, the current device is {here.device}")
        here.streams.setdefault(here.device, []).append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        here.streams[here.device].pop()

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        log.append(("wait", event.name, self.name))

    def synchronize(self) -> None:
        log.append(("synchronize stream", self.name))

    def is_capturing(self) -> bool:
        return self.capturing is not None

    def begin_capture(self, mode: Any = None) -> None:
        if self.name == "null":
            raise RuntimeError("cannot capture on the default (legacy) stream")
        log.append(("begin capture", self.name))
        self.capturing = Graph()
        self.capturing.waited = len(synchronized)

    def end_capture(self) -> Graph:
        log.append(("end capture", self.name))
        graph, self.capturing = self.capturing, None
        assert graph is not None
        if len(synchronized) > graph.waited:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")
        return graph


class Graph:
    """A graph: what arrays were computed while it was captured, and how to compute them again into the same memory."""

    waited = 0

    def __init__(self) -> None:
        self.operations: list[Callable[[], None]] = []

    def launch(self, stream: Any = None) -> None:
        log.append(("launch", (stream or get_current_stream()).name))
        for operation in self.operations:
            operation()


class CUDARuntimeError(RuntimeError):
    """An error of CUDA."""


class Memory:
    """Memory of an array."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.device_id = array._device
        self.ptr = array._host.ctypes.data

    def copy_from_device_async(self, source: Memory, size: int, stream: Any = None) -> None:
        assert size == source.array.nbytes
        assert source.array._host.flags.c_contiguous
        log.append(("copy", source.device_id, self.device_id, (stream or get_current_stream()).name))
        np.copyto(self.array._host, source.array._host)


class Pool:
    """A memory pool."""

    def __init__(self) -> None:
        self.limits: dict[int, int] = {}

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        self.limits[here.device] = size or 0

    def get_limit(self) -> int:
        return self.limits.get(here.device, 0)

    def malloc(self, size: int) -> Any:
        raise NotImplementedError

    def total_bytes(self) -> int:
        return 300

    def used_bytes(self) -> int:
        return 100

    def free_bytes(self) -> int:
        return 200

    def free_all_blocks(self) -> None:
        log.append(("free", here.device))


here = Here()
_null = Stream(null=True)
pool = Pool()


def capturing() -> Graph | None:
    """Return the graph that is captured in this thread."""
    return get_current_stream().capturing


class PinnedPool:
    """A pool of memory of the host that copies go through."""

    def malloc(self, size: int) -> Any:
        return bytearray(size)


pinned = PinnedPool()
allocator: list[Callable[[int], Any]] = [pinned.malloc]


def set_pinned_memory_allocator(malloc: Callable[[int], Any]) -> None:
    """Let copies from the host go through other memory."""
    allocator[0] = malloc


def get_current_stream(device_id: int = -1) -> Stream:
    """Return the stream that is current in this thread."""
    entered = here.streams.get(here.device if device_id == -1 else device_id)
    return entered[-1] if entered else _null
