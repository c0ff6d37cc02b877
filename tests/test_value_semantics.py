"""Tensors are values: assignment changes the handle and nothing else."""

from __future__ import annotations

import copy
import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef
from indices import index_expressions, shapes

IN_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.ifloordiv: operator.floordiv,
    operator.imod: operator.mod,
    operator.ipow: operator.pow,
}


def holders(x: ef.Tensor) -> list[Any]:
    """Return everything that can see the values of `x` at this moment."""
    return [
        ef.copy(x),
        copy.copy(x),
        copy.deepcopy(x),
        x.reshape(-1),
        x.T,
        x[...],
        x[None],
        ef.stop_gradient(x),
        ef.flip(x),
        ef.broadcast_to(x, (2, *x.shape)),
        x.numpy(),
        np.asarray(x),
        np.from_dlpack(x),
        ef.asarray(x.numpy(), copy=False),
        ef.Variable(x),
        memoryview(x.numpy()),
    ]


def values(holder: Any) -> np.ndarray:
    return np.array(holder)


@given(data=st.data(), shape=shapes(min_dims=1, max_dims=3), which=st.integers(0, 15))
def test_assignment_changes_no_one_else(data: st.DataObject, shape: tuple[int, ...], which: int) -> None:
    index = data.draw(index_expressions(shape))
    array = np.random.default_rng(0).normal(size=shape)
    x = ef.asarray(array)
    other = holders(x)[which]
    before = values(other)
    expected = array.copy()
    try:
        expected[index] = 9.0
    except IndexError:
        return
    x[index] = 9.0
    x += 1.0
    np.testing.assert_array_equal(values(other), before)
    np.testing.assert_array_equal(x.numpy(), expected + 1.0)


@given(data=st.data(), shape=shapes(min_dims=1, max_dims=3), which=st.integers(0, 9))
def test_assignment_to_a_relative_changes_not_the_origin(
    data: st.DataObject, shape: tuple[int, ...], which: int
) -> None:
    array = np.random.default_rng(0).normal(size=shape)
    x = ef.asarray(array)
    other = holders(x)[which]
    other[...] = 5.0
    other *= 2.0
    np.testing.assert_array_equal(x.numpy(), array)
    np.testing.assert_array_equal(other.numpy(), np.full(other.shape, 10.0))


def test_arrays_of_the_user_are_never_written_to() -> None:
    array = np.arange(4.0)
    for make in (
        ef.asarray,
        ef.array,
        ef.Tensor,
        ef.from_dlpack,
        lambda a: ef.asarray(a[1:]),
        lambda a: ef.asarray(a, copy=False),
    ):
        x = make(array)
        x[0] = 100.0
        x += 1.0
        np.testing.assert_array_equal(array, np.arange(4.0))


def test_views_of_numpy_are_read_only() -> None:
    view = ef.zeros(3).numpy()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1.0


def test_in_place_where_nothing_else_sees_the_values() -> None:
    x = ef.zeros(1000)
    address = x.numpy().ctypes.data
    x[0] = 1.0
    x += 1.0
    x[[1, 2]] *= 3.0
    assert x.numpy().ctypes.data == address
    y = x.reshape(10, 100)
    x[0] = 7.0
    assert x.numpy().ctypes.data != address
    assert y.numpy()[0, 0] == 2.0


def test_in_place_while_recording() -> None:
    x = ef.zeros(1000)
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x + 1.0
        address = y.numpy().ctypes.data
        y[3] = 5.0
        assert y.numpy().ctypes.data == address
        z = y * y  # keeps y
        y[4] = 6.0
        assert y.numpy().ctypes.data != address
    np.testing.assert_array_equal(tape.gradient(z, x).numpy()[:6], [2, 2, 2, 0, 2, 2])


