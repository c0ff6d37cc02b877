"""Buffers: which values of a plan share memory, by the steps at which they come and go."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_ALIGNMENT = 64  # bytes: a line of the cache, and what vector instructions like


class Buffer:
    """Memory that one value after another uses."""

    __slots__ = ("index", "lives", "size")

    def __init__(self, index: int) -> None:
        self.index = index
        self.size = 0
        self.lives: list[tuple[Any, int, int]] = []  # value, first and last step


class Buffers:
    """Gives values buffers, in the order of the steps; a buffer whose value is no longer needed is given out again."""

    def __init__(self) -> None:
        self.all: list[Buffer] = []
        self._free: list[Buffer] = []

    def take(self, value: Any, size: int, first: int, last: int) -> Buffer:
        """Return a buffer for a value of `size` bytes that lives from step `first` to step `last`."""
        chosen: Buffer | None = None
        for buffer in reversed(self._free):  # those freed last are in the cache
            if buffer.size >= size and (chosen is None or buffer.size < chosen.size):
                chosen = buffer
        if chosen is None and self._free:
            largest = max(self._free, key=lambda buffer: buffer.size)
            # A little one is not worth growing for something large: it serves other little ones.
            if largest.size * 4 >= size:
                chosen = largest
        if chosen is None:
            chosen = Buffer(len(self.all))
            self.all.append(chosen)
        else:
            self._free.remove(chosen)
        chosen.size = max(chosen.size, size)
        chosen.lives.append((value, first, last))
        return chosen

    def share(self, value: Any, buffer: Buffer, first: int, last: int) -> None:
        """Let a value use a buffer whose value ends at the step at which this one begins."""
        buffer.lives.append((value, first, last))

    def release(self, buffer: Buffer) -> None:
        """Take a buffer back."""
        self._free.append(buffer)

    @property
    def size(self) -> int:
        """Bytes of all buffers together."""
        return sum(_rounded(buffer.size) for buffer in self.all)


def _rounded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def allocate(buffers: Buffers) -> list[np.ndarray]:
    """Return memory for all buffers, as bytes; of one piece."""
    whole = np.empty(buffers.size + _ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % _ALIGNMENT
    found = []
    for buffer in buffers.all:
        found.append(whole[start : start + buffer.size])
        start += _rounded(buffer.size)
    return found


def as_array(memory: np.ndarray, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return the beginning of a buffer as an array."""
    size = math.prod(shape) * dtype.itemsize
    array: np.ndarray = memory[:size].view(dtype).reshape(shape)
    return array
