"""What a partition is made of: parts, and the edges between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from eagerflow.capture.graph import Graph, Node
from eagerflow.core.spec import Spec
from eagerflow.devices import Device


@dataclass(frozen=True, eq=False, repr=False)
class Edge:
    """What passes from one device to another: a value, or only that something is done.

    Parameters
    ----------
    number : int
        Its number among the edges of the partition.
    source, target : Device
        Where it starts, and where it ends.
    spec : Spec or None
        What travels; None where it is only said that a node has run.
    name : str
        What it carries, for people: the value or the node as the printed graph calls it.
    lent : bool
        Whether what is sent may lie in the memory of an argument or a constant of the sender, so that who returns it
        has to copy it.
    """

    number: int
    source: Device
    target: Device
    spec: Spec | None
    name: str
    lent: bool = False

    def __repr__(self) -> str:
        return f"#{self.number} {self.source} -> {self.target}"


@dataclass(eq=False)
class Part:
    """What one device runs.

    Parameters
    ----------
    device : Device
        The device.
    graph : Graph
        Its nodes, with those that send and receive; they run in their order.
    inputs : tuple of int
        Which inputs of the whole graph are its parameters, in order.
    outputs : tuple of int
        Which outputs of the whole graph its outputs are, in order.
    origins : dict of Node to Node
        Per node the node of the whole graph that it does the work of; those that send, receive and convert have none.
    """

    device: Device
    graph: Graph
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    origins: dict[Node, Node] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"on {self.device}:\n" + "\n".join(f"  {line}" for line in str(self.graph).splitlines())


@dataclass(eq=False)
class Partitioned:
    """A graph in parts.

    Parameters
    ----------
    graph : Graph
        The whole graph.
    parts : list of Part
        One for each device that has anything to do.
    edges : list of Edge
        What passes between them, by number.
    """

    graph: Graph
    parts: list[Part]
    edges: list[Edge]

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.parts))
