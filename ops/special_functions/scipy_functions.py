"""Functions of SciPy as ops: incomplete gamma and beta functions, exponential integrals.

SciPy is imported when one of them is first called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from eagerflow.core import Draw, Op, Sample, Tensor
from eagerflow.errors import MissingExtraError
from eagerflow.ops.cupy_functions import special
from eagerflow.ops.declare import elementwise
from eagerflow.ops.elementwise.exponential import exp, log
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.elementwise.trigonometric import cos, sin
from eagerflow.ops.precision import float_rule, quietly
from eagerflow.ops.special_functions.gamma_functions import betaln, lgamma

__all__: list[str] = []


def _found(xp: Any, name: str) -> Callable[..., Any]:
    """Return SciPy's function, or CuPy's of that name."""
    if xp is not np:
        return cast("Callable[..., Any]", special(xp, name))
    try:
        import scipy.special
    except ImportError:
        raise MissingExtraError.of("SciPy", "scipy", f"ef.special.{name}") from None
    return cast("Callable[..., Any]", getattr(scipy.special, name))


def _lacks(*names: str) -> Callable[[Any], str | None]:
    """Return what says which function beside those of arrays a namespace has not."""
    return lambda xp: next((f"function {name!r}" for name in names if xp is not np and not special(xp, name)), None)


def _kernel(name: str) -> Callable[..., Any]:
    return quietly(lambda xp, *inputs, **attrs: _found(xp, name)(*inputs))


def declare(name: str, doc: str, vjp: Any, example: str, inputs: str = "x", **options: Any) -> Callable[..., Any]:
    """Declare the op for SciPy's function of the same name."""
    call, result = example.split(" -> ")
    return elementwise(
        name, options.pop("kernel", None) or _kernel(name), inputs=inputs, infer=float_rule, flops=100, vjp=vjp,
        lacks=options.pop("lacks", None) or _lacks(name),
        doc=f"{doc}\n\nIt needs SciPy: ``pip install 'eagerflow[scipy]'``.",
        example=(f"ef.special.{call}", f"Tensor({result})"), **options,
    )  # fmt: skip


# Incomplete gamma functions, of order x at y. In the order there is no closed form.


def _gamma_density(g: Tensor, x: Any, y: Tensor) -> Tensor:
    return g * exp((x - 1) * log(y) - y - lgamma(x))


_OPEN = "there is no closed form"
_INCOMPLETE: dict[str, Any] = {"inputs": "x y", "domain": ((0.6, 3.0), (0.3, 4.0))}
_NO_ORDER = "There is a gradient in the second argument only: in the first there is no closed form."

gammainc = declare(
    "gammainc", f"Lower incomplete gamma function of order x at y, divided by Γ(x), element-wise. {_NO_ORDER}",
    (_OPEN, _gamma_density), "gammainc(1.0, [0.0, 1.0]) -> [0.        , 0.63212056]", **_INCOMPLETE,
)  # fmt: skip
gammaincc = declare(
    "gammaincc", f"Upper incomplete gamma function of order x at y, divided by Γ(x), element-wise. {_NO_ORDER}",
    (_OPEN, lambda g, x, y: -_gamma_density(g, x, y)),
    "gammaincc(1.0, [0.0, 1.0]) -> [1.        , 0.36787944]", **_INCOMPLETE,
)  # fmt: skip
gammaincinv = declare(
    "gammaincinv", f"Inverse of `gammainc` in its second argument, element-wise. {_NO_ORDER}",
    (_OPEN, lambda g, x, out: g * exp(out + (1 - x) * log(out) + lgamma(x))),
    "gammaincinv(1.0, 0.5) -> 0.69314718", inputs="x y", domain=((0.6, 3.0), (0.1, 0.9)),
)  # fmt: skip
gammainccinv = declare(
    "gammainccinv", f"Inverse of `gammaincc` in its second argument, element-wise. {_NO_ORDER}",
    (_OPEN, lambda g, x, out: -(g * exp(out + (1 - x) * log(out) + lgamma(x)))),
    "gammainccinv(1.0, 0.5) -> 0.69314718", inputs="x y", domain=((0.6, 3.0), (0.1, 0.9)),
)  # fmt: skip


# Incomplete beta functions.


def _sample_beta(draw: Draw) -> Sample:
    shape = draw.shape()
    a, b = (draw.array(draw.broadcastable(shape), 0.6, 3.0) for _ in range(2))
    return Sample((a, b, draw.array(shape, 0.1, 0.9)))


def _beta_density(a: Any, b: Any, x: Any) -> Tensor:
    return exp((a - 1) * log(x) + (b - 1) * log(1 - x) - betaln(a, b))


def _of_three(name: str, vjp: Callable[..., Any]) -> Op:
    return Op(
        name, _kernel(name), inputs="a b x", infer=float_rule, sample=_sample_beta, vjp=(_OPEN, _OPEN, vjp),
        fusion="elementwise", flops=200, lacks=_lacks(name),
    )  # fmt: skip


_betainc = _of_three("betainc", lambda g, a, b, x: g * _beta_density(a, b, x))
_betaincinv = _of_three("betaincinv", lambda g, a, b, out: g / _beta_density(a, b, out))


