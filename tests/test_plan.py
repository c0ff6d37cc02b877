"""Plans: memory that is used again, Variables in place, results that stay, errors that help, profiles, gradients."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.capture.executable import Executable
from eagerflow.capture.interpreter import run_graph
from eagerflow.capture.options import Options
from eagerflow.capture.plan.buffers import Buffers
from eagerflow.capture.plan.results import LARGE, Results


def concrete_of(f: Any, *args: Any) -> Any:
    """Return the concrete function that serves these arguments, after a run."""
    f(*args)
    return f.concrete_functions[-1]


# --- memory -------------------------------------------------------------------------------------


def test_values_that_do_not_meet_share_memory() -> None:
    @ef.function
    def f(x: Any, w: Any) -> Any:
        for _ in range(10):
            x = x @ w
        return x.sum()

    memory = concrete_of(f, ef.ones((32, 32)), ef.ones((32, 32)) / 32).memory()
    one = 32 * 32 * 8
    assert memory.without_reuse >= 10 * one
    assert memory.peak == 2 * one
    assert memory.results == 8


def test_an_elementwise_result_takes_the_place_of_its_input() -> None:
    f = ef.function(lambda x, w: ef.linalg.matrix_norm(ef.exp(x @ w)))
    executable = Executable(f.get_concrete_function(ef.ones((8, 8)), ef.ones((8, 8))).graph, Options(["prune"]))
    plan = executable.program().plans[0]
    (product,) = [step.node.outputs[0] for step in plan.steps if step.node.op.name == "matmul"]
    (power,) = [step.node.outputs[0] for step in plan.steps if step.node.op.name == "exp"]
    assert plan.places[product] == plan.places[power]


def test_an_operand_that_is_read_in_another_order_is_not_written_over() -> None:
    f = ef.function(lambda x, w: ((y := x @ w) + y.T) @ w)
    x, w = ef.random.normal(size=(5, 5)), ef.random.normal(size=(5, 5))
    graph = f.get_concrete_function(x, w).graph
    for passes in (["prune"], None):
        (found,) = Executable(graph, Options(passes)).run([x.numpy(), w.numpy()])
        np.testing.assert_allclose(found, f.python_function(x, w).numpy(), rtol=1e-12)


def test_a_reshape_that_copies_is_not_made_once_for_all() -> None:
    @ef.function
    def f(x: Any, w: Any) -> Any:
        return (x @ w).T.reshape(-1)[3] + ef.sum((x @ w).T.reshape(-1))

    for _ in range(3):
        x, w = ef.random.normal(size=(3, 4)), ef.random.normal(size=(4, 5))
        np.testing.assert_allclose(f(x, w), f.python_function(x, w), rtol=1e-12)


def test_parts_of_a_split_value_are_views_made_with_the_workspace() -> None:
    @ef.function
    def f(x: Any, w: Any) -> Any:
        a, b, c = ef.split(x @ w, 3, axis=-1)
        return (a @ b.mT) @ c

    for _ in range(2):
        x, w = ef.random.normal(size=(2, 5, 8)), ef.random.normal(size=(8, 24))
        np.testing.assert_allclose(f(x, w), f.python_function(x, w), rtol=1e-12)


def test_a_buffer_grows_rather_than_that_there_are_many() -> None:
    buffers = Buffers()
    small = buffers.take("a", 300, 0, 1)
    buffers.release(small)
    assert buffers.take("b", 1000, 1, 2) is small
    buffers.release(small)
    assert buffers.take("c", 100_000, 2, 3) is not small  # little ones serve little ones
    assert small.size == 1000 and [value for value, _, _ in small.lives] == ["a", "b"]


# --- results ------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [4, 400])
def test_a_result_is_not_written_to_by_later_runs(side: int) -> None:
    f = ef.function(lambda x: (x * 2, (x @ x)[1:3], x))
    made = [f(ef.full((side, side), float(i))) for i in range(5)]
    for i, (doubled, rows, same) in enumerate(made):
        assert (doubled.numpy() == 2 * i).all() and (same.numpy() == i).all()
        assert (rows.numpy() == i * i * side).all()


def test_memory_of_results_is_used_again_when_nobody_sees_it() -> None:
    results = Results((LARGE,), np.dtype(np.uint8))
    first = results()
    address = first.ctypes.data
    part = first[10:20]
    del first
    second = results()
    assert second.ctypes.data != address  # a view still looks into the first
    del part
    third = results()
    assert third.ctypes.data == address
    assert results().ctypes.data not in (second.ctypes.data, third.ctypes.data)


def test_results_never_alias_arguments() -> None:
    f = ef.function(lambda x: (x, x.T, x[0], ef.reshape(x, -1), x * 1))
    array = np.arange(6.0).reshape(2, 3)
    before = array.copy()
    found = f(array)
    array[...] = -1
    for result, view in zip(found, (before, before.T, before[0], before.reshape(-1), before), strict=True):
        np.testing.assert_array_equal(result.numpy(), view)


def test_two_threads_run_one_function_at_once() -> None:
    v = ef.Variable(ef.ones((64, 64)))
    f = ef.function(lambda x: ef.tanh(x @ v) @ v + x)
    inputs = [ef.full((64, 64), i / 1000) for i in range(8)]
    expected = [f(x).numpy() for x in inputs]
    wrong = []
    start = threading.Barrier(4)

    def work(which: int) -> None:
        start.wait()
        for _ in range(100):
            if not np.array_equal(f(inputs[which]).numpy(), expected[which]):
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- Variables ----------------------------------------------------------------------------------


def test_a_variable_is_updated_in_place() -> None:
    v = ef.Variable(np.zeros(1000))
    f = ef.function(lambda g: [v.assign_sub(0.5 * g)].clear())
    f(ef.ones(1000))
    address = v.numpy().ctypes.data
    f(ef.ones(1000))
    assert v.numpy().ctypes.data == address
    assert (v.numpy() == -1.0).all()


def test_whoever_holds_the_value_of_a_variable_keeps_it() -> None:
    v = ef.Variable(np.zeros(1000))
    f = ef.function(lambda g: [v.assign_add(g)].clear())
    f(ef.ones(1000))
    kept, part, array = v.value, v.value[2:5], v.numpy()
    f(ef.ones(1000))
    assert (kept.numpy() == 1).all() and (part.numpy() == 1).all() and (array == 1).all()
    assert (v.numpy() == 2).all()


def test_the_old_value_is_read_before_it_is_written_over() -> None:
    v = ef.Variable(np.arange(4.0))

    @ef.function
    def f(x: Any) -> Any:
        old = v.value
        v.assign(old + x)
        return old[::-1] * 1, old, v.value

    for i in range(3):
        backwards, old, new = f(ef.ones(4))
        np.testing.assert_array_equal(old.numpy(), np.arange(4.0) + i)
        np.testing.assert_array_equal(backwards.numpy(), (np.arange(4.0) + i)[::-1])
        np.testing.assert_array_equal(new.numpy(), np.arange(4.0) + i + 1)


def test_an_argument_that_is_assigned_is_copied() -> None:
    v = ef.Variable(np.zeros(3))
    f = ef.function(lambda x: [v.assign(x)].clear())
    array = np.ones(3)
    f(array)
    array[:] = 7
    assert v.numpy().tolist() == [1.0, 1.0, 1.0]


def test_two_variables_that_get_one_value_do_not_share_it_later() -> None:
    a, b = ef.Variable(np.zeros(3)), ef.Variable(np.zeros(3))

    @ef.function
    def f(x: Any) -> None:
        y = x * 2
        a.assign(y)
        b.assign(y)

    @ef.function
    def g() -> None:
        a.assign_add(ef.ones(3))

    f(ef.ones(3))
    g()
    assert a.numpy().tolist() == [3.0] * 3 and b.numpy().tolist() == [2.0] * 3


def test_variables_swap() -> None:
    a, b = ef.Variable(np.zeros(3)), ef.Variable(np.ones(3))

    @ef.function
    def swap() -> None:
        x, y = a.value, b.value
        a.assign(y)
        b.assign(x)

    swap()
    assert a.numpy().tolist() == [1.0] * 3 and b.numpy().tolist() == [0.0] * 3
    swap()
    assert a.numpy().tolist() == [0.0] * 3 and b.numpy().tolist() == [1.0] * 3


# --- optimizers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda v: ef.optim.SGD(v, 0.1),
        lambda v: ef.optim.SGD(v, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda v: ef.optim.Adam(v, 0.01),
        lambda v: ef.optim.AdamW(v, lambda step: 0.01 * 0.5 ** (step // 2), weight_decay=0.1),
    ],
    ids=["sgd", "momentum", "adam", "adamw with a schedule"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_captured_steps_are_those_of_eager_code(make: Any, dtype: str) -> None:
    def train(capture: bool) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        variables = [ef.Variable(rng.normal(size=s), dtype=dtype) for s in ((3, 4), (4,), ())]
        optimizer = make(variables)

        def step(x: Any) -> Any:
            with ef.GradientTape() as tape:
                loss = ef.sum((x @ variables[0] + variables[1]) ** 2) * variables[2]
            optimizer.apply(tape.gradient(loss, variables))
            return loss

        run = ef.function(step) if capture else step
        losses = [run(ef.asarray(rng.normal(size=(5, 3)), dtype)).numpy() for _ in range(5)]
        assert optimizer.iterations == 5
        return [*losses, *[v.numpy() for v in variables]]

    for captured, eager in zip(train(True), train(False), strict=True):
        np.testing.assert_allclose(captured, eager, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_the_learning_rate_can_change_between_steps() -> None:
    v = ef.Variable([1.0])
    optimizer = ef.optim.SGD([v], 1.0)
    f = ef.function(lambda: optimizer.apply([ef.ones(1)]))
    f()
    optimizer.learning_rate = 0.25
    f()
    assert v.numpy().tolist() == [-0.25]
    assert len(f.concrete_functions) == 1


def test_master_weights_in_a_captured_step() -> None:
    v = ef.Variable(np.ones(4), dtype="bfloat16")
    optimizer = ef.optim.SGD([v], 1e-4, master_weights=True)
    f = ef.function(lambda: optimizer.apply([ef.ones(4, dtype="float32")]))
    for _ in range(100):
        f()
    np.testing.assert_allclose(v.numpy().astype(np.float64), 0.99, atol=4e-3)


def test_a_gradient_of_another_shape_is_an_error_while_capturing() -> None:
    v = ef.Variable(np.ones(4), name="w")
    optimizer = ef.optim.SGD([v], 0.1)
    with pytest.raises(ef.errors.ShapeError, match=r"shape \(3,\), expected \(4,\)"):
        ef.function(lambda: optimizer.apply([ef.ones(3)]))()


# --- errors -------------------------------------------------------------------------------------


def test_an_error_while_running_names_op_shapes_scope_and_line() -> None:
    @ef.function
    def f(x: Any, rows: Any) -> Any:
        with ef.name_scope("head"):
            return ef.take(x, rows, axis=0) * 2

    f(ef.ones((3, 2)), np.array([0, 1]))
    with pytest.raises(ef.errors.IndexOutOfBoundsError) as caught:
        f(ef.ones((3, 2)), np.array([0, 7]))
    text = str(caught.value)
    assert "float64[3, 2]" in text and "int64[2]" in text
    assert "test_plan.py" in text and "ef.take(x, rows, axis=0)" in text and "in head" in text
    assert f(ef.ones((3, 2)), np.array([2, 1])).shape == (2, 2)  # it goes on working


def test_the_reference_interpreter_explains_in_the_same_way() -> None:
    f = ef.function(lambda x, rows: ef.take(x, rows, axis=0))
    graph = concrete_of(f, ef.ones((3, 2)), np.array([0])).graph
    with pytest.raises(ef.errors.IndexOutOfBoundsError, match=r"captured at test_plan\.py"):
        run_graph(graph, [np.ones((3, 2)), np.array([5])])


def test_an_error_of_a_callback_is_its_own_with_a_note() -> None:
    def fail(x: Any) -> None:
        raise KeyError("mine")

    f = ef.function(lambda x: ef.py_function(fail, [x]))
    with pytest.raises(KeyError, match="mine") as caught:
        f(ef.ones(2))
    assert any("test_plan.py" in note for note in caught.value.__notes__)


# --- profiles, the page -------------------------------------------------------------------------


def test_a_profile_leaves_state_as_it_was() -> None:
    v = ef.Variable(np.zeros(3))

    @ef.function
    def f(x: Any) -> Any:
        v.assign_add(x)
        return ef.random.normal(size=3) @ x

    x = ef.ones(3)
    concrete = concrete_of(f, x)
    before, state = v.numpy().copy(), ef.random.normal.__self__.state
    profile = concrete.profile(x)
    assert np.array_equal(v.numpy(), before)
    assert ef.random.normal.__self__.state == state
    assert profile.total > 0 and "random_normal" in repr(profile)
    f(x)
    assert (v.numpy() == before + 1).all()


def test_the_page_shows_times_and_buffers(tmp_path: Path) -> None:
    f = ef.function(lambda x, w: ef.sum(ef.tanh(x @ w)))
    x, w = ef.ones((4, 8)), ef.ones((8, 8))
    concrete = concrete_of(f, x, w)
    concrete.profile(x, w)
    concrete.save_html(tmp_path / "graph.html")
    text = (tmp_path / "graph.html").read_text()
    assert "matmul" in text and '"time"' in text and '"buffers"' in text


def test_a_concrete_function_refuses_other_arguments() -> None:
    f = ef.function(lambda x, n=2: x * n)
    concrete = f.get_concrete_function(ef.TensorSpec([None, 3]))
    assert concrete(ef.ones((5, 3))).shape == (5, 3)
    with pytest.raises(ef.errors.ShapeError, match=r"float64\[None, 3\]"):
        concrete(ef.ones((5, 4)))
    with pytest.raises(ef.errors.DTypeError):
        concrete(ef.ones((5, 3), dtype="float32"))


# --- what is kept for a gradient ----------------------------------------------------------------


def test_a_used_tape_lets_go_of_what_the_forward_half_kept() -> None:
    f = ef.function(lambda x: ef.sum(ef.tanh(x) ** 2))
    x = ef.ones(1000)
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    (record,) = y._rec.parents
    kept = [weakref.ref(array) for array in record.saved[-1]]
    assert kept
    tape.gradient(y, x)
    del record
    assert all(reference() is None for reference in kept)


# --- passes by name -----------------------------------------------------------------------------


def test_passes_are_turned_off_by_name() -> None:
    def f(x: Any) -> Any:
        return ef.tanh(x * 1) + ef.tanh(x)

    x = ef.ones(3)
    counts = {}
    for name, passes in (("all", None), ("no cse", {"cse": False, "fuse": False}), ("none", ())):
        run = ef.function(f, passes=passes)
        np.testing.assert_allclose(run(x), f(x), rtol=1e-15)
        counts[name] = len(run.concrete_functions[0].optimized_graph)
    assert counts["all"] < counts["no cse"] < counts["none"]
    with pytest.raises(ef.errors.ArgumentError, match="there is no pass 'cse2'"):
        ef.function(f, passes=["cse2"])


def test_a_batch_of_groups_that_take_what_another_batch_made() -> None:
    w = [ef.Variable(np.full((8, 16), 0.1 * (k + 1))) for k in range(2)]

    def step(x: ef.Tensor) -> list[ef.Tensor]:
        with ef.GradientTape() as tape:
            h, c = [ef.zeros((3, 4))] * 2, [ef.zeros((3, 4))] * 2
            for t in range(3):
                y = x[t]
                for k in range(2):
                    i, f, g, o = [(ef.concatenate([y, h[k]], axis=1) @ w[k])[:, 4 * q : 4 * q + 4] for q in range(4)]
                    c[k] = ef.nn.sigmoid(f) * c[k] + ef.nn.sigmoid(i) * ef.tanh(g)
                    h[k] = y = ef.nn.sigmoid(o) * ef.tanh(c[k])
            loss = ef.mean(y**2)
        return [loss, *tape.gradient(loss, w)]

    x = ef.asarray(np.linspace(-1, 1, 36).reshape(3, 3, 4))
    for found, wanted in zip(ef.function(step)(x), step(x), strict=True):
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-10)
