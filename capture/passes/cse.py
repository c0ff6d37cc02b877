"""Common subexpressions: what is computed twice from the same is computed once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from eagerflow.capture.attributes import key
from eagerflow.capture.graph import CONSTANT, LENGTH, Graph, Node, Rewriter, Special, Value

_SMALL = 4096  # bytes of constants that are compared by their elements


def run(graph: Graph) -> Graph:
    """Merge nodes that compute the same.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    Graph
        With the first node in place of each later one with the same operation, inputs and attributes, if it has no
        effects. Small constants are the same if their elements are, bit by bit; large ones if they are one array.
    """
    rewriter = Rewriter(graph)
    known: dict[Hashable, Node] = {}
    for node in graph.nodes:
        form = _form(node, rewriter.inputs(node))
        first = None if form is None else known.get(form)
        if first is not None:
            rewriter.replace(node, first.outputs, first)
            continue
        kept = rewriter.keep(node)
        if form is not None:
            known[form] = kept
    return rewriter.graph()


def _form(node: Node, inputs: tuple[Any, ...]) -> Hashable:
    """Return what is equal for nodes that compute the same; None if the node stays in any case."""
    op = node.op
    if node.control or op.effects != "none" or not node.outputs:
        return None
    devices = tuple([value.device for value in node.outputs])
    if op is CONSTANT:
        return (CONSTANT, devices, _content(node.attrs["value"]))
    if isinstance(op, Special) and op is not LENGTH:
        return None
    given = tuple([x if isinstance(x, Value) else key(x) for x in inputs])
    return (op, given, key(node.attrs), devices, node.request)


def _content(array: Any) -> Hashable:
    if isinstance(array, np.ndarray) and array.nbytes <= _SMALL:
        # Strides too: in which order a sum adds up depends on them.
        return (array.dtype, array.shape, array.strides, array.tobytes())
    return id(array)
