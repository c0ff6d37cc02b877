"""Simulation: how long a run of a placed graph takes, if the costs are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eagerflow.capture.graph import Graph, Node
from eagerflow.capture.placement.costs import Costs
from eagerflow.capture.placement.model import Model
from eagerflow.devices import Device


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulated run.

    Parameters
    ----------
    makespan : float
        Seconds until the last result is home.
    busy : dict
        Per device the seconds of its nodes.
    times : dict
        Per node when it begins and ends.
    """

    makespan: float
    busy: dict[Device, float]
    times: dict[Node, tuple[float, float]]


def simulate(graph: Graph, where: Mapping[Node, Device], costs: Costs) -> Simulation:
    """Simulate a run of a graph whose nodes have places.

    Each device runs its nodes in the order of the graph, one after another. A value travels to another device as soon
    as it is there, once for each device that needs it, while the devices go on computing. Constants and lengths are
    on every device, arguments at their homes from the beginning. Results travel to their homes.

    Parameters
    ----------
    graph : Graph
        The graph.
    where : Mapping
        The device of each node.
    costs : Costs
        What nodes and transfers take.

    Returns
    -------
    Simulation
        The time until the end, how long each device computes, and when each node runs.

    Examples
    --------
    >>> import eagerflow as ef
    >>> from eagerflow.capture.placement import Costs, simulate
    >>> graph = ef.function(lambda x: x @ x).get_concrete_function(ef.ones((64, 64))).graph
    >>> costs = Costs({}, rates=lambda device: ef.devices.Rates(1e9, 1e9, 1e9, 0.0))
    >>> cpu = ef.devices.find("cpu:0")
    >>> simulate(graph, dict.fromkeys(graph.nodes, cpu), costs).busy[cpu]
    0.000524288
    """
    homes = [value.device for value in graph.outputs]
    model = Model(graph, list(dict.fromkeys([*where.values(), *homes])), costs)
    places = [model.number[where[node]] for node in graph.nodes]
    begin, finish, _ = model.times(places)
    busy = dict.fromkeys(model.devices, 0.0)
    for i in model.order:
        busy[model.devices[places[i]]] += model.seconds[i][places[i]]
    times = {node: (begin[i], finish[i]) for i, node in enumerate(graph.nodes)}
    return Simulation(model.run(places), busy, times)
