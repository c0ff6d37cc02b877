"""Rules of forward mode and vmap: how many kernels they run, second derivatives through them, and corner cases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.core import Draw, is_inexact
from eagerflow.devices import CPU0
from eagerflow.ops.networks import batched_images
from numeric import call, differentiable
from other_kernels import other_kernel

OPS = ef.ops.registry()
SEEDS = st.integers(0, 2**32 - 1)


@contextmanager
def shapes_of_calls(name: str) -> Iterator[list[list[Any]]]:
    """Collect the shapes of the arrays with which the kernel of an op is called."""
    op, found = OPS[name], []
    kernel = op.kernel_for(CPU0)

    def counted(*inputs: Any, **attrs: Any) -> Any:
        found.append([getattr(x, "shape", None) for x in inputs])
        return kernel(*inputs, **attrs)

    with other_kernel(op, counted):
        yield found


def normal(*shape: int, seed: int = 0) -> ef.Tensor:
    return ef.asarray(np.random.default_rng([seed, *shape]).normal(size=shape))


def assert_as_loop(f: Any, axes: tuple[int | None, ...], *arrays: Any) -> None:
    size = next(x.shape[0] for x, axis in zip(arrays, axes, strict=True) if axis == 0)
    rows = [f(*[x if axis is None else x[i] for x, axis in zip(arrays, axes, strict=True)]) for i in range(size)]
    found = ef.vmap(f, in_axes=axes)(*arrays)
    np.testing.assert_allclose(found, np.stack([np.asarray(row) for row in rows]), rtol=1e-10, atol=1e-10)


# Products.

MATRICES = [(4,), (3, 4), (2, 3, 4), (5, 1, 3, 4)]


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
@pytest.mark.parametrize("right", [(4,), (4, 2), (2, 4, 2), (5, 2, 4, 2)])
@pytest.mark.parametrize("left", MATRICES)
def test_matmul_of_examples_of_all_ranks(left: tuple[int, ...], right: tuple[int, ...], axes: Any) -> None:
    x, y = (normal(*((7,) if a == 0 else ()), *shape) for a, shape in zip(axes, (left, right), strict=True))
    with shapes_of_calls("matmul") as calls:
        ef.vmap(ef.matmul, in_axes=axes)(x, y)
    assert len(calls) == 1
    assert_as_loop(ef.matmul, axes, x, y)


def test_vectors_of_all_examples_are_one_matrix() -> None:
    with shapes_of_calls("matmul") as calls:
        ef.vmap(lambda x, w: x @ w, in_axes=(0, None))(normal(7, 3), normal(3, 2))
        ef.vmap(lambda x, w: w @ x, in_axes=(0, None))(normal(7, 3), normal(2, 3))
    assert calls == [[(7, 3), (3, 2)], [(7, 3), (3, 2)]]


def test_matmul_under_two_vmaps() -> None:
    x, w = normal(3, 5, 4), normal(3, 4, 2)
    found = ef.vmap(ef.vmap(ef.matmul, in_axes=(0, None)))(x, w)
    np.testing.assert_allclose(found, x.numpy() @ w.numpy())


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
def test_tensordot_and_einsum_run_once(axes: Any) -> None:
    x = normal(*((6,) if axes[0] == 0 else ()), 2, 3, 4)
    y = normal(*((6,) if axes[1] == 0 else ()), 4, 5, 3)
    for f in (lambda x, y: ef.tensordot(x, y, ((2, 1), (0, 2))), lambda x, y: ef.einsum("ijk,klj->li", x, y)):
        with (
            shapes_of_calls("tensordot") as dots,
            shapes_of_calls("einsum") as sums,
            shapes_of_calls("matmul") as others,
        ):
            ef.vmap(f, in_axes=axes)(x, y)
        assert len(dots) + len(sums) + len(others) == 1
        assert_as_loop(f, axes, x, y)


def test_the_letter_of_the_examples_is_none_of_the_subscripts() -> None:
    assert_as_loop(lambda x, y: ef.einsum("AB,BC->AC", x, y), (0, 0), normal(3, 2, 2), normal(3, 2, 2))


# Images.


def loss(w: Any, x: Any) -> Any:
    return (ef.nn.conv2d(x[None], w, padding=1, groups=2) ** 2).sum()


def test_gradients_of_convolution_weights_per_example_run_once() -> None:
    w, x = normal(6, 2, 3, 3), normal(5, 4, 6, 6)
    with shapes_of_calls("conv2d_weight_gradient") as calls:
        ef.vmap(ef.grad(loss), in_axes=(None, 0))(w, x)
    assert calls == [[(1, 20, 6, 6), (1, 30, 6, 6)]]
    assert_as_loop(ef.grad(loss), (None, 0), w, x)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_convolutions_of_large_examples_run_in_several_calls(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    w, x = normal(6, 2, 3, 3), normal(5, 4, 6, 6)
    monkeypatch.setattr(batched_images, "_WORTH", at_once * 2 * 6 * 36 * 18)
    with shapes_of_calls("conv2d_weight_gradient") as calls:
        ef.vmap(ef.grad(loss), in_axes=(None, 0))(w, x)
    assert len(calls) == -(-5 // at_once)
    assert_as_loop(ef.grad(loss), (None, 0), w, x)


@pytest.mark.parametrize(
    "axes", [(0, 0, 0), (0, None, None), (None, 0, 0), (None, None, 0), (0, 0, None), (0, None, 0)]
)
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_run_once_whatever_the_examples_share(groups: int, axes: Any) -> None:
    shapes = [(2, 4, 5, 5), (6, 4 // groups, 3, 3), (6,)]
    arrays = [normal(*((3,) if axis == 0 else ()), *shape) for axis, shape in zip(axes, shapes, strict=True)]

    def f(x: Any, w: Any, b: Any) -> Any:
        return ef.nn.conv2d(x, w, b, stride=2, padding=1, groups=groups)

    with shapes_of_calls("conv2d") as calls:
        ef.vmap(f, in_axes=axes)(*arrays)
    assert len(calls) == 1
    assert_as_loop(f, axes, *arrays)


def test_convolution_keeps_the_precision_of_its_arguments() -> None:
    x, w = normal(3, 1, 2, 4, 4).astype("float32"), normal(2, 2, 3, 3).astype("float32")
    assert ef.vmap(ef.nn.conv2d, in_axes=(0, None, 0))(x, w, normal(3, 2)).dtype == np.float32


def test_pooling_of_examples_runs_once() -> None:
    x = normal(5, 2, 3, 6, 6)
    with shapes_of_calls("max_pool2d") as calls:
        assert_as_loop(lambda x: ef.nn.max_pool2d(x, 2), (0,), x)
    assert calls[-1] == [(10, 3, 6, 6)] and len(calls) == 6


# Networks.


def lstm_loss(x: Any, h: Any, c: Any, w: Any) -> Any:
    h, c = ef.nn.lstm(x, h, c, w)
    return (h * c).sum()


def test_lstm_with_shared_weights_runs_once() -> None:
    arrays = [normal(5, 4, 2, 12), normal(5, 2, 3), normal(2, 3), normal(3, 12)]
    axes = (0, 0, None, None)
    with shapes_of_calls("lstm") as forth, shapes_of_calls("lstm_gradient") as back:
        ef.vmap(ef.grad(lstm_loss, argnums=(0, 3)), in_axes=axes)(*arrays)
    assert len(forth) == len(back) == 1 and forth[0][0] == (4, 10, 12)
    for argument in range(4):
        assert_as_loop(ef.grad(lstm_loss, argnums=argument), axes, *arrays)


def test_lstm_with_weights_of_each_example() -> None:
    arrays = [normal(4, 2, 12), normal(2, 3), normal(2, 3), normal(5, 3, 12)]
    assert_as_loop(ef.grad(lstm_loss, argnums=3), (None, None, None, 0), *arrays)


def test_embeddings_per_example() -> None:
    table, tables, ids = normal(4, 2), normal(3, 4, 2), ef.asarray([[0, 3], [3, 3], [1, 0]])
    gradient = ef.grad(lambda table, ids: (ef.nn.embedding(table, ids) ** 2).sum())
    with shapes_of_calls("embedding_gradient") as calls:
        ef.vmap(gradient, in_axes=(None, 0))(table, ids)
    assert len(calls) == 1
    for axes, arrays in (((None, 0), (table, ids)), ((0, 0), (tables, ids)), ((0, None), (tables, ids))):
        assert_as_loop(gradient, axes, *arrays)


@pytest.mark.parametrize("bad", [4, -1])
def test_no_example_reads_the_table_of_another(bad: int) -> None:
    tables, ids = normal(3, 4, 2), ef.asarray([[0, 3], [3, bad], [1, 0]])
    with pytest.raises(ef.errors.IndexOutOfBoundsError, match=f"ids {bad} is out of range for 4 rows"):
        ef.vmap(ef.nn.embedding)(tables, ids)


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (lambda x, w: ef.nn.conv2d(x, w), [(0, 1, 2, 4, 4), (0, 3, 2, 3, 3)]),
        (lambda x: ef.nn.max_pool2d(x, 2), [(0, 1, 2, 4, 4)]),
        (lambda x, h: ef.nn.lstm(x, h, h, ef.ones((3, 12)))[0], [(0, 4, 2, 12), (0, 2, 3)]),
        (lambda x, y: x @ y, [(0, 4), (0, 4)]),
        (lambda x, y: ef.tensordot(x, y, 1), [(0, 2, 3), (0, 3, 4)]),
        (lambda x, y: ef.einsum("ij,jk->ki", x, y), [(0, 2, 3), (0, 3, 4)]),
        (lambda x: ef.nn.softmax(x), [(0, 3)]),
        (lambda x: ef.nn.layer_norm(x), [(0, 3)]),
        (lambda x: ef.nn.embedding(x, [0, 1]), [(0, 3, 2)]),
    ],
)
def test_no_examples_give_an_empty_result(f: Any, shapes: Any) -> None:
    one = f(*[ef.ones(shape[1:]) for shape in shapes])
    assert ef.vmap(f)(*[ef.ones(shape) for shape in shapes]).shape == (0, *one.shape)


# Second derivatives through the forward rules.

STATED = [
    "conv2d", "conv2d_input_gradient", "conv2d_weight_gradient", "einsum", "embedding", "log_softmax", "logsumexp",
    "lstm", "lstm_gradient", "matmul", "max_pool2d", "prod", "softmax", "softmax_cross_entropy",
    "softmax_cross_entropy_gradient", "standardize", "standardize_gradient", "sum", "tensordot", "window_sum2d",
]  # fmt: skip


@pytest.mark.parametrize("name", STATED)
@given(seed=SEEDS)
def test_gradients_of_forward_mode_agree_with_those_of_gradients(name: str, seed: int) -> None:
    """Both are the gradient of <w, J t>: with J t by the forward rule, and with the gradient's J' w."""
    op = OPS[name]
    sample = op.sample(Draw(seed))
    rng = np.random.default_rng(seed)
    moving = differentiable(op, sample)

    def function(*arrays: Any) -> list[Any]:
        inputs = list(sample.inputs)
        for position, array in zip(moving, arrays, strict=True):
            inputs[position] = array
        return [r for r in call(op, inputs, sample.attrs) if is_inexact(r.dtype)]

    primals = [ef.asarray(sample.inputs[p]) for p in moving]
    tangents = [ef.asarray(rng.normal(size=p.shape)) for p in primals]
    weights = [ef.asarray(rng.normal(size=r.shape)) for r in function(*primals)]

    def forward(*xs: Any) -> Any:
        return sum((w * t).sum() for w, t in zip(weights, ef.jvp(function, xs, tangents)[1], strict=True))

    def reverse(*xs: Any) -> Any:
        with ef.GradientTape() as tape:
            tape.watch(xs)
            results = function(*xs)
        gradients = tape.gradient(results, list(xs), weights, unconnected="zero")
        return sum((g * t).sum() for g, t in zip(gradients, tangents, strict=True))

    np.testing.assert_allclose(forward(*primals), reverse(*primals), rtol=1e-9, atol=1e-9)
    found, expected = (gradients_of(f, primals) for f in (forward, reverse))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


def gradients_of(f: Any, primals: list[Any]) -> Any:
    sources = [ef.copy(x) for x in primals]
    with ef.GradientTape() as tape:
        tape.watch(sources)
        result = f(*sources)
    return tape.gradient(result, sources, unconnected="zero")


def test_products_with_the_hessian_for_each_example() -> None:
    def through_lstm(x: Any) -> Any:
        h, c = ef.nn.lstm(x, ef.zeros((2, 3)), ef.ones((2, 3)), normal(3, 12))
        return (h * c).sum()

    def through_images(x: Any) -> Any:
        made = ef.nn.max_pool2d(ef.nn.conv2d(x, normal(3, 2, 3, 3), padding=1) ** 2, 2)
        return ef.nn.softmax_cross_entropy(ef.nn.layer_norm(made.reshape((1, -1))), [2]).sum()

    for f, shape in ((through_lstm, (4, 2, 12)), (through_images, (1, 2, 4, 4))):

        def product(x: Any, t: Any, f: Any = f) -> Any:
            return ef.jvp(ef.grad(f), [x], [t])[1]

        assert_as_loop(product, (0, 0), normal(3, *shape), normal(3, *shape, seed=1))
        assert_as_loop(product, (None, 0), normal(*shape), normal(3, *shape, seed=1))


def test_forward_mode_of_a_product_with_zeros_is_exact() -> None:
    x, t = ef.asarray([2.0, 0.0, 3.0, 0.0]), ef.asarray([1.0, 1.0, 1.0, 1.0])
    assert float(ef.jvp(ef.prod, [x], [t])[1]) == 0.0
    assert float(ef.jvp(ef.prod, [x[:3]], [t[:3]])[1]) == 6.0
