"""Traces of what ran when: the file that is written, and what is asked of it by the viewers that read it."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.capture import timeline
from eagerflow.capture.events import document
from eagerflow.capture.executor import Executor
from eagerflow.capture.graph import CONSTANT, PARAMETER, RECV, SEND, Graph, Node
from eagerflow.capture.origins import Origins, moved, named
from eagerflow.capture.page.data import contents
from eagerflow.capture.partition import Edge, Part, partition
from eagerflow.capture.plan import Plan
from eagerflow.capture.plan.batches import BATCH
from eagerflow.capture.profile import Profile
from eagerflow.capture.timeline import Timeline
from eagerflow.capture.view import view_of_parts
from eagerflow.core import Spec, registry
from eagerflow.devices import CPU0, numbered
from kernels_off import kernels_off
from page_graphs import FIRST, SECOND, Step, TwoDevices

NEEDED = {"M": {"args"}, "X": {"ts", "dur", "cat"}, "s": {"ts", "id", "cat"}, "t": {"ts", "id", "cat"},
          "f": {"ts", "id", "cat", "bp"}}  # fmt: skip


def checked(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Check what the format asks for, that slices of a row nest, and that arrows lead from slice to slice."""
    rows: dict[int, list[tuple[float, float]]] = {}
    flows: dict[Any, list[dict[str, Any]]] = {}
    titles = [event["tid"] for event in events if event["name"] == "thread_name"]
    assert len(titles) == len(set(titles))
    for event in events:
        assert {"name", "ph", "pid", "tid"} | NEEDED[event["ph"]] <= set(event), event
        if event["ph"] == "X":
            assert event["ts"] >= 0 and event["dur"] >= 0 and event["tid"] in titles
            rows.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] in "stf":
            flows.setdefault((event["cat"], event["id"]), []).append(event)
    for spans in rows.values():
        for i, (a, b) in enumerate(spans):
            for c, d in spans[:i]:
                apart = b <= c + 1e-6 or d <= a + 1e-6
                inside = (c <= a and b <= d + 1e-6) or (a <= c and d <= b + 1e-6)
                assert apart or inside, "slices of a row stand apart or one in the other"
    for ends in flows.values():
        assert [end["ph"] for end in ends] == ["s", *"t" * (len(ends) - 2), "f"]
        assert [end["ts"] for end in ends] == sorted(end["ts"] for end in ends)
        for end in ends:
            assert any(a - 1e-6 <= end["ts"] <= b + 1e-6 for a, b in rows[end["tid"]]), "an arrow ends at a slice"
    json.dumps(events, allow_nan=False)
    return events


def titles(events: list[dict[str, Any]]) -> list[str]:
    """Return the names of the rows, from top to bottom."""
    order = {event["tid"]: event["args"]["sort_index"] for event in events if event["name"] == "thread_sort_index"}
    named_rows = [event for event in events if event["name"] == "thread_name"]
    return [event["args"]["name"] for event in sorted(named_rows, key=lambda event: order[event["tid"]])]


def slices(events: list[dict[str, Any]], kind: str = "node") -> list[dict[str, Any]]:
    """Return the slices of a kind."""
    return [event for event in events if event["ph"] == "X" and event["cat"] == kind]


def noted(two: TwoDevices, steps: int = 1) -> Timeline:
    """Return what the two devices tell of some steps, 200 µs apart."""
    made = Timeline()
    for number in range(steps):
        for device in FIRST, SECOND:
            mine = [(node, a, b) for name, node, a, b in two.view.slices if name == repr(device)]
            nodes = [two.x.node, *[node for node, _, _ in mine]]
            starts = [mine[0][1], *[a for _, a, _ in mine]]
            later = number * 200e-6
            starts, ends = [t + later for t in starts], [t + later for t in (mine[0][1], *[b for _, _, b in mine])]
            made.step(device, number, nodes, starts, ends, name="two")
            for node, _, end in mine:
                if node.op is SEND:
                    made.transfer(node.attrs["edge"], number, 8192, end + later, end + later + 3e-6)
    return made


def test_a_row_for_each_device_and_channel() -> None:
    events = checked(document(noted(TwoDevices(), 2), 5.0)["traceEvents"])
    assert titles(events) == ["cpu:0", "cpu:1", "cpu:0 → cpu:1", "cpu:1 → cpu:0"]
    assert [event["args"] for event in events if event["name"] == "process_name"] == [{"name": "eagerflow"}]
    assert [event["name"] for event in slices(events, "step")] == ["two 0", "two 1"] * 2
    assert [(event["ts"], event["dur"]) for event in slices(events, "step")[:2]] == [(0, 140), (200, 140)]


