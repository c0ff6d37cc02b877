"""Together: all parts of a step in one thread, where waking a second one costs more than it could save.

Each part runs until it waits for what another one has not sent; then the other goes on. Nothing else differs: what is
sent meets who receives it, by the number of the edge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from eagerflow.errors import CaptureError


class _Sent:
    """What parts have sent, and nobody received."""

    __slots__ = ("values",)

    receive = None  # plans give the number of an edge instead, and get what was sent

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}

    def send(self, number: int, array: Any) -> None:
        """Leave a value."""
        self.values[number] = array


def run_together(
    parts: Sequence[Any], arrays: Sequence[Any], draws: Mapping[int, tuple[Any, int]], count: int
) -> list[Any]:
    """Run all parts of a step in this thread.

    Parameters
    ----------
    parts : sequence of Ready
        The parts, on devices of one memory.
    arrays : sequence
        Of the inputs of the whole graph.
    draws : mapping
        What the run takes from random generators.
    count : int
        Number of outputs of the whole graph.

    Returns
    -------
    list
        The arrays of its outputs.

    Notes
    -----
    Of the nodes that have not run the first in the order of the whole graph never waits (see
    `eagerflow.capture.partition`), so some part can always go on.
    """
    step = _Sent()
    sent = step.values
    results: list[Any] = [None] * count
    runs = [part.plan.in_turns([arrays[i] for i in part.inputs], draws, step) for part in parts]
    ready: deque[tuple[int, Any]] = deque([(index, None) for index in range(len(parts))])
    waiting: dict[int, int] = {}  # by the number of an edge who waits for it
    try:
        while ready:
            index, value = ready.popleft()
            made = _until_it_waits(runs[index], value, sent)
            if type(made) is int:
                waiting[made] = index
            else:
                for position, array in zip(parts[index].outputs, made, strict=True):
                    results[position] = array
            for number in [number for number in waiting if number in sent]:
                ready.append((waiting.pop(number), sent.pop(number)))
        if waiting or sent:
            raise CaptureError("a value was sent that nobody received: the parts of a graph do not fit")
    finally:
        for run in runs:
            run.close()
    return results


def _until_it_waits(run: Generator[int, Any, list[Any]], value: Any, sent: dict[int, Any]) -> Any:
    """Let a part go on; return the number of the edge that it waits for, or its results."""
    try:
        while True:
            number = run.send(value)
            if number not in sent:
                return number
            value = sent.pop(number)
    except StopIteration as end:
        return end.value
