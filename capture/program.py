"""Program: a graph for concrete lengths, placed, cut into partitions and planned: what an executor runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from eagerflow.capture import timeline
from eagerflow.capture.executor import Executor
from eagerflow.capture.graph import ASSIGN, READ, Graph, Node
from eagerflow.capture.options import Options
from eagerflow.capture.page import GraphView
from eagerflow.capture.partition import Part, Partitioned, partition
from eagerflow.capture.placement import Costs, Placement, candidates, place
from eagerflow.capture.plan import Memory, Plan, Replay
from eagerflow.capture.profile import Profile
from eagerflow.capture.view import Slice, view_of, view_of_parts
from eagerflow.devices import Device, memory_limit

HAND_OVER = 5e-5  # seconds from one thread to another that sleeps, on an idle machine
PYTHON = 5e-6  # seconds of a kernel in which Python runs, or NumPy without letting go of it: one thread at a time


class Program:
    """How a graph runs on arrays of concrete shapes, on one device or on many.

    Parameters
    ----------
    graph : Graph
        The graph, after the passes.
    lengths : dict
        The lengths that its symbols stand for.
    options : Options
        Which devices there are to choose from, and how it runs.
    profile : mapping of Node to float, optional
        Measured seconds of nodes, from which the placer takes costs.
    measured_on : mapping of Node to Device, optional
        Where they were measured.

    Attributes
    ----------
    partitioned : Partitioned
        The graph in parts, one a device.
    plans : list of Plan
        The plan of each part.
    replay : Replay or None
        How the plan runs where its device can record it.
    run : callable
        ``run(arrays)`` runs it and returns the arrays of its outputs: new ones in every run.
    """

    def __init__(
        self,
        graph: Graph,
        lengths: dict[str, int],
        options: Options,
        profile: Mapping[Node, float] | None = None,
        measured_on: Mapping[Node, Device] | None = None,
    ) -> None:
        self.graph = graph
        self.lengths = lengths
        self.costs = Costs(lengths, profile, measured_on=measured_on)
        self.devices = candidates(graph, options.devices)
        only = only_device(graph, self.devices)
        if only is not None and memory_limit(only) is not None:
            self.placement  # noqa: B018 - it raises where the graph does not fit
        if only is None:
            self.partitioned = partition(graph, self.placement.where, lengths, self.costs, options.compress)
        else:  # there is nothing to decide, and nothing to cut
            whole = Part(only, graph, tuple(range(len(graph.inputs))), tuple(range(len(graph.outputs))))
            self.partitioned = Partitioned(graph, [whole], [])
        self.plans = [Plan(part.graph, lengths) for part in self.partitioned.parts]
        self.executor = Executor(self.partitioned, self.plans, options, only is None and self._is_small())
        # Without anything to see to, a plan runs by itself.
        alone = len(self.plans) == 1 and not self.partitioned.edges and not options.atomic and options.timeout is None
        direct = alone and only is not None
        self.run: Callable[..., list[Any]] = self.plans[0].run if direct else self.executor.run
        self.replay: Replay | None = None
        if alone and type((part := self.partitioned.parts[0]).device.kind).records:
            self.replay = Replay.of(part.graph, part.device, self.plans[0].run)
            if self.replay.reason is None:
                self.run = partial(_replayed, self.replay, part, len(graph.outputs))

    @cached_property
    def placement(self) -> Placement:
        """Where each node runs, and why."""
        return place(self.graph, self.devices, self.lengths, self.costs)

    def _is_small(self) -> bool:
        """Tell whether running parts at the same time saves less than it costs to hand values over."""
        if not all(part.device.on_host for part in self.partitioned.parts):
            return False
        alone: dict[Device, float] = {}  # seconds in which others can run at the same time
        for node, device in self.placement.where.items():
            alone[device] = alone.get(device, 0.0) + max(0.0, self.costs.seconds(node, device) - PYTHON)
        hand_overs = len(self.partitioned.edges) + len(self.partitioned.parts)
        return sum(alone.values()) - max(alone.values(), default=0.0) < HAND_OVER * hand_overs

    def profile(self, name: str, arrays: Sequence[Any], repeat: int) -> Profile:
        """Run with a clock at every node: the least seconds of each count, and when each ran in the last run."""
        computed = {step.node for plan in self.plans for step in plan.steps if step.form != "source"}
        times: dict[Node, float] = {}
        slices: list[Slice] = []
        for _ in range(max(repeat, 1)):
            record = timeline.Timeline()
            self.executor.run(arrays, record)
            slices = [
                (run.device, node, start, end)
                for run in record.steps
                for node, start, end in zip(run.nodes, run.starts, run.ends, strict=True)
            ]
            for _, node, start, end in slices:
                if node in computed:
                    times[node] = min(times.get(node, math.inf), end - start)
        return Profile(name, times, slices, self.lengths, self.partitioned.parts)

    def view(self, profile: Profile | None) -> GraphView:
        """Return what the page shows."""
        times, slices = ({}, ()) if profile is None else (profile.times, profile.slices)
        if len(self.plans) == 1:
            return view_of(self.plans[0], times, slices)
        return view_of_parts(self.partitioned, self.plans, times, slices)

    @property
    def source(self) -> str:
        """The Python that runs; of several parts each under the name of its device.

        Above it stands whether it is replayed, or why not, where the device can do that.
        """
        if len(self.plans) == 1:
            return self.plans[0].source if self.replay is None else f"# {self.replay}\n{self.plans[0].source}"
        parts = zip(self.partitioned.parts, self.plans, strict=True)
        return "\n\n".join(f"# {part.device}\n{plan.source}" for part, plan in parts)

    @property
    def memory(self) -> Memory:
        """How much memory the plans need together."""
        return Memory(*[sum(sizes) for sizes in zip(*[plan.memory for plan in self.plans], strict=True)])


def _replayed(replay: Replay, part: Part, outputs: int, arrays: Sequence[Any]) -> list[Any]:
    """Run the only part of a graph."""
    found: list[Any] = [None] * outputs
    for position, array in zip(part.outputs, replay.run([arrays[i] for i in part.inputs]), strict=True):
        found[position] = array
    return found


def only_device(graph: Graph, devices: Sequence[Device]) -> Device | None:
    """Return the device on which everything is, and has to be; None if there are several, or some to choose from."""
    if len(devices) != 1:
        return None
    (only,) = devices
    for node in graph.nodes:
        if node.request is not None and not node.request.admits(only):
            return None
        if (node.op is READ or node.op is ASSIGN) and node.attrs["variable"].device is not only:
            return None
        if any(value.device is not only for value in node.outputs):
            return None
    return only
