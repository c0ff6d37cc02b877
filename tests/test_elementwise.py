"""Elementwise ops against NumPy: dtypes, shapes, layouts, special values, and gradients at corners."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from against_numpy import DTYPES, agree, values

_UNARY = """
abs absolute positive negative reciprocal square sqrt cbrt fabs sign exp exp2 expm1 log log2 log10 log1p
sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh arcsin arccos arctan arcsinh arccosh arctanh
deg2rad rad2deg radians degrees sinc floor ceil trunc rint round around signbit isfinite isinf isnan logical_not
invert bitwise_invert bitwise_not real imag conj conjugate angle nan_to_num
"""
_BINARY = """
add subtract multiply divide true_divide floor_divide remainder mod fmod pow power float_power maximum
minimum fmax fmin hypot atan2 arctan2 logaddexp logaddexp2 copysign nextafter heaviside equal not_equal less
less_equal greater greater_equal logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor
bitwise_left_shift bitwise_right_shift left_shift right_shift gcd lcm isclose
"""
UNARY, BINARY = _UNARY.split(), _BINARY.split()


def reference(name: str) -> Any:
    return getattr(np, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary_as_numpy(name: str, dtype: str) -> None:
    for x in (values(dtype), values(dtype, ()), values(dtype, (0, 3)), values(dtype, (5,))[::-2], values(dtype).T):
        agree(getattr(ef, name), reference(name), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_binary_as_numpy(name: str, dtype: str) -> None:
    x, y = values(dtype), values(dtype, seed=1)
    for pair in ((x, y), (x, y[0]), (x[:, :1], y[0, ::-1]), (x[0, 0], y), (x[:0], y[:0]), (x.T, y.T)):
        agree(getattr(ef, name), reference(name), *map(np.asarray, pair))


@pytest.mark.parametrize("name", ["add", "multiply", "divide", "power", "maximum", "equal", "hypot"])
@pytest.mark.parametrize(("left", "right"), [("int32", "float32"), ("uint8", "int8"), ("float32", "complex64")])
def test_mixed_dtypes(name: str, left: str, right: str) -> None:
    agree(getattr(ef, name), reference(name), values(left), values(right))


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power", "maximum", "less", "fmin"])
@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
@pytest.mark.parametrize("scalar", [2, 2.5])
def test_python_scalars_are_weak(name: str, dtype: str, scalar: float) -> None:
    x = values(dtype)
    function, expected = getattr(ef, name), reference(name)
    agree(lambda a: function(ef.asarray(a), scalar), lambda a: expected(a, scalar), x)
    agree(lambda a: function(scalar, ef.asarray(a)), lambda a: expected(scalar, a), x)


@pytest.mark.parametrize("name", [n for n in UNARY if n not in ("invert", "bitwise_invert", "bitwise_not")])
def test_nan_and_infinity(name: str) -> None:
    agree(getattr(ef, name), reference(name), np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0]))


@pytest.mark.parametrize("name", [n for n in BINARY if "bit" not in n and "shift" not in n and n not in ("gcd", "lcm")])
def test_nan_and_infinity_in_pairs(name: str) -> None:
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0])
    agree(getattr(ef, name), reference(name), special[:, None], special)


@pytest.mark.parametrize("name", ["sin", "arcsin", "radians", "add", "true_divide", "mod", "arctan2", "round", "angle"])
def test_numpy_functions_take_tensors(name: str) -> None:
    arrays = [values("float64") / 4 + 0.5] * (2 if name in BINARY else 1)
    got = reference(name)(*[ef.asarray(a) for a in arrays])
    assert isinstance(got, ef.Tensor)
    np.testing.assert_array_equal(got.numpy(), reference(name)(*arrays))


def test_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(ef.errors.ShapeError, match=r"add: the shapes \(3,\) and \(4,\) do not broadcast"):
        ef.add(ef.zeros(3), ef.zeros(4))


def test_divmod_gives_both() -> None:
    quotient, remainder = ef.divmod([7.0, -7.0], 4.0)
    assert quotient.tolist() == [1, -2] and remainder.tolist() == [3, 1]


@pytest.mark.parametrize("decimals", [-1, 0, 1, 2])
@pytest.mark.parametrize("dtype", ["int64", "float32", "float64", "complex128"])
def test_round_to_decimals(decimals: int, dtype: str) -> None:
    x = values(dtype) * 10
    agree(lambda a: ef.round(a, decimals), lambda a: np.round(a, decimals), x.astype(dtype))


# Selection.


@pytest.mark.parametrize("low", [None, -0.5, "array"])
@pytest.mark.parametrize("high", [None, 0.5, "array"])
@pytest.mark.parametrize("dtype", ["int64", "float32", "float64"])
def test_clip_as_numpy(low: Any, high: Any, dtype: str) -> None:
    x = values(dtype)
    low = x[0] - 1 if low == "array" else low
    high = x[0] + 1 if high == "array" else high
    if low is None and high is None:
        np.testing.assert_array_equal(ef.clip(x).numpy(), x)
    else:
        agree(lambda a: ef.clip(a, low, high), lambda a: np.clip(a, low, high), x)
        agree(lambda a: np.clip(ef.asarray(a), low, high), lambda a: np.clip(a, low, high), x)


def test_clip_sends_the_gradient_to_what_it_chose() -> None:
    x, low, high = ef.asarray([-2.0, 0.0, 1.0, 3.0]), ef.asarray(-1.0), ef.asarray(1.0)
    gx, gl, gh = ef.grad(lambda *a: ef.sum(ef.clip(*a)), argnums=(0, 1, 2))(x, low, high)
    assert (gx.tolist(), gl.item(), gh.item()) == ([0, 1, 1, 0], 1, 1)
    gx, gl, gh = ef.grad(lambda *a: ef.sum(ef.clip(*a)), argnums=(0, 1, 2))(x, ef.asarray(5.0), ef.asarray(4.0))
    assert (gx.tolist(), gl.item(), gh.item()) == ([0, 0, 0, 0], 0, 4)


def test_where_as_numpy() -> None:
    condition = values("bool")
    for x, y in [(values("float32"), 0.0), (1, 2.5), (values("int32"), values("float32")[0]), (np.nan, values("int8"))]:
        agree(lambda c, x=x, y=y: ef.where(c, x, y), lambda c, x=x, y=y: np.where(c, x, y), condition)
    assert [i.tolist() for i in ef.where([0, 1, 1])] == [[1, 2]]
    with pytest.raises(ef.errors.ArgumentError, match="both x and y"):
        ef.where([True], 1.0)


def test_where_has_no_gradient_from_the_branch_not_taken() -> None:
    x = ef.asarray([0.0, 4.0])
    with np.errstate(divide="ignore"):
        g = ef.grad(lambda x: ef.sum(ef.where(x > 0, x, ef.inf) * 1.0))(x)
    assert g.tolist() == [0, 1]
    g = ef.grad(lambda y: ef.sum(ef.where([True, False], [np.nan, np.nan], y)))(ef.asarray([np.nan, 2.0]))
    assert g.tolist() == [0, 1]


def test_nan_to_num_has_no_gradient_where_it_replaces() -> None:
    x = ef.asarray([np.nan, np.inf, -np.inf, 2.0])
    assert ef.grad(lambda x: ef.sum(ef.nan_to_num(x)))(x).tolist() == [0, 0, 0, 1]


# Closeness.


def test_closeness() -> None:
    assert ef.allclose([1.0, np.nan], [1.0 + 1e-9, np.nan], equal_nan=True)
    assert not ef.allclose([1.0, np.nan], [1.0, np.nan])
    assert ef.array_equal([1.0, np.nan], [1.0, np.nan], equal_nan=True)
    assert not ef.array_equal([1.0, 2.0], [1.0, 2.0, 3.0])
    assert np.allclose(ef.ones(2), np.ones(2))


# Gradients where rules fail easily. Warnings are errors here.


def gradient(function: Any, *arrays: Any) -> list[Any]:
    tensors = [ef.asarray(np.asarray(a, np.float64)) for a in arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = ef.grad(lambda *xs: ef.sum(function(*xs)), argnums=tuple(range(len(tensors))))(*tensors)
    return [g.tolist() for g in result]


def test_power_at_zero() -> None:
    assert gradient(lambda x: x**2, [0.0, 3.0]) == [[0, 6]]
    assert gradient(lambda x: x**0, [0.0, 3.0]) == [[0, 0]]
    assert gradient(lambda x: x**1, [0.0]) == [[1]]
    assert gradient(lambda x: 0.0**x, [0.0, 2.0]) == [[0, 0]]
    assert gradient(ef.pow, [0.0, 0.0, -2.0], [0.0, 2.0, 2.0]) == [[0, 0, -4], [0, 0, 0]]
    assert gradient(lambda x: 2.0**x, [0.0])[0] == pytest.approx([np.log(2)])


def test_second_derivative_of_power() -> None:
    second = ef.grad(ef.grad(lambda x: x**2))
    assert second(ef.asarray(0.0)).item() == 2
    assert ef.grad(ef.grad(lambda x: x**3))(ef.asarray(0.0)).item() == 0
    mixed = ef.grad(ef.grad(lambda x, y: ef.pow(x, y)), argnums=1)
    assert mixed(ef.asarray(2.0), ef.asarray(0.0)).item() == 0.5


def test_powers_of_two_scalars_are_numpys() -> None:
    assert ef.pow(2.0, 3).item() == 8
    with np.errstate(all="ignore"):
        assert np.isnan(ef.pow(-1.0, 0.5).item()) and np.isinf(ef.pow(0.0, -1).item())


def test_corners() -> None:
    assert gradient(ef.abs, [-2.0, 0.0, 2.0]) == [[-1, 0, 1]]
    assert gradient(ef.hypot, 0.0, 0.0) == [0, 0]
    assert gradient(ef.atan2, 0.0, 0.0) == [0, 0]
    assert gradient(ef.sinc, [0.0, 1.0])[0] == pytest.approx([0, -1])
    assert gradient(ef.logaddexp, -np.inf, -np.inf) == [0, 0]
    for name in ("floor", "ceil", "trunc", "rint", "round", "sign"):
        assert gradient(getattr(ef, name), [-1.5, 0.25]) == [[0, 0]]


def test_equal_ones_share_the_gradient() -> None:
    x, y = [1.0, 2.0, 3.0], [2.0, 2.0, 2.0]
    for name in ("maximum", "fmax"):
        assert gradient(getattr(ef, name), x, y) == [[0, 0.5, 1], [1, 0.5, 0]]
    for name in ("minimum", "fmin"):
        assert gradient(getattr(ef, name), x, y) == [[1, 0.5, 0], [0, 0.5, 1]]
    assert gradient(lambda x: ef.maximum(x, 0), [-1.0, 0.0, 1.0]) == [[0, 0.5, 1]]
    assert gradient(ef.fmax, [np.nan, 1.0], [1.0, np.nan]) == [[0, 1], [1, 0]]


def test_sinc_to_third_order_near_zero() -> None:
    f = ef.sinc
    for expected in (0.0, -(np.pi**2) / 3, 0.0, np.pi**4 / 5):
        f = ef.grad(f)
        assert f(ef.asarray(0.0)).item() == pytest.approx(expected, abs=1e-12)


def test_dtypes_of_gradients() -> None:
    for dtype in ("float16", "float32"):
        for name in ("maximum", "minimum", "multiply", "pow", "hypot", "atan2"):
            x = ef.asarray(np.array([1.0, 2.0], dtype))
            gs = ef.grad(lambda x, y, name=name: ef.sum(getattr(ef, name)(x, y)), argnums=(0, 1))(x, x + 1)
            assert all(g.dtype == dtype for g in gs)


def test_complex_gradients_at_zero() -> None:
    z = ef.asarray(np.array([0j, 3 + 4j]))
    assert ef.grad(lambda z: ef.sum(ef.abs(z)))(z).tolist() == [0, 0.6 + 0.8j]
    assert ef.grad(lambda z: ef.sum(ef.angle(z)))(z).tolist() == pytest.approx([0, 1j * (3 + 4j) / 25])
