"""Schedule: in which pass over a row each value is made, and what is kept from one pass to the next.

A row is gone over once for every reduction that something waits for: a softmax finds the maximum, then adds up
exponentials, then divides. A value that a later pass needs is read again from where it was stored, computed again if
that is cheap, or kept in a scratch row.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

from eagerflow.capture.graph import Graph, Node, Value
from eagerflow.capture.kernels.space import BROADCASTS, REDUCTIONS, Space, covered, key, source_shape, unit_cost

CHEAP = 6.0  # floating-point operations that cost less than keeping their result
LOADS = 3


class Use:
    """How rows read something that the group is given.

    Attributes
    ----------
    index : int
        Which of the group's inputs.
    role : str
        ``"full"``, ``"row"``, ``"column"``, ``"scalar"``, or that it repeats every few rows: ``"periodic"`` rows
        or ``"periodic row"`` with one element a row.
    period : tuple of int, optional
        For the periodic ones: row r reads ``(r // step) % count``.
    """

    __slots__ = ("index", "period", "role")

    def __init__(self, index: int, role: str, period: tuple[int, int] | None = None) -> None:
        self.index = index
        self.role = role
        self.period = period


class Schedule:
    """The passes over the rows of a group.

    Parameters
    ----------
    graph : Graph
        The group.
    space : Space
        Its iteration space, with all nodes.
    nodes : list of Node
        The nodes that its outputs need.

    Attributes
    ----------
    rows, columns : int
        Lengths of the iteration space.
    flat : bool
        Whether rows do not matter: any range of elements can be computed by itself.
    passes : int
        How many times a row is gone over.
    level : dict
        The pass in which a full value can be computed first; for values with one element a row the pass before
        which they are ready.
    kept : list of Value
        What goes to scratch rows.
    """

    def __init__(self, graph: Graph, space: Space, nodes: list[Node]) -> None:
        self.graph = graph
        self.space = space
        shape, split = space.shape or (), space.split()
        self.split = split
        self.shape = shape
        self.rows = prod(shape[:split])
        self.columns = prod(shape[split:])
        self.nodes = nodes
        self.inputs = {value: i for i, value in enumerate(graph.inputs)}
        self.flat = split == 0 and not any(self.layout(node) == "row" for node in self.nodes)
        self.level: dict[Value, int] = {}
        self._find_levels()
        self.stored = frozenset(x for x in graph.outputs if self.layout(x.node) == "full")
        self.reductions = [node for node in self.nodes if node.op.name in REDUCTIONS]
        full = [self.level[node.outputs[0]] for node in self.nodes if self.layout(node) == "full"]
        deep = [self._ready(node.inputs[0]) for node in self.reductions if not self._of_rows(node)]
        self.passes = max([*full, *deep], default=-1) + 1
        self.kept: list[Value] = []
        self._keep()

    def layout(self, node: Node) -> str:
        """Return the layout of a node's result; of totals in a single row that of a row."""
        found = self.space.layouts.get(node.outputs[0], "outside") if node.outputs else "outside"
        return "row" if found == "total" and self.space.totals_are_rows else found

    def _of_rows(self, node: Node) -> bool:
        """Tell whether a reduction is over values that have one element a row."""
        x = node.inputs[0]
        return isinstance(x, Value) and self.space.layout(x) == "row"

    def reduction_of(self, x: Value) -> Value:
        """Return the result of a reduction of which `x` is that, or a view."""
        while x.node.op.name not in REDUCTIONS:
            x = x.node.inputs[0]
        return x

    def _ready(self, x: Any) -> int:
        return self.level.get(x, 0)

    def _find_levels(self) -> None:
        for node in self.nodes:
            level = max([self._ready(x) for x in node.values], default=0)
            if node.op.name in REDUCTIONS and not self._of_rows(node):
                level += 1
            self.level[node.outputs[0]] = level

    def use(self, x: Value, node: Node) -> Use:
        """Return how `node` reads an input that the group is given."""
        shape = source_shape(node) if node.op.name in BROADCASTS else key(x.shape)
        result = key(x.shape if node.op.name in REDUCTIONS else node.outputs[0].shape)
        cover = covered(shape, result) or ()
        while x.node.op.name != "parameter":  # a view of what is given
            x = x.node.inputs[0]
        index = self.inputs[x]
        if self.layout(node) == "row" and node.op.name not in REDUCTIONS:
            return Use(index, "row" if cover else "scalar")
        rows = [axis for axis in cover if axis < self.split]
        columns = len(cover) > len(rows) or (self.split == len(self.shape) == len(cover))
        if len(rows) == self.split and self.split:
            return Use(index, "full" if columns else "row")
        if not rows:
            return Use(index, ("full" if self.split == 0 else "column") if columns else "scalar")
        step, count = prod(self.shape[rows[-1] + 1 : self.split]), prod(self.shape[axis] for axis in rows)
        return Use(index, "periodic" if columns else "periodic row", (step, count))

    def given(self, x: Any) -> bool:
        """Tell whether an input of a node is something that the group is given, or a view of it."""
        return isinstance(x, Value) and self.space.layouts.get(x, "outside") == "outside"

    def sources(self, node: Node) -> Iterable[Value]:
        """Return the full values of the group that a node needs of each column."""
        return [x for x in node.values if not self.given(x) and self.space.layout(x) == "full"]

    def at(self, level: int) -> list[Node]:
        """Return the nodes whose work is done in a pass: what is stored or kept, and reductions."""
        return [
            node
            for node, x in [(node, node.outputs[0]) for node in self.nodes]
            if (node in self.reductions and not self._of_rows(node) and self.level[x] == level + 1)
            or ((x in self.stored or x in self.kept) and self.level[x] == level)
        ]

    def rows_at(self, level: int) -> list[Node]:
        """Return the nodes that are computed once a row, before a pass."""
        return [
            node
            for node in self.nodes
            if self.level[node.outputs[0]] == level
            and (self.layout(node) == "row" and (node not in self.reductions or self._of_rows(node)))
        ]

    def _cost(self, x: Value, seen: set[Value]) -> tuple[float, int]:
        """Return what it costs to compute a value again: operations and loads, beside those seen."""
        if x in seen:
            return 0.0, 0
        seen.add(x)
        if self.given(x) or x in self.stored or x in self.kept:
            return 0.0, 1
        if self.space.layout(x) != "full":
            return 0.0, 0
        parts = [self._cost(item, seen) for item in x.node.values]
        own = unit_cost(x.node) if self.space.kind(x.node) == "elementwise" else 0.0
        return own + sum(part[0] for part in parts), sum(part[1] for part in parts)

    def _keep(self) -> None:
        """Find what later passes need and is neither stored nor cheap."""
        for level in range(1, self.passes):
            seen: set[Value] = set()
            for node in self.at(level):
                self._need(node.outputs[0] if node not in self.reductions else node.inputs[0], level, seen)

    def _need(self, x: Any, level: int, seen: set[Value]) -> None:
        if x in seen or self.given(x) or self.space.layout(x) != "full":
            return
        seen.add(x)
        if self.level[x] < level:
            if x in self.stored or x in self.kept:
                return
            cost, loads = self._cost(x, set())
            if cost > CHEAP or loads > LOADS:
                self.kept.append(x)
                return
        for item in x.node.values:
            self._need(item, level, seen)

    def last_read(self, index: int) -> int | None:
        """Return the last pass that reads an input, if all that read it do so element by element; otherwise None."""
        per_row = [node for node in self.nodes if self.layout(node) == "row" and node not in self.reductions]
        if any(self.given(x) and self.use(x, node).index == index for node in per_row for x in node.values):
            return None
        last = -1
        for level in range(self.passes):
            reads: list[Use] = []
            seen: set[Value] = set()
            for node in self.at(level):
                self._reads(node, level, reads, seen)
            found = [use for use in reads if use.index == index]
            if any(use.role != "full" for use in found):
                return None
            last = level if found else last
        return last

    def overwritable(self, x: Value, index: int) -> bool:
        """Tell whether a value may be stored over an input that the same pass reads.

        The compiler takes for granted that arrays do not overlap. It stores what it finds to be constant before it
        reads anything. So nothing else may read the input, or the value has to depend on it for sure: by arithmetic of
        floating-point numbers, which it does not simplify away as it does that of integers and booleans.
        """
        level = self.level[x]
        readers = [node for node in self.at(level) if self._reads_input(node, level, index)]
        if not any(node.outputs[0] is x for node in readers):
            return False
        return len(readers) == 1 or self._floating(x.node, level, set())

    def _reads_input(self, node: Node, level: int, index: int) -> bool:
        reads: list[Use] = []
        self._reads(node, level, reads, set())
        return any(use.index == index for use in reads)

    def _floating(self, node: Node, level: int, seen: set[Value]) -> bool:
        """Tell whether all that a pass computes for a node is in floating point."""
        own = [x for x in node.values if self.given(x) or self.space.layout(x) == "full"]
        if any(x.dtype.kind != "f" for x in (*own, *node.outputs)):
            return False
        stored = {x for x in own if self.given(x) or (self.level[x] < level and (x in self.stored or x in self.kept))}
        new = {x for x in own if x not in stored and x not in seen}
        seen |= new
        return all(self._floating(x.node, level, seen) for x in new)

    def _reads(self, node: Node, level: int, reads: list[Use], seen: set[Value]) -> None:
        """Collect what computing a node in a pass reads."""
        for x in node.values:
            if self.given(x):
                reads.append(self.use(x, node))
            elif self.space.layout(x) == "full" and x not in seen:
                seen.add(x)
                if not (self.level[x] < level and (x in self.stored or x in self.kept)):
                    self._reads(x.node, level, reads, seen)
