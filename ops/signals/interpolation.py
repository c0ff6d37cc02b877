"""Functions known at points: interpolation, derivatives and integrals of them, and phases without jumps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements, is_inexact
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, DTypeError, ShapeError
from eagerflow.ops.arrays.conversion import astype
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.arrays.shape import ravel
from eagerflow.ops.axes import one_axis
from eagerflow.ops.checked import guarded, real, real_vector
from eagerflow.ops.elementwise.arithmetic import remainder
from eagerflow.ops.elementwise.comparison import isnan
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.indexing.along_axis import take
from eagerflow.ops.reductions.cumulative import cumsum, diff
from eagerflow.ops.reductions.reduction import sum
from eagerflow.ops.sorting.sorting import argsort, searchsorted

__all__ = ["ediff1d", "gradient", "interp", "trapezoid", "unwrap"]


def _floating(x: Any) -> Tensor:
    made = convert(x)
    return made if is_inexact(made.dtype) else astype(made, np.float64)


@implements(np.interp)
@guarded
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: float | None = None) -> Tensor:
    """Interpolate linearly between the points of a function.

    Parameters
    ----------
    x : array_like
        Where to evaluate.
    xp : array_like
        Where the function is known: a vector, ascending unless `period` is given.
    fp : array_like
        Its values there, real or complex.
    left, right : float or complex, optional
        Values before the first and behind the last point; those at the ends if not given.
    period : float, optional
        Period of the function; `left` and `right` do not matter then.

    Returns
    -------
    Tensor
        Of the shape of `x`. It has gradients with respect to `x`, `xp`, `fp`, `left` and `right`; at a point
        itself, that with respect to `x` is the slope behind it. It is zero outside the points.

    Raises
    ------
    ShapeError
        `xp` and `fp` are no vectors of one length, or there are no points.
    ArgumentError
        A period of zero.
    DTypeError
        `x` or `xp` is complex.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.interp([0.5, 1.0, 9.0], [0.0, 1.0, 2.0], [0.0, 10.0, 20.0])
    Tensor([ 5., 10., 20.])
    >>> ef.grad(lambda x: ef.interp(x, [0.0, 1.0], [0.0, 10.0]))(0.5)
    Tensor(10.)
    """
    at = astype(real(x, "interp", "x"), np.float64)
    points = astype(real_vector(xp, "interp", "xp"), np.float64)
    values = _floating(fp)
    values = astype(values, np.complex128 if values.dtype.kind == "c" else np.float64)
    if values.shape != points.shape or not points.size:
        raise ShapeError(
            f"interp: xp and fp are as long as each other and not empty, got shapes {points.shape} and {values.shape}"
            f"\n  at {user_line()}"
        )
    if period is not None:
        if period == 0:
            raise ArgumentError(f"interp: the period is not zero\n  at {user_line()}")
        period = abs(period)
        at, points = remainder(at, period), remainder(points, period)
        order = argsort(points)
        points, values = take(points, order, 0), take(values, order, 0)
        points = concat([points[-1:] - period, points, points[:1] + period])
        values = concat([values[-1:], values, values[:1]])
        left = right = None
    first = values[0] if left is None else left
    last = values[-1] if right is None else right
    if points.size == 1:
        inside = values[0]
    else:
        place = searchsorted(points, at, side="right").clip(1, points.size - 1)
        before, behind = take(points, place - 1, 0), take(points, place, 0)
        low, high = take(values, place - 1, 0), take(values, place, 0)
        width = behind - before
        slope = (high - low) / where(width == 0, 1, width)
        # At the last point its own value, though there may be others at the same place.
        inside = where(at == points[-1], slope * (at - behind) + high, slope * (at - before) + low)
    result = where(at < points[0], first, where(at > points[-1], last, inside))
    return where(isnan(at), at, result)


# Derivatives from values at points.


def _part(x: Tensor, axis: int, start: int | None, stop: int | None) -> Tensor:
    return x[(*(slice(None),) * axis, slice(start, stop))]


def _spacing(value: Any, side: int, axis: int) -> Any:
    """Return one distance as it is, or the distances between the coordinates."""
    if isinstance(value, int | float | complex):
        return value
    made = convert(value)
    if not made.ndim:
        return made if is_inexact(made.dtype) else astype(made, np.float64)
    if made.ndim != 1 or made.size != side:
        raise ShapeError(
            f"gradient: coordinates along axis {axis} are {side} numbers, got shape {made.shape}\n  at {user_line()}"
        )
    return diff(_floating(made))


def _slopes(f: Tensor, h: Any, axis: int, edge_order: int) -> Tensor:
    behind = (slice(None),) + (None,) * (f.ndim - axis - 1)
    spaced = not isinstance(h, int | float | complex) and h.ndim
    last, before = _part(f, axis, 2, None), _part(f, axis, None, -2)
    if spaced:
        a, b = h[:-1][behind], h[1:][behind]
        middle = -(b / (a * (a + b))) * before + ((b - a) / (a * b)) * _part(f, axis, 1, -1) + a / (b * (a + b)) * last
    else:
        middle = (last - before) / (2.0 * h)
    ends = []
    for side in (0, -1):
        step = h[side] if spaced else h
        nearest, next_one = (0, 1) if side == 0 else (-1, -2)
        y0, y1 = _at(f, axis, nearest), _at(f, axis, next_one)
        if edge_order == 1:
            ends.append((y1 - y0) / step if side == 0 else (y0 - y1) / step)
            continue
        y2 = _at(f, axis, 2 if side == 0 else -3)
        far = (h[1] if side == 0 else h[-2]) if spaced else h
        sign = 1 if side == 0 else -1
        weights = (-(2 * step + far) / (step * (step + far)), (step + far) / (step * far), -step / (far * (step + far)))
        ends.append(sign * (weights[0] * y0 + weights[1] * y1 + weights[2] * y2))
    return concat([ends[0], middle, ends[1]], axis)


def _at(f: Tensor, axis: int, position: int) -> Tensor:
    return _part(f, axis, position, position + 1 or None)


@implements(np.gradient)
@guarded
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Estimate the derivatives of a function from its values on a grid.

    These are differences of values; `grad` differentiates programs.

    Parameters
    ----------
    f : array_like
        Values on a grid.
    *varargs : float or array_like
        For each axis the distance of the points, or their coordinates; one number serves all axes.
        Gradients pass to them.
    axis : int or tuple of int, optional
        Along which axes; all if not given.
    edge_order : {1, 2}
        Order of the differences at the ends.

    Returns
    -------
    Tensor or tuple of Tensor
        Of the shape of `f`; a tuple for several axes.

    Raises
    ------
    ShapeError
        An axis is out of range or too short; spacings that do not fit.
    ArgumentError
        `edge_order` is neither 1 nor 2.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.gradient([1.0, 4.0, 9.0, 16.0])
    Tensor([3., 4., 6., 7.])
    """
    values = _floating(f)
    given = range(values.ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    axes = [one_axis(item, values.ndim, "gradient") for item in given]
    if len(varargs) not in (0, 1, len(axes)) or (len(varargs) == 1 < len(axes) and np.ndim(varargs[0])):
        raise ShapeError(
            f"gradient: expected one distance, or one for each of the {len(axes)} axes, got {len(varargs)}"
            f"\n  at {user_line()}"
        )
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order is 1 or 2, got {edge_order!r}\n  at {user_line()}")
    steps = varargs or (1.0,)
    results = []
    for position, one in enumerate(axes):
        if values.shape[one] < edge_order + 1:
            raise ShapeError(
                f"gradient: axis {one} needs {edge_order + 1} points or more, has {values.shape[one]}"
                f"\n  at {user_line()}"
            )
        step = _spacing(steps[position] if len(steps) > 1 else steps[0], values.shape[one], one)
        results.append(_slopes(values, step, one, edge_order))
    return results[0] if len(results) == 1 else tuple(results)


@implements(np.trapezoid)
@guarded
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Tensor:
    """Integrate along an axis by the trapezoidal rule.

    Parameters
    ----------
    y : array_like
        Values.
    x : array_like, optional
        Where they are: a vector, or of the shape of `y`.
    dx : float
        Their distance, if `x` is not given.
    axis : int
        The axis.

    Returns
    -------
    Tensor
        The integrals; gradients pass to `y`, `x` and `dx`.

    Raises
    ------
    ShapeError
        The axis is out of range, or `x` does not fit.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.trapezoid([1.0, 2.0, 3.0], x=[0.0, 1.0, 3.0])
    Tensor(6.5)
    """
    values = convert(y)
    axis = one_axis(axis, values.ndim, "trapezoid")
    width: Any = dx
    if x is not None:
        points = convert(x)
        along = points.ndim - (values.ndim - axis) if points.ndim > 1 else 0
        if points.ndim == 0 or points.shape[along] != values.shape[axis]:
            raise ShapeError(
                f"trapezoid: x of shape {points.shape} does not fit axis {axis} of y of shape {values.shape}"
                f"\n  at {user_line()}"
            )
        width = diff(points, axis=along)
        if points.ndim == 1:
            width = width.reshape((-1,) + (1,) * (values.ndim - axis - 1))
    pairs = _part(values, axis, 1, None) + _part(values, axis, None, -1)
    return sum(width * pairs / 2.0, axis=axis - values.ndim)


@implements(np.ediff1d)
@guarded
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Tensor:
    """Return the differences of neighbours in the flattened array.

    Parameters
    ----------
    ary : array_like
        Input.
    to_end, to_begin : array_like, optional
        What to put behind and before the differences.

    Returns
    -------
    Tensor
        A vector.

    Raises
    ------
    DTypeError
        The dtype of an end does not fit into that of `ary`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.ediff1d([1.0, 2.0, 4.0], to_begin=0.0)
    Tensor([0., 1., 2.])
    """
    values = ravel(ary)
    parts: list[Tensor | None] = []
    for end in (to_begin, None, to_end):
        if end is None:
            parts.append(None)
            continue
        made = ravel(end)
        if not np.can_cast(made.dtype, values.dtype, "same_kind"):
            raise DTypeError(f"ediff1d: {made.dtype} does not fit into {values.dtype}\n  at {user_line()}")
        parts.append(astype(made, values.dtype))
    steps = diff(values) if values.size else values
    return concat([part for part in (parts[0], steps, parts[2]) if part is not None])


@implements(np.unwrap)
@guarded
def unwrap(p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * math.pi) -> Tensor:
    """Take jumps of more than half a period out of phases, by adding whole periods.

    Parameters
    ----------
    p : array_like
        Phases.
    discont : float, optional
        The least jump that is taken out; half a period, and never less.
    axis : int
        Along which axis.
    period : float
        The period.

    Returns
    -------
    Tensor
        Of the shape of `p`. The added periods are constant, so that the gradient passes unchanged.

    Raises
    ------
    ShapeError
        The axis is out of range.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.unwrap([0.0, 3.0, 6.0, 2.0], period=4)
    Tensor([ 0., -1., -2., -2.])
    """
    phases = real(p, "unwrap", "p")
    axis = one_axis(axis, phases.ndim, "unwrap")
    steps = diff(phases, axis=axis)
    half = period / 2
    whole = steps.dtype.kind in "iu" and isinstance(period, int)
    low: Any = -(period // 2) if whole else -half
    near = remainder(steps - low, period) + low
    if not whole or period % 2 == 0:  # half a period up or down: as the step went
        near = where((near == low) & (steps > 0), -low if not whole else period // 2, near)
    limit = half if discont is None else discont
    correction = where(abs(steps) < limit, 0, near - steps)
    first = _part(phases, axis, None, 1)
    return concat([first, _part(phases, axis, 1, None) + cumsum(correction, axis=axis)], axis)
