"""Entropies and log-odds, element-wise: products with logarithms, and what they are at 0."""

from __future__ import annotations

from typing import Any

from eagerflow.core import Draw, Op, Sample, Tensor
from eagerflow.ops.declare import elementwise
from eagerflow.ops.elementwise.exponential import log, log1p
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.precision import float_rule, quietly

__all__: list[str] = []


def _away(value: Tensor, x: Any, y: Any) -> Tensor:
    """Return `value`, but 1 where x and y are both 0: nothing flows back from there."""
    return where((x == 0) & (y == 0), 1.0, value)


@quietly
def _xlogy(xp: Any, x: Any, y: Any) -> Any:
    return xp.where((x == 0) & ~xp.isnan(y), 0.0, x * xp.log(y))


@quietly
def _xlog1py(xp: Any, x: Any, y: Any) -> Any:
    return xp.where((x == 0) & ~xp.isnan(y), 0.0, x * xp.log1p(y))


xlogy = elementwise(
    "xlogy", _xlogy, scalar="where(x == 0 and y == y, 0, x * log(y))",
    inputs="x y", infer=float_rule, flops=12, domain=((-2.0, 2.0), (0.3, 2.0)),
    vjp=(lambda g, x, y: g * log(_away(y, x, y)), lambda g, x, y: g * (x / _away(y, x, y))),
    doc="x log(y), element-wise, and 0 where x is 0. Both gradients at (0, 0) are 0.",
    example=("ef.special.xlogy([0.0, 2.0], [0.0, 1.0])", "Tensor([0., 0.])"),
)  # fmt: skip
xlog1py = elementwise(
    "xlog1py", _xlog1py, scalar="where(x == 0 and y == y, 0, x * log1p(y))",
    inputs="x y", infer=float_rule, flops=12, domain=((-2.0, 2.0), (-0.6, 2.0)),
    vjp=(
        lambda g, x, y: g * log1p(where((x == 0) & (y == -1), 0.0, y)),
        lambda g, x, y: g * (x / _away(1 + y, x, 1 + y)),
    ),
    doc="x log(1 + y), element-wise, and 0 where x is 0. Both gradients at (0, -1) are 0.",
    example=("ef.special.xlog1py([0.0, 2.0], [-1.0, 0.0])", "Tensor([0., 0.])"),
)  # fmt: skip


@quietly
def _entr(xp: Any, x: Any) -> Any:
    inside = xp.where(x > 0, x, 1.0)
    return xp.where(x > 0, 0.0 - inside * xp.log(inside), xp.where(x == 0, 0.0, xp.where(x < 0, -xp.inf, x)))


@quietly
def _rel_entr(xp: Any, x: Any, y: Any) -> Any:
    both = (x > 0) & (y > 0)
    value = xp.where(both, x * xp.log(xp.where(both, x / y, 1.0)), xp.where((x == 0) & (y >= 0), 0.0, xp.inf))
    return xp.where(xp.isnan(x) | xp.isnan(y), xp.nan, value)


@quietly
def _kl_div(xp: Any, x: Any, y: Any) -> Any:
    return _rel_entr(xp, x, y) - x + y


