"""Fusion: chains of elementwise ops, with reductions among them, become one node each."""

from __future__ import annotations

from typing import Any

from eagerflow.capture.graph import Graph, Node
from eagerflow.capture.kernels.space import Space, kind

LONGEST = 96  # nodes in a group: beyond, compiling takes long and gains little
ARRAYS = 24  # values that a group reads and writes
COSTLY = 4.0  # operations per element from which on one node alone is worth a kernel
SINGLE_ROW = 1 << 18  # elements up to which what is reduced over everything is used in the same group


def fuse(graph: Graph) -> Graph:
    """Replace groups of elementwise ops, reductions and trivial views by fused nodes.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    Graph
        The same, with `FUSED` nodes whose attribute `graph` holds what they compute.
    """
    return _rebuilt(graph, _Clusters(graph).groups())


class _Clusters:
    """Groups under construction.

    Each node belongs to one cluster, which is numbered by one of its nodes. Bits of `before` say which clusters have
    to run before: two clusters may become one if nothing between them depends on the one and is needed by the other.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.position = {node: i for i, node in enumerate(graph.nodes)}
        self.uses = graph.uses()
        self.returned = set(graph.outputs)
        self.cluster: dict[Node, int] = {}
        self.members: dict[int, list[Node]] = {}
        self.before: dict[int, int] = {}
        self.spaces: dict[int, Space] = {}
        self.device: dict[int, Any] = {}
        for i, node in enumerate(graph.nodes):
            self._start(i, node)
            if i in self.spaces:
                self._join_producers(node)
        self._join_siblings()

    def _start(self, i: int, node: Node) -> None:
        """Make a cluster of one node."""
        self.cluster[node] = i
        self.members[i] = [node]
        self.before[i] = 0
        for needed in (*[x.node for x in node.values], *node.control):
            self.before[i] |= self._mask(self.cluster[needed])
        if kind(node) is not None:
            space = Space(_small(node))
            if space.add(node):
                self.spaces[i] = space
                self.device[i] = node.outputs[0].device

    def _mask(self, i: int) -> int:
        return self.before[i] | 1 << i

    def _join_producers(self, node: Node) -> None:
        """Let a node join the clusters that make its inputs, the latest first."""
        producers = {self.cluster[x.node] for x in node.values}
        for other in sorted(producers, key=lambda i: self.position[self.members[i][-1]], reverse=True):
            if self.cluster[node] != other and other in self.spaces:
                self._merge(other, self.cluster[node])

    def _join_siblings(self) -> None:
        """Let clusters that read the same large value become one, so that it is read once."""
        for value, users in self.uses.items():
            first: int | None = None
            for i in dict.fromkeys(self.cluster[node] for node in users):
                if i not in self.spaces or i == self.cluster[value.node]:
                    continue
                if first is None or not self._merge(first, self.cluster_of(i)):
                    first = self.cluster_of(i)

    def cluster_of(self, i: int) -> int:
        """Return what became of a cluster."""
        while i not in self.members:
            i = self.moved[i]
        return i

    def _path_outside(self, a: int, b: int) -> bool:
        """Tell whether something that needs cluster `a` is needed by cluster `b`, beside `b` itself."""
        needed = {self.cluster[x] for node in self.members[b] for x in (*[v.node for v in node.values], *node.control)}
        return any(self.before[i] >> a & 1 for i in needed if i not in (a, b))

    def _merge(self, a: int, b: int) -> bool:
        """Make one of two clusters, if that is allowed and fits."""
        if a == b or self.device[a] != self.device[b]:
            return False
        if len(self.members[a]) + len(self.members[b]) > LONGEST:
            return False
        if self._path_outside(a, b) or self._path_outside(b, a):
            return False
        nodes = sorted((*self.members[a], *self.members[b]), key=self.position.__getitem__)
        space = self._fitted(nodes)
        if space is None or len(self._arrays(nodes)) > ARRAYS:
            return False
        self.spaces[a] = space
        self.members[a] = nodes
        for node in self.members.pop(b):
            self.cluster[node] = a
        self.moved[b] = a
        del self.spaces[b]
        both = 1 << a | 1 << b
        after = (self.before[a] | self.before[b]) & ~both
        self.before[a] = after
        del self.before[b]
        for i, mask in self.before.items():
            if mask & both:
                self.before[i] = mask | after | both
        return True

    moved: dict[int, int]
