"""Random graphs with their nodes on several devices, for what runs them."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import eagerflow as ef
from eagerflow.capture.executor import Executor, worker
from eagerflow.capture.graph import ASSIGN, PARAMETER, READ, Graph, Node, Value
from eagerflow.capture.options import USUAL, Options
from eagerflow.capture.partition import partition
from eagerflow.capture.passes import optimize
from eagerflow.capture.plan import Plan
from eagerflow.devices import CPU0, Device, transfer
from eagerflow.ops import Spec
from graphs import Builder, bits

SIZE = 6
VECTOR = [Spec((SIZE,), "float64")]


def cpus(count: int = 4) -> list[Device]:
    """Return so many logical devices."""
    return [ef.devices.find(f"cpu:{i}") for i in range(count)]


def quiet() -> None:
    """Wait until nothing is left for any device, and it is free: threads let go a moment after a step is over."""
    for found in worker._workers.values():
        while found.tasks or found.holder is not None:
            time.sleep(0)


class Scattered:
    """A graph over vectors with Variables, draws, callbacks, views and constants, and a place for each of its nodes.

    The home of a value, where it is when it is returned, may be another place than that of its node.

    Attributes
    ----------
    graph : Graph
        The graph.
    where : dict of Node to Device
        The places: of parameters, reads and assignments where they have to be, of others anywhere.
    variables, generators : list
        Its state.
    seen : list of bytes
        What callbacks were called with.
    """

    def __init__(
        self, seed: int, devices: Sequence[Device], nodes: int = 14, callbacks: bool = True, fused: bool = False
    ) -> None:
        self.random = random.Random(seed)
        self.devices = list(devices)
        self.seen: list[bytes] = []
        self.generators = [ef.random.Generator(1), ef.random.Generator(2)]
        self.variables = [
            ef.Variable(np.arange(SIZE) * 1.0 + i, name=f"v{i}", device=self.random.choice(self.devices))
            for i in range(2)
        ]
        self.builder = Builder("scattered")
        self.values = [self.anywhere(self.builder.parameter((SIZE,))) for _ in range(2)]
        kinds = ["unary", "binary", "view", "constant", "read", "assign", "assign", "draw", "number"]
        for _ in range(nodes):
            kind = self.random.choice([*kinds, "callback"] if callbacks else kinds)
            value = getattr(self, kind)()
            if isinstance(value, Value):
                self.values.append(value)
        outputs = [self.value() for _ in range(self.random.randint(1, 4))]
        self.graph = self.builder.graph(*outputs)
        if fused:
            self.graph = optimize(self.graph, ["fuse"])
        self.where = {node: self.place(node) for node in self.graph.nodes}

    def place(self, node: Node) -> Device:
        if node.op is PARAMETER:
            return node.outputs[0].device
        if node.op is READ or node.op is ASSIGN:
            return node.attrs["variable"].device
        return self.random.choice(self.devices)

    def anywhere(self, value: Value) -> Value:
        """Let a value have any home."""
        value.device = self.random.choice(self.devices)
        return value

    def value(self) -> Value:
        return self.random.choice(self.values[-6:])

    def unary(self) -> Value:
        return self.anywhere(self.builder.op(self.random.choice(["negative", "tanh", "abs", "square"]), self.value()))

    def binary(self) -> Value:
        op = self.random.choice(["add", "multiply", "maximum"])
        return self.anywhere(self.builder.op(op, self.value(), self.value()))

    def number(self) -> Value:
        return self.anywhere(self.builder.op("add", self.value(), self.random.choice([1.0, -0.5])))

    def view(self) -> Value:
        return self.anywhere(self.builder.op("flip", self.value(), axis=(0,)))

    def constant(self) -> Value:
        value = self.anywhere(self.builder.constant(np.arange(SIZE) * 0.5))
        value.node.attrs = {"value": transfer(value.node.attrs["value"], CPU0, value.device)}
        return value

    def read(self) -> Value:
        variable = self.random.choice(self.variables)
        value = self.builder.read(variable)
        value.device = variable.device
        return value

    def assign(self) -> None:
        self.builder.assign(self.random.choice(self.variables), self.value())

    def draw(self) -> Value:
        return self.anywhere(self.builder.draw(self.random.choice(self.generators), (SIZE,)))

    def callback(self) -> Value:
        def called(x: Any, y: Any) -> list[Any]:
            self.seen.append(bits(x.numpy()) + bits(y.numpy()))
            return [ef.asarray(x.numpy() + y.numpy())]

        inputs = self.value(), self.value()
        return self.anywhere(self.builder.callback(called, *inputs, specs=VECTOR))

    def reset(self) -> None:
        """Give state back what it had at first."""
        self.seen.clear()
        for i, generator in enumerate(self.generators):
            generator.seed(i)
        for i, variable in enumerate(self.variables):
            variable.assign(ef.asarray(np.arange(SIZE) * 1.0 + i, device=variable.device))

    def state(self, together: bool = False) -> list[bytes]:
        """Return Variables, generators and what callbacks saw; of steps in flight together in any order."""
        seen = sorted(self.seen) if together else self.seen
        return [*[bits(v.numpy()) for v in self.variables], *[str(g.state).encode() for g in self.generators], *seen]

    def arrays(self, seed: int) -> list[Any]:
        """Return arguments where the graph expects them."""
        homes = [value.device for value in self.graph.inputs]
        return [transfer(array, CPU0, home) for array, home in zip(arrays_of(seed), homes, strict=True)]

    def executor(self, options: Options = USUAL, together: bool = False) -> Executor:
        """Return an executor for the graph in parts."""
        return executor_of(self.graph, self.where, options, together)


def executor_of(graph: Graph, where: Any, options: Options = USUAL, together: bool = False) -> Executor:
    """Return an executor for a graph whose nodes are at these places."""
    made = partition(graph, where, {})
    return Executor(made, [Plan(part.graph, {}) for part in made.parts], options, together)


def on_host(array: Any) -> np.ndarray:
    """Return an array of any device as one of NumPy."""
    device = ef.devices.of_array(array)
    assert device is not None
    return array if device.on_host else device.kind.to_host(array)


def arrays_of(seed: int, count: int = 2) -> list[np.ndarray]:
    """Return arguments."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-4, 5, SIZE) / 4 for _ in range(count)]


def assigning(
    callback: Any, options: Options, swapped: bool = False, together: bool = False
) -> tuple[Any, list[ef.Variable]]:
    """Return an executor that assigns a Variable on each of two devices before a callback on the second of them.

    It delivers on cpu:0, which is the first of them or, if `swapped`, the second.
    """
    here, there = reversed(cpus(2)) if swapped else cpus(2)
    variables = [ef.Variable(np.zeros(SIZE), name=n, device=d) for n, d in zip("ab", (here, there), strict=True)]
    f = Builder()
    where: dict[Node, Device] = {}
    for variable, device in zip(variables, (here, there), strict=True):
        read = f.read(variable)
        read.device = device
        new = f.op("add", read, 1.0)
        where |= dict.fromkeys((read.node, new.node, f.assign(variable, new)), device)
    called = f.callback(callback, new, specs=VECTOR)
    where[called.node] = there
    last = f.op("add", called, 1.0)
    where[last.node] = here
    return executor_of(f.graph(last), where, options, together), variables
