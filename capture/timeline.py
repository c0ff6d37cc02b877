"""Timeline: when each node ran and each value travelled, noted while captured functions run.

What runs graphs looks at `current` once per run; while it is None nothing is timed. `eagerflow.profiler` sets it, and
writes what was noted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from eagerflow.capture.graph import Node


class DeviceStep(NamedTuple):
    """One run of a plan on one device; times in seconds of `time.perf_counter`."""

    device: Any
    number: int
    nodes: Sequence[Node]
    starts: Sequence[float]
    ends: Sequence[float]
    name: str
    lengths: Mapping[str, int]


class Transfer(NamedTuple):
    """One value on its way along an edge; times in seconds of `time.perf_counter`."""

    edge: Any
    number: int
    nbytes: int
    start: float
    end: float


class Timeline:
    """Collects what ran when, from any thread; appending to a list is all that it does meanwhile.

    Attributes
    ----------
    steps : list of DeviceStep
        Runs of plans.
    transfers : list of Transfer
        Values that went from one device to another.
    """

    def __init__(self) -> None:
        self.steps: list[DeviceStep] = []
        self.transfers: list[Transfer] = []

    def step(
        self,
        device: Any,
        step_number: int,
        nodes: Sequence[Node],
        starts: Sequence[float],
        ends: Sequence[float],
        *,
        name: str = "",
        lengths: Mapping[str, int] | None = None,
    ) -> None:
        """Note one run of a plan.

        Parameters
        ----------
        device : Device
            Where it ran.
        step_number : int
            Which run of the function it was; the same for all devices that took part.
        nodes : sequence of Node
            The nodes in the order in which they ran. Kept, not copied.
        starts, ends : sequence of float
            When each began and ended, in seconds of `time.perf_counter`. Kept, not copied: nobody may write to them
            afterwards. Shorter than `nodes` if the run failed.
        name : str, optional
            Name of the function.
        lengths : mapping of str to int, optional
            Numbers for symbolic lengths.
        """
        self.steps.append(DeviceStep(device, step_number, nodes, starts, ends, name, lengths or {}))

    def transfer(self, edge: Any, step_number: int, nbytes: int, start: float, end: float) -> None:
        """Note that a value went along an edge.

        Parameters
        ----------
        edge : Edge
            From where to where, and of which `SEND` and `RECV`.
        step_number : int
            The number that `step` gets for the same run.
        nbytes : int
            Bytes that went; 0 for an edge that only says that something is done.
        start, end : float
            When it was given away and when it was there, in seconds of `time.perf_counter`.
        """
        self.transfers.append(Transfer(edge, step_number, nbytes, start, end))


# Who listens; None while nobody does.
current: Timeline | None = None
