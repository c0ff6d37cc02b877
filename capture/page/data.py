"""What the page is told of a graph: plain data that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eagerflow.capture.graph import ASSIGN, CALLBACK, CONSTANT, FUSED, PARAMETER, READ, Graph, Node, Special, Value
from eagerflow.capture.text import array, attribute
from eagerflow.core.dims import Dim, evaluate
from eagerflow.core.spec import Spec

# What the page calls the operations that graphs alone have.
KINDS = {PARAMETER: "parameter", CONSTANT: "constant", READ: "state", ASSIGN: "state", CALLBACK: "callback"}


@dataclass(frozen=True)
class PlanView:
    """What the page shows of a plan.

    Parameters
    ----------
    steps : sequence of Node or of sequences of Node
        The nodes that run, in order. Several where one step computes all of them; an empty sequence where a step
        computes none that the graph has (Send and Recv).
    where : mapping of Value to int or str
        Where a value lives: the number of a buffer, or ``"input"``, ``"variable"``, ``"constant"``, ``"output"``
        (memory that the caller gets) or ``"new"`` (memory that the step allocates).
    buffers : sequence of int
        Bytes of each buffer.
    peak, peak_without_reuse : int
        Peak bytes with these buffers, and if every value had its own.
    lifetimes : mapping of Value to (int, int), optional
        First and last step in which a value is needed; found from the graph for values that are not in it.
    """

    steps: Sequence[Node | Sequence[Node]]
    where: Mapping[Value, int | str]
    buffers: Sequence[int]
    peak: int
    peak_without_reuse: int
    lifetimes: Mapping[Value, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphView:
    """A graph, and what else is known of it.

    Parameters
    ----------
    graph : Graph
        The graph as it runs, after its passes.
    times : mapping of Node to float, optional
        Measured seconds of one run of a node. Nodes that it lacks were not measured.
    plan : PlanView, optional
        Where values live, and for how long.
    sources : mapping of Node to str, optional
        Generated source of the kernel of a fused node.
    sizes : mapping of str to int, optional
        Numbers to show for symbolic lengths, by name; for others it is what was seen while tracing.
    devices : mapping of Node to str, optional
        On which device a node runs; names joined by ``", "`` if it is computed on several. Nodes that it lacks run
        where their results are.
    plans : mapping of str to PlanView, optional
        Instead of `plan`, the plan of each device by its name.
    slices : sequence of (str, Node, float, float), optional
        Of one run, in seconds: on which device which node began when, and when it ended. Nodes that the graph lacks
        are Send and Recv.
    """

    graph: Graph
    times: Mapping[Node, float] = field(default_factory=dict)
    plan: PlanView | None = None
    sources: Mapping[Node, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    devices: Mapping[Node, str] = field(default_factory=dict)
    plans: Mapping[str, PlanView] = field(default_factory=dict)
    slices: Sequence[tuple[str, Node, float, float]] = ()


def contents(view: GraphView) -> dict[str, Any]:
    """Return what the page shows as plain lists, dicts, numbers and text."""
    listing = _Listing(view)
    graph = view.graph
    listing.add(graph, None)
    return {
        "name": graph.name,
        "sizes": listing.sizes,
        "nodes": listing.nodes,
        "edges": listing.edges,
        "results": [listing.shown[value] for value in graph.outputs],
        "homes": [str(value.device) for value in graph.outputs],  # where the caller finds them
        "plan": None if view.plan is None else _plan(graph, view.plan, listing),
        "plans": [{"device": name, **_plan(graph, plan, listing)} for name, plan in view.plans.items()],
        "slices": _slices(view.slices, listing),
    }


class _Listing:
    """The nodes of a graph by number, with those inside fused nodes, and the edges between them."""

    def __init__(self, view: GraphView) -> None:
        self.view = view
        sides = [side for value in view.graph.inputs for side in value.shape if isinstance(side, Dim)]
        self.sizes = {side.name: side.hint for side in sides if side.name is not None} | dict(view.sizes)
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[list[Any]] = []  # from, to, bytes, text
        self.number: dict[Node, int] = {}
        self.shown: dict[Value, list[int]] = {}  # whose result a value is to the reader
        self.made: dict[Value, int | None] = {}  # which innermost node makes it

    def add(self, graph: Graph, inside: int | None) -> None:
        """Add the nodes of a graph; of one inside the fused node of that number."""
        groups = {} if inside is not None else _groups(graph)
        for node in graph.nodes:
            if inside is not None and node.op is PARAMETER:
                continue  # stands for an input of the fused node
            self._add(node, inside, groups.get(node, node.scope))

    def _add(self, node: Node, inside: int | None, scope: str) -> None:
        number = self.number[node] = len(self.nodes)
        flops, moved = _cost(node, self.sizes)
        self.nodes.append(
            {
                "op": node.op.name,
                "name": _name(node),
                "kind": "fused" if node.op is FUSED else KINDS.get(node.op, getattr(node.op, "fusion", "opaque")),
                "effects": node.effects,
                "scope": scope,
                "line": node.line,
                "device": self.device(node, inside),
                "inside": inside,
                "inputs": [self.shown[x] if isinstance(x, Value) else _text(x) for x in node.inputs],
                "outputs": [self.output(value) for value in node.outputs],
                "after": [self.number[other] for other in node.control if other in self.number],
                "attrs": {
                    k: _text(v) for k, v in node.attrs.items() if not (k.startswith("_") or isinstance(v, Graph))
                },
                "flops": flops,
                "bytes": moved,
                "time": _finite(self.view.times.get(node)),
                "source": self.view.sources.get(node),
            }
        )
        for value in node.outputs:
            self.shown[value] = [number, value.index]
            self.made[value] = number
        inner = node.attrs.get("graph") if node.op is FUSED else None
        if not isinstance(inner, Graph):
            self._connect(node, number)
            return
        for given, taken in zip(node.inputs, inner.inputs, strict=True):
            self.shown[taken] = self.shown[given] if isinstance(given, Value) else [number, -1]
            self.made[taken] = self.made[given] if isinstance(given, Value) else None
        self.add(inner, number)
        self.nodes[number]["unfused"] = _sum(
            self.nodes[self.number[n]]["bytes"] for n in inner.nodes if n in self.number
        )
        for value, result in zip(node.outputs, inner.outputs, strict=True):
            self.made[value] = self.made[result]

    def output(self, value: Value) -> dict[str, Any]:
        """Return what the page tells of a result."""
        return {
            "shape": [_length(side) for side in value.shape],
            "dtype": value.dtype.name,
            "bytes": _nbytes(value, self.sizes),
        }

    def device(self, node: Node, inside: int | None) -> str | None:
        """Return where a node runs; those in a fused node run where it does."""
        if inside is not None:
            told: str | None = self.nodes[inside]["device"]
            return told
        first = next((value.device for value in (*node.outputs, *node.values)), None)
        return self.view.devices.get(node, None if first is None else str(first))

    def _connect(self, node: Node, number: int) -> None:
        for value in node.values:
            source = self.made[value]
            if source is not None:
                self.edges.append([source, number, _nbytes(value, self.sizes), repr(value.spec)])
        for before in node.control:
            if before in self.number:
                self.edges.append([self.number[before], number, None, "runs before"])


def _groups(graph: Graph) -> dict[Node, str]:
    """Return where constants and reads that have no scope are shown: with those that use them."""
    uses = graph.uses()
    found = {}
    for node in graph.nodes:
        if node.op in (CONSTANT, READ) and not node.scope:
            scopes = [user.scope.split("/") for value in node.outputs for user in uses[value]]
            common = []
            for names in zip(*scopes, strict=False):
                if len(set(names)) > 1:
                    break
                common.append(names[0])
            found[node] = "/".join(common)
    return found


def _name(node: Node) -> str:
    """Return what the reader knows the node by, if not by its operation."""
    if node.op is PARAMETER:
        return str(node.attrs.get("name", ""))
    return str(getattr(node.attrs.get("variable"), "name", None) or "")


def _nbytes(value: Value, sizes: Mapping[str, int]) -> int:
    nbytes: int = evaluate(value.spec, sizes).nbytes
    return int(nbytes)


def _cost(node: Node, sizes: Mapping[str, int]) -> tuple[float | None, float | None]:
    """Return FLOPs and bytes of a node, None for what is not known."""
    op = node.op
    if op is FUSED:
        inner = node.attrs["graph"]
        parts = [_cost(other, sizes)[0] for other in inner.nodes if other.op is not PARAMETER]
        moved = _sum(_nbytes(value, sizes) for value in dict.fromkeys((*node.values, *node.outputs)))
        return _sum(parts), moved
    if op in (PARAMETER, CONSTANT, READ):
        return 0, 0
    if op is ASSIGN:
        return 0, _sum(2 * _nbytes(value, sizes) for value in node.values)
    if isinstance(op, Special):
        return None, None
    inputs = evaluate([x.spec if isinstance(x, Value) else x for x in node.inputs], sizes)
    try:
        flops, moved = op.cost(*inputs, **evaluate(dict(node.attrs), sizes))
    except Exception:  # whatever a rule of the user's raises: the page says that the cost is not known
        return None, None
    return _finite(flops), _finite(moved)


def _sum(parts: Iterable[float | None]) -> float | None:
    """Return the sum of the numbers among `parts`, or None if there is none."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _length(side: Any) -> Any:
    return "?" if side is None else repr(side) if isinstance(side, Dim) else int(side)


