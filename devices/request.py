"""Requests: where a block of the program wants its operations, and on whose behalf.

A request may leave parts of a device's name open. Eager code takes the first device that fits; the placer of captured
functions chooses among those that do.
"""

from __future__ import annotations

import linecache
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from eagerflow.devices.name import DeviceName

if TYPE_CHECKING:
    from eagerflow.devices.device import Device


class Request:
    """A wish of the program for the place of operations.

    Two requests are equal if they ask for the same, whichever lines they come from.

    Parameters
    ----------
    name : DeviceName
        The device; parts that are None are left open.
    device : Device or None
        The device that eager code uses; None where nothing has a place yet (operations together with one that a
        placer will place).
    group : object or None
        Of `colocate_with`: operations with the same object go to the same device.
    where : (str, int)
        File and number of the line that asks.
    wanted : str
        What was asked for where it is not here and soft placement took something else; otherwise empty.
    soft : bool
        Whether something else may be taken where the device has no kernel.
    """

    __slots__ = ("device", "group", "name", "soft", "wanted", "where")

    def __init__(
        self,
        name: DeviceName,
        device: Device | None,
        where: tuple[str, int] = ("", 0),
        group: object = None,
        wanted: str = "",
        soft: bool = False,
    ) -> None:
        self.name = name
        self.device = device
        self.group = group
        self.where = where
        self.wanted = wanted
        self.soft = soft

    @property
    def line(self) -> str:
        """The line that asks: ``file.py:12: with ef.device("cpu:1"):``."""
        file, number = self.where
        text = linecache.getline(file, number).strip()
        return f"{os.path.basename(file)}:{number}" + (f": {text}" if text else "") if file else ""

    def admits(self, device: Device) -> bool:
        """Tell whether a device has the name that is asked for."""
        name = self.name
        return name.kind in (None, device.kind.name) and name.index in (None, device.index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and self.name == other.name and self.group is other.group

    def __hash__(self) -> int:
        return hash((self.name, id(self.group)))

    def __repr__(self) -> str:
        return f"Request({'together' if self.group is not None else str(self.name) or 'any'})"


requested: ContextVar[Request | None] = ContextVar("requested", default=None)


class Asked:
    """How many blocks with a request are open in all threads: while there are none nobody looks for one."""

    __slots__ = ("_lock", "count", "listeners")

    def __init__(self) -> None:
        self.count = 0
        self.listeners: list[Callable[[int], None]] = []
        self._lock = threading.Lock()

    def add(self, change: int) -> None:
        """Note that a block begins or ends."""
        with self._lock:
            self.count += change
            for listener in self.listeners:
                listener(self.count)


asked = Asked()


@contextmanager
def request(wish: Request | None) -> Iterator[None]:
    """Ask for a place in this block, in this thread or task; None takes back what was asked for outside."""
    token = requested.set(wish)
    asked.add(1)
    try:
        yield
    finally:
        asked.add(-1)
        requested.reset(token)


@contextmanager
def staying(device: Device) -> Iterator[None]:
    """Keep what this block does on a device, whatever a block around asks for: what is written to stays where it is."""
    around = requested.get()
    if around is None or around.device is device:
        yield
        return
    with request(Request(DeviceName(device.kind.name, device.index), device, around.where)):
        yield
