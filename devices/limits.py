"""Memory limits: how much of a device placers may use."""

from __future__ import annotations

from eagerflow.devices import registry
from eagerflow.devices.device import Device, find
from eagerflow.errors import ArgumentError

_limits: dict[Device, int] = {}


def set_memory_limit(device: str | Device, limit: int | None) -> None:
    """Set how much memory of a device captured functions are placed on.

    Libraries that can hold their own arrays to a limit, as CuPy can, are told as well.

    Parameters
    ----------
    device : str or Device
        The device.
    limit : int or None
        Bytes; None takes the limit back, so that the device's own memory counts again.

    Raises
    ------
    ArgumentError
        The limit is not a positive integer.
    DeviceError
        There is no such device.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.config.set_memory_limit("cpu:0", 2**30)
    >>> ef.devices.memory_limit("cpu:0")
    1073741824
    >>> ef.config.set_memory_limit("cpu:0", None)
    """
    found = find(device)
    if limit is None:
        _limits.pop(found, None)
    elif not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ArgumentError(f"set_memory_limit: expected a positive number of bytes or None, got {limit!r}")
    else:
        _limits[found] = limit
    found.kind.limit_memory(found.index, limit)
    registry.changed()


def memory_limit(device: str | Device) -> int | None:
    """Return how much memory of a device placers may use.

    Parameters
    ----------
    device : str or Device
        The device.

    Returns
    -------
    int or None
        Bytes: what `eagerflow.config.set_memory_limit` set, or else all that the device has. None is no limit: the
        host has other uses than these, or the kind does not tell.

    Examples
    --------
    >>> import eagerflow as ef
    >>> print(ef.devices.memory_limit("cpu:0"))
    None
    """
    found = find(device)
    limit = _limits.get(found)
    if limit is not None or found.kind.name == "cpu":
        return limit
    try:
        return found.memory().total
    except NotImplementedError:
        return None
