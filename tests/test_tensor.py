"""Tensor and Variable: conversion, repr, pickle, copy, DLPack, scalars, assignment."""

from __future__ import annotations

import array
import copy
import pickle
import warnings
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import eagerflow as ef
import kinds  # noqa: F401 - registers the kind 'far'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ef.asarray([1.0, 2.5]), "Tensor([1. , 2.5])"),
        (ef.asarray(3), "Tensor(3)"),
        (ef.asarray([True, False]), "Tensor([ True, False])"),
        (ef.asarray([1.0], dtype="float32"), "Tensor([1.], dtype=float32)"),
        (ef.zeros((0, 3)), "Tensor([], shape=(0, 3), dtype=float64)"),
        (ef.Variable([1.0, 2.0], name="w"), "Variable([1., 2.], name='w')"),
        (ef.Variable(1, trainable=False), "Variable(1, trainable=False)"),
    ],
)
def test_repr(value: Any, expected: str) -> None:
    assert repr(value) == expected


def test_repr_of_large_and_matrix_and_far_tensors() -> None:
    text = repr(ef.zeros((100, 100)))
    assert "shape=(100, 100)" in text and len(text) < 600
    assert repr(ef.asarray([[1, 2], [3, 4]])) == "Tensor([[1, 2],\n        [3, 4]])"
    assert repr(ef.asarray([1, 2], device="far:1")) == "Tensor([1, 2], device=far:1)"
    assert f"{ef.asarray(1.23456):.2f}" == "1.23"
    assert str(ef.asarray([1, 2])) == "[1 2]"


def test_conversion_copies_so_that_a_tensor_is_a_value() -> None:
    a = np.array([1.0, 2.0])
    t = ef.asarray(a)
    a[0] = 99
    np.testing.assert_array_equal(t.numpy(), [1.0, 2.0])
    view = t.numpy()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    t[0] = 50
    np.testing.assert_array_equal(view, [1.0, 2.0])