@pytest.mark.parametrize("update", list(IN_PLACE))
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_augmented_assignment(update: Any, recorded: bool, shared: bool) -> None:
    array = np.array([1.5, 2.5, 4.0])
    other = np.array([2.0, 0.5, 3.0])
    x, y = ef.asarray(array), ef.asarray(other)
    with ef.GradientTape() as tape:
        if recorded:
            tape.watch([x, y])
        z = ef.copy(x) if shared else x * 1.0
        handle = z
        z = update(z, y)
        assert z is handle
    expected = IN_PLACE[update](array, other)
    np.testing.assert_allclose(z.numpy(), expected)
    np.testing.assert_array_equal(x.numpy(), array)
    np.testing.assert_array_equal(y.numpy(), other)
    if recorded:
        with ef.GradientTape() as plain:
            plain.watch([x, y])
            w = IN_PLACE[update](x, y)
        for mine, theirs in zip(
            tape.gradient(z, [x, y], unconnected="zero"), plain.gradient(w, [x, y], unconnected="zero"), strict=True
        ):
            np.testing.assert_allclose(mine.numpy(), theirs.numpy())


@pytest.mark.parametrize("recorded", [False, True])
def test_augmented_assignment_keeps_shape_and_dtype(recorded: bool) -> None:
    x = ef.asarray([1.0, 2.0], dtype=ef.float32)
    with ef.GradientTape() as tape:
        if recorded:
            tape.watch(x)
        y = x * 1
        y += np.array([1.0, 2.0])
        assert y.dtype == np.float32
        for wrong, error in (
            (np.ones((2, 2)), ef.errors.ShapeError),
            (np.ones(3), ef.errors.ShapeError),
            (1j, ef.errors.DTypeError),
            (np.array([1j, 2]), ef.errors.DTypeError),
        ):
            with pytest.raises(error):
                y += wrong
            np.testing.assert_array_equal(y.numpy(), [2, 4])
    count = ef.arange(3)
    with pytest.raises(ef.errors.DTypeError, match="int64"):
        count += 0.5
    with pytest.raises(ef.errors.DTypeError):
        count /= 2
    with pytest.raises(ef.errors.ShapeError):
        count **= -1
    np.testing.assert_array_equal(count.numpy(), [0, 1, 2])


def test_overlap_is_as_if_the_right_side_were_read_first() -> None:
    x = ef.arange(5)
    x[1:] = x[:-1]
    np.testing.assert_array_equal(x.numpy(), [0, 0, 1, 2, 3])
    x[:] = x[::-1]
    np.testing.assert_array_equal(x.numpy(), [3, 2, 1, 0, 0])
    x[x] = x
    expected = np.array([3, 2, 1, 0, 0])
    expected[expected.copy()] = expected.copy()
    np.testing.assert_array_equal(x.numpy(), expected)


def test_masked_update_is_differentiable() -> None:
    x, y = ef.asarray([1.0, -2.0, 3.0]), ef.asarray([10.0, 20.0, 30.0])
    with ef.GradientTape() as tape:
        tape.watch([x, y])
        z = x * 1
        z[x > 0] += y[x > 0]
        s = ef.sum(z * z)
    gx, gy = tape.gradient(s, [x, y])
    np.testing.assert_array_equal(gx.numpy(), [22, -4, 66])
    np.testing.assert_array_equal(gy.numpy(), [22, 0, 66])


