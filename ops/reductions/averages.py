"""Averages with weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.shape import broadcast_to
from eagerflow.ops.checked import guarded
from eagerflow.ops.reductions.moments import mean
from eagerflow.ops.reductions.reduction import over, sum

__all__ = ["average"]


@implements(np.average)
@guarded
def average(x: Any, /, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """Average elements over axes with weights.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    weights : array_like, optional
        Of the shape of `x`, or one for each position on the one axis.
    returned : bool
        Whether to return the sums of the weights too.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor or tuple of Tensor
        The averages; with `returned` also the sums of the weights.

    Raises
    ------
    ShapeError
        An axis is out of range, or the weights do not fit.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.average([1.0, 4.0], weights=[2.0, 1.0])
    Tensor(2.)
    """
    x = convert(x)
    axes = over(x, axis, "average")
    if weights is None:
        weights = convert(np.ones((1,) * x.ndim, np.result_type(x.dtype, np.int8)))
        result = mean(x, axes, None, keepdims)
        total = broadcast_to(weights, x.shape)
        return (result, sum(total, axes, result.dtype, keepdims)) if returned else result
    weights = convert(weights)
    if weights.shape != x.shape:
        if weights.shape != tuple(x.shape[a] for a in axes):
            raise ShapeError(
                f"average: weights of shape {weights.shape} fit neither x of shape {x.shape} "
                f"nor its axes {axes}\n  at {user_line()}"
            )
        order = np.argsort(axes)
        weights = weights.transpose(tuple(int(a) for a in order)) if len(axes) > 1 else weights
        weights = weights.reshape(tuple(x.shape[a] if a in axes else 1 for a in range(x.ndim)))
        weights = broadcast_to(weights, x.shape)
    total = sum(weights, axes, None, keepdims)
    result = sum(x * weights, axes, None, keepdims) / total
    return (result, total) if returned else result
