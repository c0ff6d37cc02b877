"""The gamma function, its logarithm and derivatives, the beta function, and Hurwitz' zeta function.

Near 1 and 2 the logarithm of the gamma function is a Taylor series in values of the zeta function, which
keeps its digits where it is 0; for large arguments it is Stirling's series; the others follow by
recurrence and reflection (DLMF §5.5, §5.7, §5.11). The zeta function is summed by Euler and
Maclaurin's formula (DLMF §25.11).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, DTypeError
from eagerflow.ops.cupy_functions import use_on_cuda
from eagerflow.ops.declare import elementwise
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.precision import float_rule, quietly

__all__: list[str] = []

# Bernoulli's numbers B₂, B₄, …
_BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330,
    854513 / 138, -236364091 / 2730,
)  # fmt: skip
_EULER = 0.57721566490153286061


def _zeta_less_one(s: int) -> float:
    """Return ζ(s) - 1 for integers s from 2."""
    start = 20
    terms = [float(n) ** -s for n in range(2, start)]
    terms += [start ** (1.0 - s) / (s - 1), 0.5 * start ** -float(s)]
    rising = float(s)
    for j, bernoulli in enumerate(_BERNOULLI[:6], 1):
        terms.append(bernoulli / math.factorial(2 * j) * rising * start ** (1.0 - s - 2 * j))
        rising *= (s + 2 * j - 1) * (s + 2 * j)
    return math.fsum(terms)


# log Γ(2 + z) as a polynomial in z over z, for |z| <= 1/2; lowest power first.
_SERIES = (1 - _EULER, *[(-1) ** k * _zeta_less_one(k) / k for k in range(2, 29)])
# Of Stirling's series in 1/x, over 1/x, in 1/x²; and of that of the digamma function.
_STIRLING = tuple(b / (2 * k * (2 * k - 1)) for k, b in enumerate(_BERNOULLI[:10], 1))
_SLOPES = tuple(b / (2 * k) for k, b in enumerate(_BERNOULLI[:9], 1))
_LARGE = 10.0
_ROOT = 0.5 * math.log(2 * math.pi)


def _sum(x: Any, coefficients: Sequence[float]) -> Any:
    """Return a polynomial, the lowest power first."""
    value: Any = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


def _correction(x: Any) -> Any:
    """Return log Γ(x) without Stirling's leading terms; x is large."""
    inverse = 1.0 / x
    return inverse * _sum(inverse * inverse, _STIRLING)


def _positive(xp: Any, x: Any) -> Any:
    """Return log Γ(x) for positive x."""
    rest = xp.clip(x, 0.0, _LARGE)
    below = 0.0 - xp.log(xp.where(rest < 0.5, rest, 1.0))
    rest = xp.where(rest < 0.5, rest + 1.0, rest)
    product: Any = xp.ones_like(rest)
    for _ in range(8):
        above = rest > 2.5
        rest = xp.where(above, rest - 1.0, rest)
        product = xp.where(above, product * rest, product)
    low = rest < 1.5
    z = xp.where(low, rest - 1.0, rest - 2.0)
    small = z * _sum(z, _SERIES) - xp.where(low, xp.log1p(z), 0.0) + below + xp.log(product)
    large = xp.maximum(x, _LARGE)
    far = (large - 0.5) * (xp.log(large) - 1.0) + (_ROOT - 0.5 + _correction(large))
    return xp.where(x > _LARGE, far, small)


def _sine(xp: Any, x: Any) -> Any:
    """Return sin(πx), exactly 0 at integers."""
    nearest = xp.round(x)
    return xp.where(xp.fmod(nearest, 2.0) == 0, 1.0, -1.0) * xp.sin(math.pi * (x - nearest))


@quietly
def _lgamma(xp: Any, x: Any) -> Any:
    value = _positive(xp, xp.where(x < 0, 1.0 - x, x))
    reflected = math.log(math.pi) - xp.log(xp.abs(_sine(xp, x))) - value
    return xp.where(x < 0, xp.where(xp.isinf(x), xp.inf, reflected), value)


