"""The verifier: rules that every graph keeps, also after each pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from eagerflow.capture.attributes import same
from eagerflow.capture.graph import (
    ASSIGN,
    CALLBACK,
    CONSTANT,
    FUSED,
    PARAMETER,
    READ,
    RECV,
    SEND,
    Graph,
    Node,
    Special,
    Value,
)
from eagerflow.capture.state import Counter, Order
from eagerflow.core.dims import Symbolic
from eagerflow.core.op import Op
from eagerflow.core.spec import Spec
from eagerflow.devices import Device
from eagerflow.errors import CaptureError

_NUMBERS = (bool, int, float, complex)


def verify(graph: Graph) -> None:
    """Check that a graph is sound.

    Parameters
    ----------
    graph : Graph
        The graph.

    Raises
    ------
    CaptureError
        It breaks a rule; the message names the node and the rule.

    Notes
    -----
    The rules: nodes stand after what they take and what they wait for, and are there once. Inputs are the results of
    parameters. Numbers of inputs and results fit the operation, shapes and dtypes are what its shape rule says. A node
    is on one device; what is sent and received is what the edge says. What touches a Variable, and what calls Python,
    waits for what came before it. Draws are among those that a run takes. Graphs inside nodes keep the same rules and
    have no effects.

    Examples
    --------
    >>> import eagerflow as ef
    >>> from eagerflow.capture.graph import PARAMETER, Graph, Node
    >>> from eagerflow.capture.verifier import verify
    >>> x = Node(PARAMETER, (), {"name": "x"}, [(ef.ops.Spec((2,), "float32"), None)])
    >>> verify(Graph("same", x.outputs, x.outputs, (x,)))
    >>> verify(Graph("lost", (), x.outputs, ()))
    Traceback (most recent call last):
        ...
    eagerflow.errors.CaptureError: graph lost, result 0: no node of the graph makes it
    """
    _Check(graph, f"graph {graph.name}").run()


def verify_part(graph: Graph, where: str, device: Device, draws: Iterable[tuple[Any, int]]) -> None:
    """Check the part of a graph that one device runs: the rules of `verify`, and that all of it is on the device.

    Parameters
    ----------
    graph : Graph
        The part.
    where : str
        What messages call it.
    device : Device
        The device.
    draws : iterable of (Generator, int)
        The draws of the whole graph.
    """
    _Check(graph, where, draws, device).run()


def before(order: Order, node: Node) -> tuple[Node, ...]:
    """Return what a node has to wait for on account of Variables and callbacks."""
    if node.op is READ:
        return order.before_read(node.attrs["variable"])
    if node.op is ASSIGN:
        return order.before_write(node.attrs["variable"])
    return order.before_callback() if node.op is CALLBACK else ()


def note(order: Order, node: Node) -> None:
    """Note that a node stands here, if it touches a Variable or calls Python."""
    if node.op is READ:
        order.read(node.attrs["variable"], node)
    elif node.op is ASSIGN:
        order.wrote(node.attrs["variable"], node)
    elif node.op is CALLBACK:
        order.called(node)


class _Check:
    """One graph while it is verified: a whole one, or the part of a device."""

    def __init__(self, graph: Graph, where: str, draws: Iterable[Any] = (), device: Device | None = None) -> None:
        self.graph = graph
        self.device = device
        self.edges: set[tuple[Special, int]] = set()
        self.where = where
        self.position: dict[Node, int] = {}
        self.inputs = set(graph.inputs)
        self.counts = {id(generator): count for generator, count in (*graph.draws, *draws)}
        self.order = Order()

    def run(self) -> None:
        """Check everything."""
        for number, node in enumerate(self.graph.nodes):
            place = f"node {number} ({node.op.name}{', ' + node.line if node.line else ''})"
            for problem in self.problems(node):
                raise CaptureError(f"{self.where}, {place}: {problem}")
            self.position[node] = number
        self.ends()

    def ends(self) -> None:
        """Check inputs and results of the graph."""
        for i, value in enumerate(self.graph.inputs):
            if value.node.op is not PARAMETER:
                raise CaptureError(f"{self.where}, input {i}: inputs are results of parameters, got {value!r}")
            if not self.defined(value):
                raise CaptureError(f"{self.where}, input {i}: no node of the graph makes it")
        if len(self.inputs) != len(self.graph.inputs):
            raise CaptureError(f"{self.where}: an input is there twice")
        for i, value in enumerate(self.graph.outputs):
            if not self.defined(value):
                raise CaptureError(f"{self.where}, result {i}: no node of the graph makes it")

    def defined(self, value: Any) -> bool:
        """Tell whether a node before this one makes the value."""
        return (
            isinstance(value, Value)
            and value.node in self.position
            and value.index < len(value.node.outputs)
            and value.node.outputs[value.index] is value
        )

    def problems(self, node: Node) -> Iterator[str]:
        """Give what is wrong with a node."""
        if node in self.position:
            yield "it is in the graph twice"
        if not isinstance(node.op, Op | Special):
            yield f"its operation is neither an op nor special to graphs: {node.op!r}"
        for i, x in enumerate(node.inputs):
            if isinstance(x, Value):
                if not self.defined(x):
                    yield f"input {i} is used before a node of the graph makes it"
            elif x is not None and type(x) not in _NUMBERS and not isinstance(x, Symbolic):
                yield f"input {i} is a value, a Python number, a symbolic length or None, got {x!r}"
        for other in node.control:
            if other not in self.position:
                yield f"it waits for {other!r}, which does not stand before it"
        yield from self.count(node)
        yield from self.special(node) if isinstance(node.op, Special) else self.ordinary(node)
        yield from self.devices(node)
        yield from self.effects(node)

    def count(self, node: Node) -> Iterator[str]:
        """Give what is wrong with the numbers of inputs and results."""
        op, given = node.op, len(node.inputs)
        if op.outputs >= 0 and len(node.outputs) != op.outputs:
            yield f"it has {len(node.outputs)} results, expected {op.outputs}"
        if op in (ASSIGN, FUSED, CALLBACK, SEND):
            return  # see below
        if given < op.fixed or (given > len(op.inputs) and not op.variadic):
            yield f"it has {given} inputs, expected {len(op.inputs)}{' or more' if op.variadic else ''}"
        for name, x in zip(op.inputs, node.inputs, strict=False):
            if x is None and name not in op.optional:
                yield f"input {name!r} is None, but it is not optional"

    def ordinary(self, node: Node) -> Iterator[str]:
        """Give where results differ from what the shape rule says."""
        specs = [x.spec if isinstance(x, Value) else x for x in node.inputs]
        try:
            inferred = node.op.infer(*specs, **node.attrs)
        except Exception as error:
            yield f"the shape rule fails for {', '.join(map(str, specs))}: {error}"
            return
        expected = inferred if isinstance(inferred, tuple) else (inferred,)
        yield from self.results(node, list(expected))

    def results(self, node: Node, expected: list[Spec]) -> Iterator[str]:
        """Give where results differ from these."""
        if len(expected) != len(node.outputs):
            yield f"it has {len(node.outputs)} results, expected {len(expected)}"
        for i, (value, spec) in enumerate(zip(node.outputs, expected, strict=False)):
            if not same(value.spec, spec):
                yield f"result {i} is {value.spec}, expected {spec}"

    def special(self, node: Node) -> Iterator[str]:
        """Give what is wrong with a node of an operation that only graphs have."""
        op, attrs = node.op, node.attrs
        if op is PARAMETER and node.outputs[0] not in self.inputs:
            yield "the graph does not list this parameter among its inputs"
        elif op is CONSTANT:
            yield from self.results(node, [Spec(attrs["value"].shape, attrs["value"].dtype)])
        elif op is READ or op is ASSIGN:
            variable = attrs["variable"]
            spec = Spec(variable.shape, variable.dtype)
            if op is READ:
                yield from self.results(node, [spec])
            elif len(node.inputs) != 1 or not isinstance(node.inputs[0], Value):
                yield "an assignment takes one value"
            elif not same(node.inputs[0].spec, spec):
                yield f"it assigns {node.inputs[0].spec} to a Variable that is {spec}"
        elif op is FUSED:
            yield from self.fused(node, attrs["graph"])
        elif op is SEND or op is RECV:
            yield from self.edge(node, attrs["edge"])

    def edge(self, node: Node, edge: Any) -> Iterator[str]:
        """Give what is wrong with a node that sends or receives."""
        if (node.op, edge.number) in self.edges:
            yield f"there is another {node.op.name} of edge {edge}"
        self.edges.add((node.op, edge.number))
        passing = node.inputs if node.op is SEND else node.outputs
        expected = [] if edge.spec is None else [edge.spec]
        given = [x.spec if isinstance(x, Value) else x for x in passing]
        if len(given) != len(expected) or not all(map(same, given, expected)):
            what = ", ".join(map(str, given)) or "nothing"
            yield f"{what} goes through edge {edge}, expected {edge.spec or 'nothing'}"
        end = edge.source if node.op is SEND else edge.target
        for x in passing:
            if isinstance(x, Value) and x.device is not end:
                yield f"it is on {x.device}, and edge {edge} {'starts' if node.op is SEND else 'ends'} on {end}"
        if node.op is SEND and edge.spec is None and not node.control:
            yield f"edge {edge} carries nothing, and waits for nothing"

    def fused(self, node: Node, body: Graph) -> Iterator[str]:
        """Give what is wrong with a node that holds a graph."""
        for what, outside, inside in (
            ("inputs", node.inputs, body.inputs),
            ("results", node.outputs, body.outputs),
        ):
            if len(outside) != len(inside):
                yield f"it has {len(outside)} {what}, its graph {len(inside)}"
            for i, (x, value) in enumerate(zip(outside, inside, strict=False)):
                if not isinstance(x, Value) or not same(x.spec, value.spec):
                    yield f"{x!r} does not fit {value!r}, number {i} of the {what} of its graph"
        for inner in body.nodes:
            if inner.effects != "none":
                yield f"there is {inner.op.name}, which has effects, in its graph"
        _Check(body, f"{self.where}, the graph {body.name!r} in a {node.op.name} node", device=self.device).run()

    def devices(self, node: Node) -> Iterator[str]:
        """Give whether results are on another device than the node says, or than its part is for."""
        if self.device is not None:
            for value in (*node.values, *node.outputs):
                if value.device is not self.device:
                    yield f"{value!r} is on {value.device}, and the part on {self.device}"
            variable = node.attrs.get("variable")
            if variable is not None and variable.device is not self.device:
                yield f"its Variable is on {variable.device}, and the part on {self.device}"
        if node.op is READ:
            wanted = node.attrs["variable"].device
        elif not isinstance(node.op, Special) and node.op.moves:
            wanted = node.attrs["device"]
        else:
            return  # inputs may come from several devices: a placer brings them together
        if any(value.device is not wanted for value in node.outputs):
            yield f"its result is on {node.outputs[0].device}, expected {wanted}"

    def effects(self, node: Node) -> Iterator[str]:
        """Give what a node with effects does not wait for, and draws that nobody counts."""
        needed = before(self.order, node)
        note(self.order, node)
        if node.effects == "random" and isinstance(node.attrs.get("counter"), Counter):
            counter = node.attrs["counter"]
            count = self.counts.get(id(counter.generator), 0)
            if not 0 <= counter.index < count:
                yield f"it is draw {counter.index} of a generator that gives a run {count}"
        for other in needed:
            if other not in node.control and not self.path(other, node):
                yield f"no edge or path leads to node {self.position[other]} ({other.op.name}), which it waits for"

    def path(self, start: Node, end: Node) -> bool:
        """Tell whether `end` needs what needs `start`."""
        first = self.position[start]
        seen: set[Node] = set()
        stack = [end]
        while stack:
            node = stack.pop()
            for other in (*[value.node for value in node.values], *node.control):
                if other is start:
                    return True
                if other not in seen and self.position.get(other, -1) > first:
                    seen.add(other)
                    stack.append(other)
        return False
