"""The graph: what it prints and draws, and the verifier, which finds one planted fault for each of its rules."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.capture.graph import CONSTANT, PARAMETER, READ, RECV, SEND, Graph, Node, Rewriter, Value
from eagerflow.capture.partition import Edge
from eagerflow.capture.state import Counter, Key
from eagerflow.capture.verifier import verify
from eagerflow.core.dims import Guards, symbol
from eagerflow.ops import Spec
from graphs import CPU, OPS, Builder, rows


def training_step() -> tuple[Builder, Graph, ef.Variable]:
    """Return a graph with all that graphs can have."""
    w = ef.Variable(np.ones((3, 2)), name="w")
    body = Builder("pieces")
    a, b = body.parameter((4, 2), name="a"), body.parameter((4, 2), name="b")
    inner = body.graph(body.op("multiply", body.op("tanh", a), b))
    f = Builder("step")
    x = f.parameter((4, 3), name="x")
    before = f.read(w)
    y = f.op("matmul", x, before)
    noise = f.draw(ef.random.Generator(0), (4, 2))
    z = f.fused(inner, y, noise)
    f.callback(print, z)
    f.assign(w, f.op("subtract", f.read(w), 0.5))
    return f, f.graph(f.op("sum", z, axis=(0, 1), keepdims=False), z), w


# --- text -----------------------------------------------------------------------------------------


def test_a_graph_prints_as_text() -> None:
    _, graph, _ = training_step()
    assert (
        str(graph)
        == """\
