"""Memory: how many bytes a placed graph holds on each device."""

from __future__ import annotations

import math
from collections.abc import Sequence

from eagerflow.capture.graph import ASSIGN, PARAMETER, READ, Node, Value
from eagerflow.capture.placement.model import Model, everywhere


class Memory:
    """Bytes on devices while a graph runs, node after node in its order.

    Arguments, Variables and constants are there all the time; other values until the last node that takes them or a
    view of them, results until the end. Copies on other devices count there. That plans compute in place, and so need
    less, does not count.

    Parameters
    ----------
    model : Model
        The graph.

    Attributes
    ----------
    limits : list
        Per device the bytes that it may hold; infinite where nothing says so.
    tight : bool
        Whether everything together could be too much for a device.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        limits = [model.costs.memory_limit(device) for device in model.devices]
        self.limits = [math.inf if limit is None else float(limit) for limit in limits]
        nodes = model.graph.nodes
        self.last: dict[Value, int] = {}
        end = len(nodes)
        for value in model.graph.outputs:
            self.last[value] = end
        for i in range(end - 1, -1, -1):
            node = nodes[i]
            held = max([i, *[self.last.get(value, i) for value in node.outputs]]) if _lends(node) else i
            for value in node.values:
                self.last[value] = max(self.last.get(value, i), held)
        self.bytes = {value: model.costs.nbytes(value) for node in nodes for value in node.outputs}
        self.state = self._state()
        self.tight = sum(self.bytes.values()) + sum(self.state) > min(self.limits, default=math.inf)

    def _state(self) -> list[int]:
        """Return the bytes of arguments and Variables on each device."""
        found = [0] * len(self.model.devices)
        variables: set[int] = set()
        for node in self.model.graph.nodes:
            if node.op is PARAMETER:
                found[self.model.number[node.outputs[0].device]] += self.bytes[node.outputs[0]]
            elif node.op is READ or node.op is ASSIGN:
                variable = node.attrs["variable"]
                if id(variable) not in variables:
                    variables.add(id(variable))
                    held = node.outputs[0] if node.outputs else next(node.values)
                    found[self.model.number[variable.device]] += self.bytes[held]
        return found

    def peaks(self, where: Sequence[int]) -> list[int]:
        """Return the most bytes that each device holds at one time."""
        tally = Tally(self)
        for i in range(len(where)):
            tally.place(i, where[i], where)
        return tally.peak

    def fits(self, where: Sequence[int]) -> bool:
        """Tell whether no device holds more than it may."""
        return not self.tight or all(a <= b for a, b in zip(self.peaks(where), self.limits, strict=True))


class Tally:
    """The bytes on each device up to some node.

    Attributes
    ----------
    held : list of int
        Per device the bytes now.
    peak : list of int
        Per device the most so far.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.held = list(memory.state)
        self.peak = list(memory.state)
        self._there: list[set[Value]] = [set() for _ in memory.state]
        self._ends: dict[int, list[tuple[int, int]]] = {}

    def after(self, i: int, device: int, where: Sequence[int]) -> int:
        """Return the most bytes that a device would have held if node `i` ran there."""
        new = self._new(i, device, where)
        for_good = sum([nbytes for _, nbytes, last in new if last is None])
        return max(self.peak[device] + for_good, self.held[device] + sum([nbytes for _, nbytes, _ in new]))

    def place(self, i: int, device: int, where: Sequence[int]) -> None:
        """Note that node `i` runs on a device."""
        for value, nbytes, last in self._new(i, device, where):
            self._there[device].add(value)
            self.held[device] += nbytes
            if last is None:  # it was there before
                self.peak[device] += nbytes
            else:
                self._ends.setdefault(last, []).append((device, nbytes))
        self.peak[device] = max(self.peak[device], self.held[device])
        for other, nbytes in self._ends.pop(i, ()):
            self.held[other] -= nbytes

    def _new(self, i: int, device: int, where: Sequence[int]) -> list[tuple[Value, int, int | None]]:
        """Return the values that come to a device with a node, their bytes, and the last node that needs them."""
        memory, there = self._memory, self._there[device]
        node = memory.model.graph.nodes[i]
        found: list[tuple[Value, int, int | None]] = []
        for value in dict.fromkeys(node.values):
            if value not in there:
                if everywhere(value.node):
                    found.append((value, memory.bytes[value], None))
                elif where[memory.model.position[value.node]] != device:
                    found.append((value, memory.bytes[value], memory.last[value]))
        if not everywhere(node) and node.op is not PARAMETER and node.op is not READ and not _lends(node):
            found += [(value, memory.bytes[value], memory.last.get(value, i)) for value in node.outputs]
        return found


def _lends(node: Node) -> bool:
    """Tell whether what a node gives lies in memory of what it takes."""
    return bool(node.op.fusion == "view")
