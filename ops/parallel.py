"""Work on large arrays by all cores, where NumPy itself uses one: in threads, as NumPy lets go of the lock.

Matmuls are not for these threads: the BLAS has its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import prod
from typing import Any

import numpy as np

# Elements below which starting another thread costs more than it saves.
_MANY = 1 << 17
# Bytes up to which an array for intermediate results is kept for the next call.
_KEPT = 32 << 20


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    # One for each process: threads do not survive a fork.
    return ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="eagerflow")


def each(work: Callable[[Any], object], items: Sequence[Any]) -> None:
    """Call `work` with each item, on all cores; it must neither use this module nor depend on the order."""
    if len(items) < 2 or cores() < 2:
        for item in items:
            work(item)
        return
    left = iter(items)
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                item = next(left, None)
            if item is None:
                return
            work(item)

    futures = [_pool(os.getpid()).submit(run) for _ in range(min(cores(), len(items)) - 1)]
    try:
        run()
    finally:
        for future in futures:
            future.result()


def parts(length: int, size: int) -> list[slice]:
    """Divide an axis of `length` among the cores, if an array of `size` elements is worth it."""
    count = min(cores(), length) if size >= _MANY else 1
    return [slice(length * part // count, length * (part + 1) // count) for part in range(count)]


def copy(target: Any, source: Any) -> None:
    """Copy `source` to the NumPy array `target` of the same shape."""
    axis = next((axis for axis, length in enumerate(target.shape) if length > 1), 0)
    ahead = (slice(None),) * axis

    def part(piece: slice) -> None:
        target[(*ahead, piece)] = source[(*ahead, piece)]

    each(part, parts(target.shape[axis], target.size))


class Scratch(threading.local):
    """Arrays for intermediate results, one for each name and thread, used again by the next call.

    Fresh memory costs as much as writing to it several times.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, Any] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an array with undefined content; nothing else may use that of the same name."""
        size = prod(shape) * dtype.itemsize
        if size > _KEPT:
            return np.empty(shape, dtype)
        buffer = self._arrays.get(name)
        if buffer is None or buffer.size < size:
            self._arrays[name] = buffer = np.empty(size, np.uint8)
        return buffer[:size].view(dtype).reshape(shape)


scratch = Scratch()
