"""Compiled kernels of convolutions and pooling against exact sums, NumPy's kernels and PyTorch."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.capture.kernels import available, images, products, threads, tiled, tiles
from eagerflow.core import Spec
from eagerflow.devices import CPU0
from eagerflow.ops.networks import columns, winograd

OPS = ef.ops.registry()
TOLERANCE = 5e-6  # of the largest result: what minimal filtering promises

needs_numba = pytest.mark.skipif(not available(), reason="Numba is not installed")

# Batch, channels in, height, width, channels out, kernel, stride, padding.
CASES = {
    "one image": (1, 48, 6, 6, 48, 3, 1, ((0, 0), (0, 0))),
    "mosaic": (16, 64, 13, 13, 48, 3, 1, ((1, 1), (1, 1))),
    "mosaic, not full": (7, 50, 13, 9, 53, 3, 1, ((1, 1), (1, 1))),
    "mosaic without padding": (5, 48, 15, 7, 49, 3, 1, ((0, 0), (0, 0))),
    "padding on one side": (3, 48, 11, 14, 48, 3, 1, ((2, 0), (0, 2))),
    "kernel of 4": (3, 48, 10, 13, 51, 4, 1, ((1, 2), (2, 1))),
    "kernel of 5": (4, 48, 27, 27, 65, 5, 1, ((2, 2), (2, 2))),
    "several blocks": (9, 64, 27, 27, 192, 5, 1, ((2, 2), (2, 2))),
    "stride": (3, 3, 67, 59, 48, 11, 4, ((2, 2), (2, 2))),
    "stride, odd": (2, 16, 25, 23, 50, 7, 2, ((3, 1), (0, 2))),
}


def spec(x: Any) -> Any:
    return None if x is None else Spec(x.shape, x.dtype)


def compiled(name: str, *inputs: Any, **attrs: Any) -> Any:
    """Return the result of a compiled kernel, in memory that held NaN before."""
    specs = [spec(x) for x in inputs]
    into = images.accelerated(OPS[name], specs, attrs)
    assert into is not None
    rule = OPS[name].infer(*specs, **attrs)
    out = np.full(rule.shape, np.nan, rule.dtype)
    into(*inputs, out, **attrs)
    return out


def case(name: str) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
    count, channels, height, width, outs, kernel, stride, padding = CASES[name]
    rng = np.random.default_rng(len(name))
    x = rng.standard_normal((count, channels, height, width), np.float32)
    weight = rng.standard_normal((outs, channels, kernel, kernel), np.float32)
    bias = rng.standard_normal(outs, np.float32)
    attrs = {"stride": (stride, stride), "padding": padding, "dilation": (1, 1), "groups": 1}
    out = OPS["conv2d"].infer(spec(x), spec(weight), None, **attrs)
    return x, weight, bias, rng.standard_normal(out.shape, np.float32), attrs


def assert_close(found: Any, exact: Any, tolerance: float = TOLERANCE) -> None:
    assert found.shape == exact.shape
    assert np.abs(found - exact).max() <= tolerance * np.abs(exact).max()


def double(*arrays: Any) -> list[Any]:
    return [x.astype(np.float64) for x in arrays]


@needs_numba
@pytest.mark.parametrize("name", CASES)
def test_convolution(name: str) -> None:
    x, weight, bias, _, attrs = case(name)
    exact = columns.convolve(np, *double(x, weight, bias), **attrs)
    assert_close(compiled("conv2d", x, weight, bias, **attrs), exact)
    assert_close(compiled("conv2d", x, weight, None, **attrs), exact - bias[:, None, None])


@needs_numba
@pytest.mark.parametrize("name", CASES)
def test_gradient_of_weights(name: str) -> None:
    x, weight, _, g, attrs = case(name)
    exact = columns.weight_gradient(np, *double(x, g), kernel=weight.shape[2:], **attrs)
    assert_close(compiled("conv2d_weight_gradient", x, g, kernel=weight.shape[2:], **attrs), exact)


@needs_numba
@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][6] == 1 and name != "one image"])
def test_gradient_of_images(name: str) -> None:
    x, weight, _, g, attrs = case(name)
    if min(g.shape[2:]) < 6:
        assert (
            images.accelerated(OPS["conv2d_input_gradient"], [spec(g), spec(weight)], {**attrs, "size": x.shape[2:]})
            is None
        )
        return
    exact = columns.input_gradient(np, *double(g, weight), size=x.shape[2:], **attrs)
    assert_close(compiled("conv2d_input_gradient", g, weight, size=x.shape[2:], **attrs), exact)


@needs_numba
def test_inputs_in_any_order_of_memory() -> None:
    x, weight, bias, g, attrs = case("mosaic, not full")
    turned = [np.asfortranarray(item) for item in (x, weight, g)]
    stepped = np.repeat(bias, 2)[::2]
    assert np.array_equal(
        compiled("conv2d", turned[0], turned[1], stepped, **attrs), compiled("conv2d", x, weight, bias, **attrs)
    )
    kernel = weight.shape[2:]
    assert np.array_equal(
        compiled("conv2d_weight_gradient", turned[0], turned[2], kernel=kernel, **attrs),
        compiled("conv2d_weight_gradient", x, g, kernel=kernel, **attrs),
    )
    for item in (x, weight, g):
        item.flags.writeable = False
    compiled("conv2d", x, weight, bias, **attrs)


@needs_numba
@pytest.mark.parametrize("name", ["mosaic", "several blocks", "stride"])
def test_results_do_not_depend_on_the_number_of_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias, g, attrs = case(name)
    monkeypatch.setattr(tiled, "_LARGE", 0)
    found = []
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            found.append(
                (
                    compiled("conv2d", x, weight, bias, **attrs),
                    compiled("conv2d_weight_gradient", x, g, kernel=weight.shape[2:], **attrs),
                )
            )
    finally:
        threads.set_num_threads(None)
    for forward, gradient in found[1:]:
        assert np.array_equal(forward, found[0][0])
        assert np.array_equal(gradient, found[0][1])


@needs_numba
def test_the_kernel_without_numba_agrees() -> None:
    for name in ("mosaic", "kernel of 5", "stride"):
        x, weight, bias, _, attrs = case(name)
        ours = winograd.convolve(x, weight, bias, attrs["stride"][0], attrs["padding"])
        assert_close(compiled("conv2d", x, weight, bias, **attrs), ours, 2 * TOLERANCE)


@needs_numba
@pytest.mark.parametrize(
    ("change", "shapes"),
    [
        ({"groups": 2}, ((2, 96, 9, 9), (96, 48, 3, 3))),
        ({"dilation": (2, 2)}, ((2, 48, 9, 9), (48, 48, 3, 3))),
        ({"stride": (1, 2)}, ((2, 48, 9, 9), (48, 48, 3, 3))),
        ({}, ((2, 48, 9, 9), (48, 48, 3, 5))),
        ({}, ((2, 48, 9, 9), (48, 48, 1, 1))),
        ({}, ((2, 8, 9, 9), (48, 8, 3, 3))),
        ({}, ((0, 48, 9, 9), (48, 48, 3, 3))),
    ],
)
def test_other_convolutions_keep_their_kernels(change: dict[str, Any], shapes: Any) -> None:
    attrs = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1, **change}
    specs = [Spec(shape, np.float32) for shape in shapes]
    assert images.accelerated(OPS["conv2d"], [*specs, None], attrs) is None


@needs_numba
def test_double_precision_stays_exact() -> None:
    attrs = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    specs = [Spec((2, 48, 9, 9), np.float64), Spec((48, 48, 3, 3), np.float64), None]
    assert images.accelerated(OPS["conv2d"], specs, attrs) is None
    x, weight, _, _, _ = case("one image")
    x, weight = double(x, weight)
    run = ef.function(lambda x, w: ef.nn.conv2d(x, w))
    assert np.array_equal(run(x, weight).numpy(), ef.nn.conv2d(x, weight).numpy())


def test_without_numba_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "available", lambda: False)
    x, weight, bias, _, attrs = case("mosaic")
    assert images.accelerated(OPS["conv2d"], [spec(x), spec(weight), spec(bias)], attrs) is None


POOLS = {
    "3 by 3": ((3, 3), (2, 2), ((0, 0), (0, 0))),
    "padded": ((3, 3), (2, 2), ((1, 1), (1, 1))),
    "2 by 2": ((2, 2), (2, 2), ((0, 1), (1, 0))),
    "apart": ((2, 1), (3, 2), ((0, 0), (0, 0))),
    "overlapping": ((3, 4), (1, 1), ((2, 1), (3, 0))),
}


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", POOLS)
def test_max_pooling(name: str, dtype: Any) -> None:
    window, stride, padding = POOLS[name]
    attrs = {"window": window, "stride": stride, "padding": padding}
    rng = np.random.default_rng(3)
    x = rng.integers(-3, 3, (3, 5, 11, 14)).astype(dtype)  # with many equal maxima
    x[0, 0, :4] = -1e30
    out = compiled("max_pool2d", x, **attrs)
    assert np.array_equal(out, OPS["max_pool2d"].kernel_for(CPU0)(x, **attrs))
    g = rng.integers(-9, 9, out.shape).astype(dtype)  # sums are exact in any order
    found = compiled("max_pool2d_scatter", g, x, out, **attrs)
    assert np.array_equal(found, OPS["max_pool2d_scatter"].kernel_for(CPU0)(g, x, out, **attrs))


@needs_numba
def test_padding_is_no_element_of_a_window() -> None:
    x = np.full((1, 1, 4, 4), -np.inf, np.float32)
    attrs = {"window": (3, 3), "stride": (2, 2), "padding": ((1, 1), (1, 1))}
    out = compiled("max_pool2d", x, **attrs)
    assert np.array_equal(out, np.full((1, 1, 2, 2), -np.inf))
    found = compiled("max_pool2d_scatter", np.ones_like(out), x, out, **attrs)
    assert np.array_equal(found.nonzero(), ([0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1]))


@needs_numba
def test_nan_is_the_maximum_of_its_windows() -> None:
    x = np.zeros((1, 1, 5, 5), np.float32)
    x[0, 0, 2, 2] = np.nan
    attrs = {"window": (3, 3), "stride": (2, 2), "padding": ((1, 1), (1, 1))}
    out = compiled("max_pool2d", x, **attrs)
    assert np.array_equal(out, OPS["max_pool2d"].kernel_for(CPU0)(x, **attrs), equal_nan=True)
    assert np.isnan(out).any()
    g = np.ones_like(out)
    assert compiled("max_pool2d_scatter", g, x, out, **attrs).sum() == g.sum()


@needs_numba
def test_other_pools_keep_their_kernels() -> None:
    attrs = {"window": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0))}
    assert images.accelerated(OPS["max_pool2d"], [Spec((1, 1, 4, 4), np.int64)], attrs) is None
    large = {**attrs, "window": (9, 9)}
    assert images.accelerated(OPS["max_pool2d"], [Spec((1, 1, 9, 9), np.float32)], large) is None


def network(x: Any, one: Any, bias: Any, two: Any) -> Any:
    y = ef.nn.max_pool2d(ef.nn.relu(ef.nn.conv2d(x, one, bias, padding=2)), 3, 2)
    return ef.mean(ef.nn.conv2d(y, two, padding=1) ** 2)


def both(*arrays: Any) -> Any:
    tensors = [ef.asarray(x) for x in arrays]
    with ef.GradientTape() as tape:
        for x in tensors:
            tape.watch(x)
        loss = network(*tensors)
    return [loss, *tape.gradient(loss, tensors)]


def arrays_of_network() -> list[Any]:
    rng = np.random.default_rng(5)
    shapes = ((4, 48, 19, 21), (64, 48, 5, 5), (64,), (50, 64, 3, 3))
    return [rng.standard_normal(shape, np.float32) / np.float32(6) for shape in shapes]


def test_captured_network_agrees_with_eager() -> None:
    arrays = arrays_of_network()
    found = ef.function(both)(*[ef.asarray(x) for x in arrays])
    for one, other in zip(found, both(*arrays), strict=True):
        assert_close(one.numpy(), other.numpy(), 1e-4)  # a maximum may be another element of its window


@needs_numba
def test_plans_use_compiled_kernels() -> None:
    arrays = [ef.asarray(x) for x in arrays_of_network()]
    plan = ef.function(both).get_concrete_function(*arrays)._executable.program().plans[0]
    steps = [step for step in plan.steps if step.node.op.name in images._MAKERS]
    assert len(steps) == 8
    assert all(step.form == "out" and step.call.__module__ == images.__name__ for step in steps)


@pytest.mark.reference
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_captured_network_agrees_with_pytorch() -> None:
    import torch
    from torch.nn import functional

    arrays = arrays_of_network()
    x, one, bias, two = tensors = [torch.from_numpy(item).requires_grad_() for item in arrays]
    y = functional.max_pool2d(functional.relu(functional.conv2d(x, one, bias, padding=2)), 3, 2)
    loss = functional.conv2d(y, two, padding=1).square().mean()
    loss.backward()
    found = ef.function(both)(*[ef.asarray(item) for item in arrays])
    assert_close(found[0].numpy(), loss.detach().numpy(), 1e-5)
    for mine, theirs in zip(found[1:], tensors, strict=True):
        assert_close(mine.numpy(), theirs.grad.numpy(), 1e-4)


@needs_numba
@pytest.mark.parametrize("side", [3, 4, 5])
def test_products_written_out_are_products(side: int) -> None:
    rng = np.random.default_rng(side)
    one, two, three = winograd.matrices(side)
    for matrix in (one, two, three, two.T, three.T):
        outs, size = matrix.shape
        space = {f"x{i}": x for i, x in enumerate(rng.standard_normal(size))}
        x = np.array(list(space.values()))
        lines = tiles.product(matrix, list(space), [f"y{i}" for i in range(outs)])
        exec("\n".join(lines), {"np": np}, space)
        assert np.allclose([space[f"y{i}"] for i in range(outs)], matrix @ x, rtol=1e-6, atol=1e-6)


@needs_numba
@pytest.mark.parametrize(("rows", "depth", "columns"), [(1, 1, 16), (6, 256, 32), (13, 300, 48), (17, 513, 16)])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("add", [False, True])
def test_products_of_matrices(rows: int, depth: int, columns: int, turned: bool, add: bool) -> None:
    rng = np.random.default_rng(rows)
    whole = 528  # both may be longer than what is used of them
    a = rng.standard_normal((3, whole, whole), np.float32)
    b = rng.standard_normal((3, depth, columns), np.float32)
    out = rng.standard_normal((3, rows, columns), np.float32)
    left = double(a[:, :depth, :rows].swapaxes(1, 2) if turned else a[:, :rows, :depth])[0]
    exact = left @ b + (out if add else 0)
    kernel, panel = products.load(), np.empty((products.DEEP, 16), np.float32)
    strides = (1, whole) if turned else (whole, 1)
    arrays = [x.reshape(3, -1, 16) for x in (a, b, out)]
    before = out[0].copy()
    kernel(1, 3, rows, *strides, depth, columns // 16, add, panel, *arrays)
    assert_close(out[1:], exact[1:], 1e-6)
    assert np.array_equal(out[0], before)
