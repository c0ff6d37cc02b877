"""vmap: axes, nesting, grad under it and over it, assignment, random numbers, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eagerflow as ef

E = ef.errors
RNG = np.random.default_rng(0)
A, W = RNG.normal(size=(3, 4)), RNG.normal(size=4)


def close(x: Any, y: Any) -> None:
    np.testing.assert_allclose(np.asarray(x), y, rtol=1e-12, atol=1e-12)


def test_in_axes_and_out_axes() -> None:
    close(ef.vmap(lambda x, y: x @ y, in_axes=(1, None))(A, RNG.normal(size=3) * 0 + 1), A.sum(0))
    close(ef.vmap(lambda x: x * 2, in_axes=-1, out_axes=-1)(A), A * 2)
    close(ef.vmap(lambda x: x * 2, in_axes=1, out_axes=1)(A), A * 2)
    close(ef.vmap(lambda x, y: x * y, in_axes=[0, None])(A, 3.0), A * 3)
    shared, own = ef.vmap(lambda x: (W, x), out_axes=(None, 0))(A)
    close(shared, W)
    close(own, A)


def test_trees_as_arguments_and_results() -> None:
    def f(p: Any, x: Any) -> Any:
        return {"y": p["w"] @ x + p["b"], "parts": [x, p["b"]]}

    p = {"w": W, "b": np.arange(3.0)}
    result = ef.vmap(f, in_axes=({"w": None, "b": 0}, 0), out_axes={"y": 0, "parts": 0})(p, A)
    close(result["y"], A @ W + np.arange(3.0))
    close(result["parts"][1], np.arange(3.0))


def test_keyword_arguments_hold_examples_along_the_first_axis() -> None:
    close(ef.vmap(lambda x, *, y: x * y)(A, y=np.arange(3.0)), A * np.arange(3.0)[:, None])


def test_results_that_are_the_same_for_all_are_repeated() -> None:
    close(ef.vmap(lambda x: ef.zeros(2))(A), np.zeros((3, 2)))
    close(ef.vmap(lambda x: 1.5)(A), np.full(3, 1.5))


def test_nesting_gives_all_pairs() -> None:
    pairs = ef.vmap(ef.vmap(lambda x, y: x @ y, in_axes=(None, 0)), in_axes=(0, None))
    close(pairs(A, A), A @ A.T)
    three = ef.vmap(ef.vmap(ef.vmap(lambda x, y, z: x + y * z, (0, None, None)), (None, 0, None)), (None, None, 0))
    close(three(W, W, W), W + W[:, None] * W[:, None, None])


def test_gradients_per_example_and_of_the_whole() -> None:
    def f(w: Any, x: Any) -> Any:
        return ef.sum(ef.tanh(w * x)) ** 2

    expected = np.stack([ef.grad(f)(W, x).numpy() for x in A])
    close(ef.vmap(ef.grad(f), in_axes=(None, 0))(W, A), expected)
    close(ef.grad(lambda w: ef.sum(ef.vmap(f, in_axes=(None, 0))(w, A)))(W), expected.sum(0))
    close(ef.vmap(lambda w: ef.grad(lambda w: ef.sum(ef.vmap(f, (None, 0))(w, A)))(w))(W[None]), expected.sum(0)[None])


def test_higher_orders_through_it() -> None:
    close(ef.vmap(ef.grad(ef.grad(lambda x: x**4)))(W), 12 * W**2)
    close(ef.grad(lambda w: ef.sum(ef.vmap(ef.grad(lambda x: x**4))(w)))(W), 12 * W**2)
    close(ef.vmap(ef.hessian(lambda x: ef.sum(x**3)))(A), np.stack([np.diag(6 * a) for a in A]))
    close(ef.vmap(ef.jacobian(lambda x: x**2))(A), np.stack([np.diag(2 * a) for a in A]))
    moved = ef.vmap(lambda x, t: ef.jvp(lambda x: x**2, (x,), (t,))[1])(A, A)
    close(moved, 2 * A * A)
    close(ef.jvp(ef.vmap(lambda x: x**2), (A,), (A,))[1], 2 * A * A)


def test_gradients_of_variables_per_example() -> None:
    v = ef.Variable(W)

    def gradient(x: Any) -> Any:
        with ef.GradientTape() as tape:
            y = ef.sum(v * x) ** 2
        return tape.gradient(y, v)

    close(ef.vmap(gradient)(A), 2 * (A @ W)[:, None] * A)
    close(v.numpy(), W)


def test_tapes_outside_see_what_happens_inside() -> None:
    v = ef.Variable(W)
    with ef.GradientTape() as tape:
        y = ef.sum(ef.vmap(lambda x: ef.sum(v * x) ** 2)(A))
    close(tape.gradient(y, v), (2 * (A @ W)[:, None] * A).sum(0))


def test_persistent_tapes_inside() -> None:
    def both(x: Any) -> Any:
        with ef.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y, z = ef.sum(x**2), ef.sum(x**3)
        return tape.gradient(y, x), tape.gradient(z, x), tape.jacobian(x**1 if False else z, x)

    first, second, third = ef.vmap(both)(A)
    close(first, 2 * A)
    close(second, 3 * A**2)
    close(third, 3 * A**2)


def test_assignment_to_plain_and_to_mapped_tensors() -> None:
    def f(x: Any) -> Any:
        out = np.zeros_like(x)
        plain = ef.zeros(4)
        for i in range(4):
            out[i] = x[i] ** 2
            plain[i] = x[i] * x[0]
        out[1:] += 1
        out[out > 1.5] = 0.0
        return out, plain

    out, plain = ef.vmap(f)(A)
    expected = A**2 + np.array([0, 1, 1, 1])
    close(out, np.where(expected > 1.5, 0.0, expected))
    close(plain, A * A[:, :1])


@pytest.mark.parametrize("batched", [(0, None), (None, 0), (0, 0)])
@pytest.mark.parametrize(
    "index",
    [lambda i: i, lambda i: (slice(None), i), lambda i: (i, 0), lambda i: (0, slice(None), i), lambda i: (..., i)],
)
def test_indexing_with_mapped_arrays(batched: Any, index: Any) -> None:
    x, i = RNG.normal(size=(3, 2, 2, 2)), RNG.integers(0, 2, (3, 5))
    # NumPy's own indexing would ask for the values of the index: what is shared is a Tensor.
    args = (x if batched[0] == 0 else ef.asarray(x[0]), i if batched[1] == 0 else i[0])

    def part(x: Any, i: Any) -> Any:
        return ef.asarray(x)[index(i)]

    def at(k: int) -> Any:
        return (x[k] if batched[0] == 0 else x[0]), (i[k] if batched[1] == 0 else i[0])

    close(ef.vmap(part, in_axes=batched)(*args), np.stack([part(*at(k)) for k in range(3)]))
    gradient = ef.grad(lambda x, i: ef.sum(part(x, i) ** 2))
    close(ef.vmap(gradient, in_axes=batched)(*args), np.stack([gradient(*at(k)).numpy() for k in range(3)]))


def test_each_example_draws_its_own_numbers() -> None:
    ef.random.seed(0)
    drawn = ef.vmap(lambda x: x * 0 + ef.random.normal(size=(2,)))(np.zeros((1000, 2))).numpy()
    assert len(np.unique(drawn)) == 2000
    orders = ef.vmap(lambda x: ef.random.permutation(5))(np.zeros(20)).numpy()
    assert (np.sort(orders) == np.arange(5)).all() and len(np.unique(orders, axis=0)) > 1
    nested = ef.vmap(ef.vmap(lambda x: x + ef.random.uniform()))(np.zeros((2, 3))).numpy()
    assert len(np.unique(nested)) == 6


def test_no_examples_at_all() -> None:
    assert ef.vmap(lambda x: ef.linalg.inv(x) @ x)(np.zeros((0, 2, 2))).shape == (0, 2, 2)


def test_custom_gradients_and_checkpoints_inside() -> None:
    @ef.custom_gradient
    def product(x: Any, y: Any) -> Any:
        return x * y, lambda g: (3 * g * y, 5 * g * x)

    def f(x: Any, y: Any) -> Any:
        return ef.sum(product(x, y))

    B = A[::-1].copy()
    close(ef.grad(lambda x: ef.sum(ef.vmap(f)(x, B)))(A), 3 * B)
    for got, expected in zip(ef.vmap(ef.grad(f, (0, 1)))(A, B), (3 * B, 5 * A), strict=True):
        close(got, expected)
    close(ef.grad(lambda y: ef.sum(ef.vmap(f, (0, None))(A, y)))(W), 5 * A.sum(0))
    close(ef.vmap(ef.vmap(ef.grad(product)))(A, B), 3 * B)
    loss = ef.checkpoint(lambda x: ef.sum(ef.sin(x) ** 2))
    close(ef.vmap(ef.grad(loss))(A), np.sin(2 * A))
    close(ef.grad(lambda x: ef.sum(ef.vmap(loss)(x)))(A), np.sin(2 * A))


def test_what_it_refuses() -> None:
    kept: list[Any] = []

    def keep(x: Any) -> Any:
        kept.append(x)
        return x

    v = ef.Variable(1.0)
    cases: dict[str, tuple[Any, type[Exception]]] = {
        "needs the values": (lambda: ef.vmap(lambda x: x if x > 0 else -x)(W), E.CaptureError),
        "needs the values of": (lambda: ef.vmap(lambda x: float(x))(W), E.CaptureError),
        "nonzero returns depends on": (lambda: ef.vmap(ef.nonzero)(A), E.CaptureError),
        "depends on the values": (lambda: ef.vmap(lambda x: x[x > 0])(A), E.CaptureError),
        "different numbers of examples": (lambda: ef.vmap(lambda x, y: x)(A, W), E.ShapeError),
        "axis 0 of an argument of shape": (lambda: ef.vmap(lambda x: x)(1.0), E.ShapeError),
        "nothing to map over": (lambda: ef.vmap(lambda x: x, in_axes=None)(W), E.ShapeError),
        "2 entries for 1 arguments": (lambda: ef.vmap(lambda x: x, in_axes=(0, 0))(W), E.ShapeError),
        "out_axes is None for a result": (lambda: ef.vmap(lambda x: x, out_axes=None)(W), E.ShapeError),
        "out_axes has another structure": (lambda: ef.vmap(lambda x: x, out_axes=(0, 0))(W), E.ShapeError),
        "in_axes has another structure": (lambda: ef.vmap(lambda x: x, in_axes=({"a": 0},))(W), E.ShapeError),
        "asks for axis 3 of a result": (lambda: ef.vmap(lambda x: x, out_axes=3)(W), E.ShapeError),
        "integers and None": (lambda: ef.vmap(lambda x: x, in_axes="a")(W), E.ShapeError),
        "returns arrays, got str": (lambda: ef.vmap(lambda x: "a")(W), E.DTypeError),
        "after vmap has ended": (lambda: (ef.vmap(keep)(W), kept[0] + 1), E.CaptureError),
        "a Variable has one value": (lambda: ef.vmap(lambda x: v.assign(x))(W), E.CaptureError),
    }
    for match, (function, kind) in cases.items():
        with pytest.raises(kind, match=match):
            function()
