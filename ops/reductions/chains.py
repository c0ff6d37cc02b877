"""Chains: a function of two applied from one element to the next, as ``ufunc.reduce`` and ``accumulate`` do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eagerflow.core import Tensor, convert
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.joining import stack
from eagerflow.ops.arrays.shape import expand_dims
from eagerflow.ops.arrays.splitting import unstack
from eagerflow.ops.arrays.transposition import transpose
from eagerflow.ops.axes import some_axes

OfTwo = Callable[[Any, Any], Any]


def chain(function: OfTwo, x: Any, axis: Any, keepdims: bool, name: str) -> Tensor:
    """Return ``f(f(f(x[0], x[1]), x[2]), …)`` along axes.

    Raises
    ------
    ShapeError
        An axis is out of range, or there is nothing to begin with.
    """
    made = convert(x)
    axes = some_axes(axis, made.ndim, name)
    rest = tuple(a for a in range(made.ndim) if a not in axes)
    if not made.size:
        raise ShapeError(f"{name}: there are no elements over axes {axes} of shape {made.shape}\n  at {user_line()}")
    total, *parts = unstack(transpose(made, axes + rest).reshape((-1, *[made.shape[a] for a in rest])))
    for part in parts:
        total = function(total, part)
    return expand_dims(total, axes) if keepdims and axes else total


def steps(function: OfTwo, x: Any, axis: int, name: str) -> Tensor:
    """Return all that a chain along one axis goes through.

    Raises
    ------
    ShapeError
        The axis is out of range.
    """
    made = convert(x)
    (one,) = some_axes(axis, made.ndim, name)
    if not made.size:
        return made
    first, *parts = unstack(made, axis=one)
    reached = [first]
    for part in parts:
        reached.append(function(reached[-1], part))
    return stack(reached, one)
