"""What the page shows of a plan."""

from __future__ import annotations

from collections.abc import Mapping

from eagerflow.capture.graph import Graph, Node
from eagerflow.capture.page.data import GraphView, PlanView
from eagerflow.capture.plan import Plan


def view_of(plan: Plan, times: Mapping[Node, float]) -> GraphView:
    """Return a plan, with the seconds of its nodes, as the page takes it."""
    nodes = [step.node for step in plan.steps]
    old = plan.graph
    inputs = list(old.inputs)
    graph = Graph(old.name, inputs, plan.outputs, nodes, old.draws, old.guards)
    shown = PlanView(
        steps=nodes,
        where=plan.places,
        buffers=[buffer.size for buffer in plan.buffers.all],
        peak=plan.memory.peak,
        peak_without_reuse=plan.memory.without_reuse,
        lifetimes={value: (first, last) for b in plan.buffers.all for value, first, last in b.lives},
    )
    sources = {step.node: step.kernel.source for step in plan.steps if step.kernel is not None}
    return GraphView(graph, times, shown, sources, plan.lengths)
