"""The executor: parts of graphs on several devices give what one plan gives, and whatever goes wrong, runs end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import eagerflow as ef
from eagerflow.capture import timeline
from eagerflow.capture.executor.rendezvous import Rendezvous, Stopped
from eagerflow.capture.graph import FUSED
from eagerflow.capture.kernels import available
from eagerflow.capture.options import Options
from eagerflow.capture.plan import Plan
from graphs import Builder, bits
from kinds import FAR
from scattered import SIZE, VECTOR, Scattered, arrays_of, assigning, cpus, executor_of, on_host, quiet
from strict import STRICT
from watchdog import watched


@pytest.fixture(autouse=True)
def logical_devices() -> Iterator[None]:
    """Divide the host into four devices."""
    ef.config.set_logical_devices("cpu", 4)
    yield
    ef.config.set_logical_devices("cpu", 1)


# --- the rendezvous -----------------------------------------------------------------------------


@watched
def test_a_value_meets_its_receiver_whoever_comes_first() -> None:
    meeting = Rendezvous()
    meeting.put(3, "early")
    meeting.put(4, None)
    assert meeting.take(3) == "early" and meeting.take(4) is None
    found = []
    thread = threading.Thread(target=lambda: found.append(meeting.take(5)))
    thread.start()
    while meeting.waiting() != [5]:
        time.sleep(0)
    meeting.put(5, "late")
    thread.join()
    assert found == ["late"] and len(meeting) == 0


@watched
def test_values_meet_their_receivers_at_any_speed() -> None:
    meeting, count = Rendezvous(), 20_000
    found: list[int] = []

    def take() -> None:
        found.extend(meeting.take(i) for i in range(count))

    thread = threading.Thread(target=take)
    thread.start()
    for i in range(count):
        meeting.put(i, i)
    thread.join()
    assert found == list(range(count)) and len(meeting) == 0


@watched
def test_whoever_waits_wakes_when_a_step_is_cancelled() -> None:
    for _ in range(200):
        meeting = Rendezvous()
        stopped: list[int] = []

        def take(edge: int, meeting: Rendezvous = meeting, stopped: list[int] = stopped) -> None:
            with pytest.raises(Stopped):
                meeting.take(edge)
            stopped.append(edge)

        threads = [threading.Thread(target=take, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        meeting.cancel()
        for thread in threads:
            thread.join()
        assert sorted(stopped) == [0, 1, 2]
        with pytest.raises(Stopped):
            meeting.put(7, "too late")
        with pytest.raises(Stopped):
            meeting.take(7)


# --- the same as one plan -----------------------------------------------------------------------


@given(seed=st.integers(0, 10**9), count=st.integers(2, 4), steps=st.integers(1, 5), together=st.booleans())
@settings(max_examples=100)
@watched
def test_parts_give_what_one_plan_gives(seed: int, count: int, steps: int, together: bool) -> None:
    program = Scattered(seed, cpus(count))
    plan = Plan(program.graph, {})
    inputs = [arrays_of(seed + i) for i in range(steps)]
    with np.errstate(all="ignore"):
        program.reset()
        expected = [[bits(x) for x in plan.run(arrays)] for arrays in inputs]
        state = program.state(together)
        program.reset()
        executor = program.executor()
        if together:
            several = [executor.submit(arrays) for arrays in inputs]
            made = [future.result() for future in several]
        else:
            made = [executor.run(arrays) for arrays in inputs]
    # Only now: what is returned stays as it was returned.
    assert [[bits(x) for x in results] for results in made] == expected
    assert program.state(together) == state
    quiet()


@pytest.mark.parametrize("seed", [6, 12, 24])
@watched
def test_parts_of_fused_graphs(seed: int) -> None:
    program = Scattered(seed, cpus(), nodes=20, fused=True)
    inputs = [arrays_of(seed + i) for i in range(3)]
    assert any(node.op is FUSED for node in program.graph.nodes) or not available()
    program.reset()
    expected = [[bits(x) for x in Plan(program.graph, {}).run(arrays)] for arrays in inputs]
    state = program.state()
    program.reset()
    executor = program.executor()
    assert [[bits(x) for x in executor.run(arrays)] for arrays in inputs] == expected
    assert program.state() == state


@pytest.mark.parametrize("kind", [FAR, STRICT], ids=["far", "strict"])
@given(seed=st.integers(0, 10**9), steps=st.integers(1, 3))
@settings(max_examples=60)
@watched
def test_devices_with_arrays_of_their_own(kind: Any, seed: int, steps: int) -> None:
    devices = [*cpus(2), *[ef.devices.find(f"{kind.name}:{i}") for i in range(2)]]
    program = Scattered(seed, devices)
    executor = program.executor()
    inputs = [program.arrays(seed + i) for i in range(steps)]
    with np.errstate(all="ignore"):
        program.reset()
        made = [future.result() for future in [executor.submit(arrays) for arrays in inputs]]
        state = program.state(together=True)
        reference = Scattered(seed, cpus(4))
        plan = Plan(reference.graph, {})
        reference.reset()
        expected = [plan.run(reference.arrays(seed + i)) for i in range(steps)]
    for results in made:
        assert [type(x) for x in results] == [value.device.kind.array_type for value in program.graph.outputs]
    assert [[bits(on_host(x)) for x in results] for results in made] == [[bits(x) for x in r] for r in expected]
    assert state == reference.state(together=True)


# --- memory -------------------------------------------------------------------------------------


@watched
def test_large_arrays_cross_between_logical_devices_without_a_copy() -> None:
    here, there = cpus(2)
    v = ef.Variable(np.zeros(1 << 22, "float32"))
    f = Builder()
    read = f.read(v)
    turned = f.op("flip", read, axis=(0,))
    turned.device = there
    graph = f.graph(turned)
    (found,) = executor_of(graph, {read.node: here, turned.node: there}).run([])
    assert np.shares_memory(found, v._value._held)


@watched
def test_an_argument_that_crosses_is_copied_before_it_is_returned() -> None:
    here, there = cpus(2)
    f = Builder()
    x = f.parameter((SIZE,))
    turned = f.op("flip", x, axis=(0,))
    turned.device = there
    array = np.arange(SIZE) * 1.0
    (found,) = executor_of(f.graph(turned), {x.node: here, turned.node: there}).run([array])
    assert not np.shares_memory(found, array) and bits(found) == bits(array[::-1])


@pytest.mark.parametrize("size", [SIZE, 1 << 16])
@watched
def test_what_was_sent_is_not_written_over(size: int) -> None:
    """The next step updates the Variable while the receiver of the last one still looks at it."""
    here, there = cpus(2)
    v = ef.Variable(np.zeros(size))
    looked = threading.Event()
    seen = []

    def look(x: Any) -> list[Any]:
        looked.wait()
        seen.append(bits(x.numpy()))
        return []

    f = Builder()
    new = f.op("add", f.read(v), 1.0)
    f.assign(v, new)
    turned = f.op("flip", new, axis=(0,))
    f.callback(look, turned)
    graph = f.graph()
    where = {node: there if node in (turned.node, graph.nodes[-1]) else here for node in graph.nodes}
    executor = executor_of(graph, where)
    assert len(executor.partitioned.edges) <= 2
    several = [executor.submit([]) for _ in range(4)]
    other = Builder()
    other.assign(v, other.op("add", other.read(v), 1.0))
    updates = executor_of(other.graph(), dict.fromkeys(other.nodes, here))
    for _ in range(4):
        updates.submit([])
    updates.submit([]).result()
    looked.set()
    for future in several:
        future.result()
    assert seen == [bits(np.full(size, i + 1.0)) for i in range(4)]
    assert (v.numpy() == 9).all()


# --- where it runs ------------------------------------------------------------------------------


@watched
def test_a_single_part_runs_in_the_thread_of_its_caller() -> None:
    found: list[Any] = []
    f = Builder()

    def note() -> list[Any]:
        found.append(threading.current_thread())
        return []

    f.callback(note)
    executor_of(f.graph(), dict.fromkeys(f.nodes, cpus()[0])).run([])
    executor_of(f.graph(), dict.fromkeys(f.nodes, cpus()[1])).submit([]).result()
    assert found[0] is threading.current_thread()
    assert found[1].name == "eagerflow cpu:1" and found[1].daemon


@watched
def test_a_part_sees_what_its_caller_has_set() -> None:
    f = Builder()
    x = f.parameter((SIZE,))
    y = f.op("log", x)
    found = []

    def note(t: Any) -> list[Any]:
        found.append(ef.devices.current())
        return [t]

    called = f.callback(note, y, specs=VECTOR)
    here, there = cpus(2)
    executor = executor_of(f.graph(called), {x.node: here, y.node: there, called.node: there})
    with np.errstate(all="ignore"), ef.device("cpu:3"):
        executor.run([-np.ones(SIZE)])
    assert found == [ef.devices.find("cpu:3")]
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        executor.run([-np.ones(SIZE)])


@watched
def test_several_callers_at_once() -> None:
    program = Scattered(11, cpus(), nodes=20, callbacks=False)
    graph = program.graph
    inputs = [arrays_of(i) for i in range(8)]
    pure = [node for node in graph.nodes if node.effects == "none"]
    assert pure
    f = Builder()
    x, y = f.parameter((SIZE,)), f.parameter((SIZE,))
    values = [x, y]
    for i in range(12):
        values.append(f.op("add" if i % 2 else "multiply", values[-1], values[-2]))
    where = {node: cpus()[0 if node.op.name == "parameter" else i % 4] for i, node in enumerate(f.nodes)}
    executor = executor_of(f.graph(*values[-3:]), where)
    plan = Plan(f.graph(*values[-3:]), {})
    expected = [[bits(a) for a in plan.run(arrays)] for arrays in inputs]
    wrong = []

    def work(which: int) -> None:
        for _ in range(50):
            if [bits(a) for a in executor.run(inputs[which])] != expected[which]:
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    quiet()


@watched
def test_a_callback_may_run_a_graph_on_the_same_devices() -> None:
    here, there = cpus(2)
    inner = Builder()
    x = inner.parameter((SIZE,))
    doubled = inner.op("add", x, x)
    once_more = inner.op("add", doubled, 1.0)
    inside = executor_of(inner.graph(once_more), {x.node: here, doubled.node: there, once_more.node: here})
    outer = Builder()
    y = outer.parameter((SIZE,))
    called = outer.callback(lambda t: [ef.asarray(inside.run([t.numpy()])[0])], y, specs=VECTOR)
    last = outer.callback(lambda t: [ef.asarray(inside.submit([t.numpy()]).result()[0])], called, specs=VECTOR)
    graph = outer.graph(last)
    executor = executor_of(graph, {y.node: here, called.node: there, last.node: here})
    several = [executor.submit([np.full(SIZE, float(i))]) for i in range(10)]
    for i, future in enumerate(several):
        assert (future.result()[0] == 4 * i + 3).all()
    assert not [t.name for t in threading.enumerate() if "nested" in t.name and t.is_alive() and not t.daemon]


@watched
def test_a_graph_without_anything() -> None:
    executor = executor_of(Builder().graph(), {})
    assert executor.run([]) == [] and executor.submit([]).result() == []


# --- what is noted ------------------------------------------------------------------------------


@watched
def test_a_timeline_gets_every_node_and_every_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    executor, _ = assigning(lambda x: [x], Options())
    noted = timeline.Timeline()
    monkeypatch.setattr(timeline, "current", noted)
    executor.run([])
    assert sorted(repr(step.device) for step in noted.steps) == ["cpu:0", "cpu:1"]
    assert len({step.number for step in noted.steps} | {t.number for t in noted.transfers}) == 1
    assert sorted(t.edge.number for t in noted.transfers) == [e.number for e in executor.partitioned.edges]
    assert {t.nbytes for t in noted.transfers} <= {0, SIZE * 8}
    for step in noted.steps:
        assert len(step.nodes) == len(step.starts) == len(step.ends)
        flat = [t for pair in zip(step.starts, step.ends, strict=True) for t in pair]
        assert flat == sorted(flat) and flat[0] > 0


@watched
def test_large_arrays_travel_aside_between_devices_without_a_common_memory() -> None:
    far = ef.devices.find("far:0")
    here = cpus()[0]
    names = []

    class Watched(timeline.Timeline):
        def transfer(self, *args: Any) -> None:
            names.append(threading.current_thread().name)

    f = Builder()
    x = f.parameter((1 << 14,))
    y = f.op("negative", x)
    z = f.op("add", y, 1.0)
    executor = executor_of(f.graph(z), {x.node: here, y.node: far, z.node: here})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeline, "current", Watched())
        (found,) = executor.run([np.ones(1 << 14)])
    assert (found == 0).all() and type(found) is np.ndarray
    assert names == ["eagerflow cpu:0 -> far:0", "eagerflow far:0 -> cpu:0"]

    def fail(array: Any) -> Any:
        raise MemoryError("full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(far.kind), "to_host", lambda self, array: fail(array))
        with pytest.raises(MemoryError, match="full") as caught:
            executor.run([np.ones(1 << 14)])
    assert "far:0 to cpu:0" in caught.value.__notes__[0] and "program.py:2" in caught.value.__notes__[0]
    assert (executor.run([np.zeros(1 << 14)])[0] == 1).all()


@watched
def test_a_kind_may_copy_while_both_devices_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def start(self: Any, array: Any, index: int) -> Any:
        calls.append(("start", index))
        return [self.copy(array, index)]

    def finish(self: Any, flight: Any) -> Any:
        calls.append(("finish",))
        return flight[0]

    monkeypatch.setattr(type(FAR), "start_copy", start, raising=False)
    monkeypatch.setattr(type(FAR), "finish_copy", finish, raising=False)
    one, other = [ef.devices.find(f"far:{i}") for i in range(2)]
    f = Builder()
    x = f.parameter((SIZE,))
    y = f.op("negative", x)
    z = f.op("add", y, 1.0)
    executor = executor_of(f.graph(z), {x.node: cpus()[0], y.node: one, z.node: other})
    assert (executor.run([np.ones(SIZE)])[0] == 0).all()
    assert calls == [("start", 1), ("finish",)]
