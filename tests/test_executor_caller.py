"""The part of a step that its caller runs: which one, in the place of whom, and what happens when he is interrupted."""

from __future__ import annotations

import linecache
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import eagerflow as ef
from eagerflow.capture.executor import executor as executor_module
from eagerflow.capture.executor import worker
from eagerflow.capture.options import USUAL, Options
from eagerflow.devices import Device
from graphs import Builder
from kinds import FAR
from scattered import SIZE, VECTOR, assigning, cpus, executor_of, quiet
from watchdog import watched


@pytest.fixture(autouse=True)
def logical_devices() -> Iterator[None]:
    """Divide the host into four devices."""
    ef.config.set_logical_devices("cpu", 4)
    yield
    ef.config.set_logical_devices("cpu", 1)


def calling(functions: dict[Device, list[Callable[[], Any]]], options: Options = USUAL) -> Any:
    """Return an executor that calls functions on devices one after the other, each of which gives an output there."""
    f = Builder()
    where = {}
    outputs = []
    for device, several in functions.items():
        for function in several:

            def called(function: Callable[[], Any] = function) -> list[Any]:
                function()
                return [ef.asarray(np.zeros(SIZE))]

            value = f.callback(called, specs=VECTOR)
            value.device = device
            where[value.node] = device
            outputs.append(value)
    return executor_of(f.graph(*outputs), where, options)


def given_to(device: Device, count: int) -> None:
    """Wait until so many tasks wait for a device."""
    while len(worker._workers[device].tasks) != count:
        time.sleep(0)


# --- which one ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "options", "own"),
    [
        ((1, 1), USUAL, 0),
        ((1, 2), USUAL, 1),
        ((2, 1), USUAL, 0),
        ((1, 3), Options(atomic=True), 1),
        ((1, 2), Options(timeout=60.0), None),
    ],
)
@watched
def test_the_caller_runs_the_part_that_delivers_most(counts: Any, options: Options, own: int | None) -> None:
    ran: dict[int, set[Any]] = {0: set(), 1: set()}

    def note(i: int) -> Callable[[], None]:
        return lambda: ran[i].add(threading.current_thread())

    executor = calling({cpus()[i]: [note(i)] * count for i, count in enumerate(counts)}, options)
    for _ in range(3):
        executor.run([])
        quiet()
    for i in range(2):
        (thread,) = ran[i]
        assert (thread is threading.current_thread()) == (i == own)
        assert i == own or thread.name == f"eagerflow cpu:{i}"
    for threads in ran.values():
        threads.clear()
    executor.submit([]).result()
    assert [[thread.name for thread in threads] for threads in ran.values()] == [
        ["eagerflow cpu:0"],
        ["eagerflow cpu:1"],
    ]


@watched
def test_a_device_with_arrays_of_its_own_keeps_its_thread() -> None:
    far, here = ef.devices.find(f"{FAR.name}:0"), cpus()[0]
    f = Builder()
    names = []

    def note(x: Any) -> list[Any]:
        names.append(threading.current_thread().name)
        return [x]

    y = f.callback(note, f.parameter((SIZE,)), specs=VECTOR)
    z = f.callback(note, y, specs=VECTOR)
    w = f.callback(note, y, specs=VECTOR)
    z.device = w.device = far
    where = dict.fromkeys(f.nodes, here) | {z.node: far, w.node: far}
    executor_of(f.graph(z, w), where).run([np.zeros(SIZE)])
    assert names == [threading.current_thread().name, "eagerflow far:0", "eagerflow far:0"]


@watched
def test_the_caller_takes_another_part_where_a_device_is_busy() -> None:
    here, there = cpus(2)
    go, begun = threading.Event(), threading.Event()
    names: list[str] = []

    def wait() -> None:
        begun.set()
        go.wait()

    def note() -> None:
        names.append(threading.current_thread().name)

    busy = calling({here: [wait]}).submit([])
    begun.wait()
    executor = calling({there: [lambda: go.set(), note], here: [note, note]})
    executor.run([])
    assert names == [threading.current_thread().name, "eagerflow cpu:0", "eagerflow cpu:0"]
    busy.result()
    quiet()


# --- in the place of the thread -----------------------------------------------------------------


@watched
def test_what_was_given_before_is_not_overtaken() -> None:
    here, there = cpus(2)
    go, begun = threading.Event(), threading.Event()
    order: list[str] = []

    def wait() -> None:
        begun.set()
        go.wait()
        order.append("first")

    first = calling({here: [wait]}).submit([])
    begun.wait()
    second = calling({here: [lambda: order.append("second")]}).submit([])
    last = calling({here: [lambda: order.append("last")] * 2, there: [lambda: None]})
    caller = threading.Thread(target=last.run, args=([],))
    caller.start()
    given_to(here, 2)
    go.set()
    caller.join()
    first.result()
    second.result()
    assert order == ["first", "second", "last", "last"]
    quiet()


@watched
def test_a_task_that_its_thread_has_taken_but_not_begun_is_not_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = cpus(2)
    go, taken = threading.Event(), threading.Event()
    order: list[str] = []
    run = worker.Worker._run

    def slowly(self: Any, task: Any) -> None:
        if not taken.is_set():
            taken.set()
            go.wait()
        run(self, task)

    first = calling({here: [lambda: order.append("first")]})
    last = calling({here: [lambda: order.append("last")] * 2, there: [lambda: None]})
    with monkeypatch.context() as patch:
        patch.setattr(worker.Worker, "_run", slowly)
        future = first.submit([])
        taken.wait()
        caller = threading.Thread(target=last.run, args=([],))
        caller.start()
        given_to(here, 1)
        go.set()
        caller.join()
    future.result()
    assert order == ["first", "last", "last"]
    quiet()


