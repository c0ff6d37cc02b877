"""Measuring: contenders take turns, and must come to the same results."""

from __future__ import annotations

import importlib.util
import random
import statistics
import time
from contextlib import ExitStack

import numpy as np

from benchmarks.contender import Contender, ContenderError
from benchmarks.work import COMPILERS, PEERS, Result, Work

# Steps before anything is measured: the first ones trace and compile, and the last is checked.
FIRST_STEPS = 3
# A turn lasts about this long for the fastest contender; shorter ones begin with a step that is not timed,
# because the others have used the caches meanwhile.
_TURN, _SHORT = 0.03, 0.1

Arrays = list[np.ndarray]


def measure(work: Work, seconds: float = 8.0, least_rounds: int = 7) -> Result:
    """Let the contenders take turns, round after round, until the time is spent."""
    result = Result(work, {})
    with ExitStack() as stack:
        running: dict[str, Contender] = {}
        expected: Arrays | None = None
        spent_first, last_of_first = {}, {}
        for name, maker in work.contenders.items():
            if name in PEERS and importlib.util.find_spec(PEERS[name]) is None:
                result.left_out[name] = "not installed"
                continue
            contender = Contender(maker)
            stack.callback(contender.close)
            try:
                spent_first[name], last_of_first[name] = contender.first(FIRST_STEPS)
                values = contender.result()
                if values is not None:
                    expected = values if expected is None else expected
                    compare(values, expected, expected, work.tolerance)
            except ContenderError as error:
                result.left_out[name] = str(error)
                contender.close()
                continue
            running[name] = contender
        if running:
            spent = _rounds(running, min(last_of_first.values()), seconds, least_rounds, result)
            _agree_at_the_end(running, expected, result)
            result.medians = {name: statistics.median(spent[name]) for name in running}
            result.compiling = {
                name: max(0.0, spent_first[name] - FIRST_STEPS * median)
                for name, median in result.medians.items()
                if name in COMPILERS
            }
    return result


def _rounds(
    running: dict[str, Contender], fastest: float, seconds: float, least_rounds: int, result: Result
) -> dict[str, list[float]]:
    """Return the seconds of a step in each turn; who fails is dropped."""
    # All do the same number of steps, so that their last results can be compared.
    before, count = int(fastest < _SHORT), max(1, int(_TURN / fastest))
    spent: dict[str, list[float]] = {name: [] for name in running}
    order = random.Random(0)
    end = time.perf_counter() + seconds
    rounds = 0
    while running and (rounds < least_rounds or time.perf_counter() < end):
        names = list(running)
        order.shuffle(names)
        for name in names:
            try:
                spent[name].append(running[name].turn(before, count))
            except ContenderError as error:
                result.left_out[name] = str(error)
                running.pop(name).close()
        rounds += 1
    return spent


def _agree_at_the_end(running: dict[str, Contender], first: Arrays | None, result: Result) -> None:
    """Drop contenders whose last result is not the first contender's."""
    expected: Arrays | None = None
    for name in list(running):
        try:
            values = running[name].result()
            if values is not None and first is not None:
                expected = values if expected is None else expected
                compare(values, expected, first, result.work.tolerance)
        except ContenderError as error:
            result.left_out[name] = f"at the end: {error}"
            running.pop(name)


def compare(values: Arrays, expected: Arrays, scales: Arrays, tolerance: float) -> None:
    """Raise if values differ by more than the tolerance, relative to the largest of the scales."""
    if len(values) != len(expected):
        raise ContenderError(f"returned {len(values)} results, the first contender {len(expected)}")
    for mine, theirs, scale in zip(values, expected, scales, strict=True):
        if mine.shape != theirs.shape:
            raise ContenderError(f"its result has the shape {mine.shape}, the first contender's {theirs.shape}")
        difference = float(np.max(np.abs(mine - theirs)) / (np.max(np.abs(scale)) + 1e-30))
        if not difference <= tolerance:  # NaN is no agreement
            raise ContenderError(f"differs from the first contender by {difference:.1e}, relatively")
