"""The executor: parts of graphs on several devices give what one plan gives, and whatever goes wrong, runs end."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import eagerflow as ef
from eagerflow.capture import timeline
from eagerflow.capture.executor import executor as executor_module
from eagerflow.capture.executor import worker
from eagerflow.capture.executor.rendezvous import Rendezvous, Stopped
from eagerflow.capture.options import Options
from eagerflow.capture.plan import Plan
from eagerflow.ops import Spec
from graphs import Builder, bits
from kinds import FAR
from scattered import SIZE, Scattered, arrays_of, executor_of, on_host
from strict import STRICT
from watchdog import ends, watched

VECTOR = [Spec((SIZE,), "float64")]


@pytest.fixture(autouse=True)
def logical_devices() -> Iterator[None]:
    """Divide the host into four devices."""
    ef.config.set_logical_devices("cpu", 4)
    yield
    ef.config.set_logical_devices("cpu", 1)


def cpus(count: int = 4) -> list[Any]:
    return [ef.devices.find(f"cpu:{i}") for i in range(count)]


def quiet() -> None:
    """Check that no step is left in the queue of any device."""
    assert all(found.tasks.empty() for found in worker._workers.values())


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
        stopped = []

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
        state = program.state()
        program.reset()
        executor = program.executor()
        if together:
            several = [executor.submit(arrays) for arrays in inputs]
            made = [future.result() for future in several]
        else:
            made = [executor.run(arrays) for arrays in inputs]
    # Only now: what is returned stays as it was returned.
    assert [[bits(x) for x in results] for results in made] == expected
    assert program.state() == state
    quiet()


@pytest.mark.parametrize("kind", [FAR, STRICT], ids=["far", "strict"])
@given(seed=st.integers(0, 10**9), steps=st.integers(1, 3))
@settings(max_examples=60)
@watched
def test_devices_with_arrays_of_their_own(kind: Any, seed: int, steps: int) -> None:
    devices = [*cpus(2), *[ef.devices.find(f"{kind.name}:{i}") for i in range(2)]]
    program = Scattered(seed, devices)
    plan = Plan(at_home(seed), {})
    executor = program.executor()
    inputs = [arrays_of(seed + i) for i in range(steps)]
    with np.errstate(all="ignore"):
        program.reset()
        made = [future.result() for future in [executor.submit(arrays) for arrays in inputs]]
        state = program.state()
        reference = Scattered(seed, cpus(4))
        plan = Plan(reference.graph, {})
        reference.reset()
        expected = [plan.run(arrays) for arrays in inputs]
    assert [[bits(on_host(x)) for x in results] for results in made] == [[bits(x) for x in r] for r in expected]
    assert state == reference.state()


def at_home(seed: int) -> Any:
    return Scattered(seed, cpus(4)).graph


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
    f.callback(lambda: [found.append(threading.current_thread())][:0])
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
    called = f.callback(lambda t: [found.append(ef.devices.current())] and [t], y, specs=VECTOR)
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


# --- what goes wrong ----------------------------------------------------------------------------


class Broken:
    """A graph with a callback that fails when it is told to, between other nodes on other devices."""

    def __init__(self, seed: int, failing: int = 1, options: Options | None = None) -> None:
        self.program = Scattered(seed, cpus(), nodes=10, callbacks=False)
        program, builder = self.program, self.program.builder
        self.fails = False
        self.raised: list[Exception] = []
        for i in range(failing):
            node_value = builder.callback(self.fail, program.value(), specs=VECTOR)
            program.where[node_value.node] = cpus()[i]
            program.values.append(node_value)
        for _ in range(8):
            made = getattr(program, program.random.choice(["unary", "binary", "assign", "read"]))()
            if made is not None:
                program.values.append(made)
        self.graph = builder.graph(*program.values[-3:])
        self.where = {node: program.where.get(node) or program.place(node) for node in self.graph.nodes}
        self.executor = executor_of(self.graph, self.where, options or Options())

    def fail(self, x: Any) -> list[Any]:
        if self.fails:
            self.raised.append(ValueError("broken"))
            raise self.raised[-1]
        return [x]


@given(seed=st.integers(0, 10**9), failing=st.integers(1, 3), atomic=st.booleans())
@watched
def test_an_error_on_one_device_ends_all(seed: int, failing: int, atomic: bool) -> None:
    broken = Broken(seed, failing, Options(atomic=atomic))
    arrays = arrays_of(seed)
    for _ in range(2):
        broken.program.reset()
        before = [bits(v.numpy()) for v in broken.program.variables]
        broken.fails = True
        with pytest.raises(ValueError, match="broken") as caught:
            broken.executor.run(arrays)
        assert caught.value is broken.raised[0] and len(broken.raised) == 1
        assert "program.py" in caught.value.__notes__[0] and "on cpu:" in caught.value.__notes__[0]
        if atomic:
            assert [bits(v.numpy()) for v in broken.program.variables] == before
        broken.raised.clear()
        broken.fails = False
        broken.program.reset()
        made = broken.executor.run(arrays)
        broken.program.reset()
        assert list(map(bits, made)) == list(map(bits, Plan(broken.graph, {}).run(arrays)))
    quiet()


@watched
def test_the_error_of_an_op_names_op_shapes_device_and_line() -> None:
    here, there = cpus(2)
    f = Builder()
    x, rows = f.parameter((3, 2)), f.parameter((2,), "int64")
    taken = f.op("take", x, rows, axis=0)
    doubled = f.op("add", taken, taken)
    executor = executor_of(f.graph(doubled), {x.node: here, rows.node: here, taken.node: there, doubled.node: here})
    good = [np.ones((3, 2)), np.array([0, 1])]
    assert executor.run(good)[0].shape == (2, 2)
    with pytest.raises(ef.errors.IndexOutOfBoundsError) as caught:
        executor.run([np.ones((3, 2)), np.array([0, 7])])
    text = str(caught.value)
    assert "take" in text and "float64[3, 2]" in text and "program.py:3" in text and "ran on cpu:1" in text
    assert executor.run(good)[0].shape == (2, 2)


@watched
def test_errors_of_two_devices_at_once_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eagerflow.capture.partition.cut.VERIFY", False)
    here, there = cpus(2)
    meeting = threading.Barrier(2)

    def fail(x: Any) -> list[Any]:
        meeting.wait()
        raise KeyError("both")

    f = Builder()
    x = f.parameter((SIZE,))
    nodes = []
    for _ in range(2):  # without the edge that would order them
        f.order = type(f.order)()
        nodes.append(f.callback(fail, x, specs=VECTOR))
    graph = f.graph(f.op("add", *nodes))
    places = {x.node: here, nodes[0].node: here, nodes[1].node: there, graph.nodes[-1]: here}
    parts = executor_of(graph, places)
    for _ in range(5):
        with pytest.raises(KeyError, match="both"):
            parts.run([np.ones(SIZE)])
    quiet()


@watched
def test_what_passes_handlers_of_errors_reaches_the_caller() -> None:
    f = Builder()
    x = f.parameter((SIZE,))

    def leave(x: Any) -> list[Any]:
        raise SystemExit(3)

    called = f.callback(leave, x, specs=VECTOR)
    executor = executor_of(f.graph(f.op("add", called, 1.0)), {x.node: cpus()[0], called.node: cpus()[1], f.nodes[-1]: cpus()[0]})
    with pytest.raises(SystemExit):
        executor.run([np.ones(SIZE)])
    quiet()


def assigning(callback: Any, options: Options, first: Any = None) -> tuple[Any, list[ef.Variable]]:
    """Return an executor that assigns a Variable on each of two devices before and after a callback on the second."""
    here, there = cpus(2)
    variables = [ef.Variable(np.zeros(SIZE), name="a"), ef.Variable(np.zeros(SIZE), name="b", device="cpu:1")]
    f = Builder()
    where = {}
    for variable, device in zip(variables, (here, there), strict=True):
        read = f.read(variable)
        read.device = device
        new = f.op("add", read, 1.0)
        where |= dict.fromkeys((read.node, new.node, f.assign(variable, new)), device)
    called = f.callback(callback, new, specs=VECTOR)
    where[called.node] = there
    last = f.op("add", called, 1.0)
    where[last.node] = here
    return executor_of(f.graph(last), where, options), variables


@pytest.mark.parametrize("atomic", [False, True])
@watched
def test_variables_after_a_step_that_failed(atomic: bool) -> None:
    fails: list[bool] = []

    def callback(x: Any) -> list[Any]:
        if fails:
            raise ValueError
        return [x]

    executor, (a, b) = assigning(callback, Options(atomic=atomic))
    executor.run([])
    kept = a.value
    fails.append(True)
    with pytest.raises(ValueError):
        executor.run([])
    expected = 1.0 if atomic else 2.0
    assert (a.numpy() == expected).all() and (b.numpy() == expected).all() and (kept.numpy() == 1).all()
    fails.clear()
    executor.run([])
    assert (a.numpy() == expected + 1).all() and (b.numpy() == expected + 1).all()


@watched
def test_a_single_part_is_atomic_too() -> None:
    v = ef.Variable(np.zeros(SIZE))
    fails: list[int] = []

    def callback() -> list[Any]:
        if fails:
            raise ValueError
        return []

    f = Builder()
    f.assign(v, f.op("add", f.read(v), 1.0))
    f.callback(callback)
    executor = executor_of(f.graph(), dict.fromkeys(f.nodes, cpus()[0]), Options(atomic=True))
    executor.run([])
    fails.append(1)
    for start in (executor.run, lambda arrays: executor.submit(arrays).result()):
        with pytest.raises(ValueError):
            start([])
        assert (v.numpy() == 1).all()


@watched
def test_atomic_steps_in_flight_do_not_see_what_is_taken_back() -> None:
    calls: list[int] = []

    def callback(x: Any) -> list[Any]:
        calls.append(1)
        if len(calls) % 2:
            raise ValueError
        return [x]

    executor, (a, b) = assigning(callback, Options(atomic=True))
    several = [executor.submit([]) for _ in range(20)]
    failed = sum(future.exception() is not None for future in several)
    assert failed == 10
    assert (a.numpy() == 10).all() and (b.numpy() == 10).all()
    made = [future.result()[0][0] for future in several if future.exception() is None]
    assert made == [i + 2.0 for i in range(10)]


# --- cancelling ---------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**9), delay=st.floats(0, 0.002), atomic=st.booleans())
@watched
def test_a_step_is_cancelled_at_any_time(seed: int, delay: float, atomic: bool) -> None:
    program = Scattered(seed, cpus())
    program.reset()
    executor = program.executor(Options(atomic=atomic))
    with np.errstate(all="ignore"):
        several = [executor.submit(arrays_of(seed)) for _ in range(4)]
        time.sleep(delay)
        stopped = [future.cancel() for future in several[::2]]
        for future, cancelled in zip(several[::2], stopped, strict=True):
            if cancelled:
                with pytest.raises(ef.errors.CancelledError):
                    future.result()
                with pytest.raises(futures.CancelledError):
                    future.result()
                assert future.cancelled() and future.done() and not future.running()
            else:
                assert len(future.result()) == len(program.graph.outputs)
        for future in several[1::2]:
            assert len(future.result()) == len(program.graph.outputs)
        program.reset()
        made = executor.run(arrays_of(seed))
        state = program.state()
        program.reset()
        assert list(map(bits, Plan(program.graph, {}).run(arrays_of(seed)))) == list(map(bits, made))
        assert program.state() == state
    quiet()


@watched
def test_futures_are_those_of_the_standard_library() -> None:
    executor, _ = assigning(lambda x: [x], Options())
    several = [executor.submit([]) for _ in range(5)]
    done, left = futures.wait(several)
    assert len(done) == 5 and not left
    assert [future.result()[0][0] for future in several] == [i + 2.0 for i in range(5)]
    assert not several[0].cancel() and not several[0].cancelled()
    calls: list[Any] = []
    several[0].add_done_callback(calls.append)
    assert calls == [several[0]]


@watched
def test_a_step_that_has_not_begun_is_cancelled_at_once() -> None:
    go, begun = threading.Event(), threading.Event()

    def wait(x: Any) -> list[Any]:
        begun.set()
        go.wait()
        return [x]

    executor, (a, b) = assigning(wait, Options())
    first = executor.submit([])
    begun.wait()
    f = Builder()
    f.assign(b, f.constant(np.full(SIZE, 7.0)))
    second = executor_of(f.graph(), dict.fromkeys(f.nodes, cpus()[1])).submit([])
    assert second.cancel() and second.cancelled()
    assert not first.done()
    go.set()
    first.result()
    assert (b.numpy() == 1).all()


# --- timeouts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("submitted", [False, True])
@watched
def test_a_step_that_takes_too_long_is_given_up(submitted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "GRACE", 0.05)
    go = threading.Event()
    slow = [True]

    def wait(x: Any) -> list[Any]:
        if slow:
            go.wait()
        return [x]

    executor, (a, b) = assigning(wait, Options(timeout=0.2, atomic=True))
    with pytest.raises(ef.errors.StepTimeoutError) as caught:
        if submitted:
            executor.submit([]).result()
        else:
            executor.run([])
    text = str(caught.value)
    assert "f: a run took longer than 0.2 s" in text
    assert "cpu:1 was at py_function, captured at program.py:7" in text
    assert "cpu:0 waited for" in text and "from cpu:1" in text
    assert isinstance(caught.value, TimeoutError)
    assert (a.numpy() == 0).all() and (b.numpy() == 0).all()
    slow.clear()
    # A thread that does not come back is replaced.
    assert (executor.run([])[0] == 2).all()
    go.set()
    assert (executor.run([])[0] == 3).all()
    quiet()


@watched
def test_a_timeout_holds_for_a_single_device_too() -> None:
    f = Builder()
    go = threading.Event()
    f.callback(lambda: [go.wait(5)][:0])
    executor = executor_of(f.graph(), dict.fromkeys(f.nodes, cpus()[0]), Options(timeout=0.1))
    threading.Timer(0.3, go.set).start()
    with pytest.raises(ef.errors.StepTimeoutError, match="cpu:0 was at py_function"):
        executor.run([])
    executor.run([])


@watched
def test_a_device_that_is_busy_with_another_step_is_named() -> None:
    executor, (a, b) = assigning(lambda x: [x], Options(timeout=0.1))
    go, begun = threading.Event(), threading.Event()
    f = Builder()
    f.callback(lambda: [begun.set(), go.wait()][:0])
    other = executor_of(f.graph(), dict.fromkeys(f.nodes, cpus()[1])).submit([])
    begun.wait()
    with pytest.raises(ef.errors.StepTimeoutError, match="cpu:1 had not begun"):
        executor.run([])
    go.set()
    other.result()
    assert (b.numpy() == 0).all()


# --- interrupts, forks --------------------------------------------------------------------------

PROGRAM = """
import os, signal, sys, threading, time
import numpy as np
import eagerflow as ef
ef.config.set_logical_devices("cpu", 4)
sys.path[:0] = [{tests!r}]
from test_executor import Options, assigning
"""

INTERRUPT = """
def callback(x):
    if len(sys.argv) == 1:
        sys.argv.append("once")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.2)
    return [x]