def test_a_slice_tells_op_shapes_dtypes_bytes_scope_line_and_step() -> None:
    two = TwoDevices()
    events = checked(document(noted(two, 2), 5.0)["traceEvents"])
    (tanh, *_), size = [e for e in slices(events) if e["name"] == "tanh" and e["args"]["step"] == 1], 32 * 64 * 4
    assert tanh["args"] == {
        "op": "tanh", "shapes": "[32, 64] → [32, 64]", "dtypes": "float32 → float32", "bytes": 2 * size,
        "scope": "model/second", "line": "model.py:9: t = ef.tanh(h)", "step": 1,
    }  # fmt: skip
    assert (tanh["ts"], tanh["dur"]) == (225, 50)
    assert not [e for e in slices(events) if e["args"]["op"] in ("parameter", "constant")]


def test_arrows_lead_from_send_over_the_transfer_to_recv() -> None:
    events = checked(document(noted(TwoDevices(), 3), 5.0)["traceEvents"])
    rows = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    ends = [(rows[e["tid"]], e["ph"]) for e in events if e["ph"] in "stf"]
    there = [("cpu:0", "s"), ("cpu:0 → cpu:1", "t"), ("cpu:1", "f")]
    back = [("cpu:1", "s"), ("cpu:1 → cpu:0", "t"), ("cpu:0", "f")]
    assert ends == there * 3 + back * 3
    assert {e["args"]["bytes"] for e in slices(events, "transfer")} == {8192}
    assert [e["name"] for e in slices(events, "transfer")] == ["h"] * 3 + ["s"] * 3


def test_steps_that_run_at_once_on_a_device_have_rows_of_their_own() -> None:
    node, made = TwoDevices().t.node, Timeline()
    for start, end in (1.0, 1.5), (1.2, 1.4), (1.4, 1.8), (1.5, 1.6):
        made.step(CPU0, 0, [node], [start], [end])
    events = checked(document(made, 1.0)["traceEvents"])
    assert titles(events) == ["cpu:0", "cpu:0 (2)"]
    assert [e["tid"] for e in slices(events)] == [1, 1, 2, 2]


def test_a_step_that_failed_shows_what_ran() -> None:
    two, made = TwoDevices(), Timeline()
    made.step(CPU0, 0, [two.t.node, two.u.node, two.v.node], [1.0, 1.1, 0.0], [1.1, 0.0, 0.0])
    made.step(CPU0, 1, [two.t.node], [0.0], [0.0])
    made.step(CPU0, 2, [], [], [])
    events = checked(document(made, 1.0)["traceEvents"])
    assert [e["name"] for e in slices(events)] == ["tanh"]
    assert [e["name"] for e in slices(events, "step")] == ["step 0"]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 5_000),
            st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=5),
        ),
        max_size=12,
    ),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 5_000), st.integers(0, 200)), max_size=12),
)
def test_whatever_ran_when_slices_nest_and_arrows_meet_slices(steps: Any, transfers: Any) -> None:
    made = Timeline()
    node = TWO.t.node
    for number, (index, begin, gaps) in enumerate(steps):
        starts, ends, now = [], [], 7 + begin * 1e-7
        for wait, work in gaps:
            starts.append(now + wait * 1e-8)
            now = starts[-1] + work * 1e-8
            ends.append(now)
        made.step(numbered(CPU0.kind, index), number, [node] * len(gaps), starts, ends)
    for number, (source, target, begin, took) in enumerate(transfers, len(steps)):
        edge = Edge(number, numbered(CPU0.kind, source), numbered(CPU0.kind, target), None, "")
        start, end = 7 + begin * 1e-7, 7 + (begin + took) * 1e-7
        made.step(edge.source, number, [Node(SEND, (), {"edge": edge}, ())], [start - 1e-7], [start])
        made.step(edge.target, number, [Node(RECV, (), {"edge": edge}, ())], [start - 1e-6], [end + 1e-8])
        made.transfer(edge, number, 0, start, end)
    events = checked(document(made, 7.0)["traceEvents"])
    assert len(slices(events)) == sum(len(gaps) for _, _, gaps in steps) + 2 * len(transfers)
    assert len(slices(events, "transfer")) == len(transfers)
    assert len([e for e in events if e["ph"] == "f"]) == len(transfers)


