"""Profile: how long each node of a plan took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from eagerflow.capture.graph import FUSED, Graph, Node
from eagerflow.core.tensor import alias


class Profile:
    """Seconds that each node took, the least of several runs.

    Attributes
    ----------
    times : dict
        Seconds by node, in the order in which they run.
    """

    def __init__(self, name: str, times: Mapping[Node, float]) -> None:
        self.name = name
        self.times = dict(times)

    @property
    def total(self) -> float:
        """Seconds of all nodes together."""
        return sum(self.times.values())

    def rows(self) -> list[tuple[str, str, str, float]]:
        """Return operation, results, line and seconds of each node, the slowest first."""
        found = [(_named(n), ", ".join(repr(v.spec) for v in n.outputs), n.line, t) for n, t in self.times.items()]
        return sorted(found, key=lambda row: -row[3])

    def __repr__(self) -> str:
        total = self.total or 1.0
        lines = [f"{self.name}: {self.total * 1e6:,.0f} µs in {len(self.times)} nodes"]
        for op, specs, line, seconds in self.rows()[:20]:
            share = 100 * seconds / total
            lines.append(f"{seconds * 1e6:10,.1f} µs {share:5.1f} %  {op:<28} {specs:<28} {line}".rstrip())
        if len(self.times) > 20:
            lines.append(f"… and {len(self.times) - 20} more")
        return "\n".join(lines)


def _named(node: Node) -> str:
    if node.op is not FUSED:
        return str(node.op.name)
    inner: Graph = node.attrs["graph"]
    names = list(dict.fromkeys(n.op.name for n in inner.nodes if n.op.name != "parameter"))
    return f"fused({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


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
