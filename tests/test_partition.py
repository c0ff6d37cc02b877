"""Partition: what each part has, and what passes between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.capture.graph import ASSIGN, CALLBACK, CONSTANT, FUSED, LENGTH, RECV, SEND, Graph
from eagerflow.capture.partition import partition, verify_parts
from eagerflow.capture.verifier import verify
from eagerflow.core.dims import Guards, symbol
from eagerflow.devices import DeviceName
from eagerflow.devices.request import Request
from eagerflow.ops import Spec
from graphs import OPS, Builder, bits, run
from kinds import FAR
from partitions import D0, D1, D2, D3, FARS, Costs, part_of, placed, ran, run_parts, shown

X = np.array([1.0, -2.0, 3.5])


@pytest.fixture(autouse=True, scope="module")
def four_devices() -> Iterator[None]:
    ef.config.set_logical_devices("cpu", 4)
    yield
    ef.config.set_logical_devices("cpu", 1)


# --- what passes ----------------------------------------------------------------------------------


def test_a_graph_on_one_device_is_one_part() -> None:
    f = Builder()
    x = f.parameter((3,))
    graph = f.graph(f.op("exp", x), x)
    made = ran(graph, placed(graph), X)
    assert shown(made) == {"cpu:0": ["parameter", "exp"]}
    assert not made.edges
    assert (made.parts[0].inputs, made.parts[0].outputs) == ((0,), (0, 1))


def test_a_value_is_sent_once_to_a_device_however_many_need_it() -> None:
    f = Builder()
    x = f.parameter((3,))
    y = f.op("exp", x)
    a, b = f.op("negative", y), f.op("add", y, y)
    graph = f.graph(a, b, y)
    made = ran(graph, placed(graph, negative=D1, add=D1), X)
    assert shown(made) == {
        "cpu:0": ["parameter", "exp", "send", "recv", "recv"],
        "cpu:1": ["recv", "negative", "send", "add", "send"],
    }
    assert [(e.number, e.source, e.target, e.spec, e.name) for e in made.edges] == [
        (0, D0, D1, y.spec, "%0"), (1, D1, D0, a.spec, "%1"), (2, D1, D0, b.spec, "%2"),
    ]  # fmt: skip


def test_each_device_gets_its_own() -> None:
    f = Builder()
    x = f.parameter((3,))
    graph = f.graph(*[f.op(name, x) for name in ("negative", "exp", "tanh")])
    made = ran(graph, placed(graph, negative=D1, exp=D2, tanh=D3), X)
    assert shown(made)["cpu:0"] == ["parameter", "send", "send", "send", "recv", "recv", "recv"]
    assert [edge.target for edge in made.edges[:3]] == [D1, D2, D3]


def test_what_is_sent_is_sent_at_once_and_received_late() -> None:
    f = Builder()
    x = f.parameter((3,))
    y = f.op("exp", x)
    z = f.op("tanh", x)
    graph = f.graph(f.op("add", f.op("negative", f.op("square", x)), z), y)
    made = ran(graph, placed(graph, exp=D1, tanh=D1), X)
    assert shown(made) == {
        # The sum needs one of the two, and the other is but a result.
        "cpu:0": ["parameter", "send", "square", "negative", "recv", "add", "recv"],
        "cpu:1": ["recv", "exp", "send", "tanh", "send"],
    }


def test_results_are_delivered_at_home_and_inputs_belong_to_one_part() -> None:
    f = Builder()
    x, unused, y = f.parameter((3,)), f.parameter((2,), name="u"), f.parameter((3,), name="y")
    y.device = unused.device = D1
    z = f.op("add", x, y)
    graph = f.graph(z, y, z, x)
    made = ran(graph, placed(graph, add=D1), X, np.zeros(2), X)
    assert shown(made) == {
        "cpu:0": ["parameter", "send", "recv"],
        "cpu:1": ["parameter", "parameter", "recv", "add", "send"],
    }
    assert [(part.inputs, part.outputs) for part in made.parts] == [((0,), (0, 2, 3)), ((1, 2), (1,))]
    assert made.parts[0].graph.outputs[0] is made.parts[0].graph.outputs[1]


def test_a_device_with_nothing_but_unused_inputs_has_no_part() -> None:
    f = Builder()
    x, unused = f.parameter((3,)), f.parameter((2,), name="u")
    unused.device = D1
    graph = f.graph(f.op("exp", x))
    made = ran(graph, placed(graph), X, np.zeros(2))
    assert [(part.device, part.inputs) for part in made.parts] == [(D0, (0,))]
    assert partition(Graph("empty", (), (), ()), {}, {}).parts == []


def test_an_input_that_is_returned_elsewhere_than_where_it_is_is_sent() -> None:
    f = Builder()
    x = f.parameter((3,))
    there = f.node(OPS["to_device"], (x,), {"device": D1}, [x.spec])
    there.device = D1
    graph = f.graph(there)
    made = ran(graph, placed(graph), X)
    assert shown(made) == {"cpu:0": ["parameter", "send"], "cpu:1": ["recv"]}
    assert made.edges[0].lent


def test_moves_vanish() -> None:
    f = Builder()
    x = f.parameter((3,))
    y = f.op("exp", x)
    there = f.node(OPS["to_device"], (y,), {"device": D1}, [y.spec])
    back = f.node(OPS["to_device"], (there,), {"device": D0}, [y.spec])
    there.device = D1
    z = f.op("tanh", there)
    graph = f.graph(f.op("negative", back), f.op("add", z, back), there)
    made = ran(graph, placed(graph, tanh=D1, add=D2), X)
    assert not any(node.op.name == "to_device" for part in made.parts for node in part.graph.nodes)
    # One copy to each, and none by way of another device.
    assert [(e.source, e.target) for e in made.edges if e.name == "%0"] == [(D0, D1), (D0, D2)]
    assert part_of(made, D1).outputs == (2,)


def test_nodes_of_parts_know_where_they_come_from() -> None:
    f = Builder()
    x = f.parameter((3,))
    y = f.op("add", x, f.constant(X))
    graph = f.graph(y)
    made = ran(graph, placed(graph, add=D1), X)
    origins = part_of(made, D1).origins
    assert [(n.op.name, origins.get(n)) for n in part_of(made, D1).graph.nodes] == [
        ("recv", None), ("constant", graph.nodes[1]), ("add", graph.nodes[2]), ("send", None),
    ]  # fmt: skip
    assert all(node.line for node in part_of(made, D1).graph.nodes)


def test_parts_print() -> None:
    f = Builder("pieces")
    x = f.parameter((3,))
    graph = f.graph(f.op("exp", x))
    text = str(partition(graph, placed(graph, exp=D1), {}))
    assert text.startswith(
        "on cpu:0:\n  graph pieces(x: float64[3]) -> (float64[3])\n    !0 = send(%x, edge=#0 cpu:0 ->"
    )
    assert "\n\non cpu:1:\n  graph pieces() -> ()\n    %0: float64[3] = recv(edge=#0 cpu:0 -> cpu:1)" in text


# --- constants, and what is computed again --------------------------------------------------------


def test_constants_and_lengths_are_copied_not_sent() -> None:
    n = symbol("n", 3, Guards())
    f = Builder()
    x = f.parameter((n,))
    c = f.constant(2.5)
    length = f.node(LENGTH, (), {"length": n}, [Spec((), "int64")])
    graph = f.graph(f.op("multiply", x, c), f.op("add", f.op("exp", c), length), c)
    verify(graph)
    made = partition(graph, placed(graph, exp=D1, add=D1), {"n": 3})
    assert shown(made) == {
        "cpu:0": ["parameter", "constant", "multiply", "recv"],
        "cpu:1": ["constant", "exp", "length", "add", "send"],
    }
    one, two = (next(n for n in part.graph.nodes if n.op is CONSTANT).attrs["value"] for part in made.parts)
    assert one is two, "devices of one memory share it"
    assert [bits(x) for x in run_parts(made, X)] == [bits(x) for x in run(graph, X)]


def test_constants_and_lengths_are_arrays_of_the_kind_they_go_to() -> None:
    far = FARS[1]
    n = symbol("n", 3, Guards())
    body = Builder("body")
    a = body.parameter((3,), name="a")
    inner = body.graph(body.op("multiply", a, body.constant(X)))
    f = Builder()
    c = f.constant(X)
    length = f.node(LENGTH, (), {"length": n}, [Spec((), "int64")])
    graph = f.graph(f.fused(inner, f.op("multiply", c, length)))
    made = partition(graph, placed(graph, multiply=far, fused=far), {"n": 3})
    there = part_of(made, far)
    assert shown(made)["far:1"] == ["constant", "constant", "multiply", "fused", "send"]
    held = [node.attrs["value"] for node in there.graph.nodes if node.op is CONSTANT]
    fused = next(node for node in there.graph.nodes if node.op is FUSED).attrs["graph"]
    held += [node.attrs["value"] for node in fused.nodes if node.op is CONSTANT]
    assert [type(x) for x in held] == [FAR.array_type] * 3
    assert all(value.device is far for node in fused.nodes for value in node.outputs)
    assert bits(run_parts(made)[0]) == bits(X * 3 * X)


def shared_work() -> Graph:
    f = Builder()
    x = f.parameter((3,))
    y = f.op("exp", x)
    return f.graph(f.op("negative", y), f.op("tanh", x), f.op("square", y))


def test_what_is_cheaper_to_compute_again_is_not_sent() -> None:
    graph = shared_work()
    where = placed(graph, negative=D1, tanh=D1)
    made = ran(graph, where, X, costs=Costs(exp=23.0))
    assert shown(made) == {
        "cpu:0": ["parameter", "send", "exp", "square", "recv", "recv"],
        "cpu:1": ["recv", "exp", "negative", "send", "tanh", "send"],
    }
    # 24 bytes for a second each, 6 as bfloat16.
    assert "exp" not in shown(ran(graph, where, X, costs=Costs(exp=25.0)))["cpu:1"]
    assert "exp" not in shown(partition(graph, where, {}, Costs(exp=23.0), "bfloat16"))["cpu:1"]
    assert "exp" in shown(partition(graph, where, {}, Costs(exp=5.0), "bfloat16"))["cpu:1"]
    assert "exp" not in shown(ran(graph, where, X))["cpu:1"], "without costs nobody knows"


def test_what_is_needed_elsewhere_only_does_not_stay() -> None:
    f = Builder()
    zeros = f.node(OPS["zeros"], (), {"shape": (3,), "dtype": np.dtype("float64")}, [Spec((3,), "float64")])
    x = f.parameter((3,))
    graph = f.graph(f.op("add", x, zeros))
    made = ran(graph, placed(graph, add=D1), X, costs=Costs(zeros=1.0))
    assert shown(made) == {"cpu:0": ["parameter", "send", "recv"], "cpu:1": ["recv", "zeros", "add", "send"]}


def test_what_needs_more_than_is_there_is_sent() -> None:
    graph = shared_work()
    made = ran(graph, placed(graph, negative=D1), X, costs=Costs(exp=0.0))
    assert shown(made)["cpu:1"] == ["recv", "negative", "send"]


def test_draws_are_the_same_wherever_they_are_drawn() -> None:
    f = Builder()
    noise = f.draw(ef.random.Generator(5), (3,))
    graph = f.graph(f.op("negative", noise), f.op("exp", noise), f.draw(f.nodes[0].attrs["key"].generator, (3,)))
    made = ran(graph, placed(graph, negative=D1), costs=Costs(random_uniform=1.0))
    assert shown(made)["cpu:1"] == ["random_uniform", "negative", "send"]
    assert all(not part.graph.draws for part in made.parts)
    assert shown(ran(graph, placed(graph, negative=D1)))["cpu:1"] == ["recv", "negative", "send"]


@pytest.mark.parametrize("what", ["effects", "control", "awaited", "product", "other kind", "request"])
def test_what_has_to_run_once_runs_once(what: str) -> None:
    w = ef.Variable(np.eye(3), name="w")
    f = Builder()
    x = f.parameter((3, 3))
    y = f.read(w) if what == "effects" else f.op("matmul" if what == "product" else "maximum", x, x)
    name = y.node.op.name
    if what == "control":
        y.node.control = (f.op("exp", x).node,)
        f.nodes[-2:] = f.nodes[:-3:-1]
    if what == "request":
        y.node.request = Request(DeviceName("cpu", 0), D0)
    if what == "awaited":
        f.op("exp", x).node.control = (y.node,)
    graph = f.graph(f.op("negative", y), f.op("tanh", x), y)
    there = FARS[0] if what == "other kind" else D1
    where = placed(graph, negative=there, tanh=there)
    for node in graph.nodes[-2:]:
        node.request = Request(DeviceName("cpu", 1), D1)  # only what the test is about may run elsewhere
    made = partition(graph, where, {}, Costs(other=0.0))
    verify_parts(made)
    names = shown(made)
    assert names["cpu:0"].count(name) == 1
    assert sum(ops.count(name) for ops in names.values()) == 1


# --- narrower on the way --------------------------------------------------------------------------


def test_floats_travel_as_bfloat16_if_they_are_asked_to() -> None:
    f = Builder()
    x, n = f.parameter((3,)), f.parameter((3,), "int64", name="n")
    c = f.constant(X * 1.001)
    y = f.op("add", f.op("multiply", x, c), n)
    z = f.op("subtract", x, n)
    graph = f.graph(y, z)
    made = partition(graph, placed(graph, add=D1, multiply=D1, subtract=D2), {}, compress="bfloat16")
    assert shown(made) == {
        "cpu:0": ["parameter", "cast", "send", "send", "parameter", "send", "send", "recv", "cast", "recv", "cast"],
        "cpu:1": ["recv", "cast", "constant", "multiply", "recv", "add", "cast", "send"],
        "cpu:2": ["recv", "cast", "recv", "subtract", "cast", "send"],
    }
    assert [edge.spec and edge.spec.dtype.name for edge in made.edges] == ["bfloat16"] * 2 + ["int64"] * 2 + [
        "bfloat16"
    ] * 2
    assert [edge.lent for edge in made.edges] == [False, False, True, True, False, False]
    bfloat16 = np.dtype(ef.bfloat16)
    numbers = np.array([1, 2, 3])
    start = (X + 0.123).astype(bfloat16).astype("float64")
    expected = [start * (X * 1.001) + numbers, start - numbers]
    found = run_parts(made, X + 0.123, numbers)
    assert [bits(a) for a in found] == [bits(a.astype(bfloat16).astype("float64")) for a in expected]


@pytest.mark.parametrize("dtype", ["float16", "complex64", "bool", "int64"])
def test_other_dtypes_travel_as_they_are(dtype: str) -> None:
    f = Builder()
    x = f.parameter((3,), dtype)
    graph = f.graph(f.op("identity", x))
    made = ran(graph, placed(graph, identity=D1), X.astype(dtype), compress="bfloat16")
    assert {edge.spec and edge.spec.dtype.name for edge in made.edges} == {dtype}


def test_no_other_compression_is_known() -> None:
    f = Builder()
    graph = f.graph(f.parameter((3,)))
    with pytest.raises(ef.errors.ArgumentError, match="expected None or 'bfloat16', got 'int8'"):
        partition(graph, placed(graph), {}, compress="int8")


# --- state and order ------------------------------------------------------------------------------


def test_reads_are_sent_and_what_is_received_is_assigned() -> None:
    w = ef.Variable(X, name="w")
    f = Builder()
    x = f.parameter((3,))
    f.assign(w, f.op("subtract", f.read(w), x))
    graph = f.graph(f.op("exp", f.read(w)))
    made = ran(graph, placed(graph, subtract=D1, exp=D1), X / 2)
    first, second = ["read_variable", "send", "recv", "assign_variable"], ["read_variable", "send", "recv"]
    assert shown(made) == {
        "cpu:0": ["parameter", "send", *first, *second],
        "cpu:1": ["recv", "recv", "subtract", "send", "recv", "exp", "send"],
    }
    assert not any(edge.lent for edge in made.edges[1:])


def test_variables_stay_on_their_devices() -> None:
    v, w = ef.Variable(X, name="v", device="cpu:1"), ef.Variable(X, name="w", device="cpu:2")
    f = Builder()
    x = f.parameter((3,))
    one, two = f.read(v), f.read(w)
    one.device, two.device = D1, D2
    f.assign(v, f.op("add", two, x))
    f.assign(w, f.op("multiply", one, x))
    graph = f.graph(x)
    made = ran(graph, placed(graph), X / 2)
    assert shown(made)["cpu:1"] == ["read_variable", "send", "recv", "assign_variable"]
    assert shown(made)["cpu:2"] == ["read_variable", "send", "recv", "assign_variable"]


def called_back() -> tuple[Graph, list[Any], ef.Variable]:
    """Return a graph with a callback between two assignments to what it looks at."""
    w = ef.Variable(X, name="w")
    log: list[Any] = []

    def look(tensor: ef.Tensor) -> tuple[()]:
        log.append((tensor.device, bits(tensor.numpy()), bits(w.numpy())))
        return ()

    f = Builder()
    x = f.parameter((3,))
    f.assign(w, f.op("exp", x))
    f.callback(look, x)
    f.assign(w, f.op("tanh", x))
    return f.graph(f.read(w)), log, w


def test_what_waits_for_other_devices_is_told() -> None:
    graph, log, _ = called_back()
    made = ran(graph, placed(graph, py_function=D1), X)
    assert log[0] == log[1], "callbacks see their arguments where the program has them"
    here = ["parameter", "send", "exp", "assign_variable", "send", "tanh", "recv", "assign_variable", "read_variable"]
    assert shown(made) == {"cpu:0": here, "cpu:1": ["recv", "recv", "py_function", "send"]}
    assert [(edge.spec, edge.name) for edge in made.edges[1:]] == [(None, "!0"), (None, "!1")]
    first, second = [node for node in part_of(made, D0).graph.nodes if node.op is ASSIGN]
    told = [node for node in part_of(made, D0).graph.nodes if node.op is RECV]
    # The part alone has to say that the one comes after the other: the way round leads through another device.
    assert second.control == (*told, first)


def test_callbacks_get_and_give_tensors_where_the_program_has_them() -> None:
    seen = []

    def double(x: ef.Tensor, y: ef.Tensor) -> list[ef.Tensor]:
        seen.append((x.device, y.device))
        return [ef.asarray(x.numpy() + y.numpy(), device="cpu:2")]

    f = Builder()
    x, y = f.parameter((3,)), f.parameter((3,), name="y")
    y.device = D1
    z = f.callback(double, x, y, specs=[x.spec])
    graph = f.graph(f.op("exp", z))
    made = ran(graph, placed(graph, py_function=D3), X, X)
    assert seen == [(D0, D1)] * 2
    node = next(node for node in part_of(made, D3).graph.nodes if node.op is CALLBACK)
    assert node.attrs["function"](ef.asarray(X), ef.asarray(X))[0].device is D3
    assert "function=test_callbacks_get" in str(made)


def test_values_that_pass_anyway_tell_that_their_node_has_run() -> None:
    w = ef.Variable(X, name="w")
    f = Builder()
    before = f.read(w)
    f.callback(print)
    graph = f.graph(f.op("exp", before))
    made = partition(graph, placed(graph, exp=D1, py_function=D1), {})
    verify_parts(made)
    assert [edge.spec for edge in made.edges] == [before.spec, before.spec]
    assert shown(made)["cpu:1"] == ["recv", "py_function", "exp", "send"]
    received, called = part_of(made, D1).graph.nodes[:2]
    assert called.control == (received,)


def test_no_edge_where_a_path_of_values_keeps_the_order() -> None:
    w = ef.Variable(X, name="w")
    f = Builder()
    before = f.read(w)
    seen = f.op("negative", f.op("exp", before))
    f.callback(lambda x: (), seen)
    made = partition(graph := f.graph(), placed(graph, exp=D1, negative=D2, py_function=D3), {})
    verify_parts(made)
    assert [edge.spec for edge in made.edges] == [before.spec] * 3
    assert next(node for node in part_of(made, D3).graph.nodes if node.op is CALLBACK).control == ()


def test_one_edge_tells_all_that_wait_on_a_device() -> None:
    f = Builder()
    x = f.parameter((3,))
    first = f.op("exp", x).node
    for name in ("tanh", "square", "negative"):
        f.op(name, x).node.control = (first,)
    graph = f.graph(*[node.outputs[0] for node in f.nodes[2:]])
    made = ran(graph, placed(graph, tanh=D1, square=D1, negative=D2), X)
    assert [(e.target, e.name) for e in made.edges if e.spec is None] == [(D1, "%0"), (D2, "%0")]
    there = part_of(made, D1).graph.nodes
    told = next(node for node in there if node.op is RECV and not node.outputs)
    assert [node.op.name for node in there if told in node.control] == ["tanh", "square"]


def test_one_edge_tells_of_all_that_a_node_waits_for_on_a_device() -> None:
    here, there = [ef.Variable(X) for _ in range(3)], ef.Variable(X, device="cpu:2")
    f = Builder()
    for variable in (*here, there):
        f.read(variable).device = variable.device
    f.callback(lambda: ())
    graph = f.graph()
    made = partition(graph, placed(graph, py_function=D1), {})
    verify_parts(made)
    assert [(edge.source, edge.target, edge.name) for edge in made.edges] == [(D0, D1, "%2"), (D2, D1, "%3")]
    *reads, word = part_of(made, D0).graph.nodes
    assert word.op is SEND and list(word.control) == reads
    assert shown(made)["cpu:1"] == ["recv", "recv", "py_function"]


def test_what_waits_for_a_move_waits_for_what_is_moved() -> None:
    f = Builder()
    x = f.parameter((3,))
    y = f.op("exp", x)
    moved = f.node(OPS["to_device"], (y,), {"device": D1}, [y.spec], (f.op("square", x).node,))
    moved.device = D1
    f.op("tanh", x).node.control = (moved.node,)
    graph = f.graph(f.nodes[-1].outputs[0])
    made = ran(graph, placed(graph, tanh=D2), X)
    (word,) = [node for node in part_of(made, D0).graph.nodes if node.op is SEND and not node.inputs]
    assert sorted(node.op.name for node in word.control) == ["exp", "square"]


def test_constants_and_arguments_are_not_waited_for() -> None:
    f = Builder()
    x, c = f.parameter((3,)), f.constant(1.0)
    f.op("exp", x).node.control = (c.node, x.node)
    graph = f.graph(f.nodes[-1].outputs[0])
    made = ran(graph, placed(graph, exp=D1), X)
    assert [edge.spec for edge in made.edges] == [x.spec, x.spec]


# --- lent memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lent", "make"),
    [
        (True, lambda f, x: f.op("reshape", x, shape=(3, 2))),
        (True, lambda f, x: f.op("permute_dims", f.op("expand_dims", x, axis=(0,)), axes=(0, 2, 1))),
        (True, lambda f, x: f.op("reshape", f.constant(np.ones((2, 3))), shape=(3, 2))),
        (True, lambda f, x: f.op("stop_gradient", x)),
        (True, lambda f, x: f.op("clip", x, None, 2.0)),
        (False, lambda f, x: f.op("exp", x)),
        (False, lambda f, x: f.op("reshape", f.op("add", x, 1.0), shape=(3, 2))),
        (False, lambda f, x: f.op("sum", x, axis=(0,), keepdims=False)),
        (False, lambda f, x: f.op("matmul", x, f.op("permute_dims", x, axes=(1, 0)))),
        (False, lambda f, x: f.callback(lambda y: [y], x, specs=[x.spec])),
        (False, lambda f, x: f.fused(fusable(views=False), x)),
        (True, lambda f, x: f.fused(fusable(views=True), x)),
    ],
)
def test_edges_say_what_may_lie_in_memory_of_arguments(lent: bool, make: Callable[..., Any]) -> None:
    f = Builder()
    made = make(f, f.parameter((2, 3)))
    graph = f.graph(f.op("negative", made))
    edge = partition(graph, placed(graph, negative=D1), {}).edges[0]
    assert edge.lent is lent


def fusable(views: bool) -> Graph:
    body = Builder("body")
    x = body.parameter((2, 3), name="a")
    y = x if views else body.op("exp", x)
    return body.graph(body.op("expand_dims", y, axis=(0,)))
