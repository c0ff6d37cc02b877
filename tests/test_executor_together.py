"""Parts that run in one thread, in turns: the same results, errors and state as with a thread for each device."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import eagerflow as ef
from eagerflow.capture.executor import worker
from eagerflow.capture.options import Options
from eagerflow.capture.plan import Plan
from graphs import bits
from scattered import Scattered, arrays_of, assigning, cpus, quiet
from watchdog import watched


@pytest.fixture(autouse=True)
def logical_devices() -> Iterator[None]:
    """Divide the host into four devices."""
    ef.config.set_logical_devices("cpu", 4)
    yield
    ef.config.set_logical_devices("cpu", 1)


@given(seed=st.integers(0, 10**9), count=st.integers(2, 4), steps=st.integers(1, 4), atomic=st.booleans())
@settings(max_examples=100)
@watched
def test_parts_give_what_one_plan_gives(seed: int, count: int, steps: int, atomic: bool) -> None:
    program = Scattered(seed, cpus(count), nodes=20)
    plan = Plan(program.graph, {})
    inputs = [arrays_of(seed + i) for i in range(steps)]
    with np.errstate(all="ignore"):
        program.reset()
        expected = [[bits(x) for x in plan.run(arrays)] for arrays in inputs]
        state = program.state()
        program.reset()
        executor = program.executor(Options(atomic=atomic), together=True)
        made = [executor.run(arrays) for arrays in inputs]
    assert [[bits(x) for x in results] for results in made] == expected
    assert program.state() == state
    quiet()


@watched
def test_everything_runs_in_the_thread_of_the_caller() -> None:
    threads = []

    def callback(x: ef.Tensor) -> list[ef.Tensor]:
        threads.append(threading.current_thread())
        return [x]

    executor, variables = assigning(callback, Options(), together=True)
    executor.run([])
    assert threads == [threading.current_thread()]
    assert [v.numpy()[0] for v in variables] == [1.0, 1.0]
    executor.submit([]).result()  # nobody waits for it just now
    assert threads[1] is not threading.current_thread()


@pytest.mark.parametrize("atomic", [False, True])
@watched
def test_an_error_names_its_node_and_lets_the_devices_go(atomic: bool) -> None:
    fails = True

    def callback(x: ef.Tensor) -> list[ef.Tensor]:
        if fails:
            raise KeyError("no luck")
        return [x]

    executor, variables = assigning(callback, Options(atomic=atomic), together=True)
    for _ in range(3):
        with pytest.raises(KeyError, match="no luck") as caught:
            executor.run([])
        assert any("ran on cpu:1" in note for note in caught.value.__notes__)
    if atomic:
        assert [v.numpy()[0] for v in variables] == [0.0, 0.0]
    fails = False
    before = [v.numpy()[0] for v in variables]
    executor.run([])
    assert [v.numpy()[0] for v in variables] == [b + 1 for b in before]
    quiet()


@pytest.mark.parametrize("atomic", [False, True])
@watched
def test_an_interrupt_lets_the_devices_go(atomic: bool) -> None:
    def callback(x: ef.Tensor) -> list[ef.Tensor]:
        raise KeyboardInterrupt

    executor, variables = assigning(callback, Options(atomic=atomic), together=True)
    with pytest.raises(KeyboardInterrupt):
        executor.run([])
    if atomic:
        assert [v.numpy()[0] for v in variables] == [0.0, 0.0]
    assert all(found.holder is None for found in worker._workers.values())


@watched
def test_where_a_device_is_busy_the_threads_of_devices_run_the_parts() -> None:
    begun, goes_on = threading.Event(), threading.Event()
    threads = []

    def wait(x: ef.Tensor) -> list[ef.Tensor]:
        begun.set()
        goes_on.wait(30)
        return [x]

    def look(x: ef.Tensor) -> list[ef.Tensor]:
        threads.append(threading.current_thread())
        return [x]

    first, _ = assigning(wait, Options())
    second, variables = assigning(look, Options(), together=True)
    future = first.submit([])
    assert begun.wait(30)
    third = threading.Thread(target=second.run, args=([],))
    third.start()
    while not any(found.tasks for found in worker._workers.values()):
        pass  # it waits behind the first
    assert not threads
    goes_on.set()
    third.join()
    future.result()
    assert [v.numpy()[0] for v in variables] == [1.0, 1.0] and len(threads) == 1
    quiet()


@watched
def test_many_callers_at_once() -> None:
    programs = [Scattered(seed, cpus(3), callbacks=False) for seed in range(4)]
    expected = []
    for program in programs:
        program.reset()
        expected.append([[bits(x) for x in Plan(program.graph, {}).run(arrays_of(i))] for i in range(20)])
        program.reset()
    found: dict[int, Any] = {}

    def call(number: int) -> None:
        executor = programs[number].executor(together=True)
        with np.errstate(all="ignore"):
            found[number] = [[bits(x) for x in executor.run(arrays_of(i))] for i in range(20)]

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(4)] == expected
    quiet()


@watched
def test_a_callback_may_run_a_graph_on_the_same_devices() -> None:
    inner = Scattered(3, cpus(2), callbacks=False)
    inner.reset()
    wanted = [bits(x) for x in Plan(inner.graph, {}).run(arrays_of(1))]
    made = []
    for together in (False, True):
        inner.reset()
        nested = inner.executor(together=together)

        def callback(x: ef.Tensor, nested: Any = nested) -> list[ef.Tensor]:
            made.append([bits(y) for y in nested.run(arrays_of(1))])
            return [x]

        executor, _ = assigning(callback, Options(), together=True)
        executor.run([])
    assert made == [wanted, wanted]
    quiet()


@watched
def test_small_functions_run_together_and_large_ones_do_not() -> None:
    def f(x: ef.Tensor) -> ef.Tensor:
        with ef.device("cpu:1"):
            left = x @ x
        with ef.device("cpu:2"):
            right = x @ x
        return left.to("cpu:0") + right.to("cpu:0")

    captured = ef.function(f)
    for size, together in ((4, True), (800, False)):
        x = ef.ones((size, size))
        np.testing.assert_array_equal(captured(x).numpy(), np.full((size, size), 2.0 * size))
        program = captured.get_concrete_function(x)._executable.last()
        assert len(program.plans) == 3
        assert program.executor._together is together