executor, (a, b) = assigning(callback, Options(atomic=True))
try:
    executor.run([])
except KeyboardInterrupt:
    assert (a.numpy() == 0).all() and (b.numpy() == 0).all()
    executor.run([])
    assert (a.numpy() == 1).all() and (b.numpy() == 1).all()
    print("interrupted")
"""

FORK = """
executor, (a, b) = assigning(lambda x: [x], Options())
executor.run([])
child = os.fork()
executor.run([])
assert (a.numpy() == 2).all() and (b.numpy() == 2).all()
if child:
    assert os.waitpid(child, 0)[1] == 0
    print("forked")
else:
    os._exit(0)
"""


@pytest.mark.parametrize(("source", "word"), [(INTERRUPT, "interrupted"), (FORK, "forked")])
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="the system has no signals for threads, and no fork")
def test_in_a_process_of_its_own(source: str, word: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM.format(tests=sys.path[0]) + source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == [word], done.stderr


# --- what is left -------------------------------------------------------------------------------


@watched
def test_ten_thousand_steps_leave_nothing() -> None:
    fails: list[int] = []

    def callback(x: Any) -> list[Any]:
        if fails:
            raise ValueError
        return [x]

    executor, _ = assigning(callback, Options())

    def steps(count: int) -> None:
        for i in range(count):
            if i % 100 == 99:
                fails.append(1)
                with pytest.raises(ValueError):
                    executor.run([])
                fails.clear()
            else:
                executor.run([])

    steps(200)
    threads = threading.active_count()
    tracemalloc.start()
    try:
        steps(100)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        steps(900)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000  # not even 25 bytes a step
    steps(9_000)
    assert threading.active_count() <= threads
    quiet()


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
    assert "far:0 to cpu:0" in caught.value.__notes__[0]
    assert (executor.run([np.zeros(1 << 14)])[0] == 1).all()


def test_the_watchdog_barks() -> None:
    go = threading.Event()
    try:
        with pytest.raises(pytest.fail.Exception, match=r"did not end within 0\.05 s"):
            ends(go.wait, 0.05)
    finally:
        go.set()