def _text(value: Any) -> str:
    """Return an attribute or input as a reader wants to see it."""
    if isinstance(value, np.generic) or not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return attribute(value)
    parts = [getattr(value, "name", None), repr(Spec(value.shape, value.dtype))]
    parts += [array(value)] if isinstance(value, np.ndarray) else []
    return ": ".join(filter(None, parts))


def _plan(graph: Graph, plan: PlanView, listing: _Listing) -> dict[str, Any]:
    """Return the steps, the buffers and the lifetime of each value."""
    runs = [[step] if isinstance(step, Node) else step for step in plan.steps]
    step = {node: i for i, nodes in enumerate(runs) for node in nodes}
    uses = graph.uses()
    returned = set(graph.outputs)
    end = max(len(plan.steps) - 1, 0)
    places = []
    for value, where in plan.where.items():
        if value not in listing.shown:
            continue
        first = step.get(value.node, 0)
        last = end if value in returned else max([first, *[step[user] for user in uses.get(value, ()) if user in step]])
        places.append([*listing.shown[value], where, *plan.lifetimes.get(value, (first, last))])
    numbers = [[listing.number[node] for node in nodes if node in listing.number] for nodes in runs]
    return {
        "steps": [told[0] if len(told) == 1 else told for told in numbers],
        "buffers": list(map(int, plan.buffers)),
        "places": places,
        "peak": int(plan.peak),
        "without": int(plan.peak_without_reuse),
    }


def _slices(slices: Sequence[tuple[str, Node, float, float]], listing: _Listing) -> list[list[Any]]:
    """Return device, node, what else it is, beginning and end of each slice, in seconds from the first."""
    began = min((start for _, _, start, _ in slices), default=0.0)
    found = []
    for device, node, start, end in slices:
        edge = node.attrs.get("edge")
        other = None if edge is None else [node.op.name, edge.number, edge.name, str(edge.source), str(edge.target)]
        found.append([str(device), listing.number.get(node), other, start - began, end - began])
    return found
