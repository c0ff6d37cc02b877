"""Fourier transforms against NumPy: values, dtypes, lengths, axes, gradients, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.errors import ArgumentError, DTypeError, ShapeError

ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
SEVERAL = ["fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2"]
OF_REAL = ("rfft", "ihfft", "rfftn", "rfft2")
NORMS = ["backward", "ortho", "forward"]


def values(shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray:
    rng = np.random.default_rng(0)
    array = 4 * rng.normal(size=shape)
    return (array + 4j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else array).astype(dtype)


def close(result: Any, expected: np.ndarray) -> None:
    assert isinstance(result, ef.Tensor)
    assert result.dtype == expected.dtype and result.shape == expected.shape
    tolerance = 1e-4 if expected.dtype in (np.float32, np.complex64) else 1e-11
    np.testing.assert_allclose(result.numpy(), expected, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16", "i4", "?"])
@pytest.mark.parametrize("name", ONE)
@given(n=st.none() | st.integers(1, 7), axis=st.integers(-2, 1), norm=st.sampled_from([None, *NORMS]))
def test_along_one_axis_as_numpy(name: str, dtype: str, n: int | None, axis: int, norm: Any) -> None:
    if name in OF_REAL and dtype[0] == "c":
        dtype = dtype.replace("c8", "f4").replace("c16", "f8")
    x = values((4, 5), dtype)
    expected = getattr(np.fft, name)(x, n, axis, norm)
    close(getattr(ef.fft, name)(x, n=n, axis=axis, norm=norm), expected)
    close(getattr(np.fft, name)(ef.asarray(x), n, axis, norm), expected)


@pytest.mark.parametrize("name", SEVERAL)
@given(data=st.data())
def test_over_several_axes_as_numpy(name: str, data: Any) -> None:
    x = values((3, 4, 5), "f8" if name in OF_REAL else "c16")
    axes = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True))
    axes = [axis - 3 if data.draw(st.booleans()) else axis for axis in axes]
    s = data.draw(st.none() | st.lists(st.integers(1, 6) | st.just(-1), min_size=len(axes), max_size=len(axes)))
    if s is not None and name.startswith("irfft") and s[-1] == -1:
        s[-1] = 5  # in NumPy the length of the input, here that of the result
    norm = data.draw(st.sampled_from(NORMS))
    expected = getattr(np.fft, name)(x, s, axes, norm)
    close(getattr(ef.fft, name)(x, s=s, axes=axes, norm=norm), expected)
    close(getattr(np.fft, name)(ef.asarray(x), s, axes, norm), expected)


@pytest.mark.parametrize("name", SEVERAL)
def test_all_axes_as_numpy(name: str) -> None:
    x = values((3, 4), "f8" if name in OF_REAL else "c16")
    close(getattr(ef.fft, name)(x), getattr(np.fft, name)(x))


@pytest.mark.parametrize("n", [1, 4, 5])
def test_frequencies_as_numpy(n: int) -> None:
    close(ef.fft.fftfreq(n), np.fft.fftfreq(n))
    close(ef.fft.fftfreq(n, d=0.3), np.fft.fftfreq(n, d=0.3))
    close(ef.fft.rfftfreq(n, d=0.3), np.fft.rfftfreq(n, d=0.3))
    assert ef.fft.fftfreq(n, dtype=ef.float32).dtype == ef.float32
    x = values((n, 3))
    for axes in (None, 0, (0, 1), -1):
        close(ef.fft.fftshift(x, axes=axes), np.fft.fftshift(x, axes=axes))
        close(np.fft.ifftshift(ef.asarray(x), axes), np.fft.ifftshift(x, axes=axes))


def test_frequencies_have_a_gradient_with_respect_to_the_distance() -> None:
    slope = ef.grad(lambda d: ef.sum(ef.fft.rfftfreq(4, d) ** 2))(0.5)
    assert abs(float(slope) - (-2 * np.sum(np.fft.rfftfreq(4) ** 2) / 0.5**3)) < 1e-12


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", [*ONE, *SEVERAL])
def test_gradients(name: str, norm: str) -> None:
    x = ef.asarray(values((3, 5), "f8" if name in OF_REAL else "c16"))
    transform = getattr(ef.fft, name)
    ef.check_grads(lambda x: transform(x, norm=norm), [x], order=2)
    if name in ONE:
        for n in (3, 8):
            ef.check_grads(lambda x, n=n: transform(x, n=n, axis=0, norm=norm), [x], order=1)


def test_a_filter_written_for_numpy_has_a_gradient() -> None:
    def smooth(signal: Any) -> Any:
        spectrum = np.fft.rfft(signal)
        spectrum[3:] = 0
        return np.fft.irfft(spectrum, n=len(signal))

    x, target = values((16,)), np.zeros(16)
    slope = ef.grad(lambda x: np.sum((smooth(x) - target) ** 2))(ef.asarray(x)).numpy()
    np.testing.assert_allclose(slope, 2 * smooth(smooth(x)), atol=1e-10)  # it is a projection


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ef.fft.fft(ef.ones(0)), ShapeError, "fft: expected one point or more, got 0"),
        (lambda: ef.fft.fft(ef.ones(3), n=0), ShapeError, "one point"),
        (lambda: ef.fft.fft(ef.ones(3), n=2.5), DTypeError, "integer, got 2.5"),
        (lambda: ef.fft.fft(ef.ones(3), axis=1), ShapeError, "fft: axis 1 is out of range"),
        (lambda: ef.fft.fft(1.0), ShapeError, "no axes"),
        (lambda: ef.fft.fft(ef.ones(3), norm="unit"), ArgumentError, "norm is one of 'backward'"),
        (lambda: ef.fft.rfft(ef.ones(3, dtype=ef.complex128)), DTypeError, "rfft: expected real numbers.*see fft"),
        (lambda: ef.fft.irfft(ef.ones(1)), ShapeError, "irfft"),
        (lambda: ef.fft.fftn(ef.ones((2, 2)), s=(1,), axes=(0, 1)), ShapeError, "1 lengths in s, but 2 axes"),
        (lambda: ef.fft.fftn(ef.ones(2), s=(1, 1)), ShapeError, "2 axes of an array of shape"),
        (lambda: ef.fft.fftn(ef.ones((2, 2)), axes=(0, 0)), ShapeError, "repeated axis"),
        (lambda: ef.fft.rfftn(ef.ones((2, 2)), axes=()), ShapeError, "rfftn: expected one axis or more"),
        (lambda: ef.fft.fft2(ef.ones(2)), ShapeError, "fft"),
        (lambda: ef.fft.fftfreq(0), ShapeError, "fftfreq"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
