"""Memory for intermediate results that lasts from one call of a kernel to the next."""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np

__all__: list[str] = []

# Bytes up to which an array is kept for the next call.
_KEPT = 16 << 20


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
