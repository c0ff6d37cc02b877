"""Devices, and the device on which new arrays come to be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

from eagerflow.devices import registry
from eagerflow.devices.kind import Kind, MemoryInfo
from eagerflow.devices.name import DeviceName
from eagerflow.devices.request import Request, request
from eagerflow.errors import DeviceError


class Device:
    """One device of one kind. There is one object per device: compare with ``is``.

    Attributes
    ----------
    kind : Kind
        The kind.
    index : int
        Its number among the devices of the kind.
    on_host : bool
        Whether its arrays are NumPy's, so that the host's own kernels serve it.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.zeros(2)
    >>> x.device, x.device.kind.name, x.device.index
    (cpu:0, 'cpu', 0)
    """

    __slots__ = ("index", "kind", "on_host")

    def __init__(self, kind: Kind, index: int) -> None:
        self.kind = kind
        self.index = index
        # A kind whose array type is costly to find (it imports a library) is not on the host.
        self.on_host = kind.name == "cpu"

    def memory(self) -> MemoryInfo:
        """Return the device's memory, in bytes."""
        return self.kind.memory(self.index)

    def synchronize(self) -> None:
        """Wait until the work given to the device is done."""
        self.kind.synchronize(self.index)

    def __repr__(self) -> str:
        return f"{self.kind.name}:{self.index}"

    def __reduce__(self) -> tuple[Any, ...]:
        return find, (repr(self),)

    def __copy__(self) -> Device:
        return self

    def __deepcopy__(self, memo: object) -> Device:
        return self


_devices: dict[tuple[Kind, int], Device] = {}


def find(name: str | Device | None) -> Device:
    """Return the device of a name; the current device for ``None``.

    Parameters
    ----------
    name : str, Device or None
        Such as ``"cpu:0"`` or ``"cuda:1"``; the index may be left out.

    Returns
    -------
    Device
        The one object that stands for the device.

    Raises
    ------
    DeviceError
        The name cannot be read, or no such device can be used here.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.devices.find("cpu")
    cpu:0
    """
    if isinstance(name, Device):
        return name
    if name is None:
        return _current.get()
    return _here(DeviceName.parse(name), name)


def _here(parsed: DeviceName, name: str) -> Device:
    """Return the first device of this process that fits a name."""
    if parsed.job not in (None, "localhost") or parsed.task not in (None, 0):
        raise DeviceError(f"{name!r} is on a cluster, and no cluster is running; here are {registry.available()}")
    if parsed.kind is None:
        return _current.get()
    kind = registry.kinds().get(parsed.kind)
    if kind is None:
        hint = "; GPUs are 'cuda:0', 'cuda:1', …" if parsed.kind == "gpu" else ""
        raise DeviceError(f"unknown device kind in {name!r}; known are {sorted(registry.kinds())}{hint}")
    index = parsed.index or 0
    if index >= kind.count():
        why = kind.why_unavailable()
        raise DeviceError(f"there is no device {name!r}; here are {registry.available()}" + (f": {why}" if why else ""))
    return numbered(kind, index)


def numbered(kind: Kind, index: int) -> Device:
    """Return the device of a kind and a number, whether it is here or not.

    Parameters
    ----------
    kind : Kind
        The kind.
    index : int
        Its number.

    Returns
    -------
    Device
        The one object that stands for the device.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.devices.numbered(ef.devices.kinds()["cpu"], 3)
    cpu:3
    """
    # setdefault is atomic: two threads get the same object.
    return _devices.setdefault((kind, index), Device(kind, index))


def of_array(array: Any) -> Device | None:
    """Return the device that holds an array, or ``None`` for what no kind has as its array.

    Parameters
    ----------
    array : Any
        An array of a device kind, or anything else.

    Returns
    -------
    Device or None
        The device. Where the arrays of one kind are a subclass of those of another, the type
        itself tells, then the nearest of its bases.

    Examples
    --------
    >>> import numpy as np
    >>> import eagerflow as ef
    >>> ef.devices.of_array(np.zeros(2)), ef.devices.of_array("text")
    (cpu:0, None)
    """
    cupy = type(array).__module__.partition(".")[0] == "cupy"
    # A kind that nobody has asked for yet (CuPy not imported) owns no arrays.
    owners = {kind.array_type: kind for kind in registry.kinds().values() if cupy or kind.name != "cuda"}
    for base in type(array).__mro__:
        kind = owners.get(base)
        if kind is not None:
            return numbered(kind, kind.index_of(array))
    return None


CPU0 = find("cpu:0")
_current: ContextVar[Device] = ContextVar("device", default=CPU0)


def current() -> Device:
    """Return the device on which new arrays come to be.

    Returns
    -------
    Device
        What `device` chose last in this thread or task; ``cpu:0`` if nothing did.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.devices.current()
    cpu:0
    """
    return _current.get()


_soft = False


def set_soft_placement(on: bool) -> None:
    """Let requests for devices that are not here be met by others.

    Parameters
    ----------
    on : bool
        Whether `device` takes the current device where the one that it names is not here, so that a program for a
        machine with GPUs runs on one without; and the placer of captured functions another one where the device has no
        kernel. ``concrete.placement()`` tells where that happened. Off at first: both are errors.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.config.set_soft_placement(True)
    >>> with ef.device("cpu:99"):
    ...     print(ef.zeros(2).device)
    cpu:0
    >>> ef.config.set_soft_placement(False)
    """
    global _soft
    _soft = bool(on)


@contextmanager
def device(name: str | Device | None) -> Iterator[Device]:
    """Run the operations of this block on the device `name`, and create new arrays there.

    What an operation takes from another device is copied to it, and gradients are copied back. Outside of such blocks
    operations run where their inputs are. The choice belongs to the thread or the asyncio task that made it.

    Parameters
    ----------
    name : str, Device or None
        Such as ``"cpu:0"``, ``"cuda:1"`` or ``"/job:localhost/task:0/device:cuda:1"``. Where the index is left out,
        or all of it, eager code takes the first device that fits; in a captured function the placer chooses among
        those that do. None takes back what a block around asks for.

    Yields
    ------
    Device
        The device.

    Raises
    ------
    DeviceError
        There is no such device; see `eagerflow.config.set_soft_placement`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> with ef.device("cpu:0"):
    ...     print(ef.zeros(2).device)
    cpu:0
    """
    found, wish = _wish(name, sys._getframe(2))
    token = _current.set(found)
    try:
        with request(wish):
            yield found
    finally:
        _current.reset(token)


def _wish(name: str | Device | None, frame: FrameType) -> tuple[Device, Request | None]:
    where = frame.f_code.co_filename, frame.f_lineno
    if name is None:
        return CPU0, None
    if isinstance(name, Device):
        return name, Request(DeviceName(name.kind.name, name.index), name, where, soft=_soft)
    try:
        parsed = DeviceName.parse(name)
    except DeviceError as error:
        raise _at(error, where) from None
    try:
        found = _here(parsed, name)
    except DeviceError as error:
        if not _soft:
            raise _at(error, where) from None
        found = _current.get()
        return found, Request(DeviceName(), found, where, wanted=name, soft=True)
    return found, Request(DeviceName(parsed.kind, parsed.index), found, where, soft=_soft)


def _at(error: DeviceError, where: tuple[str, int]) -> DeviceError:
    """Return an error with the line that asks."""
    return DeviceError(f"{error}\n  at {Request(DeviceName(), None, where).line}")
