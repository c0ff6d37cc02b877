"""Statistics of order: the median."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements, is_inexact
from eagerflow.ops.arrays.conversion import astype
from eagerflow.ops.arrays.transposition import transpose
from eagerflow.ops.axes import reduced_shape, some_axes
from eagerflow.ops.checked import flag, guarded
from eagerflow.ops.elementwise.comparison import isnan
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.reductions.moments import mean
from eagerflow.ops.sorting.sorting import sort

__all__ = ["median"]


@guarded
def median(x: Any, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the middle of the sorted elements over axes.

    Parameters
    ----------
    x : array_like
        Real numbers.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The medians: of an even number of elements the mean of the middle two, of integers and booleans in
        float64; NaN where one is among the elements, or none are. The gradient goes to the elements in the middle.

    Raises
    ------
    ShapeError
        An axis is out of range.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.median([5.0, 1.0, 2.0])
    Tensor(2.)
    >>> ef.grad(ef.median)(ef.asarray([5.0, 1.0, 2.0, 4.0]))
    Tensor([0. , 0. , 0.5, 0.5])
    """
    source = convert(x)
    axes = some_axes(axis, source.ndim, "median")
    if not is_inexact(source.dtype):
        source = astype(source, np.float64)
    rest = tuple(a for a in range(source.ndim) if a not in axes)
    count = math.prod([source.shape[a] for a in axes])
    line = transpose(source, rest + axes).reshape((*[source.shape[a] for a in rest], count))
    ordered = sort(line)
    if not count:
        result = mean(ordered, -1)
    else:
        middle = ordered[..., (count - 1) // 2 : count // 2 + 1]
        last = ordered[..., -1]  # NaNs come last
        result = where(isnan(last), last, mean(middle, -1))
    return result.reshape(reduced_shape(source.shape, axes, flag(keepdims, "median", "keepdims")))


@implements(np.median)
def _numpy_median(a: Any, axis: Any = None, *, overwrite_input: bool = False, keepdims: bool = False) -> Tensor:
    return median(a, axis, keepdims)
