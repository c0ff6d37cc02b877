"""Placement: where each node of a graph goes, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eagerflow.capture.graph import FUSED, Node
from eagerflow.capture.text import short_line
from eagerflow.devices import Device

SHOWN = 60  # nodes in the text of a placement
WIDEST = 48  # characters that columns are aligned to


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device on which a node could be, with what is expected there.

    Parameters
    ----------
    device : Device
        The device.
    kernel : float
        Seconds that the node takes; infinite without a kernel.
    transfer : float
        Seconds that inputs take that live elsewhere, one after another.
    finish : float
        When the node would be done, counted from the beginning of the run.
    """

    device: Device
    kernel: float
    transfer: float
    finish: float

    def __str__(self) -> str:
        moved = f"+{_micro(self.transfer)}" if self.transfer else ""
        return f"{self.device} {_micro(self.kernel)}{moved}→{_micro(self.finish)}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Where one node goes.

    Parameters
    ----------
    node : Node
        The node.
    device : Device
        Where it goes.
    candidates : tuple of Candidate
        The devices that it could go to.
    constraint : str
        What the program says about it: the line of a request, a Variable; empty where the placer chose.
    why : str
        Why it goes there.
    """

    node: Node
    device: Device
    candidates: tuple[Candidate, ...]
    constraint: str
    why: str

    @property
    def row(self) -> tuple[str, ...]:
        """The decision as columns of a table: device, operation, results, costs, reason, where in the program."""
        node = self.node
        results = ", ".join(repr(value.spec) for value in node.outputs)
        costs = "  ".join(map(str, self.candidates))
        where = "  ".join(filter(None, [node.scope, short_line(node.line)]))
        return str(self.device), _named(node), results, costs, self.why, where

    def __str__(self) -> str:
        return "  ".join(filter(None, self.row))


class Placement:
    """Where the nodes of a graph go; its text is a table.

    Attributes
    ----------
    where : dict
        The device of each node.
    devices : list of Device
        The devices that have nodes.
    makespan : float
        Seconds that a run takes by simulation.
    busy : dict
        Per device the seconds of its nodes.
    memory : dict
        Per device the most bytes that it holds at one time.
    single : dict
        Per device the seconds of a run with everything on it that may be there.
    decisions : list of Decision
        One for each node.
    """

    def __init__(
        self,
        name: str,
        where: Mapping[Node, Device],
        makespan: float,
        decisions: Sequence[Decision],
        busy: Mapping[Device, float],
        memory: Mapping[Device, int],
        single: Mapping[Device, float],
    ) -> None:
        self.name = name
        self.where = dict(where)
        self.devices = list(dict.fromkeys(self.where.values()))
        self.makespan = makespan
        self.decisions = list(decisions)
        self.busy = dict(busy)
        self.memory = dict(memory)
        self.single = dict(single)

    def table(self, limit: int | None = None) -> str:
        """Return the decisions as text, those of the first `limit` nodes; of all if not given.

        Parameters
        ----------
        limit : int, optional
            How many nodes are shown.

        Returns
        -------
        str
            A line for the whole, one for each device, and one for each node: its device, what it is, per candidate
            the microseconds of kernel and transfers and when it would be done, and the reason.
        """
        number = len(self.decisions)
        places = "1 device" if len(self.devices) == 1 else f"{len(self.devices)} devices"
        lines = [f"{self.name}: {number} nodes on {places}, {_micro(self.makespan)} µs expected"]
        for device in self.devices:
            nodes = sum(1 for place in self.where.values() if place is device)
            alone = f", alone {_micro(self.single[device])} µs" if device in self.single else ""
            lines.append(
                f"  {device}: {nodes} nodes, busy {_micro(self.busy.get(device, 0.0))} µs, "
                f"{self.memory.get(device, 0):,} bytes{alone}"
            )
        shown = self.decisions if limit is None else self.decisions[:limit]
        rows = [
            ("device", "operation", "results", "kernel+transfers→done, µs", "because", "in"),
            *[d.row for d in shown],
        ]
        widths = [min(WIDEST, max(map(len, column))) for column in zip(*rows, strict=True)]
        lines += ["  ".join(text.ljust(n) for text, n in zip(row, widths, strict=True)).rstrip() for row in rows]
        if len(shown) < number:
            lines.append(f"… and {number - len(shown):,} more")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table(SHOWN)

    def __repr__(self) -> str:
        return f"<Placement of {self.name}: {len(self.where)} nodes on {', '.join(map(str, self.devices))}>"


def _named(node: Node) -> str:
    if node.op is not FUSED:
        return str(node.op.name)
    names = list(dict.fromkeys(n.op.name for n in node.attrs["graph"].nodes if n.op.name != "parameter"))
    return f"fused({', '.join(names[:2])}{', …' if len(names) > 2 else ''})"


def _micro(seconds: float) -> str:
    if seconds == float("inf"):
        return "∞"
    micro = seconds * 1e6
    return f"{micro:,.1f}" if micro < 100 else f"{micro:,.0f}"
