"""GradientTape: what it follows, what it gives, what it refuses."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.core.record import Record


def test_gradient_of_watched_tensor_and_variable() -> None:
    x = ef.asarray([1.0, 2.0])
    v = ef.Variable([3.0, 4.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = ef.sum(x * x * v)
    gx, gv = tape.gradient(y, [x, v])
    np.testing.assert_allclose(gx.numpy(), [6.0, 16.0])
    np.testing.assert_allclose(gv.numpy(), [1.0, 4.0])


def test_sources_in_any_structure() -> None:
    params: dict[str, Any] = {"w": ef.Variable([1.0]), "b": [ef.Variable([2.0]), (ef.Variable([3.0]),)]}
    with ef.GradientTape() as tape:
        y = ef.sum(params["w"] * params["b"][0] * params["b"][1][0])
    gradients = tape.gradient(y, params)
    assert gradients["w"].item() == 6.0
    assert gradients["b"][0].item() == 3.0
    assert gradients["b"][1][0].item() == 2.0


def test_several_targets_are_summed_and_weighted() -> None:
    x = ef.asarray([1.0, 2.0])
    with ef.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, z = x * 2, x**2
    np.testing.assert_allclose(tape.gradient([y, z], x).numpy(), [4.0, 6.0])
    np.testing.assert_allclose(tape.gradient([y, z], x, [[1.0, 0.0], [0.0, 10.0]]).numpy(), [2.0, 40.0])
    with pytest.raises(ef.errors.ShapeError, match="output_gradients has shape"):
        tape.gradient(y, x, [1.0])


def test_target_among_sources_and_intermediate_source() -> None:
    x = ef.asarray(3.0)
    with ef.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        z = y * y
    gx, gy, gz = tape.gradient(z, [x, y, z])
    assert (gx.item(), gy.item(), gz.item()) == (108.0, 18.0, 1.0)


def test_nothing_is_recorded_outside_the_block_or_while_stopped() -> None:
    x = ef.asarray(2.0)
    with ef.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        with tape.stop_recording():
            z = x * x
    w = x * x
    assert tape.gradient(y, x).item() == 4.0
    for unrecorded in (z, w):
        with pytest.raises(ef.errors.GradientError, match="does not depend"):
            tape.gradient(unrecorded, x)


def test_recording_resumes_after_an_exception_in_stop_recording() -> None:
    x = ef.asarray(2.0)
    with ef.GradientTape() as tape:
        tape.watch(x)
        with pytest.raises(KeyError), tape.stop_recording():
            raise KeyError
        y = x * x
    assert tape.gradient(y, x).item() == 4.0


def test_a_block_left_by_an_exception_leaves_no_tape_open() -> None:
    v = ef.Variable(1.0)
    with pytest.raises(KeyError), ef.GradientTape():
        raise KeyError
    assert (v * v)._rec is None


def test_reset_forgets() -> None:
    x = ef.asarray(2.0)
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x * x
        tape.reset()
        tape.watch(x)
        z = 3 * x
    with pytest.raises(ef.errors.GradientError):
        tape.gradient(y, x)
    tape.reset()
    with tape:
        tape.watch(x)
        z = 3 * x
    assert tape.gradient(z, x).item() == 3.0


def test_watch_accessed_variables_can_be_off() -> None:
    v, w = ef.Variable(2.0, name="v"), ef.Variable(3.0, name="w")
    with ef.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(w)
        y = v * w
    with pytest.raises(ef.errors.GradientError, match=r"'v'.*not watched"):
        tape.gradient(y, [w, v])


def test_untrainable_variables_are_watched_only_when_asked() -> None:
    v = ef.Variable(2.0, trainable=False)
    with ef.GradientTape() as tape:
        y = v * v
    assert tape.gradient(y, v, unconnected="none") is None
    with ef.GradientTape() as tape:
        tape.watch(v)
        y = v * v
    assert tape.gradient(y, v).item() == 4.0


def test_variable_keeps_its_place_when_assigned_within_the_tape() -> None:
    v = ef.Variable(2.0)
    with ef.GradientTape() as tape:
        y = v * v
        v.assign(10.0)
        y = y + v * v
    assert tape.gradient(y, v).item() == 24.0


@pytest.mark.parametrize("order", [2, 3, 4])
def test_nested_tapes_give_higher_orders(order: int) -> None:
    x = ef.asarray(1.5)

    def derivative(k: int) -> Any:
        if k == 0:
            return ef.sin(x)
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = derivative(k - 1)
        return tape.gradient(y, x)

    derivatives: list[Any] = [np.sin, np.cos, lambda t: -np.sin(t), lambda t: -np.cos(t), np.sin]
    expected = derivatives[order](1.5)
    np.testing.assert_allclose(derivative(order).item(), expected)


def test_persistent_tape_differentiates_its_own_gradient_within_the_block() -> None:
    x = ef.asarray(2.0)
    with ef.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x**3
        dy = tape.gradient(y, x)
    assert tape.gradient(dy, x).item() == 12.0


def test_inner_tape_of_a_value_that_only_the_outer_tape_watches() -> None:
    x = ef.asarray(2.0)
    with ef.GradientTape() as outer:
        outer.watch(x)
        with ef.GradientTape() as inner:
            y = x * x
        with pytest.raises(ef.errors.GradientError, match="not watched"):
            inner.gradient(y, x)
    assert outer.gradient(y, x).item() == 4.0


def test_inner_tape_watches_an_intermediate_of_the_outer() -> None:
    x = ef.asarray(2.0)
    with ef.GradientTape() as outer:
        outer.watch(x)
        y = x * x
        with ef.GradientTape() as inner:
            inner.watch(y)
            z = y**3
        dz = inner.gradient(z, y)  # 3 y² = 3 x⁴
    assert dz.item() == 48.0
    assert outer.gradient(dz, x).item() == 12 * 8.0


def test_same_variable_under_two_interleaved_tapes() -> None:
    v = ef.Variable(3.0)
    first, second = ef.GradientTape(), ef.GradientTape()
    with first:
        a = v * v
        with second:
            b = v * a
    assert first.gradient(b, v).item() == 27.0
    assert second.gradient(b, v).item() == 9.0


def test_jacobian() -> None:
    x = ef.asarray([1.0, 2.0, 3.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x[:2] * x[1]
    np.testing.assert_allclose(tape.jacobian(y, x).numpy(), [[2, 1, 0], [0, 4, 0]])
    with pytest.raises(ef.errors.GradientError, match="used up"):
        tape.jacobian(y, x)


def test_jacobian_of_matrices_and_of_an_empty_target() -> None:
    w = ef.asarray(np.arange(6.0).reshape(2, 3))
    with ef.GradientTape(persistent=True) as tape:
        tape.watch(w)
        y = w @ ef.ones((3, 2))
        empty = y[:0]
    assert tape.jacobian(y, w).shape == (2, 2, 2, 3)
    assert tape.jacobian(empty, w).shape == (0, 2, 2, 3)


def test_complex_gradient_is_the_direction_of_ascent() -> None:
    z = ef.asarray(1.0 + 2.0j)
    with ef.GradientTape(persistent=True) as tape:
        tape.watch(z)
        y = ef.real(z * ef.conj(z))
        w = z * z
    assert tape.gradient(y, z).item() == 2 * (1 + 2j)
    assert tape.gradient(w, z).item() == np.conj(2 * (1 + 2j))


def test_gradients_have_the_dtype_and_shape_of_their_source() -> None:
    x = ef.asarray(np.ones((3, 1), np.float32))
    y = ef.asarray(np.ones((4,), np.float64))
    with ef.GradientTape() as tape:
        tape.watch([x, y])
        z = x * y
    gx, gy = tape.gradient(z, [x, y])
    assert (gx.dtype, gx.shape) == (np.float32, (3, 1))
    assert (gy.dtype, gy.shape) == (np.float64, (4,))
    z = ef.asarray([1 + 1j])
    r = ef.asarray([2.0])
    with ef.GradientTape() as tape:
        tape.watch(r)
        out = z * r
    assert tape.gradient(out, r).dtype == np.float64


class TestMissingGradients:
    def test_never_used(self) -> None:
        x, y = ef.asarray(1.0), ef.asarray(2.0)
        with ef.GradientTape() as tape:
            tape.watch([x, y])
            z = x * x
        with pytest.raises(ef.errors.GradientError, match=r"source 1.*never used"):
            tape.gradient(z, [x, y])

    def test_not_watched(self) -> None:
        x, y = ef.asarray(1.0), ef.asarray(2.0)
        with ef.GradientTape() as tape:
            tape.watch(x)
            z = x * y
        with pytest.raises(ef.errors.GradientError, match="not watched"):
            tape.gradient(z, y)

    def test_passed_through_an_integer(self) -> None:
        x = ef.asarray([1.5, 2.5])
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = ef.sum(x.astype("int64").astype("float64") * 2)
        with pytest.raises(ef.errors.GradientError, match="integer"):
            tape.gradient(y, x)

    def test_passed_through_stop_gradient(self) -> None:
        x = ef.asarray([1.5, 2.5])
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = ef.sum(ef.stop_gradient(x) * 2)
        with pytest.raises(ef.errors.GradientError, match="stop_gradient"):
            tape.gradient(y, x)

    def test_passed_through_a_numpy_function_without_a_rule(self) -> None:
        x = ef.asarray([3.0, 4.0, 6.0])
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = np.emath.sqrt(x)
        with pytest.raises(ef.errors.GradientError, match=r"np\.lib\.scimath\.sqrt"):
            tape.gradient(y, x)

    def test_target_depends_on_nothing(self) -> None:
        x = ef.asarray(1.0)
        with ef.GradientTape() as tape:
            tape.watch(x)
        with pytest.raises(ef.errors.GradientError, match="does not depend on anything"):
            tape.gradient(ef.asarray(2.0), x)

    def test_unconnected_says_otherwise(self) -> None:
        x, y = ef.asarray([1.0, 2.0]), ef.asarray(2.0)
        with ef.GradientTape(persistent=True) as tape:
            tape.watch([x, y])
            z = y * y
        assert tape.gradient(z, [x], unconnected="none") == [None]
        np.testing.assert_array_equal(tape.gradient(z, x, unconnected="zero").numpy(), [0.0, 0.0])
        with pytest.raises(ef.errors.GradientError, match="'error', 'none' or 'zero'"):
            tape.gradient(z, x, unconnected="ones")


class TestRefusals:
    def test_used_up(self) -> None:
        x = ef.asarray(1.0)
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = x * x
        tape.gradient(y, x)
        with pytest.raises(ef.errors.GradientError, match=r"used up.*persistent=True"):
            tape.gradient(y, x)
        with pytest.raises(ef.errors.GradientError, match="used up"), tape:
            pass

    def test_integers(self) -> None:
        i = ef.asarray([1, 2])
        x = ef.asarray([1.0, 2.0])
        with ef.GradientTape(persistent=True) as tape:
            with pytest.raises(ef.errors.GradientError, match="int64"):
                tape.watch(i)
            tape.watch(x)
            n = ef.argmax(x)
        with pytest.raises(ef.errors.GradientError, match="int64"):
            tape.gradient(n, x)
        with pytest.raises(ef.errors.GradientError, match="int64"):
            tape.gradient(x, i)

    def test_things_that_are_no_tensors(self) -> None:
        x = ef.asarray(1.0)
        with ef.GradientTape(persistent=True) as tape:
            with pytest.raises(ef.errors.DTypeError, match="ndarray"):
                tape.watch(np.ones(3))
            tape.watch(x)
            y = x * x
        with pytest.raises(ef.errors.DTypeError, match="ndarray"):
            tape.gradient(y, np.ones(3))
        with pytest.raises(ef.errors.DTypeError, match="float"):
            tape.gradient(1.0, x)

    def test_opened_twice(self) -> None:
        with ef.GradientTape() as tape, pytest.raises(ef.errors.GradientError, match="open already"), tape:
            pass

    def test_error_in_a_gradient_function_names_the_op(self) -> None:
        broken = ef.custom_gradient(lambda x: (x, lambda g: ef.ones(7)))
        x = ef.asarray([1.0, 2.0])
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = broken(x)
        with pytest.raises(ef.errors.GradientError, match=r"shape \(7,\)") as caught:
            tape.gradient(y, x)
        assert any("in the gradient of" in note for note in caught.value.__notes__)


class TestMemory:
    def test_intermediates_go_when_the_gradient_is_taken(self) -> None:
        x = ef.asarray(np.ones(1000))
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = ef.exp(x)
            kept = weakref.ref(y)
            z = ef.sum(y * y)
            del y
        assert kept() is None  # only the array is kept, not the handle
        tape.gradient(z, x)
        assert isinstance(z._rec, Record)
        assert z._rec.parents == () and z._rec.saved is None

    def test_a_kept_loss_does_not_keep_the_graph_of_a_tape_that_is_gone(self) -> None:
        x = ef.asarray(np.ones(1000))
        with ef.GradientTape() as tape:
            tape.watch(x)
            loss = ef.sum(ef.exp(x) * x)
        record = loss._rec
        assert record is not None and record.parents
        del tape
        gc.collect()
        assert record.parents == () and record.saved is None

    def test_dead_branches_are_let_go_while_the_tape_is_open(self) -> None:
        x = ef.asarray(np.ones(10))
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = x * 2
            for _ in range(20_000):
                ef.exp(x * 3)
            assert len(tape._recorder.records) < 5_000
            z = ef.sum(y * y)
        np.testing.assert_allclose(tape.gradient(z, x).numpy(), np.full(10, 8.0))

    def test_a_long_chain_survives_pruning_and_is_freed_without_recursion(self) -> None:
        x = ef.asarray(1.0)
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in range(30_000):
                y = y + 1.0
        assert tape.gradient(y, x).item() == 1.0
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in range(30_000):
                y = y + 1.0
        del tape, y
        gc.collect()

    def test_only_what_gradients_need_is_kept(self) -> None:
        x, w = ef.asarray(np.ones(4)), ef.asarray(np.ones(4))
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = x * w
            z = y + w
        assert y._rec is not None and z._rec is not None
        assert y._rec.saved[0] is None  # x is needed only for the gradient of w, which nobody watches
        assert y._rec.saved[1] is w._held
        assert z._rec.saved == (None, None, None)
        tape.gradient(z, x)