TWO = TwoDevices()


def test_symbolic_lengths_are_told_as_numbers() -> None:
    concrete = ef.function(lambda x: ef.tanh(x)).get_concrete_function(ef.TensorSpec([None, 3], "float32"))
    made, node = Timeline(), concrete.graph.nodes[-1]
    (name,) = [str(side) for side in concrete.graph.inputs[0].shape if type(side) is not int]
    for number, length in enumerate((5, 7)):
        made.step(CPU0, number, [node], [1.0 + number], [1.5 + number], lengths={name: length})
    told = [e["args"] for e in slices(document(made, 1.0)["traceEvents"])]
    assert [(e["shapes"], e["bytes"]) for e in told] == [("[5, 3] → [5, 3]", 120), ("[7, 3] → [7, 3]", 168)]


def test_a_block_writes_a_file_even_if_an_error_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"

    def work() -> None:
        assert timeline.current is not None
        timeline.current.step(CPU0, 0, [TWO.t.node], [1.0], [1.5])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), ef.profiler.trace(path):
        work()
    assert timeline.current is None
    assert [e["name"] for e in slices(checked(json.loads(path.read_text())["traceEvents"]))] == ["tanh"]


def test_a_name_that_ends_in_gz_is_compressed(tmp_path: Path) -> None:
    path = tmp_path / "trace.json.gz"
    with ef.profiler.trace(str(path)):
        pass
    told = json.loads(gzip.decompress(path.read_bytes()))
    assert [event["name"] for event in told["traceEvents"]] == ["process_name"]


def test_there_is_one_trace_at_a_time(tmp_path: Path) -> None:
    with ef.profiler.trace(tmp_path / "outer.json"):
        outer = timeline.current
        with pytest.raises(ef.errors.CaptureError, match="one at a time"), ef.profiler.trace(tmp_path / "inner.json"):
            pass
        failed: list[BaseException] = []

        def other() -> None:
            try:
                with ef.profiler.trace(tmp_path / "thread.json"):
                    pass
            except ef.errors.CaptureError as error:
                failed.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert len(failed) == 1
        assert timeline.current is outer
    assert [path.name for path in tmp_path.iterdir()] == ["outer.json"]
    with ef.profiler.trace(tmp_path / "later.json"):
        pass


def test_a_file_that_cannot_be_written_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    ran = []
    with pytest.raises(FileNotFoundError), ef.profiler.trace(tmp_path / "missing" / "trace.json"):
        ran.append(1)
    assert not ran and timeline.current is None


# --- what the nodes of plans are called, and whose they are ---------------------------------------------------


def updates(count: int = 3) -> Any:
    """Return a captured function whose plan runs several fused groups as one, with its arguments."""
    variables = [ef.Variable(ef.ones((50 * (i + 1), 40), dtype="float32")) for i in range(count)]

    @ef.function
    def step(*gradients: Any) -> Any:
        for v, g in zip(variables, gradients, strict=True):
            v.assign_sub(0.1 * g + 0.01 * v)
        return ef.sum(variables[0] @ ef.ones((40, 2), dtype="float32"))

    gradients = [ef.ones(v.shape, dtype="float32") for v in variables]
    return step.get_concrete_function(*gradients), gradients


def fused(concrete: Any) -> bool:
    """Tell whether there are kernels for fused groups here."""
    return any(node.op.name == "fused" for node in concrete.optimized_graph.nodes)


def test_fused_nodes_and_batches_tell_what_is_inside() -> None:
    concrete, gradients = updates()
    names = {named(node) for node in concrete.profile(*gradients).times}
    if fused(concrete):
        assert any(name.startswith("3 × fused(multiply, ") for name in names), names
    else:
        assert {"multiply", "matmul"} <= names
    two = [Node(registry()["tanh"], [], {}, [(Spec((), "float32"), CPU0)]) for _ in range(2)]
    assert named(Node(BATCH, [], {"groups": two}, [])) == "2 × tanh"
    assert named(TWO.t.node) == "tanh"


