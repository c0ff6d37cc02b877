"""The kinds of device that exist, and how to add one."""

from __future__ import annotations

from eagerflow.devices.cpu import CPU
from eagerflow.devices.cuda import CUDA
from eagerflow.devices.kind import Kind
from eagerflow.devices.shares import share_blas
from eagerflow.errors import DeviceError

_cpu = CPU()
_kinds: dict[str, Kind] = {}
_generation = 0


def generation() -> int:
    """Return a number that changes whenever the devices, their rates or their limits do: what placements depend on.

    Examples
    --------
    >>> import eagerflow as ef
    >>> before = ef.devices.generation()
    >>> ef.config.set_logical_devices("cpu", 2)
    >>> ef.devices.generation() > before
    True
    >>> ef.config.set_logical_devices("cpu", 1)
    """
    return _generation


def changed() -> None:
    """Note that devices, their rates or their limits are not what they were."""
    global _generation
    _generation += 1


def register(kind: Kind) -> Kind:
    """Make a device kind known by its name.

    Parameters
    ----------
    kind : Kind
        An instance of a subclass of `Kind`.

    Returns
    -------
    Kind
        The same kind.

    Raises
    ------
    DeviceError
        Another kind has this name.

    Examples
    --------
    >>> import eagerflow as ef
    >>> sorted(ef.devices.kinds())[:2]
    ['cpu', 'cuda']
    """
    if _kinds.get(kind.name, kind) is not kind:
        raise DeviceError(f"there is a device kind {kind.name!r} already: {_kinds[kind.name]!r}")
    _kinds[kind.name] = kind
    changed()
    return kind


def kinds() -> dict[str, Kind]:
    """Return the registered kinds by name.

    Returns
    -------
    dict
        A copy: `register` adds to the kinds.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.devices.kinds()["cpu"].count()
    1
    """
    return dict(_kinds)


def available() -> list[str]:
    """Return the names of the devices that can be used here.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.devices.list()[0]
    'cpu:0'
    """
    return [f"{kind.name}:{index}" for kind in _kinds.values() for index in range(kind.count())]


def logical_devices() -> int:
    """Return into how many logical devices the host is divided.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.devices.logical_devices()
    1
    """
    return _cpu.logical


def set_logical_devices(kind: str, count: int) -> None:
    """Divide the host into `count` logical devices ``cpu:0`` … of one memory.

    Captured functions run each of them in a thread of its own. The devices share the cores: BLAS, and what
    `eagerflow.config.set_num_threads` counts, have the `count`-th part of the threads that they have otherwise, at
    least one.

    Parameters
    ----------
    kind : str
        Only ``"cpu"`` can be divided.
    count : int
        How many, 1 or more.

    Raises
    ------
    DeviceError
        The kind cannot be divided, or the count is no positive integer.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.config.set_logical_devices("cpu", 2)
    >>> ef.ones(3, device="cpu:1").device
    cpu:1
    >>> ef.config.set_logical_devices("cpu", 1)
    """
    if kind != "cpu":
        raise DeviceError(f"only the kind 'cpu' can be divided into logical devices, got {kind!r}")
    if not hasattr(count, "__index__") or isinstance(count, bool) or count < 1:
        raise DeviceError(f"the number of logical devices is an integer, 1 or more; got {count!r}")
    count = int(count)
    _cpu.logical = count
    share_blas(count)
    changed()


register(_cpu)
register(CUDA())
