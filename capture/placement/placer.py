"""Placer: decides where the nodes of a graph go."""

from __future__ import annotations

import math
from collections.abc import Sequence

from eagerflow.capture.graph import Graph, Node
from eagerflow.capture.placement.constraints import Constraint, called, constraints, everything
from eagerflow.capture.placement.costs import Costs, home_of
from eagerflow.capture.placement.memory import Memory
from eagerflow.capture.placement.model import Model, everywhere
from eagerflow.capture.placement.placement import Candidate, Decision, Placement
from eagerflow.capture.placement.search import Choices, Exhausted, ahead, improved, walk
from eagerflow.devices import CPU0, Device, DeviceName
from eagerflow.devices import list as available
from eagerflow.errors import PlacementError

BUDGET = 400_000  # nodes that the search for better placements simulates, less than as many microseconds
WORTH = 0.15  # what a run has to gain by more devices: costs are rough
CROSSING = 1e-5  # seconds of Python for a Send and its Recv; nothing hides them, as threads run Python one at a time


def candidates(graph: Graph, names: Sequence[str] | None = None) -> list[Device]:
    """Return the devices among which a placer chooses.

    Parameters
    ----------
    graph : Graph
        The graph.
    names : sequence of str, optional
        Names of devices; partial ones stand for all devices that fit. If not given: all devices of the kinds that
        the values, Variables and requests of the graph are on.

    Returns
    -------
    list of Device
        The devices, in the order in which `eagerflow.devices.list` has them.

    Raises
    ------
    PlacementError
        No device fits one of the names.

    Examples
    --------
    >>> import eagerflow as ef
    >>> from eagerflow.capture.placement import candidates
    >>> candidates(ef.function(lambda x: x * 2).get_concrete_function(ef.ones(2)).graph)
    [cpu:0]
    """
    if names is None:
        kinds = {value.device.kind.name for node in graph.nodes for value in node.outputs}
        kinds |= {variable.device.kind.name for variable in graph.variables()}
        kinds |= {node.request.name.kind for node in graph.nodes if node.request is not None}
        return [device for device in everything() if device.kind.name in kinds] or [CPU0]
    wanted: set[Device] = set()
    for text in names:
        name = DeviceName.parse(text)
        fitting = [d for d in everything() if name.kind in (None, d.kind.name) and name.index in (None, d.index)]
        if not fitting or name.job not in (None, "localhost") or name.task not in (None, 0):
            raise PlacementError(f"{graph.name}: there is no device {text!r} to place it on; here are {available()}")
        wanted.update(fitting)
    return [device for device in everything() if device in wanted]


def place(graph: Graph, devices: Sequence[Device], lengths: dict[str, int], costs: Costs | None = None) -> Placement:
    """Decide where the nodes of a graph go.

    Parameters
    ----------
    graph : Graph
        The graph.
    devices : sequence of Device
        The devices for nodes of which the program does not say where they go; see `candidates`.
    lengths : dict
        The number that each symbolic length stands for.
    costs : Costs, optional
        What nodes and transfers take; what the declarations of the ops and the rates of the devices say if not given.

    Returns
    -------
    Placement
        A device for each node, and the reasons.

    Raises
    ------
    PlacementError
        What the program asks for cannot be, or no device has the memory.

    Notes
    -----
    The graph is walked from inputs to outputs; each node goes where it is done first [1]_, or where it and the fastest
    way on from there are [2]_. Near-ties go to the node's home, where eager code would have it. These placements, and
    those of everything on one device, are simulated and improved by moving nodes that the end of the run waits for;
    the best one is taken, unless one on fewer devices is not much slower. None is slower, by simulation, than
    everything on one device that has the memory.

    References
    ----------
    .. [1] H. Topcuoglu, S. Hariri, M.-Y. Wu, "Performance-effective and low-complexity task scheduling for
       heterogeneous computing", IEEE Transactions on Parallel and Distributed Systems 13(3), 2002.
    .. [2] H. Arabnejad, J. G. Barbosa, "List scheduling algorithm for heterogeneous systems by an optimistic cost
       table", IEEE Transactions on Parallel and Distributed Systems 25(3), 2014.

    Examples
    --------
    >>> import eagerflow as ef
    >>> from eagerflow.capture.placement import candidates, place
    >>> graph = ef.function(lambda x: ef.tanh(x) * 2).get_concrete_function(ef.ones(2)).graph
    >>> place(graph, candidates(graph), {}).devices
    [cpu:0]
    """
    costs = costs or Costs(lengths)
    rules = constraints(graph, devices, costs)
    homes = [home for node in graph.nodes if (home := home_of(node)) is not None]
    allowed = [device for rule in rules.values() for device in rule.devices]
    model = Model(graph, list(dict.fromkeys([*devices, *homes, *allowed])), costs)
    choices, memory = Choices(model, rules), Memory(model)
    alone = [_single(model, choices, device) for device in devices]
    single = {device: model.run(where) for device, where in zip(devices, alone, strict=True)}
    where = _with_constants(model, _best(model, choices, memory, alone))
    return _explained(model, rules, choices, memory, where, single)