def test_seconds_of_a_batch_are_divided_among_its_groups_by_their_bytes() -> None:
    concrete, gradients = updates()
    profile = concrete.profile(*gradients)
    graph = concrete.optimized_graph
    seconds = profile.by_node(graph)
    assert set(seconds) <= set(graph.nodes) and list(seconds) == [node for node in graph.nodes if node in seconds]
    assert sum(seconds.values()) == pytest.approx(profile.total)
    batches = [node for node in profile.times if node.op is BATCH]
    assert len(batches) == fused(concrete)
    groups = [node for node in graph.nodes if node.op.name == "fused" and len(node.outputs[0].shape) == 2]
    for batch in batches:
        assert sum(seconds[node] for node in groups) == pytest.approx(profile.times[batch])
        share = [moved(node, {}) for node in groups]
        assert [seconds[node] / profile.times[batch] for node in groups] == pytest.approx(
            [size / sum(share) for size in share]
        )


def test_nodes_of_plans_are_found_in_the_graph_whatever_was_done_to_them() -> None:
    concrete, _ = updates()
    graph = concrete.optimized_graph
    plan = Plan(graph, {})
    origins = Origins(graph)
    found = origins.of([step.node for step in plan.steps])
    assert {origins.holder(node) or node for node in found.values()} == set(graph.nodes)
    for copy, origin in found.items():
        assert (copy.op, copy.line, [v.spec for v in copy.outputs]) == (
            origin.op, origin.line, [v.spec for v in origin.outputs],
        )  # fmt: skip


def test_nodes_of_parts_are_found_by_what_the_part_says() -> None:
    copies = {node: node.replaced(node.inputs, attrs=dict(node.attrs)) for node in TWO.graph.nodes}
    part = Part(CPU0, Graph("part", [], [], copies.values()), (), (), {copy: node for node, copy in copies.items()})
    assert Origins(TWO.graph).of(copies.values()) == {}
    assert Origins(TWO.graph, [part]).of(copies.values()) == {copy: node for node, copy in copies.items()}
    again = [copy.replaced(copy.inputs) for copy in copies.values()]
    assert list(Origins(TWO.graph, [part]).of(again).values()) == list(TWO.graph.nodes)


def test_a_profile_names_devices_where_there_are_several() -> None:
    def on(device: Any, name: str) -> Node:
        return Node(registry()[name], (), {}, [(Spec((2,), "float32"), device)])

    text = repr(Profile("f", {on(FIRST, "tanh"): 1e-6, on(SECOND, "exp"): 3e-6}))
    assert text.splitlines()[0] == "f: 4 µs in 2 nodes on cpu:0, cpu:1"
    assert [line.split()[4:6] for line in text.splitlines()[1:]] == [["cpu:1", "exp"], ["cpu:0", "tanh"]]
    alone = repr(Profile("f", {on(FIRST, "tanh"): 1e-6}))
    assert "cpu" not in alone


def test_a_parameter_is_not_an_origin_inside_a_group() -> None:
    concrete, _ = updates()
    origins = Origins(concrete.optimized_graph)
    inner = [n for node in concrete.optimized_graph.nodes if node.op.name == "fused" for n in node.attrs["graph"].nodes]
    for node in inner:
        assert (origins.holder(node) is None) == (node.op is PARAMETER)
    assert np.all([origins.holder(node) is None for node in concrete.optimized_graph.nodes])


# --- from real runs -------------------------------------------------------------------------------------------


class Alternating:
    """A small training step whose nodes run on two logical devices in turn."""

    def __init__(self) -> None:
        self.w = ef.Variable(ef.ones((8, 8), dtype="float32"), name="w")

        @ef.function
        def step(x: Any) -> Any:
            with ef.GradientTape() as tape, ef.name_scope("model"):
                h = ef.tanh(x @ self.w)
                loss = ef.mean(ef.sort(h, axis=1) ** 2)
            self.w.assign_sub(0.1 * tape.gradient(loss, self.w))
            return loss

        self.x = ef.ones((4, 8), dtype="float32")
        self.graph = step.get_concrete_function(self.x).optimized_graph
        kept = ("parameter", "read_variable", "assign_variable")
        where = {
            node: FIRST if node.op.name in kept else (FIRST, SECOND)[i % 2] for i, node in enumerate(self.graph.nodes)
        }
        self.partitioned = partition(self.graph, where, {})
        self.plans = [Plan(part.graph, {}) for part in self.partitioned.parts]
        self.executor = Executor(self.partitioned, self.plans)

    def run(self) -> None:
        """Run a step."""
        self.executor.run([self.x.numpy()])


@pytest.fixture
def alternating() -> Iterator[Alternating]:
    """Give a step on two devices."""
    ef.config.set_logical_devices("cpu", 2)
    yield Alternating()
    ef.config.set_logical_devices("cpu", 1)