@quietly
def _gamma(xp: Any, x: Any) -> Any:
    size = xp.where(x < 0, 1.0 - x, x)
    rest = xp.minimum(size, 24.0)
    product: Any = xp.ones_like(rest)
    quotient: Any = xp.where(rest < 0.5, rest, 1.0)
    rest = xp.where(rest < 0.5, rest + 1.0, rest)
    for _ in range(22):
        above = rest > 2.5
        rest = xp.where(above, rest - 1.0, rest)
        product = xp.where(above, product * rest, product)
    low = rest < 1.5
    z = xp.where(low, rest - 1.0, rest - 2.0)
    small = product * xp.exp(z * _sum(z, _SERIES)) / xp.where(low, rest, 1.0) / quotient
    large = xp.maximum(size, 24.0)
    root = xp.power(large, 0.5 * large - 0.25)  # in two factors, since their product overflows later
    far = root * (xp.exp(-large) * math.sqrt(2 * math.pi)) * xp.exp(_correction(large)) * root
    value = xp.where(size > 24.0, xp.where(size < 180.0, far, xp.inf), small)
    sine = _sine(xp, x)
    reflected = xp.where(sine == 0, xp.nan, math.pi / (sine * value))
    return xp.where(x < 0, reflected, xp.where(xp.isnan(x), x, value))


@quietly
def _digamma(xp: Any, x: Any) -> Any:
    size = xp.where(x < 0, 1.0 - x, x)
    rest, total = size, xp.zeros_like(size)
    for _ in range(10):
        small = rest < _LARGE
        total = total - xp.where(small, 1.0 / rest, 0.0)
        rest = xp.where(small, rest + 1.0, rest)
    inverse = 1.0 / rest
    value = total + xp.log(rest) - 0.5 * inverse - inverse * inverse * _sum(inverse * inverse, _SLOPES)
    part = x - xp.round(x)
    reflected = xp.where(part == 0, xp.nan, value - math.pi / xp.tan(math.pi * part))
    return xp.where(x < 0, reflected, value)


_LOWEST = -10_000.0


@quietly
def _zeta(xp: Any, s: Any, q: Any) -> Any:
    total: Any = 0.0
    first = xp.power(q, -s)
    least = float(xp.min(xp.where(xp.isfinite(q), q, 10.0))) if q.size else 10.0
    for _ in range(10 + math.ceil(max(0.0, 10.0 - max(least, _LOWEST)))):
        total = total + xp.power(q, -s)
        q = q + 1.0
    power = xp.power(q, -s)
    total = total + power * (q / (s - 1.0) + 0.5)
    factor = s / q
    for j, bernoulli in enumerate(_BERNOULLI, 1):
        total = total + power * factor * (bernoulli / math.factorial(2 * j))
        factor = factor * ((s + (2 * j - 1)) / q) * ((s + 2 * j) / q)
    total = xp.where(xp.isposinf(q), 0.0, xp.where(xp.isposinf(s), first, total))
    return xp.where(s > 1, xp.where(q > 0, total, xp.nan), xp.where(s == 1, xp.inf, xp.nan))


_hurwitz = elementwise(
    "zeta", _zeta, inputs="x y", infer=float_rule, flops=200, domain=((1.5, 6.0), (0.5, 4.0)),
    vjp=("there is no closed form", lambda g, x, y: g * (-x * _hurwitz(x + 1, y))), doc="", example=("", ""),
)  # fmt: skip

