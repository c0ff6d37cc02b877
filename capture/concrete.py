"""ConcreteFunction: one trace of a function, with its graph and the plans that run it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from eagerflow.capture.differentiation import Differentiated
from eagerflow.capture.executable import Executable
from eagerflow.capture.graph import Graph
from eagerflow.capture.signature import Call
from eagerflow.core import Tensor, is_inexact, wrap
from eagerflow.core.dims import unify
from eagerflow.core.record import active, recorders


class Result(NamedTuple):
    """A leaf of what a function returns: a value of the graph, or something fixed."""

    index: int | None
    fixed: Any


class ConcreteFunction:
    """A captured function for arguments of certain dtypes, shapes and Python values.

    It comes from `Function.get_concrete_function`.

    Attributes
    ----------
    name : str
        Name of the function.
    graph : Graph
        What was captured.
    """

    def __init__(
        self, name: str, graph: Graph, keys: Sequence[Any], structure: Any, results_structure: Any, results: Any
    ) -> None:
        self.name = name
        self.graph = graph
        self._keys = tuple(keys)
        self._structure = structure
        self._results_structure = results_structure
        self._results: list[Result] = results
        self._lock = threading.Lock()
        self._executable = Executable(graph)
        self._devices = [value.device for value in graph.outputs]
        self._variables = [v for v in graph.variables() if v.trainable or is_inexact(v.dtype)]
        self._differentiated: dict[Any, Differentiated] = {}

    def refuses(self, call: Call) -> str | None:
        """Return why the trace does not hold for the lengths of a call; None if it does."""
        lengths: dict[str, int] = {}
        for value, array in zip(self.graph.inputs, call.arrays(), strict=True):
            if not unify(value.shape, array.shape, lengths):
                return f"{value.node.attrs['name']} has shape {array.shape}"
        reason: str | None = self.graph.guards.failed(lengths)
        return reason

    def run(self, call: Call) -> Any:
        """Run the graph on the arguments of a call."""
        if active.get():
            tensors = self._on_tapes(call)
            if tensors is not None:
                return self._pack(tensors)
        arrays = self._executable.run(call.arrays())
        return self._pack([wrap(a, device) for a, device in zip(arrays, self._devices, strict=True)])

    def _on_tapes(self, call: Call) -> list[Tensor] | None:
        """Run the graph and record it; None if no open tape follows an argument or a Variable."""
        tapes = active.get()
        tensors = call.tensors()
        positions = [i for i, x in enumerate(tensors) if _is_followed(x) and is_inexact(x.dtype)]
        records = [tensors[i]._rec for i in positions]
        variables = []
        for variable in self._variables:
            record = variable._followed(tapes) if is_inexact(variable.dtype) else None
            if record is not None:
                variables.append(variable)
                records.append(record)
        if not records:
            return None
        # What a tape keeps must not change when the owner of a NumPy array writes to it.
        inputs = [wrap(x._held.copy(), x._device, x._rec) if i in call.lent else x for i, x in enumerate(tensors)]
        key = (tuple(positions), tuple(map(id, variables)))
        with self._lock:
            made = self._differentiated.get(key)
            if made is None:
                made = self._differentiated[key] = Differentiated(self.graph, tuple(positions), variables)
        return made.run(inputs, tuple(records))

    def _pack(self, tensors: Sequence[Tensor]) -> Any:
        leaves = [_fresh(r.fixed) if r.index is None else tensors[r.index] for r in self._results]
        return self._results_structure.unflatten(leaves)

    def __repr__(self) -> str:
        return f"<captured function {self.name!r}: {len(self.graph)} nodes>"


def _fresh(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value



def _is_followed(x: Tensor) -> bool:
    return x._rec is not None and any(tape.recording for tape in recorders(x._rec.tape))
