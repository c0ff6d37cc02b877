"""Threads that share the work of one call."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from eagerflow.capture.kernels import threads
from eagerflow.errors import ArgumentError


@pytest.fixture(autouse=True)
def four() -> Iterator[None]:
    threads.set_num_threads(4)
    yield
    threads.set_num_threads(None)


def test_every_part_runs_once() -> None:
    for count in (0, 1, 2, 3, 4, 5, 17, 100):
        seen = [0] * count

        def part(i: int, seen: list[int] = seen) -> None:
            seen[i] += 1

        threads.run(part, [(i,) for i in range(count)])
        assert seen == [1] * count


def test_the_first_part_runs_in_the_calling_thread_and_others_elsewhere() -> None:
    names: dict[int, threading.Thread] = {}
    barrier = threading.Barrier(4, timeout=30)

    def part(i: int) -> None:
        barrier.wait()  # passes only if four threads run at the same time
        names[i] = threading.current_thread()

    threads.run(part, [(i,) for i in range(4)])
    assert names[0] is threading.current_thread()
    assert len(set(names.values())) == 4
    assert all(thread.daemon for i, thread in names.items() if i)


@pytest.mark.parametrize("bad", [0, 2, 3])
def test_errors_reach_the_caller_after_all_parts_have_ended(bad: int) -> None:
    ended = []

    def part(i: int) -> None:
        if i == bad:
            raise ZeroDivisionError(f"part {i}")
        ended.append(i)

    with pytest.raises(ZeroDivisionError, match=f"part {bad}"):
        threads.run(part, [(i,) for i in range(4)])
    assert sorted(ended) == [i for i in range(4) if i != bad]
    threads.run(ended.append, [(7,), (8,)])  # and the pool works on


def test_several_threads_may_share_the_pool_and_parts_may_have_parts() -> None:
    def outer(i: int) -> int:
        found: list[int] = []

        def inner(j: int) -> None:
            threads.run(lambda k: found.append(100 * j + k), [(k,) for k in range(5)])

        threads.run(inner, [(j,) for j in range(6)])
        return len(set(found))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outer, range(40))) == [30] * 40


@pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")  # of other libraries, if they are loaded
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    threads.run(lambda i: None, [(0,), (1,)])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            barrier = threading.Barrier(2, timeout=30)
            threads.run(lambda i: barrier.wait() and None, [(0,), (1,)])
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_one_thread_runs_parts_in_order() -> None:
    threads.set_num_threads(1)
    seen: list[tuple[int, threading.Thread]] = []
    threads.run(lambda i: seen.append((i, threading.current_thread())), [(i,) for i in range(5)])
    assert seen == [(i, threading.current_thread()) for i in range(5)]


def test_the_count_is_what_was_set_or_what_may_be_used() -> None:
    assert threads.count() == 4
    threads.set_num_threads(None)
    assert 1 <= threads.count() <= (os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        assert threads.count() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2"])
def test_a_count_that_is_none_is_refused(bad: object) -> None:
    with pytest.raises(ArgumentError, match="expected a positive integer or None, got"):
        threads.set_num_threads(bad)
