"""The verifier of partitions finds one planted fault for each of its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.capture.graph import PARAMETER, READ, RECV, SEND, Graph, Node
from eagerflow.capture.partition import Edge, Part, Partitioned, partition, verify_parts
from eagerflow.ops import Spec
from graphs import OPS, Builder
from partitions import D0, D1, D2, placed

THREE = Spec((3,), "float64")


@pytest.fixture(autouse=True, scope="module")
def four_devices() -> Iterator[None]:
    ef.config.set_logical_devices("cpu", 4)
    yield
    ef.config.set_logical_devices("cpu", 1)


def cut() -> Partitioned:
    """Return a graph in two parts with values, state, a callback and a draw that cross."""
    w = ef.Variable(np.ones(3), name="w")
    body = Builder("body")
    a = body.parameter((3,), name="a")
    inner = body.graph(body.op("negative", a))
    f = Builder()
    x = f.parameter((3,))
    y = f.op("multiply", x, f.read(w))
    z = f.op("exp", f.fused(inner, y))
    f.callback(print)
    f.assign(w, f.op("add", z, f.draw(ef.random.Generator(0), (3,))))
    graph = f.graph(z, x)
    return partition(graph, placed(graph, multiply=D1, fused=D1, py_function=D1, random_uniform=D1), {})


def changed(made: Partitioned, number: int, change: Callable[[list[Node]], Any]) -> Partitioned:
    """Return parts with the nodes of one of them changed."""
    part = made.parts[number]
    nodes = list(part.graph.nodes)
    change(nodes)
    graph = Graph(part.graph.name, part.graph.inputs, part.graph.outputs, nodes)
    parts = [*made.parts[:number], replace(part, graph=graph), *made.parts[number + 1 :]]
    return Partitioned(made.graph, parts, made.edges)


def at(nodes: list[Node], name: str, which: int = 0) -> int:
    """Return the position of a node by its operation."""
    return [i for i, node in enumerate(nodes) if node.op.name == name][which]


def expect(made: Partitioned, *words: str) -> None:
    with pytest.raises(ef.errors.CaptureError) as caught:
        verify_parts(made)
    for word in words:
        assert word in str(caught.value)


def test_sound_parts_pass() -> None:
    made = cut()
    verify_parts(made)
    verify_parts(changed(made, 0, lambda nodes: None))
    verify_parts(Partitioned(Graph("empty", (), (), ()), [], []))
    assert [[node.op.name for node in part.graph.nodes] for part in made.parts] == [
        ["parameter", "send", "read_variable", "send", "recv", "exp", "recv", "add", "recv", "assign_variable"],
        ["recv", "recv", "multiply", "fused", "send", "py_function", "send", "random_uniform", "send"],
    ]


# --- each part ------------------------------------------------------------------------------------


def test_values_of_other_parts_are_found() -> None:
    made = cut()
    there = made.parts[1].graph.nodes[2].outputs[0]

    def change(nodes: list[Node]) -> None:
        nodes.insert(5, Node(OPS["exp"], (there,), {}, [(THREE, D0)]))

    expect(changed(made, 0, change), "the part on cpu:0, node 5 (exp)", "before a node of the graph makes it")


def test_control_edges_to_other_parts_are_found() -> None:
    made = cut()

    def change(nodes: list[Node]) -> None:
        nodes.append(Node(OPS["exp"], nodes[0].outputs, {}, [(THREE, D0)], (made.parts[1].graph.nodes[0],)))

    expect(changed(made, 0, change), "the part on cpu:0, node 10 (exp)", "it waits for <Node recv>")


def test_nodes_on_other_devices_are_found() -> None:
    def change(nodes: list[Node]) -> None:
        nodes.append(Node(OPS["exp"], nodes[0].outputs, {}, [(THREE, D1)]))

    expect(changed(cut(), 0, change), "<exp:0 float64[3]> is on cpu:1, and the part on cpu:0")


def test_graphs_inside_that_are_on_other_devices_are_found() -> None:
    made = cut()
    fused = made.parts[1].graph.nodes[3]
    fused.attrs["graph"].nodes[1].outputs[0].device = D0
    expect(made, "in a fused node", "is on cpu:0, and the part on cpu:1")


def test_variables_of_other_devices_are_found() -> None:
    far = ef.Variable(np.ones(3), device="cpu:1")

    def change(nodes: list[Node]) -> None:
        nodes.append(Node(READ, (), {"variable": far}, [(THREE, D1)]))

    expect(changed(cut(), 0, change), "is on cpu:1, and the part on cpu:0")
    made = cut()
    made.parts[0].graph.nodes[-1].attrs["variable"] = far  # type: ignore[index]
    expect(made, "its Variable is on cpu:1, and the part on cpu:0")


def test_draws_that_a_run_does_not_take_are_found() -> None:
    made = cut()
    whole = made.graph
    bare = Graph(whole.name, whole.inputs, whole.outputs, whole.nodes)
    expect(Partitioned(bare, made.parts, made.edges), "draw 0", "gives a run 0")


def test_parts_that_are_not_sound_by_themselves_are_found() -> None:
    def change(nodes: list[Node]) -> None:
        nodes[-1].control = ()

    expect(changed(cut(), 0, change), "assign_variable", "no edge or path leads to node 2 (read_variable)")


# --- inputs and outputs ---------------------------------------------------------------------------


def test_two_parts_on_one_device_are_found() -> None:
    made = cut()
    empty = Part(D0, Graph("f", (), (), ()), (), ())
    expect(Partitioned(made.graph, [*made.parts, empty], made.edges), "there are two on one device")


def test_inputs_of_two_parts_are_found() -> None:
    made = cut()
    node = Node(PARAMETER, (), {"name": "x"}, [(THREE, D2)])
    again = Part(D2, Graph("f", node.outputs, (), (node,)), (0,), ())
    expect(Partitioned(made.graph, [*made.parts, again], made.edges), "an input belongs to two: [0, 0]")


@pytest.mark.parametrize(
    ("field", "numbers", "words"),
    [
        ("inputs", (), "of 1 inputs on cpu:0 0 have a number"),
        ("inputs", (7,), "input 7 is not float64[3]"),
        ("outputs", (0, 0), "of 2 results they deliver [0, 0]"),
        ("outputs", (0,), "of 2 results they deliver [0]"),
        ("outputs", (0, 1, 2), "of 2 results they deliver [0, 1, 2]"),
    ],
)
def test_wrong_numbers_of_inputs_and_results_are_found(field: str, numbers: Any, words: str) -> None:
    made = cut()
    made.parts[0] = replace(made.parts[0], **{field: numbers})
    expect(made, words)


def test_results_that_are_not_where_or_what_they_should_be_are_found() -> None:
    made = cut()
    made.graph.outputs[0].device = D2
    expect(made, "result 0 is on cpu:0, expected cpu:2")
    made = cut()
    made.graph.outputs[0].spec = Spec((4,), "float64")
    expect(made, "result 0 is not float64[3]")


# --- what passes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "name", "words"),
    [(1, "send", "edge #2 cpu:1 -> cpu:0 has a send on no device"), (0, "recv", "edge #3 cpu:1 -> cpu:0 has a recv")],
)
def test_edges_with_one_end_are_found(number: int, name: str, words: str) -> None:
    made = cut()

    def change(nodes: list[Node]) -> None:
        position = at(nodes, name, 0 if name == "send" else 2)
        for node in nodes:
            node.control = tuple(other for other in node.control if other is not nodes[position])
        del nodes[position]

    expect(changed(made, number, change), words)


def test_ends_on_other_devices_are_found() -> None:
    edge = cut().edges[3]
    made = cut()

    def receive(nodes: list[Node]) -> None:
        nodes.append(Node(RECV, (), {"edge": made.edges[3]}, ()))

    def send(nodes: list[Node]) -> None:
        nodes.append(Node(SEND, (), {"edge": made.edges[3]}, (), (nodes[0],)))

    assert edge.spec is None
    expect(changed(made, 1, receive), "edge #3 cpu:1 -> cpu:0 has a recv on [cpu:0, cpu:1]")
    expect(changed(made, 0, send), "edge #3 cpu:1 -> cpu:0 has a send on [cpu:0, cpu:1]")


def test_edges_that_nobody_knows_are_found() -> None:
    made = cut()
    stranger = Edge(99, D0, D1, None, "")

    def change(nodes: list[Node]) -> None:
        nodes.append(Node(SEND, (), {"edge": stranger}, (), (nodes[0],)))

    expect(changed(made, 0, change), "there is a send of #99 cpu:0 -> cpu:1, which is not among the edges")
    expect(Partitioned(made.graph, made.parts, made.edges[::-1]), "edges are numbered from 0")


def test_values_that_go_to_a_device_twice_are_found() -> None:
    made = cut()
    again = Edge(len(made.edges), D0, D1, THREE, "")

    def send(nodes: list[Node]) -> None:
        nodes.append(Node(SEND, nodes[0].outputs, {"edge": again}, ()))

    def receive(nodes: list[Node]) -> None:
        nodes.append(Node(RECV, (), {"edge": again}, [(THREE, D1)]))

    twice = changed(changed(made, 0, send), 1, receive)
    expect(Partitioned(made.graph, twice.parts, [*made.edges, again]), "<parameter:0 float64[3]>", "to cpu:1 twice")


# --- order ----------------------------------------------------------------------------------------


def test_parts_that_wait_for_each_other_are_found() -> None:
    def change(nodes: list[Node]) -> None:
        nodes.insert(at(nodes, "recv"), nodes.pop(at(nodes, "send", 1)))
        nodes[at(nodes, "recv") - 1], nodes[at(nodes, "recv")] = nodes[at(nodes, "recv")], nodes[at(nodes, "recv") - 1]

    expect(
        changed(cut(), 0, change),
        "no order in which all nodes run: nothing is sent over #2 cpu:1 -> cpu:0, #1 cpu:0 -> cpu:1",
    )


def test_effects_that_happen_never_or_twice_are_found() -> None:
    def drop(nodes: list[Node]) -> None:
        del nodes[-1]

    def call_twice(nodes: list[Node]) -> None:
        first = nodes[at(nodes, "py_function")]
        nodes.append(first.replaced((), (first,)))
        made.parts[1].origins[nodes[-1]] = made.parts[1].origins[first]

    expect(changed(cut(), 0, drop), "assign_variable (program.py:9: line 9) runs 0 times")
    made = cut()
    expect(changed(made, 1, call_twice), "py_function (program.py:6: line 6) runs 2 times")


def test_effects_that_do_not_wait_for_those_of_other_parts_are_found() -> None:
    """The word that the callback has run reaches its part, but not the assignment."""
    made = cut()

    def change(nodes: list[Node]) -> None:
        nodes[-1].control = tuple(node for node in nodes[-1].control if node.op is READ)

    expect(changed(made, 0, change), "assign_variable", "does not wait for py_function (program.py:6: line 6)")
