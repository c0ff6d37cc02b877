"""Plan: a graph for concrete lengths, compiled to straight-line Python that calls kernels on memory made beforehand."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

from eagerflow.capture.failure import explained
from eagerflow.capture.graph import Graph, Node, Value
from eagerflow.capture.plan.batches import joined
from eagerflow.capture.plan.lives import Lives
from eagerflow.capture.plan.steps import Step, steps_of
from eagerflow.capture.plan.usage import allocated
from eagerflow.capture.plan.writer import Writer
from eagerflow.core.dims import evaluate


class Memory(NamedTuple):
    """Bytes that a plan needs for what is neither argument, Variable nor constant.

    Attributes
    ----------
    peak : int
        With buffers that are used again; on a GPU at a time, with a pool that does so.
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
        self.memory = Memory(*map(sum, zip(writer.memory, allocated(self.steps, self.lives), strict=True)))
        self.places = writer.places()
        self._lines, self._names = writer.lines, writer.names
        self._setup, self._run = writer.functions()
        self._pool: list[Any] = []
        self._timed: _Variant | None = None
        self._turns: _Variant | None = None

    def _written(self, timed: bool = False, in_turns: bool = False) -> Writer:
        return Writer(self.graph, self.steps, self.outputs, self.lives, self.lengths, timed, in_turns)

    def run(self, arrays: Sequence[Any], draws: Mapping[int, tuple[Any, int]] | None = None, step: Any = None) -> Any:
        """Run the plan.

        Parameters
        ----------
        arrays : sequence
            An array of the graph's device for each input.
        draws : mapping, optional
            Key and first counter of each random generator, by its `id`; otherwise they are taken now.
        step : Step, optional
            The run of the whole graph of which this graph is a part: what sends and receives.

        Returns
        -------
        list
            The arrays of its outputs: new ones in every run.
        """
        pool = self._pool
        try:
            workspace = pool.pop()
        except IndexError:  # the first run, or another thread runs it just now
            workspace = self._setup()
        try:
            return self._run(arrays, workspace, draws, step)
        except Exception as error:
            raise self._explained(error, self._run, self._lines, step is not None) from error
        finally:
            pool.append(workspace)

    def run_timed(
        self, arrays: Sequence[Any], draws: Mapping[int, tuple[Any, int]] | None = None, step: Any = None
    ) -> tuple[list[Any], list[float], list[float]]:
        """Run the plan as `run` does, with a clock at every step.

        Returns
        -------
        tuple
            What `run` returns, and when each of `steps` began and ended, in seconds of `time.perf_counter`.
        """
        timed = self._timed
        if timed is None:
            writer = self._written(timed=True)
            timed = self._timed = _Variant(*writer.functions(), writer.lines, [])
        starts, ends = [0.0] * len(self.steps), [0.0] * len(self.steps)
        try:
            workspace = timed.pool.pop()
        except IndexError:
            workspace = timed.setup()
        try:
            made = timed.run(arrays, workspace, draws, step, starts, ends)
        except Exception as error:
            raise self._explained(error, timed.run, timed.lines, step is not None) from error
        finally:
            timed.pool.append(workspace)
        return made, starts, ends

    def in_turns(
        self, arrays: Sequence[Any], draws: Mapping[int, tuple[Any, int]], step: Any
    ) -> Generator[int, Any, list[Any]]:
        """Run the plan as `run` does, in turns with others in one thread.

        Yields
        ------
        int
            The number of an edge, where the plan goes on with what is sent along it.
        """
        turns = self._turns
        if turns is None:
            writer = self._written(in_turns=True)
            turns = self._turns = _Variant(*writer.functions(), writer.lines, [])
        try:
            workspace = turns.pool.pop()
        except IndexError:
            workspace = turns.setup()
        try:
            made = turns.run(arrays, workspace, draws, step)
            return made if type(made) is list else (yield from made)  # what never waits is no generator
        except Exception as error:
            raise self._explained(error, turns.run, turns.lines, True) from error
        finally:
            turns.pool.append(workspace)

    def at(self, frame: FrameType | None) -> Node | None:
        """Return the node that a thread with this frame runs just now, if it runs this plan."""
        codes = {self._run.__code__: self._lines}
        if self._timed is not None:
            codes[self._timed.run.__code__] = self._timed.lines
        while frame is not None:
            if frame.f_code in codes:
                step = codes[frame.f_code].get(frame.f_lineno)
                return None if step is None else step.node
            frame = frame.f_back
        return None

    def _explained(
        self, error: Exception, run: Callable[..., Any], lines: Mapping[int, Step], several: bool
    ) -> Exception:
        """Return the error with the node that failed, found by the line of the source that was running."""
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_frame.f_code is not run.__code__:
            traceback = traceback.tb_next
        step = None if traceback is None else lines.get(traceback.tb_lineno)
        if traceback is None or step is None:
            return error
        found = {**traceback.tb_frame.f_globals, **traceback.tb_frame.f_locals}
        arrays = [
            found.get(self._names[x]) if isinstance(x, Value) else evaluate(x, self.lengths) for x in step.node.inputs
        ]
        return explained(step.node, arrays, error, several)


class _Variant(NamedTuple):
    """The plan in another form: with a clock at every step, or as a generator."""

    setup: Callable[..., Any]
    run: Callable[..., Any]
    lines: dict[int, Step]
    pool: list[Any]
