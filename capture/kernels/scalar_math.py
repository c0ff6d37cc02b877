"""Functions of one element, for compiled kernels: what the `scalar` expressions of ops are made of.

They are Numba intrinsics, made when a kernel first imports them. Each writes its LLVM instructions straight into the
loop that uses it, so that the loop vectorizes, and a kernel compiles fast. Numbers come in one dtype; functions that
give fractions take integers as float64.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from eagerflow.capture.kernels import elementary
from eagerflow.capture.kernels.real import SINGLE, Real, function_type, integer, llvm
from eagerflow.errors import MissingExtraError


def _intrinsic(name: str) -> Callable[..., Real]:
    """Return the function that LLVM has."""
    return lambda x, *others: x.call(name, *others)


def _library(name: str) -> Callable[..., Real]:
    """Return the function of the C library, in float64."""

    def function(*inputs: Real) -> Real:
        first = inputs[0]
        wide = [x.double() for x in inputs]
        kind = wide[0].value.type
        module = first.builder.module
        callee = module.globals.get(name)
        if callee is None:
            callee = llvm().Function(module, function_type(kind, len(inputs)), name)
        result = Real(first.builder, first.builder.call(callee, [x.value for x in wide]))
        return result.single() if first.format is SINGLE else result

    return function


def _by_precision(single: Callable[..., Real], double: Callable[..., Real]) -> Callable[..., Real]:
    """Return a function that is one thing for float32 and another for float64."""
    return lambda *inputs: (single if inputs[0].format is SINGLE else double)(*inputs)


# Fractions of fractions.
REAL: dict[str, Callable[..., Real]] = {
    "exp": elementary.exp,
    "exp2": elementary.exp2,
    "expm1": elementary.expm1,
    "log": elementary.log,
    "log1p": elementary.log1p,
    "log2": _by_precision(elementary.log2, _intrinsic("log2")),
    "log10": _by_precision(elementary.log10, _intrinsic("log10")),
    "tanh": elementary.tanh,
    "sigmoid": elementary.sigmoid,
    "sinh": _by_precision(elementary.sinh, _library("sinh")),
    "cosh": _by_precision(elementary.cosh, _library("cosh")),
    "erf": elementary.erf,
    "erfc": _library("erfc"),
    "sin": _by_precision(elementary.sin, _intrinsic("sin")),
    "cos": _by_precision(elementary.cos, _intrinsic("cos")),
    "tan": _by_precision(elementary.tan, _library("tan")),
    "sqrt": _intrinsic("sqrt"),
    "pow": _by_precision(elementary.pow, _intrinsic("pow")),
    "copysign": _intrinsic("copysign"),
    **{name: _library(name) for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh", "atan2", "cbrt", "hypot")},
}


# What also takes integers, and gives the same dtype. Each is `function(builder, kind, *values)`.


def _is_real(kind: Any) -> bool:
    return str(kind) in ("float32", "float64")


def _rounded(name: str) -> Callable[..., Any]:
    def function(builder: Any, kind: Any, x: Any) -> Any:
        return Real(builder, x).call(name).value if _is_real(kind) else x

    return function


def _less(builder: Any, kind: Any, a: Any, b: Any) -> Any:
    """Tell whether a < b; not if one of them is NaN."""
    if _is_real(kind):
        return builder.fcmp_ordered("<", a, b)
    return (builder.icmp_signed if getattr(kind, "signed", False) else builder.icmp_unsigned)("<", a, b)


def _nan(builder: Any, kind: Any, x: Any) -> Any:
    return Real(builder, x).is_nan() if _is_real(kind) else integer(1)(0)


def _true(builder: Any, kind: Any, x: Any) -> Any:
    """Tell whether x is not zero; NaN is not."""
    if _is_real(kind):
        return builder.fcmp_unordered("!=", x, x.type(0.0))
    return builder.icmp_unsigned("!=", x, x.type(0))


def _extreme(low: bool, skip: bool) -> Callable[..., Any]:
    """Return NumPy's minimum or maximum, in which NaN wins, or loses where it is skipped."""

    def function(builder: Any, kind: Any, x: Any, y: Any) -> Any:
        first = _less(builder, kind, x, y) if low else _less(builder, kind, y, x)
        if not _is_real(kind):
            return builder.select(first, x, y)
        other = y if skip else x
        return builder.select(_nan(builder, kind, other), x, builder.select(first, x, y))

    return function


