"""Shape, joining, sorting and padding against NumPy's own functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef
from indices import shapes

DTYPES = [np.float64, np.float32, np.complex128, np.int64, np.int8, np.bool_]
LAYOUTS: list[Any] = [lambda a: a, np.asfortranarray, lambda a: a[..., ::-1] if a.ndim else a]

# Each call is made on `ef` with Tensors and on `np` with arrays.
CALLS: dict[str, Any] = {
    "reshape": lambda m, a: m.reshape(a, (-1,)),
    "reshape_f": lambda m, a: m.reshape(a, a.shape[::-1], order="F"),
    "ravel": lambda m, a: m.ravel(a),
    "ravel_f": lambda m, a: m.ravel(a, "F"),
    "transpose": lambda m, a: m.transpose(a),
    "moveaxis": lambda m, a: m.moveaxis(a, 0, -1),
    "moveaxes": lambda m, a: m.moveaxis(a, (0, 1), (-1, 0)),
    "swapaxes": lambda m, a: m.swapaxes(a, 0, -1),
    "matrix_transpose": lambda m, a: m.matrix_transpose(a),
    "expand": lambda m, a: m.expand_dims(a, (0, -1)),
    "squeeze": lambda m, a: m.squeeze(a),
    "flip": lambda m, a: m.flip(a),
    "flip_axis": lambda m, a: m.flip(a, -1),
    "flipud": lambda m, a: m.flipud(a),
    "fliplr": lambda m, a: m.fliplr(a),
    "roll": lambda m, a: m.roll(a, 2),
    "roll_axes": lambda m, a: m.roll(a, (1, -2), (0, 1)),
    "rot90": lambda m, a: [m.rot90(a, k) for k in (-1, 0, 1, 2)],
    "repeat": lambda m, a: m.repeat(a, 3, 1),
    "repeat_flat": lambda m, a: m.repeat(a, 2),
    "tile": lambda m, a: m.tile(a, (2, 1, 3)),
    "tril": lambda m, a: m.tril(a, -1),
    "triu": lambda m, a: m.triu(a, 1),
    "diagonal": lambda m, a: m.diagonal(a, 1, -1, 0),
    "trace": lambda m, a: m.trace(a),
    "atleast": lambda m, a: [m.atleast_1d(a), m.atleast_2d(a), m.atleast_3d(a)],
    "broadcast_to": lambda m, a: m.broadcast_to(a, (2, *a.shape)),
    "broadcast_arrays": lambda m, a: list(m.broadcast_arrays(a, m.ravel(a)[:1])),
    "pad": lambda m, a: m.pad(a, 1),
    "concat": lambda m, a: m.concat([a, a[:1], a]),
    "concat_flat": lambda m, a: m.concat([a, a], None),
    "stack": lambda m, a: m.stack([a, a], -1),
    "vstack": lambda m, a: m.vstack([a, a]),
    "hstack": lambda m, a: m.hstack([a, a]),
    "dstack": lambda m, a: m.dstack([a, a]),
    "column_stack": lambda m, a: m.column_stack([a, a]),
    "split": lambda m, a: m.split(a, [1, 5], 1),
    "split_disorder": lambda m, a: m.split(a, [2, 1], 0),
    "array_split": lambda m, a: m.array_split(a, 3),
    "unstack": lambda m, a: list(m.unstack(a, axis=1)),
    "meshgrid": lambda m, a: list(m.meshgrid(m.ravel(a), m.ravel(a)[:2])),
    "meshgrid_ij": lambda m, a: list(m.meshgrid(m.ravel(a), m.ravel(a)[:2], indexing="ij", sparse=True)),
    "diag": lambda m, a: m.diag(m.ravel(a)[:3], -1),
    "sort": lambda m, a: m.sort(a, 0) if a.dtype.kind != "c" else a,
    "argsort": lambda m, a: m.argsort(a, -1, stable=True) if a.dtype.kind != "c" else a,
    "unique": lambda m, a: list(m.unique_all(a)),
    "unique_more": lambda m, a: list(m.unique(a, return_index=True, return_counts=True)),
}


def flat(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


@pytest.mark.parametrize("name", list(CALLS))
@given(
    data=st.data(), shape=shapes(min_dims=2, max_dims=3), dtype=st.sampled_from(DTYPES), layout=st.sampled_from(LAYOUTS)
)
def test_as_numpy(name: str, data: st.DataObject, shape: tuple[int, ...], dtype: Any, layout: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    array = layout(rng.integers(-3, 4, shape).astype(dtype))
    call = CALLS[name]
    try:
        expected = flat(call(np, array))
    except (ValueError, IndexError):
        with pytest.raises((ValueError, IndexError)):
            call(ef, ef.asarray(array))
        return
    results = flat(call(ef, ef.asarray(array)))
    assert len(results) == len(expected)
    for mine, theirs in zip(results, expected, strict=True):
        assert isinstance(mine, ef.Tensor)
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine.numpy(), theirs)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap"])
@pytest.mark.parametrize("width", [1, (2, 0), ((0, 1), (3, 2))])
def test_pad_modes(mode: str, width: Any) -> None:
    array = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(ef.pad(array, width, mode).numpy(), np.pad(array, width, mode))
    if mode == "constant":
        mine = ef.pad(array, width, constant_values=(1, 2))
        np.testing.assert_array_equal(mine.numpy(), np.pad(array, width, constant_values=(1, 2)))
    x = ef.asarray(array)
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = ef.pad(x, width, mode)
    weights = np.random.default_rng(0).normal(size=y.shape)
    g = tape.gradient(y, x, weights).numpy()
    expected = np.zeros(6)
    places = np.pad(np.arange(6).reshape(2, 3), width, mode, **({"constant_values": -1} if mode == "constant" else {}))
    np.add.at(expected, places[places >= 0], weights[places >= 0])
    np.testing.assert_allclose(g.reshape(-1), expected)


def test_repeat_by_position_and_its_gradient() -> None:
    x = ef.asarray([1.0, 2.0, 3.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = ef.repeat(x, [2, 0, 3])
    np.testing.assert_array_equal(y.numpy(), [1, 1, 3, 3, 3])
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [2, 0, 3])


def test_sort_descending() -> None:
    array = np.array([[3.0, 1.0, np.nan, 1.0], [0.0, -1.0, 5.0, 2.0]])
    np.testing.assert_array_equal(ef.sort(array, descending=True).numpy(), np.sort(array)[:, ::-1])
    ties = ef.argsort([1, 0, 1, 0], descending=True)
    np.testing.assert_array_equal(ties.numpy(), [0, 2, 1, 3])


@given(side=st.sampled_from(["left", "right"]), values=st.lists(st.integers(-3, 12)))
def test_searchsorted(side: Any, values: list[int]) -> None:
    line = np.array([0, 2, 2, 5, 9])
    np.testing.assert_array_equal(
        ef.searchsorted(line, np.array(values, np.int64), side=side).numpy(), np.searchsorted(line, values, side)
    )


def test_unused_parts_have_zero_gradient() -> None:
    x = ef.asarray([1.0, 2.0, 3.0, 4.0, 5.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        parts = ef.split(x, [2, 3])
        y = ef.sum(parts[0] ** 2) + ef.sum(parts[2])
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [2, 4, 0, 1, 1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ef.reshape(ef.zeros(6), (4, 2)), "reshape: .*6"),
        (lambda: ef.reshape(ef.zeros(6), (-1, -1)), "reshape"),
        (lambda: ef.broadcast_to(ef.zeros(3), (2, 4)), "broadcast_to"),
        (lambda: ef.permute_dims(ef.zeros((2, 3)), (0, 0)), "repeated axis"),
        (lambda: ef.permute_dims(ef.zeros((2, 3)), (0,)), "no order"),
        (lambda: ef.squeeze(ef.zeros((2, 1)), axis=0), "length 2, expected 1"),
        (lambda: ef.expand_dims(ef.zeros(2), axis=5), "out of range"),
        (lambda: ef.concat([ef.zeros((2, 3)), ef.zeros((2, 4))]), r"position 1, \(2, 4\)"),
        (lambda: ef.concat([]), "one array or more"),
        (lambda: ef.stack([ef.zeros(2), ef.zeros(3)]), "one shape"),
        (lambda: ef.split(ef.zeros(5), 2), "array_split"),
        (lambda: ef.flip(ef.zeros(2), axis=1), "out of range"),
        (lambda: ef.tril(ef.zeros(3)), "expected a matrix"),
        (lambda: ef.pad(ef.zeros(3), -1), "not negative"),
        (lambda: ef.zeros(-1), "not negative"),
    ],
)
def test_errors_name_the_op_and_the_line(call: Any, words: str) -> None:
    with pytest.raises(ef.errors.ShapeError, match=words) as caught:
        call()
    assert "test_shape.py" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ef.pad(ef.zeros(3), 1, "sideways"), "mode"),
        (lambda: ef.arange(0, 3, 0), "step"),
        (lambda: ef.reshape(ef.zeros(4), (2, 2), order="K"), "order"),
    ],
)
def test_errors_of_other_arguments_name_the_op_and_the_line(call: Any, words: str) -> None:
    with pytest.raises(ef.errors.ArgumentError, match=words) as caught:
        call()
    assert "test_shape.py" in str(caught.value)
