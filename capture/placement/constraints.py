"""Constraints: on which devices each node may be, and what says so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eagerflow import devices
from eagerflow.capture.graph import ASSIGN, CALLBACK, CONSTANT, LENGTH, PARAMETER, READ, Graph, Node
from eagerflow.capture.placement.costs import Costs
from eagerflow.devices import CPU0, Device
from eagerflow.devices.request import Request
from eagerflow.errors import PlacementError

# What every device can have for itself without anyone sending it.
EVERYWHERE = (CONSTANT, LENGTH)


@dataclass(frozen=True, slots=True)
class Constraint:
    """Where a node may be.

    Parameters
    ----------
    devices : tuple of Device
        The devices; more than one where the placer chooses.
    why : str
        What the program says about it; empty for what is the placer's choice alone.
    together : object or None
        Nodes with the same object go to the same device.
    """

    devices: tuple[Device, ...]
    why: str = ""
    together: object = None


def constraints(graph: Graph, among: Sequence[Device], costs: Costs) -> dict[Node, Constraint]:
    """Return where each node of a graph may be.

    Arguments, reads and assignments of Variables and copies to devices are where their data is. A request with a name
    binds everything else, and nodes of one group go to one device, of those that the names among them admit. What
    computes the next value of a Variable from its value stays with it, Python functions run on ``cpu:0``, if nothing
    else is asked for.

    Parameters
    ----------
    graph : Graph
        The graph.
    among : sequence of Device
        The devices for nodes of which the program says nothing.
    costs : Costs
        Tells where there are kernels.

    Returns
    -------
    dict
        A constraint for each node.

    Raises
    ------
    PlacementError
        Something that the program asks for cannot be.
    """
    updates = _updates(graph)
    found = {node: _alone(node, updates.get(node), tuple(among), costs) for node in graph.nodes}
    groups: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.request is not None and node.request.group is not None and not _bound(node):
            groups.setdefault(id(node.request.group), []).append(node)
    for nodes in groups.values():
        found.update(_together(nodes, found, costs))
    return found


def _bound(node: Node) -> bool:
    """Tell whether a node is where its data is, whatever is asked for."""
    return node.op in (PARAMETER, READ, ASSIGN, CONSTANT, LENGTH) or node.op.moves


def _updates(graph: Graph) -> dict[Node, Node]:
    """Return the assignments of nodes that compute the next value of a Variable from its value."""
    found = {}
    for node in graph.nodes:
        if node.op is ASSIGN:
            for made in [value.node for value in node.values]:
                reads = [value.node for value in made.values if value.node.op is READ]
                if not _bound(made) and any(r.attrs["variable"] is node.attrs["variable"] for r in reads):
                    found[made] = node
    return found


def _alone(node: Node, update: Node | None, among: tuple[Device, ...], costs: Costs) -> Constraint:
    """Return where a node may be as far as itself is concerned."""
    op, request = node.op, node.request
    if op is PARAMETER:
        return Constraint((node.outputs[0].device,), "argument")
    if op is READ or op is ASSIGN:
        return Constraint((node.attrs["variable"].device,), _variable(node))
    if op in EVERYWHERE:
        return Constraint(among or (node.outputs[0].device,))
    if op.moves:
        return _with_kernel(node, (node.attrs["device"],), f"copy to {node.attrs['device']}", costs)
    if request is not None and _names(request):
        fitting = _fitting(request, node)
        if request.soft and not any(costs.seconds(node, device) < math.inf for device in fitting):
            return _with_kernel(node, among, f"{_asked(request)} (no kernel there: another device)", costs)
        return _with_kernel(node, fitting, _asked(request), costs)
    if update is not None:
        home = update.attrs["variable"].device
        if costs.seconds(node, home) < math.inf:
            return Constraint((home,), f"update of {_variable(update)}")
    why = "" if request is None else _asked(request)
    if op is CALLBACK:
        return Constraint((CPU0,), why or "Python runs on cpu:0")
    return _with_kernel(node, among, why, costs)


def _fitting(request: Request, node: Node) -> tuple[Device, ...]:
    """Return the devices that a request with a name admits."""
    found = tuple(device for device in everything() if request.admits(device))
    if not found:
        raise PlacementError(
            f"there is no device {str(request.name)!r}, which is asked for {_at(request.line)}\n"
            f"  for {called(node)}\n  here are {devices.list()}"
        )
    return found


def everything() -> list[Device]:
    """Return the devices that exist."""
    return [devices.numbered(kind, i) for kind in devices.kinds().values() for i in range(kind.count())]


def _with_kernel(node: Node, among: tuple[Device, ...], why: str, costs: Costs) -> Constraint:
    """Return a constraint to those of some devices that have a kernel."""
    able = tuple(device for device in among if costs.seconds(node, device) < math.inf)
    if able:
        return Constraint(able, why)
    elsewhere = [str(device) for device in everything() if costs.seconds(node, device) < math.inf]
    request = node.request
    asks = f", asked for {_at(request.line)}" if request is not None else ""
    remedy = f"it could run on {elsewhere}" if elsewhere else "no device here has one"
    raise PlacementError(
        f"{node.op.name} has no kernel on {_listed(among)}{asks}\n  for {called(node)}\n  {remedy}; "
        f"ask for another device, or register a kernel with `Op.register_kernel`"
    )


def _together(nodes: list[Node], found: dict[Node, Constraint], costs: Costs) -> dict[Node, Constraint]:
    """Return the constraints of nodes that go to one device."""
    named = [node for node in nodes if _names(node.request)]
    # A name says it all; updates of Variables stay with them where nothing else is said.
    common = _common(found[node].devices for node in named or nodes)
    if not named and not common:
        common = list(dict.fromkeys(device for node in nodes for device in found[node].devices))
    common = [device for device in common if all(costs.seconds(node, device) < math.inf for node in nodes)]
    if not common:
        asks = dict.fromkeys(f"  {', '.join(map(str, found[n].devices))}: {called(n)}, asked for {_at(n.request.line)}"
                             for n in nodes)  # fmt: skip
        raise PlacementError(
            "operations that `colocate_with` puts together have no device in common:\n"
            + "\n".join(asks)
            + "\n  take one of them out of the block, or ask for the same device"
        )
    group = nodes[0].request.group
    return {node: Constraint(tuple(common), found[node].why or _asked(node.request), group) for node in nodes}


def _common(sets: Iterable[tuple[Device, ...]]) -> list[Device]:
    first, *others = sets
    return [device for device in first if all(device in other for other in others)]


def _names(request: Request) -> bool:
    return request.name.kind is not None or request.name.index is not None


def _variable(node: Node) -> str:
    variable = node.attrs["variable"]
    return f"Variable {variable.name!r}" if variable.name else "a Variable"


def _asked(request: Request) -> str:
    line = request.line or "a request"
    return f"{line} ({request.wanted!r} is not here: any device)" if request.wanted else line


def _at(line: str) -> str:
    return f"at {line}" if line else "by a request"


def called(node: Node) -> str:
    """Return a node as text for errors: operation, results, line."""
    results = ", ".join(str(value.spec) for value in node.outputs)
    return f"{node.op.name}{' -> ' + results if results else ''}{' at ' + node.line if node.line else ''}"


def _listed(among: Iterable[Device]) -> str:
    return " or ".join(map(str, among)) or "any device"
