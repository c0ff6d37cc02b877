"""Axes in other places, and windows that slide along them."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.ranges import positions
from eagerflow.ops.arrays.shape import as_shape
from eagerflow.ops.arrays.transposition import moveaxis
from eagerflow.ops.axes import one_axis
from eagerflow.ops.checked import guarded
from eagerflow.ops.indexing.along_axis import take

__all__ = ["rollaxis", "sliding_window_view"]


@implements(np.rollaxis)
@guarded
def rollaxis(a: Any, axis: int, start: int = 0) -> Tensor:
    """Return an array with one axis before another; `moveaxis` is easier to read.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int
        Which axis to move.
    start : int
        Before which axis.

    Returns
    -------
    Tensor
        With the axes in the other order.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.rollaxis(ef.zeros((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    x = convert(a)
    axis = one_axis(axis, x.ndim, "rollaxis")
    before = one_axis(start, x.ndim + 1, "rollaxis") if start >= 0 else one_axis(start, x.ndim, "rollaxis")
    return moveaxis(x, axis, before - 1 if before > axis else before)


@implements(np.lib.stride_tricks.sliding_window_view)
@guarded
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Tensor:
    """Return all windows of a shape, along new axes at the end.

    Parameters
    ----------
    x : array_like
        Input.
    window_shape : int or tuple of int
        Lengths of the window.
    axis : int or tuple of int, optional
        Along which axes it slides; all if not given.
    subok, writeable : bool
        For NumPy's signature: the result is a value, not a view.

    Returns
    -------
    Tensor
        Positions of the window, then the window. An element gets the gradients of all windows that it is in.

    Raises
    ------
    ShapeError
        Not one length for each axis, or a window that is longer than its axis; an axis out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.sliding_window_view([1.0, 2.0, 3.0], 2)
    Tensor([[1., 2.],
            [2., 3.]])
    """
    made = convert(x)
    lengths = as_shape(window_shape, "sliding_window_view")
    given = range(made.ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    axes = [one_axis(item, made.ndim, "sliding_window_view") for item in given]
    if len(axes) != len(lengths):
        raise ShapeError(
            f"sliding_window_view: expected a length for each of the axes {tuple(axes)}, got {lengths}"
            f"\n  at {user_line()}"
        )
    for one, length in zip(axes, lengths, strict=True):
        count = made.shape[one] - length + 1
        if length < 0 or count < 1:
            raise ShapeError(
                f"sliding_window_view: a window of length {length} does not fit axis {one} of length {made.shape[one]}"
                f"\n  at {user_line()}"
            )
        made = moveaxis(take(made, positions(count)[:, None] + positions(length), one), one + 1, -1)
    return made
