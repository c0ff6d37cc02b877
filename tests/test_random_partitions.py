"""Random graphs in random parts compute the same, bit by bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import eagerflow as ef
from eagerflow.capture.graph import ASSIGN, PARAMETER, READ, SEND, Graph, Node, Value
from eagerflow.capture.partition import Partitioned, partition, verify_parts
from eagerflow.capture.passes import optimize
from eagerflow.capture.verifier import verify
from eagerflow.devices import Device
from graphs import OPS, bits, run
from partitions import DEVICES, FARS, SOURCES, Costs, run_parts
from test_random_graphs import Program


@pytest.fixture(autouse=True, scope="module")
def four_devices() -> Iterator[None]:
    ef.config.set_logical_devices("cpu", 4)
    yield
    ef.config.set_logical_devices("cpu", 1)


class Spread:
    """A random program whose arguments, Variables and values have homes on several devices."""

    def __init__(self, data: st.DataObject) -> None:
        self.program = Program(data)
        self.rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
        self.devices = DEVICES[: data.draw(st.integers(2, 4), label="devices")]
        program = self.program
        homes = {id(v): self.any() for v in program.variables}
        now = {id(v): ef.Variable(v.numpy(), name=v.name, device=str(homes[id(v)])) for v in program.variables}
        graph = program.graph()
        program.variables[:] = now.values()
        self.values: dict[Value, Value] = {}
        self.copies: dict[Node, Node] = {}
        self.nodes: list[Node] = []
        for node in graph.nodes:
            attrs = node.attrs
            if "variable" in attrs:
                attrs = {"variable": now[id(attrs["variable"])]}
            home = attrs["variable"].device if "variable" in attrs else self.any()
            self.add(node, attrs, home)
        self.graph = Graph(
            graph.name,
            [self.copies[x.node].outputs[0] for x in graph.inputs],
            [self.values[x] for x in graph.outputs],
            self.nodes,
            graph.draws,
        )
        verify(self.graph)
        self.arrays = [program.array(value.shape, value.dtype.name) for value in graph.inputs]

    def any(self) -> Device:
        return self.devices[self.rng.integers(len(self.devices))]

    def add(self, node: Node, attrs: Any, home: Device) -> None:
        """Add a copy of a node, and sometimes a move of its result that stands for it from there on."""
        inputs = [self.values[x] if isinstance(x, Value) else x for x in node.inputs]
        control = [self.copies[other] for other in node.control]
        made = Node(node.op, inputs, attrs, [(x.spec, home) for x in node.outputs], control, "", node.line)
        self.nodes.append(made)
        self.copies[node] = made
        self.values.update(zip(node.outputs, made.outputs, strict=True))
        if len(made.outputs) == 1 and self.rng.random() < 0.15:
            device = self.any()
            self.nodes.append(
                Node(OPS["to_device"], made.outputs, {"device": device}, [(made.outputs[0].spec, device)], (), "", "m")
            )
            self.values[node.outputs[0]] = self.nodes[-1].outputs[0]

    def placement(self, graph: Graph, more: Sequence[Device] = ()) -> dict[Node, Device]:
        """Return a random placement on the devices, and on more than these."""
        bound = (PARAMETER, READ, ASSIGN)
        pool = [*self.devices, *more]
        return {
            node: pool[self.rng.integers(len(pool))]
            if node.op not in bound and node.op.name != "to_device"
            else node.attrs["variable"].device
            if node.op is ASSIGN
            else node.outputs[0].device
            for node in graph.nodes
        }


def crossings(graph: Graph, where: Mapping[Node, Device]) -> Counter[Any]:
    """Return what has to be sent: node, number of its result, and destination."""

    def made(value: Value) -> Value:
        while value.node.op.name == "to_device":
            value = next(value.node.values)
        return value

    needed = {(made(x), where[node]) for node in graph.nodes if node.op.name != "to_device" for x in node.values}
    needed |= {(made(x), x.device) for x in graph.outputs}
    return Counter(
        (value.node, value.index, device)
        for value, device in needed
        if value.node.op not in SOURCES and device is not where[value.node]
    )


def sends(made: Partitioned) -> Counter[Any]:
    return Counter(
        (part.origins[x.node], x.index, node.attrs["edge"].target)
        for part in made.parts
        for node in part.graph.nodes
        if node.op is SEND
        for x in node.values
    )


@given(st.data())
def test_random_graphs_in_random_parts_stay_the_same(data: st.DataObject) -> None:
    spread = Spread(data)
    passes = data.draw(st.sampled_from([(), ("prune", "fuse", "prune")]), label="passes")
    graph = optimize(spread.graph, passes)
    expected = run(graph, *spread.arrays)
    log = list(spread.program.log)
    for more in ((), (), FARS):
        where = spread.placement(graph, more)
        made = partition(graph, where, {})
        verify_parts(made)
        assert sends(made) == crossings(graph, where)
        assert_same_run(spread, made, expected, log)


@given(st.data())
def test_random_graphs_stay_the_same_where_work_is_done_again(data: st.DataObject) -> None:
    spread = Spread(data)
    graph = spread.graph
    expected = run(graph, *spread.arrays)
    log = list(spread.program.log)
    where = spread.placement(graph, data.draw(st.sampled_from([(), FARS]), label="more"))
    for byte in (0.0, 0.1, 1e9):
        made = partition(graph, where, {}, Costs(byte, **{name: spread.rng.random() * 9 for name in OPS}))
        verify_parts(made)
        assert set(sends(made).values()) <= {1}
        assert sends(made).keys() <= crossings(graph, where).keys()
        assert_same_run(spread, made, expected, log)


def assert_same_run(spread: Spread, made: Partitioned, expected: list[np.ndarray], log: list[bytes]) -> None:
    spread.program.log.clear()
    found = run_parts(made, *spread.arrays, turns=spread.rng)
    assert [bits(x) for x in found] == [bits(x) for x in expected]
    assert spread.program.log == log