@watched
def test_what_is_given_later_waits_for_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = cpus(2)
    order: list[str] = []
    looked = threading.Event()
    several: list[Any] = []
    later = calling({here: [lambda: order.append("later")]})
    find = worker.Worker._next

    def look(self: Any) -> Any:
        found = find(self)
        if self is worker._workers[here]:
            looked.set()
        return found

    def busy() -> None:
        starts = threading.Thread(target=lambda: several.append(later.submit([])))
        starts.start()
        starts.join()
        given_to(here, 1)
        looked.clear()
        worker._workers[here]._bell.release()  # even if the thread wakes
        looked.wait()
        order.append("caller")

    executor = calling({here: [busy, lambda: order.append("caller")], there: [lambda: None]})
    later.submit([]).result()
    quiet()
    order.clear()
    monkeypatch.setattr(worker.Worker, "_next", look)
    executor.run([])
    several[0].result()
    assert order == ["caller", "caller", "later"]
    quiet()


@given(seed=st.integers(0, 2**16), atomic=st.booleans())
@watched
def test_all_devices_see_the_steps_of_many_callers_in_one_order(seed: int, atomic: bool) -> None:
    seen: dict[Device, list[int]] = {device: [] for device in cpus()}
    callers, steps = 4, 10

    def start(which: int) -> None:
        number = [which]
        rng = np.random.default_rng((seed, which))
        # Each caller would rather have another device for himself.
        functions = {
            device: [lambda log=seen[device]: log.append(number[0])] + [lambda: None] * (i == which)
            for i, device in enumerate(cpus())
        }
        executor = calling(functions, Options(atomic=atomic))
        for i in range(steps):
            number[0] = which * steps + i
            if rng.integers(2):
                executor.run([])
            else:
                executor.submit([]).result()

    threads = [threading.Thread(target=start, args=(i,)) for i in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, *others = seen.values()
    assert sorted(first) == list(range(callers * steps))
    assert all(other == first for other in others)
    quiet()


@watched
def test_steps_inside_the_part_of_the_caller() -> None:
    here, there = cpus(2)
    names: list[str] = []

    def note() -> None:
        names.append(threading.current_thread().name)

    inner = calling({here: [note], there: [note]})
    own = threading.current_thread().name
    for inside in (lambda: inner.run([]), lambda: inner.submit([]).result()):
        outer = calling({here: [note, inside, note], there: [note]})
        for _ in range(5):
            outer.run([])
            quiet()
            assert names == [own, "eagerflow cpu:0 (nested)", "eagerflow cpu:1 (nested)", own, "eagerflow cpu:1"]
            names.clear()
    inner.run([])  # the caller is nobody's thread again
    assert names == [own, "eagerflow cpu:1"]


# --- interrupts ---------------------------------------------------------------------------------

ROOM = str(Path(executor_module.__file__).parent)


class Interrupt:
    """Interrupts this thread at one of the lines of the executor that it comes to."""

    def __init__(self, line: int) -> None:
        self.left = line
        self.at = ""

    def __call__(self, frame: Any, event: str, _: Any) -> Any:
        file, number = frame.f_code.co_filename, frame.f_lineno
        if not file.startswith(ROOM):
            return None
        # No interrupt comes between the end of a block and the release of its lock, where tracing stops once more.
        if event == "line" and not linecache.getline(file, number).lstrip().startswith("with "):
            self.left -= 1
            if self.left < 0:
                self.at = f"{Path(file).name}:{number}"
                raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("fails", [False, True], ids=["runs", "fails"])
@pytest.mark.parametrize("swapped", [False, True], ids=["waits", "calls"])
@pytest.mark.parametrize("atomic", [False, True], ids=["usual", "atomic"])
@watched
def test_an_interrupt_at_any_line_ends_the_step(
    atomic: bool, swapped: bool, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "GRACE", 20.0)  # no part is left behind
    failing: list[bool] = []

    def callback(x: Any) -> list[Any]:
        time.sleep(0.0005)  # the other device most likely waits
        if failing:
            raise KeyError
        return [x]

    executor, (a, b) = assigning(callback, Options(atomic=atomic), swapped)
    executor.run([])
    quiet()
    line = 0
    interrupted = set()
    while True:
        interrupt = Interrupt(line)
        before = a.numpy()[0], b.numpy()[0]
        if fails:
            failing.append(True)
        raised: Any = None
        sys.settrace(interrupt)
        try:
            executor.run([])
        except (KeyboardInterrupt, KeyError) as error:
            raised = type(error)
        finally:
            sys.settrace(None)
        assert raised is (KeyboardInterrupt if interrupt.at else KeyError if fails else None), interrupt.at
        failing.clear()
        now = a.numpy()[0], b.numpy()[0]
        if atomic:
            assert now[0] - before[0] == now[1] - before[1], interrupt.at
        executor.run([])
        assert (a.numpy()[0], b.numpy()[0]) == (now[0] + 1, now[1] + 1), interrupt.at
        quiet()
        if not interrupt.at:
            break
        interrupted.add(interrupt.at)
        line += 1
    assert len(interrupted) > 40
    assert {name.split(":")[0] for name in interrupted} >= {"executor.py", "step.py", "worker.py", "rendezvous.py"}
