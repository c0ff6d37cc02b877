"""Rounding and choosing the greater or the smaller one, element-wise: functions with corners and steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, broadcast, convert, implements
from eagerflow.ops.checked import integer
from eagerflow.ops.declare import elementwise
from eagerflow.ops.elementwise.comparison import isnan
from eagerflow.ops.elementwise.selection import where

__all__ = [
    "around",
    "ceil",
    "fix",
    "floor",
    "fmax",
    "fmin",
    "heaviside",
    "maximum",
    "minimum",
    "rint",
    "round",
    "trunc",
]

floor = elementwise(
    "floor", scalar="floor(x)", vjp=lambda g: g * 0, onnx="Floor", domain=(0.1, 0.9),
    doc="The largest integer not above x, element-wise. Its gradient is zero.",
    example=("ef.floor([1.5, -1.5])", "Tensor([ 1., -2.])"),
)  # fmt: skip
ceil = elementwise(
    "ceil", scalar="ceil(x)", vjp=lambda g: g * 0, onnx="Ceil", domain=(0.1, 0.9),
    doc="The smallest integer not below x, element-wise. Its gradient is zero.",
    example=("ef.ceil([1.5, -1.5])", "Tensor([ 2., -1.])"),
)  # fmt: skip
trunc = elementwise(
    "trunc", scalar="trunc(x)", vjp=lambda g: g * 0, domain=(0.1, 0.9), numpy=("fix",),
    doc="x without its fraction, element-wise. Its gradient is zero.",
    example=("ef.trunc([1.5, -1.5])", "Tensor([ 1., -1.])"),
)  # fmt: skip
fix = trunc
rint = elementwise(
    "rint", scalar="rint(x)",
    vjp=lambda g: g * 0, onnx="Round", kinds="fc", domain=(0.1, 0.4), sample=lambda draw: _sample_rint(draw),
    doc="The nearest integer, of two the even one, element-wise, in floating point. Its gradient is zero.",
    example=("ef.rint([0.5, 1.4, 1.5])", "Tensor([0., 1., 2.])"),
)  # fmt: skip


def _sample_rint(draw: Draw) -> Sample:
    x = draw.array(draw.shape(), 0.1, 0.4)
    return Sample((x.real + 0.4j * x.imag if draw.dtype.kind == "c" else x,))


def _sample_round(draw: Draw) -> Sample:
    return Sample((np.trunc(100 * draw.array(draw.shape())) / 100 + 0.002,), {"decimals": draw.integer(1, 2)})


_round = Op(
    "round",
    lambda xp, x, *, decimals: xp.round(x, decimals),
    inputs="x",
    infer=lambda x, *, decimals: Spec(x.shape, np.float16 if x.dtype.kind == "b" else x.dtype),
    sample=_sample_round,
    vjp=lambda g: g * 0,
    fusion="elementwise",
    flops=3,
)


@implements(np.round, np.around)
def round(x: Any, /, decimals: int = 0) -> Tensor:
    """Round to a number of decimals, element-wise; of two nearest ones to the even one.

    Parameters
    ----------
    x : array_like
        Input.
    decimals : int
        Number of digits behind the point; before it if negative.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`. Its gradient is zero.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.round([0.5, 1.5, 2.344]), ef.round(2.344, 2)
    (Tensor([0., 2., 2.]), Tensor(2.34))
    """
    x = convert(x)
    if type(decimals) is not int:
        decimals = integer(decimals, "round", "decimals")
    if decimals == 0 and x.dtype.kind in "fc":
        return rint(x)
    return _round(x, decimals=decimals)


around = round


# The gradient of the extremes: all of it to the greater one, half of it to each of two equal ones.


def _share(xp: Any, g: Any, x: Any, y: Any) -> Any:
    # Chosen, not multiplied by zero: g may be infinite, as in sqrt(maximum(x, 0)).
    return xp.where(xp.greater(x, y), g, xp.where(xp.equal(x, y), g * g.dtype.type(0.5), 0))


def _sample_share(draw: Draw) -> Sample:
    shape = draw.shape()
    x = draw.array(draw.broadcastable(shape))
    return Sample((draw.array(shape), x, draw.choice([x, 0.0, draw.array(draw.broadcastable(shape))])))


_to_greater = Op(
    "gradient_to_greater",
    _share,
    inputs="g x y",
    infer=lambda g, x, y: Spec(broadcast(g, x, y), g.dtype),
    sample=_sample_share,
    vjp=(lambda g, x, y: _to_greater(g, x, y), None, None),
    fusion="elementwise",
    flops=4,
    scalar="where(x > y, g, where(x == y, 0.5 * g, 0))",
)


def _sample_pair(draw: Draw) -> Sample:
    shape = draw.shape()
    x, y = draw.array(shape), draw.array(draw.broadcastable(shape))
    return Sample((np.round(x, 1), np.round(y, 1) + 0.05))  # never equal, nor nearly so


_TIES = "Where both are equal, each gets half of the gradient."

maximum = elementwise(
    "maximum", scalar="maximum(x, y)",
    vjp=(lambda g, x, y: _to_greater(g, x, y), lambda g, x, y: _to_greater(g, y, x)), inputs="x y",
    sample=_sample_pair,
    onnx="Max", doc=f"The greater of x and y, element-wise; NaN if one is NaN. {_TIES}",
    example=("ef.maximum([1.0, 3.0], 2.0)", "Tensor([2., 3.])"),
)  # fmt: skip
minimum = elementwise(
    "minimum", scalar="minimum(x, y)",
    vjp=(lambda g, x, y: _to_greater(g, y, x), lambda g, x, y: _to_greater(g, x, y)), inputs="x y",
    sample=_sample_pair,
    onnx="Min", doc=f"The smaller of x and y, element-wise; NaN if one is NaN. {_TIES}",
    example=("ef.minimum([1.0, 3.0], 2.0)", "Tensor([1., 2.])"),
)  # fmt: skip


def _skip_nan(g: Tensor, x: Any, y: Any, greater: Any, smaller: Any) -> Tensor:
    """Give `x` the gradient where `greater` is greater than `smaller`, or where `y` is NaN."""
    return where(isnan(y), g, _to_greater(g, greater, smaller))


fmax = elementwise(
    "fmax", scalar="fmax(x, y)",
    vjp=(lambda g, x, y: _skip_nan(g, x, y, x, y), lambda g, x, y: _skip_nan(g, y, x, y, x)), inputs="x y",
    sample=_sample_pair,
    doc=f"The greater of x and y, element-wise; NaN only if both are NaN. {_TIES}",
    example=('ef.fmax([1.0, float("nan")], 2.0)', "Tensor([2., 2.])"),
)  # fmt: skip
fmin = elementwise(
    "fmin", scalar="fmin(x, y)",
    vjp=(lambda g, x, y: _skip_nan(g, x, y, y, x), lambda g, x, y: _skip_nan(g, y, x, x, y)), inputs="x y",
    sample=_sample_pair,
    doc=f"The smaller of x and y, element-wise; NaN only if both are NaN. {_TIES}",
    example=('ef.fmin([1.0, float("nan")], 2.0)', "Tensor([1., 2.])"),
)  # fmt: skip
heaviside = elementwise(
    "heaviside", scalar="where(x > 0, 1, where(x < 0, 0, where(x == 0, y, x)))",
    vjp=(lambda g: g * 0, lambda g, x: where(x == 0, g, 0)), inputs="x y", domain=((0.1, 2), (-2, 2)),
    doc="0 where x is negative, y where it is zero, 1 where it is positive. The gradient of x is zero.",
    example=("ef.heaviside([-1.0, 0.0, 2.0], 0.5)", "Tensor([0. , 0.5, 1. ])"),
)  # fmt: skip
