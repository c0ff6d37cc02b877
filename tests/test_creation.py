"""Arrays made from nothing, from numbers, and from the arrays of others; and their conversion."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef

CALLS: dict[str, Any] = {
    "zeros": lambda m: m.zeros((2, 0, 3)),
    "zeros_int": lambda m: m.zeros(3, dtype=np.int32),
    "ones": lambda m: m.ones(()),
    "full": lambda m: m.full((2, 2), 7),
    "full_dtype": lambda m: m.full(3, 1.5, dtype=np.float32),
    "zeros_like": lambda m: m.zeros_like(np.ones((2, 3), np.float32)),
    "ones_like": lambda m: m.ones_like([1, 2]),
    "full_like": lambda m: m.full_like(np.ones(2), 3),
    "arange": lambda m: m.arange(5),
    "arange_float": lambda m: m.arange(1.5, -2.0, -0.5),
    "arange_empty": lambda m: m.arange(3, 1),
    "arange_dtype": lambda m: m.arange(3, dtype=np.float32),
    "linspace": lambda m: m.linspace(0, 1, 7),
    "linspace_open": lambda m: m.linspace(2.0, -3.0, 4, endpoint=False),
    "linspace_one": lambda m: m.linspace(2.0, 3.0, 1),
    "linspace_none": lambda m: m.linspace(2.0, 3.0, 0),
    "linspace_int": lambda m: m.linspace(0, 10, 4, dtype=np.int64),
    "linspace_axis": lambda m: m.linspace(np.zeros(2), np.ones(2), 3, axis=-1),
    "logspace": lambda m: m.logspace(0, 2, 5, base=2.0),
    "geomspace": lambda m: m.geomspace(1.0, 1000.0, 4),
    "eye": lambda m: m.eye(3, 4, k=1),
    "identity": lambda m: m.identity(2),
    "tri": lambda m: m.tri(3, 4, k=-1),
    "indices": lambda m: m.indices((2, 3)),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_as_numpy(name: str) -> None:
    mine, theirs = CALLS[name](ef), CALLS[name](np)
    assert isinstance(mine, ef.Tensor)
    assert mine.dtype == theirs.dtype
    assert mine.shape == theirs.shape
    np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-15)


def test_default_dtype() -> None:
    ef.set_default_dtype(ef.float32)
    try:
        for made in (
            ef.zeros(1),
            ef.ones(1),
            ef.eye(1),
            ef.arange(1.0),
            ef.linspace(0, 1),
            ef.asarray([1.0]),
            ef.full(1, 2.0),
        ):
            assert made.dtype == np.float32
        assert ef.asarray(np.ones(1)).dtype == np.float64
        assert ef.asarray([1]).dtype == np.int64
    finally:
        ef.set_default_dtype(ef.float64)


def test_devices() -> None:
    ef.config.set_logical_devices("cpu", 2)
    try:
        for made in (
            ef.zeros(2, device="cpu:1"),
            ef.full(2, 1.0, device="cpu:1"),
            ef.arange(2, device="cpu:1"),
            ef.linspace(0, 1, 3, device="cpu:1"),
            ef.eye(2, device="cpu:1"),
            ef.asarray([1.0], device="cpu:1"),
            ef.zeros_like(ef.zeros(2, device="cpu:1")),
        ):
            assert repr(made.device) == "cpu:1"
        with ef.device("cpu:1"):
            assert repr(ef.ones(1).device) == "cpu:1"
            assert repr(ef.asarray([1.0]).device) == "cpu:1"
        x = ef.asarray([1.0, 2.0])
        with ef.GradientTape() as tape:
            tape.watch(x)
            far = (x * x).to("cpu:1")
            assert repr(far.device) == "cpu:1"
            y = (far * far).to("cpu:0")
            z = ef.sum(y + x)
        g = tape.gradient(z, x)
        assert repr(g.device) == "cpu:0"
        np.testing.assert_allclose(g.numpy(), [5, 33])
        with pytest.raises(ef.errors.DeviceError):
            x + x.to("cpu:1")
        with pytest.raises(ef.errors.DeviceError):
            x[0] = ef.ones((), device="cpu:1")
    finally:
        ef.config.set_logical_devices("cpu", 1)
    with pytest.raises(ef.errors.DeviceError):
        ef.zeros(2, device="cpu:7")


def test_gradients_pass_into_filled_and_spaced_arrays() -> None:
    x = ef.asarray(2.0)
    with ef.GradientTape(persistent=True) as tape:
        tape.watch(x)
        filled = ef.full((2, 3), x)
        spaced = ef.linspace(0.0, x, 5)
        nested = ef.asarray([x, 1.0, x * x])
    assert tape.gradient(filled, x).item() == 6
    assert tape.gradient(spaced, x).item() == pytest.approx(2.5)
    assert tape.gradient(nested, x).item() == 5


@given(
    source=st.sampled_from(["float64", "float32", "complex64", "int32", "uint8", "bool"]),
    target=st.sampled_from(["float64", "float32", "complex128", "int64", "int8", "bool"]),
)
def test_astype_as_numpy(source: str, target: str) -> None:
    array = np.array([0, 1, 2, 1]).astype(source)
    x = ef.asarray(array)
    if array.dtype.kind == "c" and target[0] in "fi":
        with pytest.raises(ef.errors.DTypeError, match="imaginary"):
            x.astype(target)
        return
    made = x.astype(target)
    assert made.dtype == np.dtype(target)
    np.testing.assert_array_equal(made.numpy(), array.astype(target))


def test_gradients_of_conversions() -> None:
    x = ef.asarray([1.5, 2.5], dtype=ef.float32)
    with ef.GradientTape(persistent=True) as tape:
        tape.watch(x)
        wide = x.astype(ef.float64) ** 2
        complex_ = ef.sum((x.astype(ef.complex64) * (1 + 2j)).imag)
        whole = x.astype(ef.int64).astype(ef.float32) * 2
        cut = ef.stop_gradient(x) * 2
        copied = ef.copy(x) * 2
    g = tape.gradient(wide, x)
    assert g.dtype == np.float32
    np.testing.assert_array_equal(g.numpy(), [3, 5])
    np.testing.assert_array_equal(tape.gradient(complex_, x).numpy(), [2, 2])
    np.testing.assert_array_equal(tape.gradient(copied, x).numpy(), [2, 2])
    with pytest.raises(ef.errors.GradientError, match="to_integer"):
        tape.gradient(whole, x)
    with pytest.raises(ef.errors.GradientError, match="stop_gradient cuts the gradient"):
        tape.gradient(cut, x)


@pytest.mark.parametrize("wrong", ["text", object, "U5", None, "datetime64[s]"])
def test_no_such_dtype(wrong: Any) -> None:
    with pytest.raises(ef.errors.DTypeError):
        ef.zeros(2).astype(wrong)


@pytest.mark.parametrize("wrong", ["text", object(), ["a"], {}, None])
def test_no_numbers(wrong: Any) -> None:
    with pytest.raises(ef.errors.DTypeError):
        ef.asarray(wrong)


def test_copies() -> None:
    array = np.arange(3.0)
    shared = ef.asarray(array, copy=False)
    own = ef.asarray(array)
    array[0] = 5.0
    assert shared.numpy()[0] == 5
    assert own.numpy()[0] == 0
    for wrong in ([1.0], array.tolist()):
        with pytest.raises(ef.errors.ArgumentError, match="copy=False"):
            ef.asarray(wrong, copy=False)
    with pytest.raises(ef.errors.ArgumentError, match="copy=False"):
        ef.asarray(array, dtype=ef.float32, copy=False)
    assert ef.array(1.0, ndmin=2).shape == (1, 1)


def test_dlpack() -> None:
    array = np.arange(3.0)
    x = ef.from_dlpack(array)
    array[0] = 9.0
    np.testing.assert_array_equal(x.numpy(), [0, 1, 2])
    assert ef.from_dlpack(array, copy=False).numpy()[0] == 9.0
    with pytest.raises(ef.errors.DTypeError, match="__dlpack__"):
        ef.from_dlpack([1.0])
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        np.testing.assert_array_equal(ef.from_dlpack(torch.ones(2)).numpy(), [1, 1])
