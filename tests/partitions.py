"""Parts run in turns by a few lines, and what tests ask about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import eagerflow as ef
from eagerflow.capture.graph import ASSIGN, CONSTANT, LENGTH, PARAMETER, RECV, SEND, Graph, Node, Value
from eagerflow.capture.interpreter import lengths_of, run_node
from eagerflow.capture.partition import Part, Partitioned, partition, verify_parts
from eagerflow.capture.state import Draws
from eagerflow.capture.verifier import verify
from eagerflow.core.dims import evaluate
from eagerflow.devices import Device
from graphs import bits, run
from kinds import FAR

D0, D1, D2, D3 = DEVICES = [ef.devices.numbered(ef.devices.kinds()["cpu"], i) for i in range(4)]
FARS = [ef.devices.numbered(FAR, i) for i in range(2)]  # their arrays are of a type of their own
SOURCES = (CONSTANT, LENGTH)


def run_parts(made: Partitioned, *arrays: Any, seed: int = 3, turns: Any = None) -> list[np.ndarray]:
    """Run parts in turns, each until it has to wait, from the same state as `graphs.run`."""
    graph = made.graph
    variables = graph.variables()
    before = [variable.numpy() for variable in variables]
    for generator, _ in graph.draws:
        generator.seed(seed)
    draws, lengths = Draws(graph.draws), lengths_of(graph, arrays)
    rendezvous: dict[int, Any] = {}
    found: dict[Value, Any] = {}
    for part in made.parts:
        found.update(zip(part.graph.inputs, [arrays[i] for i in part.inputs], strict=True))
    left = [list(part.graph.nodes) for part in made.parts]
    try:
        while any(left):
            ready = [nodes for nodes in left if nodes and can_run(nodes[0], rendezvous)]
            assert ready, "no part can go on"
            nodes = ready[0 if turns is None else turns.integers(len(ready))]
            with np.errstate(all="ignore"):
                step(nodes.pop(0), found, rendezvous, draws, lengths)
        assert not rendezvous, "something was sent that nobody received"
        results: list[Any] = [None] * len(graph.outputs)
        for part in made.parts:
            for i, value in zip(part.outputs, part.graph.outputs, strict=True):
                results[i] = np.array(found[value])
        return results + [np.array(variable.numpy()) for variable in variables]
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def can_run(node: Node, rendezvous: Mapping[int, Any]) -> bool:
    return node.op is not RECV or node.attrs["edge"].number in rendezvous


def step(node: Node, found: dict[Value, Any], rendezvous: dict[int, Any], draws: Any, lengths: Any) -> None:
    if node.op is PARAMETER:
        return
    inputs = [found[x] if isinstance(x, Value) else evaluate(x, lengths) for x in node.inputs]
    if node.op is SEND:
        edge = node.attrs["edge"]
        assert edge.number not in rendezvous
        moved = [ef.devices.transfer(x, edge.source, edge.target) for x in inputs]
        rendezvous[edge.number] = moved
    elif node.op is RECV:
        found.update(zip(node.outputs, rendezvous.pop(node.attrs["edge"].number), strict=True))
    else:
        found.update(zip(node.outputs, run_node(node, inputs, draws, lengths), strict=True))


def placed(graph: Graph, **elsewhere: Device) -> dict[Node, Device]:
    """Return a placement: operations by name, all others on their home."""
    home = {n: n.outputs[0].device if n.outputs else n.attrs["variable"].device if n.op is ASSIGN else D0
            for n in graph.nodes}  # fmt: skip
    return {node: elsewhere.get(node.op.name, home[node]) for node in graph.nodes}


def shown(made: Partitioned) -> dict[str, list[str]]:
    """Return the operations of each part, in order."""
    return {repr(part.device): [node.op.name for node in part.graph.nodes] for part in made.parts}


def part_of(made: Partitioned, device: Device) -> Part:
    return next(part for part in made.parts if part.device is device)


def ran(graph: Graph, where: Mapping[Node, Device], *arrays: Any, **options: Any) -> Partitioned:
    """Cut a graph, and check that its parts compute the same."""
    verify(graph)
    made = partition(graph, where, {}, **options)
    verify_parts(made)
    assert [bits(x) for x in run_parts(made, *arrays)] == [bits(x) for x in run(graph, *arrays)]
    return made


class Costs:
    """Costs that a test says: kernels by name, and a price for each byte."""

    def __init__(self, byte: float = 1.0, other: float = 1e9, **seconds: float) -> None:
        self.byte = byte
        self.other = other
        self.times = seconds

    def seconds(self, node: Node, device: Device) -> float:
        return self.times.get(node.op.name, self.other)

    def transfer(self, nbytes: float, source: Device, target: Device) -> float:
        return nbytes * self.byte

    def nbytes(self, value: Value) -> int:
        return int(value.spec.nbytes)
