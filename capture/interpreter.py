"""The reference interpreter: runs a graph node by node. Every other way of running is tested against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from eagerflow.capture.failure import explained
from eagerflow.capture.graph import ASSIGN, CALLBACK, CONSTANT, FUSED, LENGTH, PARAMETER, READ, Graph, Node, Value
from eagerflow.capture.state import Draws
from eagerflow.core.dims import evaluate, unify
from eagerflow.core.tensor import Tensor, convert, wrap
from eagerflow.devices import CPU0, transfer


def run_graph(graph: Graph, arrays: Sequence[Any]) -> list[Any]:
    """Run a graph, and return the arrays of its outputs.

    Parameters
    ----------
    graph : Graph
        The graph.
    arrays : sequence
        A device array for each parameter.

    Returns
    -------
    list
        Device arrays.
    """
    lengths = lengths_of(graph, arrays)
    found = dict(zip(graph.inputs, arrays, strict=True))
    return evaluate_nodes(graph.nodes, graph.outputs, found, Draws(graph.draws), lengths)


def lengths_of(graph: Graph, arrays: Sequence[Any]) -> dict[str, int]:
    """Return the symbolic lengths that the arrays' shapes stand for."""
    lengths: dict[str, int] = {}
    for value, array in zip(graph.inputs, arrays, strict=True):
        unify(value.shape, array.shape, lengths)
    return lengths


def evaluate_nodes(
    nodes: Iterable[Node],
    wanted: Iterable[Value],
    found: dict[Value, Any],
    draws: Draws,
    lengths: Mapping[str, int] | None = None,
) -> list[Any]:
    """Run nodes in their order, and return the arrays of the values wanted; `found` has those that are known."""
    lengths = lengths or {}
    for node in nodes:
        if node.op is PARAMETER:
            continue
        inputs = [found[x] if isinstance(x, Value) else evaluate(x, lengths) for x in node.inputs]
        home = node.outputs[0].device if node.outputs and not node.op.moves else None
        if home is not None and node.op is not CALLBACK:  # which takes its inputs where they are
            inputs = [
                transfer(array, x.device, home) if isinstance(x, Value) and x.device is not home else array
                for x, array in zip(node.inputs, inputs, strict=True)
            ]
        try:
            results = run_node(node, inputs, draws, lengths)
        except Exception as error:
            raise explained(node, inputs, error) from error
        for value, result in zip(node.outputs, results, strict=True):
            found[value] = result
    return [found[value] for value in wanted]


def run_node(node: Node, inputs: list[Any], draws: Draws, lengths: Mapping[str, int]) -> Sequence[Any]:
    """Run one node on arrays, and return its results."""
    op = node.op
    if op is CONSTANT:
        return [node.attrs["value"]]
    if op is LENGTH:
        return [np.asarray(evaluate(node.attrs["length"], lengths), node.outputs[0].dtype)]
    if op is READ:
        return [node.attrs["variable"]._value._held]
    if op is ASSIGN:
        store(node.attrs["variable"], inputs[0])
        return []
    if op is CALLBACK:
        return call_back(node, inputs)
    if op is FUSED:
        inner: Graph = node.attrs["graph"]
        return evaluate_nodes(inner.nodes, inner.outputs, dict(zip(inner.inputs, inputs, strict=True)), draws, lengths)
    attrs = draws.resolve(node.attrs) if op.effects == "random" else evaluate(dict(node.attrs), lengths)
    if op.effects == "random":
        attrs = evaluate(attrs, lengths)
    device: Any = node.outputs[0].device if not op.moves else attrs["device"]
    home: Any = device if not op.moves else next((x.device for x in node.values), device)
    if home is CPU0:
        made = op.kernel_for(home)(*inputs, **attrs)
    else:
        with home.kind.activate(home.index):
            made = op.kernel_for(home)(*inputs, **attrs)
    several = [made] if op.outputs == 1 else list(made)
    return [np.asarray(x) if device.kind.array_type is np.ndarray else x for x in several]


def store(variable: Any, array: Any) -> None:
    """Give a Variable a copy of an array as its value."""
    device = variable._value._device
    with device.kind.activate(device.index):
        variable._value = wrap(_copied(array, device), device)


def _copied(array: Any, device: Any) -> Any:
    return array.copy() if device.on_host else device.kind.copy(array, device.index)


def call_back(node: Node, arrays: Sequence[Any]) -> list[Any]:
    """Call the Python function of a node with Tensors, and return the arrays of its results."""
    homes = [value.device for value in node.values]
    # Copies: whoever keeps a Tensor keeps its values, whatever buffers are written to later.
    given = [wrap(_copied(array, home), home) for array, home in zip(arrays, homes, strict=True)]
    wanted = node.attrs.get("_homes", homes)
    given = [x.to(home) if home is not x.device else x for x, home in zip(given, wanted, strict=True)]
    made = node.attrs["function"](*given)
    return [_checked(node, result, value) for result, value in zip(made, node.outputs, strict=True)]


def _checked(node: Node, result: Any, value: Value) -> Any:
    tensor: Tensor = convert(result, value.dtype)
    return transfer(tensor._held, tensor._device, value.device)
