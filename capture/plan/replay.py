"""Replay: a plan on a GPU recorded as a CUDA graph, so that a run is one launch instead of one for each kernel.

A recording holds addresses, not arrays. So a recorded plan has arrays of its own: inputs and Variables are copied into
them before a launch, and results out of them after it. What decides anything on the host while it runs cannot be
recorded: kernels that wait for a result, Python code, draws of random numbers. Such plans run as they are, and `reason`
says why.
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

    def __str__(self) -> str:
        """Return how it runs now, in a sentence."""
        if not self._device.kind.records:
            return f"{self._device}: kernel by kernel, as it was chosen"
        if self.reason is not None:
            return f"{self._device}: kernel by kernel, since {self.reason}"
        return f"{self._device}: {'replayed' if self.recorded else 'to be recorded by the second run'}"

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the results for the arrays: new arrays in every run."""
        if self.reason is not None or not self._device.kind.records:
            return self._plain(arrays)
        with self._lock:
            if not self._warm:  # kernels are compiled and libraries loaded, which cannot be recorded
                made = self._plain(arrays)
                self._warm = True
                return made
            with self._device.kind.activate(self._device.index):
                if not self.recorded:
                    self._record(arrays)
                if self.recorded and self._fits(arrays):
                    return self._replay(arrays)
        return self._plain(arrays)

    def _own(self, array: Any) -> Any:
        return self._device.kind.copy(array, self._device.index)

    def _record(self, arrays: Sequence[Any]) -> None:
        """Run once without computing anything, to record what would be computed."""
        variables = list({id(v): v for v in (*self._reads, *self._assigns)}.values())
        before = [variable._value for variable in variables]
        try:
            self._inputs = [self._own(array) for array in arrays]
            self._values = [self._own(variable._value._held) for variable in self._reads]
            self._specs = [(array.shape, array.dtype) for array in self._inputs + self._values]
            for variable, value in zip(self._reads, self._values, strict=True):
                variable._value = wrap(value, self._device)
            self._recording = self._device.kind.record(self._run, self._device.index)
            self._results, self._assigned = self._recording.made
            if not all(isinstance(x, self._device.kind.array_type) for x in self._results + self._assigned):
                self.reason = "a result is not an array of the GPU"
        except Exception as error:  # whatever it is: run as it is, the function fails or it does not
            self.reason = f"it could not be recorded: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable._value = value
        self.recorded = self.reason is None
        if not self.recorded:
            for name in ("_recording", "_results", "_assigned", "_inputs", "_values"):
                self.__dict__.pop(name, None)

    def _run(self) -> tuple[list[Any], list[Any]]:
        return list(self._plain(self._inputs)), [variable._value._held for variable in self._assigns]

    def _fits(self, arrays: Sequence[Any]) -> bool:
        given = [*arrays, *[variable._value._held for variable in self._reads]]
        return [(array.shape, array.dtype) for array in given] == self._specs

    def _replay(self, arrays: Sequence[Any]) -> list[Any]:
        """Copy in, launch, copy out: all queued on the caller's stream, and nothing waits on the host."""
        with self._recording as recording:
            for own, array in zip(self._inputs, arrays, strict=True):
                own[...] = array
            for own, variable in zip(self._values, self._reads, strict=True):
                own[...] = variable._value._held
            recording.launch()
            results = [self._own(array) for array in self._results]
            for variable, array in zip(self._assigns, self._assigned, strict=True):
                variable._value = wrap(self._own(array), self._device)
        return results