def betainc(a: Any, b: Any, x: Any, /) -> Tensor:
    """Return the regularized incomplete beta function, element-wise. It needs SciPy.

    Parameters
    ----------
    a, b : array_like
        Parameters, above 0. In them there is no closed form of the derivative, and no gradient.
    x : array_like
        Input, from 0 to 1.

    Returns
    -------
    Tensor
        Of the shape that the inputs broadcast to; NaN outside of the domain.

    Raises
    ------
    MissingExtraError
        SciPy is not installed.
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.betainc(2.0, 2.0, [0.0, 0.5])
    Tensor([0. , 0.5])
    """
    result: Tensor = _betainc(a, b, x)
    return result


def betaincinv(a: Any, b: Any, y: Any, /) -> Tensor:
    """Return the inverse of `betainc` in its last argument, element-wise. It needs SciPy.

    Parameters
    ----------
    a, b : array_like
        Parameters, above 0; they have no gradient.
    y : array_like
        Input, from 0 to 1.

    Returns
    -------
    Tensor
        Of the shape that the inputs broadcast to; NaN outside of the domain.

    Raises
    ------
    MissingExtraError
        SciPy is not installed.
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.betaincinv(2.0, 2.0, 0.5)
    Tensor(0.5)
    """
    result: Tensor = _betaincinv(a, b, y)
    return result


# Exponential, sine and cosine integrals.


@quietly
def _expn_kernel(xp: Any, n: Any, x: Any) -> Any:
    # Below order 0, which derivatives lead to: E₋ₙ(x) = Γ(n + 1, x) / xⁿ⁺¹.
    order = xp.where(n < 0, 1 - n, 1)
    below = _found(xp, "gamma")(order) * _found(xp, "gammaincc")(order, x) / x**order
    return xp.where(n < 0, below, _found(xp, "expn")(xp.maximum(n, 0), x))


def _sample_orders(draw: Draw) -> Sample:
    shape = draw.shape()
    return Sample((draw.array(draw.broadcastable(shape), 0, 4, np.int64), draw.array(shape, 0.5, 4.0)))


exp1 = declare(
    "exp1", "Exponential integral ∫ exp(-t) / t dt over t from x, element-wise.",
    lambda g, x: -(g * (exp(-x) / x)), "exp1([0.5, 1.0]) -> [0.55977359, 0.21938393]", domain=(0.3, 4.0),
)  # fmt: skip
expi = declare(
    "expi", "Exponential integral ∫ exp(t) / t dt over t up to x (the principal value), element-wise.",
    lambda g, x: g * (exp(x) / x), "expi([0.5, 1.0]) -> [0.4542199 , 1.89511782]",
    domain=(0.3, 4.0),
)  # fmt: skip
expn = declare(
    "expn", "Exponential integral ∫ exp(-yt) / tˣ dt over t from 1, of integer order x at y, element-wise.\n\n"
    "There is no gradient in the order.",
    (_OPEN, lambda g, x, y: -(g * expn(x - 1, y))), "expn(2, [0.5, 1.0]) -> [0.32664386, 0.14849551]",
    inputs="x y", sample=_sample_orders, kernel=_expn_kernel, lacks=_lacks("expn", "gamma", "gammaincc"),
)  # fmt: skip
_sici = Op(
    "sici",
    _kernel("sici"),
    inputs="x",
    infer=lambda x: (float_rule(x),) * 2,
    sample=lambda draw: Sample((draw.array(draw.shape(), 0.3, 4.0),)),
    vjp=lambda g, x: (0 if g[0] is None else g[0] * (sin(x) / x)) + (0 if g[1] is None else g[1] * (cos(x) / x)),
    jvp=lambda t, x: (t * (sin(x) / x), t * (cos(x) / x)),
    batch="leading",
    outputs=2,
    lacks=_lacks("sici"),
    flops=100,
)


def sici(x: Any, /) -> tuple[Tensor, Tensor]:
    """Return the sine integral and the cosine integral, element-wise. It needs SciPy.

    Parameters
    ----------
    x : array_like
        Input.

    Returns
    -------
    sine, cosine : Tensor
        ``∫ sin(t) / t dt`` from 0 to x, and ``γ + log(x) + ∫ (cos(t) - 1) / t dt``.

    Raises
    ------
    MissingExtraError
        SciPy is not installed.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.sici(1.0)
    (Tensor(0.94608307), Tensor(0.33740392))
    """
    result: tuple[Tensor, Tensor] = _sici(x)
    return result


def _spence_slope(g: Tensor, x: Tensor) -> Tensor:
    off = where(x == 1, 0.0, x - 1)
    away = where(off == 0, 1.0, off)
    return g * where(off == 0, -1.0, -log(1 + away) / away)


spence = declare(
    "spence", "Spence's integral, the dilogarithm of 1 - x, element-wise: ∫ log(t) / (1 - t) dt over t from 1 to x.",
    _spence_slope, "spence([0.5, 1.0]) -> [0.58224053, 0.        ]", domain=(1.2, 3.0),
)  # fmt: skip
