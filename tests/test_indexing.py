"""Reading and writing by index, against NumPy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import eagerflow as ef
from indices import index_expressions, shapes


def numbers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def as_tensors(index: Any) -> Any:
    """Return the same index with Tensors for its arrays."""
    if isinstance(index, tuple):
        return tuple(as_tensors(item) for item in index)
    return ef.asarray(index) if isinstance(index, np.ndarray) else index


def fits(shape: tuple[int, ...], index: Any) -> np.ndarray:
    """Return positions selected by `index`, or reject an index that NumPy does not take."""
    try:
        return np.arange(int(np.prod(shape))).reshape(shape)[index]
    except IndexError:
        assume(False)
        raise


@given(data=st.data(), shape=shapes(), tensors=st.booleans())
def test_getitem_and_its_gradient(data: st.DataObject, shape: tuple[int, ...], tensors: bool) -> None:
    index = data.draw(index_expressions(shape))
    places = fits(shape, index)
    array = numbers(shape)
    x = ef.asarray(array)
    with ef.GradientTape() as tape:
        tape.watch(x)
        part = x[as_tensors(index) if tensors else index]
    expected = np.asarray(array[index])
    np.testing.assert_array_equal(part.numpy(), expected)
    weights = numbers(expected.shape, 1)
    g = tape.gradient(part, x, weights)
    summed = np.bincount(places.reshape(-1), weights.reshape(-1), minlength=array.size).reshape(shape)
    np.testing.assert_allclose(g.numpy(), summed, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(x.numpy(), array)


@given(data=st.data(), shape=shapes(), shared=st.booleans(), leading=st.booleans())
def test_setitem_and_its_gradients(data: st.DataObject, shape: tuple[int, ...], shared: bool, leading: bool) -> None:
    index = data.draw(index_expressions(shape))
    places = fits(shape, index)
    part = places.shape
    kept = data.draw(st.integers(0, len(part)))
    value = numbers(tuple(data.draw(st.sampled_from([1, n])) for n in part[len(part) - kept :]), 2)
    if leading and part:
        value = value.reshape((1,) * (len(part) + 1 - value.ndim) + value.shape)
    array = numbers(shape)
    expected = array.copy()
    try:
        expected[index] = value
    except TypeError:
        assume(False)  # NumPy takes no values with more axes for a mask
    x, v = ef.asarray(array), ef.asarray(value)
    with ef.GradientTape() as tape:
        tape.watch([x, v])
        y = ef.copy(x) if shared else x * 1
        y[index] = v
    np.testing.assert_array_equal(y.numpy(), expected)
    np.testing.assert_array_equal(x.numpy(), array)
    weights = numbers(shape, 3)
    gx, gv = tape.gradient(y, [x, v], weights)
    # Which write won at each place, by writing numbers.
    written = np.full(shape, -1)
    numbered = np.arange(places.size).reshape(part)
    written[index] = numbered
    np.testing.assert_array_equal(gx.numpy(), np.where(written < 0, weights, 0))
    won = np.where(written[index] == numbered, weights[index], 0.0)
    spread = np.broadcast_to(np.arange(value.size).reshape(value.shape), (1,) * (value.ndim - len(part)) + part)
    summed = np.bincount(spread.reshape(-1), np.asarray(won).reshape(-1), minlength=value.size)
    np.testing.assert_allclose(gv.numpy(), summed.reshape(value.shape), rtol=1e-12, atol=1e-12)


@given(data=st.data(), shape=shapes(max_dims=3))
def test_augmented_assignment_to_a_part(data: st.DataObject, shape: tuple[int, ...]) -> None:
    index = data.draw(index_expressions(shape))
    fits(shape, index)
    array = numbers(shape)
    x = ef.asarray(array)
    before = x.numpy()
    expected = array.copy()
    expected[index] += 2.5
    x[index] += 2.5
    np.testing.assert_array_equal(x.numpy(), expected)
    np.testing.assert_array_equal(before, array)


@given(data=st.data(), shape=shapes(max_dims=3))
def test_pure_setitem_leaves_its_input_alone(data: st.DataObject, shape: tuple[int, ...]) -> None:
    index = data.draw(index_expressions(shape))
    fits(shape, index)
    array = numbers(shape)
    x = ef.asarray(array)
    expected = array.copy()
    expected[index] = 7
    np.testing.assert_array_equal(ef.setitem(x, index, 7).numpy(), expected)
    np.testing.assert_array_equal(x.numpy(), array)


def test_gradient_adds_up_where_an_index_repeats() -> None:
    for dtype in (np.float64, np.float32, np.complex128):
        table = ef.asarray(numbers((5, 3)).astype(dtype))
        with ef.GradientTape() as tape:
            tape.watch(table)
            rows = table[[1, 4, 1, -1]]
        g = tape.gradient(rows, table)
        assert g.dtype == dtype
        np.testing.assert_array_equal(g.numpy()[:, 0], [0, 2, 0, 0, 2])


def test_second_order_through_gather_and_assignment() -> None:
    x = ef.asarray([1.0, 2.0, 3.0])
    with ef.GradientTape() as outer:
        outer.watch(x)
        with ef.GradientTape() as inner:
            inner.watch(x)
            y = x * 1
            y[[0, 0, 2]] = x[[1, 2, 0]] ** 2
            z = ef.sum(y**3)
        (g,) = inner.gradient(z, [x])
        s = ef.sum(g)
    # y = [x2**2, x1, x0**2] counted from 0: z = x2**6 + x1**3 + x0**6.
    np.testing.assert_allclose(outer.gradient(s, x).numpy(), [30, 12, 30 * 81])


def test_index_arrays_of_the_user_are_not_kept() -> None:
    places = np.array([0, 1])
    x = ef.asarray([1.0, 2.0, 3.0])
    v = ef.asarray([5.0, 6.0])
    with ef.GradientTape() as tape:
        tape.watch([x, v])
        y = x * 1
        part = x[places]
        y[places] = v
        places[:] = 2
    gx, gv = tape.gradient([part, y], [x, v])
    np.testing.assert_array_equal(gx.numpy(), [1, 1, 1])
    np.testing.assert_array_equal(gv.numpy(), [1, 1])


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (3, ef.errors.IndexOutOfBoundsError),
        (-4, ef.errors.IndexOutOfBoundsError),
        ([0, 3], ef.errors.IndexOutOfBoundsError),
        ((0, 0, 0), ef.errors.IndexOutOfBoundsError),
        (np.ones((3, 3), bool), ef.errors.IndexOutOfBoundsError),
        (1.0, ef.errors.DTypeError),
        ("a", ef.errors.DTypeError),
        (slice(0, 1.5), ef.errors.DTypeError),
        (np.array([1.0]), ef.errors.DTypeError),
    ],
)
def test_wrong_index_leaves_the_tensor_as_it_was(index: Any, error: type[Exception]) -> None:
    x = ef.asarray(numbers((3, 2)))
    before = x.numpy().copy()
    with pytest.raises(error, match=r"test_indexing\.py"):
        x[index]
    with pytest.raises(error):
        x[index] = 1.0
    np.testing.assert_array_equal(x.numpy(), before)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (1j, ef.errors.DTypeError),
        (np.array([1j, 0]), ef.errors.DTypeError),
        ([1.0, 2.0, 3.0], ef.errors.ShapeError),
        ("text", ef.errors.DTypeError),
        (None, ef.errors.DTypeError),
    ],
)
def test_wrong_value_leaves_the_tensor_as_it_was(value: Any, error: type[Exception]) -> None:
    for shared in (False, True):
        x = ef.asarray(numbers((3, 2)))
        other = ef.copy(x) if shared else None
        before = x.numpy().copy()
        with pytest.raises(error):
            x[0] = value
        np.testing.assert_array_equal(x.numpy(), before)
        del other


def test_values_are_cast_as_numpy_does() -> None:
    x = ef.asarray([1, 2, 3])
    x[0] = 2.7
    x[1:] = np.array([True, False])
    assert x.dtype == np.int64
    np.testing.assert_array_equal(x.numpy(), [2, 1, 0])
    y = ef.zeros(2, dtype=ef.float32)
    y[:] = np.array([1.5, 2.5])
    assert y.dtype == np.float32


@given(data=st.data(), shape=shapes(min_dims=1, max_dims=3), mode=st.sampled_from(["raise", "wrap", "clip"]))
def test_take(data: st.DataObject, shape: tuple[int, ...], mode: str) -> None:
    assume(all(shape))
    axis = data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    side = int(np.prod(shape)) if axis is None else shape[axis]
    reach = 0 if mode == "raise" else 5
    places = np.array(data.draw(st.lists(st.integers(-side - reach, side - 1 + reach), max_size=4)), np.int64)
    array = numbers(shape)
    np.testing.assert_array_equal(
        ef.take(array, places, axis=axis, mode=mode).numpy(), np.take(array, places, axis, mode=mode)
    )


@given(data=st.data(), shape=shapes(min_dims=1, max_dims=3))
def test_along_axis(data: st.DataObject, shape: tuple[int, ...]) -> None:
    assume(all(shape))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    rng = np.random.default_rng(0)
    wanted = [n if data.draw(st.booleans()) else 1 for n in shape]
    wanted[axis] = data.draw(st.integers(0, 3))
    places = rng.integers(-shape[axis], shape[axis], wanted)
    array = numbers(shape)
    np.testing.assert_array_equal(
        ef.take_along_axis(array, places, axis).numpy(), np.take_along_axis(array, places, axis)
    )
    expected = array.copy()
    np.put_along_axis(expected, places, 5.0, axis)
    np.testing.assert_array_equal(ef.put_along_axis(array, places, 5.0, axis).numpy(), expected)


def test_finding() -> None:
    array = np.array([[0, 1], [2, 0]])
    for mine, theirs in zip(ef.nonzero(array), np.nonzero(array), strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs)
    np.testing.assert_array_equal(ef.argwhere(array).numpy(), np.argwhere(array))
    with pytest.raises(ef.errors.ShapeError):
        ef.nonzero(1.0)


def test_scatter_is_not_at_python_speed() -> None:
    # A million elements, half of them at places that repeat: a second or more in a loop.
    places = np.random.default_rng(0).integers(0, 10_000, 20_000)
    table = ef.zeros((10_000, 50))
    times = []
    for _ in range(3):
        with ef.GradientTape() as tape:
            tape.watch(table)
            rows = table[places]
        start = time.perf_counter()
        tape.gradient(rows, table)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.4
