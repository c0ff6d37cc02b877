"""Costs: how long a node takes on a device, and how long arrays take between devices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from eagerflow import devices
from eagerflow.capture.graph import FUSED, PARAMETER, Graph, Node, Special, Value
from eagerflow.core.dims import evaluate
from eagerflow.devices import Device
from eagerflow.errors import DeviceError


class Costs:
    """What a placer expects of the nodes of a graph, for one set of concrete lengths.

    Parameters
    ----------
    lengths : Mapping
        The number that each symbolic length stands for.
    profile : Mapping, optional
        Seconds that nodes took, as `ConcreteFunction.profile` measures them: they count in place of what the
        declarations of the ops lead to. Devices of one kind are taken to be alike; for other kinds the seconds are
        scaled as the declared costs are.
    measured_on : Mapping, optional
        Per node the device where it was measured; its home if not given.
    rates, link, memory_limit : callable, optional
        What `eagerflow.devices.rates`, ``link`` and ``memory_limit`` tell, from elsewhere.

    Examples
    --------
    >>> import eagerflow as ef
    >>> from eagerflow.capture.placement import Costs
    >>> f = ef.function(lambda x: x @ x)
    >>> graph = f.get_concrete_function(ef.ones((64, 64))).graph
    >>> costs = Costs({}, rates=lambda device: ef.devices.Rates(1e9, 1e9, 1e9, 0.0))
    >>> cpu = ef.devices.find("cpu:0")
    >>> [round(costs.seconds(node, cpu) * 1e6) for node in graph.nodes]
    [0, 524]
    """

    def __init__(
        self,
        lengths: Mapping[str, int],
        profile: Mapping[Node, float] | None = None,
        *,
        measured_on: Mapping[Node, Device] | None = None,
        rates: Callable[[Device], Any] | None = None,
        link: Callable[[Device, Device], Any] | None = None,
        memory_limit: Callable[[Device], int | None] | None = None,
    ) -> None:
        self.lengths = dict(lengths)
        self.profile = profile or {}
        self.measured_on = measured_on or {}
        self._rates_of = rates or devices.rates
        self._link_of = link or devices.link
        self._limit_of = memory_limit or devices.memory_limit
        self._work: dict[Node, tuple[str, float, float] | None] = {}
        self._nbytes: dict[Value, int] = {}
        self._rates: dict[Device, Any] = {}
        self._links: dict[tuple[Device, Device], Any] = {}

    def seconds(self, node: Node, device: Device) -> float:
        """Return how long a node takes on a device; infinite where there is no kernel for it."""
        if not runs_on(node, device):
            return math.inf
        declared = self._declared(node, device)
        measured = self.profile.get(node)
        if measured is None:
            return declared
        then = self.measured_on.get(node) or home_of(node)
        if then is None or then.kind is device.kind or not runs_on(node, then):
            return measured
        before = self._declared(node, then)
        return measured * declared / before if before > 0 else measured

    def transfer(self, nbytes: float, source: Device, target: Device) -> float:
        """Return how long so many bytes take from one device to another."""
        if source is target:
            return 0.0
        link = self._links.get((source, target))
        if link is None:
            link = self._links[source, target] = self._link_of(source, target)
        return float(link.seconds(nbytes))

    def nbytes(self, value: Value) -> int:
        """Return the bytes of a value."""
        known = self._nbytes.get(value)
        if known is None:
            known = self._nbytes[value] = int(evaluate(value.spec, self.lengths).nbytes)
        return known

    def memory_limit(self, device: Device) -> int | None:
        """Return how many bytes may be used on a device; None for any number."""
        return self._limit_of(device)

    def work(self, node: Node) -> tuple[str, float, float] | None:
        """Return fusion class, floating-point operations, and bytes read and written; None for what costs nothing."""
        if node not in self._work:
            self._work[node] = self._counted(node)
        return self._work[node]

    def _declared(self, node: Node, device: Device) -> float:
        work = self.work(node)
        if work is None:
            return 0.0
        rates = self._rates.get(device)
        if rates is None:
            rates = self._rates[device] = self._rates_of(device)
        return float(rates.seconds(*work))

    def _counted(self, node: Node) -> tuple[str, float, float] | None:
        op = node.op
        if op is FUSED:
            inner: Graph = node.attrs["graph"]
            parts = [found for n in inner.nodes if n.op is not PARAMETER and (found := self.work(n)) is not None]
            kinds = {fusion for fusion, _, _ in parts}
            fusion = "contraction" if "contraction" in kinds else "elementwise"
            return fusion, sum(flops for _, flops, _ in parts), self._moved(node)
        if isinstance(op, Special):  # what is there already, but for calls of Python, whose cost nobody knows
            return ("opaque", 0.0, self._moved(node)) if op.effects == "callback" else None
        if op.fusion == "view" or op.moves:  # a copy to a device is a transfer
            return None
        specs = [evaluate(x.spec, self.lengths) if isinstance(x, Value) else evaluate(x, self.lengths)
                 for x in node.inputs]  # fmt: skip
        try:
            flops, moved = op.cost(*specs, **evaluate(dict(node.attrs), self.lengths))
        except Exception:  # a rule that users wrote; what it does not know is left to the bytes
            return str(op.fusion), 0.0, self._moved(node)
        return str(op.fusion), float(flops), float(moved)

    def _moved(self, node: Node) -> float:
        return float(sum(self.nbytes(value) for value in (*dict.fromkeys(node.values), *node.outputs)))


def runs_on(node: Node, device: Device) -> bool:
    """Tell whether a device has the kernels for a node."""
    op = node.op
    if op is FUSED:
        return all(runs_on(inner, device) for inner in node.attrs["graph"].nodes)
    if isinstance(op, Special):
        return True
    try:
        op.kernel_for(device)
    except DeviceError:
        return False
    return True


def home_of(node: Node) -> Device | None:
    """Return where eager code would run a node; None where nothing tells."""
    if node.outputs:
        home: Device = node.outputs[0].device
        return home
    variable = node.attrs.get("variable")
    return None if variable is None else variable.device
