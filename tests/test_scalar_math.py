"""The functions that compiled kernels use: right to the last few digits over the whole range, and vectorized."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from eagerflow.capture.kernels import scalar_math

pytest.importorskip("numba", reason="numba is not installed: there are no compiled kernels")
mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed: there is nothing to compare with")
special = pytest.importorskip("scipy.special", reason="scipy is not installed: there is nothing to compare with")

from scalar_kernels import kernel, ulps  # noqa: E402

F32, F64 = np.float32, np.float64
SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, np.inf, -np.inf, np.nan, 5e-324, 1e-310, 2.2250738585072014e-308)
SPECIAL_SINGLE = (
    1.4e-45,
    -1.4e-45,
    1e-40,
    1.1754944e-38,
    3.4028235e38,
    -3.4028235e38,
    88.72283,
    88.72284,
    -103.97,
    -104.0,
)
STRIDE = 2039  # of the 2**32 bit patterns


def sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


# Name: the function in float64 of NumPy or SciPy, and in any precision.
UNARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "exp": (np.exp, mpmath.exp),
    "exp2": (np.exp2, lambda x: mpmath.power(2, x)),
    "expm1": (np.expm1, mpmath.expm1),
    "log": (np.log, mpmath.log),
    "log1p": (np.log1p, mpmath.log1p),
    "log2": (np.log2, lambda x: mpmath.log(x) / mpmath.log(2)),
    "log10": (np.log10, lambda x: mpmath.log(x) / mpmath.log(10)),
    "tanh": (np.tanh, mpmath.tanh),
    "sigmoid": (sigmoid, lambda x: 1 / (1 + mpmath.exp(-x))),
    "sinh": (np.sinh, mpmath.sinh),
    "cosh": (np.cosh, mpmath.cosh),
    "erf": (special.erf, mpmath.erf),
    "erfc": (special.erfc, mpmath.erfc),
    "sin": (np.sin, mpmath.sin),
    "cos": (np.cos, mpmath.cos),
    "tan": (np.tan, mpmath.tan),
    "asin": (np.arcsin, mpmath.asin),
    "acos": (np.arccos, mpmath.acos),
    "atan": (np.arctan, mpmath.atan),
    "asinh": (np.arcsinh, mpmath.asinh),
    "acosh": (np.arccosh, mpmath.acosh),
    "atanh": (np.arctanh, mpmath.atanh),
    "cbrt": (np.cbrt, lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x))),
    "sqrt": (np.sqrt, mpmath.sqrt),
}
BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "pow": (np.power, mpmath.power),
    "atan2": (np.arctan2, mpmath.atan2),
    "hypot": (np.hypot, mpmath.hypot),
}
VECTORIZED = (
    "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "tanh", "sigmoid", "sinh", "cosh", "erf",
    "sin", "cos", "tan", "pow", "sqrt", "abs", "floor", "maximum", "minimum", "sign",
)  # fmt: skip
VECTORIZED_DOUBLE = (
    "exp", "exp2", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "sqrt", "abs", "floor", "maximum",
)  # fmt: skip
PARAMETERS = ("x", "y")


def compute(name: str, *arrays: Any) -> Any:
    """Return what the compiled function gives."""
    names = PARAMETERS[: len(arrays)]
    dtype = arrays[0].dtype
    out = np.empty(arrays[0].shape, np.bool_ if name in scalar_math.BOOLEAN else dtype)
    kernel(f"{name}({', '.join(names)})", names, dtype)(*arrays, out)
    return out


def everywhere() -> Any:
    """Return float32 numbers of all sizes, subnormal ones, infinities and NaN too."""
    bits = np.arange(0, 2**32, STRIDE, dtype=np.uint64).astype(np.uint32)
    with np.errstate(all="ignore"):
        edges = np.asarray(SPECIAL + SPECIAL_SINGLE, F32)
    return np.concatenate([bits.view(F32), edges, np.linspace(-20, 20, 20001, dtype=F32)])


def worst(error: Any, *arrays: Any) -> str:
    at = int(np.argmax(error))
    return f"{error[at]:.3f} ulp off at {', '.join(repr(array[at]) for array in arrays)}"


def check_signs_of_zeros(got: Any, exact: Any) -> None:
    zero = (got == 0) & (exact == 0)
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(exact[zero]))


@pytest.mark.parametrize("name", UNARY)
def test_float32_is_right_everywhere(name: str) -> None:
    x = everywhere()
    with np.errstate(all="ignore"):
        exact = UNARY[name][0](x.astype(F64))
    got = compute(name, x)
    error = ulps(got, exact, F32)
    assert error.max() <= 4, f"{name}: {worst(error, x)}: got {got[error.argmax()]!r}, not {exact[error.argmax()]!r}"
    check_signs_of_zeros(got, exact)


def pairs(dtype: Any, count: int) -> tuple[Any, Any]:
    """Return pairs of numbers: moderate ones, ones of all sizes, and all pairs of the special ones."""
    rng = np.random.default_rng(1)
    with np.errstate(all="ignore"):
        edges = np.asarray((*SPECIAL, 3.0, -3.0, 1.5, -0.75), dtype)
    first, second = (item.ravel() for item in np.meshgrid(edges, edges))
    size = dtype(10.0) ** rng.uniform(-30, 30, count).astype(dtype)
    moderate, exponents = rng.uniform(0, 4, count), rng.uniform(-60, 60, count)
    x = np.concatenate([first, size * rng.choice([-1, 1], count), moderate]).astype(dtype)
    y = np.concatenate([second, rng.choice([-3, -2, -1, 0.5, 1, 2, 3, 0.1, 7.3], count), exponents]).astype(dtype)
    return x, y


@pytest.mark.parametrize("name", BINARY)
def test_float32_of_two_is_right_everywhere(name: str) -> None:
    x, y = pairs(F32, 500_000)
    with np.errstate(all="ignore"):
        exact = BINARY[name][0](x.astype(F64), y.astype(F64))
    got = compute(name, x, y)
    error = ulps(got, exact, F32)
    assert error.max() <= 4, f"{name}: {worst(error, x, y)}: got {got[error.argmax()]!r}"
    check_signs_of_zeros(got, exact)


def precise(function: Callable[..., Any], *arrays: Any) -> Any:
    """Return the real results as long doubles, NaN where there is none."""
    results = []
    with mpmath.workdps(40):
        for values in zip(*arrays, strict=True):
            try:
                value = function(*[mpmath.mpf(float(value)) for value in values])
            except (ValueError, ZeroDivisionError, OverflowError):
                value = mpmath.nan
            if isinstance(value, mpmath.mpc):
                value = value.real if value.imag == 0 else mpmath.nan
            results.append(value)
    return results


def error_of(got: Any, exact: list[Any]) -> Any:
    """Return the errors of float64 results against mpmath's in units in the last place; NaN results are skipped."""
    found = np.zeros(len(exact))
    with mpmath.workdps(40):
        for i, (value, truth) in enumerate(zip(got, exact, strict=True)):
            if mpmath.isnan(truth) or mpmath.isinf(truth):
                continue
            nearest = float(truth)
            if np.isinf(nearest) or np.isinf(value):
                found[i] = 0 if nearest == value or abs(truth) > np.finfo(F64).max else np.inf
            else:
                found[i] = float(abs(mpmath.mpf(float(value)) - truth) / mpmath.mpf(float(np.spacing(abs(nearest)))))
    return found