_TERM = (
    "where(x > 0 and y > 0, x * log(x / y), where(x == 0 and y >= 0, 0, where(x == x, where(y == y, inf, nan), nan)))"
)
entr = elementwise(
    "entr", _entr, scalar="where(x > 0, 0 - x * log(x), where(x == 0, 0, where(x < 0, -inf, x)))",
    infer=float_rule, flops=12, domain=(0.2, 2.0), vjp=lambda g, x: g * (-1 - log(x)),
    doc="-x log(x), element-wise: a term of an entropy; 0 at 0, where the gradient is infinite, and -inf below.",
    example=("ef.special.entr([0.0, 0.5, 1.0])", "Tensor([0.        , 0.34657359, 0.        ])"),
)  # fmt: skip
rel_entr = elementwise(
    "rel_entr", _rel_entr, scalar=_TERM,
    inputs="x y", infer=float_rule, flops=14, domain=((0.3, 2.0), (0.3, 2.0)),
    vjp=(
        lambda g, x, y: g * (log(_away(x, x, y) / _away(y, x, y)) + where((x == 0) & (y == 0), 0.0, 1.0)),
        lambda g, x, y: -(g * (x / _away(y, x, y))),
    ),
    doc="x log(x / y), element-wise: a term of a relative entropy; 0 where x is 0, infinite outside of x, y >= 0.\n\n"
    "Both gradients at (0, 0) are 0.",
    example=("ef.special.rel_entr([0.0, 0.5], [0.5, 0.25])", "Tensor([0.        , 0.34657359])"),
)  # fmt: skip
kl_div = elementwise(
    "kl_div", _kl_div, scalar=f"{_TERM} - x + y",
    inputs="x y", infer=float_rule, flops=16, domain=((0.3, 2.0), (0.3, 2.0)),
    vjp=(
        lambda g, x, y: g * log(_away(x, x, y) / _away(y, x, y)),
        lambda g, x, y: g * (1 - _away(x, x, y) / _away(y, x, y)),
    ),
    doc="x log(x / y) - x + y, element-wise: a term of a Kullback-Leibler divergence that is never negative.\n\n"
    "Both gradients at (0, 0) are 0.",
    example=("ef.special.kl_div([0.0, 0.5], [0.5, 0.25])", "Tensor([0.5       , 0.09657359])"),
)  # fmt: skip


@quietly
def _logit(xp: Any, x: Any) -> Any:
    # Around 1/2 the quotient is near 1, where its logarithm loses digits; 2x - 1 is exact there.
    middle = xp.abs(x - 0.5) < 0.25
    odds = xp.log(x / (1 - x))
    return xp.where(middle, 2 * xp.arctanh(xp.where(middle, 2 * x - 1, 0.0)), odds)


logit = elementwise(
    "logit", _logit, scalar="where(abs(x - 0.5) < 0.25, 2 * atanh(2 * x - 1), log(x / (1 - x)))",
    infer=float_rule, flops=14, domain=(0.1, 0.9), vjp=lambda g, x: g / (x * (1 - x)),
    doc="log(x / (1 - x)), element-wise, the inverse of `expit`: infinite at 0 and 1, NaN outside.",
    example=("ef.special.logit([0.5, 0.75])", "Tensor([0.        , 1.09861229])"),
)  # fmt: skip


# exprel, and its derivatives: ∫ tⁿ exp(xt) dt over t from 0 to 1.


@quietly
def _moment(xp: Any, x: Any, *, order: int) -> Any:
    # For x < 0, Kummer's transformation, after which all terms of the series have one sign.
    size = xp.minimum(xp.abs(x), 4.0 + order)
    rising: Any = xp.ones_like(size)
    falling: Any = xp.ones_like(size)
    up: Any = xp.ones_like(size) / (order + 1)
    down: Any = xp.ones_like(size) / (order + 1)
    for k in range(1, 40 + 2 * order):
        rising = rising * size / k
        up = up + rising / (order + 1 + k)
        falling = falling * size / (order + 1 + k)
        down = down + falling / (order + 1)
    series = xp.where(x < 0, xp.exp(-size) * down, up)
    far = xp.where(xp.abs(x) > 4.0 + order, x, 1.0)
    value = xp.expm1(far) / far
    for n in range(1, order + 1):
        value = (xp.exp(far) - n * value) / far
    value = xp.where(xp.isposinf(x), xp.inf, xp.where(xp.isneginf(x), 0.0, value))
    return xp.where(xp.abs(x) > 4.0 + order, value, series)


def _sample_moment(draw: Draw) -> Sample:
    return Sample((draw.array(draw.shape(), -6.0, 6.0),), {"order": draw.integer(0, 2)})


_exponential_moment = Op(
    "exponential_moment",
    _moment,
    inputs="x",
    infer=lambda x, *, order: float_rule(x),
    sample=_sample_moment,
    vjp=lambda g, x, order: g * _exponential_moment(x, order=order + 1),
    fusion="elementwise",
    flops=200,
)


def exprel(x: Any, /) -> Tensor:
    """Return ``(exp(x) - 1) / x``, element-wise, and 1 at 0.

    Parameters
    ----------
    x : array_like
        Input.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.exprel([0.0, 1.0])
    Tensor([1.        , 1.71828183])
    """
    result: Tensor = _exponential_moment(x, order=0)
    return result
