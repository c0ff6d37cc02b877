"""Arithmetic, element-wise: sums, products, powers and signs."""

from __future__ import annotations

import cmath
import math
import operator
from typing import Any

import numpy as np

from eagerflow.core import Op, Sample, Tensor, binary, convert, implements
from eagerflow.core.sampling import Draw
from eagerflow.ops.declare import elementwise, ufunc_rule
from eagerflow.ops.elementwise.complex import conj
from eagerflow.ops.elementwise.exponential import log
from eagerflow.ops.elementwise.selection import where

__all__ = [
    "abs",
    "absolute",
    "add",
    "cbrt",
    "copysign",
    "divide",
    "divmod",
    "fabs",
    "float_power",
    "floor_divide",
    "fmod",
    "hypot",
    "mod",
    "multiply",
    "negative",
    "nextafter",
    "positive",
    "pow",
    "power",
    "reciprocal",
    "remainder",
    "sign",
    "sqrt",
    "square",
    "subtract",
    "true_divide",
]

add = elementwise(
    "add", scalar="x + y", vjp=(lambda g: g, lambda g: g), inputs="x y", onnx="Add", kinds="fc",
    doc="x + y, element-wise.", example=("ef.add([1.0, 2.0], 3.0)", "Tensor([4., 5.])"),
)  # fmt: skip
subtract = elementwise(
    "subtract", scalar="x - y", vjp=(lambda g: g, lambda g: -g), inputs="x y", onnx="Sub", kinds="fc",
    doc="x - y, element-wise.", example=("ef.subtract([1.0, 2.0], 3.0)", "Tensor([-2., -1.])"),
)  # fmt: skip
multiply = elementwise(
    "multiply", scalar="x * y", vjp=(lambda g, y: g * y, lambda g, x: g * x), inputs="x y", onnx="Mul", kinds="fc",
    doc="x * y, element-wise.", example=("ef.multiply([1.0, 2.0], 3.0)", "Tensor([3., 6.])"),
)  # fmt: skip
divide = elementwise(
    "divide", scalar="x / y",
    vjp=(lambda g, y: g / y, lambda g, y, out: g * (-out / y)), inputs="x y", onnx="Div", kinds="fc",
    domain=((-2, 2), (0.5, 2)),
    doc="x / y, element-wise; integers give floating point.",
    example=("ef.divide([1.0, 2.0], 4.0)", "Tensor([0.25, 0.5 ])"),
)  # fmt: skip
true_divide = divide
negative = elementwise(
    "negative", scalar="-x", vjp=lambda g: -g, onnx="Neg", kinds="fc",
    doc="-x, element-wise.", example=("ef.negative([1.0, -2.0])", "Tensor([-1.,  2.])"),
)  # fmt: skip
positive = elementwise(
    "positive", scalar="x", vjp=lambda g: g, onnx="Identity", kinds="fc", flops=0,
    doc="+x, element-wise.", example=("ef.positive([1.0, -2.0])", "Tensor([ 1., -2.])"),
)  # fmt: skip
reciprocal = elementwise(
    "reciprocal", scalar="1 / x", vjp=lambda g, out: g * -(out * out), onnx="Reciprocal", kinds="fc", domain=(0.5, 2),
    doc="1 / x, element-wise; of integers an integer.", example=("ef.reciprocal([1.0, 4.0])", "Tensor([1.  , 0.25])"),
)  # fmt: skip
square = elementwise(
    "square", scalar="x * x", vjp=lambda g, x: g * (x + x), kinds="fc",
    doc="x * x, element-wise.", example=("ef.square([1.0, -3.0])", "Tensor([1., 9.])"),
)  # fmt: skip
sqrt = elementwise(
    "sqrt", scalar="sqrt(x)", vjp=lambda g, out: g / (out + out), onnx="Sqrt", kinds="fc", domain=(0.2, 2), flops=4,
    doc="Square root, element-wise. Its gradient at 0 is infinite.",
    example=("ef.sqrt([1.0, 9.0])", "Tensor([1., 3.])"),
)  # fmt: skip
cbrt = elementwise(
    "cbrt", scalar="cbrt(x)", vjp=lambda g, out: g / (3 * out * out), domain=(0.2, 2), flops=10,
    doc="Cube root, element-wise. Its gradient at 0 is infinite.",
    example=("ef.cbrt([1.0, -27.0])", "Tensor([ 1., -3.])"),
)  # fmt: skip


# Quotients and their remainders.

