"""Capture of functions: arguments and results, specs, retracing and what it says, callbacks, scopes, nesting."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import optree
import pytest

import eagerflow as ef
from eagerflow.errors import ArgumentError, CaptureError, CaptureWarning, DTypeError, GradientError, ShapeError

X = ef.asarray([1.0, -2.0, 3.0])


def traces(captured: Any) -> int:
    """Return how often a function was captured."""
    return len(captured.concrete_functions)


def equal(a: Any, b: Any) -> None:
    """Check that two trees are of one structure and equal."""
    assert optree.tree_structure(a) == optree.tree_structure(b)
    for x, y in zip(optree.tree_leaves(a), optree.tree_leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


# --- arguments and results -------------------------------------------------------------------------


def test_trees_of_arguments_and_results() -> None:
    @ef.function
    def f(batch: Any, *, weights: Any) -> Any:
        (x, y), extra = batch["pair"], batch["extra"]
        return {"sum": x + y, "more": (extra[0] * weights["w"], [None, x - y])}

    for scale in (1.0, 2.0):
        batch = {"pair": (X * scale, X), "extra": [X]}
        got = f(batch, weights={"w": X})
        equal(got, {"sum": X * scale + X, "more": (X * X, [None, X * scale - X])})
    assert traces(f) == 1


def test_modules_and_variables_as_arguments_and_closures() -> None:
    model, other = ef.nn.Linear(3, 2), ef.nn.Linear(3, 2)
    v = ef.Variable(2.0)

    @ef.function
    def argument(model: Any, x: Any) -> Any:
        return model(x) * v

    @ef.function
    def closure(x: Any) -> Any:
        return model(x) * v

    for layer in (model, other, model):
        equal(argument(layer, X), layer(X) * v)
    assert traces(argument) == 2
    equal(closure(X), model(X) * v)
    for variable in (*model.variables, v):
        variable.assign(variable.value + 1)
    equal(closure(X), model(X) * v)
    equal(argument(model, X), model(X) * v)
    assert traces(closure) == 1


def test_modules_as_results() -> None:
    model = ef.nn.Linear(3, 2)
    doubled = ef.function(lambda: optree.tree_map(lambda v: v * 2, model))()
    assert type(doubled) is ef.nn.Linear
    equal(doubled(X), model(X) * 2)


def test_gradients_of_modules_inside() -> None:
    model = ef.nn.Linear(3, 2)
    loss = ef.function(ef.grad(lambda m, x: ef.sum(m(x) ** 2)))
    equal(optree.tree_leaves(loss(model, X)), optree.tree_leaves(ef.grad(lambda m: ef.sum(m(X) ** 2))(model)))


def test_training_step() -> None:
    ef.random.seed(0)
    models = [ef.nn.Linear(3, 1), ef.nn.Linear(3, 1)]
    for mine, theirs in zip(models[0].variables, models[1].variables, strict=True):
        theirs.assign(mine)
    optimizers = [ef.optim.Adam(model, 0.1) for model in models]
    x, y = ef.random.normal(size=(16, 3)), ef.random.normal(size=(16, 1))

    def step(which: int, x: Any, y: Any) -> Any:
        with ef.GradientTape() as tape:
            loss = ef.mean((models[which](x) - y) ** 2)
        optimizers[which].apply(tape.gradient(loss, models[which].trainable_variables))
        return loss

    captured = ef.function(step)
    for _ in range(5):
        np.testing.assert_allclose(np.asarray(captured(0, x, y)), np.asarray(step(1, x, y)), rtol=1e-12)
    assert traces(captured) == 1
    assert optimizers[0].iterations == 5
    optimizers[0].learning_rate = 0.01
    optimizers[1].learning_rate = 0.01
    np.testing.assert_allclose(np.asarray(captured(0, x, y)), np.asarray(step(1, x, y)), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(captured(0, x, y)), np.asarray(step(1, x, y)), rtol=1e-12)


def test_numpy_functions_are_captured_like_ours() -> None:
    f = ef.function(lambda x: np.tanh(np.matmul(x, x.T)).sum(axis=0))
    names = [node.op.name for node in f.get_concrete_function(ef.ones((2, 2))).graph.nodes]
    assert {"tanh", "matmul", "sum"} <= set(names)
    x = ef.asarray([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_allclose(np.asarray(f(x)), np.tanh(np.asarray(x) @ np.asarray(x).T).sum(0), rtol=1e-15)


def test_wrong_arguments_are_pythons_own_error() -> None:
    f = ef.function(lambda x, y: x + y)
    with pytest.raises(TypeError, match="missing a required argument: 'y'"):
        f(X)
    with pytest.raises(TypeError, match="unexpected keyword"):
        f(X, X, z=1)


# --- specs -----------------------------------------------------------------------------------------


def test_spec_of_any_length_serves_all_lengths() -> None:
    f = ef.function(lambda x, y: ef.sum(x @ y, axis=0))
    concrete = f.get_concrete_function(ef.TensorSpec([None, 3]), ef.TensorSpec([3, 2]))
    assert f.get_concrete_function(ef.TensorSpec([None, 3]), ef.TensorSpec([3, 2])) is concrete
    for count in (2, 3, 7):
        equal(f(ef.ones((count, 3)), ef.ones((3, 2))), ef.ones(2) * 3.0 * count)
    assert f.concrete_functions == [concrete]
    f(ef.ones((1, 3)), ef.ones((3, 2)))  # 1 broadcasts: it is a case of its own
    assert traces(f) == 2


def test_input_signature() -> None:
    @ef.function(input_signature=[ef.TensorSpec([None, 2], "float32"), ef.TensorSpec([], "float32", name="scale")])
    def f(x: Any, scale: Any) -> Any:
        return x * scale

    for rows in (1, 2, 5):
        got = f([[1.0, 2.0]] * rows, 2)
        assert got.dtype == np.float32
        equal(got, np.asarray([[2.0, 4.0]] * rows))
    equal(f(scale=3, x=np.ones((2, 2), np.float32)), np.full((2, 2), 3.0))
    with pytest.raises(ShapeError, match="expected argument 0 to be TensorSpec"):
        f(np.ones(2, np.float32), 1.0)
    with pytest.raises(DTypeError, match=r"x\.astype"):
        f(np.ones((2, 2)), 1.0)
    with pytest.raises(ArgumentError, match="2 arguments, the call 1"):
        ef.function(lambda *xs: xs, input_signature=[ef.TensorSpec([]), ef.TensorSpec([])])(1.0)
    for wrong in (3, ef.TensorSpec([2]), [3]):
        with pytest.raises(ArgumentError, match="input_signature"):
            ef.function(lambda x: x, input_signature=wrong)


def test_input_signature_holds_inside_another_function() -> None:
    inner = ef.function(lambda x: x * 2, input_signature=[ef.TensorSpec([2], "float32")])
    assert ef.function(lambda: inner([1.0, 2.0]))().dtype == np.float32


def test_specs_say_what_is_wrong_with_them() -> None:
    with pytest.raises(ShapeError, match="sequence of lengths"):
        ef.TensorSpec(3)
    with pytest.raises(ShapeError, match="0 or more"):
        ef.TensorSpec([-1])
    with pytest.raises(DTypeError):
        ef.TensorSpec([1], "floot")
    assert ef.TensorSpec([2, None]) == ef.TensorSpec((2, None), "float64")
    assert len({ef.TensorSpec([2]), ef.TensorSpec([2])}) == 1


def test_concrete_functions_are_called() -> None:
    f = ef.function(lambda x, n: x * n)
    concrete = f.get_concrete_function(ef.TensorSpec([None]), 3)
    equal(concrete(X, 3), X * 3)
    with pytest.raises(DTypeError, match="captured for 3, got 4"):
        concrete(X, 4)
    with pytest.raises(ShapeError, match="captured for"):
        concrete(ef.ones((2, 2)), 3)


# --- retracing -------------------------------------------------------------------------------------


def test_second_shape_makes_lengths_symbolic() -> None:
    f = ef.function(lambda x, y: ef.sum(x * x) + y)
    for count in range(2, 9):
        assert float(f(ef.ones(count), 1.0)) == count + 1.0
    assert traces(f) == 2
    assert "x is float64[3], was float64[2]; from now on any length: x: float64[None]" in f.explain()


def test_shapes_stay_what_they_are_where_asked() -> None:
    f = ef.function(reduce_retracing=False)(lambda x: ef.sum(x))
    for count in (2, 3, 4):
        f(ef.ones(count))
    assert traces(f) == 3


def test_a_length_that_the_function_decides_by() -> None:
    def f(x: Any) -> Any:
        return x * 2 if x.shape[0] > 4 else x + 1

    captured = ef.function(f)
    for count in (2, 3, 5, 6, 4, 9):
        equal(captured(ef.ones(count)), f(ef.ones(count)))
    assert traces(captured) == 3
    assert "does not hold for these lengths" in captured.explain()


def test_explanations_name_what_changed() -> None:
    scale = 1.0
    model = ef.nn.Sequential(ef.nn.Dropout(0.5))

    @ef.function
    def f(x: Any, n: int = 2, *, mode: Any = "a") -> Any:
        return model(x) * n * scale, mode

    assert f.explain() == "f: 0 traces"
    f(X)
    f(X, 3)
    f(ef.asarray([1, 2, 3]), 3)
    f(X, mode="b")
    scale = 2.0
    f(X)
    model.eval()
    f(X)
    f([X])
    lines = f.explain().splitlines()
    for line, text in zip(
        lines,
        [
            "f: 7 traces",
            "first call: x: float64[3], n=2, mode='a'",
            "n is 3, was 2 (a Python value is part of the trace; pass a Tensor to share it)",
            "x is int64[3], was float64[3]",
            "mode is 'b', was 'a'",
            "scale is 2.0, was 1.0",
            "model.training is False, was True",
            "another structure",
        ],
        strict=True,
    ):
        assert text in line, "\n".join(lines)


def test_explanation_of_objects_and_surroundings() -> None:
    class Config:
        def __init__(self) -> None:
            self.scale = 1.0

    config = Config()
    f = ef.function(lambda x, config: x * config.scale)
    f(X, config)
    config.scale = 2.0
    f(X, config)
    ef.set_default_dtype(ef.float32)
    try:
        f(X, config)
    finally:
        ef.set_default_dtype(ef.float64)
    assert "config.scale is 2.0, was 1.0" in f.explain()
    assert "the default dtype is float32, was float64" in f.explain()


def test_many_traces_are_one_warning_that_names_the_argument() -> None:
    f = ef.function(lambda x, step: x * step)
    with pytest.warns(CaptureWarning) as caught:
        [f(X, step) for step in range(20)]
    assert len(caught) == 1
    text = str(caught[0].message)
    assert "captured 8 times, most often because step changed (7 times)" in text
    assert Path(__file__).name in text
    assert "f(X, step)" in text
    assert caught[0].filename == __file__


# --- Variables, callbacks, scopes ------------------------------------------------------------------


def test_callbacks_run_in_every_run_and_in_order() -> None:
    v = ef.Variable(1.0)
    seen: list[Any] = []

    @ef.function
    def f(x: Any) -> Any:
        ef.py_function(lambda: seen.append(float(v)), [])
        v.assign_add(x)
        ef.py_function(lambda t: seen.append((float(v), t.tolist())), [x])
        y = ef.py_function(lambda t: np.sort(t.numpy()), [X], ef.TensorSpec([3]))
        v.assign_add(1.0)
        return y

    for _ in range(2):
        equal(f(ef.asarray(10.0)), np.sort(X.numpy()))
    assert seen == [1.0, (11.0, 10.0), 12.0, (22.0, 10.0)]


def test_callbacks_that_assign_to_variables() -> None:
    v = ef.Variable(1.0)

    @ef.function
    def f(x: Any) -> Any:
        before = v * 1
        ef.py_function(lambda t: v.assign(t) and None, [x])
        return before, v * 1

    equal(f(ef.asarray(5.0)), (1.0, 5.0))
    equal(f(ef.asarray(7.0)), (5.0, 7.0))


def test_errors_of_callbacks_pass_as_they_are() -> None:
    @ef.function
    def f(x: Any) -> Any:
        return ef.py_function(lambda t: dict[str, int]()["missing"], [x], ef.TensorSpec([]))

    with pytest.raises(KeyError, match="missing"):
        f(X)
    wrong = ef.function(lambda x: ef.py_function(lambda t: t, [x], ef.TensorSpec([7])))
    with pytest.raises(ShapeError, match=r"returned shape \(3,\), expected \(7,\)"):
        wrong(X)
    kind = ef.function(lambda x: ef.py_function(lambda t: t, [x], ef.TensorSpec([3], "int32")))
    with pytest.raises(DTypeError, match="returned dtype float64"):
        kind(X)
    with pytest.raises(ArgumentError, match="inputs is a list"):
        ef.py_function(abs, X)
    with pytest.raises(ArgumentError, match="with all lengths"):
        ef.py_function(abs, [X], ef.TensorSpec([None]))


def test_no_gradient_passes_through_a_callback() -> None:
    f = ef.function(lambda x: ef.sum(ef.py_function(lambda t: t * 2, [x], ef.TensorSpec([3]))))
    for call in (f, f.python_function):
        with ef.GradientTape() as tape:
            tape.watch(X)
            y = call(X)
        with pytest.raises(GradientError, match="does not depend"):
            tape.gradient(y, X)


def test_printing(capsys: pytest.CaptureFixture[str]) -> None:
    @ef.function
    def f(x: Any) -> Any:
        ef.print("x:", x, {"y": [x * 2]}, sep=" | ", end=".\n")
        return x

    f(ef.asarray(1.0))
    f(ef.asarray(2.0))
    assert capsys.readouterr().out == "x: | 1.0 | {'y': [Tensor(2.)]}.\nx: | 2.0 | {'y': [Tensor(4.)]}.\n"


class Block(ef.nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        self.first = ef.nn.Linear(3, 3)
        self.more = [ef.nn.Linear(3, 3)]

    def __call__(self, x: Any) -> Any:
        with ef.name_scope("activation"):
            y = ef.tanh(self.first(x))
        return self.more[0](y)


def test_scopes_are_names_of_modules_and_of_the_user() -> None:
    block = Block()
    graph = ef.function(lambda x: ef.exp(block(x))).get_concrete_function(X).graph
    scopes = {node.op.name: node.scope for node in graph.nodes if node.op.name in ("tanh", "exp")}
    assert scopes == {"tanh": "Block/activation", "exp": ""}
    assert {node.scope for node in graph.nodes if node.op.name == "matmul"} == {
        "Block/activation/first",
        "Block/more.0",
    }


def test_nodes_know_the_users_line() -> None:
    graph = ef.function(lambda x: ef.exp(x)).get_concrete_function(X).graph
    (line,) = [node.line for node in graph.nodes if node.op.name == "exp"]
    assert line.startswith(Path(__file__).name)
    assert "ef.exp(x)" in line


# --- nesting ---------------------------------------------------------------------------------------


def test_transformations_inside_and_outside() -> None:
    def f(x: Any) -> Any:
        return ef.sum(ef.sin(x) ** 2)

    captured = ef.function(f)
    equal(ef.function(ef.grad(f))(X), ef.grad(f)(X))
    equal(ef.grad(captured)(X), ef.grad(f)(X))
    rows = ef.stack([X, X * 2])
    equal(ef.function(ef.vmap(f))(rows), ef.vmap(f)(rows))
    equal(ef.vmap(captured)(rows), ef.vmap(f)(rows))
    equal(ef.function(lambda x: ef.jvp(f, (x,), (x,)))(X), ef.jvp(f, (X,), (X,)))


def test_captured_function_with_a_tape_in_it() -> None:
    @ef.function
    def f(x: Any) -> Any:
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = ef.sum(x**3)
        return y, tape.gradient(y, x)

    equal(f(X), (ef.sum(X**3), 3 * X**2))


def test_repr_and_pickle() -> None:
    assert repr(module_level) == "<captured function 'module_level': 0 traces>"
    again = pickle.loads(pickle.dumps(module_level))
    equal(again(X), X * 2)
    assert module_level.__doc__ == "Doubles."
    assert module_level.__name__ == "module_level"
    with pytest.raises(CaptureError, match="pickle"):
        ef.function(lambda x: pickle.dumps(x))(X)


@ef.function
def module_level(x: Any) -> Any:
    """Doubles."""
    return x * 2
