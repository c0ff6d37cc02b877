"""The executor when something goes wrong: errors, cancelling, timeouts, interrupts; whatever it is, runs end."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import weakref
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import eagerflow as ef
from eagerflow.capture.executor import Executor, worker
from eagerflow.capture.executor import executor as executor_module
from eagerflow.capture.graph import RECV, Graph
from eagerflow.capture.options import Options
from eagerflow.capture.plan import Plan
from graphs import Builder, bits
from scattered import SIZE, VECTOR, Scattered, arrays_of, assigning, cpus, executor_of, quiet
from watchdog import ends, watched


@pytest.fixture(autouse=True)
def logical_devices() -> Iterator[None]:
    """Divide the host into four devices."""
    ef.config.set_logical_devices("cpu", 4)
    yield
    ef.config.set_logical_devices("cpu", 1)


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
    taken = f.op("gather", x, rows, index=("array",))
    doubled = f.op("add", taken, taken)
    executor = executor_of(f.graph(doubled), {x.node: here, rows.node: here, taken.node: there, doubled.node: here})
    good = [np.ones((3, 2)), np.array([0, 1])]
    assert executor.run(good)[0].shape == (2, 2)
    with pytest.raises(ef.errors.IndexOutOfBoundsError) as caught:
        executor.run([np.ones((3, 2)), np.array([0, 7])])
    text = str(caught.value)
    assert "gather" in text and "float64[3, 2]" in text and "program.py:3" in text and "ran on cpu:1" in text
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
def test_parts_that_do_not_fit_are_an_error() -> None:
    here, there = cpus(2)
    f = Builder()
    x = f.parameter((SIZE,))
    y = f.op("negative", x)
    made = executor_of(f.graph(y), {x.node: here, y.node: there}).partitioned
    receiver = next(part for part in made.parts if part.device is there)
    receiver.graph = Builder().graph()
    sender = next(part for part in made.parts if part.device is here)
    sends = [node for node in sender.graph.nodes if node.op is not RECV]
    sender.graph = Graph("lonely", sender.graph.inputs, (), sends)
    sender.outputs = ()
    executor = Executor(made, [Plan(part.graph, {}) for part in made.parts])
    with pytest.raises(ef.errors.CaptureError, match="a value was sent that nobody received"):
        executor.run([np.ones(SIZE)])


@watched
def test_what_passes_handlers_of_errors_reaches_the_caller() -> None:
    f = Builder()
    x = f.parameter((SIZE,))

    def leave(x: Any) -> list[Any]:
        raise SystemExit(3)

    called = f.callback(leave, x, specs=VECTOR)
    added = f.op("add", called, 1.0)
    here, there = cpus(2)
    executor = executor_of(f.graph(added), {x.node: here, called.node: there, added.node: here})
    with pytest.raises(SystemExit):
        executor.run([np.ones(SIZE)])
    quiet()


@pytest.mark.parametrize("atomic", [False, True])
@watched
def test_variables_after_a_step_that_failed(atomic: bool) -> None:
    fails: list[bool] = []

    def callback(x: Any) -> list[Any]:
        if fails:
            raise KeyError
        return [x]

    executor, (a, b) = assigning(callback, Options(atomic=atomic))
    executor.run([])
    kept = a.value
    fails.append(True)
    with pytest.raises(KeyError):
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
            raise KeyError
        return []

    f = Builder()
    f.assign(v, f.op("add", f.read(v), 1.0))
    f.callback(callback)
    executor = executor_of(f.graph(), dict.fromkeys(f.nodes, cpus()[0]), Options(atomic=True))
    executor.run([])
    fails.append(1)
    for start in (executor.run, lambda arrays: executor.submit(arrays).result()):
        with pytest.raises(KeyError):
            start([])
        assert (v.numpy() == 1).all()


@watched
def test_atomic_steps_in_flight_do_not_see_what_is_taken_back() -> None:
    calls: list[int] = []

    def callback(x: Any) -> list[Any]:
        calls.append(1)
        if len(calls) % 2:
            raise KeyError
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

    executor, (_, b) = assigning(wait, Options())
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
    start = (lambda: executor.submit([]).result()) if submitted else (lambda: executor.run([]))
    with pytest.raises(ef.errors.StepTimeoutError) as caught:
        start()
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
    executor, (_, b) = assigning(lambda x: [x], Options(timeout=0.1))
    go, begun = threading.Event(), threading.Event()
    f = Builder()

    def wait() -> list[Any]:
        begun.set()
        go.wait()
        return []

    f.callback(wait)
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
from scattered import Options, assigning
"""

INTERRUPT = """
def callback(x):
    if len(sys.argv) == 1:
        sys.argv.append("once")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.2)
    return [x]

executor, (a, b) = assigning(callback, Options(atomic=True), SWAPPED)
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


WAITING, RUNNING = (INTERRUPT.replace("SWAPPED", word) for word in ("False", "True"))  # the caller, meanwhile


@pytest.mark.parametrize(
    ("source", "word"),
    [(WAITING, "interrupted"), (RUNNING, "interrupted"), (FORK, "forked")],
    ids=["interrupt-waiting", "interrupt-running", "fork"],
)
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="the system has no signals for threads, and no fork")
def test_in_a_process_of_its_own(source: str, word: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM.format(tests=sys.path[0]) + source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == [word], done.stderr


@pytest.mark.parametrize("submitted", [False, True])
@watched
def test_an_interrupt_while_a_step_is_handed_out_ends_it(submitted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    executor, (a, b) = assigning(lambda x: [x], Options(atomic=True))

    def launch(tasks: Any, *turn: Any) -> None:
        worker.launch(tasks[:1])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(executor_module, "launch", launch)
        with pytest.raises(KeyboardInterrupt):
            (executor.submit if submitted else executor.run)([])
    executor.run([])
    assert (a.numpy() == 1).all() and (b.numpy() == 1).all()
    quiet()


# --- what is left -------------------------------------------------------------------------------


@watched
def test_ten_thousand_steps_leave_nothing() -> None:
    fails: list[int] = []

    def callback(x: Any) -> list[Any]:
        if fails:
            raise KeyError
        return [x]

    executor, _ = assigning(callback, Options())

    def steps(count: int) -> None:
        for i in range(count):
            if i % 100 == 99:
                fails.append(1)
                with pytest.raises(KeyError):
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


@watched
def test_devices_that_are_idle_hold_no_arrays() -> None:
    here, there = cpus(2)
    f = Builder()
    x = f.parameter((SIZE,))
    y = f.op("flip", x, axis=(0,))
    executor = executor_of(f.graph(y), {x.node: here, y.node: there})
    for start in (executor.run, lambda arrays: executor.submit(arrays).result()):
        array = np.ones(SIZE)
        held = weakref.ref(array)
        start([array])
        del array
        while held() is not None:  # the threads end their tasks a moment after the caller has the results
            time.sleep(0.001)


# --- the tests themselves -----------------------------------------------------------------------


def test_the_watchdog_barks() -> None:
    go = threading.Event()
    try:
        with pytest.raises(pytest.fail.Exception, match=r"did not end within 0\.05 s"):
            ends(go.wait, 0.05)
    finally:
        go.set()
