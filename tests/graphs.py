"""Graphs written by hand, random graphs, and what it means that two compute the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import eagerflow as ef
from eagerflow.capture.graph import ASSIGN, CALLBACK, CONSTANT, FUSED, PARAMETER, READ, Graph, Node, Value
from eagerflow.capture.interpreter import run_graph
from eagerflow.capture.passes import optimize
from eagerflow.capture.state import Counter, Key, Order
from eagerflow.ops import Spec

CPU = ef.devices.find("cpu:0")
OPS = ef.ops.registry()

# Where results are not only equal but the same bit by bit; fused and lowered arithmetic may round otherwise.
EXACT = ("prune", "dead_state", "fold", "simplify", "cse")


class Builder:
    """Writes a graph node by node, with the control edges that a trace would leave."""

    def __init__(self, name: str = "f") -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.order = Order()
        self.draws: dict[int, tuple[Any, int]] = {}

    def node(self, op: Any, inputs: Iterable[Any], attrs: Any, specs: Iterable[Spec], control: Any = ()) -> Any:
        line = f"program.py:{len(self.nodes) + 1}: line {len(self.nodes) + 1}"
        node = Node(op, inputs, attrs, [(spec, CPU) for spec in specs], control, "", line)
        self.nodes.append(node)
        return node.outputs[0] if len(node.outputs) == 1 else node.outputs

    def parameter(self, shape: Any, dtype: Any = "float64", name: str = "x") -> Any:
        return self.node(PARAMETER, (), {"name": name}, [Spec(shape, dtype)])

    def constant(self, value: Any, dtype: Any = None) -> Any:
        array = np.asarray(value, dtype)
        return self.node(CONSTANT, (), {"value": array}, [Spec(array.shape, array.dtype)])

    def op(self, name: str, *inputs: Any, **attrs: Any) -> Any:
        made = OPS[name].infer(*[x.spec if isinstance(x, Value) else x for x in inputs], **attrs)
        return self.node(OPS[name], inputs, attrs, made if isinstance(made, tuple) else (made,))

    def read(self, variable: ef.Variable) -> Any:
        spec = Spec(variable.shape, variable.dtype)
        value = self.node(READ, (), {"variable": variable}, [spec], self.order.before_read(variable))
        self.order.read(variable, value.node)
        return value

    def assign(self, variable: ef.Variable, value: Any) -> Node:
        self.node(ASSIGN, (value,), {"variable": variable}, (), self.order.before_write(variable))
        self.order.wrote(variable, self.nodes[-1])
        return self.nodes[-1]

    def callback(self, function: Any, *inputs: Any, specs: Any = ()) -> Any:
        made = self.node(CALLBACK, inputs, {"function": function, "specs": specs}, specs, self.order.before_callback())
        self.order.called(self.nodes[-1])
        return made

    def draw(self, generator: Any, shape: Any = (2,), dtype: str = "float64") -> Any:
        index = self.draws.get(id(generator), (generator, 0))[1]
        self.draws[id(generator)] = (generator, index + 1)
        attrs = {"key": Key(generator), "counter": Counter(generator, index), "shape": shape, "dtype": dtype}
        return self.op("random_uniform", **attrs)

    def fused(self, body: Graph, *inputs: Any) -> Any:
        return self.node(FUSED, inputs, {"graph": body}, [value.spec for value in body.outputs])

    def graph(self, *outputs: Any) -> Graph:
        inputs = [node.outputs[0] for node in self.nodes if node.op is PARAMETER]
        return Graph(self.name, inputs, outputs, self.nodes, self.draws.values())


def names(graph: Graph) -> list[str]:
    """Return the operations of a graph in their order, without parameters."""
    return [node.op.name for node in graph.nodes if node.op is not PARAMETER]


def rows(graph: Graph) -> list[tuple[str, list[str]]]:
    """Return the operations, each with those whose results it takes."""
    return [(node.op.name, [value.node.op.name for value in node.values]) for node in graph.nodes]


def run(graph: Graph, *arrays: Any, seed: int = 3) -> list[np.ndarray]:
    """Run a graph from the same state of Variables and generators as any other run with this seed."""
    variables = graph.variables()
    before = [variable.numpy() for variable in variables]
    for generator, _ in graph.draws:
        generator.seed(seed)
    try:
        with np.errstate(all="ignore"):
            results = [np.array(x) for x in run_graph(graph, arrays)]
        return results + [np.array(variable.numpy()) for variable in variables]
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def bits(array: np.ndarray) -> bytes:
    """Return what is equal for arrays whose elements are the same bit by bit; NaN is NaN."""
    array = np.array(array, order="C")
    if array.dtype.kind in "fc":
        parts = array.view(array.real.dtype) if array.ndim else array.reshape(1).view(array.real.dtype)
        parts[np.isnan(parts)] = np.nan
    return str((array.shape, array.dtype)).encode() + array.tobytes()


def assert_same(before: Graph, after: Graph, *arrays: Any) -> None:
    """Check that two graphs give the same results and leave Variables the same, bit by bit."""
    expected, found = run(before, *arrays), run(after, *arrays)
    # A graph that lost all nodes of a Variable leaves it as it was; those that are left come in their order.
    count = len(before.outputs)
    assert [bits(x) for x in found[:count]] == [bits(x) for x in expected[:count]]
    then = dict(zip(map(id, before.variables()), expected[count:], strict=True))
    now = dict(zip(map(id, after.variables()), found[count:], strict=True))
    for variable in before.variables():
        assert bits(now.get(id(variable), variable.numpy())) == bits(then[id(variable)])


def after(graph: Graph, *passes: str, arrays: Any = ()) -> list[str]:
    """Return the operations after passes; the graph is verified after each, and computes the same at the end."""
    made = optimize(graph, passes, verify=True)
    assert_same(graph, made, *arrays)
    return names(made)
