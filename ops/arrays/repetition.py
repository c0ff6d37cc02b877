"""Repetition: elements and whole arrays more than once."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements
from eagerflow.core.dims import Dim
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.arrays.shape import as_shape, broadcast_to, expand_dims, ravel, reshape
from eagerflow.ops.axes import one_axis
from eagerflow.ops.checked import guarded

__all__ = ["repeat", "tile"]


@implements(np.repeat)
@guarded
def repeat(x: Any, repeats: Any, /, axis: int | None = None, *, total_repeat_length: int | None = None) -> Tensor:
    """Repeat each element.

    Parameters
    ----------
    x : array_like
        Input.
    repeats : int or array_like of int
        How many times; for each position along the axis, or one number for all.
    axis : int, optional
        Along which axis; without it the array is flattened.
    total_repeat_length : int, optional
        Sum of `repeats`, if known.

    Returns
    -------
    Tensor
        The elements, repeated.

    Raises
    ------
    ShapeError
        An axis out of range; `repeats` is negative or has another length than the axis.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.repeat([1.0, 2.0], 2)
    Tensor([1., 1., 2., 2.])
    """
    source = convert(x)
    if axis is None:
        source, axis = ravel(source), 0
    axis = one_axis(axis, source.ndim, "repeat")
    counts = np.asarray(repeats if not isinstance(repeats, Dim) else 0)
    if counts.dtype.kind not in "iub":
        raise DTypeError(f"repeat: repeats are integers, got {repeats!r}\n  at {user_line()}")
    side = source.shape[axis]
    if counts.size and int(counts.min()) < 0:
        raise ShapeError(f"repeat: repeats are not negative, got {repeats!r}\n  at {user_line()}")
    if counts.size == 1:
        count = int(counts.reshape(())) if not isinstance(repeats, Dim) else repeats
        before, after = source.shape[:axis], source.shape[axis + 1 :]
        spread = broadcast_to(expand_dims(source, axis + 1), (*before, side, count, *after))
        return reshape(spread, (*before, side * count, *after))
    if counts.shape != (side,):
        raise ShapeError(
            f"repeat: expected one number or {side} of them, as axis {axis} is long, got shape {counts.shape}"
            f"\n  at {user_line()}"
        )
    return source.take(np.repeat(np.arange(side), counts), axis)


@implements(np.tile)
def tile(x: Any, repetitions: Any, /) -> Tensor:
    """Repeat the whole array along its axes.

    Parameters
    ----------
    x : array_like
        Input.
    repetitions : int or tuple of int
        How many times along each axis, counted from the last; more numbers than axes make new axes.

    Returns
    -------
    Tensor
        The array, repeated.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.tile([1.0, 2.0], 2)
    Tensor([1., 2., 1., 2.])
    """
    source = convert(x)
    counts = as_shape(repetitions, "tile")
    ndim = builtins.max(len(counts), source.ndim)
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - source.ndim) + source.shape
    apart = [side for n in shape for side in (1, n)]
    spread = [side for pair in zip(counts, shape, strict=True) for side in pair]
    return reshape(broadcast_to(reshape(source, apart), spread), [c * n for c, n in zip(counts, shape, strict=True)])
