"""Kernel: a fused group compiled for NVIDIA GPUs, ready to be called with CuPy's arrays."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from eagerflow.capture.graph import Graph
from eagerflow.capture.kernels.cuda.launch import Launch, finishing, launch
from eagerflow.capture.kernels.cuda.reductions import accumulated
from eagerflow.capture.kernels.cuda.scope import Argument
from eagerflow.capture.kernels.cuda.source import Source
from eagerflow.capture.kernels.expression import NotFusible
from eagerflow.capture.kernels.kernel import scheduled

# Every product and sum is rounded, as where operations run one by one: no two become one instruction.
OPTIONS = ("--std=c++17", "--fmad=false")


class CudaKernel:
    """A compiled group for certain shapes.

    Parameters
    ----------
    source : Source
        The text, and what it is called with.

    Attributes
    ----------
    source : str
        What NVRTC compiles.
    """

    def __init__(self, source: Source) -> None:
        self.source = source.text
        size = launch(source)
        self._outputs = [(x.shape, x.dtype) for x in source.graph.outputs]
        beside = workspace(source, size)
        self._workspace = [(length, dtype) for _, length, dtype in beside]
        given, made = len(source.graph.inputs), len(source.graph.outputs)
        places = {f"a{i}": i for i in range(given)} | {f"o{i}": given + i for i in range(made)}
        places |= {name: given + made + i for i, (name, _, _) in enumerate(beside)}
        lengths = sizes(source, size)
        kernels = [(source.name, size, source.arguments)]
        if source.finish:
            kernels.append((f"{source.name}_finish", finishing(source), source.finish))
        self._names = tuple([name for name, _, _ in kernels])
        # Per launch the blocks, the threads of each, and the arguments: numbers, and places among the arrays.
        self._launches = [
            ((size.across, size.down), (size.threads,), [_fixed(item, lengths, places) for item in arguments])
            for _, size, arguments in kernels
        ]

    def call(self, *inputs: Any) -> tuple[Any, ...]:
        """Compute the group on the current device, in the current stream.

        Parameters
        ----------
        *inputs : cupy.ndarray
            An array for each input of the group, of its shape and dtype; contiguous or not.

        Returns
        -------
        tuple of cupy.ndarray
            New arrays. Nothing waits for them to be computed, so calls can be captured into CUDA graphs.
        """
        import cupy

        functions = _compiled(cupy, self.source, self._names, cupy.cuda.Device().id)
        made = [cupy.empty(shape, dtype) for shape, dtype in self._outputs]
        arrays = [cupy.ascontiguousarray(x) for x in inputs]
        arrays += [*made, *[cupy.empty(length, dtype) for length, dtype in self._workspace]]
        for function, (blocks, threads, arguments) in zip(functions, self._launches, strict=True):
            function(blocks, threads, [arrays[x] if type(x) is int else x for x in arguments])
        return tuple(made)


def _fixed(item: Argument, lengths: dict[str, int], places: dict[str, int]) -> Any:
    """Return an argument that is the same in all calls, or the place of an array."""
    if item.role == "size":
        return (np.int32 if item.type == "int" else np.int64)(lengths[item.name])
    return np.float64(item.item) if item.role == "number" else places[item.name]


@cache
def _compiled(cupy: Any, text: str, names: tuple[str, ...], device: int) -> list[Any]:
    """Return compiled kernels; groups that differ in lengths and numbers only have the same ones."""
    module = cupy.RawModule(code=text, options=OPTIONS)
    return [module.get_function(name) for name in names]


def compile(graph: Graph) -> CudaKernel | None:
    """Write the CUDA kernels of a fused group; NVRTC compiles them at the first call on a device.

    Parameters
    ----------
    graph : Graph
        Elementwise ops, reductions and trivial views, with lengths that are numbers.

    Returns
    -------
    CudaKernel or None
        None where the group cannot be expressed for these shapes: its nodes then run one by one.
    """
    source = written(graph)
    return None if source is None else CudaKernel(source)


def written(graph: Graph, name: str = "kernel") -> Source | None:
    """Return the source of a fused group, or None if it cannot be expressed."""
    schedule = scheduled(graph)
    try:
        return None if schedule is None else Source(schedule, name)
    except NotFusible:
        return None


def sizes(source: Source, size: Launch) -> dict[str, int]:
    """Return the sizes that kernels take, by name."""
    found = {"rows": source.schedule.rows, "columns": source.schedule.columns, "team": size.team}
    found |= {"slots": size.slots(source.form), "blocks": size.blocks}
    for i, (step, count) in enumerate(source.scope.periods):
        found |= {f"step{i}": step, f"count{i}": count}
    return found


def workspace(source: Source, size: Launch) -> list[tuple[str, int, np.dtype[Any]]]:
    """Return the name, length and dtype of the arrays that a launch needs beside inputs and outputs."""
    found: list[tuple[str, int, np.dtype[Any]]] = []
    columns = source.schedule.columns
    for item in source.arguments:
        if item.role == "scratch":
            found.append((item.name, size.teams * columns, item.item))
        elif item.role == "partial":
            length = size.slots(source.form) * columns if source.is_column(item.item) else size.blocks
            found.append((item.name, length, accumulated(item.item)))
    return found
