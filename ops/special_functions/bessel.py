"""Bessel functions. The modified ones of the first kind and of orders 0 and 1 are ours, the others SciPy's.

Ours are the power series, all of whose terms have one sign, and for large arguments Hankel's asymptotic
series (DLMF §10.25, §10.40); so their derivatives, which lead to higher orders, need no SciPy either.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Tensor, implements
from eagerflow.ops.elementwise.arithmetic import sign
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.precision import float_rule, quietly
from eagerflow.ops.special_functions.scipy_functions import declare

__all__ = ["i0"]


def _border(order: int) -> float:
    """Return from where on the asymptotic series is exact to rounding."""
    return 24.0 + order * order


@lru_cache(maxsize=64)
def _power_series(order: int) -> tuple[float, ...]:
    """Return the coefficients of I(x) / (x/2)ⁿ in x²/4, the lowest first."""
    square = _border(order) ** 2 / 4
    coefficients, term, total = [1 / math.factorial(order)], 1.0, 1.0
    k = 1
    while term > 1e-18 * total:
        term *= square / (k * (k + order))
        total += term
        coefficients.append(coefficients[-1] / (k * (k + order)))
        k += 1
    return tuple(coefficients)


@lru_cache(maxsize=64)
def _asymptotic_series(order: int) -> tuple[float, ...]:
    """Return the coefficients of I(x) √(2πx) exp(-x) in 1/x, the lowest first."""
    coefficients, scale = [1.0], 1.0
    k = 1
    while k < 45 and abs(coefficients[-1]) * scale > 1e-18:
        coefficients.append(-coefficients[-1] * (4 * order * order - (2 * k - 1) ** 2) / (8 * k))
        scale /= _border(order)
        k += 1
    return tuple(coefficients)


def _horner(x: Any, coefficients: tuple[float, ...]) -> Any:
    value: Any = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


@quietly
def _kernel(xp: Any, x: Any, *, order: int, scaled: bool) -> Any:
    size = xp.abs(x)
    near = xp.minimum(size, _border(order))
    half = near / 2
    small = half**order * _horner(half * half, _power_series(order))
    far = xp.maximum(size, _border(order))
    large = _horner(1.0 / far, _asymptotic_series(order)) / xp.sqrt(2 * math.pi * far)
    if scaled:
        value = xp.where(size > _border(order), large, small * xp.exp(-near))
    else:
        root = xp.exp(far / 2)  # in two factors, since their product overflows later
        value = xp.where(size > _border(order), xp.where(xp.isinf(size), xp.inf, large * root * root), small)
    return xp.where((x < 0) & (order % 2 == 1), -value, value)


def _sample(draw: Draw) -> Sample:
    x = draw.array(draw.shape(), 0.2, 6.0)
    return Sample((-x if draw.flag() else x,), {"order": draw.integer(0, 2), "scaled": draw.flag()})


def _slope(g: Tensor, x: Tensor, out: Tensor, order: int, scaled: bool) -> Tensor:
    above = _bessel_i(x, order=order + 1, scaled=scaled)
    slope = above if order == 0 else (_bessel_i(x, order=order - 1, scaled=scaled) + above) / 2
    return g * (slope - sign(x) * out if scaled else slope)


_bessel_i = Op(
    "bessel_i",
    _kernel,
    inputs="x",
    infer=lambda x, *, order, scaled: float_rule(x),
    sample=_sample,
    vjp=_slope,
    fusion="elementwise",
    flops=150,
)


@implements(np.i0)
def i0(x: Any, /) -> Tensor:
    """Return the modified Bessel function of the first kind and of order 0, element-wise.

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
    >>> ef.i0([0.0, 1.0])
    Tensor([1.        , 1.26606588])
    """
    result: Tensor = _bessel_i(x, order=0, scaled=False)
    return result


def i0e(x: Any, /) -> Tensor:
    """Return ``exp(-|x|) i0(x)``, element-wise, which does not overflow.

    Parameters
    ----------
    x : array_like
        Input. At 0, where the factor has a kink, the gradient is 0.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.i0e([0.0, 1000.0])
    Tensor([1.        , 0.01261724])
    """
    result: Tensor = _bessel_i(x, order=0, scaled=True)
    return result


def i1(x: Any, /) -> Tensor:
    """Return the modified Bessel function of the first kind and of order 1, element-wise.

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
    >>> ef.special.i1([0.0, 1.0])
    Tensor([0.        , 0.5651591])
    """
    result: Tensor = _bessel_i(x, order=1, scaled=False)
    return result


def i1e(x: Any, /) -> Tensor:
    """Return ``exp(-|x|) i1(x)``, element-wise, which does not overflow.

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
    >>> ef.special.i1e([0.0, 1000.0])
    Tensor([0.        , 0.01261093])
    """
    result: Tensor = _bessel_i(x, order=1, scaled=True)
    return result


# Bessel functions; their derivatives are those of the neighbouring orders. In the order there is none.

_OPEN = "there is no closed form of the derivative with respect to the order"
_ORDERS: dict[str, Any] = {"inputs": "x y", "domain": ((0.2, 3.0), (0.5, 4.0))}
_OF_ORDER = "of order x at y, element-wise. There is no gradient in the order."

jv = declare(
    "jv", f"Bessel function of the first kind {_OF_ORDER}",
    (_OPEN, lambda g, x, y: g * ((jv(x - 1, y) - jv(x + 1, y)) / 2)), "jv(0.5, 1.0) -> 0.67139671", **_ORDERS,
)  # fmt: skip
yv = declare(
    "yv", f"Bessel function of the second kind {_OF_ORDER}",
    (_OPEN, lambda g, x, y: g * ((yv(x - 1, y) - yv(x + 1, y)) / 2)), "yv(0.5, 1.0) -> -0.43109887", **_ORDERS,
)  # fmt: skip
iv = declare(
    "iv", f"Modified Bessel function of the first kind {_OF_ORDER}",
    (_OPEN, lambda g, x, y: g * ((iv(x - 1, y) + iv(x + 1, y)) / 2)), "iv(0.5, 1.0) -> 0.93767489", **_ORDERS,
)  # fmt: skip
ive = declare(
    "ive", f"Modified Bessel function of the first kind, times exp(-|y|), {_OF_ORDER}",
    (_OPEN, lambda g, x, y, out: g * ((ive(x - 1, y) + ive(x + 1, y)) / 2 - where(y < 0, -1.0, 1.0) * out)),
    "ive(0.5, 1.0) -> 0.34495131", **_ORDERS,
)  # fmt: skip
kv = declare(
    "kv", f"Modified Bessel function of the second kind {_OF_ORDER}",
    (_OPEN, lambda g, x, y: g * ((kv(x - 1, y) + kv(x + 1, y)) / -2)), "kv(0.5, 1.0) -> 0.4610685", **_ORDERS,
)  # fmt: skip
kve = declare(
    "kve", f"Modified Bessel function of the second kind, times exp(y), {_OF_ORDER}",
    (_OPEN, lambda g, x, y, out: g * (out - (kve(x - 1, y) + kve(x + 1, y)) / 2)), "kve(0.5, 1.0) -> 1.25331414",
    **_ORDERS,
)  # fmt: skip

_FIRST, _SECOND = "Bessel function of the first kind", "Bessel function of the second kind"
_OUT = (0.3, 6.0)


def _quotient(first: Any, x: Any) -> Any:
    """Return J₁(x) / x, which is 1/2 at 0."""
    zero = x == 0
    return where(zero, 0.5, first / where(zero, 1.0, x))


j0 = declare(
    "j0", f"{_FIRST} of order 0, element-wise.", lambda g, x: -(g * j1(x)),
    "j0([0.0, 1.0]) -> [1.        , 0.76519769]", domain=_OUT,
)  # fmt: skip
j1 = declare(
    "j1", f"{_FIRST} of order 1, element-wise.", lambda g, x, out: g * (j0(x) - _quotient(out, x)),
    "j1([0.0, 1.0]) -> [0.        , 0.44005059]", domain=_OUT,
)  # fmt: skip
y0 = declare(
    "y0", f"{_SECOND} of order 0, element-wise.", lambda g, x: -(g * y1(x)),
    "y0([0.5, 1.0]) -> [-0.44451873,  0.08825696]", domain=_OUT,
)  # fmt: skip
y1 = declare(
    "y1", f"{_SECOND} of order 1, element-wise.", lambda g, x, out: g * (y0(x) - out / x),
    "y1([0.5, 1.0]) -> [-1.47147239, -0.78121282]", domain=_OUT,
)  # fmt: skip
k0 = declare(
    "k0", f"Modified {_SECOND} of order 0, element-wise.", lambda g, x: -(g * k1(x)),
    "k0([0.5, 1.0]) -> [0.92441907, 0.42102444]", domain=_OUT,
)  # fmt: skip
k1 = declare(
    "k1", f"Modified {_SECOND} of order 1, element-wise.", lambda g, x, out: -(g * (k0(x) + out / x)),
    "k1([0.5, 1.0]) -> [1.65644112, 0.60190723]", domain=_OUT,
)  # fmt: skip
k0e = declare(
    "k0e", f"Modified {_SECOND} of order 0, times exp(x), element-wise.", lambda g, x, out: g * (out - k1e(x)),
    "k0e([0.5, 1.0]) -> [1.52410939, 1.14446308]", domain=_OUT,
)  # fmt: skip
k1e = declare(
    "k1e", f"Modified {_SECOND} of order 1, times exp(x), element-wise.",
    lambda g, x, out: g * (out - k0e(x) - out / x),
    "k1e([0.5, 1.0]) -> [2.73100971, 1.63615349]", domain=_OUT,
)  # fmt: skip
