"""Measurements of devices, made with what their kinds offer: a namespace, copies and waiting."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from eagerflow.devices.cpu import cores
from eagerflow.devices.device import Device
from eagerflow.devices.speed.rates import Link, Rates
from eagerflow.devices.transfer import transfer

SECONDS = 0.12  # for one figure
SIZES = (128, 256, 512, 1024)  # of products of matrices, the best of which counts
SMALL, LARGE = 1 << 14, 1 << 22  # elements: of arrays that fit a cache, and that do not
CALLS = 100  # kernels in a row, so that the clock and the waiting weigh little


def best(run: Callable[[], object], wait: Callable[[], object]) -> float:
    """Return the shortest time of `run` in a short while: what disturbs only makes it longer."""
    run()
    wait()
    end = time.perf_counter() + SECONDS
    shortest = math.inf
    while True:
        start = time.perf_counter()
        run()
        wait()
        now = time.perf_counter()
        shortest = min(shortest, now - start)
        if now > end:
            return max(shortest, 1e-9)


class Bench:
    """One device, and the arrays to measure it with."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.xp = device.kind.namespace

    def array(self, *shape: int) -> Any:
        """Return an array of ones on the device."""
        return self.device.kind.from_host(np.ones(shape, np.float32), self.device.index)

    def best(self, run: Callable[[], object]) -> float:
        """Return the shortest time of `run` on the device."""
        return best(run, self.device.synchronize)

    def writer(self, function: Any, array: Any) -> Callable[[], object]:
        """Return a call that writes over a buffer, as plans do, where the namespace can."""
        out = self.array(*array.shape)
        try:
            function(array, array, out=out)
        except Exception:
            return lambda: function(array, array)
        return lambda: function(array, array, out=out)

    def launch(self) -> float:
        """Return the seconds of the smallest kernel."""
        add = self.writer(self.xp.add, self.array(1))

        def run() -> None:
            for _ in range(CALLS):
                add()

        return self.best(run) / CALLS

    def contraction(self) -> float:
        """Return the operations per second of a product of matrices."""
        rate = 0.0
        began = time.perf_counter()
        for size in SIZES:
            multiply = self.writer(self.xp.matmul, self.array(size, size))
            rate = max(rate, 2 * size**3 / self.best(multiply))
            if time.perf_counter() - began > 4 * SECONDS:
                break
        return rate

    def arithmetic(self, launch: float) -> float:
        """Return the operations per second of a product and a sum, element by element."""
        array = self.array(SMALL)
        multiply, add = self.writer(self.xp.multiply, array), self.writer(self.xp.add, array)

        def run() -> None:
            multiply()
            add()

        taken = self.best(run)
        return 2 * SMALL / max(taken - 2 * launch, taken / 10)

    def bandwidth(self, launch: float) -> float:
        """Return the bytes per second that are read and written: of one array read, and one written."""
        array = self.array(2 * LARGE)
        taken = self.best(self.writer(self.xp.add, array))
        return 2 * 4 * 2 * LARGE / max(taken - launch, taken / 10)


def measure(device: Device) -> tuple[Rates, list[str]]:
    """Return the rates of a device, and which of them are as declared since they could not be measured."""
    kind, notes = device.kind, []
    declared = kind.rates(device.index)

    def figure(name: str, run: Callable[[], float]) -> float:
        try:
            return run()
        except Exception as error:  # the kind is the user's: whatever it lacks, one figure is less than all
            notes.append(f"{device}: {name} is as declared: {type(error).__name__}: {error}")
            value: float = getattr(declared, name)
            return value

    with kind.activate(device.index):
        try:
            bench = Bench(device)
        except Exception as error:
            return declared, [f"{device}: all rates are as declared: {type(error).__name__}: {error}"]
        launch = figure("launch", bench.launch)
        # More logical devices than cores: each computes as fast as the others let it.
        part = min(1.0, cores() / kind.count()) if device.on_host else 1.0
        found = Rates(
            figure("contraction", bench.contraction) * part,
            figure("arithmetic", lambda: bench.arithmetic(launch)) * part,
            figure("bandwidth", lambda: bench.bandwidth(launch)),
            launch,
        )
    return found, notes


def hand_over() -> float:
    """Return the seconds until a thread that waits for another goes on."""
    ping, pong = threading.Lock(), threading.Lock()
    ping.acquire()
    pong.acquire()
    rounds = 20

    def answer() -> None:
        while True:
            ping.acquire()
            if ended:
                return
            pong.release()

    ended: list[bool] = []
    thread = threading.Thread(target=answer, daemon=True)
    thread.start()

    def run() -> None:
        for _ in range(rounds):
            ping.release()
            pong.acquire()

    try:
        return best(run, lambda: None) / (2 * rounds)
    finally:
        ended.append(True)
        ping.release()
        thread.join()


def measure_link(source: Device, target: Device, hand: float) -> Link:
    """Return the link between two devices, each of which has a thread of its own."""
    if source.on_host and target.on_host:
        return Link(hand, math.inf)

    def seconds(elements: int) -> float:
        array = source.kind.from_host(np.ones(elements, np.float32), source.index)
        return best(lambda: transfer(array, source, target), target.synchronize)

    small, large = seconds(1), seconds(LARGE)
    return Link(hand + small, 4 * LARGE / max(large - small, large / 10))


def pairs(devices: list[Device]) -> Iterator[tuple[Device, Device]]:
    """Give every ordered pair of two devices."""
    for source in devices:
        for target in devices:
            if source is not target:
                yield source, target
