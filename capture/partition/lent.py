"""Lent memory: which values may lie in the memory of an argument or a constant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from eagerflow.capture.graph import CONSTANT, FUSED, LENGTH, PARAMETER, Node, Special, Value
from eagerflow.devices import Device


def lent_values(nodes: Iterable[Node], where: Mapping[Node, Device]) -> set[Value]:
    """Return the values that may lie in the memory of an argument or a constant.

    Parameters
    ----------
    nodes : iterable of Node
        Nodes of a graph, in order.
    where : mapping of Node to Device
        Where each is computed.
    """
    found: set[Value] = set()
    for node in nodes:
        if node.op in (PARAMETER, CONSTANT, LENGTH):
            found.update(node.outputs)
        elif any(value in found for value in node.values):
            found.update(_passed_on(node, where[node], found))
    return found


def _passed_on(node: Node, device: Device, lent: set[Value]) -> Iterable[Value]:
    """Return the results of a node that may lie in memory which it is lent."""
    if node.op is FUSED:  # where no kernel is compiled for it, its nodes run one by one
        body = node.attrs["graph"]
        inside = {inner for x, inner in zip(node.inputs, body.inputs, strict=True) if x in lent}
        for part in body.nodes:
            if part.op is CONSTANT or any(value in inside for value in part.values):
                inside.update(part.outputs if part.op is CONSTANT else _passed_on(part, device, inside))
        return [value for value, inner in zip(node.outputs, body.outputs, strict=True) if inner in inside]
    return () if _makes_new(node, device) else node.outputs


def _makes_new(node: Node, device: Device) -> bool:
    """Tell whether the results lie in new memory for certain: other kernels may return what they are given."""
    op = node.op
    if isinstance(op, Special):
        return True
    if op.fusion in ("contraction", "reduction") or op.effects == "random":
        return True
    into = device.on_host and op.fusion != "view" and not op.moves and op.into_for(device) is not None
    return into and len(node.outputs) == 1 and all(x is not None for x in node.inputs)
