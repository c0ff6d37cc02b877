"""Property tests of capture drawn from the op registry: ops and gradients captured give what they give eagerly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.capture.executable import Executable
from eagerflow.capture.graph import Graph
from eagerflow.capture.interpreter import run_graph
from eagerflow.capture.options import Options
from eagerflow.capture.passes import PASSES, optimize
from eagerflow.core import Draw, Op, Sample, Spec, Tensor, is_inexact
from eagerflow.errors import CaptureError
from graphs import bits
from kernels_off import kernels_off
from numeric import call, differentiable, projection

REGISTRY = ef.ops.registry()
OPS = sorted(name for name in REGISTRY if not name.startswith("doc_"))
SEEDS = st.integers(0, 2**32 - 1)

# Ops times examples times captures: a share of what the profile says, at each of them a new seed.
few = settings(max_examples=max(2, settings().max_examples // 8))
fewer = settings(max_examples=max(1, settings().max_examples // 25))


@pytest.fixture(autouse=True, scope="module")
def without_kernels() -> Iterator[None]:
    """Compare without compiled kernels, whose rounding is their own; they have tests of theirs."""
    with kernels_off():
        yield


def dtypes_of(op: Op) -> list[Any]:
    return [np.float64, np.float32, *([np.complex128] if "c" in op.kinds else [])]


def depends_on_values(op: Op, sample: Sample) -> bool:
    specs = op.infer(
        *[Spec(x.shape, x.dtype) if isinstance(x, np.ndarray) else x for x in sample.inputs], **sample.attrs
    )
    return any(None in spec.shape for spec in (specs if isinstance(specs, tuple) else (specs,)))


def of_arrays(op: Op, sample: Sample) -> tuple[Callable[..., tuple[Tensor, ...]], list[np.ndarray]]:
    """Return the op as a function of its arrays alone, and these."""
    positions = [i for i, x in enumerate(sample.inputs) if isinstance(x, np.ndarray)]

    def function(*arrays: Any) -> tuple[Tensor, ...]:
        inputs = list(sample.inputs)
        for position, array in zip(positions, arrays, strict=True):
            inputs[position] = array
        return call(op, inputs, sample.attrs)

    return function, [sample.inputs[i] for i in positions]


def shared(arrays: Sequence[np.ndarray]) -> list[Tensor]:
    """Return Tensors on the arrays themselves: strides, which decide how sums are rounded, stay as they are."""
    return [ef.asarray(a, copy=False) for a in arrays]


def same(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], exact: bool = True) -> None:
    """Check that arrays are the same: bit by bit, or within a few units in the last place of the largest element."""
    if exact:
        assert [bits(a) for a in found] == [bits(a) for a in expected], (found, expected)
        return
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        scale = np.max(np.abs(b), initial=1.0, where=np.isfinite(b)) if is_inexact(b.dtype) else 0.0
        near = 16 * np.finfo(b.dtype).eps if is_inexact(b.dtype) else 0.0
        np.testing.assert_allclose(a, b, rtol=near, atol=near * float(scale))


def graphs_of(graph: Graph) -> list[tuple[str, Graph]]:
    """Return the graph after no passes, after the usual ones and after all, checked by the verifier."""
    every = [*PASSES]
    return [("none", graph), ("usual", optimize(graph, verify=True)), ("all", optimize(graph, every, verify=True))]


@pytest.mark.parametrize("name", OPS)
@few
@given(seed=SEEDS, data=st.data())
def test_captured_op_gives_what_it_gives_eagerly(name: str, seed: int, data: st.DataObject) -> None:
    op = REGISTRY[name]
    sample = op.sample(Draw(seed, data.draw(st.sampled_from(dtypes_of(op)))))
    function, arrays = of_arrays(op, sample)
    captured = ef.function(function)
    if depends_on_values(op, sample):
        with pytest.raises(CaptureError, match=f"{name}: .*; use ef.where") as caught:
            captured(*arrays)
        assert "numeric.py" in str(caught.value)  # the line that called it
        return
    before = [a.copy() for a in arrays]
    expected = [np.array(t.numpy()) for t in function(*shared(arrays))]
    same([t.numpy() for t in captured(*arrays)], expected)
    graph = captured.get_concrete_function(*arrays).graph
    results = [run_graph(graph, arrays)]
    same(results[0], expected)
    for passes, optimized in graphs_of(graph):
        runner = Executable(optimized, Options([]))
        runs = [runner.run(arrays), runner.run(arrays)]
        for run in runs:
            same(run, expected)
        for i, result in enumerate(runs[1]):
            others = [*arrays, *runs[0], *[node.attrs["value"] for node in graph.nodes if "value" in node.attrs]]
            assert not any(np.shares_memory(result, other) for other in others), (name, passes, i)
    for array, then in zip(arrays, before, strict=True):
        assert bits(array) == bits(then), "an input was written to"


WITH_GRADIENT = [name for name in OPS if REGISTRY[name].vjps]


def slopes(function: Callable[..., Tensor]) -> Callable[..., list[Tensor]]:
    """Return the function's gradient, by a tape of its own."""

    def gradient(*tensors: Tensor) -> list[Tensor]:
        with ef.GradientTape() as tape:
            handles = [ef.positive(t) for t in tensors]
            tape.watch(handles)
            value = function(*handles)
        found: list[Tensor] = tape.gradient(value, handles, unconnected="zero")
        return found

    return gradient