def test_a_trace_of_real_steps(alternating: Alternating, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    alternating.run()
    with ef.profiler.trace(path):
        for _ in range(3):
            alternating.run()
    alternating.run()
    events = checked(json.loads(path.read_text())["traceEvents"])
    values = [edge for edge in alternating.partitioned.edges if edge.spec is not None]
    assert titles(events)[:2] == ["cpu:0", "cpu:1"]
    assert {title.split(" (")[0] for title in titles(events)[2:]} == {"cpu:0 → cpu:1", "cpu:1 → cpu:0"}
    assert len(slices(events, "step")) == 6
    assert len({event["args"]["step"] for event in slices(events)}) == 3
    assert len(slices(events, "transfer")) == 3 * len(alternating.partitioned.edges) >= 3 * len(values) > 6
    assert [e["ph"] for e in events if e["ph"] in "stf"] == ["s", "t", "f"] * 3 * len(alternating.partitioned.edges)
    ran = sum(s.node.op not in (PARAMETER, CONSTANT) for plan in alternating.plans for s in plan.steps)
    assert len(slices(events)) == 3 * ran
    (matmul, *_) = [e for e in slices(events) if e["name"] == "matmul"]
    assert (matmul["args"]["scope"], matmul["args"]["shapes"]) == ("model", "[4, 8], [8, 8] → [4, 8]")
    assert "x @ self.w" in matmul["args"]["line"]


def test_steps_of_several_threads_have_the_rows_that_they_need(alternating: Alternating, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with ef.profiler.trace(path):
        threads = [threading.Thread(target=alternating.run) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    events = checked(json.loads(path.read_text())["traceEvents"])
    assert len(slices(events, "step")) == 12
    assert {t.split(" (")[0] for t in titles(events)} >= {"cpu:0", "cpu:1"}


def test_the_page_shows_the_whole_graph_of_parts(alternating: Alternating) -> None:
    record = timeline.current = Timeline()
    try:
        alternating.run()
    finally:
        timeline.current = None
    timed = [
        (step.device, node, start, end)
        for step in record.steps
        for node, start, end in zip(step.nodes, step.starts, step.ends, strict=True)
    ]
    times = {node: end - start for _, node, start, end in timed if node.op not in (SEND, RECV)}
    view = view_of_parts(alternating.partitioned, alternating.plans, times, timed)
    assert view.graph is alternating.graph
    told = contents(view)
    assert [node["op"] for node in told["nodes"] if node["inside"] is None] == [n.op.name for n in view.graph.nodes]
    for part in alternating.partitioned.parts:
        for origin in part.origins.values():
            assert origin.op is PARAMETER or repr(part.device) in view.devices[origin]
    assert [plan["device"] for plan in told["plans"]] == ["cpu:0", "cpu:1"]
    for plan, shown in zip(alternating.plans, told["plans"], strict=True):
        assert len(shown["steps"]) == len(plan.steps)
        assert shown["peak"] == plan.memory.peak
    # Each value that is sent has a place on both devices.
    sent = [edge for edge in alternating.partitioned.edges if edge.spec is not None]
    both = [value for value in view.plans["cpu:0"].where if value in view.plans["cpu:1"].where]
    assert len(both) >= len(sent) > 2
    waits = [other for _, number, other, _, _ in told["slices"] if number is None]
    assert sorted(other[0] for other in waits) == ["recv"] * len(waits[::2]) + ["send"] * len(waits[::2])
    assert len(waits) == 2 * len(alternating.partitioned.edges)
    assert sum(view.times[n] for n in view.graph.nodes if n in view.times) == pytest.approx(sum(times.values()))


def layers() -> tuple[Any, Any]:
    """Return a captured model with a layer on each of two devices, and its argument."""
    weights = []
    for d in range(2):
        with ef.device(f"cpu:{d}"):
            weights.append(ef.Variable(ef.ones((16, 16)) / 16, name=f"w{d}"))

    @ef.function
    def model(x: Any) -> Any:
        for d in range(2):
            with ef.device(f"cpu:{d}"), ef.name_scope(f"layer{d}"):
                x = ef.tanh(x @ weights[d])
        return ef.sum(x)

    return model, ef.ones((4, 16))


@pytest.fixture
def two_devices() -> Iterator[None]:
    """Divide the host in two."""
    ef.config.set_logical_devices("cpu", 2)
    yield
    ef.config.set_logical_devices("cpu", 1)


@pytest.mark.usefixtures("two_devices")
def test_a_trace_of_a_captured_function(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    model, x = layers()
    expected = model(x).numpy()
    with ef.profiler.trace(path):
        results = [model(x).numpy() for _ in range(4)]
    np.testing.assert_array_equal(results, [expected] * 4)
    events = checked(json.loads(path.read_text())["traceEvents"])
    assert titles(events)[:3] == ["cpu:0", "cpu:1", "cpu:0 → cpu:1"]
    rows = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    for layer in range(2):
        mine = [e for e in slices(events) if e["args"]["scope"] == f"layer{layer}" and e["name"] == "matmul"]
        assert [rows[e["tid"]] for e in mine] == [f"cpu:{layer}"] * 4
        assert all("x @ weights[d]" in e["args"]["line"] for e in mine)
    assert {e["name"].split()[0] for e in slices(events, "step")} == {"model"}
    sends = {e["args"]["step"] for e in slices(events) if e["name"] == "send"}
    assert len(sends) == 4 and {e["args"]["step"] for e in slices(events, "transfer")} == sends
    assert all(e["dur"] >= 0 for e in slices(events, "transfer"))
    assert {e["args"]["step"] for e in slices(events) if e["name"] == "recv"} == sends


def test_one_device_has_one_row(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    model = ef.function(lambda x: ef.sum(x @ x))
    with ef.profiler.trace(path):
        model(ef.ones((8, 8)))
        model(ef.ones((8, 8)))
    events = checked(json.loads(path.read_text())["traceEvents"])
    assert titles(events) == ["cpu:0"]
    assert [e["name"] for e in slices(events)] == ["matmul", "sum"] * 2
    assert not [e for e in events if e["ph"] in "stf"]


@pytest.mark.usefixtures("two_devices")
def test_a_run_that_fails_leaves_a_trace_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"

    def refuse(x: Any) -> Any:
        if float(x) < 0:
            raise ValueError("too small")
        return x

    @ef.function
    def model(x: Any) -> Any:
        with ef.device("cpu:1"):
            return ef.py_function(refuse, [ef.sum(x)], outputs=ef.TensorSpec([], "float64"))

    with ef.profiler.trace(path):
        model(ef.ones(3))
        with pytest.raises(ValueError, match="too small"):
            model(-ef.ones(3))
        model(ef.ones(3))
    assert timeline.current is None
    events = checked(json.loads(path.read_text())["traceEvents"])
    done = [e["args"]["step"] for e in slices(events) if e["name"] == "py_function"]
    assert len(done) == len(set(done)) == 2


@pytest.mark.usefixtures("two_devices")
def test_a_profile_of_several_devices(tmp_path: Path) -> None:
    model, x = layers()
    concrete = model.get_concrete_function(x)
    profile = concrete.profile(x)
    assert profile.devices == ["cpu:0", "cpu:1"]
    assert {repr(device) for device, *_ in profile.slices} == {"cpu:0", "cpu:1"}
    seconds = profile.by_node(concrete.optimized_graph)
    assert sum(seconds.values()) == pytest.approx(profile.total)
    assert [node.op.name for node in seconds if node.op.name != "fused"].count("matmul") == 2
    concrete.save_html(tmp_path / "page.html")
    (data,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', (tmp_path / "page.html").read_text()
    )
    told = json.loads(data)
    assert {node["device"] for node in told["nodes"]} == {"cpu:0", "cpu:1"}
    assert {name for name, *_ in told["slices"]} == {"cpu:0", "cpu:1"}
    assert [plan["device"] for plan in told["plans"]] == ["cpu:0", "cpu:1"]


def test_a_group_without_a_kernel_took_what_its_operations_took() -> None:
    step = Step()
    with kernels_off():
        plan = Plan(step.graph, {})
    _, starts, ends = plan.run_timed([np.ones((32, 64), "float32")])
    each = zip(plan.steps, starts, ends, strict=True)
    times = {run.node: end - start for run, start, end in each if run.form != "source"}
    assert [node.op.name for node in times if node.op.name in ("tanh", "multiply", "add")][:3] == [
        "tanh",
        "multiply",
        "add",
    ]
    profile = Profile("step", times)
    seconds = profile.by_node(step.graph)
    inner = [
        t for node, t in times.items() if node.line.startswith(("model.py:8", "model.py:9")) or node.op.name == "add"
    ]
    assert len(inner) == 3 and seconds[step.group] == pytest.approx(sum(inner))
    assert sum(seconds.values()) == pytest.approx(profile.total)