def _sign(builder: Any, kind: Any, x: Any) -> Any:
    zero, one = x.type(0), x.type(1)
    positive = builder.select(_less(builder, kind, zero, x), one, zero)
    if not (_is_real(kind) or getattr(kind, "signed", False)):
        return positive
    result = builder.select(_less(builder, kind, x, zero), x.type(-1), positive)
    return builder.select(_nan(builder, kind, x), x, result)


def _abs(builder: Any, kind: Any, x: Any) -> Any:
    if _is_real(kind):
        return abs(Real(builder, x)).value
    if not getattr(kind, "signed", False):
        return x
    return builder.select(_less(builder, kind, x, x.type(0)), builder.neg(x), x)


def _quotient(builder: Any, kind: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Return x / y rounded towards zero and what is left; zeros where integers are divided by zero."""
    zero, one = x.type(0), x.type(1)
    empty = builder.icmp_unsigned("==", y, zero)
    if not kind.signed:
        usable = builder.select(empty, one, y)
        whole, left = builder.udiv(x, usable), builder.urem(x, usable)
    else:
        opposite = builder.icmp_signed("==", y, x.type(-1))  # the lowest number over -1 is a trap of the processor
        usable = builder.select(builder.or_(empty, opposite), one, y)
        whole, left = builder.sdiv(x, usable), builder.srem(x, usable)
        whole = builder.select(opposite, builder.neg(x), whole)
    return builder.select(empty, zero, whole), builder.select(empty, zero, left)


def _apart(builder: Any, x: Any, y: Any, left: Any) -> Any:
    """Tell whether integers of different sign leave something."""
    zero = x.type(0)
    return builder.and_(builder.icmp_signed("<", builder.xor(x, y), zero), builder.icmp_signed("!=", left, zero))


def _floor_parts(builder: Any, x: Any, y: Any) -> tuple[Real, Real]:
    """Return what NumPy gives for the quotient and the remainder of floating-point numbers."""
    a, b = Real(builder, x), Real(builder, y)
    left = Real(builder, builder.frem(x, y))
    whole = (a - left) / b
    differs = builder.and_(builder.xor(left < 0.0, b < 0.0), builder.not_(left.equals(0.0)))
    zero = left.equals(0.0)
    left = (left + b).where(differs, left.constant(0.0).call("copysign", b).where(zero, left))
    whole = (whole - 1.0).where(differs, whole)
    down = whole.call("floor")
    down = (down + 1.0).where(whole - down > 0.5, down)
    down = whole.constant(0.0).call("copysign", a / b).where(whole.equals(0.0), down)
    return (a / b).where(b.equals(0.0), down), left.constant(math.nan).where(b.equals(0.0), left)


def _floor_divide(builder: Any, kind: Any, x: Any, y: Any) -> Any:
    if _is_real(kind):
        return _floor_parts(builder, x, y)[0].value
    whole, left = _quotient(builder, kind, x, y)
    if not kind.signed:
        return whole
    return builder.select(_apart(builder, x, y, left), builder.sub(whole, x.type(1)), whole)


def _remainder(builder: Any, kind: Any, x: Any, y: Any) -> Any:
    if _is_real(kind):
        return _floor_parts(builder, x, y)[1].value
    left = _quotient(builder, kind, x, y)[1]
    if not kind.signed:
        return left
    return builder.select(_apart(builder, x, y, left), builder.add(left, y), left)


def _fmod(builder: Any, kind: Any, x: Any, y: Any) -> Any:
    return builder.frem(x, y) if _is_real(kind) else _quotient(builder, kind, x, y)[1]


SAME: dict[str, Callable[..., Any]] = {
    "abs": _abs,
    "sign": _sign,
    "floor": _rounded("floor"),
    "ceil": _rounded("ceil"),
    "trunc": _rounded("trunc"),
    "rint": _rounded("rint"),
    "maximum": _extreme(low=False, skip=False),
    "minimum": _extreme(low=True, skip=False),
    "fmax": _extreme(low=False, skip=True),
    "fmin": _extreme(low=True, skip=True),
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "fmod": _fmod,
}


# What gives booleans.


def _isinf(builder: Any, kind: Any, x: Any) -> Any:
    return abs(Real(builder, x)).equals(math.inf) if _is_real(kind) else integer(1)(0)


def _isfinite(builder: Any, kind: Any, x: Any) -> Any:
    return abs(Real(builder, x)) < math.inf if _is_real(kind) else integer(1)(1)


def _signbit(builder: Any, kind: Any, x: Any) -> Any:
    bits = Real(builder, x).bits() if _is_real(kind) else x
    if not (_is_real(kind) or getattr(kind, "signed", False)):
        return integer(1)(0)
    return builder.icmp_signed("<", bits, bits.type(0))


BOOLEAN: dict[str, Callable[..., Any]] = {
    "isnan": _nan,
    "isinf": _isinf,
    "isfinite": _isfinite,
    "signbit": _signbit,
    "truth": _true,
    "logical_and": lambda builder, kind, x, y: builder.and_(_true(builder, kind, x), _true(builder, kind, y)),
    "logical_or": lambda builder, kind, x, y: builder.or_(_true(builder, kind, x), _true(builder, kind, y)),
    "logical_xor": lambda builder, kind, x, y: builder.xor(_true(builder, kind, x), _true(builder, kind, y)),
    "logical_not": lambda builder, kind, x: builder.not_(_true(builder, kind, x)),
}

#: Names of the functions.
SCALAR_FUNCTIONS: frozenset[str] = frozenset((*REAL, *SAME, *BOOLEAN, "where"))


@cache
def function(name: str) -> Any:
    """Return a scalar function, to be called in a function that Numba compiles.

    Parameters
    ----------
    name : str
        One of `SCALAR_FUNCTIONS`. Importing that name from this module does the same.

    Raises
    ------
    MissingExtraError
        Numba is not installed.
    """
    try:
        from numba import types
        from numba.extending import intrinsic
    except ImportError as error:
        raise MissingExtraError.of("numba", "jit", "compiling kernels") from error

    def common(typing: Any, kinds: Any) -> Any:
        kinds = [types.unliteral(kind) for kind in kinds]
        kind = typing.unify_types(*kinds) if len(kinds) > 1 else kinds[0]
        if kind is None or not isinstance(kind, types.Boolean | types.Integer | types.Float):
            raise TypeError(f"{name}: there is no such function of {', '.join(map(str, kinds))}")
        return kind

    def select(typing: Any, condition: Any, x: Any, y: Any) -> Any:
        """X where the condition holds, otherwise y."""
        kind, first = common(typing, (x, y)), types.unliteral(condition)

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return builder.select(_true(builder, first, values[0]), values[1], values[2])

        return kind(first, kind, kind), code

    def apply(typing: Any, kinds: Any) -> Any:
        kind = common(typing, kinds)
        if name in REAL and not isinstance(kind, types.Float):
            kind = types.float64
        elif name in SAME and isinstance(kind, types.Boolean) and name not in ("maximum", "minimum", "fmax", "fmin"):
            kind = types.int8
        result = types.boolean if name in BOOLEAN else kind

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            if name in REAL:
                return REAL[name](*[Real(builder, value) for value in values]).value
            return (SAME.get(name) or BOOLEAN[name])(builder, kind, *values)

        return result(*[kind] * len(kinds)), code

    def one(typing: Any, x: Any) -> Any:
        """Apply it to one number."""
        return apply(typing, (x,))

    def two(typing: Any, x: Any, y: Any) -> Any:
        """Apply it to two numbers."""
        return apply(typing, (x, y))

    chosen = select if name == "where" else two if name in BINARY else one
    chosen.__name__ = chosen.__qualname__ = name
    return intrinsic(chosen)


BINARY = frozenset(
    (
        "pow", "copysign", "atan2", "hypot", "maximum", "minimum", "fmax", "fmin", "floor_divide",
        "remainder", "fmod", "logical_and", "logical_or", "logical_xor",
    )
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in SCALAR_FUNCTIONS:
        return function(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def fingerprint() -> str:
    """Return a hash of how these functions are written: compiled kernels contain them."""
    folder = Path(__file__).parent
    text = b"".join((folder / f"{name}.py").read_bytes() for name in ("scalar_math", "elementary", "real"))
    return hashlib.sha256(text).hexdigest()