def doubles(name: str) -> Any:
    rng = np.random.default_rng(2)
    parts = [
        rng.uniform(-1, 1, 700),
        rng.uniform(-8, 8, 700),
        rng.uniform(-740, 710, 300),
        rng.uniform(0.4, 1.6, 500),
        10.0 ** rng.uniform(-300, 300, 200),
        -(10.0 ** rng.uniform(-20, 3, 200)),
        np.asarray(SPECIAL),
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("name", UNARY)
def test_float64_is_as_right_as_numpy(name: str) -> None:
    x = doubles(name)
    with np.errstate(all="ignore"):
        known = UNARY[name][0](x)
    got = compute(name, x)
    exact = precise(UNARY[name][1], x)
    error, allowed = error_of(got, exact), error_of(known, exact).max()
    assert error.max() <= max(allowed, 1), f"{name}: {worst(error, x)}; NumPy's largest error is {allowed:.3f} ulp"
    plain = ~np.isfinite(x) | (x == 0)
    np.testing.assert_array_equal(got[plain], known[plain])
    np.testing.assert_array_equal(np.isnan(got), np.isnan(known))
    check_signs_of_zeros(got, known)


@pytest.mark.parametrize("name", BINARY)
def test_float64_of_two_is_as_right_as_numpy(name: str) -> None:
    x, y = pairs(F64, 700)
    with np.errstate(all="ignore"):
        known = BINARY[name][0](x, y)
    got = compute(name, x, y)
    usual = np.isfinite(x) & np.isfinite(y) & np.isfinite(known) & (known != 0)
    exact = precise(BINARY[name][1], x[usual], y[usual])
    error, allowed = error_of(got[usual], exact), error_of(known[usual], exact).max()
    assert error.max() <= max(allowed, 1), f"{name}: {worst(error, x[usual], y[usual])}; NumPy's is {allowed:.3f} ulp"
    np.testing.assert_array_equal(got[~usual], known[~usual])


# Functions that are exact. NumPy's own loops disagree about the sign of a zero that is the greater of two.

EXACT: dict[str, Any] = {
    "abs": np.abs, "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "rint": np.rint,
    "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite, "signbit": np.signbit,
    "truth": lambda x: x.astype(np.bool_), "logical_not": np.logical_not,
}  # fmt: skip
EXACT_OF_TWO = {
    "maximum": np.maximum, "minimum": np.minimum, "fmax": np.fmax, "fmin": np.fmin, "copysign": np.copysign,
    "floor_divide": np.floor_divide, "remainder": np.remainder, "fmod": np.fmod, "logical_and": np.logical_and,
    "logical_or": np.logical_or, "logical_xor": np.logical_xor,
}  # fmt: skip
INTEGERS = (np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("name", EXACT)
def test_exact_functions(name: str, dtype: Any) -> None:
    with np.errstate(all="ignore"):
        x = np.concatenate([np.asarray((*SPECIAL, 1.5, 2.5, -0.5, 1e20), dtype), np.linspace(-5, 5, 101, dtype=dtype)])
    expected = EXACT[name](x)
    got = compute(name, x)
    np.testing.assert_array_equal(got, expected)
    check_signs_of_zeros(got, expected)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("name", EXACT_OF_TWO)
def test_exact_functions_of_two(name: str, dtype: Any) -> None:
    x, y = pairs(dtype, 1000)
    with np.errstate(all="ignore"):
        expected = EXACT_OF_TWO[name](x, y)
    np.testing.assert_array_equal(compute(name, x, y), expected)


@pytest.mark.parametrize("dtype", [*INTEGERS, np.bool_])
@pytest.mark.parametrize("name", [*EXACT, *EXACT_OF_TWO])
def test_exact_functions_of_integers(name: str, dtype: Any) -> None:
    fraction = name in ("copysign",)
    bool_lacks = ("sign", "floor_divide", "remainder", "fmod")
    if fraction or (dtype is np.bool_ and name in bool_lacks):
        with pytest.raises(TypeError) if name == "sign" else np.errstate(all="ignore"):
            (EXACT | EXACT_OF_TWO)[name](*[np.zeros(1, dtype)] * (1 + (name in EXACT_OF_TWO)))
        return
    if dtype is np.bool_:
        values = np.asarray([False, True])
    else:
        info = np.iinfo(dtype)
        values = np.asarray([info.min, info.max, 0, 1, 2, 3, 7, info.max // 2, info.min // 2], dtype)
        if info.min < 0:
            values = np.concatenate([values, np.asarray([-1, -2, -3, -7], dtype)])
    with np.errstate(all="ignore"):
        if name in EXACT:
            expected, got = EXACT[name](values), compute(name, values)
        else:
            x, y = (np.ascontiguousarray(item.ravel()) for item in np.meshgrid(values, values))
            expected, got = EXACT_OF_TWO[name](x, y), compute(name, x, y)
    np.testing.assert_array_equal(got.astype(expected.dtype), expected)


@pytest.mark.parametrize("dtype", [F32, F64, np.int64, np.bool_])
def test_where_takes_any_condition(dtype: Any) -> None:
    condition = np.asarray([0, 1, 2, 0], dtype)
    x, y = np.arange(4.0), -np.arange(4.0)
    out = np.empty(4)
    kernel("where(c, x, y)", ("c", "x", "y"), F64)(condition, x, y, out)
    np.testing.assert_array_equal(out, np.where(condition, x, y))


@pytest.mark.parametrize("name", VECTORIZED)
def test_float32_loops_vectorize(name: str) -> None:
    assert any(f"<{lanes} x float>" in code(name, F32) for lanes in (4, 8, 16)), f"{name} did not vectorize"


@pytest.mark.parametrize("name", VECTORIZED_DOUBLE)
def test_float64_loops_vectorize(name: str) -> None:
    assert any(f"<{lanes} x double>" in code(name, F64) for lanes in (2, 4, 8)), f"{name} did not vectorize"


def code(name: str, dtype: Any) -> str:
    """Return the optimized LLVM code of a loop, compiled now."""
    import numba

    names = PARAMETERS[: 1 + (name in scalar_math.BINARY)]
    source = kernel(f"{name}({', '.join(names)})", names, dtype).py_func
    compiled = numba.njit(error_model="numpy", boundscheck=False)(source)
    array = numba.types.Array(numba.from_dtype(np.dtype(dtype)), 1, "C")
    compiled.compile((array,) * (len(names) + 1))
    text: str = compiled.inspect_llvm(compiled.signatures[0])
    return text


def test_every_function_is_tested() -> None:
    tested = {*UNARY, *BINARY, *EXACT, *EXACT_OF_TWO, "where"}
    assert tested == scalar_math.SCALAR_FUNCTIONS


def test_there_are_no_others() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'gamma'"):
        _ = scalar_math.gamma