def test_operands_are_copied_when_they_are_kept_for_the_gradient() -> None:
    a = np.array([1.0, 2.0])
    x = ef.asarray([3.0, 4.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = a * x
    a[:] = 0
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [1.0, 2.0])


def test_lists_of_tensors_become_a_recorded_stack() -> None:
    x = ef.asarray(2.0)
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = ef.asarray([[x, x * x], [1.0, 0.0]])
    assert y.shape == (2, 2)
    assert tape.gradient(y, x).item() == 5.0


@pytest.mark.parametrize("value", ["text", [1.0, "a"], object(), None, [None]])
def test_no_numbers_no_tensor(value: Any) -> None:
    with pytest.raises(ef.errors.DTypeError, match="asarray"):
        ef.asarray(value)


def test_ragged_lists_are_refused() -> None:
    with pytest.raises(ef.errors.ShapeError, match="unequal lengths"):
        ef.asarray([[1.0], [1.0, 2.0]])


def test_python_scalars() -> None:
    assert float(ef.asarray([2.5])) == 2.5
    assert int(ef.asarray(3)) == 3
    assert complex(ef.asarray(1j)) == 1j
    assert [10, 20, 30][ef.asarray(1)] == 20
    assert bool(ef.asarray(True))
    assert ef.asarray([[1.5]]).item() == 1.5
    assert ef.asarray([[1, 2]]).tolist() == [[1, 2]]
    with pytest.raises(ef.errors.DTypeError, match="float64"):
        [1][ef.asarray(0.0)]
    with pytest.raises(ef.errors.ShapeError, match="ambiguous"):
        bool(ef.asarray([1, 2]))
    with pytest.raises(ef.errors.ShapeError, match="one element"):
        float(ef.asarray([1.0, 2.0]))
    with pytest.raises(TypeError, match="no length"):
        len(ef.asarray(1.0))
    assert len(ef.zeros((3, 2))) == 3


def test_scalars_are_weak_and_promotion_is_numpys() -> None:
    x = ef.ones(2, dtype="float32")
    assert (x * 2.0).dtype == (2 + x).dtype == (x**0.5).dtype == np.float32
    assert (x * 1j).dtype == np.complex64
    assert (x * np.float64(2)).dtype == (np.float64(2) * x).dtype == np.float64
    assert (ef.asarray([1, 2]) * 1.5).dtype == np.float64
    assert (ef.asarray([1, 2], dtype="int8") + 1).dtype == np.int8
    b = ef.asarray([1.0, 2.0], dtype=ef.bfloat16)
    assert (b * 2.0).dtype == b.dtype == np.dtype(ml_dtypes.bfloat16)
    assert (b + ef.ones(2, dtype="float32")).dtype == np.float32


def test_default_dtype() -> None:
    ef.set_default_dtype(ef.float32)
    try:
        assert ef.asarray([1.0]).dtype == ef.zeros(2).dtype == ef.asarray(1.0).dtype == np.float32
        assert ef.asarray(1j).dtype == np.complex64
        assert ef.asarray(np.ones(2)).dtype == np.float64
        assert ef.asarray([1]).dtype == np.int64
    finally:
        ef.set_default_dtype(ef.float64)
    with pytest.raises(ef.errors.DTypeError, match="int32"):
        ef.set_default_dtype("int32")


def test_gradients_in_bfloat16() -> None:
    x = ef.asarray([1.0, 2.0], dtype=ef.bfloat16)
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    g = tape.gradient(y, x)
    assert g.dtype == ef.bfloat16
    np.testing.assert_array_equal(g.numpy().astype(float), [2.0, 4.0])


def test_pickle_and_copy() -> None:
    t = ef.asarray(np.arange(6.0).reshape(2, 3))
    v = ef.Variable([1.0, 2.0], name="v", trainable=False)
    for other in (pickle.loads(pickle.dumps(t)), copy.copy(t), copy.deepcopy(t)):
        np.testing.assert_array_equal(other.numpy(), t.numpy())
        other[0, 0] = 50.0
    assert t[0, 0].item() == 0.0
    for w in (pickle.loads(pickle.dumps(v)), copy.copy(v), copy.deepcopy(v)):
        assert (w.name, w.trainable, w.dtype) == ("v", False, v.dtype)
        w.assign([5.0, 6.0])
    np.testing.assert_array_equal(v.numpy(), [1.0, 2.0])


def test_dlpack_with_numpy_both_ways() -> None:
    t = ef.asarray([1.0, 2.0])
    a = np.from_dlpack(t)
    np.testing.assert_array_equal(a, [1.0, 2.0])
    t[0] = 5.0
    np.testing.assert_array_equal(a, [1.0, 2.0])
    np.testing.assert_array_equal(ef.from_dlpack(np.arange(3)).numpy(), [0, 1, 2])
    assert t.__dlpack_device__() == np.ones(1).__dlpack_device__()


def test_dlpack_with_torch_both_ways() -> None:
    torch = pytest.importorskip("torch")
    t = ef.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    imported = torch.from_dlpack(t)
    imported[0, 0] = 100.0
    assert t[0, 0].item() == 0.0
    back = ef.from_dlpack(imported)
    np.testing.assert_array_equal(back.numpy(), imported.numpy())


class TestVariable:
    def test_assignments(self) -> None:
        v = ef.Variable([1.0, 2.0])
        before = v.value
        buffer = v._value._held
        v.assign([3.0, 4.0]).assign_add([1.0, 1.0]).assign_sub(ef.asarray([2.0, 2.0]))
        np.testing.assert_array_equal(v.numpy(), [2.0, 3.0])
        np.testing.assert_array_equal(before.numpy(), [1.0, 2.0])
        v += 1
        v -= 0.5
        v[0] = 9.0
        np.testing.assert_array_equal(v.numpy(), [9.0, 3.5])
        del buffer

    def test_in_place_only_when_nothing_else_sees_the_value(self) -> None:
        v = ef.Variable(np.ones(3))
        address = v._value._held.ctypes.data
        v.assign_add(np.ones(3))
        assert v._value._held.ctypes.data == address
        seen = v.value
        v.assign_add(np.ones(3))
        np.testing.assert_array_equal(seen.numpy(), [2.0, 2.0, 2.0])
        np.testing.assert_array_equal(v.numpy(), [3.0, 3.0, 3.0])

    def test_assigning_what_another_holds_shares_nothing(self) -> None:
        t, a = ef.asarray([1.0, 2.0]), np.array([3.0, 4.0])
        v = ef.Variable(t)
        w = ef.Variable([0.0, 0.0]).assign(t)
        u = ef.Variable([0.0, 0.0]).assign(a)
        for variable in (v, w, u):
            variable.assign_add([10.0, 10.0])
        np.testing.assert_array_equal(t.numpy(), [1.0, 2.0])
        np.testing.assert_array_equal(a, [3.0, 4.0])

    @pytest.mark.parametrize("method", ["assign", "assign_add", "assign_sub"])
    @pytest.mark.parametrize(
        ("value", "error", "match"),
        [
            ([1.0, 2.0, 3.0], ef.errors.ShapeError, r"'w' has shape \(2,\), got shape \(3,\)"),
            (1.0, ef.errors.ShapeError, r"got shape \(\)"),
            ([1j, 2j], ef.errors.DTypeError, "dtype float32, got complex128"),
            (["a", "b"], ef.errors.DTypeError, "asarray"),
        ],
    )
    def test_what_does_not_fit_leaves_it_as_it_was(self, method: str, value: Any, error: Any, match: str) -> None:
        v = ef.Variable([1.0, 2.0], name="w", dtype="float32")
        if method != "assign" and value == 1.0:
            value = [1.0]  # a number can be added to all elements, an array of another shape not
            match = r"got shape \(1,\)"
        with pytest.raises(error, match=match):
            getattr(v, method)(value)
        np.testing.assert_array_equal(v.numpy(), [1.0, 2.0])

    def test_float_into_integer_is_refused(self) -> None:
        v = ef.Variable([1, 2])
        with pytest.raises(ef.errors.DTypeError, match="int64"):
            v.assign([1.5, 2.5])
        with pytest.raises(ef.errors.DTypeError, match="int64"):
            v.assign_add(0.5)
        np.testing.assert_array_equal(v.numpy(), [1, 2])

    def test_is_usable_wherever_a_tensor_is(self) -> None:
        v = ef.Variable([[1.0, 2.0], [3.0, 4.0]])
        np.testing.assert_array_equal((v @ v).numpy(), v.numpy() @ v.numpy())
        np.testing.assert_array_equal(ef.sum(v, axis=0).numpy(), [4.0, 6.0])
        np.testing.assert_array_equal(np.tanh(v).numpy(), np.tanh(v.numpy()))
        np.testing.assert_array_equal(v.T[0].numpy(), [1.0, 3.0])
        np.testing.assert_array_equal((np.ones((2, 2)) - v).numpy(), 1 - v.numpy())
        assert v.sum().item() == 10.0
        assert {v: "hashable by identity"}[v]


def test_arrays_of_others_keep_their_dtype() -> None:
    class Others:
        dtype = np.dtype(np.float32)

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            return np.ones(2, np.float32)

    for value in (Others(), array.array("f", [1.0]), [np.float32(1.0)], memoryview(np.ones(2, np.float32))):
        assert ef.asarray(value).dtype == np.float32
    ef.set_default_dtype(ef.float32)
    try:
        assert ef.asarray([1.0]).dtype == np.float32
        assert ef.asarray(np.ones(2)).dtype == np.float64
        assert ef.asarray(1j).dtype == np.complex64
        assert ef.sin(1.0).dtype == np.float32
    finally:
        ef.set_default_dtype(ef.float64)


def test_subclasses_of_numpy_arrays() -> None:
    masked = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    for f in (ef.asarray, ef.sin, lambda x: ef.ones(2) + x):
        with pytest.raises(ef.errors.DTypeError, match="mask"):
            f(masked)
    np.testing.assert_array_equal(ef.asarray(np.ma.masked_array([1.0, 2.0])).numpy(), [1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(ef.asarray(matrix).numpy(), np.asarray(matrix))
    for f in (lambda x: ef.ones((2, 2)) * x, lambda x: x * ef.ones((2, 2)), ef.sin):
        with pytest.raises(ef.errors.DTypeError, match=r"np\.matrix"):
            f(matrix)
    raw = ef.ones(2, device="far:0")._held  # a kind whose arrays are a subclass of NumPy's
    assert ef.asarray(raw).device is ef.devices.of_array(raw)
    assert type(ef.asarray(raw)._held) is type(raw)


def test_dlpack_without_a_copy_is_read_only() -> None:
    x = ef.ones(3)
    shared = np.from_dlpack(x, copy=False)
    assert np.shares_memory(shared, x.numpy())
    with pytest.raises(ValueError, match="read-only"):
        shared[0] = 5.0
    x[0] = 7.0
    np.testing.assert_array_equal(shared, [1, 1, 1])


@pytest.mark.parametrize("device", ["cpu:0", "far:0"])
def test_python_scalars_go_where_the_tensor_is(device: str) -> None:
    x = ef.ones(3, device=device)
    x[0] = 5.0
    x[[1]] = 6
    np.testing.assert_array_equal(x.numpy(), [5, 6, 1])

    def f(y: Any) -> Any:
        z = y * 1.0
        z[0] = 0.0
        return ef.sum(z * z)

    gradient = ef.grad(f)(x)
    assert gradient.device is x.device
    np.testing.assert_array_equal(gradient.numpy(), [0, 12, 2])


class TestVariableAssignment:
    def test_elements_are_written_in_place_where_nothing_else_sees_them(self) -> None:
        v = ef.Variable(np.zeros(1000))
        address = v._value._held.ctypes.data
        v[0] = 1.0
        v[1:3] = [2.0, 3.0]
        v[[3, 4]] = ef.asarray([4.0, 5.0])
        assert v._value._held.ctypes.data == address
        held = v.value
        v[0] = 9.0
        assert (held[0].item(), v[0].item()) == (1.0, 9.0)
        assert v._value._held.ctypes.data != address

    def test_elements_in_a_tape(self) -> None:
        v, w = ef.Variable([1.0, 2.0]), ef.Variable([3.0])
        with ef.GradientTape() as tape:
            y = v * v
            v[0] = w[0] * 10.0
            v[1] += 1.0
            loss = ef.sum(y) + ef.sum(w)
        np.testing.assert_array_equal(v.numpy(), [30, 3])
        assert v._value._rec is None
        np.testing.assert_array_equal(tape.gradient(loss, v).numpy(), [2, 4])

    @pytest.mark.parametrize(
        ("index", "value", "error", "match"),
        [
            (0, [1.0, 2.0], ef.errors.ShapeError, r"setitem.*\(2,\).*\(\)"),
            (0, 1j, ef.errors.DTypeError, "setitem: Variable 'v' has dtype float64, got complex128"),
            (7, 1.0, ef.errors.IndexOutOfBoundsError, "setitem.*7"),
            ([0, 7], 1.0, ef.errors.IndexOutOfBoundsError, "setitem.*7"),
            (0, ef.ones((), device="far:0"), ef.errors.DeviceError, "cpu:0.*far:0"),
            (0, "text", ef.errors.DTypeError, "text"),
        ],
    )
    def test_elements_that_do_not_fit(self, index: Any, value: Any, error: Any, match: str) -> None:
        v = ef.Variable([1.0, 2.0], name="v")
        with pytest.raises(error, match=match):
            v[index] = value
        np.testing.assert_array_equal(v.numpy(), [1, 2])

    def test_floats_do_not_fit_integers(self) -> None:
        count = ef.Variable(np.array([1, 2], np.uint8), name="count")
        for value in (2.7, [1.0, 2.0], ef.asarray(1.5)):
            with pytest.raises(ef.errors.DTypeError, match="'count' has dtype uint8"):
                count[:] = value
        count[:] = [3, 4]
        np.testing.assert_array_equal(count.numpy(), [3, 4])

    def test_values_of_another_device_are_refused(self) -> None:
        v = ef.Variable([1.0])
        for method in (v.assign, v.assign_add, v.assign_sub):
            with pytest.raises(ef.errors.DeviceError, match=r"cpu:0.*far:0"):
                method(ef.ones(1, device="far:0"))
        np.testing.assert_array_equal(v.numpy(), [1])
