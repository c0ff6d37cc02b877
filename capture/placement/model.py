"""Model: a graph, its devices and its costs as numbers, for simulations by the thousand."""

from __future__ import annotations

import math
from collections.abc import Sequence

from eagerflow.capture.graph import CONSTANT, LENGTH, PARAMETER, Graph, Node
from eagerflow.capture.placement.costs import Costs
from eagerflow.devices import Device

# Seconds from a source to a target, both by number.
Matrix = list[list[float]]


class Model:
    """What a simulated run of a graph needs to know. Nodes and devices go by number.

    Attributes
    ----------
    graph : Graph
        The graph.
    devices : list of Device
        The devices.
    order : list of int
        The nodes that take their turn on a device, in the order of the graph: all but those whose values are there
        from the beginning.
    seconds : list
        Per node and device the seconds that it takes.
    edges : list
        Per node what it waits for: the node, and the seconds from device to device.
    results : list
        Nodes whose results go home in the end, with the seconds and the home.
    """

    def __init__(self, graph: Graph, devices: Sequence[Device], costs: Costs) -> None:
        self.graph = graph
        self.devices = list(devices)
        self.costs = costs
        self.number = {device: i for i, device in enumerate(devices)}
        self.position = {node: i for i, node in enumerate(graph.nodes)}
        self.order = [i for i, node in enumerate(graph.nodes) if not everywhere(node) and node.op is not PARAMETER]
        self.seconds = [[costs.seconds(node, device) for device in devices] for node in graph.nodes]
        self._wires: dict[int, Matrix] = {}
        self.edges: list[list[tuple[int, Matrix]]] = [[] for _ in graph.nodes]
        for i in self.order:
            self.edges[i] = self._edges(graph.nodes[i])
        self.results = [
            (self.position[value.node], self.wire(costs.nbytes(value)), self.number[value.device])
            for value in dict.fromkeys(graph.outputs)
            if not everywhere(value.node)
        ]

    def wire(self, nbytes: int) -> Matrix:
        """Return the seconds that so many bytes take from each device to each."""
        found = self._wires.get(nbytes)
        if found is None:
            found = [[self.costs.transfer(nbytes, a, b) for b in self.devices] for a in self.devices]
            self._wires[nbytes] = found
        return found

    def _edges(self, node: Node) -> list[tuple[int, Matrix]]:
        # Of several results of one node the largest arrives last. A control edge carries a signal without bytes.
        found: dict[int, int] = {}
        for value in node.values:
            if not everywhere(value.node):
                p = self.position[value.node]
                found[p] = max(found.get(p, 0), self.costs.nbytes(value))
        for other in node.control:
            found.setdefault(self.position[other], 0)
        return [(p, self.wire(nbytes)) for p, nbytes in found.items()]

    def run(self, where: Sequence[int], bound: float = math.inf) -> float:
        """Return when the last result is home; something not below `bound` as soon as that is certain."""
        finish, edges, seconds = [0.0] * len(where), self.edges, self.seconds
        free = [0.0] * len(self.devices)
        for i in self.order:
            device = where[i]
            end = free[device]
            for p, wire in edges[i]:
                arrival = finish[p] + wire[where[p]][device]
                if arrival > end:
                    end = arrival
            end += seconds[i][device]
            if end >= bound:
                return end
            finish[i] = free[device] = end
        return max([*free, *[finish[p] + wire[where[p]][home] for p, wire, home in self.results]])

    def times(self, where: Sequence[int]) -> tuple[list[float], list[float], list[int]]:
        """Return when each node begins and ends, and for which node it waited last (-1: for none)."""
        begin, finish, after = [0.0] * len(where), [0.0] * len(where), [-1] * len(where)
        last = [-1] * len(self.devices)
        for i in self.order:
            device = where[i]
            if last[device] >= 0:
                begin[i], after[i] = finish[last[device]], last[device]
            for p, wire in self.edges[i]:
                arrival = finish[p] + wire[where[p]][device]
                if arrival > begin[i]:
                    begin[i], after[i] = arrival, p
            finish[i] = begin[i] + self.seconds[i][device]
            last[device] = i
        return begin, finish, after

    def crossings(self, where: Sequence[int]) -> int:
        """Return how many values, and signals without one, go from one device to another."""
        return len({(p, where[i]) for i in self.order for p, _ in self.edges[i] if where[p] != where[i]})

    def critical_path(self, where: Sequence[int]) -> list[int]:
        """Return the nodes that the end of the run waits for, the last one first."""
        _, finish, after = self.times(where)
        ends = [(finish[i], i) for i in self.order]
        ends += [(finish[p] + wire[where[p]][home], p) for p, wire, home in self.results]
        path = []
        i = max(ends)[1] if ends else -1
        while i >= 0:
            path.append(i)
            i = after[i]
        return path


def everywhere(node: Node) -> bool:
    """Tell whether each device has what a node gives for itself: constants and lengths."""
    return node.op is CONSTANT or node.op is LENGTH
