"""Graphs made by hand, for tests of the page that shows them."""

from __future__ import annotations

from typing import Any

import eagerflow as ef
from eagerflow.capture.graph import ASSIGN, CONSTANT, FUSED, PARAMETER, READ, RECV, SEND, Graph, Node, Value
from eagerflow.capture.page import GraphView, PlanView
from eagerflow.capture.partition.parts import Edge
from eagerflow.core import Spec, registry
from eagerflow.devices import CPU0, numbered

FIRST, SECOND = numbered(CPU0.kind, 0), numbered(CPU0.kind, 1)


class Maker:
    """Makes nodes by the ops' own shape rules."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def node(self, op: Any, inputs: Any, attrs: dict[str, Any], specs: Any, scope: str = "", line: str = "") -> Node:
        self.nodes.append(Node(op, inputs, attrs, [(spec, CPU0) for spec in specs], (), scope, line))
        return self.nodes[-1]

    def parameter(self, name: str, *shape: Any) -> Value:
        return self.node(PARAMETER, (), {"name": name}, [Spec(shape, "float32")]).outputs[0]

    def op(self, name: str, *inputs: Any, scope: str = "", line: str = "", **attrs: Any) -> Value:
        op = registry()[name]
        spec = op.infer(*[x.spec if isinstance(x, Value) else x for x in inputs], **attrs)
        return self.node(op, inputs, attrs, [spec], scope, line).outputs[0]


class Step:
    """A small training step: a layer in a scope, a fused group, a Variable, and a plan with two buffers."""

    def __init__(self) -> None:
        make = Maker()
        self.weights = ef.Variable(ef.zeros((64, 16), dtype="float32"), name="weights")
        self.x = make.parameter("x", 32, 64)
        self.read = make.node(READ, (), {"variable": self.weights}, [Spec((64, 16), "float32")]).outputs[0]
        here = {"scope": "model/dense"}
        self.product = make.op("matmul", self.x, self.read, **here, line="model.py:7: h = x @ self.weights")
        inside = Maker()
        p, q = inside.parameter("p", 32, 16), inside.parameter("q", 32, 16)
        tanh = inside.op("tanh", p, line="model.py:8: h = ef.tanh(h)")
        scaled = inside.op("multiply", tanh, 2.0, line="model.py:9: h = 2 * h + h")
        group = Graph("group", [p, q], [inside.op("add", scaled, q)], inside.nodes)
        self.group = make.node(
            FUSED,
            [self.product, self.product],
            {"graph": group},
            [Spec((32, 16), "float32")],
            **here,
            line="model.py:9",
        )
        self.sum = make.op(
            "sum", self.group.outputs[0], scope="loss", line="train.py:3: h.sum()", axis=(0, 1), keepdims=False
        )
        self.scaled = make.op("multiply", self.read, self.sum, scope="optimizer")
        make.node(ASSIGN, [self.scaled], {"variable": self.weights}, [], "optimizer")
        self.graph = Graph("step", [self.x], [self.sum], make.nodes)
        steps = [self.product.node, self.group, self.sum.node, self.scaled.node, make.nodes[-1]]
        where: dict[Value, int | str] = {
            self.x: "input", self.read: "variable", self.product: 0, self.group.outputs[0]: 1, self.sum: "output",
            self.scaled: 0,
        }  # fmt: skip
        self.view = GraphView(
            self.graph,
            {self.product.node: 3e-3, self.group: 1e-3, self.sum.node: 5e-4, self.scaled.node: 5e-4},
            PlanView(steps, where, [4096, 2048], 6144, 8196),
            {self.group: "def kernel(a, out):\n    out[:] = 2 * tanh(a) + a  # <b>fast</b>"},
        )


class TwoDevices:
    """Two layers on two devices, and the run of both, with the plan of each: what is sent is h and then s."""

    def __init__(self) -> None:
        make = Maker()
        self.x = make.parameter("x", 32, 64)
        self.one = make.node(
            CONSTANT, (), {"value": ef.ones((32, 64), dtype="float32").numpy()}, [self.x.spec]
        ).outputs[0]
        self.h = make.op("add", self.x, self.one, scope="model/first", line="model.py:4: h = x + 1")
        self.t = make.op("tanh", self.h, scope="model/second", line="model.py:9: t = ef.tanh(h)")
        self.u = make.op("multiply", self.t, self.h, scope="model/second", line="model.py:10: t * h")
        self.v = make.op("negative", self.u, scope="model/second", line="model.py:11: -u")
        self.s = make.op("add", self.v, self.one, scope="model/second", line="model.py:12: v + 1")
        self.y = make.op("multiply", self.s, self.h, scope="model/first", line="model.py:20: s * h")
        self.graph = Graph("two", [self.x], [self.y], make.nodes)
        first, second = [self.x, self.h, self.y], [self.t, self.u, self.v, self.s]
        edges = [Edge(0, FIRST, SECOND, self.h.spec, "h"), Edge(1, SECOND, FIRST, self.s.spec, "s")]
        self.send = [
            Node(SEND, [value], {"edge": edge}, []) for value, edge in zip((self.h, self.s), edges, strict=True)
        ]
        self.receive = [
            Node(RECV, [], {"edge": edge}, [(value.spec, edge.target)])
            for value, edge in zip((self.h, self.s), edges, strict=True)
        ]
        timed = [
            ("cpu:0", self.h.node, 0, 20), ("cpu:0", self.send[0], 20, 22), ("cpu:0", self.receive[1], 22, 120),
            ("cpu:0", self.y.node, 120, 140), ("cpu:1", self.receive[0], 2, 25), ("cpu:1", self.t.node, 25, 75),
            ("cpu:1", self.u.node, 75, 90), ("cpu:1", self.v.node, 90, 99), ("cpu:1", self.s.node, 99, 115),
            ("cpu:1", self.send[1], 115, 116),
        ]  # fmt: skip
        slices = [(device, node, 5 + start * 1e-6, 5 + end * 1e-6) for device, node, start, end in timed]
        size = self.x.spec.nbytes
        here: dict[Value, int | str] = {self.x: "input", self.h: 0, self.s: "new", self.y: "output"}
        there: dict[Value, int | str] = {self.h: "new", self.t: 0, self.u: 0, self.v: 1, self.s: 0}
        steps = [[], self.t.node, self.u.node, [self.v.node, self.s.node], []]
        self.view = GraphView(
            self.graph,
            {node: end - start for _, node, start, end in slices if node.op not in (SEND, RECV)},
            devices={
                **{value.node: "cpu:0" for value in first},
                **{value.node: "cpu:1" for value in second},
                self.one.node: "cpu:0, cpu:1",
            },
            plans={
                "cpu:0": PlanView(
                    [self.h.node, [], [], self.y.node], here, [size], size, size, {self.h: (0, 3), self.s: (2, 3)}
                ),
                "cpu:1": PlanView(steps, there, [size, size], 2 * size, 4 * size, {self.h: (0, 2)}),
            },
            slices=slices,
        )


WILD = ["</title></script><script>window.hacked=1</script>", "\"'&<b>", "σ – 名前\u2028\ud800", "{{data}}", "<!--"]


def wild() -> GraphView:
    """Return a graph that has awkward text wherever there can be text."""
    make = Maker()
    x = make.parameter(WILD[0], 2)
    y = x
    for name in WILD:
        y = make.op("add", y, x, scope=f"{name.replace('/', '|')}/inner", line=f"f.py:1: {name}")
    odd = Node(registry()["tanh"], [y], {"text": WILD[0]}, [(y.spec, CPU0)])
    return GraphView(Graph(WILD[0], [x], odd.outputs, [*make.nodes, odd]), sources={odd: WILD[0]})


def large(blocks: int = 20, each: int = 100) -> Graph:
    """Return a graph of some 2,000 nodes in 20 scopes, with edges from the first half to the second."""
    make = Maker()
    x = last = make.parameter("x", 8, 8)
    saved = [x]
    for block in range(blocks):
        for i in range(each):
            other = saved[-(block % len(saved)) - 1] if i % 10 == 0 else x if i % 50 == 7 else last
            last = make.op("matmul" if i % 4 == 0 else "add", last, other, scope=f"block{block}/part{i // 25}")
            if i % 20 == 0:
                saved.append(last)
    return Graph("large", [x], [last], make.nodes)
