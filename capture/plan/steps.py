"""Steps: how each node of a plan is computed, and whether it can write into memory that is given to it."""

from __future__ import annotations

from typing import Any

from eagerflow.capture.graph import FUSED, PARAMETER, RECV, SEND, Graph, Node, Special, Value
from eagerflow.capture.kernels import compile_for
from eagerflow.capture.kernels.images import accelerated
from eagerflow.core.dims import evaluate
from eagerflow.core.spec import Spec
from eagerflow.devices import CPU0


class Step:
    """How a node is computed.

    Attributes
    ----------
    node : Node
        The node.
    call : callable
        What computes it.
    form : str
        ``source``, ``view``, ``out`` (takes memory for its results after the inputs) or ``call``.
    attrs : dict
        Attributes, with concrete lengths.
    specs : list of Spec
        Of its results, with concrete lengths.
    may_overwrite : tuple of set of int
        Per result the inputs whose memory it may use.
    parts : list of (int, int) or None
        Of a batch, how many inputs and results each group has.
    """

    __slots__ = ("attrs", "call", "form", "kernel", "may_overwrite", "node", "parts", "specs")

    def __init__(self, node: Node, lengths: dict[str, int], kernel: Any = None) -> None:
        self.node = node
        self.specs = [Spec(evaluate(v.shape, lengths), v.dtype) for v in node.outputs]
        self.attrs: dict[str, Any] = evaluate(dict(node.attrs), lengths) if not isinstance(node.op, Special) else {}
        self.kernel = kernel
        self.parts: list[tuple[int, int]] | None = None
        self.may_overwrite: tuple[Any, ...] = tuple([frozenset()] * len(self.specs))
        self.call: Any = None
        self.form = "source"
        if kernel is not None:
            self.call = kernel.call
            if device_of(node).on_host:
                self.form, self.may_overwrite = "out", kernel.may_overwrite
            else:
                self.form = "call"
        elif not isinstance(node.op, Special):
            self._op(node, lengths)

    def _op(self, node: Node, lengths: dict[str, int]) -> None:
        op = node.op
        home = device_of(node)
        self.call = op.kernel_for(home)
        self.form = "view" if op.fusion == "view" else "call"
        if home.on_host:
            inputs = [Spec(evaluate(x.shape, lengths), x.dtype) if isinstance(x, Value) else x for x in node.inputs]
            compiled = accelerated(op, inputs, self.attrs)
            if compiled is not None:
                self.form, self.call = "out", compiled
                return
        into = op.into_for(home)
        if into is None or not home.on_host or op.moves or len(self.specs) != 1 or self.form == "view":
            return
        if any(x is None for x in node.inputs):
            return  # a kernel that takes memory takes all inputs
        self.form, self.call = "out", into
        if op.fusion == "elementwise":
            self.may_overwrite = (frozenset(_alike(node, self.specs[0])),)


def steps_of(graph: Graph, lengths: dict[str, int]) -> tuple[list[Step], list[Value]]:
    """Return a step for each node, and the values that are the outputs.

    The nodes of fused groups that no kernel computes stand for themselves.
    """
    found: list[Step] = []
    now: dict[Value, Value] = {}
    for written in graph.nodes:
        node = written
        if any(value in now for value in node.values):
            node = node.replaced([now.get(x, x) if isinstance(x, Value) else x for x in node.inputs])
            now.update(zip(written.outputs, node.outputs, strict=True))
        kernel = None
        if node.op is FUSED:
            inner = node.attrs["graph"]
            kernel = compile_for(device_of(node), concretized(inner, lengths))
            if kernel is None:
                inside = dict(zip(inner.inputs, node.inputs, strict=True))
                for part in inner.nodes:
                    if part.op is PARAMETER:
                        continue
                    copy = part.replaced([inside.get(x, x) if isinstance(x, Value) else x for x in part.inputs])
                    inside.update(zip(part.outputs, copy.outputs, strict=True))
                    found.append(Step(copy, lengths))
                results = [inside[value] for value in inner.outputs]
                now.update(zip(written.outputs, results, strict=True))
                continue
        found.append(Step(node, lengths, kernel))
    return found, [now.get(value, value) for value in graph.outputs]


def _alike(node: Node, spec: Spec) -> list[int]:
    """Return the inputs whose elements lie as those of the result do."""
    return [i for i, x in enumerate(node.inputs) if isinstance(x, Value) and x.dtype.itemsize == spec.dtype.itemsize]


def device_of(node: Node) -> Any:
    """Return the device on which a node is computed."""
    if node.op is SEND or node.op is RECV:
        edge = node.attrs["edge"]
        return edge.source if node.op is SEND else edge.target
    return next((x.device for x in node.values), node.outputs[0].device if node.outputs else CPU0)


def concretized(graph: Any, lengths: dict[str, int]) -> Any:
    """Return a graph with concrete lengths."""
    if not lengths:
        return graph
    from_old: dict[Value, Value] = {}
    nodes = []
    for node in graph.nodes:
        made = Node(
            node.op,
            [from_old[x] if isinstance(x, Value) else evaluate(x, lengths) for x in node.inputs],
            evaluate(dict(node.attrs), lengths),
            [(Spec(evaluate(v.shape, lengths), v.dtype), v.device) for v in node.outputs],
            (),
            node.scope,
            node.line,
            node.request,
        )
        nodes.append(made)
        from_old.update(zip(node.outputs, made.outputs, strict=True))
    inputs, outputs = [from_old[v] for v in graph.inputs], [from_old[v] for v in graph.outputs]
    return type(graph)(graph.name, inputs, outputs, nodes)
