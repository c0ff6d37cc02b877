"""Executable: a graph, made ready to run: optimized once, placed and planned for each set of concrete lengths."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eagerflow.capture import timeline
from eagerflow.capture.graph import Graph, Node
from eagerflow.capture.interpreter import lengths_of
from eagerflow.capture.options import USUAL, Options
from eagerflow.devices import Device, generation
from eagerflow.late import loading

if TYPE_CHECKING:
    from eagerflow.capture.program import Program


class Executable:
    """Runs a graph on arrays.

    Parameters
    ----------
    graph : Graph
        The graph as it was captured.
    options : Options, optional
        The passes to apply, and how it runs.
    """

    def __init__(self, graph: Graph, options: Options = USUAL) -> None:
        self.captured = graph
        self.options = options
        self._optimized: Graph | None = None
        self._programs: dict[tuple[int, ...], Program] = {}
        self._lock = threading.Lock()
        self._symbolic = any(type(side) is not int for value in graph.inputs for side in value.shape)
        self._program: Program | None = None  # the only one, where there are no lengths to tell apart
        self._generation = generation()
        self._profile: tuple[Mapping[Node, float], Mapping[Node, Device]] | None = None  # seconds, and where measured
        self._last: Program | None = None  # that of the last call

    @property
    def graph(self) -> Graph:
        """The graph that runs: after the passes."""
        if self._optimized is None:
            with loading:
                from eagerflow.capture.passes import optimize

            self._optimized = optimize(self.captured, self.options.passes)
        return self._optimized

    def place(self, profile: Mapping[Node, float] | None) -> None:
        """Decide anew where nodes run, by measured times; None for the declared costs."""
        measured = None if profile is None else (profile, self.last().placement.where)
        with self._lock:
            self._profile = measured
            self._forget()

    def _forget(self) -> None:
        self._program = self._last = None
        self._programs.clear()
        self._generation = generation()

    def program(self, arrays: Sequence[Any] | None = None, lengths: dict[str, int] | None = None) -> Program:
        """Return the program for arrays of these shapes; without arrays for the lengths seen while capturing."""
        if self._generation != generation():  # there are other devices now
            with self._lock:
                self._forget()
        if not self._symbolic and not lengths:  # attributes may be symbolic where no input is
            with self._lock:
                if self._program is None:
                    self._program = self._last = self._made({})
                return self._program
        if lengths is None:
            lengths = hints_of(self.captured) if arrays is None else lengths_of(self.captured, arrays)
        key = tuple(lengths.values())
        program = self._programs.get(key)
        if program is None:
            with self._lock:
                program = self._programs.get(key) or self._made(lengths)
                self._programs[key] = program
        self._last = program
        return program

    def last(self) -> Program:
        """Return the program of the last call; where there was none the one for the lengths seen while capturing."""
        if self._last is None or self._generation != generation():
            return self.program()
        return self._last

    def _made(self, lengths: dict[str, int]) -> Program:
        with loading:
            from eagerflow.capture.program import Program

        return Program(self.graph, lengths, self.options, *(self._profile or ()))

    def run(self, arrays: Sequence[Any], lengths: dict[str, int] | None = None) -> list[Any]:
        """Run the graph, and return the arrays of its outputs; `lengths` if the shapes of inputs do not tell them."""
        program = self._program
        if program is None or self._generation != generation():
            program = self.program(arrays, lengths)
        if timeline.current is not None:
            return program.executor.run(arrays)
        return program.run(arrays)


def hints_of(graph: Graph) -> dict[str, int]:
    """Return the lengths that were seen while the graph was captured."""
    found: dict[str, int] = {}
    for value in graph.inputs:
        for side in value.shape:
            if type(side) is not int:
                found.setdefault(str(side), int(side.hint))
    return found
