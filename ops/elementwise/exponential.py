"""Exponentials and logarithms, element-wise."""

from __future__ import annotations

import math
from typing import Any

from eagerflow.core import Tensor
from eagerflow.ops.declare import elementwise
from eagerflow.ops.elementwise.selection import where

__all__ = ["exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "logaddexp", "logaddexp2"]

_LN2 = math.log(2)
_LN10 = math.log(10)

exp = elementwise(
    "exp", scalar="exp(x)", vjp=lambda g, out: g * out, onnx="Exp", kinds="fc", flops=10,
    doc="e ** x, element-wise.", example=("ef.exp([0.0, 1.0])", "Tensor([1.        , 2.71828183])"),
)  # fmt: skip
exp2 = elementwise(
    "exp2", scalar="exp2(x)", vjp=lambda g, out: g * (out * _LN2), kinds="fc", flops=10,
    doc="2 ** x, element-wise.", example=("ef.exp2([0.0, 3.0])", "Tensor([1., 8.])"),
)  # fmt: skip
expm1 = elementwise(
    "expm1", scalar="expm1(x)", vjp=lambda g, x: g * exp(x), kinds="fc", flops=10,
    doc="e ** x - 1, precise for small x, element-wise.",
    example=("ef.expm1([0.0, 1e-12])", "Tensor([0.e+00, 1.e-12])"),
)  # fmt: skip
log = elementwise(
    "log", scalar="log(x)", vjp=lambda g, x: g / x, onnx="Log", kinds="fc", domain=(0.3, 2), flops=10,
    doc="Natural logarithm, element-wise.", example=("ef.log([1.0, 10.0])", "Tensor([0.        , 2.30258509])"),
)  # fmt: skip
log2 = elementwise(
    "log2", scalar="log2(x)", vjp=lambda g, x: g / (x * _LN2), kinds="fc", domain=(0.3, 2), flops=10,
    doc="Logarithm to base 2, element-wise.", example=("ef.log2([1.0, 8.0])", "Tensor([0., 3.])"),
)  # fmt: skip
log10 = elementwise(
    "log10", scalar="log10(x)", vjp=lambda g, x: g / (x * _LN10), kinds="fc", domain=(0.3, 2), flops=10,
    doc="Logarithm to base 10, element-wise.", example=("ef.log10([1.0, 1000.0])", "Tensor([0., 3.])"),
)  # fmt: skip
log1p = elementwise(
    "log1p", scalar="log1p(x)", vjp=lambda g, x: g / (1 + x), kinds="fc", domain=(-0.6, 2), flops=10,
    doc="log(1 + x), precise for small x, element-wise.",
    example=("ef.log1p([0.0, 1e-12])", "Tensor([0.e+00, 1.e-12])"),
)  # fmt: skip


def _part(g: Tensor, x: Any, out: Tensor, power: Any) -> Tensor:
    # -inf + -inf: both are nothing, and nothing flows back to them.
    return g * power(x - where(out == -math.inf, 0.0, out))


logaddexp = elementwise(
    "logaddexp", scalar="where(x == y, x + 0.6931471805599453, maximum(x, y) + log1p(exp(-abs(x - y))))",
    inputs="x y", flops=25,
    vjp=(lambda g, x, out: _part(g, x, out, exp), lambda g, y, out: _part(g, y, out, exp)),
    doc="log(exp(x) + exp(y)) without overflow, element-wise.",
    example=("ef.logaddexp(1000.0, 1000.0)", "Tensor(1000.69314718)"),
)  # fmt: skip
logaddexp2 = elementwise(
    "logaddexp2", scalar="where(x == y, x + 1, maximum(x, y) + log1p(exp2(-abs(x - y))) * 1.4426950408889634)",
    inputs="x y", flops=25,
    vjp=(lambda g, x, out: _part(g, x, out, exp2), lambda g, y, out: _part(g, y, out, exp2)),
    doc="log2(2**x + 2**y) without overflow, element-wise.",
    example=("ef.logaddexp2(2000.0, 2000.0)", "Tensor(2001.)"),
)  # fmt: skip
