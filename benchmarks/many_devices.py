"""What devices cost and gain: values that cross between two logical CPU devices, and layers of an LSTM on them.

The same programs run with everything on one device, which has all threads of the machine, and on several, of which each
has its share of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

import eagerflow as ef
from benchmarks.harness import measure
from benchmarks.report import show
from benchmarks.work import Result, Step, Work
from eagerflow import nn

RESULTS = Path(__file__).with_name("many_devices.md")
ONE, TWO = "one device", "two devices"
CROSSINGS = 10
ALLOWED = 60e-6  # seconds a crossing may add


def matrices(size: int) -> tuple[ef.Tensor, ef.Tensor]:
    """Return a matrix, and one that turns it: products with it neither grow nor fade."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((size, size), np.float32)
    return ef.asarray(x), ef.asarray(np.linalg.qr(rng.standard_normal((size, size)))[0].astype(np.float32))


def ring(size: int, crossings: int, count: int) -> Step:
    """Return products of small matrices, of which each takes the last one's result; on `count` devices in turn."""
    ef.config.set_logical_devices("cpu", count)
    x, turn = matrices(size)

    @ef.function
    def step(x: ef.Tensor, turn: ef.Tensor) -> ef.Tensor:
        for i in range(crossings):
            with ef.device(f"cpu:{(i + 1) % count}"):
                x = x @ turn
        return x

    return lambda: step(x, turn).numpy()


def branches(size: int, ops: int, count: int) -> Step:
    """Return the sum of two chains of so many operations, which do not depend on each other."""
    ef.config.set_logical_devices("cpu", count)
    x, turn = matrices(size)

    @ef.function
    def step(x: ef.Tensor, turn: ef.Tensor) -> ef.Tensor:
        ends = []
        for i in range(2):
            with ef.device(f"cpu:{i % count}"):
                y = x * (i + 1)  # otherwise both chains are one
                for _ in range(ops // 2):
                    y = ef.tanh(y @ turn)
                ends.append(y)
        return ends[0] + ends[1]

    return lambda: step(x, turn).numpy()


def large(length: int, count: int) -> Step:
    """Return the first element of a large array after it crossed; a copy of it would take as long as a sum does."""
    ef.config.set_logical_devices("cpu", count)
    x = ef.asarray(np.arange(length, dtype=np.float32))

    @ef.function
    def step(x: ef.Tensor) -> ef.Tensor:
        with ef.device(f"cpu:{1 % count}"):
            return x[:1] * 2

    return lambda: step(x).numpy()


def copied(length: int) -> Step:
    """Return a copy of so many floats, to compare with."""
    x = np.arange(length, dtype=np.float32)
    target = np.empty_like(x)

    def step() -> np.ndarray:
        np.copyto(target, x)
        return target[:1] * 2

    return step


def deep_lstm(layers: int, size: int, chunks: int, count: int) -> Step:
    """Return a training step of a deep LSTM, layer d on device d, over chunks of 8 times steps and 32 examples."""
    ef.config.set_logical_devices("cpu", count)
    ef.set_default_dtype("float32")
    ef.random.seed(0)
    where = [f"cpu:{d * count // layers}" for d in range(layers)]
    stack = []
    for device in where:
        with ef.device(device):
            stack.append(nn.LSTM(size, size))
    variables = [v for layer in stack for v in layer.trainable_variables]
    optimizer = ef.optim.SGD(variables, learning_rate=0.1)
    x = ef.asarray(np.random.default_rng(0).standard_normal((chunks, 8, 32, size), np.float32))

    @ef.function
    def step(x: ef.Tensor) -> ef.Tensor:
        with ef.GradientTape() as tape:
            states: list = [None] * layers
            total = []
            for i in range(chunks):
                h = x[i]
                for d, layer in enumerate(stack):
                    with ef.device(where[d]):
                        h, states[d] = layer(h, states[d])
                with ef.device(where[-1]):
                    total.append(ef.mean(h * h))
            with ef.device(where[-1]):
                loss = ef.sum(ef.stack(total))
        optimizer.apply(tape.gradient(loss, variables))
        return loss

    return lambda: step(x).numpy()


def works() -> Iterable[Work]:
    """Give the works of this file."""
    for crossings in (2, CROSSINGS, 2 * CROSSINGS):
        yield Work(
            f"{crossings} crossings of 1 KB",
            {ONE: partial(ring, 16, crossings, 1), TWO: partial(ring, 16, crossings, 2)},
        )
    for size in (8, 48, 200):
        yield Work(
            f"two branches of 200 operations on {size}×{size}",
            {ONE: partial(branches, size, 200, 1), TWO: partial(branches, size, 200, 2)},
            tolerance=1e-3,
        )
    length = 4_000_000
    yield Work(
        "4 M float32 cross",
        {ONE: partial(large, length, 1), TWO: partial(large, length, 2), "a copy": partial(copied, length)},
    )
    for layers, size in ((2, 256), (4, 256)):
        yield Work(
            f"deep LSTM, {layers} layers of {size}, 8 chunks of 8 steps, training step",
            {ONE: partial(deep_lstm, layers, size, 8, 1), TWO: partial(deep_lstm, layers, size, 8, 2)},
            tolerance=1e-3,
        )


def report(seconds: float = 8.0, least_rounds: int = 7) -> str:
    """Measure everything, and return the page."""
    lines = [
        "# Many devices",
        "",
        "| work | one device | two devices | ratio | what to compare with |",
        "|---|---|---|---|---|",
    ]
    for work in works():
        result = measure(work, seconds, least_rounds)
        lines.append(_row(result))
        print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def _row(result: Result) -> str:
    medians, work = result.medians, result.work
    if ONE not in medians or TWO not in medians:
        return f"| {work.name} | left out: {'; '.join(result.left_out.values())} | | | |"
    one, two = medians[ONE], medians[TWO]
    beside = ""
    if "crossings" in work.name:
        each = (two - one) / int(work.name.split()[0])
        met = "met" if each <= ALLOWED else "**missed**"
        beside = f"{show(max(each, 0))} a crossing (at most {show(ALLOWED)}: {met})"
    elif "a copy" in medians:
        beside = f"a copy: {show(medians['a copy'])}"
    return f"| {work.name} | {show(one)} | {show(two)} | {two / one:.2f}× | {beside} |"
