"""Origins: of which nodes of a graph the nodes are that a plan runs.

Plans and partitions run copies: with other inputs, on other devices, several fused groups as one, or the nodes inside
a group one by one. A copy has the same op and, as nothing writes to them, the very same attributes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eagerflow.capture.graph import FUSED, PARAMETER, Graph, Node
from eagerflow.capture.plan.batches import BATCH
from eagerflow.core.dims import evaluate, hints

if TYPE_CHECKING:
    from eagerflow.capture.partition import Part


class Origins:
    """Finds the nodes of a graph that copies were made of.

    Parameters
    ----------
    graph : Graph
        The graph.
    parts : sequence of Part, optional
        What it was cut into, if it was.
    """

    def __init__(self, graph: Graph, parts: Sequence[Part] = ()) -> None:
        self._exact: dict[Node, Node] = {}
        self._alike: dict[Any, list[Node]] = {}
        self._holder: dict[Node, Node] = {}
        for node in graph.nodes:
            self._add(node, node)
        for part in parts:
            for node, origin in part.origins.items():
                self._add(node, origin)

    def _add(self, node: Node, origin: Node) -> None:
        self._exact[node] = origin
        alike = self._alike.setdefault((node.op, id(node.attrs)), [])
        if origin not in alike:
            alike.append(origin)
        if node.op is FUSED:
            for inner, its in zip(node.attrs["graph"].nodes, origin.attrs["graph"].nodes, strict=True):
                if inner.op is not PARAMETER:
                    self._holder[its] = origin
                    self._add(inner, its)

    def of(self, nodes: Iterable[Node]) -> dict[Node, Node]:
        """Return the origin of each node of plans, in order; of a batch those of its groups.

        What was made for the plans alone (Send and Recv) has none.
        """
        turn: Counter[Any] = Counter()
        found: dict[Node, Node] = {}
        for node in nodes:
            for group in groups(node):
                key = (group.op, id(group.attrs))
                alike = self._alike.get(key, ())
                if group in self._exact:
                    found[group] = self._exact[group]
                elif alike:  # nodes that share their attributes come in the order of the graph
                    found[group] = alike[min(turn[key], len(alike) - 1)]
                turn[key] += 1
        return found

    def holder(self, node: Node) -> Node | None:
        """Return the fused node that a node of the graph is in, or None."""
        return self._holder.get(node)


def groups(node: Node) -> list[Node]:
    """Return the groups of a batch; any other node alone."""
    return list(node.attrs["groups"]) if node.op is BATCH else [node]


def shared(times: Mapping[Node, float], origins: Origins, lengths: Mapping[str, int]) -> dict[Node, float]:
    """Return the seconds of the nodes of a graph, and of those inside its groups, from those of the nodes of plans.

    What a batch took is divided among its groups by the bytes that they read and write.

    Parameters
    ----------
    times : mapping of Node to float
        Seconds of the nodes that plans ran.
    origins : Origins
        Finds the nodes of the graph.
    lengths : mapping of str to int
        Numbers for symbolic lengths.
    """
    original = origins.of(times)
    found: dict[Node, float] = {}

    def add(node: Node, seconds: float) -> None:
        found[node] = found.get(node, 0.0) + seconds

    for node, seconds in times.items():
        members = groups(node)
        sizes = [moved(group, lengths) for group in members]
        whole = sum(sizes)
        for group, size in zip(members, sizes, strict=True):
            origin = original.get(group)
            if origin is None:
                continue
            share = seconds * (size / whole if whole else 1 / len(members))
            add(origin, share)
            holder = origins.holder(origin)
            if holder is not None:
                add(holder, share)
    return found


def moved(node: Node, lengths: Mapping[str, int]) -> int:
    """Return the bytes of what a node reads and writes, each value once; at lengths seen while tracing if not told."""
    told = (evaluate(value.spec, lengths) if lengths else hints(value.spec) for value in {*node.values, *node.outputs})
    return sum(int(spec.nbytes) for spec in told)


def named(node: Node, most: int = 6) -> str:
    """Return the op of a node; of a fused group also what is inside, of a batch its groups."""
    if node.op is FUSED:
        names = list(dict.fromkeys(n.op.name for n in node.attrs["graph"].nodes if n.op is not PARAMETER))
        return f"fused({', '.join(names[:most])}{', …' if len(names) > most else ''})"
    if node.op is BATCH:
        counts = Counter(named(group, most) for group in node.attrs["groups"])
        return " + ".join(f"{count} × {name}" if count > 1 else name for name, count in counts.items())
    return str(node.op.name)
