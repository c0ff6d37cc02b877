"""Needs: which values are needed on which devices, what is computed there again, and who waits for whom."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from eagerflow import ops
from eagerflow.capture.graph import CONSTANT, FUSED, LENGTH, PARAMETER, Graph, Node, Special, Value
from eagerflow.core.spec import Spec
from eagerflow.devices import Device

if TYPE_CHECKING:
    from eagerflow.capture.placement import Costs

_TO_DEVICE = ops.registry()["to_device"]
_SOURCES = (CONSTANT, LENGTH)
# What has the same bits wherever it is computed: products of matrices may add up in another order with other threads.
_STEADY = ("elementwise", "view", "reduction")


class Needs:
    """What the parts of a placed graph need of each other.

    Attributes
    ----------
    at : dict
        Per node where it runs.
    """

    def __init__(
        self, graph: Graph, where: Mapping[Node, Device], costs: Costs | None = None, compress: bool = False
    ) -> None:
        self.graph = graph
        self.compress = compress
        bound = (PARAMETER, *_SOURCES)
        self.at = {node: node.outputs[0].device if node.op in bound else where[node] for node in graph.nodes}
        self._position = {node: i for i, node in enumerate(graph.nodes)}
        self._origin: dict[Value, Value] = {}
        self._waits: dict[Node, tuple[Node, ...]] = {}
        self._told: dict[Node, dict[Device, list[Node]]] = {}
        self._heard: dict[Node, list[Node | Value]] = {}
        self._again: dict[Node, set[Device]] = {}
        self._follow()
        self._needed = self._wanted()
        if costs is not None:
            self._repeat(costs)
            self._needed = self._wanted()
        for node in graph.nodes:
            if self.stays(node):
                self._tell(node)

    # --- what the cut asks ------------------------------------------------------------------------

    def origin(self, value: Value) -> Value:
        """Return what a value is before it was moved: moving is what the cut does."""
        return self._origin.get(value, value)

    def stays(self, node: Node) -> bool:
        """Tell whether a node runs where it was placed."""
        if node.op in _SOURCES or _moves(node):
            return False
        devices = self._again.get(node)
        if not devices:
            return True
        return any(device not in devices for value in node.outputs for device in self._needed[value])

    def again(self, node: Node, device: Device) -> bool:
        """Tell whether a node is computed again on another device than its own."""
        return device in self._again.get(node, ())

    def targets(self, value: Value) -> list[Device]:
        """Return where a value is sent to, in the order in which it is needed there."""
        home, again = self.at[value.node], self._again.get(value.node, ())
        needed = self._needed[value]
        return sorted([d for d in needed if d is not home and d not in again], key=needed.__getitem__)

    def told(self, node: Node) -> dict[Device, list[Node]]:
        """Return which devices have to know that a node has run and get no value of it, and what else they learn."""
        return self._told.get(node, {})

    def heard(self, node: Node) -> list[Node | Value]:
        """Return what tells a node that those of other devices have run: a value of theirs, or the word of a node."""
        return self._heard.get(node, [])

    def waits(self, node: Node) -> tuple[Node, ...]:
        """Return what a node waits for although it takes nothing of it."""
        return self._waits[node]

    # --- how it is found --------------------------------------------------------------------------

    def _follow(self) -> None:
        """Find what values are before they are moved, and what nodes wait for."""
        for node in self.graph.nodes:
            found: list[Node] = []
            for other in node.control:
                found += [*self._waits[other], self.origin(other.outputs[0]).node] if _moves(other) else [other]
            for value in node.values:
                if _moves(value.node):
                    found += self._waits[value.node]
            self._waits[node] = tuple(dict.fromkeys(x for x in found if x.op not in (*_SOURCES, PARAMETER)))
            if _moves(node):
                self._origin[node.outputs[0]] = self.origin(next(node.values))

    def _before(self, node: Node) -> list[Node]:
        return [*[self.origin(value).node for value in node.values], *self._waits[node]]

    @cached_property
    def _behind(self) -> dict[Node, int]:
        """Return per node all that it needs: a bit for each node by its position."""
        found: dict[Node, int] = {}
        for node in self.graph.nodes:
            bits = 0
            for other in self._before(node):
                bits |= found[other] | 1 << self._position[other]
            found[node] = bits
        return found

    def _wanted(self) -> dict[Value, dict[Device, int]]:
        """Return per value the devices that need it, each with the position of the first node that does."""
        end = len(self.graph.nodes)
        self._needed = {value: {} for node in self.graph.nodes for value in node.outputs}
        for value in self.graph.outputs:
            self._needed[self.origin(value)].setdefault(value.device, end)
        for position in range(end - 1, -1, -1):
            node = self.graph.nodes[position]
            if self.stays(node):
                self._take(node, self.at[node], position)
            for device in self._again.get(node, ()):
                firsts = [self._needed[value][device] for value in node.outputs if device in self._needed[value]]
                if firsts:
                    self._take(node, device, min(firsts))
        return self._needed

    def _take(self, node: Node, device: Device, position: int) -> None:
        for value in map(self.origin, node.values):
            self._needed[value][device] = min(position, self._needed[value].get(device, position))

    def _tell(self, node: Node) -> None:
        """Note how a node learns that nodes of other devices have run."""
        device = self.at[node]
        silent: dict[Device, list[Node]] = {}
        for other in self._waits[node]:
            if self.at[other] is device or self._implied(other, node):
                continue
            passing = next((value for value in other.outputs if device in self.targets(value)), None)
            if passing is not None:
                self._heard.setdefault(node, []).append(passing)
            else:
                silent.setdefault(self.at[other], []).append(other)
        for others in silent.values():  # the last of a device speaks for all
            last = max(others, key=self._position.__getitem__)
            self._heard.setdefault(node, []).append(last)
            told = self._told.setdefault(last, {}).setdefault(device, [])
            told += [other for other in others if other not in told]

    def _implied(self, other: Node, node: Node) -> bool:
        """Tell whether something else that a node needs is there only after the other node has run."""
        if any(self.origin(value).node is other for value in node.values):
            return True
        bit = self._position[other]
        needed = (item for item in self._before(node) if item is not other)
        return any(self._behind[item] >> bit & 1 for item in needed)

    def _repeat(self, costs: Costs) -> None:
        """Find nodes whose results are cheaper to compute again than to send."""
        awaited = {other for node in self.graph.nodes for other in self._waits[node]}
        for node in self.graph.nodes:
            if node not in awaited and not self._waits[node] and _steady(node):
                for device in dict.fromkeys(d for value in node.outputs for d in self.targets(value)):
                    if self._cheaper(node, device, costs):
                        self._again.setdefault(node, set()).add(device)

    def _cheaper(self, node: Node, device: Device, costs: Costs) -> bool:
        home = self.at[node]
        if home.kind is not device.kind:
            return False
        for value in map(self.origin, node.values):
            there = self.at[value.node] is device or device in self._needed[value]
            if not there and value.node.op not in _SOURCES:
                return False
        price = 0.0
        for value in node.outputs:
            if device in self._needed[value]:
                size = costs.nbytes(value)
                if self.compress and narrows(value.spec):
                    size = size * 2 // value.dtype.itemsize
                price += costs.transfer(size, home, device)
        return costs.seconds(node, device) < price


def narrows(spec: Spec) -> bool:
    """Tell whether values are made narrower where they are compressed."""
    return spec.dtype.name in ("float32", "float64")


def _moves(node: Node) -> bool:
    """Tell whether a node does nothing but move a value."""
    return node.op is _TO_DEVICE


def _steady(node: Node) -> bool:
    """Tell whether a node may be computed elsewhere: it has no effects, and the same bits on all devices of a kind."""
    op = node.op
    if node.request is not None:  # the program says where
        return False
    if op is FUSED:
        return True
    if isinstance(op, Special) or op.moves or op.effects not in ("none", "random"):
        return False
    alone = not any(True for _ in node.values)
    return alone or (op.effects == "none" and op.fusion in _STEADY)
