"""Search: placements by simulated runs, and better ones nearby."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from eagerflow.capture.graph import Node
from eagerflow.capture.placement.constraints import Constraint
from eagerflow.capture.placement.costs import home_of
from eagerflow.capture.placement.memory import Memory, Tally
from eagerflow.capture.placement.model import Model, everywhere

MARGIN = 0.05  # of a node's seconds: what is not gained by more does not make it leave its home


class Choices:
    """Where the nodes of a model may be, by number.

    Attributes
    ----------
    allowed : list of tuple of int
        Per node the devices, its home first.
    unit : list of int
        Per node the unit that goes to one device: itself, or the first of those that have to be together.
    members : dict
        Per unit its nodes.
    """

    def __init__(self, model: Model, rules: dict[Node, Constraint]) -> None:
        self.allowed: list[tuple[int, ...]] = []
        self.unit: list[int] = []
        self.members: dict[int, list[int]] = {}
        first: dict[int, int] = {}
        for i, node in enumerate(model.graph.nodes):
            rule, home = rules[node], home_of(node)
            devices = [home] if everywhere(node) else sorted(rule.devices, key=lambda d: d is not home)
            self.allowed.append(tuple([model.number[device] for device in devices if device is not None]))
            self.unit.append(i if rule.together is None else first.setdefault(id(rule.together), i))
            self.members.setdefault(self.unit[i], []).append(i)
        self.free = [unit for unit in self.members if len(self.allowed[unit]) > 1]

    def moved(self, where: Sequence[int], units: Iterable[int], device: int) -> list[int] | None:
        """Return a placement with some units on another device; None where that is not allowed."""
        made = list(where)
        for unit in units:
            if device not in self.allowed[unit]:
                return None
            for i in self.members[unit]:
                made[i] = device
        return made


def ahead(model: Model, choices: Choices) -> list[list[float]]:
    """Return per node and device how long the run lasts at least after the node is done there."""
    rest = [[0.0] * len(model.devices) for _ in model.graph.nodes]
    for p, wire, home in model.results:
        rest[p] = [max(known, row[home]) for known, row in zip(rest[p], wire, strict=True)]
    for i in reversed(model.order):
        on = [(device, model.seconds[i][device] + rest[i][device]) for device in choices.allowed[i]]
        for p, wire in model.edges[i]:
            for source, row in enumerate(wire):
                least = min([row[device] + then for device, then in on])
                if least > rest[p][source]:
                    rest[p][source] = least
    return rest


class Exhausted(Exception):
    """No device has the memory for a node: the node, and what each that it may be on would hold."""

    def __init__(self, node: int, held: dict[int, int]) -> None:
        super().__init__(node, held)
        self.node = node
        self.held = held


def walk(model: Model, choices: Choices, memory: Memory, rest: list[list[float]]) -> list[int]:
    """Place nodes from inputs to outputs where they, and what `rest` says comes after, are done first.

    Raises
    ------
    Exhausted
        No device has the memory for a node.
    """
    where = [0] * len(model.graph.nodes)
    finish = [0.0] * len(where)
    free = [0.0] * len(model.devices)
    chosen: dict[int, int] = {}
    turn = set(model.order)
    tally = Tally(memory) if memory.tight else None
    for i in range(len(where)):
        allowed: Sequence[int] = choices.allowed[i]
        if choices.unit[i] in chosen:
            allowed = (chosen[choices.unit[i]],)
        if tally is not None:
            held = {device: tally.after(i, device, where) for device in allowed}
            allowed = [device for device in allowed if held[device] <= memory.limits[device]]
            if not allowed:
                raise Exhausted(i, held)
        best, end, least = allowed[0], 0.0, math.inf
        for device in allowed if i in turn else ():
            done = free[device]
            for p, wire in model.edges[i]:
                arrival = finish[p] + wire[where[p]][device]
                if arrival > done:
                    done = arrival
            seconds = model.seconds[i][device]
            score = done + seconds + rest[i][device]
            if score < least - MARGIN * seconds:
                best, end, least = device, done + seconds, score
        where[i] = chosen[choices.unit[i]] = best
        if i in turn:
            finish[i] = free[best] = end
        if tally is not None:
            tally.place(i, best, where)
    return where


def improved(
    model: Model, choices: Choices, memory: Memory, where: list[int], budget: int
) -> tuple[float, list[int], int]:
    """Move nodes while that makes the end of the run earlier, and `budget` allows to simulate so many nodes.

    Returns
    -------
    tuple
        The time of the end, the placement, and what is left of the budget.
    """
    best, cost = model.run(where), len(model.order)
    better = True
    while better and budget > 0:
        better = False
        budget -= cost
        for units, device in _moves(model, choices, where):
            if budget <= 0:
                break
            made = choices.moved(where, units, device)
            if made is None:
                continue
            budget -= cost
            time = model.run(made, best * (1 - 1e-9))
            if time < best * (1 - 1e-9) and memory.fits(made):
                where, best, better = made, time, True
                break
    return best, where, budget


def _moves(model: Model, choices: Choices, where: Sequence[int]) -> Iterator[tuple[list[int], int]]:
    """Give units and a device that they could move to: first of the critical path, then of all the graph."""
    free = set(choices.free)
    path = [unit for i in model.critical_path(where) if (unit := choices.unit[i]) in free]
    devices = range(len(model.devices))
    runs: list[list[int]] = []
    for unit in dict.fromkeys(path):
        if runs and where[runs[-1][-1]] == where[unit]:
            runs[-1].append(unit)
        else:
            runs.append([unit])
        yield from (([unit], device) for device in devices if device != where[unit])
    for run in runs:
        if len(run) > 1:
            yield from ((run, device) for device in devices if device != where[run[0]])
            for k in range(1, len(run)):
                yield from ((run[:k], device) for device in devices if device != where[run[0]])
                yield from ((run[k:], device) for device in devices if device != where[run[0]])
    for unit in choices.free:
        yield from (([unit], device) for device in devices if device != where[unit])
