"""Partition: a placed graph, cut into parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from eagerflow import ops
from eagerflow.capture.graph import CONSTANT, LENGTH, PARAMETER, RECV, SEND, Graph, Node, Value
from eagerflow.capture.partition.homes import attributes_on
from eagerflow.capture.partition.lent import lent_values
from eagerflow.capture.partition.needs import Needs, narrows
from eagerflow.capture.partition.parts import Edge, Part, Partitioned
from eagerflow.capture.partition.verifier import verify_parts
from eagerflow.capture.passes import VERIFY
from eagerflow.capture.state import Order
from eagerflow.capture.text import names, node_marks
from eagerflow.capture.verifier import before, note
from eagerflow.core.dims import evaluate
from eagerflow.core.spec import Spec
from eagerflow.devices import CPU0, Device, transfer
from eagerflow.errors import ArgumentError

if TYPE_CHECKING:
    from eagerflow.capture.placement import Costs

_CAST = ops.registry()["cast"]
_NARROW = np.dtype(ml_dtypes.bfloat16)


def partition(
    graph: Graph,
    where: Mapping[Node, Device],
    lengths: dict[str, int],
    costs: Costs | None = None,
    compress: str | None = None,
) -> Partitioned:
    """Cut a graph into one part per device.

    Parameters
    ----------
    graph : Graph
        The graph, after the passes.
    where : mapping of Node to Device
        Where each node runs. Parameters are where their values are, and constants wherever they are needed, whatever
        it says.
    lengths : dict
        The lengths that its symbols stand for.
    costs : Costs, optional
        What kernels and transfers cost. With it small nodes are computed again where that is cheaper than to send
        their results.
    compress : str, optional
        ``"bfloat16"``: as what float32 and float64 values travel.

    Returns
    -------
    Partitioned
        The parts. Each value is sent once to each device that needs it.

    Raises
    ------
    ArgumentError
        `compress` is something else.

    Notes
    -----
    The nodes of a part are in the order of the whole graph; a Send stands right after the node whose result it sends, a
    Recv right before the first node that needs what it receives. So the orders of all parts are parts of one order of
    everything, in which each Send stands before its Recv. Of the nodes that have not run, the first in that order
    never waits for another: whatever the cut, no run can hang.

    A Recv as late as possible hides as much of a transfer as can be hidden, for the transfer begins with the Send.

    Examples
    --------
    >>> import eagerflow as ef
    >>> from eagerflow.capture.graph import PARAMETER, Graph, Node
    >>> from eagerflow.capture.partition import partition
    >>> ef.config.set_logical_devices("cpu", 2)
    >>> here, there = ef.devices.find("cpu:0"), ef.devices.find("cpu:1")
    >>> spec = ef.ops.Spec((2,), "float32")
    >>> x = Node(PARAMETER, (), {"name": "x"}, [(spec, here)])
    >>> y = Node(ef.ops.registry()["exp"], x.outputs, {}, [(spec, here)])
    >>> print(partition(Graph("f", x.outputs, y.outputs, (x, y)), {x: here, y: there}, {}))
    on cpu:0:
      graph f(x: float32[2]) -> (float32[2])
        !0 = send(%x, edge=#0 cpu:0 -> cpu:1)  {communicates}
        %0: float32[2] = recv(edge=#1 cpu:1 -> cpu:0)  {communicates}
        return %0
    <BLANKLINE>
    on cpu:1:
      graph f() -> ()
        %0: float32[2] = recv(edge=#0 cpu:0 -> cpu:1)  {communicates}
        %1: float32[2] = exp(%0)
        !0 = send(%1, edge=#1 cpu:1 -> cpu:0)  {communicates}
        return nothing
    >>> ef.config.set_logical_devices("cpu", 1)
    """
    if compress not in (None, "bfloat16"):
        raise ArgumentError(f"compress: expected None or 'bfloat16', got {compress!r}")
    made = _Cut(graph, Needs(graph, where, costs, compress is not None), lengths, compress).partitioned()
    if VERIFY:
        verify_parts(made)
    return made


class _Cut:
    """The parts while they are made."""

    def __init__(self, graph: Graph, needs: Needs, lengths: dict[str, int], compress: str | None) -> None:
        self.graph = graph
        self.needs = needs
        self.lengths = lengths
        self.compress = compress
        self.nodes: dict[Device, list[Node]] = {}
        self.origins: dict[Device, dict[Node, Node]] = {}
        self.orders: dict[Device, Order] = {}
        self.here: dict[tuple[Value, Device], Value] = {}  # what stands for a value in the part of a device
        self.now: dict[Node, Node] = {}  # the nodes where they were placed
        self.edges: list[Edge] = []
        self.sent: dict[tuple[Value | Node, Device], Edge] = {}
        self.received: dict[tuple[Value | Node, Device], Node] = {}
        self.called = names(graph)
        self.marks = node_marks(graph, self.called)
        self.narrowed: dict[Value, Value] = {}
        self.lent = lent_values(graph.nodes, needs.at)

    def partitioned(self) -> Partitioned:
        """Return the parts."""
        needs = self.needs
        for node in self.graph.nodes:
            if needs.stays(node):
                self.place(node, needs.at[node])
        delivered: dict[Device, list[int]] = {}
        outputs = [(i, needs.origin(value), value.device) for i, value in enumerate(self.graph.outputs)]
        ends = [self.local(value, device) for _, value, device in outputs]
        for i, _, device in outputs:
            delivered.setdefault(device, []).append(i)
        parts = []
        for device, nodes in self.nodes.items():
            mine = delivered.get(device, [])
            if not mine and all(node.op is PARAMETER for node in nodes):
                continue  # nobody needs these arguments
            owned = [i for i, value in enumerate(self.graph.inputs) if value.device is device]
            inputs = [self.here[self.graph.inputs[i], device] for i in owned]
            made = Graph(self.graph.name, inputs, [ends[i] for i in mine], nodes)
            parts.append(Part(device, made, tuple(owned), tuple(mine), self.origins[device]))
        return Partitioned(self.graph, parts, self.edges)

    # --- nodes ------------------------------------------------------------------------------------

    def add(self, node: Node, device: Device, origin: Node | None = None) -> Node:
        """Add a node to the part of a device."""
        self.nodes.setdefault(device, []).append(node)
        origins = self.origins.setdefault(device, {})
        if origin is not None:
            origins[node] = origin
        return node

    def place(self, node: Node, device: Device) -> None:
        """Add what a node of the whole graph does on a device; where it was placed, with what it sends."""
        inputs = [self.local(x, device) if isinstance(x, Value) else x for x in node.inputs]
        control = self.control(node, device)
        results = [(value.spec, device) for value in node.outputs]
        attrs = attributes_on(node, device)
        made = Node(node.op, inputs, attrs, results, control, node.scope, node.line, node.request)
        note(self.orders[device], self.add(made, device, node))
        for value, result in zip(node.outputs, made.outputs, strict=True):
            self.here[value, device] = result
        if device is not self.needs.at[node]:
            return
        self.now[node] = made
        for value in node.outputs:
            for target in self.needs.targets(value):
                self.send(value, device, target)
        for target, others in self.needs.told(node).items():
            edge = self.edge(node, target, None, self.marks[node])
            awaited = [self.now[other] for other in others]
            self.add(Node(SEND, (), {"edge": edge}, (), awaited, node.scope, node.line), device)

    def local(self, given: Value, device: Device) -> Value:
        """Return what stands for a value in the part of a device; it is received or computed there if it has to be."""
        value = self.needs.origin(given)
        if (value, device) not in self.here:
            if value.node.op is CONSTANT or value.node.op is LENGTH:
                self.here[value, device] = self.copied(value.node, device).outputs[0]
            elif self.needs.again(value.node, device):
                self.place(value.node, device)
            else:
                self.receive(value, device)
        return self.here[value, device]

    def copied(self, node: Node, device: Device) -> Node:
        """Add a constant or a length."""
        (value,) = node.outputs
        op, attrs = node.op, node.attrs
        if op is CONSTANT:
            array = transfer(attrs["value"], value.device, device)
            attrs = attrs if array is attrs["value"] else {"value": array}
        elif not device.on_host:
            number = np.asarray(evaluate(attrs["length"], self.lengths), value.dtype)
            op, attrs = CONSTANT, {"value": transfer(number, CPU0, device)}
        made = Node(op, (), attrs, [(value.spec, device)], (), node.scope, node.line, node.request)
        return self.add(made, device, node)

    # --- edges ------------------------------------------------------------------------------------

    def edge(self, key: Value | Node, target: Device, spec: Spec | None, name: str, lent: bool = False) -> Edge:
        """Make an edge."""
        source = self.needs.at[key.node if isinstance(key, Value) else key]
        edge = self.sent[key, target] = Edge(len(self.edges), source, target, spec, name, lent)
        self.edges.append(edge)
        return edge

    def send(self, value: Value, device: Device, target: Device) -> None:
        """Add the Send of a value."""
        node, here = value.node, self.here[value, device]
        if self.compress and narrows(value.spec):
            here = self.narrow(value, device)
        edge = self.edge(value, target, here.spec, self.called[value], here.dtype == value.dtype and value in self.lent)
        self.add(Node(SEND, (here,), {"edge": edge}, (), (), node.scope, node.line), device)

    def narrow(self, value: Value, device: Device) -> Value:
        """Return a value as it travels; it is converted once for all who get it."""
        known = self.narrowed.get(value)
        if known is None:
            known = self.narrowed[value] = self.cast(self.here[value, device], _NARROW, device, value.node)
        return known

    def cast(self, value: Value, dtype: Any, device: Device, like: Node) -> Value:
        """Add a conversion."""
        attrs = {"dtype": dtype}
        made = Node(_CAST, (value,), attrs, [(Spec(value.shape, dtype), device)], (), like.scope, like.line)
        return self.add(made, device).outputs[0]

    def receive(self, value: Value, device: Device) -> None:
        """Add the Recv of a value."""
        edge, node = self.sent[value, device], value.node
        assert edge.spec is not None
        made = Node(RECV, (), {"edge": edge}, [(edge.spec, device)], (), node.scope, node.line)
        self.received[value, device] = self.add(made, device)
        here = made.outputs[0]
        self.here[value, device] = here if here.dtype == value.dtype else self.cast(here, value.dtype, device, node)

    def control(self, node: Node, device: Device) -> list[Node]:
        """Return what a node waits for in the part of a device."""
        needs = self.needs
        found = [self.now[other] for other in needs.waits(node) if needs.at[other] is device]
        found += [self.heard(word, device) for word in needs.heard(node)]
        # The way from one node with effects to the next may lead through other devices: a part is sound by itself.
        found += before(self.orders.setdefault(device, Order()), node)
        return list(dict.fromkeys(found))

    def heard(self, word: Node | Value, device: Device) -> Node:
        """Return the Recv that says on a device that a node of another one has run."""
        if isinstance(word, Value):
            self.local(word, device)
        elif (word, device) not in self.received:
            attrs = {"edge": self.sent[word, device]}
            self.received[word, device] = self.add(Node(RECV, (), attrs, (), (), word.scope, word.line), device)
        return self.received[word, device]
