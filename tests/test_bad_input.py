"""Bad input: errors that name the op, what came and what was expected, and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
import kinds  # noqa: F401 - registers the kind 'far'

T = ef.asarray(np.ones((2, 3)))
E = ef.errors

CASES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "shapes that do not broadcast": (lambda: T + ef.ones(4), E.ShapeError, r"add.*\(2, 3\) and \(4,\).*broadcast"),
    "the same through an operator with an array": (lambda: np.ones(4) * T, E.ShapeError, r"multiply.*broadcast"),
    "where": (lambda: ef.where(T > 0, T, ef.ones(4)), E.ShapeError, r"where.*\(2, 3\)"),
    "inner dimensions": (lambda: T @ ef.ones((4, 5)), E.ShapeError, r"matmul.*(3.*4|\(2, 3\).*\(4, 5\))"),
    "tensordot": (lambda: ef.tensordot(T, ef.ones((4, 5)), axes=1), E.ShapeError, "tensordot"),
    "axis out of range": (lambda: ef.sum(T, axis=2), E.ShapeError, r"sum: axis 2 is out of range: expected -2 to 1"),
    "axis out of range through a method": (lambda: T.mean(axis=-3), E.ShapeError, r"mean: axis -3"),
    "axis of softmax": (lambda: ef.nn.softmax(T, axis=5), E.ShapeError, r"softmax: axis 5"),
    "repeated axis": (lambda: ef.sum(T, axis=(0, -2)), E.ShapeError, "repeated axis"),
    "axis of a wrong type": (lambda: ef.sum(T, axis=1.5), E.DTypeError, "axis"),
    "unknown einsum letter": (lambda: ef.einsum("ij->ik", T), E.ShapeError, r"einsum.*k"),
    "einsum dimensions": (lambda: ef.einsum("ij,jk->ik", T, T), E.ShapeError, r"einsum.*j"),
    "einsum operands": (lambda: ef.einsum("ij,jk->ik", T), E.ShapeError, "einsum"),
    "reshape": (lambda: ef.reshape(T, (4, 2)), E.ShapeError, r"reshape.*\[2, 3\].*\(4, 2\)"),
    "concat": (lambda: ef.concat([T, ef.ones((2, 4))], axis=0), E.ShapeError, "concat"),
    "stack": (lambda: ef.stack([T, ef.ones((2, 4))]), E.ShapeError, "stack"),
    "label out of range": (
        lambda: ef.nn.softmax_cross_entropy(T, ef.asarray([0, 3])),
        E.IndexOutOfBoundsError,
        r"softmax_cross_entropy.*3",
    ),
    "negative label": (lambda: ef.nn.softmax_cross_entropy(T, [0, -1]), E.IndexOutOfBoundsError, "-1"),
    "labels of a wrong shape": (lambda: ef.nn.softmax_cross_entropy(T, [0, 1, 2]), E.ShapeError, "softmax_cross"),
    "embedding id": (lambda: ef.nn.embedding(T, [0, 2]), E.IndexOutOfBoundsError, "embedding.*2"),
    "index out of bounds": (lambda: T[5], E.IndexOutOfBoundsError, r"5.*\(2, 3\)|5.*size 2|axis 0.*5"),
    "index array out of bounds": (lambda: T[[0, 7]], E.IndexOutOfBoundsError, "7"),
    "too many indices": (lambda: T[0, 0, 0], E.IndexOutOfBoundsError, "indices"),
    "mask of a wrong shape": (lambda: T[ef.asarray([True, False, True])], E.IndexOutOfBoundsError, "boolean|mask"),
    "take out of bounds": (lambda: ef.take(T, [3], axis=1), E.IndexOutOfBoundsError, "take.*3"),
    "index of a wrong type": (lambda: T[1.5], (IndexError, TypeError), "1.5|integers"),  # type: ignore[dict-item]
    "two devices": (lambda: T + ef.ones((2, 3), device="far:0"), E.DeviceError, r"cpu:0.*far:0"),
    "inverse of no square": (lambda: ef.linalg.inv(T), E.ShapeError, "inv.*square"),
    "cholesky of no square": (lambda: ef.linalg.cholesky(T), E.ShapeError, "cholesky"),
    "convolution channels": (
        lambda: ef.nn.conv2d(ef.ones((1, 3, 8, 8)), ef.ones((4, 2, 3, 3))),
        E.ShapeError,
        "conv2d",
    ),
    "kernel larger than the image": (
        lambda: ef.nn.conv2d(ef.ones((1, 2, 3, 3)), ef.ones((4, 2, 5, 5))),
        E.ShapeError,
        "conv2d",
    ),
    "text": (lambda: ef.sin("hello"), E.DTypeError, "hello|str"),
    "integer beyond the dtype": (lambda: ef.ones(3, dtype="uint8") + 300, E.DTypeError, "add.*300.*uint8"),
    "unknown option": (lambda: ef.take(T, [0], axis=0, mode="round"), E.ArgumentError, "take: mode is one of.*round"),
    "number out of its range": (lambda: ef.quantile(T, 1.5), E.ArgumentError, "quantile: q is from 0 to 1, got 1.5"),
    "rate of dropout": (lambda: ef.nn.dropout(T, 1.0), E.ArgumentError, "dropout: .*rate.*1.0"),
    "rules for bins": (lambda: ef.histogram(T, "best"), E.ArgumentError, "histogram: bins is one of.*best"),
    "edges of bins": (lambda: ef.histogram(T, [1.0, 0.0]), E.ArgumentError, "histogram: .*ascending"),
    "range of bins": (lambda: ef.histogram(T, "auto", (1, 0)), E.ArgumentError, "histogram: the range"),
    "degree": (lambda: ef.polyfit([0.0, 1.0], [0.0, 1.0], -1), E.ArgumentError, "polyfit: deg is not negative"),
    "bitwise on floats": (lambda: T & T, E.DTypeError, "bitwise_and.*float64"),
}


@pytest.mark.parametrize("make", [ef.asarray, ef.Variable])
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_error_names_the_op_and_what_came(name: str, recorded: bool, make: Any, monkeypatch: Any) -> None:
    function, kind, match = CASES[name]
    holder = make(np.ones((2, 3)))
    monkeypatch.setitem(globals(), "T", holder)
    with ef.GradientTape() as tape:
        if recorded:
            tape.watch(holder)
        with pytest.raises(kind, match=f"(?s){match}"):
            function()
        total = ef.sum(holder * holder)
    np.testing.assert_array_equal(holder.numpy(), np.ones((2, 3)))
    if recorded:
        np.testing.assert_array_equal(tape.gradient(total, holder).numpy(), np.full((2, 3), 2.0))


def test_a_failed_assignment_says_which_shape_was_expected() -> None:
    x = ef.asarray(np.arange(6.0).reshape(2, 3))
    for index, value, shapes in ((0, np.ones(2), r"\(2,\).*\(3,\)"), ((0, 0), np.ones(2), r"\(2,\).*\(\)")):
        for held in (None, x.T):
            with pytest.raises(ef.errors.ShapeError, match=f"setitem: a value of shape {shapes}"):
                x[index] = value
            del held
    count = ef.arange(3)
    with pytest.raises(ef.errors.DTypeError, match="setitem: nan has no counterpart in dtype int64"):
        count[0] = float("nan")
    np.testing.assert_array_equal(count.numpy(), [0, 1, 2])


def test_error_names_the_users_own_line() -> None:
    with pytest.raises(ef.errors.ShapeError, match=r"test_bad_input\.py:\d+: T \+ ef\.ones\(5\)"):
        T + ef.ones(5)


@pytest.mark.parametrize(
    ("index", "value"),
    [(5, 1.0), ([0, 9], 1.0), (0, [1.0, 2.0]), (0, 1j), ((0, 0, 0), 1.0), (0, "text")],
)
def test_a_failed_assignment_leaves_the_tensor_as_it_was(index: Any, value: Any) -> None:
    x = ef.asarray(np.arange(6.0).reshape(2, 3))
    with pytest.raises(ef.errors.EagerflowError):
        x[index] = value
    np.testing.assert_array_equal(x.numpy(), np.arange(6.0).reshape(2, 3))


def test_a_failed_in_place_operation_leaves_the_tensor_as_it_was() -> None:
    x = ef.asarray([1, 2])
    for value, error in ((1.5, ef.errors.DTypeError), (ef.ones((3, 2), dtype="int64"), ef.errors.ShapeError)):
        with pytest.raises(error):
            x += value
    np.testing.assert_array_equal(x.numpy(), [1, 2])


def test_every_error_is_the_built_in_that_fits() -> None:
    pairs = {
        "ArgumentError": ValueError,
        "ShapeError": ValueError,
        "DTypeError": TypeError,
        "IndexOutOfBoundsError": IndexError,
        "DeviceError": RuntimeError,
        "GradientError": RuntimeError,
        "CheckpointError": ValueError,
        "MissingExtraError": ImportError,
    }
    for name, builtin in pairs.items():
        error = getattr(ef.errors, name)
        assert issubclass(error, builtin) and issubclass(error, ef.errors.EagerflowError)
