"""Profile: how long each node of a captured function took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eagerflow.capture.graph import SEND, Graph, Node
from eagerflow.capture.origins import Origins, named, shared
from eagerflow.capture.plan.steps import device_of
from eagerflow.core.tensor import alias

if TYPE_CHECKING:
    from eagerflow.capture.partition import Part


class Profile:
    """Seconds that each node took, the least of several runs.

    Attributes
    ----------
    times : dict
        Seconds by node, in the order in which they run.
    slices : list of (Device, Node, float, float)
        When each node of one run began and ended, if that was measured; empty otherwise.
    """

    def __init__(
        self,
        name: str,
        times: Mapping[Node, float],
        slices: Sequence[tuple[Any, Node, float, float]] = (),
        lengths: Mapping[str, int] | None = None,
        parts: Sequence[Part] = (),
    ) -> None:
        self.name = name
        self.times = dict(times)
        self.slices = list(slices)
        self._lengths = dict(lengths or {})
        self._parts = parts

    @property
    def total(self) -> float:
        """Seconds of all nodes together."""
        return sum(self.times.values())

    @property
    def devices(self) -> list[str]:
        """Names of the devices on which the nodes ran."""
        return sorted({_place(node) for node in self.times})

    def rows(self) -> list[tuple[str, str, str, float]]:
        """Return operation, results, line and seconds of each node, the slowest first."""
        found = [(named(n, 3), ", ".join(repr(v.spec) for v in n.outputs), n.line, t) for n, t in self.times.items()]
        return sorted(found, key=lambda row: -row[3])

    def by_node(self, graph: Graph) -> dict[Node, float]:
        """Return seconds of the nodes of the graph that was planned, in its order.

        Plans run several fused groups as one, and the nodes of a group that no kernel computes one by one. What
        such a batch took is divided among its groups by the bytes that they read and write.

        Parameters
        ----------
        graph : Graph
            ``concrete.optimized_graph`` of the function whose profile this is.

        Returns
        -------
        dict
            Nodes that were not measured are left out.

        Examples
        --------
        >>> import eagerflow as ef
        >>> f = ef.function(lambda x: ef.sum(x @ x))
        >>> concrete = f.get_concrete_function(ef.ones((8, 8)))
        >>> seconds = concrete.profile(ef.ones((8, 8))).by_node(concrete.optimized_graph)
        >>> [node.op.name for node in seconds]
        ['matmul', 'sum']
        """
        found = shared(self.times, Origins(graph, self._parts), self._lengths)
        return {node: found[node] for node in graph.nodes if node in found}

    def __repr__(self) -> str:
        total = self.total or 1.0
        several = len(self.devices) > 1
        where = f" on {', '.join(self.devices)}" if several else ""
        lines = [f"{self.name}: {self.total * 1e6:,.0f} µs in {len(self.times)} nodes{where}"]
        for node, seconds in sorted(self.times.items(), key=lambda item: -item[1])[:20]:
            share = 100 * seconds / total
            place = f"{_place(node):<8}" if several else ""
            specs = ", ".join(repr(value.spec) for value in node.outputs)
            row = f"{seconds * 1e6:10,.1f} µs {share:5.1f} %  {place}{named(node, 3):<28} {specs:<28} {node.line}"
            lines.append(row.rstrip())
        if len(self.times) > 20:
            lines.append(f"… and {len(self.times) - 20} more")
        return "\n".join(lines)


def _place(node: Node) -> str:
    """Return the name of the device that a node ran on."""
    edge = None if node.outputs or any(True for _ in node.values) else node.attrs.get("edge")
    if edge is None:
        return repr(device_of(node))
    return repr(edge.source if node.op is SEND else edge.target)


@contextmanager
def unchanged(graph: Graph) -> Iterator[None]:
    """Give Variables and generators of a graph the state back that they had before this block."""
    variables: Sequence[Any] = graph.variables()
    values = [alias(variable._value) for variable in variables]  # so seen they are not written to in place
    states = [(generator, generator.state) for generator, _ in graph.draws]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable._value = value
        for generator, state in states:
            generator.state = state
