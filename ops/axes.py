"""Axes and shapes as users write them, checked and brought into one form."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from eagerflow.core import Spec
from eagerflow.core.explain import user_line
from eagerflow.errors import AxisError, DTypeError, ShapeError


def one_axis(axis: Any, ndim: int, name: str) -> int:
    """Return `axis` as a number from 0 to ``ndim - 1``.

    Raises
    ------
    ShapeError, DTypeError
        Out of range; no integer.
    """
    try:
        number = operator.index(axis)
    except TypeError:
        raise DTypeError(f"{name}: axis is an integer, got {axis!r}\n  at {user_line()}") from None
    if not -ndim <= number < ndim:
        expected = f"expected {-ndim} to {ndim - 1}" if ndim else "the array has no axes"
        raise AxisError(f"{name}: axis {number} is out of range: {expected}\n  at {user_line()}")
    return number % ndim


def some_axes(axis: Any, ndim: int, name: str) -> tuple[int, ...]:
    """Return `axis` (None for all, an integer or a sequence) as distinct non-negative numbers.

    Raises
    ------
    ShapeError, DTypeError
        Out of range or repeated; no integers.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(one_axis(item, ndim, name) for item in (axis if isinstance(axis, tuple | list) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: repeated axis in {axis!r}\n  at {user_line()}")
    return axes


def reduced_shape(shape: Sequence[int], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    """Return the shape that is left after reducing over `axes`."""
    if keepdims:
        return tuple(1 if axis in axes else side for axis, side in enumerate(shape))
    return tuple(side for axis, side in enumerate(shape) if axis not in axes)


def reduction_rule(dtype: Any = None) -> Any:
    """Return the shape rule of a reduction; `dtype` gives the result's from the input's."""

    def infer(x: Spec, *, axis: tuple[int, ...], keepdims: bool) -> Spec:
        return Spec(reduced_shape(x.shape, axis, keepdims), dtype(x.dtype) if dtype else x.dtype)

    return infer
