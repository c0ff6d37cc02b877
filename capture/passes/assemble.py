"""Assembling: sums of parts of one array, each embedded in zeros, become one array that is filled part by part.

The gradient of code that takes an array to pieces (queries, keys and values; gates; time steps) is such a sum.
"""

from __future__ import annotations

from typing import Any

from eagerflow import ops
from eagerflow.capture.graph import Graph, Node, Rewriter, Value

_ASSEMBLE = ops.registry()["assemble"]


def run(graph: Graph) -> Graph:
    """Join sums of parts.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    Graph
        That computes the same values, bit by bit.
    """
    rewriter = Rewriter(graph)
    single = {value for value, nodes in graph.uses().items() if len(nodes) == 1} - set(graph.outputs)
    parts: dict[Value, list[tuple[Any, tuple[Any, ...]]]] = {}  # new value: the parts that it is the sum of
    for node in graph.nodes:
        made = _joined(node, rewriter, parts, single) if node.op.name == "add" else None
        if made is None:
            kept = rewriter.keep(node)
            if node.op.name == "embed":
                parts[kept.outputs[0]] = [(kept.inputs[0], kept.attrs["index"])]
            continue
        rewriter.replace(node, rewriter.add(made).outputs, made)
        parts[made.outputs[0]] = list(zip(made.inputs, made.attrs["indices"], strict=True))
    return rewriter.graph()


def _joined(node: Node, rewriter: Rewriter, parts: Any, single: set[Value]) -> Node | None:
    if node.control or any(not isinstance(x, Value) or x not in single for x in node.inputs):
        return None
    left, right = (parts.get(x) for x in rewriter.inputs(node))
    if left is None or right is None or any(x.spec != node.outputs[0].spec for x in node.values):
        return None
    ndim = len(node.outputs[0].shape)
    if not all(_apart(a, b, ndim) for _, a in left for _, b in right):
        return None
    every = [*left, *right]
    attrs = {"shape": node.outputs[0].shape, "indices": tuple(index for _, index in every)}
    result = node.outputs[0]
    return Node(
        _ASSEMBLE, [x for x, _ in every], attrs, [(result.spec, result.device)], (), node.scope, node.line, node.request
    )


def _apart(a: tuple[Any, ...], b: tuple[Any, ...], ndim: int) -> bool:
    """Tell whether two indices certainly select different elements."""
    first, second = _by_axis(a, ndim), _by_axis(b, ndim)
    if first is None or second is None:
        return False
    return any(x is not None and y is not None and (x[1] <= y[0] or y[1] <= x[0])
               for x, y in zip(first, second, strict=True))  # fmt: skip


def _by_axis(index: tuple[Any, ...], ndim: int) -> list[tuple[int, int] | None] | None:
    """Return per axis the range from which an index selects, None where that is not known."""
    if any(item is None for item in index):
        return None
    if Ellipsis in index:
        position = index.index(Ellipsis)
        missing = ndim - (len(index) - 1)
        index = (*index[:position], *[slice(None)] * missing, *index[position + 1 :])
    found = [_range(item) for item in index]
    return [*found, *[None] * (ndim - len(found))]


def _range(item: Any) -> tuple[int, int] | None:
    if type(item) is int and item >= 0:
        return item, item + 1
    if isinstance(item, slice) and item.step in (None, 1) and type(item.stop) is int and item.stop >= 0:
        start = item.start or 0
        if type(start) is int and start >= 0:
            return start, item.stop
    return None
