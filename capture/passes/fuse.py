"""Fusion: chains of elementwise ops, with reductions among them, become one node each."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from math import prod
from typing import Any

from eagerflow.capture.graph import FUSED, PARAMETER, Graph, Node, Rewriter, Value
from eagerflow.capture.kernels import fusable
from eagerflow.capture.kernels.space import BROADCASTS, Space, extent, full_shape, kind, long, unit_cost
from eagerflow.core.dims import Symbolic

LONGEST = 96  # nodes in a group: beyond, compiling takes long and gains little
ARRAYS = 24  # values that a group reads and writes
COSTLY = 4.0  # operations per element from which on one node alone is worth a kernel
SINGLE_ROW = 1 << 18  # elements up to which what is reduced over everything is used in the same group


def run(graph: Graph) -> Graph:
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
    graph = _with_own_broadcasts(graph)
    return _rebuilt(graph, _Clusters(graph).groups())


def _with_own_broadcasts(graph: Graph) -> Graph:
    """Give each node that can be fused a broadcast of its own, so that none is written out for several groups."""
    held = {node for node in graph.nodes if node.op.name in BROADCASTS and kind(node) == "broadcast"}
    if not held:
        return graph
    rewriter = Rewriter(graph)
    plain: set[Node] = set()

    def shared(x: Any) -> Any:
        """Return an input in the new graph; a broadcast once for all who ask here."""
        if isinstance(x, Value) and x.node in held and x.node not in plain:
            shared(x.node.inputs[0])
            plain.add(x.node)
            rewriter.keep(x.node)
        return rewriter.now(x)

    def own(x: Any) -> Any:
        if not isinstance(x, Value) or x.node not in held:
            return rewriter.now(x)
        made = x.node.replaced([own(item) for item in x.node.inputs], rewriter.control(x.node))
        return rewriter.add(made).outputs[0]

    for node in graph.nodes:
        if node in held:
            rewriter.drop(node)
        elif any(x.node in held for x in node.values):
            inputs = [(own if kind(node) is not None else shared)(x) for x in node.inputs]
            made = rewriter.add(node.replaced(inputs, rewriter.control(node)))
            rewriter.replace(node, made.outputs, made)
        else:
            rewriter.keep(node)
    for x in graph.outputs:
        shared(x)
    return rewriter.graph()


class _Clusters:
    """Groups under construction.

    Each node belongs to one cluster. Bits of `before` say which clusters have to run before: two clusters may become
    one if nothing that needs the one is needed by the other.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.position = {node: i for i, node in enumerate(graph.nodes)}
        self.uses = graph.uses()
        self.returned = frozenset(graph.outputs)
        self.kinds: dict[Node, str | None] = dict.fromkeys(self._unused())
        self.cluster: dict[Node, int] = {}
        self.members: dict[int, list[Node]] = {}
        self.before: dict[int, int] = {}
        self.spaces: dict[int, Space] = {}
        for i, node in enumerate(graph.nodes):
            self._start(i, node)
            if i in self.spaces:
                self._join_producers(node)
        self._join_siblings()

    def _unused(self) -> list[Node]:
        """Return nodes without effects that nothing needs: they are not worth a kernel."""
        needed = {x.node for x in self.returned}
        for node in reversed(self.graph.nodes):
            if node in needed or node.effects != "none":
                needed.update(_needed(node))
                needed.add(node)
        return [node for node in self.graph.nodes if node not in needed]

    def groups(self) -> list[tuple[Node, ...]]:
        """Return the groups that are worth a kernel, each in the order of the graph."""
        found = []
        for i, space in self.spaces.items():
            nodes = [node for node in self.members[i] if space.layouts[node.outputs[0]] != "outside"]
            work = [node for node in nodes if self.kinds[node] in ("elementwise", "reduction")]
            if len(work) > 1 or (work and self.kinds[work[0]] == "elementwise" and unit_cost(work[0]) >= COSTLY):
                found.append(tuple(nodes))
        return found

    def _start(self, i: int, node: Node) -> None:
        """Make a cluster of one node."""
        self.cluster[node] = i
        self.members[i] = [node]
        self.before[i] = 0
        for needed in _needed(node):
            self.before[i] |= self.before[self.cluster[needed]] | 1 << self.cluster[needed]
        if self.kinds.setdefault(node, kind(node)) is None or not fusable(node.outputs[0].device):
            return
        space = self._fitted([node])
        if space is not None:
            self.spaces[i] = space

    def _join_producers(self, node: Node) -> None:
        """Let a node join the clusters that make its inputs, the latest first."""
        for x in sorted(node.values, key=lambda x: self.position[x.node], reverse=True):
            self._merge(self.cluster[x.node], self.cluster[node])

    def _join_siblings(self) -> None:
        """Let clusters that read the same large value become one, so that it is read once."""
        for value, users in self.uses.items():
            shape = long(value.shape)
            first: int | None = None
            for node in users:
                i = self.cluster[node]
                if i in self.spaces and self.spaces[i].shape == shape and shape and i != first:
                    if first is not None:
                        self._merge(first, i)
                    first = self.cluster[node]

    def _path_outside(self, a: int, b: int) -> bool:
        """Tell whether something else that needs cluster `a` is needed by cluster `b`."""
        needed = {self.cluster[item] for node in self.members[b] for item in _needed(node)} - {a, b}
        return any(self.before[i] >> a & 1 for i in needed)

    def _merge(self, a: int, b: int) -> None:
        """Make one of two clusters, if that is allowed and fits."""
        if a == b or a not in self.spaces or b not in self.spaces:
            return
        first, second = self.members[a], self.members[b]
        if first[0].outputs[0].device != second[0].outputs[0].device or first[0].request != second[0].request:
            return
        if len(first) + len(second) > LONGEST:
            return
        if self._path_outside(a, b) or self._path_outside(b, a):
            return
        nodes = sorted((*first, *second), key=self.position.__getitem__)
        space = self._fitted(nodes, self.spaces[a] if nodes[:-1] == first else None)
        if space is None or self._arrays(nodes) > ARRAYS:
            return
        for node in second:
            self.cluster[node] = a
        both = 1 << a | 1 << b
        after = (self.before[a] | self.before.pop(b)) & ~both
        self.spaces[a], self.members[a], self.before[a] = space, nodes, after
        del self.spaces[b], self.members[b]
        for i, mask in self.before.items():
            if mask & both:
                self.before[i] = mask | after | both

    def _fitted(self, nodes: list[Node], begun: Space | None = None) -> Space | None:
        """Return the iteration space of nodes; `begun` is that of all but the last."""
        if begun is not None and extent(full_shape(nodes[-1])) <= extent(begun.shape or ()):
            space = begun.copy()
            return space if space.add(nodes[-1]) else None
        largest = max((full_shape_of(node) for node in nodes), key=prod)
        space = Space(prod(largest) <= SINGLE_ROW, self.kinds)
        return space if space.fill(nodes) else None

    def _arrays(self, nodes: list[Node]) -> int:
        """Return how many values these nodes read from elsewhere, and make for others."""
        inside = set(nodes)
        read = {x for node in nodes for x in node.values if x.node not in inside}
        return len(read) + len(_made_for_others(nodes, self.uses, self.returned))


