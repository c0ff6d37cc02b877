"""Variables in a plan: where the next value of a Variable is written."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from eagerflow.core.tensor import wrap
from eagerflow.devices import CPU0


def target(variable: Any, array: Any) -> Any:
    """Return where to write the next value of a Variable, whose value a plan holds as `array`.

    It is the array itself where nothing but the Variable and the plan sees it, and a new one otherwise.
    """
    if (
        variable._value._held is array
        and type(array) is np.ndarray
        and sys.getrefcount(array) <= _ALONE
        and array.flags.owndata
        and array.flags.writeable
        and array.flags.c_contiguous
    ):
        return array
    return np.empty(array.shape, array.dtype)


class _Holder:
    def __init__(self) -> None:
        self._value = wrap(np.empty(1), CPU0)


def _calibrate() -> int:
    """Return how many references there are in `target` when a plan and the Variable hold the array."""
    holder = _Holder()
    array = holder._value._held
    return _references(holder, array)


def _references(variable: Any, array: Any) -> int:
    return sys.getrefcount(array)


_ALONE = _calibrate()
