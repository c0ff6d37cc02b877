"""Differentiation of a captured function on a tape outside: one graph forward, one backward, and what is between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from eagerflow.capture.executable import Executable
from eagerflow.capture.graph import (
    ASSIGN,
    CALLBACK,
    CONSTANT,
    LENGTH,
    PARAMETER,
    READ,
    Graph,
    Node,
    Value,
    needed_for,
    only,
)
from eagerflow.capture.interpreter import lengths_of
from eagerflow.capture.options import Options
from eagerflow.capture.tracing.trace import Trace
from eagerflow.core import GradientTape, Tensor, Variable, alias, is_inexact, wrap
from eagerflow.core.calls import CallOp, attach_call, kept, outputs_of, weight_of
from eagerflow.core.dims import evaluate
from eagerflow.core.pullback import restore
from eagerflow.core.record import Record
from eagerflow.core.tensor import filled


class Differentiated:
    """A captured function that can be differentiated with respect to some inputs and Variables.

    Parameters
    ----------
    graph : Graph
        What was captured.
    positions : tuple of int
        The inputs that tapes follow.
    variables : sequence of Variable
        The Variables that tapes follow.
    options : Options
        Of both halves.
    """

    def __init__(
        self, graph: Graph, positions: tuple[int, ...], variables: Sequence[Variable], options: Options
    ) -> None:
        self.captured = graph
        self.positions = positions
        self.variables = list(variables)
        joint = _Joint(graph, positions, self.variables)
        self._joint = joint
        self.targets = joint.targets  # which outputs have a gradient
        self.reached = joint.reached  # which sources do
        forward, backward, self._kept, self._drawn = split(joint)
        self.forward = Executable(forward, options)
        self.backward = Executable(backward, options)
        # Arguments are kept as they are, where gradients need them.
        slots = {value: i for i, value in enumerate(joint.inputs)}
        self._given = [slots.get(value) for value in self._kept]
        self._needed = _needed_again(joint)
        self._needs = [value.node in self._needed for value in joint.inputs]
        self._symbolic = any(type(side) is not int for value in joint.inputs for side in value.shape)

    def run(self, inputs: Sequence[Tensor], records: tuple[Record | None, ...]) -> list[Tensor]:
        """Run forward on plain arrays, and record the call under the records of the followed inputs and Variables."""
        # What tapes keep must stay as it is, whatever is assigned to the Variables later.
        values = [variable._value._held for variable in self.variables]
        arrays = [x._held for x in inputs]
        made = self.forward.run(arrays)
        count = len(self.captured.outputs)
        results = [wrap(a, v.device) for a, v in zip(made[:count], self.captured.outputs, strict=True)]
        followed = [results[i] for i in self.targets]
        if not followed or not any(self.reached):
            return results
        likes = [(r.shape, r.dtype, r.device) for r in followed]
        device = followed[0].device
        lengths = lengths_of(self.captured, arrays) if self._symbolic else {}
        rest = iter(made[count:])
        given = [next(rest) if slot is None else arrays[slot] for slot in self._given]
        arguments = [array if needed else None for array, needed in zip(arrays, self._needs, strict=True)]

        def gradients(g: list[Any], record: Record, tracked: bool) -> list[Any]:
            # The record has one device, its results may be on several.
            weights = [weight_of(item, like).to(like[2]) for item, like in zip(g, likes, strict=True)]
            if tracked or any(type(weight) is not Tensor for weight in weights):
                found = self._again(record, weights, lengths)
            else:
                made = self.backward.run([*record.saved[-1], *[w._held for w in weights]], lengths)
                found = [wrap(a, v.device) for a, v in zip(made, self._joint.gradients, strict=True)]
            each = iter(found)
            every = [next(each) if reached else None for reached in self.reached]
            return [_zero_or_linear(item, parent) for item, parent in zip(every, record.parents, strict=True)]

        op: Any = CallOp(self.captured.name, gradients)
        sources = [kept(arguments[i], inputs[i].device, device) for i in self.positions]
        sources += [kept(value, v.device, device) for value, v in zip(values, self.variables, strict=True)]
        saved = (*sources, list(rest), arguments, given)
        # The record has what is needed, and lets go of it in time.
        del arrays, made, inputs, given, arguments, values, sources
        record = attach_call(op, records, saved, followed, device)
        handles = iter(outputs_of(record, followed))
        return [next(handles) if i in self.targets else r for i, r in enumerate(results)]

    def _again(self, record: Record, weights: list[Tensor], lengths: dict[str, int]) -> list[Tensor]:
        """Compute the gradients out of ops on Tensors, for tapes that follow them; what is kept depends on inputs."""
        joint = self._joint
        drawn, arguments = record.saved[-3:-1]
        found: dict[Value, Any] = {}
        for value, array in zip(joint.inputs, arguments, strict=True):
            if array is not None:
                found[value] = wrap(array, value.device)
        for slot, position in enumerate(self.positions):
            if arguments[position] is not None:
                found[joint.inputs[position]] = restore(record, slot)
        first = len(self.positions)
        reads = {id(v): restore(record, first + i) for i, v in enumerate(self.variables)}
        found.update(zip(joint.weights, weights, strict=True))
        # What was drawn, read and called is not drawn, read and called again.
        for value, array in zip(self._drawn, drawn, strict=True):
            found[value] = wrap(array, value.device)
        for node in joint.nodes:
            if node not in self._needed or all(value in found for value in node.outputs):
                continue
            if node.op is READ:
                leaf = reads[id(node.attrs["variable"])]
                assigned = joint.assigned.get(node)
                # A Variable has one place on a tape, whatever is assigned to it.
                found[node.outputs[0]] = leaf if assigned is None else alias(found[assigned], leaf._rec)
                continue
            replay(node, found, lengths)
        return [found[value] for value in joint.gradients]


def _zero_or_linear(g: Tensor | None, parent: Record | None) -> Any:
    if g is None:
        return filled(0, parent.shape, parent.dtype, parent.device)  # type: ignore[union-attr]
    return g.conj() if g.dtype.kind == "c" else g


def replay(node: Node, found: dict[Value, Any], lengths: dict[str, int] | None = None) -> None:
    """Run a node on Tensors through the public op, so that whatever listens hears of it.

    Without lengths those that are symbolic stay what they are.
    """
    inputs = [found[x] if isinstance(x, Value) else x for x in node.inputs]
    attrs = dict(node.attrs)
    if lengths is not None:
        inputs, attrs = [x if isinstance(x, Tensor) else evaluate(x, lengths) for x in inputs], evaluate(attrs, lengths)
        if not node.op.moves:  # a placer brought them together, where there was one
            home = node.outputs[0].device
            inputs = [x.to(home) if isinstance(x, Tensor) and x.device is not home else x for x in inputs]
    if node.op is CONSTANT:
        made: Any = wrap(node.attrs["value"], node.outputs[0].device)
    elif node.op is LENGTH:
        made = Tensor(attrs["length"], node.outputs[0].dtype)
    else:
        made = node.op(*inputs, **attrs)
    several = [made] if node.op.outputs == 1 else list(made)
    for value, result in zip(node.outputs, several, strict=True):
        found[value] = result


class _Joint:
    """A graph together with its gradient."""

    def __init__(self, graph: Graph, positions: tuple[int, ...], variables: list[Variable]) -> None:
        trace = Trace(graph.name)
        trace.guards = graph.guards
        found: dict[Value, Any] = {}
        with trace.tracing():
            for value in graph.inputs:
                found[value] = trace.parameter(value.node.attrs["name"], value.spec, value.device)
            with GradientTape(watch_accessed_variables=False) as tape:
                watched = [found[graph.inputs[i]] for i in positions]
                tape.watch(watched)
                tape.watch(variables)
                self._replay(graph, trace, found)
                outputs = [found[value] for value in graph.outputs]
            self.targets = [i for i, y in enumerate(outputs) if y._rec is not None and is_inexact(y.dtype)]
            targets = [outputs[i] for i in self.targets]
            weights = [
                trace.parameter(f"gradient of output {i}", graph.outputs[i].spec, graph.outputs[i].device)
                for i in self.targets
            ]
            sources = [*watched, *variables]
            gradients: list[Any] = [None] * len(sources)
            homes = [x.device for x in sources]
            if targets:
                gradients = tape.gradient(targets, sources, weights, unconnected="none")
            self.reached = [g is not None for g in gradients]
            self.gradients = [
                trace.value(alias(g.to(home))) for g, home in zip(gradients, homes, strict=True) if g is not None
            ]
            self.outputs = [trace.value(alias(y)) for y in outputs]
            self.weights = [trace.value(w) for w in weights]
        self.nodes = trace.nodes
        self.variables = variables
        self.assigned = _assigned(trace.nodes)
        self.inputs = [trace.value(alias(found[value])) for value in graph.inputs]
        self.name = graph.name
        self.draws = graph.draws
        self.guards = graph.guards

    def _replay(self, graph: Graph, trace: Trace, found: dict[Value, Any]) -> None:
        for node in graph.nodes:
            trace.at(node)
            if node.op is PARAMETER:
                continue
            if node.op is CONSTANT:
                found[node.outputs[0]] = trace.lift(wrap(node.attrs["value"], node.outputs[0].device))
            elif node.op is LENGTH:
                found[node.outputs[0]] = trace.lift(node.attrs["length"])
            elif node.op is READ:
                found[node.outputs[0]] = trace.read(node.attrs["variable"])
            elif node.op is ASSIGN:
                trace.assign(node.attrs["variable"], alias(found[node.inputs[0]]))
            elif node.op is CALLBACK:
                made = trace.callback(
                    node.op, [found[x] for x in node.values], node.attrs, [value.spec for value in node.outputs]
                )
                found.update(zip(node.outputs, made, strict=True))
            else:
                replay(node, found)
        trace.at(None)


def _assigned(nodes: Iterable[Node]) -> dict[Node, Value]:
    """Return for reads that come after an assignment what was assigned."""
    found: dict[Node, Value] = {}
    now: dict[int, Value] = {}
    for node in nodes:
        if node.op is CALLBACK:
            now.clear()
        elif node.op is ASSIGN:
            now[id(node.attrs["variable"])] = node.inputs[0]
        elif node.op is READ and id(node.attrs["variable"]) in now:
            found[node] = now[id(node.attrs["variable"])]
    return found


def _is_drawn(node: Node, joint: Any) -> bool:
    """Tell whether a node gives what it gave only once: draws, callbacks, and state that no tape follows."""
    if node.op is READ:
        return not any(node.attrs["variable"] is v for v in joint.variables)
    return node.effects == "random" or node.op is CALLBACK


def _needed_again(joint: Any) -> set[Node]:
    """Return the nodes that gradients are computed with out of arguments, Variables and what was drawn."""
    needed: set[Node] = set()
    stack = [value.node for value in joint.gradients]
    while stack:
        node = stack.pop()
        if node in needed:
            continue
        needed.add(node)
        if node in joint.assigned:
            stack.append(joint.assigned[node].node)
        if not _is_drawn(node, joint):
            stack.extend([value.node for value in node.values])
    return needed


def split(joint: Any) -> tuple[Graph, Graph, list[Value], list[Value]]:
    """Cut a joint graph in two, and return the values that pass between, and those that only higher orders need.

    What depends on the gradients of the outputs goes backward. So does what only the backward half needs, if that
    keeps no more than is kept anyway: its inputs are inputs or outputs of the function, or kept already.
    """
    late: set[Node] = {value.node for value in joint.weights}
    for node in joint.nodes:
        if any(value.node in late for value in node.values):
            late.add(node)
    for_gradients = needed_for(joint.gradients)
    # What is assigned or handed to Python is needed as what is returned is.
    for_outputs = needed_for([*joint.outputs, *[value for n in joint.nodes if _acts(n) for value in n.values]])
    given = {value.node for value in joint.inputs}  # also what nothing uses
    early = [
        n for n in joint.nodes if n in given or (n not in late and (n in for_outputs or n in for_gradients or _acts(n)))
    ]
    free = set(joint.inputs) | set(joint.outputs)
    free |= {n.outputs[0] for n in early if n.op is READ}
    free |= {value for n in joint.nodes if n in late and n in for_gradients for value in n.values}
    moved: set[Node] = set()
    for node in early:
        if node in for_outputs or _acts(node) or node.op in (PARAMETER, READ) or node.effects != "none":
            continue
        if all(value in free or value.node in moved or value.node.op is CONSTANT for value in node.values):
            moved.add(node)
    users: dict[Node, list[Node]] = {}
    for node in early:
        for value in node.values:
            users.setdefault(value.node, []).append(node)
    for node in reversed(early):  # what a node that stays needs stays, too
        if node in moved and any(user not in moved for user in users.get(node, ())):
            moved.remove(node)
    backward = [n for n in joint.nodes if (n in late and n in for_gradients) or n in moved]
    copied = [n for n in joint.nodes if n.op is CONSTANT or n.op is LENGTH]
    inside = set(backward) | set(copied) | {value.node for value in joint.weights}
    crossing = [value for n in backward for value in n.values if value.node not in inside]
    crossing += [value for value in joint.gradients if value.node not in inside]
    kept = list(dict.fromkeys(crossing))
    drawn = [value for n in early if _is_drawn(n, joint) and n in _needed_again(joint) for value in n.outputs]
    outputs = [*joint.outputs, *[value for value in kept if value not in joint.inputs], *drawn]
    whole = Graph(joint.name, joint.inputs, outputs, joint.nodes, joint.draws, joint.guards)
    forward = only(whole, {n for n in early if n not in moved})
    nodes = [n for n in joint.nodes if n in inside and n.op is not PARAMETER]
    return forward, extracted(f"{joint.name} (gradient)", nodes, [*kept, *joint.weights], joint.gradients), kept, drawn


def _acts(node: Node) -> bool:
    return node.effects not in ("none", "random", "reads state")


def extracted(name: str, nodes: Iterable[Node], inputs: Sequence[Value], outputs: Iterable[Value]) -> Graph:
    """Return a graph of some nodes; `inputs` become its parameters."""
    now: dict[Value, Value] = {}
    made: list[Node] = []
    for position, value in enumerate(inputs):
        known = value.node.attrs.get("name", f"kept {position}")
        node = Node(
            PARAMETER, (), {"name": str(known)}, [(value.spec, value.device)], (), value.node.scope, value.node.line
        )
        made.append(node)
        now[value] = node.outputs[0]
    parameters = [now[value] for value in inputs]
    for node in nodes:
        copy = node.replaced([now.get(x, x) if isinstance(x, Value) else x for x in node.inputs], ())
        made.append(copy)
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            now.setdefault(old, new)
    return Graph(name, parameters, [now[value] for value in outputs], made)
