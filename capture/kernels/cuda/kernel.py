"""Kernel: a fused group compiled for NVIDIA GPUs, ready to be called with CuPy's arrays."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from eagerflow.capture.graph import Graph
from eagerflow.capture.kernels.cuda.launch import Launch, finishing, launch
from eagerflow.capture.kernels.cuda.source import Argument, Source
from eagerflow.capture.kernels.expression import NotFusible
from eagerflow.capture.kernels.kernel import scheduled

# Every product and sum is rounded, as where operations run one by one: no two become one instruction.
OPTIONS = ("--std=c++17", "--fmad=false")


class CudaKernel:
    """A compiled group for certain shapes.

    Attributes
    ----------
    source : str
        What NVRTC compiles.
    may_overwrite : tuple of frozenset
        For each output the positions of inputs whose memory it may be given: none.
    """

    def __init__(self, source: Source) -> None:
        self.source = source.text
        self.may_overwrite: tuple[frozenset[int], ...] = (frozenset(),) * len(source.graph.outputs)
        self._names = [source.name, *([f"{source.name}_finish"] if source.finish else [])]
        self._arguments = (source.arguments, source.finish)
        self._outputs = [(x.shape, x.dtype) for x in source.graph.outputs]
        size = launch(source)
        self._launches = (size, finishing(source))
        self._sizes = sizes(source, size)
        self._workspace = workspace(source, size)

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

        functions = _compiled(self.source, tuple(self._names), cupy.cuda.runtime.getDevice())
        given = [cupy.ascontiguousarray(x) for x in inputs]
        made = [cupy.empty(shape, dtype) for shape, dtype in self._outputs]
        extra = {name: cupy.empty(length, dtype) for name, length, dtype in self._workspace}
        for function, size, arguments in zip(functions, self._launches, self._arguments, strict=False):
            function((size.across, size.down), (size.threads,), self._bound(arguments, given, made, extra))
        return tuple(made)

    def _bound(self, arguments: list[Argument], given: list[Any], made: list[Any], extra: dict[str, Any]) -> list[Any]:
        """Return what a kernel is called with."""
        found: list[Any] = []
        for item in arguments:
            if item.role == "size":
                found.append((np.int32 if item.type == "int" else np.int64)(self._sizes[item.name]))
            elif item.role == "number":
                found.append(np.float64(item.item))
            elif item.role == "input":
                found.append(given[item.item])
            elif item.role == "output":
                found.append(made[item.item])
            else:
                found.append(extra[item.name])
        return found


@cache
def _compiled(text: str, names: tuple[str, ...], device: int) -> list[Any]:
    """Return compiled kernels; groups that differ in lengths and numbers only have the same ones."""
    import cupy

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
    for i, (step, count) in enumerate(source.periods):
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
            found.append((item.name, length, item.item.outputs[0].dtype))
    return found
