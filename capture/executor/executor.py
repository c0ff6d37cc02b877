"""Executor: runs a graph that was cut into parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eagerflow.capture import timeline
from eagerflow.capture.executor.future import future_type
from eagerflow.capture.executor.step import Ready, Step, Way, note, numbers
from eagerflow.capture.executor.together import run_together
from eagerflow.capture.executor.worker import Turn, hold, launch
from eagerflow.capture.graph import ASSIGN, SEND, Graph
from eagerflow.capture.options import USUAL, Options
from eagerflow.capture.partition import Partitioned
from eagerflow.capture.plan import Plan
from eagerflow.core.tensor import alias
from eagerflow.errors import CancelledError, StepTimeoutError

if TYPE_CHECKING:
    from concurrent.futures import Future

GRACE = 1.0  # seconds that parts of a step have to end once it is given up


class Executor:
    """Runs the parts of a graph, each in the thread of its device or, where that is free, one in that of the caller.

    Parameters
    ----------
    partitioned : Partitioned
        The parts, and the edges between them.
    plans : sequence of Plan
        How each part runs, in the same order.
    options : Options
        Of these `atomic` and `timeout`.
    together : bool
        Whether a caller runs all parts himself, one as far as it gets and then the next: where handing values from
        thread to thread costs more than running at the same time could save. All devices are on the host.

    Notes
    -----
    Several steps may be in flight, from several threads or by `submit`: every device runs its parts in the order in
    which they were started. When a step fails, the other devices end theirs at their next Send or Recv, and what went
    wrong is raised once, where the step was started, after all parts have ended. Only after a timeout or an interrupt
    a part that does not end is left behind, with its thread.

    A single part without edges runs in the thread of the caller.
    """

    def __init__(
        self, partitioned: Partitioned, plans: Sequence[Plan], options: Options = USUAL, together: bool = False
    ) -> None:
        self.partitioned = partitioned
        self.plans = list(plans)
        self.options = options
        self._parts = [
            Ready(part.device, plan, part.inputs, part.outputs, _assigned(part.graph))
            for part, plan in zip(partitioned.parts, plans, strict=True)
        ]
        lengths = {name: length for plan in plans for name, length in plan.lengths.items()}
        lines = {
            node.attrs["edge"]: node.line for part in partitioned.parts for node in part.graph.nodes if node.op is SEND
        }
        self._ways = {edge.number: Way.of(edge, lines.get(edge, ""), lengths) for edge in partitioned.edges}
        self._generators = partitioned.graph.draws
        self._outputs = len(partitioned.graph.outputs)
        self._here = len(self._parts) == 1 and not self._ways and options.timeout is None
        # What the caller may run himself: first what likely ends last. On other devices than the host the order of
        # steps may hang on the thread, and who waits with a limit has to see to it.
        own = [i for i, part in enumerate(self._parts) if part.device.on_host and options.timeout is None]
        self._own = sorted(own, key=lambda i: -len(self._parts[i].outputs))
        self._together = together and options.timeout is None and len(plans) > 1
        self._alone = threading.RLock()  # for atomic runs in the threads of callers

    def run(self, arrays: Sequence[Any], record: timeline.Timeline | None = None) -> list[Any]:
        """Run the graph.

        Parameters
        ----------
        arrays : sequence
            A device array for each input of the whole graph.
        record : Timeline, optional
            What is told when nodes run; the one of `eagerflow.profiler.trace` if not given.

        Returns
        -------
        list
            The arrays of its outputs.

        Raises
        ------
        StepTimeoutError
            It took longer than ``options.timeout`` seconds.
        """
        if self._here:
            return self._run_here(arrays, record or timeline.current)
        if not self._parts:  # a graph without results
            return []
        if self._together and record is None and timeline.current is None:
            turn = Turn()
            try:
                if hold([part.device for part in self._parts], turn):
                    return self._run_together(arrays)
            finally:
                turn.end()
        done = threading.Lock()
        done.acquire()
        step = self._step(arrays, lambda step: done.release(), record)
        limit = self.options.timeout
        turn = Turn()
        try:
            launch(step.tasks(), turn, self._own)
            if turn.index is not None:
                step.run_here(turn.index)
                if not self.options.atomic:  # otherwise nobody may see what is taken back
                    turn.end()
            if not step.over and not done.acquire(timeout=-1 if limit is None else limit):
                step.stop(self._too_slow(step))
                if not done.acquire(timeout=GRACE):
                    step.abandon()
            turn.end()
        except BaseException:  # an interrupt, at any place
            step.stop(CancelledError(f"{self._name}: the run was interrupted"))
            if turn.index is not None:
                step.ended(turn.index)
            if not step.over and not done.acquire(timeout=GRACE):
                step.abandon()
            turn.end()
            raise
        return step.taken()

    def submit(self, arrays: Sequence[Any], pack: Callable[[list[Any]], Any] = list) -> Future[Any]:
        """Start a run, and return at once.

        Parameters
        ----------
        arrays : sequence
            As for `run`. They are read while the run goes on: nobody may write to them before its end.
        pack : callable, optional
            Makes what the future gives of the list of arrays.

        Returns
        -------
        concurrent.futures.Future
            Of what `pack` makes. Its ``cancel`` stops a run that has begun, too.
        """
        future = future_type()(self._name, pack)
        if not self._parts:
            future.set_result(pack([]))
        limit = self.options.timeout
        timer = None if limit is None else threading.Timer(limit, self._expire, (future,))
        future.step = step = self._step(arrays, lambda step: _deliver(future, timer))
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            launch(step.tasks())
        except BaseException:  # an interrupt
            future.cancel()
            raise
        made: Future[Any] = future
        return made

    def _step(self, arrays: Sequence[Any], finished: Any, record: timeline.Timeline | None = None) -> Step:
        options = self.options
        record = record or timeline.current
        return Step(self._parts, self._ways, arrays, self._draws(), self._outputs, options.atomic, finished, record)

    def _draws(self) -> dict[int, tuple[Any, int]]:
        """Take what a run draws from each generator, for all parts."""
        return {id(generator): generator.take(count) for generator, count in self._generators}

    def _run_together(self, arrays: Sequence[Any]) -> list[Any]:
        """Run all parts in this thread, which holds their devices."""
        with self._given_back():
            return run_together(self._parts, arrays, self._draws(), self._outputs)

    def _run_here(self, arrays: Sequence[Any], record: timeline.Timeline | None) -> list[Any]:
        """Run the only part in this thread."""
        if not self.options.atomic:
            return self._only(arrays, record)
        with self._alone, self._given_back():
            return self._only(arrays, record)

    @contextmanager
    def _given_back(self) -> Iterator[None]:
        """Give Variables back what they had before this block if it fails and runs are atomic."""
        assigned = [variable for part in self._parts for variable in part.assigned] if self.options.atomic else []
        before = [(variable, alias(variable._value)) for variable in assigned]
        try:
            yield
        except BaseException:
            for variable, value in before:
                variable._value = value
            raise

    def _only(self, arrays: Sequence[Any], record: timeline.Timeline | None) -> list[Any]:
        part = self._parts[0]
        given = [arrays[i] for i in part.inputs]
        draws = self._draws()
        if record is None:
            made = part.plan.run(given, draws)
        else:
            made, starts, ends = part.plan.run_timed(given, draws)
            note(record, part, next(numbers), starts, ends)
        found: list[Any] = [None] * self._outputs
        for position, array in zip(part.outputs, made, strict=True):
            found[position] = array
        return found

    @property
    def _name(self) -> str:
        return self.partitioned.graph.name

    def _too_slow(self, step: Step) -> StepTimeoutError:
        text = f"{self._name}: a run took longer than {self.options.timeout:g} s"
        return StepTimeoutError("\n  ".join([text, *step.doing()]))

    def _expire(self, future: Any) -> None:
        """Give up a run that was submitted."""
        step = future.step
        if step.stop(self._too_slow(step)):
            try:
                future.exception(GRACE)
            except TimeoutError:
                step.abandon()


def _deliver(future: Any, timer: threading.Timer | None) -> None:
    if timer is not None:
        timer.cancel()
    future.deliver()


def _assigned(graph: Graph) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(node.attrs["variable"] for node in graph.nodes if node.op is ASSIGN))
