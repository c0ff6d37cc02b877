"""Measuring: contenders in turn, ratios of medians, and a table that says on which machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

NUMPY, EAGERFLOW, TORCH, AUTOGRAD = "NumPy by hand", "eagerflow", "PyTorch", "autograd"


def installed(module: str) -> bool:
    """Tell whether a contender can be measured here."""
    return importlib.util.find_spec(module) is not None


@dataclass
class Target:
    """At most `ratio` times the median of contender `to`."""

    to: str
    ratio: float


@dataclass
class Work:
    """One piece of work, as each contender does it.

    `check` says how the contenders' results are compared before anything is measured: they
    return comparable numbers, or None.
    """

    name: str
    contenders: dict[str, Callable[[], object]]
    targets: list[Target] = field(default_factory=list)
    tolerance: float = 1e-6


@dataclass
class Result:
    """Medians in seconds, by contender."""

    work: Work
    medians: dict[str, float]


def measure(work: Work, seconds: float = 6.0, least_rounds: int = 7) -> Result:
    """Run the contenders in turn, round after round, until the time is spent."""
    agree(work)
    batches = {}
    for name, run in work.contenders.items():
        start = time.perf_counter()
        run()
        once = time.perf_counter() - start
        batches[name] = max(1, int(0.004 / once))
    spent: dict[str, list[float]] = {name: [] for name in work.contenders}
    names, order = list(work.contenders), random.Random(0)
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < least_rounds or time.perf_counter() < end:
        # A new order each round: threads that one library leaves spinning disturb no one in particular.
        order.shuffle(names)
        for name in names:
            run, count = work.contenders[name], batches[name]
            start = time.perf_counter()
            for _ in range(count):
                run()
            spent[name].append((time.perf_counter() - start) / count)
        rounds += 1
    return Result(work, {name: statistics.median(times) for name, times in spent.items()})


def agree(work: Work) -> None:
    """Raise if the contenders do not compute the same; this warms them up, too."""
    expected: object = None
    for name, run in work.contenders.items():
        for _ in range(2):
            run()
        value = run()
        if value is None:
            continue
        if expected is None:
            expected = value
        for mine, theirs in zip(_arrays(value), _arrays(expected), strict=True):
            scale = float(np.max(np.abs(theirs))) + 1e-30
            difference = float(np.max(np.abs(mine - theirs))) / scale
            if difference > work.tolerance:
                raise AssertionError(f"{work.name}: {name} differs from the first contender by {difference:.1e}")


def _arrays(value: object) -> list[np.ndarray]:
    values = value if isinstance(value, tuple | list) else (value,)
    return [np.asarray(item) for item in values]


def show(seconds: float) -> str:
    """Return a duration with three digits and a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(results: Iterable[Result]) -> str:
    """Return the results as a Markdown table."""
    columns = [NUMPY, EAGERFLOW, TORCH, AUTOGRAD]
    lines = [f"| work | {' | '.join(columns)} | target |", "| --- " * (len(columns) + 2) + "|"]
    for result in results:
        cells = [show(result.medians[name]) if name in result.medians else "" for name in columns]
        lines.append(f"| {result.work.name} | {' | '.join(cells)} | {'; '.join(verdicts(result))} |")
    return "\n".join(lines)


def verdicts(result: Result) -> list[str]:
    """Return per target the ratio that was measured, the one that was aimed at, and whether it was met."""
    said = []
    for target in result.work.targets:
        if target.to in result.medians and EAGERFLOW in result.medians:
            ratio = result.medians[EAGERFLOW] / result.medians[target.to]
            word = "met" if ratio <= target.ratio else "missed"
            said.append(f"{ratio:.2f}× {target.to} (at most {target.ratio:g}×: {word})")
    return said


def machine() -> str:
    """Return on what this runs, in one line."""
    names = ["numpy", "torch", "autograd"]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names if installed(name)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [_cpu(), f"{cores} cores", f"Python {platform.python_version()}", *versions, f"BLAS {_blas()}"]
    return ", ".join(parts)


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _blas() -> str:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
