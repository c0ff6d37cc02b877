"""Fusion: groups of nodes and the kernels that compute them give what the nodes give one by one."""

from __future__ import annotations

import importlib.util
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.capture import kernels
from eagerflow.capture.graph import ASSIGN, FUSED, PARAMETER, Graph, Node, Value
from eagerflow.capture.interpreter import run_graph
from eagerflow.capture.kernels import threads
from eagerflow.capture.kernels.kernel import LARGE, written
from eagerflow.capture.passes import fuse
from eagerflow.core.dims import Guards, symbol
from eagerflow.core.spec import Spec
from eagerflow.devices import CPU0

OPS = ef.ops.registry()
F4 = np.dtype(np.float32)

compiled = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="kernels need numba, which is not installed")


class Build:
    """Makes a graph node by node: every op of the registry is a method."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.inputs: list[Value] = []

    def input(self, shape: tuple[Any, ...], dtype: Any = F4) -> Value:
        node = Node(PARAMETER, (), {"name": f"p{len(self.inputs)}"}, [(Spec(shape, dtype), CPU0)])
        self.nodes.append(node)
        self.inputs.append(node.outputs[0])
        return node.outputs[0]

    def __getattr__(self, name: str) -> Any:
        op = OPS[name]

        def add(*inputs: Any, **attrs: Any) -> Value:
            spec = op.infer(*[x.spec if isinstance(x, Value) else x for x in inputs], **attrs)
            self.nodes.append(Node(op, inputs, attrs, [(spec, CPU0)], line=f"line {len(self.nodes)}"))
            return self.nodes[-1].outputs[0]

        return add

    def rows(self, name: str, x: Value) -> Value:
        """Reduce over the last axis and keep it."""
        value: Value = getattr(self, name)(x, axis=(len(x.shape) - 1,), keepdims=True)
        return value

    def graph(self, *outputs: Value) -> Graph:
        return Graph("f", self.inputs, outputs, self.nodes)


def kernel_of(graph: Graph) -> kernels.Kernel:
    kernel = kernels.compile(graph)
    assert kernel is not None
    return kernel


def computed(graph: Graph, arrays: list[Any]) -> list[np.ndarray]:
    """Run a graph that is one group by its kernel."""
    outputs = [np.empty(x.shape, x.dtype) for x in graph.outputs]
    kernel_of(graph).call(*arrays, *outputs)
    return outputs


def interpreted(graph: Graph) -> kernels.Kernel | None:
    """Return the kernel of a group with Python in place of Numba: for its text, without the time that compiling takes."""
    source = written(graph)
    if source is None:
        return None
    names = (*DTYPES[1:], "int16", "uint16", "uint32", "uint64", *UNARY, *BINARY)
    scope: dict[str, Any] = {name: getattr(np, name) for name in names}
    scope |= {"np": np, "greatest": np.maximum, "least": np.minimum, "plus": np.add, "times": np.multiply, "where": np.where}
    exec(source.text[source.text.index("def kernel(") :], scope)
    return kernels.Kernel(source, scope["kernel"])


def run_fused(graph: Graph, arrays: list[Any], compile: Any = kernels.compile) -> list[Any]:
    """Run a graph with fused nodes: these by their kernels, the others one by one."""
    found: dict[Value, Any] = dict(zip(graph.inputs, arrays, strict=True))
    for node in graph.nodes:
        if node.op is PARAMETER:
            continue
        inputs = [found[x] if isinstance(x, Value) else x for x in node.inputs]
        if node.op is FUSED:
            kernel = compile(node.attrs["graph"])
            results = [np.empty(x.shape, x.dtype) for x in node.outputs]
            if kernel is None:
                results = run_graph(node.attrs["graph"], inputs)
            else:
                kernel.call(*inputs, *results)
        else:
            results = [np.asarray(node.op.kernel_for(CPU0)(*inputs, **node.attrs))]
        found.update(zip(node.outputs, results, strict=True))
    return [found[x] for x in graph.outputs]


def same(made: list[Any], wanted: list[Any]) -> None:
    for a, b in zip(made, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(a, b)


def close(made: list[Any], wanted: list[Any], tolerance: float = 2e-6) -> None:
    for a, b in zip(made, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1e-30, float(np.abs(b).max(initial=0))))


def fused_nodes(graph: Graph) -> list[list[str]]:
    """Return the names of the ops in each group."""
    return [
        [node.op.name for node in item.attrs["graph"].nodes if node.op is not PARAMETER]
        for item in graph.nodes
        if item.op is FUSED
    ]


def numbers(shape: tuple[int, ...], seed: int = 0, dtype: Any = F4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# Random programs. Their numbers are small integers, so that sums are exact in whatever order they are added up.

DTYPES = ("bool", "int8", "uint8", "int32", "int64", "float32", "float64")
UNARY = ("negative", "abs", "square", "sign", "logical_not", "isfinite", "floor")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "less", "equal", "logical_and")
REDUCE = ("sum", "max", "min", "any", "all", "mean", "prod", "count_nonzero")


@st.composite
def programs(draw: st.DrawFn) -> tuple[Graph, list[np.ndarray]]:
    b = Build()
    full = tuple(draw(st.lists(st.sampled_from((1, 2, 3, 5, 8)), min_size=1, max_size=3)))
    arrays = []
    for _ in range(draw(st.integers(1, 3))):
        shape = full[draw(st.integers(0, len(full))) :] if draw(st.booleans()) else full
        shape = tuple(1 if draw(st.integers(0, 4)) == 0 else side for side in shape)
        dtype = np.dtype(draw(st.sampled_from(DTYPES)))
        x = np.random.default_rng(draw(st.integers(0, 99))).integers(-3 if dtype.kind in "if" else 0, 4, shape)
        x = x.astype(dtype)
        if dtype.kind == "f" and draw(st.integers(0, 3)) == 0:
            x.flat[0] = draw(st.sampled_from((np.nan, np.inf, -np.inf, -0.0)))
        arrays.append(x)
        b.input(x.shape, x.dtype)
    values = list(b.inputs)
    for _ in range(draw(st.integers(1, 9))):
        values.append(_step(draw, b, values, full))
    outputs = draw(st.lists(st.sampled_from(values[len(arrays) :]), min_size=1, max_size=3, unique=True))
    if values[-1] not in outputs:
        outputs.append(values[-1])
    return b.graph(*outputs), arrays


def _step(draw: st.DrawFn, b: Build, values: list[Value], full: tuple[int, ...]) -> Value:
    x = draw(st.sampled_from(values))
    choice = draw(st.integers(0, 9))
    try:
        if choice == 0 and x.shape:
            axes = draw(st.sampled_from([tuple(range(len(x.shape))), (len(x.shape) - 1,), (0,), tuple(range(len(x.shape) - 1))]))
            return getattr(b, draw(st.sampled_from(REDUCE)))(x, axis=axes, keepdims=draw(st.booleans()))
        if choice == 1 and len(x.shape) < 4:
            return b.expand_dims(x, axis=(draw(st.integers(0, len(x.shape))),))
        if choice == 2:
            return b.broadcast_to(x, shape=np.broadcast_shapes(x.shape, full))
        if choice == 3:
            return getattr(b, draw(st.sampled_from(UNARY)))(x)
        if choice == 4:
            return b.where(draw(st.sampled_from(values)), x, draw(st.sampled_from([*values, 0, 1.0])))
        y = draw(st.sampled_from([*values, 2, 0.5, True]))
        made = getattr(b, draw(st.sampled_from(BINARY)))(x, y)
        if made.node.op.name == "multiply" and made.dtype.kind == "f":
            made = b.minimum(b.maximum(made, -8.0), 8.0)
        return made
    except (TypeError, ValueError):  # shapes that do not broadcast, booleans that have no difference
        return b.positive(x) if x.dtype.kind != "b" else b.logical_not(x)


@pytest.mark.parametrize("compile", [pytest.param(kernels.compile, marks=compiled), interpreted])
@given(program=programs())
def test_random_programs(compile: Any, program: tuple[Graph, list[np.ndarray]]) -> None:
    graph, arrays = program
    with np.errstate(all="ignore"):
        try:
            wanted = run_graph(graph, arrays)
        except (TypeError, OverflowError, ef.errors.EagerflowError):
            assume(False)
        fused = fuse.run(graph)
        same(run_graph(fused, arrays), wanted)
        made = run_fused(fused, arrays, compile)
    if any(node.op.name == "mean" for node in graph.nodes):
        close(made, wanted, 1e-5)
    else:
        same(made, wanted)
