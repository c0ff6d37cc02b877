"""Kernel: the compiled function of a fused group, ready to be called with arrays."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from eagerflow.capture.graph import Graph, Node
from eagerflow.capture.kernels import cache as compiled
from eagerflow.capture.kernels import threads
from eagerflow.capture.kernels.expression import DTYPES
from eagerflow.capture.kernels.schedule import Schedule
from eagerflow.capture.kernels.source import Source
from eagerflow.capture.kernels.space import Space, unit_cost

LARGE = 400_000  # operations and accesses from which on work is shared between threads
GRAIN = 1024  # flat ranges are cut at multiples of it

Arguments = tuple[Any, ...]


class Kernel:
    """A compiled group for certain shapes.

    Attributes
    ----------
    call : callable
        ``call(*inputs, *outputs)`` computes into the outputs, which are C-contiguous arrays of the exact shapes. It
        is safe in several threads at once.
    direct : tuple or None
        Of small work: `function` takes this, then the inputs and outputs as arrays of one axis.
    may_overwrite : tuple of frozenset
        For each output the positions of inputs whose memory it may be given.
    source : str
        What Numba compiled.
    flat, plain : bool
        Whether it has no rows, and adds nothing up over them.
    function : callable
        The compiled function. Kernels that differ in lengths and numbers only have the same one.
    """

    def __init__(self, source: Source, function: Any) -> None:
        schedule = source.schedule
        self.function = function
        self.source = source.text
        self.flat = schedule.flat
        self._inputs = len(schedule.graph.inputs)
        self._length = schedule.rows * schedule.columns if schedule.flat else schedule.rows
        sizes = [] if schedule.flat else [schedule.columns]
        sizes += [size for period in source.periods for size in period]
        self._sizes = (*sizes, *([np.array(source.numbers)] if source.numbers else []))
        self._work = schedule.rows * schedule.columns * _operations(schedule)
        self._combine = _combinations(schedule)
        self.plain = not any(self._combine)
        self.may_overwrite = _overwritable(schedule)
        self.direct: tuple[Any, ...] | None = None
        self.call = self._call()

    def _call(self) -> Callable[..., None]:
        """Return the shortest way to call it."""
        function, length, sizes = self.function, self._length, self._sizes
        if self._work >= LARGE and length >= 2 * (GRAIN if self.flat else 1):
            return self._in_parts
        if any(item is not None and item.count is not None for item in self._combine):
            return self._whole

        self.direct = (0, length, *sizes)

        def call(*arrays: Any) -> None:
            function(0, length, *sizes, *[array.ravel() for array in arrays])

        return call

    def _whole(self, *arrays: Any) -> None:
        """Compute everything in this thread, and divide sums of which the mean is wanted."""
        flat = [array.ravel() for array in arrays]
        self.function(0, self._length, *self._sizes, *flat)
        self._finish(flat[self._inputs :])

    def _in_parts(self, *arrays: Any) -> None:
        """Share the work between threads; what several parts add to is combined in the order of the parts."""
        bounds = self._bounds(threads.count())
        if len(bounds) < 3:
            self._whole(*arrays)
            return
        flat = [array.ravel() for array in arrays]
        parts, outputs = self._parts(flat, bounds)
        threads.run(self.function, parts)
        self._gather(outputs)

    def _bounds(self, count: int) -> list[int]:
        """Return where the parts begin, and the end."""
        length, grain = self._length, GRAIN if self.flat else 1
        count = max(1, min(count, length // grain))
        return [*[length * i // count // grain * grain for i in range(count)], length]

    def _parts(self, flat: list[Any], bounds: list[int]) -> tuple[list[Arguments], list[list[Any]]]:
        """Return the arguments of each part, and their outputs."""
        inputs, outputs = flat[: self._inputs], flat[self._inputs :]
        parts, made = [], []
        for i, (start, stop) in enumerate(pairwise(bounds)):
            own = outputs if i == 0 else [
                x if item is None else np.empty_like(x) for x, item in zip(outputs, self._combine, strict=True)
            ]  # fmt: skip
            made.append(own)
            parts.append((start, stop, *self._sizes, *inputs, *own))
        return parts, made

    def _gather(self, outputs: list[list[Any]]) -> None:
        """Combine what the parts made of the same output."""
        for i, item in enumerate(self._combine):
            if item is not None:
                for other in outputs[1:]:
                    item.ufunc(outputs[0][i], other[i], out=outputs[0][i])
        self._finish(outputs[0])

    def _finish(self, outputs: Sequence[Any]) -> None:
        for x, item in zip(outputs, self._combine, strict=True):
            if item is not None and item.count is not None:
                np.true_divide(x, item.count, out=x)

    def call_many(self, arguments: Sequence[Arguments]) -> None:
        """Compute the same for several lists of arguments, sharing the work between threads.

        Parameters
        ----------
        arguments : sequence of tuple
            Each what `call` takes. Kernels without rows take arrays of any one shape in each.
        """
        batched([self] * len(arguments))(arguments)


def batched(kernels: Sequence[Kernel]) -> Callable[[Sequence[Arguments]], None]:
    """Return a function that calls several kernels, which do not depend on each other, as one.

    Parameters
    ----------
    kernels : sequence of Kernel
        Such as the updates of all parameters by an optimizer.

    Returns
    -------
    callable
        ``function(arguments)`` takes a tuple of arguments for each kernel.
    """
    plain = all(kernel.flat and kernel.plain for kernel in kernels)

    def call(arguments: Sequence[Arguments]) -> None:
        jobs: list[tuple[Kernel, int, int, list[Any]]] = []
        for kernel, arrays in zip(kernels, arguments, strict=True):
            flat = [array.ravel() for array in arrays]
            jobs.append((kernel, 0, flat[-1].size, flat))
        total = sum(job[2] for job in jobs)
        work = sum(kernel._work for kernel in kernels)
        count = threads.count() if work >= LARGE else 1
        if count == 1:
            _run_jobs(jobs)
        else:
            threads.run(_run_jobs, [(part,) for part in _shared(jobs, total, count)])

    def one_by_one(arguments: Sequence[Arguments]) -> None:
        for kernel, arrays in zip(kernels, arguments, strict=True):
            kernel.call(*arrays)

    return call if plain else one_by_one


def _run_jobs(jobs: Sequence[tuple[Kernel, int, int, list[Any]]]) -> None:
    for kernel, start, stop, flat in jobs:
        kernel.function(start, stop, *kernel._sizes, *flat)


def _shared(jobs: Sequence[tuple[Kernel, int, int, list[Any]]], total: int, count: int) -> list[list[Any]]:
    """Cut ranges into `count` lists of about the same number of elements."""
    shares: list[list[Any]] = [[] for _ in range(count)]
    done = 0
    for kernel, start, stop, flat in jobs:
        while start < stop:
            share = min(done * count // max(total, 1), count - 1)
            end = min(stop, start + max(-(-total * (share + 1) // count) - done, 1))
            if end < stop:
                end = min(stop, -(-end // GRAIN) * GRAIN)
            shares[share].append((kernel, start, end, flat))
            done += end - start
            start = end
    return [share for share in shares if share]


class _Combination:
    """How parts of an output are combined, and the number of elements of which the mean is wanted."""

    __slots__ = ("count", "ufunc")

    def __init__(self, ufunc: Any, count: int | None) -> None:
        self.ufunc = ufunc
        self.count = count


_UFUNCS = {
    "sum": np.add, "mean": np.add, "count_nonzero": np.add, "prod": np.multiply, "max": np.maximum,
    "min": np.minimum, "any": np.logical_or, "all": np.logical_and,
}  # fmt: skip


def _combinations(schedule: Schedule) -> tuple[_Combination | None, ...]:
    found: list[_Combination | None] = []
    for x in schedule.graph.outputs:
        node = x.node
        if schedule.layout(node) not in ("column", "total"):
            found.append(None)
            continue
        node = schedule.reduction_of(x).node
        count = node.inputs[0].spec.size // max(1, x.spec.size) if node.op.name == "mean" else None
        found.append(_Combination(_UFUNCS[node.op.name], count))
    return tuple(found)


def _operations(schedule: Schedule) -> float:
    """Return about how much is done for each element."""
    total = float(len(schedule.graph.inputs) + len(schedule.graph.outputs))
    for node in schedule.nodes:
        if schedule.layout(node) == "full":
            total += unit_cost(node) if schedule.space.kind(node) == "elementwise" else 0.0
        total += node in schedule.reductions
    return total


def _overwritable(schedule: Schedule) -> tuple[frozenset[int], ...]:
    """Return for each output the inputs that are read for the last time, in place, before or when it is stored."""
    outputs, inputs = schedule.graph.outputs, schedule.graph.inputs
    last = [schedule.last_read(i) for i in range(len(inputs))]
    found = []
    for x in outputs:
        allowed = set()
        if schedule.layout(x.node) == "full" and outputs.count(x) == 1:
            for i, given in enumerate(inputs):
                read = last[i]
                if read is None or given.dtype.itemsize != x.dtype.itemsize:
                    continue
                if read < schedule.level[x] or (read == schedule.level[x] and schedule.overwritable(x, i)):
                    allowed.add(i)
        found.append(frozenset(allowed))
    return tuple(found)


@cache
def available() -> bool:
    """Tell whether Numba is installed."""
    return importlib.util.find_spec("numba") is not None


def compile(graph: Graph) -> Kernel | None:
    """Compile a fused group.

    Parameters
    ----------
    graph : Graph
        Elementwise ops, reductions and trivial views, with lengths that are numbers.

    Returns
    -------
    Kernel or None
        None where Numba is not installed, or the group cannot be expressed for these shapes: its nodes then run
        one by one.
    """
    source = written(graph) if available() else None
    if source is None:
        return None
    function = compiled.load(source.text, "kernel", [_signature(source)], noalias=True)
    return Kernel(source, function)


def written(graph: Graph) -> Source | None:
    """Return the source of a fused group, or None if it cannot be expressed."""
    schedule = scheduled(graph)
    if schedule is None or any(x.dtype not in DTYPES for node in schedule.nodes for x in (*node.values, *node.outputs)):
        return None  # a group of another device may have dtypes that the host's kernels do not take
    return Source(schedule)


def scheduled(graph: Graph) -> Schedule | None:
    """Return in which order a fused group is computed, on whatever device, or None if it cannot be expressed."""
    nodes = _needed(graph)
    if not nodes or any(0 in x.shape for node in nodes for x in (*node.values, *node.outputs)):
        return None
    if any(x.node.op.name != "parameter" and x.node not in nodes for node in nodes for x in node.values):
        return None
    space = Space()
    if not space.fill(nodes) or any(space.layouts.get(x, "outside") == "outside" for x in graph.outputs):
        return None
    return Schedule(graph, space, nodes)


def _needed(graph: Graph) -> list[Node]:
    """Return the nodes that the outputs need."""
    needed: set[Node] = set()
    waiting = [x.node for x in graph.outputs]
    while waiting:
        node = waiting.pop()
        if node not in needed and node.op.name not in ("parameter", "constant"):
            needed.add(node)
            waiting += [x.node for x in node.values]
    return [node for node in graph.nodes if node in needed]


def _signature(source: Source) -> Any:
    """Return the types of the arguments, as Numba names them."""
    from numba import from_dtype, types

    def array(dtype: Any, readonly: bool) -> Any:
        return types.Array(from_dtype(dtype), 1, "C", readonly=readonly)

    numbers = [array(np.dtype(np.float64), True)] if source.numbers else []
    inputs = [array(x.dtype, True) for x in source.graph.inputs]
    outputs = [array(x.dtype, False) for x in source.graph.outputs]
    sizes = len(source.arguments()) - len(numbers) - len(inputs) - len(outputs)
    return types.void(*[types.int64] * sizes, *numbers, *inputs, *outputs)