def test_a_watched_tensor_that_is_assigned_to() -> None:
    x = ef.asarray([1.0, 2.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        x[0] = 3.0
        y = x * x
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [0, 4])


def test_assigning_after_the_record_was_made_changes_no_gradient() -> None:
    x = ef.asarray([1.0, 2.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        w = ef.asarray([5.0, 6.0])
        y = x * w
        w[:] = 0.0
        w += 100.0
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [5, 6])


def test_assigning_a_constant_over_everything_cuts_the_gradient() -> None:
    x = ef.asarray([1.0, 2.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x * 1
        y[...] = 0.0
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [0, 0])


def test_assigning_outside_a_tape_drops_the_record() -> None:
    x = ef.asarray([1.0, 2.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x * 2
    y[0] = 1.0
    with pytest.raises(ef.errors.GradientError):
        tape.gradient(y, x)


def test_variables_take_all_augmented_assignments() -> None:
    v = ef.Variable([1.0, 2.0])
    same = v
    v *= 3.0
    v /= 2.0
    v -= 0.5
    v[0] = 7.0
    v[1] += 1.0
    assert v is same
    np.testing.assert_array_equal(v.numpy(), [7.0, 3.5])


def test_iteration_gives_rows_with_gradients_in_linear_time() -> None:
    x = ef.asarray(np.arange(6.0).reshape(3, 2))
    with ef.GradientTape() as tape:
        tape.watch(x)
        total: Any = 0.0
        for number, row in enumerate(x):
            if number != 1:
                total = total + ef.sum(row * number)
    np.testing.assert_array_equal(tape.gradient(total, x).numpy(), [[0, 0], [0, 0], [2, 2]])
    with pytest.raises(TypeError):
        iter(ef.asarray(1.0))
    assert len(x) == 3
    assert 5.0 in x
    assert 50.0 not in x


def test_self_assignment_under_a_tape() -> None:
    x = ef.asarray([1.0, 2.0, 3.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x * 1
        y += y
        y *= y
        y -= y * 0.5
        y[:] = y
        y[0] = y[0]
        y[::2] = y[::-2]  # the first and the last change places
        s = ef.sum(y * ef.asarray([1.0, 10.0, 100.0]))
    np.testing.assert_array_equal(y.numpy(), [18, 8, 2])
    np.testing.assert_array_equal(tape.gradient(s, x).numpy(), [400, 80, 12])


def test_an_operator_in_place_on_a_watched_tensor() -> None:
    x = ef.asarray([1.0, 2.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        x += x
        s = ef.sum(x * x)
    np.testing.assert_array_equal(x.numpy(), [2, 4])
    np.testing.assert_array_equal(tape.gradient(s, x).numpy(), [8, 16])


def test_views_of_views_keep_apart() -> None:
    x = ef.asarray(np.arange(6.0))
    y = x[::2]
    z = y[::-1]
    z[0], y[1], x[0] = 99.0, 5.0, 7.0
    np.testing.assert_array_equal(x.numpy(), [7, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(y.numpy(), [0, 5, 4])
    np.testing.assert_array_equal(z.numpy(), [99, 2, 0])


def test_assignment_inside_a_gradient_function_changes_no_other_gradient() -> None:
    @ef.custom_gradient
    def f(a: Any) -> Any:
        def gradient(g: Any) -> Any:
            g[0] = 100.0
            g *= 2.0
            return g

        return a * 1.0, gradient

    x = ef.asarray([1.0, 2.0])
    weights = ef.ones(2)
    with ef.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = f(x)
        both = y + x
    for _ in range(2):
        np.testing.assert_array_equal(tape.gradient(both, x, weights).numpy(), [201, 3])
        np.testing.assert_array_equal(tape.gradient(y, x, weights).numpy(), [200, 2])
    np.testing.assert_array_equal(weights.numpy(), [1, 1])


def test_gradients_share_nothing_that_an_assignment_shows() -> None:
    x, y, weights = ef.asarray([1.0, 2.0]), ef.asarray([3.0, 4.0]), ef.ones(2)
    with ef.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        z = x + y
    first, second = tape.gradient(z, [x, y], weights)
    first[0] = 9.0
    first += 1.0
    for untouched in (second, weights, tape.gradient(z, x, weights)):
        np.testing.assert_array_equal(untouched.numpy(), [1, 1])


def test_indices_and_masks_may_change_after_their_use() -> None:
    x = ef.asarray([1.0, 2.0, 3.0])
    places, mask = ef.asarray([0, 1]), x > 1.0
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x[places]
        places[:] = 2
        z = x * 1
        z[mask] *= 5.0
        mask[:] = False
        s = ef.sum(y * y) + ef.sum(z)
    np.testing.assert_array_equal(tape.gradient(s, x).numpy(), [3, 9, 5])


def test_a_variable_may_change_after_its_use() -> None:
    v = ef.Variable([1.0, 2.0])
    with ef.GradientTape() as tape:
        held = v.value
        y = held * v
        v.assign_add([1.0, 1.0])
        v[0] = 100.0
        v *= 3.0
        s = ef.sum(y)
    np.testing.assert_array_equal(held.numpy(), [1, 2])
    np.testing.assert_array_equal(tape.gradient(s, v).numpy(), [2, 4])
