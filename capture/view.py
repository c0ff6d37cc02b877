"""What the page shows of plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eagerflow.capture.graph import CONSTANT, LENGTH, PARAMETER, READ, RECV, SEND, Graph, Node, Value
from eagerflow.capture.origins import Origins, groups, shared
from eagerflow.capture.page.data import GraphView, PlanView
from eagerflow.capture.plan import Plan

if TYPE_CHECKING:
    from eagerflow.capture.partition import Part, Partitioned

_SOURCES = (PARAMETER, CONSTANT, LENGTH, READ)  # they only name what is there
Slice = tuple[Any, Node, float, float]  # device, node, beginning, end


def view_of(plan: Plan, times: Mapping[Node, float], slices: Iterable[Slice] = ()) -> GraphView:
    """Return a plan, with the seconds of its nodes, as the page takes it."""
    nodes = [step.node for step in plan.steps]
    old = plan.graph
    graph = Graph(old.name, old.inputs, plan.outputs, nodes, old.draws, old.guards)
    shown = PlanView(
        steps=nodes,
        where=plan.places,
        buffers=[buffer.size for buffer in plan.buffers.all],
        peak=plan.memory.peak,
        peak_without_reuse=plan.memory.without_reuse,
        lifetimes={value: (first, last) for b in plan.buffers.all for value, first, last in b.lives},
    )
    sources = {step.node: step.kernel.source for step in plan.steps if step.kernel is not None}
    told = [(repr(device), node, start, end) for device, node, start, end in slices if node.op not in _SOURCES]
    return GraphView(graph, times, shown, sources, plan.lengths, slices=told)


def view_of_parts(
    partitioned: Partitioned, plans: Sequence[Plan], times: Mapping[Node, float], slices: Iterable[Slice] = ()
) -> GraphView:
    """Return a graph that runs on several devices as the page takes it: whole, without Send and Recv.

    Parameters
    ----------
    partitioned : Partitioned
        The graph, and its parts.
    plans : sequence of Plan
        One for each part.
    times : mapping of Node to float
        Seconds of the nodes of the plans.
    slices : iterable of (Device, Node, float, float), optional
        Of one run: on which device which node of the plans began and ended when.
    """
    graph, parts = partitioned.graph, partitioned.parts
    origins = Origins(graph, parts)
    lengths = plans[0].lengths if plans else {}
    places: dict[Node, list[str]] = {}
    sources: dict[Node, str] = {}
    views: dict[str, PlanView] = {}
    original: dict[Node, Node] = {}
    for part, plan in zip(parts, plans, strict=True):
        device = repr(part.device)
        found = origins.of([step.node for step in plan.steps])
        original |= found
        for origin in found.values():
            at = origins.holder(origin) or origin
            if at.op is not PARAMETER and device not in places.setdefault(at, []):
                places[at].append(device)
        for step in plan.steps:
            if step.kernel is not None:
                first = groups(step.node)[0]  # of a batch the kernel of its first group
                sources |= {found[first]: step.kernel.source} if first in found else {}
        views[device] = _plan(plan, found, _travelled(partitioned, part, origins))
    told = [
        (repr(device), next((original[g] for g in groups(node) if g in original), node), start, end)
        for device, node, start, end in slices
        if node.op not in _SOURCES
    ]
    return GraphView(
        graph,
        shared(times, origins, lengths),
        None,
        sources,
        lengths,
        {node: ", ".join(names) for node, names in places.items()},
        views,
        told,
    )


def _travelled(partitioned: Partitioned, part: Part, origins: Origins) -> dict[Value, Value]:
    """Return per value that a part receives the value of the whole graph that was sent."""
    sent: dict[Any, Value] = {}
    for other in partitioned.parts:
        found = origins.of(other.graph.nodes)
        for node in other.graph.nodes:
            value = next(node.values, None) if node.op is SEND else None
            if value is not None and value.node in found:
                sent[node.attrs["edge"]] = found[value.node].outputs[value.index]
    received = [node for node in part.graph.nodes if node.op is RECV and node.outputs]
    return {node.outputs[0]: sent[node.attrs["edge"]] for node in received if node.attrs["edge"] in sent}


def _plan(plan: Plan, found: Mapping[Node, Node], travelled: Mapping[Value, Value]) -> PlanView:
    """Return a plan as the page takes it, with the values of the whole graph in place of those of the plan."""
    whole = dict(travelled)
    for step in plan.steps:
        results = iter(step.node.outputs)
        for group in groups(step.node):
            for value, mine in zip(group.outputs, results, strict=False):
                if group in found:
                    whole[mine] = found[group].outputs[value.index]
    lifetimes = {whole[value]: (a, b) for buffer in plan.buffers.all for value, a, b in buffer.lives if value in whole}
    return PlanView(
        steps=[[found[group] for group in groups(step.node) if group in found] for step in plan.steps],
        where={whole[value]: place for value, place in plan.places.items() if value in whole},
        buffers=[buffer.size for buffer in plan.buffers.all],
        peak=plan.memory.peak,
        peak_without_reuse=plan.memory.without_reuse,
        lifetimes=lifetimes,
    )
