"""What was measured, in words: verdicts, tables, and on which machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Iterable

import numpy as np

from benchmarks.work import (
    AUTOGRAD,
    BEST,
    CAPTURED,
    EAGERFLOW,
    JAX,
    NUMPY,
    PEERS,
    TENSORFLOW,
    TORCH,
    TORCH_COMPILED,
    Result,
    Target,
)

COLUMNS = (NUMPY, EAGERFLOW, CAPTURED, TORCH, TORCH_COMPILED, JAX, TENSORFLOW, AUTOGRAD)


def show(seconds: float) -> str:
    """Return a duration with three digits and a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def verdicts(result: Result) -> list[str]:
    """Return per target the ratio that was measured, the one that was aimed at, and whether it was met."""
    said = dict.fromkeys(_verdict(result, target) for target in result.work.targets)
    return [sentence for sentence in said if sentence]


def _verdict(result: Result, target: Target) -> str:
    medians = result.medians
    if target.of not in medians:
        return f"{target.of}: not measured ({result.left_out.get(target.of, 'it is not among the contenders')})"
    to = target.to
    if to == BEST:
        peers = [name for name in PEERS if name in medians]
        if not peers:
            return ""
        to = min(peers, key=lambda name: medians[name])
    if to not in medians:
        return ""
    ratio = medians[target.of] / medians[to]
    shown = f"{to}, the best peer" if target.to == BEST else to if to in COLUMNS else f"{to} ({show(medians[to])})"
    aim = ""
    if target.ratio is not None:
        aim = f" (at most {target.ratio:.3g}×: {'met' if ratio <= target.ratio else '**missed**'})"
    return f"{target.of} {ratio:.2f}× {shown}{aim}"


def compiling(result: Result, least: float = 1.0) -> list[str]:
    """Return who spent how long on compiling, where that is worth telling."""
    return [f"{name} {show(seconds)}" for name, seconds in result.compiling.items() if seconds >= least]


def missing(result: Result) -> list[str]:
    """Return who was left out and why; who is not installed is missing everywhere, and named once elsewhere."""
    return [f"{name}: {reason}" for name, reason in result.left_out.items() if reason != "not installed"]


def tables(results: Iterable[Result]) -> str:
    """Return the results as Markdown tables: times, and what was aimed at."""
    results = list(results)
    columns = [name for name in COLUMNS if any(name in result.medians for result in results)]
    times = [_row("work", *columns), _row(*["---"] * (len(columns) + 1))]
    aims = [_row("work", "target", "compiling, where above 1 s"), _row(*["---"] * 3)]
    for result in results:
        cells = [show(result.medians[name]) if name in result.medians else "" for name in columns]
        times.append(_row(result.work.name, *cells))
        said, slow = verdicts(result), compiling(result)
        if said or slow:
            aims.append(_row(result.work.name, "<br>".join(said), "<br>".join(slow)))
    blocks = ["\n".join(times), "\n".join(aims)]
    if left_out := [f"- {result.work.name}: {one}" for result in results for one in missing(result)]:
        blocks.append("\n".join(["Left out:", "", *left_out]))
    absent = {name for result in results for name, reason in result.left_out.items() if reason == "not installed"}
    if absent:
        blocks.append(f"Not installed here: {', '.join(name for name in COLUMNS if name in absent)}.")
    return "\n\n".join(blocks)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def machine() -> str:
    """Return on what this runs, in one line."""
    names = ["numpy", "numba", *dict.fromkeys(PEERS.values())]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names if importlib.util.find_spec(name)]
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
