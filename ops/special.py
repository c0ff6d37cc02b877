"""Special functions: the error function and its complement.

NumPy has none. These follow W. J. Cody, "Rational Chebyshev approximations for the error
function", Mathematics of Computation 23 (1969), 631-637, with a rational
function for each of three ranges of |x|.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eagerflow.core import Tensor
from eagerflow.ops.declare import elementwise, ufunc_rule
from eagerflow.ops.exponential import exp

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
_PIECE = 1 << 14


def floating(xp: Any, x: Any) -> Any:
    """Return `x` as an array of a floating-point dtype: integers become what NumPy's exp makes of them."""
    x = xp.asarray(x)
    if x.dtype.kind in "biu":
        return x.astype(np.exp.resolve_dtypes((x.dtype, None))[-1])
    return x


def in_pieces(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel for the CPU that takes large arrays piece by piece, so that temporaries stay in the cache."""

    def run(x: Any, **attrs: Any) -> Any:
        x = floating(np, x)
        if x.size <= _PIECE or not x.flags.c_contiguous:
            return kernel(np, x, **attrs)
        flat = x.reshape(-1)
        result = np.empty_like(flat)
        for start in range(0, flat.size, _PIECE):
            result[start : start + _PIECE] = kernel(np, flat[start : start + _PIECE], **attrs)
        return result.reshape(x.shape)

    return run


def single(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return `kernel` so that it computes in float32 what is in half precision."""

    def run(xp: Any, x: Any, **attrs: Any) -> Any:
        x = floating(xp, x)
        if x.dtype.itemsize < 4:
            return kernel(xp, x.astype(np.float32), **attrs).astype(x.dtype)
        return kernel(xp, x, **attrs)

    return run


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


def _tail(xp: Any, size: Any) -> Any:
    """Return erfc of values above `_BORDER`."""
    size = xp.minimum(size, 30.0)  # where erfc has long been 0
    value = _ratio(xp.minimum(size, 4.0), _MIDDLE)
    far = size > 4.0
    if far.any():
        inverse = 1.0 / size[far]
        square = inverse * inverse
        value[far] = (1 / math.sqrt(math.pi) - square * _ratio(square, _LARGE)) * inverse
    # exp(-x²) without the rounding of x²: the square of x to four bits is exact.
    coarse = xp.trunc(size * 16.0)
    coarse /= 16.0
    rest = coarse - size
    rest *= coarse + size
    value *= xp.exp(-coarse * coarse)
    value *= xp.exp(rest)
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
    "erf", _erf, infer=ufunc_rule("exp"), vjp=_bell, flops=30, onnx="Erf",
    doc="Error function 2/√π ∫₀ˣ exp(-t²) dt, element-wise; accurate to rounding (Cody, Math. Comp. 23, 1969).",
    example=("ef.erf([0.0, 1.0])", "Tensor([0.        , 0.84270079])"),
)  # fmt: skip
erfc = elementwise(
    "erfc", _erfc, infer=ufunc_rule("exp"), vjp=lambda g, x: -_bell(g, x), flops=30,
    doc="Complement 1 - erf(x) of the error function, element-wise, without loss of digits for large x.",
    example=("ef.erfc([0.0, 10.0])", "Tensor([1.00000000e+00, 2.08848758e-45])"),
)  # fmt: skip
erf.op.register_kernel("cpu", in_pieces(_erf))  # type: ignore[attr-defined]
erfc.op.register_kernel("cpu", in_pieces(_erfc))  # type: ignore[attr-defined]
