"""A contender in a process of its own, which does steps when it is told to and is still otherwise.

Libraries in one process disturb each other: threads that one of them leaves spinning take the cores
from the next. Across processes they do so as well, so a turn ends when the threads have come to rest.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.work import Maker, Step

# A process that uses less than a tenth of a core is at rest. OpenBLAS's threads spin for some 0.1 s.
_LOOK, _RESTING, _PATIENCE = 0.02, 0.1, 1.0


class ContenderError(Exception):
    """A contender could not do its work; says why."""


class Contender:
    """The near end: tells the process what to do."""

    def __init__(self, maker: Maker) -> None:
        # A fresh interpreter: nothing of the other contenders is in it.
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        # What libraries have to say on standard error; told only where the process dies of it.
        self._said = tempfile.TemporaryDirectory()
        self._process = context.Process(target=_serve, args=(maker, far_end, self._log))
        self._process.start()
        far_end.close()

    @property
    def _log(self) -> str:
        return os.path.join(self._said.name, "stderr")

    def first(self, count: int) -> tuple[float, float]:
        """Make the step, do it `count` times; return the seconds of all these steps and of the last."""
        return self._ask("first", count)

    def turn(self, before: int, count: int) -> float:
        """Do some steps before the clock starts, then `count`; return the seconds of one."""
        return self._ask("turn", before, count)

    def result(self) -> list[np.ndarray] | None:
        """Return what the last step returned, as arrays."""
        return self._ask("result")

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._said.cleanup()

    def _ask(self, what: str, *args: int) -> Any:
        try:
            self._pipe.send((what, args))
            well, answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5)
            with open(self._log) as log:
                last = (log.read().strip().splitlines() or ["without a word"])[-1]
            raise ContenderError(f"its process ended with exit code {self._process.exitcode}: {last}") from None
        if not well:
            raise ContenderError(answer)
        return answer


class _Worker:
    """The far end: has the step, and what it returned last."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.value: object = None

    def first(self, count: int) -> tuple[float, float]:
        self.step: Step = self.maker()
        start = last = time.perf_counter()
        for _ in range(count):
            last = time.perf_counter()
            self.value = self.step()
        end = time.perf_counter()
        _rest()
        return end - start, end - last

    def turn(self, before: int, count: int) -> float:
        for _ in range(before):
            self.value = self.step()
        start = time.perf_counter()
        for _ in range(count):
            self.value = self.step()
        spent = time.perf_counter() - start
        _rest()
        return spent / count

    def result(self) -> list[np.ndarray] | None:
        if self.value is None:
            return None
        values = self.value if isinstance(self.value, tuple | list) else (self.value,)
        # Copies: what a library lends as an array may go with the next step.
        return [np.array(value) for value in values]


def _serve(maker: Maker, pipe: Connection, log: str) -> None:
    """Do what is told until the other end closes."""
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 2)
    worker = _Worker(maker)
    while True:
        try:
            what, args = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            answer = True, getattr(worker, what)(*args)
        except Exception as error:
            said = str(error).strip().splitlines()
            answer = False, f"{type(error).__name__}: {said[0] if said else ''}".removesuffix(": ")
        pipe.send(answer)


def _rest() -> None:
    """Wait until no thread of this process is busy."""
    end = time.perf_counter() + _PATIENCE
    while time.perf_counter() < end:
        busy = time.process_time()
        time.sleep(_LOOK)
        if time.process_time() - busy < _RESTING * _LOOK:
            return
