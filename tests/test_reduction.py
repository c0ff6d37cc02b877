"""Reductions and cumulative ops against NumPy, and their gradients at zeros, ties and on nothing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from against_numpy import DTYPES, agree, values
from other_kernels import other_kernel

MANY_AXES = ["sum", "prod", "mean", "var", "std", "max", "min", "amax", "amin", "all", "any", "count_nonzero", "ptp"]
AXES: list[Any] = [None, 0, 1, -1, (0, 2), (2, 0), ()]


def arrays(dtype: str) -> list[np.ndarray]:
    x = values(dtype, (3, 2, 4))
    return [x, x[::-1, :, ::2], x.transpose(2, 0, 1)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*MANY_AXES, "nansum", "nanmean", "average"])
def test_reductions_as_numpy(name: str, dtype: str) -> None:
    if name == "ptp" and dtype == "bool":
        pytest.skip("NumPy has no difference of booleans")
    function, expected = getattr(ef, name), getattr(np, name)
    for x in arrays(dtype):
        for axis in AXES:
            for keepdims in (False, True):
                options = {"axis": axis, "keepdims": keepdims}
                try:
                    want = np.asarray(expected(x, **options))
                except TypeError:
                    continue
                got = function(x, **options)
                assert (got.shape, got.dtype) == (want.shape, want.dtype), (axis, keepdims)
                rtol = {"float16": 2e-3, "float32": 1e-5, "complex64": 1e-5}.get(str(want.dtype), 1e-12)
                np.testing.assert_allclose(got.numpy(), want, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["argmax", "argmin", "cumsum", "cumprod"])
def test_one_axis_as_numpy(name: str, dtype: str) -> None:
    def expected(x: np.ndarray, axis: int | None = None) -> np.ndarray:
        if dtype == "float16" and name.startswith("cum"):  # which NumPy adds up in float16, and we in float32
            return getattr(np, name)(x, axis, dtype=np.float32).astype(dtype)
        return getattr(np, name)(x, axis)

    for x in arrays(dtype):
        for axis in (None, 0, 1, -1):
            agree(lambda a, axis=axis: getattr(ef, name)(a, axis=axis), lambda a, axis=axis: expected(a, axis), x)
        agree(getattr(ef, name), expected, x[0, 0, 0])


@pytest.mark.parametrize("name", ["sum", "prod", "all", "any", "count_nonzero", "nansum", "cumsum", "cumprod"])
def test_nothing_to_reduce(name: str) -> None:
    for x in (np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(0)):
        agree(lambda a: getattr(ef, name)(a, axis=0), lambda a: getattr(np, name)(a, axis=0), x)
        agree(getattr(ef, name), getattr(np, name), x)


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value", "ignore:Degrees of freedom")
def test_means_of_nothing_are_nan() -> None:
    for name in ("mean", "var", "std"):
        assert np.isnan(getattr(ef, name)(ef.zeros(0)).item())
    assert ef.mean(ef.zeros((0, 2)), axis=1).shape == (0,)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_extremes_of_nothing_are_an_error(name: str) -> None:
    with pytest.raises(ef.errors.ShapeError, match=name):
        getattr(ef, name)(ef.zeros(0))


@pytest.mark.parametrize("name", [*MANY_AXES, "logsumexp", "argmax", "cumsum", "cumprod", "diff"])
def test_axis_out_of_range(name: str) -> None:
    with pytest.raises(ef.errors.ShapeError, match=r"axis 2 is out of range: expected -2 to 1"):
        getattr(ef, name)(ef.zeros((2, 3)), axis=2)


def test_repeated_axis() -> None:
    with pytest.raises(ef.errors.ShapeError, match="repeated axis"):
        ef.sum(ef.zeros((2, 3)), axis=(0, -2))


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "std"])
def test_nan_and_infinity(name: str) -> None:
    for special in ([1.0, np.nan], [1.0, np.inf], [-np.inf, 1.0]):
        with np.errstate(invalid="ignore"):
            np.testing.assert_equal(getattr(ef, name)(special).item(), float(getattr(np, name)(special)))


@pytest.mark.parametrize("name", [*MANY_AXES, "argmax", "cumsum", "cumprod", "diff", "average", "nansum"])
def test_numpy_functions_take_tensors(name: str) -> None:
    x = values("float64")
    got = getattr(np, name)(ef.asarray(x), axis=0)
    assert isinstance(got, ef.Tensor)
    np.testing.assert_allclose(got.numpy(), getattr(np, name)(x, axis=0), rtol=1e-12)


def test_dtype_argument() -> None:
    x = values("float32")
    assert ef.sum(x, dtype=ef.float64).dtype == np.float64
    assert ef.mean(x, dtype=np.float64).item() == np.mean(x, dtype=np.float64)
    assert ef.cumsum(x, dtype=np.float64).dtype == np.float64


def test_correction_and_ddof() -> None:
    x = values("float64")
    for function, expected in ((ef.var, np.var), (ef.std, np.std)):
        want = expected(x, axis=0, ddof=1)
        np.testing.assert_allclose(function(x, axis=0, ddof=1).numpy(), want)
        np.testing.assert_allclose(function(x, axis=0, correction=1).numpy(), want)


def test_logsumexp() -> None:
    x = values("float64", (3, 4)) * 500
    got = ef.logsumexp(x, axis=1)
    top = x.max(1)
    np.testing.assert_allclose(got.numpy(), top + np.log(np.exp(x - top[:, None]).sum(1)))
    assert ef.logsumexp([-np.inf, -np.inf]).item() == -np.inf
    assert ef.logsumexp([np.inf, 1.0]).item() == np.inf
    assert np.isnan(ef.logsumexp([np.nan, 1.0]).item())
    assert ef.logsumexp(ef.zeros(0)).item() == -np.inf
    assert ef.logsumexp([0, 0]).dtype == np.float64


def test_average_with_weights() -> None:
    x, w = values("float64", (3, 4)), np.abs(values("float64", (3, 4), 1)) + 0.1
    for axis, weights in ((None, w), (0, w), (1, w), (0, w[:, 0]), (1, w[0]), ((0, 1), w)):
        got = ef.average(x, axis, weights, returned=True)
        want = np.average(x, axis, weights, returned=True)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a.numpy(), b)
    with pytest.raises(ef.errors.ShapeError, match="average: weights of shape"):
        ef.average(x, 0, w[0])


def test_cumulative_functions_of_the_standard() -> None:
    x = values("float64")
    for name in ("cumulative_sum", "cumulative_prod"):
        for initial in (False, True):
            got = getattr(ef, name)(x, axis=1, include_initial=initial)
            want = getattr(np, name)(x, axis=1, include_initial=initial)
            np.testing.assert_allclose(got.numpy(), want)
        with pytest.raises(ef.errors.ShapeError, match="needs an axis"):
            getattr(ef, name)(x)


@pytest.mark.parametrize("dtype", ["bool", "int32", "float64", "complex64"])
def test_diff_as_numpy(dtype: str) -> None:
    x = values(dtype, (3, 5))
    for n in (0, 1, 2, 7):
        for axis in (0, -1):
            agree(lambda a, n=n, axis=axis: ef.diff(a, n, axis), lambda a, n=n, axis=axis: np.diff(a, n, axis), x)
    agree(lambda a: ef.diff(a, prepend=0, append=a[:, :1]), lambda a: np.diff(a, prepend=0, append=a[:, :1]), x)


# Gradients. Warnings are errors here.


def gradient(function: Any, x: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ef.grad(lambda x: ef.sum(function(x)))(ef.asarray(np.asarray(x, np.float64))).tolist()


def test_products_with_zeros() -> None:
    assert gradient(ef.prod, [2.0, 3.0, 4.0]) == [12, 8, 6]
    assert gradient(ef.prod, [2.0, 0.0, 4.0]) == [0, 8, 0]
    assert gradient(ef.prod, [0.0, 0.0, 4.0]) == [0, 0, 0]
    assert gradient(lambda x: ef.cumprod(x), [2.0, 0.0, 4.0]) == [1, 2 + 8, 0]
    hessian = ef.hessian(ef.prod)(ef.asarray([0.0, 0.0, 4.0])).numpy()
    np.testing.assert_array_equal(hessian, [[0, 4, 0], [4, 0, 0], [0, 0, 0]])


def test_ties_share_the_gradient() -> None:
    assert gradient(ef.max, [1.0, 3.0, 3.0]) == [0, 0.5, 0.5]
    assert gradient(ef.min, [1.0, 3.0, 1.0, 1.0]) == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])
    assert gradient(lambda x: ef.max(x, axis=1), [[1.0, 1.0], [2.0, 1.0]]) == [[0.5, 0.5], [1, 0]]
    assert gradient(ef.max, [1.0, np.nan, 3.0]) == [0, 1, 0]


def test_no_spread_no_gradient() -> None:
    assert gradient(ef.std, [2.0, 2.0, 2.0]) == [0, 0, 0]
    assert gradient(ef.var, [2.0, 2.0, 2.0]) == [0, 0, 0]


def test_missing_values_have_no_gradient() -> None:
    assert gradient(ef.nansum, [1.0, np.nan]) == [1, 0]
    assert gradient(ef.nanmean, [1.0, np.nan, 2.0]) == [0.5, 0, 0.5]
    assert gradient(ef.logsumexp, [-np.inf, 1.0]) == [0, 1]
    assert gradient(ef.logsumexp, [-np.inf, -np.inf]) == [0, 0]


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "cumsum", "cumprod", "logsumexp", "diff", "nansum"])
def test_gradients_of_nothing(name: str) -> None:
    with np.errstate(invalid="ignore"):
        g = ef.grad(lambda x: ef.sum(getattr(ef, name)(x, axis=0)))(ef.zeros((0, 2)))
    assert g.shape == (0, 2)


def test_gradients_keep_the_dtype() -> None:
    x = ef.asarray(values("float32"))
    for name in ("sum", "prod", "mean", "var", "std", "max", "min", "cumsum", "cumprod", "logsumexp", "diff", "ptp"):
        g = ef.grad(lambda x, name=name: ef.sum(getattr(ef, name)(x, axis=0)))(x)
        assert (g.dtype, g.shape) == (x.dtype, x.shape)


def test_a_large_array_is_spread_without_a_copy() -> None:
    assert ef.grad(ef.sum)(ef.zeros(100_000)).numpy().strides == (0,)


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), ()])
def test_median_as_numpy(dtype: str, axis: Any) -> None:
    for shape in ((3, 4, 5), (1, 3, 2), *([] if isinstance(axis, tuple) else [(2, 0, 3)])):
        array = np.random.default_rng(0).integers(0, 9, shape).astype(dtype)[::-1]
        for keepdims in (False, True):
            expected = np.median(array, axis=axis, keepdims=keepdims)
            result = np.median(ef.asarray(array), axis=axis, keepdims=keepdims)
            assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_array_equal(result.numpy(), expected)
    for special in ([np.nan, 1.0, 2.0], [np.inf, 1.0], [-np.inf, np.inf], [np.inf, np.inf, 0.0]):
        np.testing.assert_array_equal(ef.median(special).numpy(), np.median(special))


def test_gradient_of_the_median() -> None:
    x = ef.asarray(np.random.default_rng(1).normal(size=(4, 3)))
    ef.check_grads(lambda a: ef.median(a, axis=0), (x,))
    ef.check_grads(ef.median, (x,))


def test_small_integers_are_summed_modulo_their_size() -> None:
    x = np.full(300, 1000, np.int16)
    for mine, theirs in ((ef.sum, np.sum), (ef.prod, np.prod)):
        result = mine(ef.asarray(x), dtype="int16")
        assert result.dtype == np.int16
        assert result.item() == theirs(x, dtype="int16")


def test_a_kernel_registered_later_is_used_at_once() -> None:
    op = ef.ops.registry()["max"]
    before = op.kernel_for(ef.devices.CPU0)
    with other_kernel(op, lambda x, *, axis, keepdims: before(x, axis=axis, keepdims=keepdims) + 100):
        assert ef.max(ef.asarray([1.0, 3.0])).item() == 103.0
    assert ef.max(ef.asarray([1.0, 3.0])).item() == 3.0
