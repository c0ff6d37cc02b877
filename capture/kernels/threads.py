"""Threads that share the work of one call: kernels run without the global interpreter lock."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from eagerflow.devices import logical_devices
from eagerflow.devices.cpu import cores
from eagerflow.errors import ArgumentError

_chosen: int | None = None


def count() -> int:
    """Return into how many parts kernels split large work: a device's share of what was set, or of all cores."""
    return max(1, (_chosen or cores()) // logical_devices())


def set_num_threads(n: int | None) -> None:
    """Set how many threads captured functions use for one kernel.

    Parameters
    ----------
    n : int or None
        At least 1, which is the calling thread alone; None for the number of cores that the process may use. Logical
        devices share the threads.

    Raises
    ------
    ArgumentError
        `n` is not a positive integer.

    Examples
    --------
    >>> from eagerflow.capture.kernels import threads
    >>> threads.set_num_threads(1)
    >>> threads.count()
    1
    >>> threads.set_num_threads(None)
    """
    global _chosen
    if n is not None and (not isinstance(n, int) or isinstance(n, bool) or n < 1):
        raise ArgumentError(f"set_num_threads: expected a positive integer or None, got {n!r}")
    _chosen = n


class Job:
    """One call of `run`: parts that nobody has taken yet, and how many are not finished."""

    __slots__ = ("done", "error", "function", "left", "lock", "parts")

    def __init__(self, function: Callable[..., Any], parts: Sequence[tuple[Any, ...]]) -> None:
        self.function = function
        self.parts = deque(parts)
        self.left = len(parts)
        self.lock = threading.Lock()
        self.error: BaseException | None = None
        self.done = threading.Lock()  # held until the last part is finished
        self.done.acquire()

    def work(self) -> None:
        """Run parts until none is left to take."""
        while True:
            try:
                part = self.parts.popleft()
            except IndexError:
                return
            self.do(part)

    def do(self, part: tuple[Any, ...]) -> None:
        """Run one part, and note that it is finished."""
        try:
            self.function(*part)
        except BaseException as error:
            self.error = self.error or error
        with self.lock:
            self.left -= 1
            last = self.left == 0
        if last:
            self.done.release()


class Pool:
    """Threads that wait for jobs."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.lock = threading.Lock()
        self.size = 0

    def ask(self, job: Job, helpers: int) -> None:
        """Ask so many threads to help with a job; start those that do not exist yet."""
        if self.size < helpers:
            with self.lock:
                while self.size < helpers:
                    threading.Thread(target=self.serve, name=f"eagerflow-{self.size + 1}", daemon=True).start()
                    self.size += 1
        for _ in range(helpers):
            self.jobs.put(job)

    def serve(self) -> None:
        """Help with one job after the other."""
        while True:
            self.jobs.get().work()


_pool = Pool()


def run(function: Callable[..., Any], parts: Sequence[tuple[Any, ...]]) -> None:
    """Call ``function(*part)`` for every part, several at the same time.

    Parameters
    ----------
    function : callable
        Called for its effect; it should release the global interpreter lock.
    parts : sequence of tuple
        Arguments of each call. The first runs in the calling thread, which also takes those that no other
        thread has begun.

    Raises
    ------
    BaseException
        What a part raised, after all of them have ended.
    """
    helpers = min(len(parts), count()) - 1
    if helpers < 1:
        for part in parts:
            function(*part)
        return
    job = Job(function, parts)
    first = job.parts.popleft()
    _pool.ask(job, helpers)
    job.do(first)
    job.work()
    try:
        job.done.acquire()
    except BaseException:  # an interrupt: what others still write to must not be used again before they end
        job.done.acquire()
        raise
    if job.error is not None:
        raise job.error


def _after_fork() -> None:
    """Begin anew in the child: threads do not survive a fork, and a lock may be held for ever."""
    global _pool
    _pool = Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
