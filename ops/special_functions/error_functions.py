"""The error function, its complement, their inverses, and the normal distribution.

NumPy has none of them. The error function follows W. J. Cody, "Rational Chebyshev approximations for
the error function", Mathematics of Computation 23 (1969), 631-637, with a rational function for each of
three ranges of |x|. The inverses follow M. J. Wichura, "Algorithm AS 241: the percentage points of the
normal distribution", Applied Statistics 37 (1988), 477-484, its form for 16 digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from eagerflow.core import Tensor
from eagerflow.ops.cupy_functions import use_on_cuda
from eagerflow.ops.declare import elementwise, ufunc_rule
from eagerflow.ops.elementwise.exponential import exp
from eagerflow.ops.precision import float_rule, in_pieces, quietly, single

__all__ = ["erf", "erfc"]

# Numerators and denominators, highest power first. |x| <= 0.46875, in x²:
_SMALL = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
# 0.46875 < |x| <= 4, in |x|:
_MIDDLE = (
    (
        2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
        2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
        3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
    ),
)  # fmt: skip
# |x| > 4, in 1 / x²:
_LARGE = (
    (
        1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
        1.60837851487422766e-2, 6.58749161529837803e-4,
    ),
    (
        1.0, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2,
        2.33520497626869185e-3,
    ),
)  # fmt: skip
_BORDER = 0.46875


def _ratio(x: Any, coefficients: tuple[Sequence[float], Sequence[float]]) -> Any:
    top, bottom = (_polynomial(x, item) for item in coefficients)
    top /= bottom
    return top


def _polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    value = x * coefficients[0]
    for coefficient in coefficients[1:-1]:
        value += coefficient
        value *= x
    value += coefficients[-1]
    return value


def _scaled_tail(xp: Any, size: Any) -> Any:
    """Return exp(x²) erfc(x) of values above `_BORDER`."""
    value = _ratio(xp.minimum(size, 4.0), _MIDDLE)
    far = size > 4.0
    if xp is not np:  # whether there are any is known on the device alone: to ask would wait for it
        return xp.where(far, _far_tail(xp.maximum(size, 4.0)), value)
    if far.any():
        value[far] = _far_tail(size[far])
    return value


def _far_tail(size: Any) -> Any:
    inverse = 1.0 / size
    square = inverse * inverse
    return (1 / math.sqrt(math.pi) - square * _ratio(square, _LARGE)) * inverse


def _square(xp: Any, size: Any) -> tuple[Any, Any]:
    """Return x² in two parts, the first exact: the exponential of x² would multiply its rounding."""
    coarse = xp.trunc(size * 16.0)
    coarse /= 16.0
    rest = size - coarse
    rest *= coarse + size
    return coarse * coarse, rest


def _tail(xp: Any, size: Any) -> Any:
    """Return erfc of values above `_BORDER`."""
    size = xp.minimum(size, 30.0)  # where erfc has long been 0
    value = _scaled_tail(xp, size)
    square, rest = _square(xp, size)
    value *= xp.exp(-square)
    value *= xp.exp(-rest)
    return value


def _center(xp: Any, x: Any, size: Any) -> Any:
    """Return erf of values up to `_BORDER`; of others something finite."""
    square = xp.minimum(size, _BORDER)
    square *= square
    return x * _ratio(square, _SMALL)


@single
def _erf(xp: Any, x: Any) -> Any:
    shape, x = x.shape, x.reshape(-1)
    size = xp.abs(x)
    tail = _tail(xp, size)
    xp.subtract(1.0, tail, out=tail)
    return xp.where(size > _BORDER, xp.copysign(tail, x), _center(xp, x, size)).reshape(shape)


@single
def _erfc(xp: Any, x: Any) -> Any:
    shape, x = x.shape, x.reshape(-1)
    size = xp.abs(x)
    tail = _tail(xp, size)
    tail = xp.where(x < 0, 2.0 - tail, tail)
    return xp.where(size > _BORDER, tail, 1.0 - _center(xp, x, size)).reshape(shape)


_SLOPE = 2 / math.sqrt(math.pi)


def _bell(g: Tensor, x: Tensor) -> Tensor:
    return g * (exp(-(x * x)) * _SLOPE)


erf = elementwise(
    "erf", _erf, scalar="erf(x)", infer=ufunc_rule("exp"), vjp=_bell, flops=30, onnx="Erf",
    doc="Error function 2/√π ∫₀ˣ exp(-t²) dt, element-wise; accurate to rounding (Cody, Math. Comp. 23, 1969).",
    example=("ef.erf([0.0, 1.0])", "Tensor([0.        , 0.84270079])"),
)  # fmt: skip
erfc = elementwise(
    "erfc", _erfc, scalar="erfc(x)", infer=ufunc_rule("exp"), vjp=lambda g, x: -_bell(g, x), flops=30,
    doc="Complement 1 - erf(x) of the error function, element-wise, without loss of digits for large x.",
    example=("ef.erfc([0.0, 10.0])", "Tensor([1.00000000e+00, 2.08848758e-45])"),
)  # fmt: skip
erf.op.register_kernel("cpu", in_pieces(_erf))  # type: ignore[attr-defined]
erfc.op.register_kernel("cpu", in_pieces(_erfc))  # type: ignore[attr-defined]
use_on_cuda(erf.op, "erf")  # type: ignore[attr-defined]
use_on_cuda(erfc.op, "erfc")  # type: ignore[attr-defined]


# Scaled by exp(x²).


@quietly
def _erfcx(xp: Any, x: Any) -> Any:
    shape, x = x.shape, x.reshape(-1)
    size = xp.abs(x)
    square, rest = _square(xp, xp.minimum(size, 30.0))
    growth = xp.where(size < 30.0, xp.exp(square) * xp.exp(rest), xp.inf)
    value = xp.where(size > _BORDER, _scaled_tail(xp, size), growth * (1.0 - _center(xp, size, size)))
    return xp.where(x < 0, 2.0 * growth - value, value).reshape(shape)


def _scaled_slope(g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    return g * (2 * x * out - _SLOPE)


erfcx = elementwise(
    "erfcx", _erfcx, infer=float_rule, vjp=_scaled_slope, flops=30,
    doc="exp(x²) erfc(x), element-wise: it does not underflow for large x.",
    example=("ef.special.erfcx([0.0, 100.0])", "Tensor([1.        , 0.00564161])"),
)  # fmt: skip


# Inverses. Numerators and denominators, highest power first. |p - 1/2| <= 0.425, in 0.425² - (p - 1/2)²:
_CENTRAL = (
    (
        2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
        1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080,
    ),
    (
        5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
        5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0,
    ),
)  # fmt: skip
# Up to 5, in r - 1.6 with r = √(-log p):
_OUTER = (
    (
        7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258,
        3.64784832476320460504, 5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734,
    ),
    (
        1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
        6.89767334985100004550e-1, 1.67638483018380384940, 2.05319162663775882187, 1.0,
    ),
)  # fmt: skip
# Above, in r - 5:
_FAR = (
    (
        2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
        2.96560571828504891230e-1, 1.78482653991729133580, 5.46378491116411436990, 6.65790464350110377720,
    ),
    (
        2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
        1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0,
    ),
)  # fmt: skip
_WIDE = 0.425


def _quantile(xp: Any, offset: Any, smaller: Any) -> Any:
    """Return x with Φ(x) = p, from p - 1/2 and the smaller one of p and 1 - p, each as exact as can be."""
    central = offset * _ratio(_WIDE * _WIDE - xp.minimum(offset * offset, _WIDE * _WIDE), _CENTRAL)
    r = xp.sqrt(-xp.log(smaller))
    outer = _ratio(xp.clip(r, 1.6, 5.0) - 1.6, _OUTER)
    far = _ratio(xp.clip(r, 5.0, 40.0) - 5.0, _FAR)
    tail = xp.copysign(xp.where(r <= 5.0, outer, far), offset)
    value = xp.where(xp.abs(offset) <= _WIDE, central, tail)
    value = xp.where(smaller == 0, xp.copysign(xp.inf, offset), value)
    return xp.where(smaller >= 0, value, xp.nan)


_HALF = math.sqrt(0.5)


@quietly
def _erfinv(xp: Any, x: Any) -> Any:
    return _quantile(xp, x / 2, (1 - xp.abs(x)) / 2) * _HALF


@quietly
def _erfcinv(xp: Any, x: Any) -> Any:
    return _quantile(xp, (1 - x) / 2, xp.minimum(x, 2 - x) / 2) * _HALF


@quietly
def _ndtri(xp: Any, x: Any) -> Any:
    return _quantile(xp, x - 0.5, xp.minimum(x, 1 - x))


erfinv = elementwise(
    "erfinv", _erfinv, infer=float_rule, vjp=lambda g, out: g * (exp(out * out) * (1 / _SLOPE)), flops=40,
    domain=(-0.95, 0.95),
    doc="Inverse of `erf`, element-wise: infinite at -1 and 1, NaN outside; accurate to rounding (Wichura, 1988).",
    example=("ef.special.erfinv([0.0, 0.5])", "Tensor([0.        , 0.47693628])"),
)  # fmt: skip
erfcinv = elementwise(
    "erfcinv", _erfcinv, infer=float_rule, vjp=lambda g, out: g * (exp(out * out) * (-1 / _SLOPE)), flops=40,
    domain=(0.05, 1.95), doc="Inverse of `erfc`, element-wise: infinite at 0 and 2, NaN outside.",
    example=("ef.special.erfcinv([1.0, 1e-100])", "Tensor([ 0.       , 15.0655747])"),
)  # fmt: skip


# The standard normal distribution.

_DENSITY = 1 / math.sqrt(2 * math.pi)


@quietly
def _ndtr(xp: Any, x: Any) -> Any:
    return 0.5 * _erfc(xp, x * -_HALF)


@quietly
def _log_ndtr(xp: Any, x: Any) -> Any:
    low = xp.minimum(x, -1.0)
    lower = xp.log(0.5 * _erfcx(xp, low * -_HALF)) - 0.5 * low * low
    upper = xp.log1p(-0.5 * _erfc(xp, xp.maximum(x, -1.0) * _HALF))
    return xp.where(x < -1.0, lower, upper)


ndtr = elementwise(
    "ndtr", _ndtr, infer=float_rule, vjp=lambda g, x: g * (exp(x * x * -0.5) * _DENSITY), flops=30,
    doc="Probability that a standard normal variable is at most x, element-wise.",
    example=("ef.special.ndtr([0.0, 1.0])", "Tensor([0.5       , 0.84134475])"),
)  # fmt: skip
ndtri = elementwise(
    "ndtri", _ndtri, infer=float_rule, vjp=lambda g, out: g * (exp(out * out * 0.5) * (1 / _DENSITY)), flops=40,
    domain=(0.05, 0.95), doc="Quantile of the standard normal distribution, the inverse of `ndtr`, element-wise: "
    "infinite at 0 and 1, NaN outside.",
    example=("ef.special.ndtri([0.5, 0.975])", "Tensor([0.        , 1.95996398])"),
)  # fmt: skip
log_ndtr = elementwise(
    "log_ndtr", _log_ndtr, infer=float_rule, flops=40,
    vjp=lambda g, x: g / (erfcx(x * -_HALF) * math.sqrt(math.pi / 2)),
    doc="Logarithm of `ndtr`, element-wise, without underflow.",
    example=("ef.special.log_ndtr([0.0, -100.0])", "Tensor([-6.93147181e-01, -5.00552421e+03])"),
)  # fmt: skip