graph step(x: float64[4, 3]) -> (float64[], float64[4, 2])
  %0: float64[3, 2] = read_variable(w)  {reads state}  # program.py:2
  %1: float64[4, 2] = matmul(%x, %0)  # program.py:3
  %2: float64[4, 2] = random_uniform(key=key, counter=#0, shape=(4, 2), dtype='float64')  {random}  # program.py:4
  %3: float64[4, 2] = fused(%1, %2)  # program.py:5
    graph pieces(a: float64[4, 2], b: float64[4, 2]) -> (float64[4, 2])
      %0: float64[4, 2] = tanh(%a)  # program.py:3
      %1: float64[4, 2] = multiply(%0, %b)  # program.py:4
      return %1
  !0 = py_function(%3, function=print, specs=())  {callback, after %0}  # program.py:6
  %4: float64[3, 2] = read_variable(w)  {reads state, after !0}  # program.py:7
  %5: float64[3, 2] = subtract(%4, 0.5)  # program.py:8
  !1 = assign_variable(%5, w)  {writes state, after !0 %4}  # program.py:9
  %6: float64[] = sum(%3, axis=(0, 1), keepdims=False)  # program.py:10
  return %6, %3"""
    )


def test_constants_are_abbreviated_and_scopes_are_shown() -> None:
    f = Builder()
    f.constant(np.arange(1000.0))
    x = f.constant(2.5)
    node = Node(OPS["getitem"], (x,), {"index": (slice(None), 0, slice(1, None, 2), None, ...)}, [], (), "mlp/dense")
    text = str(Graph("f", (), (), (*f.nodes, node)))
    assert "constant([0., 1., ..., 998., 999.])" in text
    assert "constant(2.5)" in text
    assert "getitem(%1, index=(:, 0, 1::2, None, ...))  # mlp/dense" in text
    assert max(map(len, text.splitlines())) < 200


def test_inputs_of_one_name_print_as_two() -> None:
    f = Builder()
    x, y, z = (f.parameter((2,), name=name) for name in ("x", "x", "0"))
    text = str(f.graph(f.op("add", f.op("add", x, y), z)))
    assert text.startswith("graph f(x: float64[2], x_2: float64[2], input0: float64[2])")
    assert "%0: float64[2] = add(%x, %x_2)" in text and "add(%0, %input0)" in text


def test_symbolic_lengths_and_their_guards_are_printed() -> None:
    guards = Guards()
    n = symbol("N", 8, guards)
    assert n > 5
    f = Builder()
    x = f.parameter((n, 3), name="x")
    graph = Graph("f", (x,), (f.op("broadcast_to", x, shape=(2, n, 3)),), f.nodes, (), guards)
    assert str(graph).splitlines() == [
        "graph f(x: float64[N, 3]) -> (float64[2, N, 3])",
        "  guard N > 5",
        "  %0: float64[2, N, 3] = broadcast_to(%x, shape=(2, N, 3))  # program.py:2",
        "  return %0",
    ]
    verify(graph)


def test_variables_without_a_name_are_numbered() -> None:
    f = Builder()
    v, w = ef.Variable(1.0), ef.Variable(2.0)
    text = str(f.graph(f.op("add", f.read(v), f.read(w))))
    assert "read_variable(variable0)" in text and "read_variable(variable1)" in text


def on_two_devices() -> Graph:
    """Return a graph with values on two devices."""
    far: Any = ef.devices.numbered(CPU.kind, 1)
    f = Builder()
    x = f.parameter((4, 2), name="x")
    y = f.node(OPS["to_device"], (x,), {"device": far}, [F64])
    y.device = far
    return f.graph(y)


def test_devices_are_shown_where_there_are_several() -> None:
    lines = str(on_two_devices()).splitlines()
    assert lines[0] == "graph f(x: float64[4, 2] @cpu:0) -> (float64[4, 2] @cpu:1)"
    assert lines[1].startswith("  %0: float64[4, 2] @cpu:1 = to_device(%x, device=cpu:1)")
    text = on_two_devices().to_dot()
    assert r'label="x\nfloat64[4, 2]\n@cpu:0"' in text and r'label="to_device\ndevice=cpu:1\n@cpu:1"' in text
    assert "@" not in str(training_step()[1]) + training_step()[1].to_dot()


# --- pictures -------------------------------------------------------------------------------------

NASTY = 'a "quoted" \\ back\\slash {brace} <tag> | bar\nnew line; ß é'


def nasty() -> Graph:
    """Return a graph whose names have all that must be escaped."""
    f, graph, _ = training_step()
    x, y = f.parameter((2,), name=NASTY), f.constant(1.0)
    nodes = [*f.nodes]
    for scope in ("mlp/dense", "mlp/dense", "mlp", NASTY):
        result = [(Spec((2,), "float64"), CPU)]
        nodes.append(Node(OPS["add"], (x, y), {}, result, (nodes[-1],), scope, f"p.py:3: {NASTY}"))
    return Graph(NASTY, (*graph.inputs, x), (*graph.outputs, nodes[-1].outputs[0]), nodes, graph.draws)


@pytest.mark.parametrize("make", [nasty, lambda: training_step()[1], lambda: Graph("empty", (), (), ())])
def test_pictures_are_sound(make: Any) -> None:
    graph = make()
    text = graph.to_dot()
    # Every string is closed, and every brace outside strings, too.
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    assert '"' not in bare
    assert bare.count("{") == bare.count("}")
    edges = re.findall(r"(\w+) -> (\w+)", bare)
    known = set(re.findall(r"^ *(\w+) \[", bare, re.M))
    assert {end for edge in edges for end in edge} <= known
    count = sum(len(list(node.values)) + len(node.control) for node in graph.nodes) + len(graph.outputs)
    assert len(edges) == count
    assert bare.count("style=dashed") == sum(len(node.control) for node in graph.nodes)


@pytest.mark.parametrize("make", [nasty, lambda: training_step()[1]])
def test_graphviz_draws_pictures(make: Any) -> None:
    if shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    drawn = subprocess.run(["dot", "-Tsvg"], input=make().to_dot(), capture_output=True, text=True)
    assert drawn.returncode == 0 and not drawn.stderr, drawn.stderr
    assert "<svg" in drawn.stdout and "float64[4, 2]" in drawn.stdout


def test_scopes_are_nested_clusters() -> None:
    lines = nasty().to_dot().splitlines()
    clusters = [line for line in lines if "subgraph cluster_" in line or line.strip().startswith("label=")]
    assert [line.strip() for line in clusters[:4]] == [
        "subgraph cluster_0 {", 'label="mlp"', "subgraph cluster_1 {", 'label="dense"',
    ]  # fmt: skip
    assert len(clusters[2]) - len(clusters[2].lstrip()) == 4


def test_fused_nodes_list_what_is_in_them() -> None:
    _, graph, _ = training_step()
    assert r'label="fused\ntanh\nmultiply"' in graph.to_dot()


# --- the verifier ---------------------------------------------------------------------------------


def test_sound_graphs_pass() -> None:
    _, graph, _ = training_step()
    verify(graph)
    verify(Graph("empty", (), (), ()))


def replaced(graph: Graph, name: str, **changes: Any) -> Graph:
    """Return the graph with the last node of an operation changed: its inputs, attributes, control edges or results."""
    last = next(node for node in reversed(graph.nodes) if node.op.name == name)
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        if node is not last:
            rewriter.keep(node)
            continue
        results = changes.get("results", [(value.spec, value.device) for value in node.outputs])
        made = Node(
            node.op,
            changes.get("inputs", rewriter.inputs(node)),
            changes.get("attrs", node.attrs),
            results,
            changes.get("control", rewriter.control(node)),
            node.scope,
            node.line,
        )
        rewriter.add(made)
        rewriter.replace(node, (*made.outputs, *node.outputs)[: len(node.outputs)], made)
    return rewriter.graph()


def without(graph: Graph, *dropped: Node) -> Graph:
    return Graph(graph.name, graph.inputs, graph.outputs, [n for n in graph.nodes if n not in dropped], graph.draws)


def node_of(graph: Graph, name: str) -> Node:
    return next(node for node in graph.nodes if node.op.name == name)


def expect(graph: Graph, *words: str) -> None:
    with pytest.raises(ef.errors.CaptureError) as caught:
        verify(graph)
    for word in words:
        assert word in str(caught.value)


F64 = Spec((4, 2), "float64")


def test_the_verifier_finds_a_value_that_is_used_before_it_is_made() -> None:
    _, graph, _ = training_step()
    nodes = list(graph.nodes)
    at = nodes.index(node_of(graph, "matmul"))
    nodes[at], nodes[at - 1] = nodes[at - 1], nodes[at]
    expect(Graph("step", graph.inputs, graph.outputs, nodes, graph.draws), "node 1 (matmul, program.py:3", "input 1 is")


def test_the_verifier_finds_a_value_of_another_graph() -> None:
    _, graph, _ = training_step()
    expect(without(graph, node_of(graph, "read_variable")), "matmul", "before a node of the graph makes it")


def test_the_verifier_finds_a_value_that_its_node_does_not_have() -> None:
    _, graph, _ = training_step()
    wrong = Value(node_of(graph, "matmul"), 0, F64, CPU)
    expect(replaced(graph, "sum", inputs=(wrong,)), "sum", "before a node of the graph makes it")


def test_the_verifier_finds_a_node_that_is_there_twice() -> None:
    _, graph, _ = training_step()
    twice = Graph("step", graph.inputs, graph.outputs, (*graph.nodes, node_of(graph, "matmul")), graph.draws)
    expect(twice, "node 10 (matmul", "is in the graph twice")


def test_the_verifier_finds_inputs_that_are_no_parameters() -> None:
    f = Builder()
    x = f.constant(1.0)
    expect(Graph("f", (x,), (x,), f.nodes), "input 0", "results of parameters")


def test_the_verifier_finds_inputs_that_are_missing_or_there_twice() -> None:
    f, g = Builder(), Builder()
    x = f.parameter((2,))
    expect(Graph("f", (x, g.parameter((2,))), (x,), f.nodes), "input 1", "no node of the graph makes it")
    expect(Graph("f", (x, x), (x,), f.nodes), "an input is there twice")


def test_the_verifier_finds_parameters_that_are_no_inputs() -> None:
    f = Builder()
    x = f.parameter((2,))
    expect(Graph("f", (), (x,), f.nodes), "node 0 (parameter", "does not list this parameter")


def test_the_verifier_finds_results_that_nothing_makes() -> None:
    _, graph, _ = training_step()
    expect(without(graph, node_of(graph, "sum")), "result 0", "no node of the graph makes it")


@pytest.mark.parametrize(
    ("name", "inputs", "words"),
    [
        ("subtract", (1.0,), "1 inputs, expected 2"),
        ("subtract", (1.0, 2.0, 3.0), "3 inputs, expected 2"),
        ("subtract", (1.0, None), "input 'y' is None"),
        ("subtract", (1.0, np.ones((3, 2))), "a Python number, a symbolic length or None"),
        ("read_variable", (1.0,), "1 inputs, expected 0"),
        ("assign_variable", (1.0,), "an assignment takes one value"),
    ],
)
def test_the_verifier_finds_inputs_that_do_not_fit(name: str, inputs: Any, words: str) -> None:
    _, graph, _ = training_step()
    expect(replaced(graph, name, inputs=inputs), name, words)


def test_the_verifier_knows_inputs_that_may_be_left_out_and_inputs_of_any_number() -> None:
    f = Builder()
    x = f.parameter((4, 2))
    y = f.op("clip", x, None, 1.0)
    verify(f.graph(f.op("concat", x, y, x, axis=0, sizes=(4, 4, 4))))
    f.node(OPS["gather"], (), {"index": ()}, [F64])
    expect(f.graph(), "gather", "0 inputs, expected 2 or more")


@pytest.mark.parametrize("spec", [Spec((4, 3), "float64"), Spec((4, 2), "float32"), Spec((4,), "float64")])
def test_the_verifier_finds_specs_that_differ_from_the_shape_rule(spec: Spec) -> None:
    f = Builder()
    x = f.parameter((4, 2))
    f.node(OPS["tanh"], (x,), {}, [spec])
    expect(f.graph(), "tanh", f"result 0 is {spec}, expected float64[4, 2]")


def test_the_verifier_finds_wrong_symbolic_lengths() -> None:
    guards = Guards()
    n, m = symbol("N", 8, guards), symbol("M", 8, guards)
    f = Builder()
    x = f.parameter((n, 2))
    y = f.node(OPS["tanh"], (x,), {}, [Spec((m, 2), "float64")])
    expect(f.graph(y), "result 0 is float64[M, 2], expected float64[N, 2]")
    assert not len(guards), "the question is not worth a guard"
    verify(Graph("f", (x,), (), [x.node, Node(OPS["tanh"], (x,), {}, [(Spec((n + 1 - 1, 2), "float64"), CPU)])]))


def test_the_verifier_finds_what_the_shape_rule_refuses() -> None:
    f = Builder()
    x, y = f.parameter((4, 2)), f.parameter((3,))
    f.node(OPS["add"], (x, y), {}, [F64])
    expect(f.graph(), "add", "the shape rule fails for float64[4, 2], float64[3]")


def test_the_verifier_finds_a_wrong_number_of_results() -> None:
    f = Builder()
    x = f.parameter((4, 2))
    f.node(OPS["tanh"], (x,), {}, [F64, F64])
    expect(f.graph(), "tanh", "2 results, expected 1")
    g = Builder()
    x = g.parameter((4, 2))
    g.node(OPS["unstack"], (x,), {"axis": 0}, [Spec((2,), "float64")] * 3)
    expect(g.graph(), "unstack", "3 results, expected 4")


def test_the_verifier_finds_constants_of_another_kind_than_their_value() -> None:
    f = Builder()
    f.node(CONSTANT, (), {"value": np.ones(3)}, [Spec((3,), "float32")])
    expect(f.graph(), "constant", "result 0 is float32[3], expected float64[3]")


def test_the_verifier_finds_reads_and_assignments_that_do_not_fit_the_variable() -> None:
    _, graph, _ = training_step()
    other = ef.Variable(np.ones((5, 2)))
    expect(replaced(graph, "read_variable", attrs={"variable": other}), "read_variable", "expected float64[5, 2]")
    expect(replaced(graph, "assign_variable", attrs={"variable": other}), "it assigns float64[3, 2] to a Variable")


def test_the_verifier_finds_results_that_are_not_where_the_node_says() -> None:
    class Elsewhere:
        def __repr__(self) -> str:
            return "elsewhere:0"

    far: Any = Elsewhere()
    y = Node(PARAMETER, (), {"name": "y"}, [(F64, far)])
    move = Node(OPS["to_device"], y.outputs, {"device": CPU}, [(F64, CPU)])
    verify(Graph("f", y.outputs, move.outputs, (y, move)))
    lost = Node(OPS["to_device"], y.outputs, {"device": CPU}, [(F64, far)])
    expect(Graph("f", y.outputs, lost.outputs, (y, lost)), "to_device", "expected cpu:0")
    variable = ef.Variable(np.ones(3))
    read = Node(READ, (), {"variable": variable}, [(Spec((3,), "float64"), far)])
    expect(Graph("f", (), read.outputs, (read,)), "read_variable", "expected cpu:0")


def test_the_verifier_finds_control_edges_that_point_forwards() -> None:
    f = Builder()
    x = f.parameter((2,))
    late = f.op("tanh", x).node
    early = Node(OPS["exp"], (x,), {}, [(x.spec, CPU)], (late,))
    expect(Graph("f", (x,), (), (x.node, early, late)), "exp", "waits for", "tanh")
    itself = Node(OPS["exp"], (x,), {}, [(x.spec, CPU)])
    itself.control = (itself,)
    expect(Graph("f", (x,), (), (x.node, itself)), "waits for")


@pytest.mark.parametrize("name", ["read_variable", "assign_variable", "py_function"])
def test_the_verifier_finds_effects_out_of_order(name: str) -> None:
    f, graph, w = training_step()
    f.callback(print)
    f.assign(w, f.constant(np.ones((3, 2))))
    f.read(w)
    graph = f.graph()
    verify(graph)
    expect(replaced(graph, name, control=()), name, "no edge or path leads to node")


def test_the_verifier_finds_an_assignment_that_does_not_wait_for_reads() -> None:
    f = Builder()
    w = ef.Variable(np.ones(2))
    f.read(w)
    f.assign(w, f.constant(np.ones(2)))
    expect(replaced(f.graph(), "assign_variable", control=()), "assign_variable", "(read_variable)")


def test_the_verifier_takes_a_path_for_an_edge() -> None:
    f = Builder()
    w = ef.Variable(np.ones(2))
    value = f.op("tanh", f.read(w))
    f.assign(w, f.op("exp", value))
    verify(replaced(f.graph(), "assign_variable", control=()))


def test_the_verifier_finds_draws_that_a_run_does_not_take() -> None:
    f = Builder()
    generator = ef.random.Generator(0)
    f.draw(generator)
    f.draw(generator)
    verify(f.graph())
    attrs = {**f.nodes[-1].attrs, "counter": Counter(generator, 2)}
    expect(replaced(f.graph(), "random_uniform", attrs=attrs), "random_uniform", "draw 2", "gives a run 2")
    other = ef.random.Generator(0)
    attrs = {**attrs, "key": Key(other), "counter": Counter(other, 0)}
    expect(replaced(f.graph(), "random_uniform", attrs=attrs), "draw 0", "gives a run 0")


def passing() -> tuple[Builder, Edge, Edge]:
    """Return a graph that sends a value, gets another one, sends word that something is done, and has that word."""
    far = ef.devices.numbered(CPU.kind, 1)
    there, back = Edge(0, CPU, far, F64, "x"), Edge(1, far, CPU, F64, "y")
    f = Builder()
    x = f.parameter((4, 2))
    f.node(SEND, (x,), {"edge": there}, ())
    f.node(RECV, (), {"edge": back}, [F64])
    f.node(SEND, (), {"edge": Edge(2, CPU, far, None, "x")}, (), (x.node,))
    f.node(RECV, (), {"edge": Edge(3, far, CPU, None, "y")}, ())
    return f, there, back


def test_the_verifier_knows_what_is_sent_and_received() -> None:
    verify(passing()[0].graph())


@pytest.mark.parametrize(
    ("op", "spec", "made", "words"),
    [
        (SEND, Spec((4, 3), "float64"), True, "float64[4, 2] goes through edge #9 {}, expected float64[4, 3]"),
        (SEND, None, True, "float64[4, 2] goes through edge #9 {}, expected nothing"),
        (SEND, F64, False, "nothing goes through edge #9 {}, expected float64[4, 2]"),
        (RECV, Spec((4, 2), "float32"), True, "float64[4, 2] goes through edge #9 {}, expected float32[4, 2]"),
        (RECV, None, True, "float64[4, 2] goes through edge #9 {}, expected nothing"),
        (RECV, F64, False, "nothing goes through edge #9 {}, expected float64[4, 2]"),
        (SEND, None, False, "edge #9 {} carries nothing, and waits for nothing"),
    ],
)
def test_the_verifier_finds_what_does_not_fit_its_edge(op: Any, spec: Any, made: bool, words: str) -> None:
    f = passing()[0]
    far = ef.devices.numbered(CPU.kind, 1)
    ends = (CPU, far) if op is SEND else (far, CPU)
    inputs = f.nodes[0].outputs if made and op is SEND else ()
    f.node(op, inputs, {"edge": Edge(9, *ends, spec, "")}, [F64] if made and op is RECV else ())
    expect(f.graph(), op.name, words.format(f"{ends[0]} -> {ends[1]}"))


def test_the_verifier_finds_edges_that_are_there_twice() -> None:
    f, there, back = passing()
    f.node(SEND, f.nodes[0].outputs, {"edge": there}, ())
    expect(f.graph(), "node 5 (send", "there is another send of edge #0 cpu:0 -> cpu:1")
    f.nodes.pop()
    f.node(RECV, (), {"edge": back}, [F64])
    expect(f.graph(), "node 5 (recv", "there is another recv of edge #1 cpu:1 -> cpu:0")


def test_the_verifier_finds_what_is_sent_from_or_received_on_another_device() -> None:
    f, there, back = passing()
    f.nodes[0].outputs[0].device = there.target
    expect(f.graph(), "send", "it is on cpu:1, and edge #0 cpu:0 -> cpu:1 starts on cpu:0")
    f, there, back = passing()
    f.nodes[2].outputs[0].device = back.source
    expect(f.graph(), "recv", "it is on cpu:1, and edge #1 cpu:1 -> cpu:0 ends on cpu:0")


def fused(change: Any) -> Graph:
    """Return a graph with a fused node whose body `change` made other."""
    body, f = Builder("body"), Builder()
    a = body.parameter((4, 2), name="a")
    body.op("tanh", a)
    x = f.parameter((4, 2))
    inner, inputs, specs = change(body, x)
    f.node(node_of(training_step()[1], "fused").op, inputs, {"graph": inner}, specs)
    return f.graph()


def tanh_of(body: Builder) -> Any:
    return body.nodes[-1].outputs[0]


def summed(body: Builder, x: Any) -> Any:
    return body.graph(body.op("sum", tanh_of(body), axis=(0,), keepdims=False)), (x,), [F64]


def random(body: Builder, x: Any) -> Any:
    return body.graph(body.draw(ef.random.Generator(0), (4, 2))), (x,), [F64]


def unsound(body: Builder, x: Any) -> Any:
    spec = Spec((1,), "int8")
    return body.graph(body.node(OPS["exp"], (tanh_of(body),), {}, [spec])), (x,), [spec]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body, x: (body.graph(tanh_of(body)), (), [F64]), "it has 0 inputs, its graph 1"),
        (lambda body, x: (body.graph(tanh_of(body)), (x,), []), "it has 0 results, its graph 1"),
        (lambda body, x: (body.graph(tanh_of(body)), (1.0,), [F64]), "number 0 of the inputs"),
        (summed, "number 0 of the results"),
        (random, "has effects"),
        (unsound, "the graph 'body' in a fused node, node 2 (exp"),
    ],
)
def test_the_verifier_looks_into_fused_nodes(change: Any, words: str) -> None:
    verify(fused(lambda body, x: (body.graph(tanh_of(body)), (x,), [F64])))
    expect(fused(change), words)


# --- rewriting ------------------------------------------------------------------------------------


def test_a_rewriter_keeps_what_nothing_changed() -> None:
    _, graph, _ = training_step()
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        assert rewriter.keep(node) is node
    assert rewriter.graph().nodes == graph.nodes


def test_who_waited_for_a_dropped_node_waits_for_what_it_waited_for() -> None:
    _, graph, _ = training_step()
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        if node.op.name == "py_function":
            rewriter.drop(node)
        else:
            rewriter.keep(node)
    made = rewriter.graph()
    first, second = [node for node in made.nodes if node.op.name == "read_variable"]
    assert second.control == (first,)
    verify(made)
    assert ("assign_variable", ["subtract"]) in rows(made)
