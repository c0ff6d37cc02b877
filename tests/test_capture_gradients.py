"""Gradients of captured functions and captured gradients: however they nest, they give what eager code gives."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import optree
import pytest

import eagerflow as ef
from eagerflow.capture.graph import CONSTANT, PARAMETER
from eagerflow.capture.verifier import verify
from eagerflow.errors import CaptureError, GradientError

X = np.linspace(-1.0, 1.5, 12).reshape(4, 3)
W = np.linspace(0.2, -0.7, 6).reshape(3, 2)


def x_() -> ef.Tensor:
    return ef.asarray(X)


def close(found: Any, expected: Any) -> None:
    got, wanted = optree.tree_leaves(found), optree.tree_leaves(expected)
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def loss(x: Any) -> Any:
    y = ef.tanh(x @ W) * 2.0
    return ef.sum(y * y[::-1]) + ef.mean(ef.exp(-x * x))


# How functions and their captures nest: each takes what makes captures, which may do nothing.
NESTED: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "grad(function)": lambda fn: ef.grad(fn(loss))(x_()),
    "function(grad)": lambda fn: fn(ef.grad(loss))(x_()),
    "function(grad(function))": lambda fn: fn(ef.grad(fn(loss)))(x_()),
    "value_and_grad": lambda fn: fn(ef.value_and_grad(fn(loss)))(x_()),
    "grad of grad inside": lambda fn: ef.grad(lambda x: ef.sum(ef.grad(fn(loss))(x) ** 2))(x_()),
    "grad of function(grad)": lambda fn: ef.grad(lambda x: ef.sum(fn(ef.grad(loss))(x) ** 2))(x_()),
    "function(grad of grad)": lambda fn: fn(ef.grad(lambda x: ef.sum(ef.grad(loss)(x) ** 2)))(x_()),
    "third order": lambda fn: ef.grad(lambda x: ef.sum(ef.grad(lambda z: ef.sum(ef.grad(fn(loss))(z) ** 2))(x)))(x_()),
    "hessian(function)": lambda fn: ef.hessian(fn(loss))(x_()),
    "function(hessian)": lambda fn: fn(ef.hessian(loss))(x_()),
    "hvp(function)": lambda fn: ef.hvp(fn(loss), [x_()], [x_() * 0.5]),
    "function(hvp)": lambda fn: fn(lambda x, v: ef.hvp(loss, [x], [v]))(x_(), x_() * 0.5),
    "jacobian(function)": lambda fn: ef.jacobian(fn(lambda x: ef.tanh(x @ W)))(x_()),
    "function(jacobian)": lambda fn: fn(ef.jacobian(lambda x: ef.tanh(x @ W)))(x_()),
    "jvp(function)": lambda fn: ef.jvp(fn(loss), [x_()], [x_() + 1.0]),
    "function(jvp)": lambda fn: fn(lambda x, t: ef.jvp(loss, [x], [t]))(x_(), x_() + 1.0),
    "vjp(function)": lambda fn: ef.vjp(fn(lambda x: ef.tanh(x @ W)), x_())[1](ef.ones((4, 2))),
    "function(vjp)": lambda fn: fn(lambda x: ef.vjp(lambda z: ef.tanh(z @ W), x)[1](ef.ones((4, 2))))(x_()),
    "vmap(function)": lambda fn: ef.vmap(fn(lambda row: ef.sum(ef.sin(row)) * row))(x_()),
    "function(vmap)": lambda fn: fn(ef.vmap(lambda row: ef.sum(ef.sin(row)) * row))(x_()),
    "vmap(grad(function))": lambda fn: ef.vmap(ef.grad(fn(lambda row: ef.sum(ef.sin(row) ** 2))))(x_()),
    "grad(vmap(function))": lambda fn: ef.grad(lambda x: ef.sum(ef.vmap(fn(lambda r: ef.sin(r) * r[0]))(x)))(x_()),
    "function(vmap(grad))": lambda fn: fn(ef.vmap(ef.grad(lambda row: ef.sum(ef.sin(row) ** 2))))(x_()),
    "jvp(grad(function))": lambda fn: ef.jvp(ef.grad(fn(loss)), [x_()], [x_()]),
    "checkpoint inside": lambda fn: ef.grad(fn(lambda x: ef.sum(ef.checkpoint(loss)(x * 2.0))))(x_()),
    "checkpoint outside": lambda fn: ef.grad(lambda x: ef.checkpoint(fn(loss))(x * 2.0))(x_()),
    "function(grad(checkpoint))": lambda fn: fn(ef.grad(lambda x: ef.checkpoint(loss)(x * 2.0)))(x_()),
    "stop_gradient": lambda fn: ef.grad(fn(lambda x: ef.sum(x * ef.stop_gradient(x * x))))(x_()),
    "mixed with eager": lambda fn: ef.grad(lambda x: ef.sum(ef.cos(fn(lambda z: ef.sin(z) @ W)(x * 2.0)) ** 2))(x_()),
    "argnums": lambda fn: ef.grad(fn(lambda x, w: ef.sum(ef.tanh(x @ w))), (0, 1))(x_(), ef.asarray(W)),
    "tree": lambda fn: ef.grad(fn(lambda d: ef.sum(d["a"] * d["b"][0])))({"a": x_(), "b": [x_() * 3.0]}),
}  # fmt: skip


@pytest.mark.parametrize("name", NESTED)
def test_nested(name: str) -> None:
    close(NESTED[name](ef.function), NESTED[name](lambda f: f))


def test_in_the_second_call_too_and_for_other_values() -> None:
    captured = ef.function(loss)
    for factor in (1.0, 2.0, -0.5):
        close(ef.grad(captured)(x_() * factor), ef.grad(loss)(x_() * factor))
    assert len(captured.concrete_functions) == 1


def test_symbolic_lengths() -> None:
    captured = ef.function(loss)
    second = ef.function(lambda x: ef.sum(ef.grad(captured)(x) ** 2))
    for n in (4, 3, 2, 6):
        close(ef.grad(captured)(x_()[:n]), ef.grad(loss)(x_()[:n]))
        close(ef.grad(second)(x_()[:n]), ef.grad(lambda x: ef.sum(ef.grad(loss)(x) ** 2))(x_()[:n]))
    assert len(captured.concrete_functions) == 2


def test_symbolic_lengths_that_only_attributes_of_the_backward_graph_have() -> None:
    def f(x: Any, i: Any) -> Any:
        return ef.sum(ef.stack([x[i], x[i]]) ** 2)

    captured = ef.function(f)
    i = ef.asarray([1, 0, 1])
    for n in (3, 5, 4, 2):
        close(ef.grad(captured)(ef.asarray(X[:, 0])[:n] if n < 5 else ef.arange(5.0), i),
              ef.grad(f)(ef.asarray(X[:, 0])[:n] if n < 5 else ef.arange(5.0), i))  # fmt: skip


# --- what is kept ---------------------------------------------------------------------------------


def kept(f: Callable[..., Any], *tensors: ef.Tensor) -> list[Any]:
    """Return the values that pass from the forward to the backward graph, without inputs, Variables and results."""
    captured = ef.function(f)
    with ef.GradientTape() as tape:
        tape.watch(list(tensors))
        y = captured(*tensors)
    assert tape.gradient(y, list(tensors), unconnected="zero")
    (made,) = captured.get_concrete_function(*tensors)._differentiated.values()
    for runner in (made.forward, made.backward):
        verify(runner.captured)
    known = set(made.forward.captured.outputs[: len(made.captured.outputs)])
    free = ("parameter", "read_variable")
    return [value for value in made._kept if value not in known and value.node.op.name not in free]


def test_linear_functions_keep_nothing() -> None:
    assert kept(lambda x: ef.sum((x * 2.0 + 1.0).T[1:] - 3.0, axis=0), x_()) == []
    w = ef.Variable(W)
    assert kept(lambda x: (x @ w) * 0.5, x_()) == []


def test_what_is_kept_of_a_chain_is_what_backward_needs() -> None:
    w = ef.Variable(W)
    found = kept(lambda x: ef.sum(ef.tanh(x @ w) * 2.0), x_())
    assert [value.shape for value in found] == [(4, 2)]  # of tanh
    found = kept(lambda x: ef.sum(ef.exp(ef.tanh(x @ w) * 2.0) + 1.0), x_())
    assert [value.shape for value in found] == [(4, 2), (4, 2)]  # of exp and of tanh
    assert kept(lambda x: ef.tanh(x @ w), x_()) == []  # the result itself


def test_a_linear_function_does_not_keep_its_input_alive() -> None:
    captured = ef.function(lambda x: x * 2.0 + 1.0)
    x = x_()
    with ef.GradientTape() as tape:
        tape.watch(x)
        middle = x * 3.0
        gone = weakref.ref(middle._held)
        y = ef.sum(captured(middle))
        del middle
        gc.collect()
        assert gone() is None
    close(tape.gradient(y, x), np.full((4, 3), 6.0))


def test_a_kept_loss_keeps_no_graph() -> None:
    n = 250_000
    captured = ef.function(lambda x: ef.sum(ef.tanh(ef.exp(-x) * 2.0) * x))
    x = ef.ones(n)

    def step() -> ef.Tensor:
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = captured(x * 1.5)
        tape.gradient(y, x)
        return y

    losses = [step(), step()]
    gc.collect()
    tracemalloc.start()
    try:
        losses += [step() for _ in range(4)]
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < n * 8, held  # less than one array
    assert len(losses) == 6


def test_a_tape_that_is_dropped_lets_go_of_what_it_kept() -> None:
    captured = ef.function(lambda x: ef.tanh(x * 2.0) * 3.0)
    x = x_()
    with ef.GradientTape() as tape:
        tape.watch(x)
        middle = x + 1.0
        y = captured(middle)
    gone = weakref.ref(middle._held)
    del middle, tape
    gc.collect()
    assert gone() is None
    assert y.shape == (4, 3)


# --- tapes ----------------------------------------------------------------------------------------


def test_persistent_tapes_give_gradients_more_than_once() -> None:
    def both(fn: Callable[..., Any]) -> list[Any]:
        w, x = ef.Variable(W), x_()
        f = fn(lambda x: (ef.tanh(x @ w), x * 2.0))
        with ef.GradientTape(persistent=True) as tape:
            tape.watch(x)
            a, b = f(x)
            c = ef.sum(a) * ef.sum(b)
        return [tape.gradient(a, [x, w]), tape.gradient(b, x), tape.gradient(c, [x, w]), tape.gradient(a, [x, w])]

    close(both(ef.function), both(lambda f: f))


def test_tape_jacobian_of_a_captured_function() -> None:
    def rows(fn: Callable[..., Any]) -> Any:
        w, x = ef.Variable(W), x_()
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = fn(lambda x: ef.sum(ef.tanh(x @ w), axis=0))(x)
        return tape.jacobian(y, [x, w])

    close(rows(ef.function), rows(lambda f: f))


def test_nested_tapes_see_Variables_and_arguments() -> None:
    def second(fn: Callable[..., Any]) -> list[Any]:
        w, x = ef.Variable(W), x_()
        f = fn(lambda x: ef.sum(ef.sin(x @ w) ** 2))
        with ef.GradientTape() as outer:
            outer.watch(x)
            with ef.GradientTape() as inner:
                inner.watch(x)
                y = f(x * 2.0)
            g, h = inner.gradient(y, [x, w])
            z = ef.sum(g * g) + ef.sum(h**3)
        return [g, h, *outer.gradient(z, [x, w])]

    close(second(ef.function), second(lambda f: f))


def test_a_tape_around_a_tape_inside() -> None:
    def run(fn: Callable[..., Any]) -> list[Any]:
        w, x = ef.Variable(W), x_()

        def f(x: Any) -> Any:
            with ef.GradientTape() as tape:
                tape.watch(x)
                y = ef.sum(ef.sin(x @ w) ** 2)
            g = tape.gradient(y, [x, w])
            return ef.sum(g[0] ** 2) + ef.sum(g[1])

        with ef.GradientTape() as tape:
            tape.watch(x)
            z = fn(f)(x)
        return [z, *tape.gradient(z, [x, w])]

    close(run(ef.function), run(lambda f: f))


def test_stop_recording_and_tapes_that_watch_nothing() -> None:
    w, x = ef.Variable(W), x_()
    f = ef.function(lambda x: ef.sum(ef.tanh(x @ w)))
    with ef.GradientTape() as tape:
        tape.watch(x)
        with tape.stop_recording():
            hidden = f(x)
        y = f(x) + hidden
    close(tape.gradient(y, w), ef.grad(lambda w: ef.sum(ef.tanh(X @ w)))(ef.asarray(W)))
    with ef.GradientTape(watch_accessed_variables=False) as tape:
        y = f(x)
    with pytest.raises(GradientError):
        tape.gradient(y, w)


def test_a_closure_that_a_tape_outside_follows_has_its_gradient() -> None:
    x = x_()
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x * 2.0
        f = ef.function(lambda a: ef.sum(a * y * x))
        z = f(ef.ones((4, 3)))
    close(tape.gradient(z, x), X * 4.0)


# --- kinds of functions ---------------------------------------------------------------------------


def test_several_outputs_of_which_some_are_unused_or_integer() -> None:
    def run(fn: Callable[..., Any]) -> Any:
        x = x_()
        with ef.GradientTape() as tape:
            tape.watch(x)
            out = fn(lambda x: {"a": ef.exp(x), "i": ef.argmax(x, axis=1), "x": x, "n": 3, "b": [x > 0, ef.sin(x)]})(x)
            y = ef.sum(out["b"][1] * out["x"])
        return [tape.gradient(y, x), out["i"], out["b"][0]]

    close(run(ef.function), run(lambda f: f))


def test_integer_and_boolean_arguments_beside_floats() -> None:
    f = ef.function(lambda x, i, b: ef.sum(ef.where(b, x[i], 0.5 * x)))
    i, b = ef.asarray([3, 0, 1, 1]), ef.asarray(X > 0)
    close(ef.grad(f)(x_(), i, b), ef.grad(lambda x: ef.sum(ef.where(b, x[i], 0.5 * x)))(x_()))


def test_complex() -> None:
    z = ef.asarray(X + 1j * X[::-1])

    def f(z: Any) -> Any:
        return ef.sum(ef.abs(ef.exp(z) * z.conj() + z @ W[:, :1]) ** 2)

    close(ef.grad(ef.function(f))(z), ef.grad(f)(z))
    close(ef.function(ef.grad(f))(z), ef.grad(f)(z))

    def through(fn: Callable[..., Any]) -> Any:
        g = fn(lambda z: (ef.exp(z) * z, ef.real(z)))
        with ef.GradientTape(persistent=True) as tape:
            tape.watch(z)
            a, b = g(z * 1j)
            y = ef.sum(ef.imag(a) ** 2) + ef.sum(b)
        weight = ef.asarray(X * (1 - 2j))
        return [tape.gradient(y, z), tape.gradient(a, z, weight)]

    close(through(ef.function), through(lambda f: f))
    second = lambda fn: ef.grad(lambda z: ef.sum(ef.abs(ef.grad(fn(f))(z)) ** 2))(z)  # noqa: E731
    close(second(ef.function), second(lambda f: f))


def test_custom_gradient_inside() -> None:
    @ef.custom_gradient
    def doubled(x: Any) -> Any:
        return ef.sin(x), lambda g: g * 2.0

    def f(x: Any) -> Any:
        return ef.sum(doubled(x * 3.0) * x)

    close(ef.grad(ef.function(f))(x_()), ef.grad(f)(x_()))
    close(ef.function(ef.grad(f))(x_()), ef.grad(f)(x_()))
    captured = ef.function(lambda x, d: f(x) * d["factor"])
    for factor in (2.0, 2.0, 3.0):
        close(ef.grad(captured)(x_(), {"factor": factor}), ef.grad(f)(x_()) * factor)
        close(captured(x_(), {"factor": factor}), f(x_()) * factor)
    second = ef.grad(lambda x: ef.sum(ef.grad(ef.function(f))(x) ** 2))
    close(second(x_()), ef.grad(lambda x: ef.sum(ef.grad(f)(x) ** 2))(x_()))


def test_random_draws_and_assignments_under_a_tape() -> None:
    def run(fn: Callable[..., Any]) -> Any:
        w, count = ef.Variable(W), ef.Variable(0.0, trainable=False)
        ef.random.seed(5)

        @fn
        def step(x: Any) -> Any:
            mask = ef.random.uniform(size=(4, 2)) > 0.5
            count.assign_add(1.0)
            h = ef.where(mask, ef.tanh(x @ w), 0.0) * count
            w.assign(w * 0.5)  # backward uses the value before
            return ef.sum(h * h) + ef.sum(x @ w)

        found = []
        for _ in range(3):
            x = x_()
            with ef.GradientTape() as tape:
                tape.watch(x)
                y = step(x)
            found.append([y, *tape.gradient(y, [x, w]), w.value, count.value])
        return found

    close(run(ef.function), run(lambda f: f))


@pytest.mark.parametrize("order", [1, 2])
def test_layers_with_state_train_alike(order: int) -> None:
    def run(fn: Callable[..., Any]) -> Any:
        ef.random.seed(3)
        layers = [ef.nn.Linear(3, 5), ef.nn.BatchNorm(5), ef.nn.Dropout(0.3), ef.nn.Linear(5, 2)]
        model = ef.nn.Sequential(*layers)

        @fn
        def forward(x: Any) -> Any:
            return ef.sum(model(x) ** 2)

        found = []
        variables = [v for v in dict(model.named_variables()).values() if v.trainable]
        for _ in range(3):
            x = x_()
            with ef.GradientTape() as outer:
                outer.watch(x)
                with ef.GradientTape() as tape:
                    tape.watch(x)
                    y = forward(x)
                gradients = tape.gradient(y, [x, *variables])
                z = ef.sum(gradients[0] ** 2)
            found.append([y, gradients])
            if order == 2:
                found.append([outer.gradient(z, [x, *variables], unconnected="zero")])
        return found, [v.value for v in dict(model.named_variables()).values()]

    close(run(ef.function), run(lambda f: f))


def test_changes_of_arguments_after_the_call_do_not_matter() -> None:
    f = ef.function(lambda x, a: ef.sum(x * x * a))
    array, x = X.copy(), x_()
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = f(x, array)
        array[...] = 100.0
        other = x
        other[0] = 50.0
    close(y, np.sum(X**3))
    fresh = x_()
    with ef.GradientTape() as tape:
        tape.watch(fresh)
        y = f(fresh, X)
        fresh += 1.0
        z = y + ef.sum(fresh)
    close(z, np.sum(X**3) + np.sum(X + 1.0))


def test_a_Variable_that_changes_between_forward_and_backward() -> None:
    w = ef.Variable(W)
    f = ef.function(lambda x: ef.sum(ef.tanh(x @ w)))
    with ef.GradientTape() as tape:
        y = f(x_())
        w.assign_add(5.0)
    close(tape.gradient(y, w), ef.grad(lambda w: ef.sum(ef.tanh(X @ w)))(ef.asarray(W)))


# --- errors ---------------------------------------------------------------------------------------


def test_what_has_no_gradient_says_so() -> None:
    f = ef.function(lambda x: ef.floor(x) * 0 + ef.argmax(x))
    with ef.GradientTape() as tape:
        x = x_()
        tape.watch(x)
        y = ef.sum(ef.function(lambda x: ef.argsort(x) * 1.0)(x))
    with pytest.raises(GradientError, match="does not depend"):
        tape.gradient(y, x)
    assert f(x_()).shape == (4, 3)


def test_a_refused_gradient_names_op_and_reason() -> None:
    f = ef.function(lambda a: ef.sum(ef.special.betainc(a, 2.0, 0.5)))
    with pytest.raises(GradientError, match="betainc: there is no gradient with respect to a"):
        ef.grad(f)(ef.asarray([1.0, 2.0]))


def test_errors_in_backward_name_the_line() -> None:
    @ef.custom_gradient
    def broken(x: Any) -> Any:
        def gradient(g: Any) -> Any:
            return ef.reshape(g, (7, 7))  # the guilty line

        return ef.sin(x), gradient

    f = ef.function(lambda x: ef.sum(broken(x)))
    with pytest.raises(ef.errors.ShapeError, match=r"reshape[^!]*test_capture_gradients\.py:\d+: return ef.reshape"):
        ef.grad(f)(x_())


def test_backward_graphs_hold_what_their_kinds_say() -> None:
    captured = ef.function(loss)
    x = x_()
    ef.grad(captured)(x)
    (made,) = captured.get_concrete_function(x)._differentiated.values()
    backward = made.backward.captured
    assert all(value.node.op is PARAMETER for value in backward.inputs)
    assert all(node.effects == "none" for node in backward.nodes)
    assert sum(node.op is CONSTANT for node in made.forward.captured.nodes) >= 1
    with pytest.raises(CaptureError):
        ef.function(lambda x: float(x))(ef.asarray(1.0))
