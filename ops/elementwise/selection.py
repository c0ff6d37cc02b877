"""Selection: one value or the other, element-wise."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, broadcast, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError
from eagerflow.ops.elementwise.comparison import isfinite

__all__ = ["clip", "nan_to_num", "where"]


def _where_rule(condition: Any, x: Any, y: Any) -> Spec:
    return Spec(broadcast(condition, x, y), np.result_type(getattr(x, "dtype", x), getattr(y, "dtype", y)))


def _sample_where(draw: Draw) -> Sample:
    shape = draw.shape()
    shapes = [shape, draw.broadcastable(shape), draw.broadcastable(shape)]
    draw.rng.shuffle(shapes)
    condition = draw.array(shapes[0], dtype=np.bool_)
    return Sample((condition, draw.array(shapes[1]), draw.array(shapes[2])))


_where = Op(
    "where",
    "where",
    inputs="condition x y",
    infer=_where_rule,
    sample=_sample_where,
    vjp=(None, lambda g, condition: _where(condition, g, 0), lambda g, condition: _where(condition, 0, g)),
    fusion="elementwise",
    scalar="where(condition, x, y)",
    onnx="Where",
    kinds="fc",
)


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """Take `x` where the condition holds and `y` where it does not.

    The gradient of the one that is not taken is exactly zero, even if it is NaN or infinite there.

    Parameters
    ----------
    condition : array_like
        Booleans; numbers count as true if they are not zero.
    x, y : array_like, optional
        Values; all shapes broadcast. Without both of them the result is that of ``nonzero(condition)``.

    Returns
    -------
    Tensor
        Of the shape that the inputs broadcast to.

    Raises
    ------
    ShapeError
        The shapes do not broadcast.
    ArgumentError
        Only one of `x` and `y` is given.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.where([True, False], [1.0, 2.0], 0.0)
    Tensor([1., 0.])
    """
    if x is None or y is None:
        if x is not y:
            raise ArgumentError(f"where: give both x and y, or neither\n  at {user_line()}")
        return convert(condition).nonzero()
    return _where(condition, x, y)


def _clip_kernel(xp: Any, x: Any, low: Any, high: Any) -> Any:
    if low is not None:
        x = xp.maximum(x, low)
    return x if high is None else xp.minimum(x, high)


def _clip_rule(x: Any, low: Any, high: Any) -> Spec:
    given = [spec for spec in (x, low, high) if spec is not None]
    return Spec(broadcast(*given), np.result_type(*[getattr(spec, "dtype", spec) for spec in given]))


def _inside(g: Tensor, x: Any, min: Any, max: Any) -> Tensor:
    if min is not None:
        g = _where(x >= min, g, 0)
    return g if max is None else _where(x <= max, g, 0)


def _at_low(g: Tensor, x: Any, min: Any, max: Any) -> Tensor:
    g = _where(x < min, g, 0)
    return g if max is None else _where(min <= max, g, 0)


def _at_high(g: Tensor, x: Any, min: Any, max: Any) -> Tensor:
    above = x > max
    return _where(above if min is None else above | (min > max), g, 0)


def _clip_by_extremes(x: Any, low: Any, high: Any) -> Any:
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _sample_clip(draw: Draw) -> Sample:
    shape = draw.shape()
    x = draw.array(shape)
    low = draw.choice([None, -1.01, draw.array(draw.broadcastable(shape), -1.3, -0.7)])
    high = draw.choice([None, 1.01, draw.array(draw.broadcastable(shape), 0.7, 1.3)])
    # Away from the bounds, where the derivative jumps.
    for bound in (low, high):
        if bound is not None:
            x = np.where(np.abs(x - bound) < 0.02, x + 0.05, x)
    return Sample((x, low, high))


_clip = Op(
    "clip",
    _clip_kernel,
    inputs="x min? max?",
    infer=_clip_rule,
    sample=_sample_clip,
    vjp=(_inside, _at_low, _at_high),
    fusion="elementwise",
    flops=2,
    lower=_clip_by_extremes,
    onnx="Clip",
)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Tensor:
    """Limit values to an interval.

    The gradient goes to `x` where it lies in the closed interval, to the bound elsewhere.

    Parameters
    ----------
    x : array_like
        Input.
    min, max : array_like, optional
        Bounds, broadcast with `x`; None for no bound. Where `min` is greater than `max`, the
        result is `max`.

    Returns
    -------
    Tensor
        Of the shape that the inputs broadcast to.

    Raises
    ------
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.clip([-2.0, 0.5, 3.0], 0.0, 1.0)
    Tensor([0. , 0.5, 1. ])
    """
    return _clip(x, min, max)


@implements(np.clip)
def _numpy_clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tensor:
    return clip(a, a_min if min is None else min, a_max if max is None else max)


def _finite(g: Tensor, x: Tensor) -> Tensor:
    if x.dtype.kind == "c":  # real and imaginary parts are replaced one by one
        return _where(isfinite(x.real), g.real, 0) + _where(isfinite(x.imag), g.imag, 0) * 1j
    return _where(isfinite(x), g, 0)


def _sample_nan(draw: Draw) -> Sample:
    x = np.array(draw.array(draw.shape()))
    return Sample((x,), {"nan": 0.5, "posinf": draw.choice([None, 9.0]), "neginf": draw.choice([None, -9.0])})


_nan_to_num = Op(
    "nan_to_num",
    lambda xp, x, **values: xp.nan_to_num(x, **values),
    inputs="x",
    infer=lambda x, **values: x,
    sample=_sample_nan,
    vjp=_finite,
    fusion="elementwise",
    kinds="fc",
)


@implements(np.nan_to_num)
def nan_to_num(
    x: Any, /, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Replace NaN and infinities by numbers.

    Parameters
    ----------
    x : array_like
        Input.
    copy : bool
        Taken for NumPy's sake: the result is always a new value.
    nan, posinf, neginf : float, optional
        What to put in place of NaN and of the infinities; without the latter two the
        greatest and the smallest number of the dtype.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`. The gradient is zero where a value was replaced.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nan_to_num([1.0, float("nan"), float("inf")], nan=0.0, posinf=9.0)
    Tensor([1., 0., 9.])
    """
    return _nan_to_num(convert(x), nan=nan, posinf=posinf, neginf=neginf)