floor_divide = elementwise(
    "floor_divide", scalar="floor_divide(x, y)",
    vjp=(lambda g: g * 0, lambda g: g * 0), inputs="x y", domain=((0.1, 0.6), (0.7, 2)),
    doc="The largest integer not above x / y, element-wise. Its gradient is zero.",
    example=("ef.floor_divide([7.0, -7.0], 2.0)", "Tensor([ 3., -4.])"),
)  # fmt: skip
remainder = elementwise(
    "remainder", scalar="remainder(x, y)",
    vjp=(lambda g: g, lambda g, x, y: g * -floor_divide(x, y)), inputs="x y", onnx="Mod", flops=4,
    domain=((2.1, 2.2), (0.75, 1.0)),
    doc="x - y * floor_divide(x, y), element-wise: what is left, with the sign of y.",
    example=("ef.remainder([7.0, -7.0], 4.0)", "Tensor([3., 1.])"),
)  # fmt: skip
mod = remainder


def _towards_zero(g: Tensor, x: Any, y: Any) -> Tensor:
    quotient: Tensor = x / y
    return g * where(quotient < 0, floor_divide(-x, y), -floor_divide(x, y))


fmod = elementwise(
    "fmod", scalar="fmod(x, y)",
    vjp=(lambda g: g, _towards_zero), inputs="x y", flops=4, domain=((-2.2, -2.1), (0.75, 1.0)),
    doc="What is left of x after division by y, with the sign of x, element-wise.",
    example=("ef.fmod([7.0, -7.0], 4.0)", "Tensor([ 3., -3.])"),
)  # fmt: skip


@implements(np.divmod)
def divmod(x: Any, y: Any, /) -> tuple[Tensor, Tensor]:
    """Return quotient and remainder, element-wise.

    Parameters
    ----------
    x, y : array_like
        Dividend and divisor.

    Returns
    -------
    tuple of Tensor
        ``floor_divide(x, y)`` and ``remainder(x, y)``.

    Raises
    ------
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.divmod([7.0, -7.0], 4.0)
    (Tensor([ 1., -2.]), Tensor([3., 1.]))
    """
    return floor_divide(x, y), remainder(x, y)


# Powers.

_SCALARS = (bool, int, float, complex)


def _base_gradient(g: Tensor, x: Any, y: Any) -> Tensor:
    if isinstance(y, _SCALARS):
        if y == 2:
            return g * (x + x)
        if y == 0:
            return g * 0
        return g if y == 1 else g * (y * pow(x, y - 1))
    # At 0 ** 0 the derivative is 0, not 0 * 0 ** -1.
    exponent = where((x == 0) & (y == 0), 1, y - 1)
    return g * (y * pow(x, exponent))


def _exponent_gradient(g: Tensor, x: Any, out: Tensor) -> Tensor:
    if isinstance(x, complex):
        return g * (out * (cmath.log(x) if x else 0))
    if isinstance(x, bool | int | float):
        return g * (out * (math.log(x) if x > 0 else 0))
    usable = x != 0 if x.dtype.kind == "c" or out.dtype.kind == "c" else x > 0
    return g * (out * log(where(usable, x, 1)))


def _sample_power(draw: Draw) -> Sample:
    shape = draw.shape()
    x, y = draw.array(shape, 0.5, 2), draw.array(draw.broadcastable(shape))
    return Sample(draw.choice([(x, y), (np.asarray(y + 3), x), (x, 3), (x, 2), (x, -0.5), (1.5, x), (x, 0)]))


_power = Op(
    "pow",
    "power",
    inputs="x y",
    infer=ufunc_rule("power"),
    sample=_sample_power,
    vjp=(_base_gradient, _exponent_gradient),
    fusion="elementwise",
    flops=20,
    scalar="x ** y",
    onnx="Pow",
    kinds="fc",
)
# NumPy's operator computes squares and roots faster than its function does.
_power.register_kernel("cpu", operator.pow)


def _power_of_others(op: Op, x: Any, y: Any) -> Any:
    # Python's own power differs from NumPy's: of two scalars one must become an array.
    return op(convert(x) if isinstance(x, _SCALARS) and isinstance(y, _SCALARS) else x, y)


