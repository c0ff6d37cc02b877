"""What eagerflow adds to each op: a call on Tensors, recorded and not, against the bare kernel on arrays.

The inputs are what the op draws for its own tests: small arrays, on which the call costs more than the work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import eagerflow as ef
from benchmarks.report import show
from eagerflow.core import Draw, Op, is_inexact
from eagerflow.devices import CPU0

RESULTS = Path(__file__).with_name("overhead.md")
ROUNDS = 15


@dataclass
class Overhead:
    """Medians in seconds: of the kernel alone, and of what the call adds to it."""

    name: str
    kernel: float
    plain: float
    recorded: float


def functions() -> dict[Op, Callable[..., Any]]:
    """Return the short ways into elementwise ops: the functions that users call."""
    found = {}
    for space in (ef, ef.special, ef.nn.functional) if hasattr(ef.nn, "functional") else (ef, ef.special):
        for value in vars(space).values():
            op = getattr(value, "op", None)
            if isinstance(op, Op):
                found[op] = value
    return found


def measure(op: Op, call: Callable[..., Any]) -> Overhead:
    """Time the kernel, the call, and the recorded call in turn."""
    sample = op.sample(Draw(0))
    arrays = [np.ascontiguousarray(x) if isinstance(x, np.ndarray) else x for x in sample.inputs]
    tensors = [ef.asarray(x) if isinstance(x, np.ndarray) else x for x in arrays]
    watched = [ef.asarray(x) if isinstance(x, np.ndarray) else x for x in arrays]
    kernel, attrs = op.kernel_for(CPU0), sample.attrs
    with ef.GradientTape() as tape, np.errstate(all="ignore"):
        tape.watch([x for x in watched if isinstance(x, ef.Tensor) and is_inexact(x.dtype)])
        contenders: list[Callable[[], Any]] = [
            lambda: kernel(*arrays, **attrs),
            lambda: call(*tensors, **attrs),
            lambda: call(*watched, **attrs),
        ]
        spent: list[list[float]] = [[] for _ in contenders]
        start = time.perf_counter()
        contenders[0]()
        count = max(1, min(200, int(5e-4 / (time.perf_counter() - start))))
        for _ in range(ROUNDS):
            for run, times in zip(contenders, spent, strict=True):
                start = time.perf_counter()
                for _ in range(count):
                    run()
                times.append((time.perf_counter() - start) / count)
    bare, plain, recorded = (statistics.median(times) for times in spent)
    return Overhead(op.name, bare, plain - bare, recorded - bare)


def overheads() -> list[Overhead]:
    """Return the overhead of every op on arrays, the largest first."""
    short = functions()
    ops = [op for name, op in sorted(ef.ops.registry().items()) if op.inputs and not name.startswith("doc_")]
    return sorted([measure(op, short.get(op, op)) for op in ops], key=lambda one: -one.recorded)


def table(found: list[Overhead]) -> str:
    """Return overheads as a Markdown table."""
    rows = [f"| `{o.name}` | {show(o.kernel)} | {show(max(o.plain, 0))} | {show(max(o.recorded, 0))} |" for o in found]
    return "\n".join(["| op | bare call | eagerflow adds | recorded, it adds |", "| --- | --- | --- | --- |", *rows])


def report() -> str:
    """Return the page, and print the worst ten."""
    found = overheads()
    middle = statistics.median([o.recorded for o in found])
    summary = (
        f"{len(found)} ops on small arrays; in the middle eagerflow adds "
        f"{show(statistics.median([o.plain for o in found]))} to a call, and {show(middle)} where a tape records it."
    )
    print(summary)
    print("The ten to which it adds most:")
    for one in found[:10]:
        print(
            f"   {one.name:<24} {show(one.kernel):>9} bare, {show(one.plain):>9} more, {show(one.recorded):>9} recorded"
        )
    return f"# Overhead of every op\n\n{summary}\n\n{table(found)}\n"