gamma = elementwise(
    "gamma", _gamma, infer=float_rule, vjp=lambda g, x, out: g * (out * digamma(x)), flops=100,
    domain=(0.3, 4.0), doc="Gamma function, element-wise: (x - 1)! for integers; NaN at negative integers.",
    example=("ef.special.gamma([0.5, 5.0])", "Tensor([ 1.77245385, 24.        ])"),
)  # fmt: skip
use_on_cuda(_hurwitz.op, "zeta")  # type: ignore[attr-defined]
lgamma = elementwise(
    "lgamma", _lgamma, infer=float_rule, vjp=lambda g, x: g * digamma(x), flops=100, domain=(0.3, 4.0),
    doc="Logarithm of the absolute value of the gamma function, element-wise: infinite at 0 and negative integers.",
    example=("ef.special.lgamma([0.5, 100.0])", "Tensor([  0.57236494, 359.13420537])"),
)  # fmt: skip
digamma = elementwise(
    "digamma", _digamma, infer=float_rule, vjp=lambda g, x: g * _hurwitz(2.0, x), flops=60, domain=(0.3, 4.0),
    doc="Derivative of the logarithm of the gamma function, element-wise: NaN at negative integers.",
    example=("ef.special.digamma([1.0, 10.0])", "Tensor([-0.57721566,  2.25175259])"),
)  # fmt: skip
for _function, _name in ((gamma, "gamma"), (lgamma, "lgamma"), (digamma, "digamma")):
    _function.__name__ = _function.__qualname__ = _name


def zeta(x: Any, q: Any = None, /) -> Tensor:
    """Return Hurwitz' zeta function ``Σ (k + q)**-x`` over k = 0, 1, …, element-wise.

    Parameters
    ----------
    x : array_like
        Exponents: infinite at 1, NaN below.
    q : array_like, optional
        Start; without it 1, which gives Riemann's zeta function.

    Returns
    -------
    Tensor
        Of the shape that the inputs broadcast to.

    Raises
    ------
    ShapeError
        The shapes do not broadcast.

    Notes
    -----
    There is a gradient with respect to `q` only. Below ``q = -10000`` the result is NaN.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.zeta([2.0, 4.0])
    Tensor([1.64493407, 1.08232323])
    """
    result: Tensor = _hurwitz(x, 1.0 if q is None else q)
    return result


_MOST = 170  # factorials of larger numbers overflow


def polygamma(n: Any, x: Any, /) -> Tensor:
    """Return derivative number n of the digamma function, element-wise.

    Parameters
    ----------
    n : int or array_like of int
        Which derivative; 0 for the digamma function itself.
    x : array_like
        Input.

    Returns
    -------
    Tensor
        Of the shape that the inputs broadcast to.

    Raises
    ------
    DTypeError
        `n` holds no integers.
    ShapeError
        The shapes do not broadcast.
    ArgumentError
        A number `n` is negative, or above 170.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.polygamma(1, [1.0, 2.0])
    Tensor([1.64493407, 0.64493407])
    """
    if isinstance(n, int):
        if not 0 <= n <= _MOST:
            raise ArgumentError(f"polygamma: n counts derivatives, from 0 to {_MOST}, got {n}\n  at {user_line()}")
        result: Tensor = digamma(x) if n == 0 else _hurwitz(n + 1.0, x) * ((-1.0) ** (n + 1) * math.factorial(n))
        return result
    order, x = convert(n), convert(x)
    if order.dtype.kind not in "iu":
        raise DTypeError(f"polygamma: n holds integers, got {order.dtype}\n  at {user_line()}")
    one = (order + 1).astype(float_rule(x).dtype)
    return where(order == 0, digamma(x), (1 - 2 * (one % 2)) * -gamma(one) * -_hurwitz(one, x))


# The beta function.


@quietly
def _betaln(xp: Any, x: Any, y: Any) -> Any:
    low, high = xp.minimum(x, y), xp.maximum(x, y)
    plain = _lgamma(xp, low) + (_lgamma(xp, high) - _lgamma(xp, low + high))
    # log Γ(high) - log Γ(low + high) by Stirling's series, without the difference of large numbers.
    a, b = xp.where(low > 0, low, 1.0), xp.maximum(high, _LARGE)
    ratio, rest = xp.log1p(a / b), _correction(b) - _correction(a + b)
    one = _lgamma(xp, a) + a - (b - 0.5) * ratio - a * xp.log(a + b) + rest
    a = xp.maximum(a, _LARGE)
    ratio, rest = xp.log1p(a / b), _correction(b) - _correction(a + b)
    both = _ROOT - 0.5 * xp.log(b) - (a - 0.5) * xp.log1p(b / a) - b * ratio + _correction(a) + rest
    large = xp.where(low > _LARGE, both, one)
    return xp.where((low > 0) & (high > _LARGE), large, plain)


