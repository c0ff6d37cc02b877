"""Comparison, logic, bits and tests of numbers, element-wise."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, broadcast, convert, implements
from eagerflow.ops.checked import flag, guarded, number
from eagerflow.ops.declare import elementwise

__all__ = [
    "allclose",
    "array_equal",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "equal",
    "gcd",
    "greater",
    "greater_equal",
    "invert",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "lcm",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "right_shift",
    "signbit",
]

_BOOLEAN = "its result is boolean"
_INTEGER = "its result is an integer"

_compare = partial(elementwise, inputs="x y", no_gradient=_BOOLEAN, sample_dtype=np.int64)
_test = partial(elementwise, no_gradient=_BOOLEAN)
_integers = partial(elementwise, no_gradient=_INTEGER, sample_dtype=np.int64, domain=(0, 5))

equal = _compare(
    "equal", scalar="x == y", onnx="Equal", doc="Whether x == y, element-wise.",
    example=("ef.equal([1, 2], 2)", "Tensor([False,  True])"),
)  # fmt: skip
not_equal = _compare(
    "not_equal", scalar="x != y", doc="Whether x != y, element-wise.",
    example=("ef.not_equal([1, 2], 2)", "Tensor([ True, False])"),
)  # fmt: skip
less = _compare(
    "less", scalar="x < y", onnx="Less", doc="Whether x < y, element-wise.",
    example=("ef.less([1, 2], 2)", "Tensor([ True, False])"),
)  # fmt: skip
less_equal = _compare(
    "less_equal", scalar="x <= y", onnx="LessOrEqual", doc="Whether x <= y, element-wise.",
    example=("ef.less_equal([1, 2], 1)", "Tensor([ True, False])"),
)  # fmt: skip
greater = _compare(
    "greater", scalar="x > y", onnx="Greater", doc="Whether x > y, element-wise.",
    example=("ef.greater([1, 2], 1)", "Tensor([False,  True])"),
)  # fmt: skip
greater_equal = _compare(
    "greater_equal", scalar="x >= y", onnx="GreaterOrEqual", doc="Whether x >= y, element-wise.",
    example=("ef.greater_equal([1, 2], 2)", "Tensor([False,  True])"),
)  # fmt: skip

logical_and = _compare(
    "logical_and", scalar="logical_and(x, y)", onnx="And", doc="Whether both are true (not zero), element-wise.",
    example=("ef.logical_and([True, False], True)", "Tensor([ True, False])"),
)  # fmt: skip
logical_or = _compare(
    "logical_or", scalar="logical_or(x, y)", onnx="Or", doc="Whether one of them is true (not zero), element-wise.",
    example=("ef.logical_or([True, False], False)", "Tensor([ True, False])"),
)  # fmt: skip
logical_xor = _compare(
    "logical_xor", scalar="logical_xor(x, y)",
    onnx="Xor", doc="Whether exactly one of them is true (not zero), element-wise.",
    example=("ef.logical_xor([True, False], True)", "Tensor([False,  True])"),
)  # fmt: skip
logical_not = _test(
    "logical_not", scalar="logical_not(x)",
    onnx="Not", sample_dtype=np.bool_, doc="Whether x is false (zero), element-wise.",
    example=("ef.logical_not([True, False])", "Tensor([False,  True])"),
)  # fmt: skip

bitwise_and = _integers(
    "bitwise_and", scalar="x & y", inputs="x y", onnx="BitwiseAnd", doc="The bits that both integers or booleans have.",
    example=("ef.bitwise_and([5, 6], 3)", "Tensor([1, 2])"),
)  # fmt: skip
bitwise_or = _integers(
    "bitwise_or", scalar="x | y",
    inputs="x y", onnx="BitwiseOr", doc="The bits that one of the integers or booleans has.",
    example=("ef.bitwise_or([5, 6], 3)", "Tensor([7, 7])"),
)  # fmt: skip
bitwise_xor = _integers(
    "bitwise_xor", scalar="x ^ y",
    inputs="x y", onnx="BitwiseXor", doc="The bits that exactly one of the integers or booleans has.",
    example=("ef.bitwise_xor([5, 6], 3)", "Tensor([6, 5])"),
)  # fmt: skip
bitwise_invert = _integers(
    "bitwise_invert", "invert", scalar="~x", onnx="BitwiseNot", doc="The other bits of an integer; not x of a boolean.",
    example=("ef.bitwise_invert([5, -1])", "Tensor([-6,  0])"),
)  # fmt: skip
bitwise_left_shift = _integers(
    "bitwise_left_shift", "left_shift", inputs="x y", doc="x with its bits moved up by y: x * 2**y.",
    example=("ef.bitwise_left_shift([5, 6], 1)", "Tensor([10, 12])"),
)  # fmt: skip
bitwise_right_shift = _integers(
    "bitwise_right_shift", "right_shift", inputs="x y", doc="x with its bits moved down by y: x // 2**y.",
    example=("ef.bitwise_right_shift([5, 6], 1)", "Tensor([2, 3])"),
)  # fmt: skip
gcd = _integers(
    "gcd", inputs="x y", flops=20, doc="Greatest common divisor of two integers.",
    example=("ef.gcd([12, 7], 18)", "Tensor([6, 1])"),
)  # fmt: skip
lcm = _integers(
    "lcm", inputs="x y", flops=20, doc="Least common multiple of two integers.",
    example=("ef.lcm([12, 7], 18)", "Tensor([ 36, 126])"),
)  # fmt: skip

isfinite = _test(
    "isfinite", scalar="isfinite(x)", doc="Whether x is neither infinite nor NaN, element-wise.",
    example=('ef.isfinite([1.0, float("inf"), float("nan")])', "Tensor([ True, False, False])"),
)  # fmt: skip
isinf = _test(
    "isinf", scalar="isinf(x)", onnx="IsInf", doc="Whether x is infinite, element-wise.",
    example=('ef.isinf([1.0, float("inf"), float("nan")])', "Tensor([False,  True, False])"),
)  # fmt: skip
isnan = _test(
    "isnan", scalar="isnan(x)", onnx="IsNaN", doc="Whether x is not a number, element-wise.",
    example=('ef.isnan([1.0, float("inf"), float("nan")])', "Tensor([False, False,  True])"),
)  # fmt: skip
signbit = _test(
    "signbit", scalar="signbit(x)", doc="Whether the sign of x is negative, that of -0.0 included, element-wise.",
    example=("ef.signbit([1.0, -0.0])", "Tensor([False,  True])"),
)  # fmt: skip

# NumPy's names for those that the array API standard calls otherwise.
invert = bitwise_not = bitwise_invert
left_shift = bitwise_left_shift
right_shift = bitwise_right_shift


def _boolean(x: Any, y: Any, **attrs: Any) -> Spec:
    return Spec(broadcast(x, y), np.bool_)


def _sample_close(draw: Draw) -> Sample:
    shape = draw.shape()
    x = draw.array(shape)
    near = x + draw.rng.choice([0.0, 1e-12, 1.0], shape)
    return Sample((x, near), {"rtol": 1e-5, "atol": 1e-8, "equal_nan": draw.flag()})


_isclose = Op(
    "isclose",
    lambda xp, x, y, **tolerances: xp.isclose(x, y, **tolerances),
    inputs="x y",
    infer=_boolean,
    sample=_sample_close,
    no_gradient=_BOOLEAN,
    fusion="elementwise",
    flops=5,
)


@implements(np.isclose)
@guarded
def isclose(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Tell whether ``|x - y| <= atol + rtol * |y|``, element-wise.

    Parameters
    ----------
    x, y : array_like
        Numbers to compare; `y` is the reference.
    rtol, atol : float
        Relative and absolute tolerance.
    equal_nan : bool
        Whether NaN equals NaN.

    Returns
    -------
    Tensor
        Booleans of the shape that the inputs broadcast to.

    Raises
    ------
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.isclose([1.0, 2.0], [1.0 + 1e-9, 2.1])
    Tensor([ True, False])
    """
    rtol, atol = number(rtol, "isclose", "rtol"), number(atol, "isclose", "atol")
    return _isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)


