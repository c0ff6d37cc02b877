"""Channels: threads that carry large arrays between devices without a common memory, while the sender goes on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from eagerflow.devices import Device

LARGE = 1 << 16  # bytes from which on it pays to wake a thread

_channels: dict[tuple[Device, Device], SimpleQueue[Callable[[], None]]] = {}
_lock = threading.Lock()


def of(edge: Any) -> SimpleQueue[Callable[[], None]]:
    """Return the queue of the thread that carries from the edge's source to its target."""
    key = (edge.source, edge.target)
    found = _channels.get(key)
    if found is None:
        with _lock:
            found = _channels.get(key)
            if found is None:
                found = _channels[key] = SimpleQueue()
                name = f"eagerflow {edge.source} -> {edge.target}"
                threading.Thread(target=_serve, args=(found,), name=name, daemon=True).start()
    return found


def _serve(queue: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        task = queue.get()
        task()
        del task  # it holds an array


def _after_fork() -> None:
    """Begin anew in the child: threads do not survive a fork."""
    global _lock, _channels
    _lock, _channels = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
