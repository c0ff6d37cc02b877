"""Rendezvous: where what one device sends meets the device that receives it."""

from __future__ import annotations

import os
import threading
from typing import Any

TRIES = 4  # how often a receiver makes way for its sender before it sleeps

# Lets other threads have the lock of the interpreter, and the core.
_make_way = getattr(os, "sched_yield", lambda: None)


class Stopped(BaseException):
    """Ends a part of a step that failed elsewhere or was given up.

    Not an `Exception`: no handler on the way takes it for an error of a node.
    """


class _Sent:
    """A value that waits for its receiver."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Waiter:
    """A receiver that waits for its value: for a lock, which the system hands over faster than any condition."""

    __slots__ = ("arrived", "lock", "value")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()
        self.arrived = False
        self.value: Any = None

    def wake(self) -> None:
        """Let the receiver go on. Whoever finds him may do so, and again."""
        try:  # noqa: SIM105 - quicker
            self.lock.release()
        except RuntimeError:  # he is awake
            pass


class Rendezvous:
    """Of one step: values by the numbers of their edges, so that several steps in flight never mix.

    Notes
    -----
    Sender and receiver meet in one entry of a dictionary, whose single operations are atomic: whoever comes first
    leaves his half there, whoever comes second takes it away. An interrupt may come at any place.
    """

    __slots__ = ("_cancelled", "_halves")

    def __init__(self) -> None:
        self._halves: dict[int, _Sent | _Waiter] = {}
        self._cancelled = False

    def put(self, edge: int, value: Any) -> None:
        """Leave a value for whoever takes it; never waits.

        Raises
        ------
        Stopped
            The step was cancelled.
        """
        if self._cancelled:
            raise Stopped
        sent = _Sent(value)
        other = self._halves.setdefault(edge, sent)
        if other is not sent:
            assert isinstance(other, _Waiter), f"a value was sent along edge {edge} twice"
            other.value = value
            other.arrived = True
            other.wake()
            # Only now: an interrupt in between leaves nobody asleep whom `cancel` does not find.
            self._halves.pop(edge, None)

    def take(self, edge: int) -> Any:
        """Return the value of an edge, once it was put there.

        Raises
        ------
        Stopped
            The step was cancelled.
        """
        halves = self._halves
        other = halves.pop(edge, None)
        if other is None:
            # To sleep and to be woken takes as long as many small nodes do.
            for _ in range(TRIES):
                _make_way()
                if edge in halves or self._cancelled:
                    break
            waiter = _Waiter()
            other = halves.setdefault(edge, waiter)
            if other is waiter:
                # Who cancels notes it first and looks for waiters then; who waits does so the other way round.
                if self._cancelled:
                    raise Stopped
                waiter.lock.acquire()
                if not waiter.arrived:
                    raise Stopped
                return waiter.value
            halves.pop(edge, None)
        if self._cancelled:
            raise Stopped
        return other.value

    def cancel(self) -> None:
        """Wake everybody who waits, now and later, with nothing."""
        self._cancelled = True
        for half in list(self._halves.values()):
            if isinstance(half, _Waiter):
                half.wake()

    def clear(self) -> None:
        """Forget what nobody takes any more."""
        self._halves.clear()

    def waiting(self) -> list[int]:
        """Return the edges on which somebody waits."""
        return [edge for edge, half in list(self._halves.items()) if isinstance(half, _Waiter) and not half.arrived]

    def __len__(self) -> int:
        return len(self._halves)
