"""Contenders for the tests of the benchmarks; the processes that they run in find them by the name of this module."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np


def counting(start: float, by: float = 1.0) -> Callable[[], object]:
    values = np.full(3, start)

    def step() -> object:
        np.add(values, by, out=values)
        return values  # the same array each time: what is compared has to be a copy

    return step


def parting(after: int) -> Callable[[], object]:
    step, count = counting(0.0), 0

    def lost() -> object:
        nonlocal count
        count += 1
        value = step()
        return value if count <= after else np.zeros(3)

    return lost


def silent() -> Callable[[], object]:
    return lambda: None


def broken() -> Callable[[], object]:
    raise RuntimeError("no such step\nand more of it")


def dying() -> Callable[[], object]:
    def step() -> object:
        os.write(2, b"the last words\n")
        os._exit(3)

    return step