def _single(model: Model, choices: Choices, device: Device | None) -> list[int]:
    """Return the placement of everything on one device, as far as it may be there, otherwise at home."""
    wanted = -1 if device is None else model.number[device]
    return [wanted if wanted in choices.allowed[unit] else choices.allowed[unit][0] for unit in choices.unit]


def _best(model: Model, choices: Choices, memory: Memory, alone: Sequence[list[int]]) -> list[int]:
    """Return the best placement that is found, starting from some."""
    alone = [where for where in alone if memory.fits(where)]
    if not choices.free and alone:
        return alone[0]
    starts = [*alone, *([home] if memory.fits(home := _single(model, choices, None)) else [])]
    nothing = [[0.0] * len(model.devices)] * len(model.graph.nodes)
    for rest in nothing, ahead(model, choices):
        try:
            starts.append(walk(model, choices, memory, rest))
        except Exhausted as error:
            failure = error
    if not starts:
        raise _exhausted(model, memory, failure) from None
    found = sorted([(model.run(where), k, where) for k, where in enumerate(starts)])
    least_alone = min([time for time, k, _ in found if k < len(alone)], default=math.inf)
    budget = BUDGET
    for _, k, where in found.copy():  # the better the start, the more is spent on it
        time, where, left = improved(model, choices, memory, where, budget // 2)
        budget -= budget // 2 - left
        found.append((time, len(starts) + k, where))
    # Nothing is slower than all on one device; and a device more has to be worth it.
    priced = [(time + CROSSING * model.crossings(where), k, where) for time, k, where in found if time <= least_alone]
    most = min(priced)[0] * (1 + WORTH)

    def order(item: tuple[float, int, list[int]]) -> tuple[int, float, int, int]:
        time, k, where = item
        away = sum([where[unit] != choices.allowed[unit][0] for unit in choices.free])
        return len({where[unit] for unit in choices.free}), time, away, k

    return min([item for item in priced if item[0] <= most], key=order)[2]


def _with_constants(model: Model, where: list[int]) -> list[int]:
    """Return a placement with what every device has for itself where it is used first; at home where it is returned."""
    returned = {value.node for value in model.graph.outputs}
    seen: set[Node] = set()
    for i, node in enumerate(model.graph.nodes):
        for source in [value.node for value in node.values if everywhere(value.node)]:
            if source not in returned and source not in seen:
                seen.add(source)
                where[model.position[source]] = where[i]
    return where


def _exhausted(model: Model, memory: Memory, failure: Exhausted) -> PlacementError:
    node = model.graph.nodes[failure.node]
    nbytes = sum([memory.bytes[value] for value in node.outputs])
    lines = [
        f"  {model.devices[device]} would hold {held:,} bytes, its limit is {memory.limits[device]:,.0f}"
        for device, held in failure.held.items()
    ]
    return PlacementError(
        f"{model.graph.name}: no device has the memory for {called(node)}, {nbytes:,} bytes:\n"
        + "\n".join(lines)
        + "\n  raise the limits with `ef.config.set_memory_limit`, use more devices, or work on smaller batches"
    )


def _explained(
    model: Model,
    rules: dict[Node, Constraint],
    choices: Choices,
    memory: Memory,
    where: list[int],
    single: dict[Device, float],
) -> Placement:
    """Return a placement with what each decision was about."""
    nodes = model.graph.nodes
    _, finish, _ = model.times(where)
    turn = set(model.order)
    busy = dict.fromkeys(model.devices, 0.0)
    free = [0.0] * len(model.devices)
    sent: set[tuple[int, int]] = set()  # a value goes to a device once
    decisions = []
    for i, node in enumerate(nodes):
        found = []
        for d in [where[i]] if everywhere(node) else choices.allowed[i]:
            waits = [(p, wire[where[p]][d]) for p, wire in model.edges[i]]
            kernel = model.seconds[i][d]
            end = max([free[d], *[finish[p] + seconds for p, seconds in waits]]) + kernel if i in turn else 0.0
            moved = sum([seconds for p, seconds in waits if (p, d) not in sent])
            found.append(Candidate(model.devices[d], kernel, moved, end))
        sent.update([(p, where[i]) for p, _ in model.edges[i]])
        device = model.devices[where[i]]
        decisions.append(Decision(node, device, tuple(found), rules[node].why, _why(node, device, found, rules[node])))
        if i in turn:
            free[where[i]] = finish[i]
            busy[device] += model.seconds[i][where[i]]
    places = {node: model.devices[where[i]] for i, node in enumerate(nodes)}
    peaks = dict(zip(model.devices, memory.peaks(where), strict=True))
    return Placement(model.graph.name, places, model.run(where), decisions, busy, peaks, single)


def _why(node: Node, device: Device, found: Sequence[Candidate], rule: Constraint) -> str:
    """Return why a node goes to a device."""
    if rule.why:
        return rule.why
    if everywhere(node):
        return "each device has it"
    if len(found) == 1:
        return "the only one"
    first = min(found, key=lambda candidate: candidate.finish)
    (mine,) = [candidate for candidate in found if candidate.device is device]
    if mine.finish <= first.finish:
        return "done first"
    return "home" if device is home_of(node) else "all is done sooner"