@quietly
def _beta(xp: Any, x: Any, y: Any) -> Any:
    small = xp.abs(x) + xp.abs(y) < 100.0
    products = _gamma(xp, x) * _gamma(xp, y) / _gamma(xp, x + y)
    return xp.where(small, products, xp.exp(_betaln(xp, x, y)))


betaln = elementwise(
    "betaln", _betaln, inputs="x y", infer=float_rule, flops=300, domain=((0.3, 4.0), (0.3, 4.0)),
    vjp=(
        lambda g, x, y: g * (digamma(x) - digamma(x + y)),
        lambda g, x, y: g * (digamma(y) - digamma(x + y)),
    ),
    doc="Logarithm of the absolute value of the beta function, element-wise.",
    example=("ef.special.betaln(2.0, 1000.0)", "Tensor(-13.81651006)"),
)  # fmt: skip
beta = elementwise(
    "beta", _beta, inputs="x y", infer=float_rule, flops=300, domain=((0.3, 4.0), (0.3, 4.0)),
    vjp=(
        lambda g, x, y, out: g * (out * (digamma(x) - digamma(x + y))),
        lambda g, x, y, out: g * (out * (digamma(y) - digamma(x + y))),
    ),
    doc="Beta function Γ(x) Γ(y) / Γ(x + y), element-wise.",
    example=("ef.special.beta(2.0, 3.0)", "Tensor(0.08333333)"),
)  # fmt: skip
beta.__name__ = beta.__qualname__ = "beta"


_WIDEST = 1 << 16  # the terms are added one by one


def multigammaln(a: Any, d: int, /) -> Tensor:
    """Return the logarithm of the multivariate gamma function.

    Parameters
    ----------
    a : array_like
        Input, above ``(d - 1) / 2``.
    d : int
        Dimension, from 1.

    Returns
    -------
    Tensor
        Of the shape of `a`.

    Raises
    ------
    ArgumentError
        `d` is no positive integer.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.multigammaln([2.0, 3.0], 2)
    Tensor([0.45158271, 1.55019499])
    """
    if not isinstance(d, int | np.integer) or not 1 <= d <= _WIDEST:
        raise ArgumentError(f"multigammaln: d is an integer from 1 to {_WIDEST}, got {d!r}\n  at {user_line()}")
    x = convert(a)
    total: Tensor = lgamma(x)
    for j in range(1, int(d)):
        total = total + lgamma(x - j / 2)
    return total + d * (d - 1) / 4 * math.log(math.pi)


def factorial(n: Any, /) -> Tensor:
    """Return n!, as Γ(n + 1) also between integers; 0 of negative numbers.

    Parameters
    ----------
    n : array_like
        Input.

    Returns
    -------
    Tensor
        Floating point, of the shape of `n`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.factorial([0, 3, 5])
    Tensor([  1.,   6., 120.])
    """
    x = convert(n)
    inside = x >= 0
    return where(inside, gamma(where(inside, x, 0) + 1), 0.0)


def binom(n: Any, k: Any, /) -> Tensor:
    """Return the binomial coefficient "n choose k", also between integers.

    Parameters
    ----------
    n, k : array_like
        From how many how many are chosen; for other than ``0 <= k <= n`` 0.

    Returns
    -------
    Tensor
        Floating point, of the shape that the inputs broadcast to.

    Raises
    ------
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.binom(5, [0, 2, 6])
    Tensor([ 1., 10.,  0.])
    """
    n, k = convert(n), convert(k)
    inside = (k >= 0) & (k <= n)
    k = where(inside, k, 0)
    n = where(inside, n, 0)
    return where(inside, 1 / ((n + 1) * beta(n - k + 1, k + 1)), 0.0)
