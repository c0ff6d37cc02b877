"""Plan: a graph for concrete lengths, compiled to straight-line Python that calls kernels on memory made beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from eagerflow.capture.failure import explained
from eagerflow.capture.graph import Graph, Node, Value
from eagerflow.capture.plan.batches import joined
from eagerflow.capture.plan.lives import Lives
from eagerflow.capture.plan.steps import steps_of
from eagerflow.capture.plan.writer import Writer
from eagerflow.core.dims import evaluate


class Memory(NamedTuple):
    """Bytes that a plan needs for what is neither argument, Variable nor constant.

    Attributes
    ----------
    peak : int
        With buffers that are used again.
    without_reuse : int
        If every value had memory of its own.
    results : int
        Of what is returned, which is made anew in every run.
    """

    peak: int
    without_reuse: int
    results: int


class Plan:
    """How a graph runs on arrays of concrete shapes.

    Parameters
    ----------
    graph : Graph
        The graph, after the passes.
    lengths : dict
        The lengths that its symbols stand for.

    Attributes
    ----------
    steps : list of Step
        How each node is computed, in order.
    source : str
        The Python that runs.
    buffers : Buffers
        The memory that values share.
    places : dict
        Per value the number of its buffer, or what else holds it: ``input``, ``variable``, ``constant``, ``output`` or
        ``new``.
    memory : Memory
        How much it is.
    """

    def __init__(self, graph: Graph, lengths: dict[str, int]) -> None:
        self.graph = graph
        self.lengths = lengths
        self.steps, self.outputs = joined(*steps_of(graph, lengths))
        self.lives = Lives(self.steps, self.outputs)
        writer = self._written()
        self.source, self.buffers = writer.source, writer.buffers
        self.memory = Memory(*writer.memory)
        self.places = writer.places()
        self._lines, self._names = writer.lines, writer.names
        self._setup, self._run = writer.functions()
        self._pool: list[Any] = []

    def _written(self, timed: bool = False) -> Writer:
        return Writer(self.graph, self.steps, self.outputs, self.lives, self.lengths, timed)

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Run the plan, and return the arrays of its outputs: new ones in every run."""
        pool = self._pool
        try:
            workspace = pool.pop()
        except IndexError:  # the first run, or another thread runs it just now
            workspace = self._setup()
        try:
            return self._run(arrays, workspace)
        except Exception as error:
            raise self._explained(error) from error
        finally:
            pool.append(workspace)

    def profile(self, arrays: Sequence[Any], repeat: int = 5) -> dict[Node, float]:
        """Run with a clock at every step, and return the least seconds that each node took."""
        setup, run = self._written(timed=True).functions()
        workspace = setup()
        times = [math.inf] * len(self.steps)
        for _ in range(repeat):
            clock = [0.0] * len(self.steps)
            run(arrays, workspace, clock)
            times = [min(a, b) for a, b in zip(times, clock, strict=True)]
        return {step.node: t for step, t in zip(self.steps, times, strict=True) if step.form != "source"}

    def _explained(self, error: Exception) -> Exception:
        """Return the error with the node that failed, found by the line of the source that was running."""
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_frame.f_code is not self._run.__code__:
            traceback = traceback.tb_next
        step = None if traceback is None else self._lines.get(traceback.tb_lineno)
        if traceback is None or step is None:
            return error
        found = {**traceback.tb_frame.f_globals, **traceback.tb_frame.f_locals}
        arrays = [
            found.get(self._names[x]) if isinstance(x, Value) else evaluate(x, self.lengths) for x in step.node.inputs
        ]
        return explained(step.node, arrays, error)
