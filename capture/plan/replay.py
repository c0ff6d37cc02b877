"""Replay: a plan on a GPU recorded as a CUDA graph, so that a run is one launch instead of one for each kernel.

A CUDA graph holds addresses, not arrays. So a recorded plan has arrays of its own: inputs and Variables are copied into
them before a launch, and results out of them after it. What decides anything on the host while it runs cannot be
recorded: kernels that wait for a result, Python code, draws of random numbers. Such plans run as they are, and `reason`
says why.

References
----------
NVIDIA, "CUDA C++ Programming Guide", section "CUDA Graphs".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from eagerflow.capture.graph import ASSIGN, CALLBACK, READ, RECV, SEND, Graph
from eagerflow.core.tensor import wrap
from eagerflow.devices import Device

Run = Callable[[Sequence[Any]], list[Any]]


def obstacle(graph: Graph, device: Device) -> str | None:
    """Return why a graph cannot be recorded, as far as one sees before trying; None if nothing speaks against it."""
    for node in graph.nodes:
        at = f" (at {node.line})" if node.line else ""
        if any(value.device is not device for value in node.outputs):
            return f"{node.op.name} is not on {device}{at}"
        if node.op is CALLBACK:
            return f"it runs Python code{at}"
        if node.op is SEND or node.op is RECV:
            return f"it exchanges values with other devices{at}"
        if node.op.effects == "random":
            return f"{node.op.name} takes other numbers in every run{at}"
    return None


class Replay:
    """How a function of arrays of one GPU runs: the first time as it is, then recorded, then replayed.

    Parameters
    ----------
    run : callable
        ``run(arrays)`` gives a list of arrays. It does the same for all arrays of the same shapes and dtypes.
    device : Device
        The GPU.
    reads, assigns : sequence of Variable
        Variables whose values `run` reads, and those that it assigns.
    reason : str, optional
        Why it cannot be recorded, if that is known.

    Attributes
    ----------
    reason : str or None
        Why it is not replayed; None as long as nothing is known that prevents it.
    recorded : bool
        Whether it is replayed.
    """

    def __init__(
        self,
        run: Run,
        device: Device,
        reads: Sequence[Any] = (),
        assigns: Sequence[Any] = (),
        reason: str | None = None,
    ) -> None:
        self.reason = reason
        self.recorded = False
        self._plain = run
        self._device = device
        self._reads, self._assigns = list(reads), list(assigns)
        self._lock = threading.Lock()  # there is one set of arrays
        self._warm = False

    @classmethod
    def of(cls, graph: Graph, device: Device, run: Run) -> Replay:
        """Return how a graph on one GPU runs, where `run` computes it."""
        variables: dict[Any, dict[int, Any]] = {READ: {}, ASSIGN: {}}
        for node in graph.nodes:
            if node.op in variables:
                variable = node.attrs["variable"]
                variables[node.op][id(variable)] = variable
        reads, assigns = (list(found.values()) for found in variables.values())
        return cls(run, device, reads, assigns, obstacle(graph, device))

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the results for the arrays: new arrays in every run."""
        if self.reason is not None:
            return self._plain(arrays)
        with self._lock:
            if not self._warm:  # kernels are compiled and libraries loaded, which cannot be recorded
                self._warm = True
                return self._plain(arrays)
            with self._device.kind.activate(self._device.index):
                if not self.recorded:
                    self._record(arrays)
                if self.recorded and self._fits(arrays):
                    return self._replay(arrays)
        return self._plain(arrays)

    def _record(self, arrays: Sequence[Any]) -> None:
        """Run once without computing anything, to record what would be computed."""
        xp = self._device.kind.namespace
        cuda = xp.cuda
        current = cuda.get_current_stream()
        stream = cuda.Stream(non_blocking=True)
        # Memory of temporaries stays with the graph: nobody else may get it from the pool.
        self._pool = cuda.MemoryPool()
        self._inputs = [xp.array(array) for array in arrays]
        self._values = [xp.array(variable._value._held) for variable in self._reads]
        self._specs = [(array.shape, array.dtype) for array in self._inputs + self._values]
        stream.wait_event(current.record())
        variables = list({id(v): v for v in (*self._reads, *self._assigns)}.values())
        before = [variable._value for variable in variables]
        try:
            for variable, value in zip(self._reads, self._values, strict=True):
                variable._value = wrap(value, self._device)
            with stream, cuda.using_allocator(self._pool.malloc):
                stream.begin_capture()
                try:
                    self._results = list(self._plain(self._inputs))
                finally:
                    self._graph = stream.end_capture()
            self._assigned = [variable._value._held for variable in self._assigns]
            if not all(isinstance(x, self._device.kind.array_type) for x in self._results + self._assigned):
                self.reason = "a result is not an array of the GPU"
        except Exception as error:  # whatever it is: run as it is, the function fails or it does not
            self.reason = f"it could not be recorded: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable._value = value
        self.recorded = self.reason is None
        if self.recorded:
            self._free = current.record()
        else:
            self._forget()

    def _forget(self) -> None:
        for name in ("_graph", "_results", "_assigned", "_inputs", "_values", "_pool"):
            self.__dict__.pop(name, None)

    def _fits(self, arrays: Sequence[Any]) -> bool:
        given = [*arrays, *[variable._value._held for variable in self._reads]]
        return [(array.shape, array.dtype) for array in given] == self._specs

    def _replay(self, arrays: Sequence[Any]) -> list[Any]:
        """Copy in, launch, copy out: all queued on the caller's stream, and nothing waits on the host."""
        current = self._device.kind.namespace.cuda.get_current_stream()
        current.wait_event(self._free)  # what another stream has yet to copy out
        for own, array in zip(self._inputs, arrays, strict=True):
            own[...] = array
        for own, variable in zip(self._values, self._reads, strict=True):
            own[...] = variable._value._held
        self._graph.launch(current)
        results = [array.copy() for array in self._results]
        for variable, array in zip(self._assigns, self._assigned, strict=True):
            variable._value = wrap(array.copy(), self._device)
        self._free = current.record()
        return results
