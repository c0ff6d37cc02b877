"""Random graphs for placers, with costs drawn for each node, and what the best placement of a small one takes."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import eagerflow as ef
from eagerflow.capture.graph import CONSTANT, PARAMETER, Graph, Node
from eagerflow.capture.placement import Costs
from eagerflow.capture.placement.costs import home_of
from eagerflow.capture.placement.model import Model
from eagerflow.devices import Device, numbered
from eagerflow.ops import Spec

KIND = ef.devices.kinds()["cpu"]
DEVICES = [numbered(KIND, i) for i in range(4)]
JOIN = ef.ops.registry()["concat"]


class Drawn(Costs):
    """Costs from a table: seconds by node and device, latency and seconds per byte by pair of devices."""

    def __init__(
        self,
        table: Mapping[Node, Sequence[float]],
        links: Mapping[tuple[int, int], tuple[float, float]],
        limits: Mapping[Device, int] | None = None,
    ) -> None:
        super().__init__({}, memory_limit=(limits or {}).get)
        self.table = table
        self.links = links

    def seconds(self, node: Node, device: Device) -> float:
        return self.table[node][device.index] if node in self.table else 0.0

    def transfer(self, nbytes: float, source: Device, target: Device) -> float:
        if source is target:
            return 0.0
        latency, each = self.links[source.index, target.index]
        return latency + nbytes * each


def drawn(seed: int, nodes: int, devices: int, alike: bool | None = None) -> tuple[Graph, Drawn]:
    """Return a random graph and costs of it.

    Devices are alike or differ in speed, by node as well; there may be kernels that some lack. Links are free, about
    as dear as nodes, or dearer.
    """
    rng = random.Random(seed)
    alike = rng.random() < 0.4 if alike is None else alike
    homes = DEVICES[:1] if rng.random() < 0.6 else DEVICES[:devices]
    made: list[Node] = []
    for i in range(rng.randint(1, 2)):
        made.append(Node(PARAMETER, (), {"name": f"x{i}"}, [(Spec((rng.randint(1, 100),), "int8"), rng.choice(homes))]))
    inputs = list(made)
    table: dict[Node, list[float]] = {}
    speed = [1.0] * devices if alike else [rng.choice([0.3, 1.0, 3.0]) for _ in range(devices)]
    local = rng.choice([2, 4, 100])  # how far back inputs come from
    for i in range(nodes):
        values = [node.outputs[0] for node in made[-local:]]
        taken = rng.sample(values, min(len(values), rng.choice([1, 1, 2, 2, 3])))
        home = taken[0].device
        node = Node(JOIN, taken, {}, [(Spec((rng.randint(1, 100),), "int8"), home)], (), "", f"program.py:{i}")
        base = rng.choice([0.0, rng.uniform(1, 10), rng.uniform(1, 100)])
        spread = [1.0 if alike else rng.uniform(0.7, 1.5) for _ in range(devices)]
        table[node] = [base * s * t for s, t in zip(speed, spread, strict=True)]
        if not alike and rng.random() < 0.1:
            table[node][rng.randrange(devices)] = math.inf
        made.append(node)
    used = {value for node in made for value in node.values}
    ends = [node.outputs[0] for node in made if node not in inputs and node.outputs[0] not in used]
    dear = rng.choice([0.0, 1.0, 10.0, 50.0])
    pairs = itertools.permutations(range(devices), 2)
    links = {pair: (dear * rng.uniform(0.1, 1), dear * rng.choice([0.0, 0.01, 0.05])) for pair in pairs}
    outputs = rng.sample(ends, rng.randint(1, len(ends)))
    return Graph(f"random{seed}", [node.outputs[0] for node in inputs], outputs, made), Drawn(table, links)


def optimum(graph: Graph, devices: Sequence[Device], costs: Costs) -> float:
    """Return what the best of all placements takes; of a graph of arguments and nodes that may be anywhere."""
    model = Model(graph, devices, costs)
    homes = [model.number[home_of(node)] for node in graph.nodes]  # type: ignore[index]
    free = model.order
    where = list(homes)
    best = math.inf
    for places in itertools.product(range(len(devices)), repeat=len(free)):
        for i, place in zip(free, places, strict=True):
            where[i] = place
        best = min(best, model.run(where, best))
    return best


def alone(graph: Graph, device: Device, costs: Any) -> dict[Node, Device]:
    """Return the placement of everything on a device, arguments aside."""
    return {node: home_of(node) if node.op is PARAMETER else device for node in graph.nodes}  # type: ignore[misc]


def simulated(graph: Graph, where: Mapping[Node, Device], costs: Costs) -> float:
    """Return what `simulate` has to find, from events: whatever can happen next happens."""
    queues: dict[Device, list[Node]] = {device: [] for device in where.values()}
    done: dict[Node, float] = {}
    for node in graph.nodes:
        if node.op in (PARAMETER, CONSTANT):
            done[node] = 0.0
        else:
            queues[where[node]].append(node)
    free = dict.fromkeys(queues, 0.0)

    def there(node: Node, nbytes: int, device: Device) -> float:
        return 0.0 if node.op is CONSTANT else done[node] + costs.transfer(nbytes, where[node], device)

    while any(queues.values()):
        for device, queue in queues.items():
            while queue and all(x.node in done for x in queue[0].values) and all(n in done for n in queue[0].control):
                node = queue.pop(0)
                arrivals = [there(x.node, costs.nbytes(x), device) for x in node.values]
                arrivals += [there(other, 0, device) for other in node.control]
                done[node] = free[device] = max([free[device], *arrivals]) + costs.seconds(node, device)
    home = [there(value.node, costs.nbytes(value), value.device) for value in graph.outputs]
    return max([0.0, *free.values(), *home])


def held(graph: Graph, where: Mapping[Node, Device], costs: Costs) -> dict[Device, int]:
    """Return the most bytes on each device at one time, of a graph of arguments and nodes that make new values."""
    position = {node: i for i, node in enumerate(graph.nodes)}
    found = dict.fromkeys(where.values(), 0)
    uses = graph.uses()
    for device in found:
        for i in range(len(graph.nodes)):
            total = 0
            for value, nodes in uses.items():
                here = where[value.node] is device
                takers = [position[node] for node in nodes]
                last = len(graph.nodes) if value in graph.outputs else max([*takers, position[value.node]])
                first = [k for k in takers if where[graph.nodes[k]] is device]
                begin = position[value.node] if here else min(first, default=last + 1)
                if (here and value.node.op is PARAMETER) or begin <= i <= last:
                    total += costs.nbytes(value)
            found[device] = max(found[device], total)
    return found