def full_shape_of(node: Node) -> tuple[int, ...]:
    """Return the shape of the largest that a node reads or makes, with the lengths seen for symbolic ones."""
    sides = max((x.shape for x in (*node.values, *node.outputs)), key=len, default=())
    return tuple([side.hint if isinstance(side, Symbolic) else side for side in sides])


def _needed(node: Node) -> list[Node]:
    return [*[x.node for x in node.values], *node.control]


def _made_for_others(nodes: Iterable[Node], uses: dict[Value, list[Node]], returned: Iterable[Value]) -> list[Value]:
    inside = set(nodes)
    return [x for node in nodes for x in node.outputs if x in returned or any(user not in inside for user in uses[x])]


def _rebuilt(graph: Graph, groups: list[tuple[Node, ...]]) -> Graph:
    """Return the graph with a fused node for each group, in an order in which all that is needed comes before."""
    group_of = {node: group for group in groups for node in group}
    uses, returned = graph.uses(), frozenset(graph.outputs)
    rewriter = Rewriter(graph)
    done: set[Any] = set()

    def emit(unit: Any) -> None:
        """Add a node or a group, after what it needs."""
        waiting = [unit]
        while waiting:
            unit = waiting[-1]
            members = unit if isinstance(unit, tuple) else (unit,)
            needed = [group_of.get(item, item) for node in members for item in _needed(node)]
            missing = [item for item in needed if item not in done and item is not unit]
            if unit in done or not missing:
                waiting.pop()
                if unit not in done:
                    done.add(unit)
                    _add(rewriter, unit, uses, returned)
            else:
                waiting += missing

    for node in graph.nodes:
        group = group_of.get(node)
        if group is None:
            emit(node)
        elif node is group[-1]:
            emit(group)
    return rewriter.graph()


def _add(rewriter: Rewriter, unit: Any, uses: dict[Value, list[Node]], returned: frozenset[Value]) -> None:
    """Add a node, or the fused node of a group, to the new graph."""
    if isinstance(unit, Node):
        rewriter.keep(unit)
        return
    inside = set(unit)
    given = list(dict.fromkeys(x for node in unit for x in node.values if x.node not in inside))
    made = _made_for_others(unit, uses, returned)
    inner: dict[Value, Value] = {}
    nodes = []
    for i, x in enumerate(given):
        nodes.append(Node(PARAMETER, (), {"name": f"x{i}"}, [(x.spec, x.device)]))
        inner[x] = nodes[-1].outputs[0]
    for node in unit:
        nodes.append(node.replaced([inner.get(x, x) if isinstance(x, Value) else x for x in node.inputs], ()))
        inner.update(zip(node.outputs, nodes[-1].outputs, strict=True))
    body = Graph("fused", [inner[x] for x in given], [inner[x] for x in made], nodes)
    results = [(x.spec, x.device) for x in made]
    inputs = [rewriter.now(x) for x in given]
    fused = rewriter.add(
        Node(FUSED, inputs, {"graph": body}, results, (), _common_scope(unit), unit[-1].line, unit[-1].request)
    )
    where = dict(zip(made, fused.outputs, strict=True))
    for node in unit:
        rewriter.replace(node, [where.get(x, x) for x in node.outputs], fused)


def _common_scope(nodes: Iterable[Node]) -> str:
    """Return the innermost scope that all nodes are in."""
    parts = [node.scope.split("/") for node in nodes]
    shared = takewhile(lambda names: len(set(names)) == 1, zip(*parts, strict=False))
    return "/".join(names[0] for names in shared)