pow: Any = binary(_power, _power_of_others)
pow.op = _power
pow.__name__ = pow.__qualname__ = "pow"
pow.__doc__ = """x ** y, element-wise.

The gradient for the exponent is taken as zero where the base is not positive; that for the base
is zero at ``0 ** 0``.

Parameters
----------
x, y : array_like
    Base and exponent; their shapes broadcast.

Returns
-------
Tensor
    Of the shape that the inputs broadcast to.

Raises
------
ShapeError
    The shapes do not broadcast, or integers have a negative exponent.

Examples
--------
>>> import eagerflow as ef
>>> ef.pow([1.0, 3.0], 2)
Tensor([1., 9.])
"""
power = implements(np.power)(pow)


@implements(np.float_power)
def float_power(x: Any, y: Any, /) -> Tensor:
    """Return x ** y, element-wise, in double precision even for integers.

    Parameters
    ----------
    x, y : array_like
        Base and exponent; their shapes broadcast.

    Returns
    -------
    Tensor
        float64 or complex128, of the shape that the inputs broadcast to.

    Raises
    ------
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.float_power([1, 2], -1)
    Tensor([1. , 0.5])
    """
    x, y = convert(x), convert(y)
    dtype = np.result_type(x.dtype, y.dtype, np.float64)
    return pow(convert(x, dtype), convert(y, dtype))


# Signs and magnitudes.


def _sign_gradient(g: Tensor, x: Tensor) -> Tensor:
    if x.dtype.kind != "c":
        return g * 0
    # z / |z|: moving along z changes nothing, only turning does.
    zero = x == 0
    unit = conj(sign(x))
    turned = (g - unit * unit * conj(g)) / (2 * where(zero, 1, abs(x)))
    return where(zero, 0, turned)


def _sign_forward(t: Tensor, x: Tensor, out: Tensor) -> Tensor:
    if x.dtype.kind != "c":
        return t * 0
    zero = x == 0
    return where(zero, 0, (t - out * out * conj(t)) / (2 * where(zero, 1, abs(x))))


sign = elementwise(
    "sign", scalar="sign(x)", vjp=_sign_gradient, jvp=_sign_forward, onnx="Sign", kinds="fc", domain=(0.3, 2),
    doc="-1, 0 or 1, as x is negative, zero or positive, element-wise; of complex numbers x / |x|.",
    example=("ef.sign([-2.0, 0.0, 3.0])", "Tensor([-1.,  0.,  1.])"),
)  # fmt: skip
abs = elementwise(
    "abs", "absolute", scalar="abs(x)",
    vjp=lambda g, x: g * (conj(sign(x)) if x.dtype.kind == "c" else sign(x)), onnx="Abs",
    kinds="fc", domain=(0.3, 2),
    doc="Magnitude, element-wise. Its gradient at 0 is 0.", example=("ef.abs([-2.0, 3.0])", "Tensor([2., 3.])"),
)  # fmt: skip
absolute = abs
fabs = elementwise(
    "fabs", scalar="abs(x)", vjp=lambda g, x: g * sign(x), onnx="Abs", domain=(0.3, 2),
    doc="Magnitude of real numbers in floating point, element-wise.",
    example=("ef.fabs([-2, 3])", "Tensor([2., 3.])"),
)  # fmt: skip
copysign = elementwise(
    "copysign", scalar="copysign(x, y)",
    vjp=(lambda g, x, y: g * (sign(x) * copysign(1.0, y)), lambda g: g * 0), inputs="x y",
    domain=((0.3, 2), (-2, -0.1)),
    doc="The magnitude of x with the sign of y, element-wise.",
    example=("ef.copysign([1.0, -2.0], -0.0)", "Tensor([-1., -2.])"),
)  # fmt: skip
nextafter = elementwise(
    "nextafter", inputs="x y", no_gradient="it steps to a neighbouring number",
    doc="The number next to x in the direction of y, element-wise.",
    example=("ef.nextafter(1.0, 2.0) > 1.0", "Tensor(True)"),
)  # fmt: skip


def _ratio(g: Tensor, side: Any, out: Tensor) -> Tensor:
    zero = out == 0
    return g * where(zero, 0, side / where(zero, 1, out))


hypot = elementwise(
    "hypot", scalar="hypot(x, y)",
    vjp=(lambda g, x, out: _ratio(g, x, out), lambda g, y, out: _ratio(g, y, out)), inputs="x y",
    domain=(0.3, 2), flops=8,
    doc="sqrt(x**2 + y**2) without overflow, element-wise. Its gradient at (0, 0) is 0.",
    example=("ef.hypot([3.0, 5.0], [4.0, 12.0])", "Tensor([ 5., 13.])"),
)  # fmt: skip
