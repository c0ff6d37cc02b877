"""Transfers: the array of one device as an array of another."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.devices.device import Device


def transfer(array: Any, source: Device, target: Device) -> Any:
    """Return an array of `source` on `target`.

    Parameters
    ----------
    array : Any
        An array of the kind of `source`, that nobody writes to.
    source, target : Device
        Where it is, and where it is wanted.

    Returns
    -------
    Any
        An array of the kind of `target`: the same one where both devices share a memory.

    Examples
    --------
    >>> import numpy as np
    >>> import eagerflow as ef
    >>> cpu, array = ef.devices.find("cpu:0"), np.ones(2)
    >>> ef.devices.transfer(array, cpu, cpu) is array
    True
    """
    if source is target or (source.on_host and target.on_host):
        return array
    if source.kind is target.kind:
        return source.kind.copy(array, target.index)
    host = array if source.on_host else source.kind.to_host(array)
    return host if target.on_host and type(host) is np.ndarray else target.kind.from_host(host, target.index)
