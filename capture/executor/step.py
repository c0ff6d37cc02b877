"""Step: one run of the parts of a graph."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from threading import get_ident
from typing import Any

from eagerflow.capture import timeline
from eagerflow.capture.executor import channel
from eagerflow.capture.executor.rendezvous import Rendezvous, Stopped
from eagerflow.capture.executor.worker import Worker, abandon
from eagerflow.capture.plan import Plan
from eagerflow.core.dims import evaluate
from eagerflow.core.tensor import alias
from eagerflow.devices import Device, transfer
from eagerflow.errors import CaptureError

numbers = itertools.count(1)  # of steps, in this process


@dataclass(frozen=True, slots=True)
class Ready:
    """A part of a graph, ready to run.

    Parameters
    ----------
    device : Device
        Where it runs.
    plan : Plan
        How.
    inputs, outputs : tuple of int
        Which inputs and outputs of the whole graph are its own.
    assigned : tuple of Variable
        The Variables that it assigns.
    """

    device: Device
    plan: Plan
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    assigned: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """How values go along an edge.

    Parameters
    ----------
    edge : Edge
        The edge.
    line : str
        The user's line that made what goes.
    nbytes : int
        Size of a value; 0 of a dummy.
    shared : bool
        Whether both devices see one memory, so that the array itself goes.
    flies : bool
        Whether the kind of both devices copies by itself while either goes on (``start_copy``, ``finish_copy``).
    aside : bool
        Whether another thread carries it, so that the sender goes on.
    """

    edge: Any
    line: str
    nbytes: int
    shared: bool
    flies: bool
    aside: bool

    @classmethod
    def of(cls, edge: Any, line: str, lengths: Mapping[str, int]) -> Way:
        """Return the way of an edge, for concrete lengths."""
        source, target = edge.source, edge.target
        nbytes = 0 if edge.spec is None else int(evaluate(edge.spec, lengths).nbytes)
        shared = edge.spec is None or (source.on_host and target.on_host)
        queued = hasattr(source.kind, "start_copy")  # what is on its way to the host has to wait for the device
        flies = not shared and source.kind is target.kind and queued
        aside = not shared and not flies and (nbytes >= channel.LARGE or queued)
        return cls(edge, line, nbytes, shared, flies, aside)


class Step:
    """One run: what the parts send to each other, what they gave, and how the run ended.

    Attributes
    ----------
    number : int
        Its number.
    results : list
        Arrays of the outputs of the whole graph.
    error : BaseException or None
        Why it failed or was stopped: the first reason counts.
    over : bool
        Whether all parts have ended.

    Parameters
    ----------
    parts : sequence of Ready
        The parts.
    ways : mapping of int to Way
        The edges, by their numbers.
    arrays : sequence
        Of the inputs of the whole graph.
    draws : mapping
        What the run takes from random generators.
    count : int
        Number of outputs of the whole graph.
    atomic : bool
        Whether Variables get back what they had before if it fails. Then the threads that it runs in wait for its end
        before they go on, so that nobody else sees what is taken back.
    finished : callable
        Called with the step when all parts have ended, in the thread of the last.
    record : Timeline, optional
        What is told when nodes run.
    """

    def __init__(
        self,
        parts: Sequence[Ready],
        ways: Mapping[int, Way],
        arrays: Sequence[Any],
        draws: Mapping[int, tuple[Any, int]],
        count: int,
        atomic: bool,
        finished: Callable[[Step], object],
        record: timeline.Timeline | None = None,
    ) -> None:
        self.number = next(numbers)
        self.results: list[Any] = [None] * count
        self.error: BaseException | None = None
        self.over = False
        self._parts = parts
        self._ways = ways
        self._arrays = arrays
        self._draws = draws
        self._finished = finished
        self._rendezvous = Rendezvous()
        self._lock = threading.Lock()
        self._left: set[Any] = set(range(len(parts)))  # parts and transfers aside that have not ended
        self._waiting = dict.fromkeys(range(len(parts)))  # parts that nobody has begun; whoever takes one has it alone
        self._running: dict[int, Worker] = {}
        self._abandoned = False
        self._finisher: int | None = None  # the thread that ends the step
        self._before: list[tuple[Any, Any]] | None = [] if atomic else None
        self._end = threading.Event() if atomic else None
        self._context = copy_context()  # a part sees what its caller sets: error states of NumPy, devices, tapes
        self._record = record

    # --- what plans call --------------------------------------------------------------------------

    def send(self, number: int, array: Any) -> None:
        """Send a value along an edge; None along one that only says that something is done."""
        way = self._ways[number]
        if way.aside:
            if self.error is not None:
                raise Stopped
            with self._lock:
                self._left.add(way.edge)
            channel.of(way.edge).put(lambda: self._carry_aside(way, array))
        elif way.shared and self._record is None:
            self._rendezvous.put(number, array)
        else:
            self._carry(way, array)

    def receive(self, number: int) -> Any:
        """Return what is sent along an edge, once it is there."""
        arrived = self._rendezvous.take(number)
        way = self._ways[number]
        return way.edge.target.kind.finish_copy(arrived) if way.flies else arrived

    def _carry(self, way: Way, array: Any) -> None:
        edge = way.edge
        start = time.perf_counter()
        if way.flies:
            arrived = edge.source.kind.start_copy(array, edge.target.index)
        else:
            arrived = array if way.shared else transfer(array, edge.source, edge.target)
        if self._record is not None:
            self._record.transfer(edge, self.number, way.nbytes, start, time.perf_counter())
        self._rendezvous.put(edge.number, arrived)

    def _carry_aside(self, way: Way, array: Any) -> None:
        """Carry a value in the thread of a channel."""
        try:
            self._carry(way, array)
        except Stopped:
            pass
        except BaseException as error:
            edge, line = way.edge, way.line or "an unknown line"
            error.add_note(f"while {edge.name} went from {edge.source} to {edge.target}\n  it was captured at {line}")
            self.stop(error)
        finally:
            self.ended(way.edge)

    # --- parts ------------------------------------------------------------------------------------

    def tasks(self) -> list[tuple[Device, Callable[[Worker], None]]]:
        """Return what the threads of the devices have to do."""
        return [(part.device, _Task(self, index)) for index, part in enumerate(self._parts)]

    def run_part(self, index: int, worker: Worker) -> None:
        """Run a part in the thread of its device."""
        if self._waiting.pop(index, self) is self:
            return  # the step was stopped before
        self._running[index] = worker
        try:
            self._context.copy().run(self._run, self._parts[index])
        except Stopped:
            pass
        except BaseException as error:
            self.stop(error)
        self.ended(index)
        if self._end is not None:
            self._end.wait()

    def run_here(self, index: int) -> None:
        """Run a part in the thread of the caller, who sees to interrupts."""
        if self._waiting.pop(index, self) is self:
            return
        try:
            self._run(self._parts[index])
        except Stopped:
            pass
        except Exception as error:
            self.stop(error)
        self.ended(index)

    def _run(self, part: Ready) -> None:
        if self._before is not None:
            # Values that somebody holds are not updated in place.
            self._before += [(variable, alias(variable._value)) for variable in part.assigned]
        arrays = [self._arrays[i] for i in part.inputs]
        if self._record is None:
            made = part.plan.run(arrays, self._draws, self)
        else:
            made, starts, ends = part.plan.run_timed(arrays, self._draws, self)
            note(self._record, part, self.number, starts, ends)
        for position, array in zip(part.outputs, made, strict=True):
            self.results[position] = array

    def ended(self, what: Any) -> None:
        """Note that a part, or a transfer aside, has ended. An interrupted caller does so again."""
        with self._lock:
            if type(what) is int:
                self._running.pop(what, None)
            self._left.discard(what)
            if self._left or self._abandoned:
                return
        self._finish()

    def _finish(self) -> None:
        with self._lock:
            if self.over or self._finisher not in (None, get_ident()):
                return
            self._finisher = get_ident()
        if self.error is None and len(self._rendezvous):
            self.error = CaptureError("a value was sent that nobody received: the parts of a graph do not fit")
        self._rendezvous.clear()
        if self._before is not None and self.error is not None:
            for variable, value in self._before:
                variable._value = value
        self._before = None
        if self._end is not None:
            self._end.set()
        self.over = True
        self._finished(self)

    # --- the end ----------------------------------------------------------------------------------

    def stop(self, error: BaseException) -> bool:
        """Let the step fail: parts end at their next Send or Recv. Tell whether it was not over or failed before."""
        with self._lock:
            if not self._left or self._abandoned:
                return False
            first = self.error is None
            if first:
                self.error = error
        self._rendezvous.cancel()
        for index in list(self._waiting):
            if self._waiting.pop(index, self) is not self:
                self.ended(index)
        return first

    def abandon(self) -> None:
        """End without parts that do not come back; their threads are replaced."""
        with self._lock:
            if not self._left or self._abandoned:
                return
            self._abandoned = True
            for worker in self._running.values():
                abandon(worker)
        self._finish()

    def taken(self) -> list[Any]:
        """Return the results, or raise what went wrong."""
        error, self.error = self.error, None
        try:
            if error is not None:
                raise error
            return self.results
        finally:
            del error  # the traceback of an error holds this frame

    def doing(self) -> list[str]:
        """Return for each device that is not through what it does just now."""
        frames = sys._current_frames()
        waiting = [self._ways[number].edge for number in self._rendezvous.waiting()]
        edges = {edge.target: edge for edge in waiting}
        found = []
        for index, part in enumerate(self._parts):
            worker = self._running.get(index)
            if index in self._waiting:
                found.append(f"{part.device} had not begun")
            elif worker is not None:
                node = part.plan.at(frames.get(worker.thread.ident or 0))
                line = f", captured at {node.line}" if node is not None and node.line else ""
                edge = edges.get(part.device)
                if edge is not None:
                    found.append(f"{part.device} waited for {edge.name} from {edge.source}{line}")
                else:
                    found.append(f"{part.device} was at {'its end' if node is None else node.op.name}{line}")
        return found


class _Task:
    """A part of a step, for the thread of its device."""

    __slots__ = ("_index", "_step")

    def __init__(self, step: Step, index: int) -> None:
        self._step = step
        self._index = index

    def __call__(self, worker: Worker) -> None:
        self._step.run_part(self._index, worker)


def note(record: timeline.Timeline, part: Ready, number: int, starts: list[float], ends: list[float]) -> None:
    """Tell a timeline when the nodes of a part ran."""
    plan = part.plan
    nodes = [step.node for step in plan.steps]
    record.step(part.device, number, nodes, starts, ends, name=plan.graph.name, lengths=plan.lengths)
