"""Results: memory for what a plan returns, used again when nobody sees what was returned before.

Large arrays that are made anew cost more than many a kernel: the system gives and clears their pages one by one.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

_KEPT = 3  # arrays that wait for their owners to let go
LARGE = 1 << 18  # bytes from which on it pays


class Results:
    """Gives out arrays of one shape; each is a view, so that references to the memory behind tell who sees it."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._shape = shape
        self._dtype = dtype
        self._owners: list[np.ndarray] = []

    def __call__(self) -> np.ndarray:
        """Return an array whose memory nobody else sees."""
        owners = self._owners
        for _ in range(len(owners)):
            try:
                owner = owners.pop(0)  # from here on no other thread has it
            except IndexError:
                break
            if sys.getrefcount(owner) <= _ALONE:
                view = owner.view()
                owners.append(owner)
                return view
            owners.append(owner)
        owner = np.empty(self._shape, self._dtype)
        if len(owners) < _KEPT:
            owners.append(owner)
        return owner.view()


def _count() -> int:
    owner = [np.empty(1)].pop(0)
    return sys.getrefcount(owner)


_ALONE = _count()
