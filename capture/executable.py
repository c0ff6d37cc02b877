"""Executable: a graph, made ready to run: optimized once, planned for each set of concrete lengths."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from eagerflow.capture.graph import Graph
from eagerflow.capture.interpreter import lengths_of
from eagerflow.capture.options import USUAL, Options
from eagerflow.capture.passes import optimize
from eagerflow.capture.plan import Plan


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
        self._plans: dict[tuple[int, ...], Plan] = {}
        self._lock = threading.Lock()
        self._symbolic = any(type(side) is not int for value in graph.inputs for side in value.shape)
        self._plan: Plan | None = None
        self.last: Plan | None = None  # the plan of the last call

    @property
    def graph(self) -> Graph:
        """The graph that runs: after the passes."""
        if self._optimized is None:
            self._optimized = optimize(self.captured, self.options.passes)
        return self._optimized

    def plan(self, arrays: Sequence[Any] | None = None, lengths: dict[str, int] | None = None) -> Plan:
        """Return the plan for arrays of these shapes; without arrays the one for the lengths seen while capturing."""
        if not self._symbolic and not lengths:  # attributes may be symbolic where no input is
            if self._plan is None:
                with self._lock:
                    self._plan = self.last = self._plan or Plan(self.graph, {})
            return self._plan
        if lengths is None:
            lengths = hints_of(self.captured) if arrays is None else lengths_of(self.captured, arrays)
        key = tuple(lengths.values())
        plan = self._plans.get(key)
        if plan is None:
            with self._lock:
                plan = self._plans.get(key) or Plan(self.graph, lengths)
                self._plans[key] = plan
        self.last = plan
        return plan

    def run(self, arrays: Sequence[Any], lengths: dict[str, int] | None = None) -> list[Any]:
        """Run the graph, and return the arrays of its outputs; `lengths` if the shapes of inputs do not tell them."""
        plan = self._plan
        if plan is None:
            plan = self.plan(arrays, lengths)
        return plan.run(arrays)


def hints_of(graph: Graph) -> dict[str, int]:
    """Return the lengths that were seen while the graph was captured."""
    found: dict[str, int] = {}
    for value in graph.inputs:
        for side in value.shape:
            if type(side) is not int:
                found.setdefault(str(side), int(side.hint))
    return found