@implements(np.allclose)
@guarded
def allclose(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Tell whether all elements are close; see `isclose`.

    Parameters
    ----------
    x, y : array_like
        Numbers to compare; `y` is the reference.
    rtol, atol : float
        Relative and absolute tolerance.
    equal_nan : bool
        Whether NaN equals NaN.

    Returns
    -------
    Tensor
        One boolean.

    Raises
    ------
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.allclose([1.0, 2.0], [1.0 + 1e-9, 2.0])
    Tensor(True)
    """
    return isclose(x, y, rtol, atol, equal_nan).all()


@implements(np.array_equal)
@guarded
def array_equal(x: Any, y: Any, equal_nan: bool = False) -> Tensor:
    """Tell whether two arrays have the same shape and the same elements.

    Parameters
    ----------
    x, y : array_like
        Arrays to compare.
    equal_nan : bool
        Whether NaN equals NaN.

    Returns
    -------
    Tensor
        One boolean.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.array_equal([1, 2], [1, 2]), ef.array_equal([1, 2], [1, 2, 3])
    (Tensor(True), Tensor(False))
    """
    x, y = convert(x), convert(y)
    if x.shape != y.shape:
        return convert(False)
    same = equal(x, y)
    if flag(equal_nan, "array_equal", "equal_nan"):
        same = logical_or(same, logical_and(isnan(x), isnan(y)))
    return same.all()
