"""The verifier of partitions: rules that the parts of a graph keep together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from eagerflow.capture.attributes import same
from eagerflow.capture.graph import ASSIGN, CALLBACK, READ, RECV, SEND, Node, Special, Value
from eagerflow.capture.partition.parts import Edge, Part, Partitioned
from eagerflow.capture.state import Order
from eagerflow.capture.verifier import before, note, verify_part
from eagerflow.devices import Device
from eagerflow.errors import CaptureError


def verify_parts(partitioned: Partitioned) -> None:
    """Check that the parts of a graph are sound, and fit together.

    Parameters
    ----------
    partitioned : Partitioned
        The parts.

    Raises
    ------
    CaptureError
        They break a rule; the message names it.

    Notes
    -----
    The rules: each part keeps those of `eagerflow.capture.verify`, and all of it is on the part's device. Each edge has
    one Send, in the part where it starts, and one Recv, in the part where it ends; each value goes once to each device.
    Inputs of the whole graph belong to one part at most, outputs are delivered by exactly one, where they are at home.
    There is an order in which everything runs, and what touches Variables or calls Python runs once, and waits for what
    came before it in the whole graph, whichever parts the way leads through.
    """
    _Parts(partitioned).run()


class _Parts:
    """The parts of a graph while they are verified."""

    def __init__(self, partitioned: Partitioned) -> None:
        self.whole = partitioned.graph
        self.parts = partitioned.parts
        self.edges = partitioned.edges

    def run(self) -> None:
        """Check everything."""
        for part in self.parts:
            where = f"graph {self.whole.name}, the part on {part.device}"
            verify_part(part.graph, where, part.device, self.whole.draws)
        for problem in chain(self.ends(), self.crossings(), self.order()):
            raise CaptureError(f"graph {self.whole.name}, its parts: {problem}")

    def ends(self) -> Iterator[str]:
        """Give what is wrong with devices, inputs and outputs."""
        devices = [part.device for part in self.parts]
        if len(set(devices)) != len(devices):
            yield f"there are two on one device: {devices}"
        inputs = [i for part in self.parts for i in part.inputs]
        if len(set(inputs)) != len(inputs):
            yield f"an input belongs to two: {sorted(inputs)}"
        outputs = sorted(i for part in self.parts for i in part.outputs)
        if outputs != list(range(len(self.whole.outputs))):
            yield f"of {len(self.whole.outputs)} results they deliver {outputs}"
        for part in self.parts:
            graph, whole = part.graph, self.whole
            yield from self.fitting("input", part.device, part.inputs, graph.inputs, whole.inputs)
            yield from self.fitting("result", part.device, part.outputs, graph.outputs, whole.outputs)

    def fitting(
        self, what: str, device: Device, numbers: tuple[int, ...], mine: tuple[Value, ...], whole: tuple[Value, ...]
    ) -> Iterator[str]:
        """Give where the inputs or outputs of a part are not those of the whole graph with these numbers."""
        if len(numbers) != len(mine):
            yield f"of {len(mine)} {what}s on {device} {len(numbers)} have a number"
        for i, value in zip(numbers, mine, strict=False):
            if i >= len(whole) or not same(value.spec, whole[i].spec):
                yield f"{what} {i} is not {value.spec}"
            elif whole[i].device is not device:
                yield f"{what} {i} is on {device}, expected {whole[i].device}"

    def crossings(self) -> Iterator[str]:
        """Give what is wrong with the edges between parts."""
        if [edge.number for edge in self.edges] != list(range(len(self.edges))):
            yield "edges are numbered from 0"
        for op in (SEND, RECV):
            found: dict[Edge, list[Device]] = {edge: [] for edge in self.edges}
            for part, node in self.nodes(op):
                edge = node.attrs["edge"]
                if edge not in found:
                    yield f"there is a {op.name} of {edge}, which is not among the edges"
                else:
                    found[edge].append(part.device)
            for edge, devices in found.items():
                if devices != [edge.source if op is SEND else edge.target]:
                    yield f"edge {edge} has a {op.name} on {devices or 'no device'}"
        once = set()
        for _, node in self.nodes(SEND):
            key = (node.inputs or node.control, node.attrs["edge"].target)
            if key in once:
                yield f"{key[0]} goes to {key[1]} twice"
            once.add(key)

    def nodes(self, op: Special) -> Iterator[tuple[Part, Node]]:
        """Give the nodes of an operation, with the parts that they are in."""
        return ((part, node) for part in self.parts for node in part.graph.nodes if node.op is op)

    def order(self) -> Iterator[str]:
        """Give what cannot run, and what may run before what it has to wait for."""
        number = {node: i for i, node in enumerate(node for part in self.parts for node in part.graph.nodes)}
        sent: dict[Edge, int] = {}  # per edge what has run before it was sent, a bit for each node
        needs: dict[Node, int] = {}
        waiting = [list(reversed(part.graph.nodes)) for part in self.parts]
        while any(waiting):
            so_far = len(needs)
            for nodes in waiting:
                while nodes and not (nodes[-1].op is RECV and nodes[-1].attrs["edge"] not in sent):
                    node = nodes.pop()
                    bits = sent[node.attrs["edge"]] if node.op is RECV else 0
                    for other in (*[value.node for value in node.values], *node.control):
                        bits |= needs[other] | 1 << number[other]
                    needs[node] = bits
                    if node.op is SEND:
                        sent[node.attrs["edge"]] = bits | 1 << number[node]
            if len(needs) == so_far:
                stuck = [nodes[-1].attrs["edge"] for nodes in waiting if nodes]
                yield f"no order in which all nodes run: nothing is sent over {', '.join(map(repr, stuck))}"
                return
        yield from self.effects(number, needs)

    def effects(self, number: dict[Node, int], needs: dict[Node, int]) -> Iterator[str]:
        """Give nodes with effects that run twice or never, and those that may run before what they have to wait for."""
        runs: dict[Node, list[Node]] = {}
        for part in self.parts:
            for node in part.graph.nodes:
                if node in part.origins:
                    runs.setdefault(part.origins[node], []).append(node)
        order = Order()
        for node in self.whole.nodes:
            found = runs.get(node, [])
            if node.op in (READ, ASSIGN, CALLBACK) and len(found) != 1:
                yield f"{node.op.name} ({node.line}) runs {len(found)} times"
                return
            for other in before(order, node):
                if not needs[found[0]] >> number[runs[other][0]] & 1:
                    yield f"{node.op.name} ({node.line}) does not wait for {other.op.name} ({other.line})"
            note(order, node)
