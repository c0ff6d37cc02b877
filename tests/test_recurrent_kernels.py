"""Compiled LSTM layers against NumPy's: values and gradients, in both precisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.capture.kernels import available
from eagerflow.capture.kernels.images import accelerated

pytestmark = pytest.mark.skipif(not available(), reason="Numba is not installed")


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-5), ("float64", 1e-12)])
@pytest.mark.parametrize(("steps", "batch", "size"), [(1, 1, 1), (5, 3, 7), (7, 2, 40)])
def test_a_layer_and_its_gradient(dtype: str, rtol: float, steps: int, batch: int, size: int) -> None:
    rng = np.random.default_rng(steps)

    def draw(*shape: int) -> Any:
        return ef.asarray(rng.normal(size=shape), dtype)

    arguments = [draw(steps, batch, 4 * size), draw(batch, size), draw(batch, size), draw(size, 4 * size)]
    weights = draw(steps, batch, size)

    def loss(x: Any, h0: Any, c0: Any, w: Any) -> Any:
        h, _ = ef.nn.lstm(x, h0, c0, w)
        return ef.sum(h * weights)

    both = ef.value_and_grad(loss, argnums=(0, 1, 2, 3))
    captured = ef.function(both)
    value, gradients = captured(*arguments)
    expected, expected_gradients = both(*arguments)
    np.testing.assert_allclose(value, expected, rtol=rtol * 10, atol=rtol)
    for mine, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol)
    (plan,) = captured.concrete_functions[0]._executable.program().plans
    calls = [s.call for s in plan.steps if s.node.op.name.startswith("lstm")]
    assert len(calls) == 2 and all(call.__module__.endswith("recurrent") for call in calls)


def test_a_gradient_of_the_cells_goes_through_numpy() -> None:
    arguments = [ef.random.normal(size=s) for s in ((3, 2, 8), (2, 2), (2, 2), (2, 8))]

    def loss(*args: Any) -> Any:
        return ef.sum(ef.nn.lstm(*args)[1] ** 2)

    mine, theirs = ef.function(ef.grad(loss, argnums=(0, 3)))(*arguments), ef.grad(loss, argnums=(0, 3))(*arguments)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_low_precision_stays_with_numpy() -> None:
    op = ef.ops.registry()["lstm"]
    specs = [ef.ops.Spec(shape, "float16") for shape in ((3, 2, 8), (2, 2), (2, 2), (2, 8))]
    assert accelerated(op, specs, {}) is None
