"""Homes: nodes as they are on another device than the one for which they were written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from eagerflow.capture.graph import CALLBACK, CONSTANT, FUSED, Graph, Node, Special, Value
from eagerflow.core.tensor import Tensor, convert, wrap
from eagerflow.devices import Device, transfer


def attributes_on(node: Node, device: Device) -> Mapping[str, Any]:
    """Return the attributes of a node for a device: graphs inside are on it, and what moves data moves it there."""
    if node.op is FUSED:
        body = node.attrs["graph"]
        if all(value.device is device for inner in body.nodes for value in inner.outputs):
            return node.attrs
        return {**node.attrs, "graph": graph_on(body, device)}
    if node.op is CALLBACK:
        homes = [value.device for value in node.values]
        if not node.outputs and all(home is device for home in homes):
            return node.attrs
        return {**node.attrs, "function": at_home(node.attrs["function"], homes, device)}
    if not isinstance(node.op, Special) and node.op.moves:
        return {**node.attrs, "device": device}
    return node.attrs


def graph_on(graph: Graph, device: Device) -> Graph:
    """Return a graph whose values are on a device."""
    now: dict[Value, Value] = {}
    nodes = []
    for node in graph.nodes:
        attrs = node.attrs
        if node.op is CONSTANT:
            array = transfer(attrs["value"], node.outputs[0].device, device)
            attrs = attrs if array is attrs["value"] else {"value": array}
        inputs = [now[x] if isinstance(x, Value) else x for x in node.inputs]
        results = [(value.spec, device) for value in node.outputs]
        made = Node(node.op, inputs, attrs, results, (), node.scope, node.line, node.request)
        nodes.append(made)
        now.update(zip(node.outputs, made.outputs, strict=True))
    return Graph(graph.name, [now[x] for x in graph.inputs], [now[x] for x in graph.outputs], nodes)


def at_home(function: Callable[..., Sequence[Tensor]], homes: Sequence[Device], device: Device) -> Callable[..., Any]:
    """Return a callback that gets its Tensors where the program has them, and gives its results on a device."""

    @wraps(function)
    def called(*tensors: Tensor) -> list[Tensor]:
        given = [wrap(transfer(x._held, device, home), home) for x, home in zip(tensors, homes, strict=True)]
        return [wrap(transfer(x._held, x._device, device), device) for x in map(convert, function(*given))]

    return called