def total_of(op: Op, seed: int, dtype: Any) -> tuple[Callable[..., Tensor], list[Tensor]] | None:
    """Return a number made of the op's results, and what it is made of; None if there is nothing to differentiate."""
    sample = op.sample(Draw(seed, dtype))
    if not differentiable(op, sample) or depends_on_values(op, sample):
        return None
    function, arrays = projection(op, sample, seed)
    if not is_inexact(ef.asarray(function(*arrays)).dtype):
        return None
    return function, [ef.asarray(a) for a in arrays]


def numpys(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    return [np.array(t.numpy()) for t in tensors]


@pytest.mark.parametrize("name", WITH_GRADIENT)
@fewer
@given(seed=SEEDS, data=st.data())
def test_gradients_of_captured_and_captured_gradients(name: str, seed: int, data: st.DataObject) -> None:
    op = REGISTRY[name]
    found = total_of(op, seed, data.draw(st.sampled_from(dtypes_of(op))))
    if found is None:
        return
    function, tensors = found
    expected = numpys(slopes(function)(*tensors))
    inside = ef.function(slopes(function))
    same(numpys(inside(*tensors)), expected, exact=False)
    graph = inside.get_concrete_function(*tensors).graph
    arrays = [t._held for t in tensors]
    same(run_graph(graph, arrays), expected, exact=False)
    for _, optimized in graphs_of(graph):
        same(Executable(optimized, Options([])).run(arrays), expected, exact=False)
    same(numpys(slopes(ef.function(function))(*tensors)), expected, exact=False)


@pytest.mark.parametrize("name", [name for name in WITH_GRADIENT if REGISTRY[name].smooth >= 2])
@settings(max_examples=max(1, settings().max_examples // 100))
@given(seed=SEEDS)
def test_second_order_through_a_captured_op(name: str, seed: int) -> None:
    found = total_of(REGISTRY[name], seed, np.float64)
    if found is None:
        return
    function, tensors = found

    def slope(inner: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def along(*handles: Tensor) -> Tensor:
            parts = [ef.sum(g * (1.0 + 0.5 * i)) for i, g in enumerate(slopes(inner)(*handles))]
            return sum(parts[1:], parts[0])

        return along

    expected = numpys(slopes(slope(function))(*tensors))
    same(numpys(slopes(slope(ef.function(function)))(*tensors)), expected, exact=False)
    same(numpys(slopes(ef.function(slope(function)))(*tensors)), expected, exact=False)
    same(numpys(ef.function(slopes(slope(function)))(*tensors)), expected, exact=False)
