"""Lowering: a softmax becomes a maximum, exponentials, a sum and a quotient, which fusion joins with others."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.capture.graph import CONSTANT, PARAMETER, Graph, Node, Rewriter, Value
from eagerflow.capture.kernels import available, fusable
from eagerflow.capture.kernels.space import REDUCTIONS, Space, kind
from eagerflow.capture.tracing.trace import Trace
from eagerflow.devices import Device

_DTYPES = frozenset((np.dtype(np.float32), np.dtype(np.float64)))


def run(graph: Graph) -> Graph:
    """Replace ops by the elementwise ops and reductions that compute the same.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    Graph
        The same, with the nodes that `lower` of an op makes in place of it, if they become one kernel. Without Numba
        there are no such kernels on the host.
    """
    devices = {x.device for node in graph.nodes for x in node.outputs}
    if not any(_compiled(device) for device in devices):
        return graph
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        body = _lowered(node)
        if body is None:
            rewriter.keep(node)
        else:
            rewriter.replace(node, _spliced(rewriter, node, body))
    return rewriter.graph()


def _lowered(node: Node) -> Graph | None:
    """Return what a node is made of, or None if it stays as it is."""
    if node.op.lower is None or node.op.name in REDUCTIONS or node.control or node.effects != "none":
        return None
    if not all(_compiled(x.device) for x in (*node.values, *node.outputs)):
        return None
    if any(x.dtype.kind not in "biu" and x.dtype not in _DTYPES for x in (*node.values, *node.outputs)):
        return None
    trace = Trace(node.op.name)
    trace.at(node)
    with trace.tracing():
        inputs = [trace.parameter("x", x.spec, x.device) if isinstance(x, Value) else x for x in node.inputs]
        made = node.op.lower(*inputs, **node.attrs)
        body = trace.graph(made if isinstance(made, tuple) else (made,))
    return body if _fits(body) and _same(body.outputs, node.outputs) else None


def _compiled(device: Device) -> bool:
    """Tell whether there are kernels for groups on a device."""
    return available() if device.on_host else fusable(device)


def _same(made: tuple[Value, ...], wanted: tuple[Value, ...]) -> bool:
    return [(x.dtype, len(x.shape)) for x in made] == [(x.dtype, len(x.shape)) for x in wanted]


def _fits(body: Graph) -> bool:
    """Tell whether the nodes become one kernel, which others only come before."""
    work = {node for node in body.nodes if kind(node) is not None}
    after = set(work)
    for node in body.nodes:
        if node not in work and any(x.node in after for x in node.values):
            return False
    return bool(work) and Space().fill([node for node in body.nodes if node in work])


def _spliced(rewriter: Rewriter, node: Node, body: Graph) -> list[Any]:
    """Add the nodes of `body` to the graph, and return what stands for the node's results."""
    given = [x for x in rewriter.inputs(node) if isinstance(x, Value)]
    values: dict[Value, Any] = dict(zip(body.inputs, given, strict=True))
    for inner in body.nodes:
        if inner.op is PARAMETER:
            continue
        if inner.op is CONSTANT or inner.control or not inner.inputs:
            made = inner
        else:
            made = inner.replaced([values.get(x, x) if isinstance(x, Value) else x for x in inner.inputs])
        rewriter.add(made)
        values.update(zip(inner.outputs, made.outputs, strict=True))
    return [values[x] for x in body.outputs]
