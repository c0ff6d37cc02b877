"""Dead state: reads of what the graph knows, and assignments that nobody sees, are left out."""

from __future__ import annotations

from typing import Any

from eagerflow.capture.attributes import same
from eagerflow.capture.graph import ASSIGN, CALLBACK, READ, Graph, Node, Rewriter, Value
from eagerflow.capture.state import Order


def run(graph: Graph) -> Graph:
    """Leave out reads and assignments that change nothing.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    Graph
        In which a Variable is read once at most before it is assigned to, and not at all after that; and is assigned to
        once, and not if that is what it held. A callback, which may read and assign to all Variables, parts what is
        before it from what is after it.

    Notes
    -----
    Of several assignments the last one is seen, also by a run that fails between them: it assigns nothing.
    """
    known, dead = _known(graph)
    if not known and not dead:
        return graph
    rewriter = Rewriter(graph)
    order = Order()
    for node in graph.nodes:
        if node in known:
            rewriter.replace(node, [rewriter.now(known[node])])
        elif node in dead:
            rewriter.drop(node)
        else:
            _keep(node, rewriter, order)
    return rewriter.graph()


def _known(graph: Graph) -> tuple[dict[Node, Value], set[Node]]:
    """Return the reads whose value is known, and the assignments that nobody sees."""
    known: dict[Node, Value] = {}
    dead: set[Node] = set()
    held: dict[int, Value] = {}  # what a Variable holds at this place
    unseen: dict[int, Node] = {}  # the last assignment, while nothing has looked at it
    resolved: dict[Value, Value] = {}
    for node in graph.nodes:
        if node.op is CALLBACK:
            held.clear()
            unseen.clear()
        elif node.op is READ:
            name, (value,) = id(node.attrs["variable"]), node.outputs
            before = held.get(name)
            if before is not None and _fits(before, value):
                known[node] = resolved[value] = before
            else:
                held[name] = value
                unseen.pop(name, None)
        elif node.op is ASSIGN:
            name = id(node.attrs["variable"])
            value = resolved.get(node.inputs[0], node.inputs[0])
            if held.get(name) is value:
                dead.add(node)
                continue
            if name in unseen:
                dead.add(unseen[name])
            held[name] = value
            unseen[name] = node
    return known, dead


def _fits(x: Value, y: Value) -> bool:
    return x.device is y.device and same(x.spec, y.spec)


def _keep(node: Node, rewriter: Rewriter, order: Order) -> None:
    """Take over a node; what touches state waits for what is left of what came before it."""
    variable: Any = node.attrs.get("variable")
    before: tuple[Node, ...] = ()
    if node.op is READ:
        before = order.before_read(variable)
    elif node.op is ASSIGN:
        before = order.before_write(variable)
    elif node.op is CALLBACK:
        before = order.before_callback()
    control = rewriter.control(node)
    missing = [other for other in before if other not in control]
    if missing:
        made = rewriter.add(node.replaced(rewriter.inputs(node), (*control, *missing)))
        rewriter.replace(node, made.outputs, made)
    else:
        made = rewriter.keep(node)
    if node.op is READ:
        order.read(variable, made)
    elif node.op is ASSIGN:
        order.wrote(variable, made)
    elif node.op is CALLBACK:
        order.called(made)
