"""Trigonometric and hyperbolic functions, element-wise. Angles are in radians."""

from __future__ import annotations

import math
from typing import Any

from eagerflow.core import Spec, Tensor
from eagerflow.ops.declare import elementwise, ufunc_rule
from eagerflow.ops.elementwise.arithmetic import abs, sqrt
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.precision import is_low

__all__ = [
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "rad2deg",
    "radians",
    "sin",
    "sinc",
    "sinh",
    "tan",
    "tanh",
]

_PI = math.pi

sin = elementwise(
    "sin", scalar="sin(x)", vjp=lambda g, x: g * cos(x), onnx="Sin", kinds="fc", flops=10,
    doc="Sine, element-wise.", example=("ef.sin([0.0, 1.0])", "Tensor([0.        , 0.84147098])"),
)  # fmt: skip
cos = elementwise(
    "cos", scalar="cos(x)", vjp=lambda g, x: g * -sin(x), onnx="Cos", kinds="fc", flops=10,
    doc="Cosine, element-wise.", example=("ef.cos([0.0, 1.0])", "Tensor([1.        , 0.54030231])"),
)  # fmt: skip
tan = elementwise(
    "tan", scalar="tan(x)",
    vjp=lambda g, out: g * (1 + out * out), onnx="Tan", kinds="fc", domain=(-1.2, 1.2), flops=15,
    doc="Tangent, element-wise.", example=("ef.tan([0.0, 1.0])", "Tensor([0.        , 1.55740772])"),
)  # fmt: skip
asin = elementwise(
    "asin", "arcsin", scalar="asin(x)",
    vjp=lambda g, x: g / sqrt(1 - x * x), onnx="Asin", kinds="fc", domain=(-0.8, 0.8), flops=15,
    doc="Inverse sine, element-wise.", example=("ef.asin([0.0, 1.0])", "Tensor([0.        , 1.57079633])"),
)  # fmt: skip
acos = elementwise(
    "acos", "arccos", scalar="acos(x)",
    vjp=lambda g, x: -g / sqrt(1 - x * x), onnx="Acos", kinds="fc", domain=(-0.8, 0.8), flops=15,
    doc="Inverse cosine, element-wise.", example=("ef.acos([1.0, 0.0])", "Tensor([0.        , 1.57079633])"),
)  # fmt: skip
atan = elementwise(
    "atan", "arctan", scalar="atan(x)",
    vjp=lambda g, x: g / (1 + x * x), onnx="Atan", kinds="fc", domain=(0.3, 2), flops=15,
    doc="Inverse tangent, element-wise.", example=("ef.atan([0.0, 1.0])", "Tensor([0.        , 0.78539816])"),
)  # fmt: skip
sinh = elementwise(
    "sinh", scalar="sinh(x)", vjp=lambda g, x: g * cosh(x), onnx="Sinh", kinds="fc", flops=15,
    doc="Hyperbolic sine, element-wise.", example=("ef.sinh([0.0, 1.0])", "Tensor([0.        , 1.17520119])"),
)  # fmt: skip
cosh = elementwise(
    "cosh", scalar="cosh(x)", vjp=lambda g, x: g * sinh(x), onnx="Cosh", kinds="fc", flops=15,
    doc="Hyperbolic cosine, element-wise.", example=("ef.cosh([0.0, 1.0])", "Tensor([1.        , 1.54308063])"),
)  # fmt: skip
tanh = elementwise(
    "tanh", scalar="tanh(x)",
    vjp=lambda g, out: g * (1 - out * out), onnx="Tanh", kinds="fc", domain=(-1.4, 1.4), flops=10,
    doc="Hyperbolic tangent, element-wise.", example=("ef.tanh([0.0, 1.0])", "Tensor([0.        , 0.76159416])"),
)  # fmt: skip
asinh = elementwise(
    "asinh", "arcsinh", scalar="asinh(x)",
    vjp=lambda g, x: g / sqrt(1 + x * x), onnx="Asinh", kinds="fc", domain=(0.3, 2), flops=15,
    doc="Inverse hyperbolic sine, element-wise.",
    example=("ef.asinh([0.0, 1.0])", "Tensor([0.        , 0.88137359])"),
)  # fmt: skip
acosh = elementwise(
    # Two roots, not that of x * x - 1: so it is precise near 1, and right on the whole complex plane.
    "acosh", "arccosh", scalar="acosh(x)", vjp=lambda g, x: g / (sqrt(x - 1) * sqrt(x + 1)), onnx="Acosh", kinds="fc",
    domain=(1.3, 3), flops=15,
    doc="Inverse hyperbolic cosine, element-wise.",
    example=("ef.acosh([1.0, 2.0])", "Tensor([0.       , 1.3169579])"),
)  # fmt: skip
atanh = elementwise(
    "atanh", "arctanh", scalar="atanh(x)",
    vjp=lambda g, x: g / (1 - x * x), onnx="Atanh", kinds="fc", domain=(-0.7, 0.7), flops=15,
    doc="Inverse hyperbolic tangent, element-wise.",
    example=("ef.atanh([0.0, 0.5])", "Tensor([0.        , 0.54930614])"),
)  # fmt: skip


def _turn(g: Tensor, x: Any, y: Any, side: Any) -> Tensor:
    """Return ``g * side / (x**2 + y**2)``; 0 at the origin, where an angle has no gradient."""
    squares = x * x + y * y
    zero = squares == 0
    return g * where(zero, 0.0, side / where(zero, 1, squares))


atan2 = elementwise(
    "atan2", "arctan2", scalar="atan2(x, y)",
    vjp=(lambda g, x, y: _turn(g, x, y, y), lambda g, x, y: _turn(g, x, y, -x)), inputs="x y",
    domain=(0.3, 2), flops=20,
    doc="The angle of the point whose height is x (the first argument) and whose width is y, element-wise.\n\n"
        "From -π to π. Its gradient at the origin is 0.",
    example=("ef.atan2([1.0, -1.0], [1.0, 0.0])", "Tensor([ 0.78539816, -1.57079633])"),
)  # fmt: skip
deg2rad = elementwise(
    "deg2rad", scalar="x * (pi / 180)", vjp=lambda g: g * (_PI / 180), numpy=("radians",),
    doc="Radians of an angle in degrees, element-wise.", example=("ef.deg2rad(180.0)", "Tensor(3.14159265)"),
)  # fmt: skip
rad2deg = elementwise(
    "rad2deg", scalar="x * (180 / pi)", vjp=lambda g: g * (180 / _PI), numpy=("degrees",),
    doc="Degrees of an angle in radians, element-wise.", example=("ef.rad2deg(ef.pi)", "Tensor(180.)"),
)  # fmt: skip


def _sinc_gradient(g: Tensor, x: Tensor) -> Tensor:
    # (cos(πx) - sinc(x)) / x cancels near 0: there the series, which gives higher orders too.
    near = abs(x) < 0.15
    s = where(near, x, 0.0) * _PI
    square = s * s
    total: Any = 0.0
    for k in range(8, 0, -1):
        total = total * square + (-1) ** k * 2 * k / math.factorial(2 * k + 1)
    far = where(near, 1.0, x)
    return g * where(near, total * s * _PI, (cos(far * _PI) - sinc(far)) / far)


def _sinc_kernel(xp: Any, x: Any) -> Any:
    value = xp.sinc(x)
    return value.astype(x.dtype) if is_low(x.dtype) else value  # NumPy makes float32 of bfloat16


def _sinc_rule(x: Any) -> Any:
    dtype = x.dtype if isinstance(x, Spec) else type(x)
    return ufunc_rule("sin")(Spec(getattr(x, "shape", ()), ufunc_rule("multiply")(Spec((), dtype), 1.0).dtype))


sinc = elementwise(
    "sinc", _sinc_kernel, scalar="where(x == 0, 1, sin(x * pi) / (x * pi))",
    vjp=_sinc_gradient, infer=_sinc_rule, flops=15, numpy=("sinc",),
    doc="sin(πx) / (πx), and 1 at 0, element-wise.",
    example=("ef.sinc([0.0, 0.5])", "Tensor([1.        , 0.63661977])"),
)  # fmt: skip

# NumPy's names for those that the array API standard calls otherwise.
arcsin, arccos, arctan, arctan2 = asin, acos, atan, atan2
arcsinh, arccosh, arctanh = asinh, acosh, atanh
radians, degrees = deg2rad, rad2deg
