"""Device kinds: what eagerflow asks of a place where arrays live."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from eagerflow.devices.speed.rates import Link, Rates
from eagerflow.errors import DeviceError


class MemoryInfo(NamedTuple):
    """Memory of a device, in bytes.

    Parameters
    ----------
    total : int
        What the device has.
    free : int
        What can still be allocated.

    Examples
    --------
    >>> from eagerflow.devices import MemoryInfo
    >>> MemoryInfo(total=1000, free=400).used
    600
    """

    total: int
    free: int

    @property
    def used(self) -> int:
        """Bytes in use, by this process or by others."""
        return self.total - self.free


class Lacking(DeviceError, AttributeError):
    """What a kernel needs and the namespace of a kind has not."""


class Kind:
    """A kind of device: an array namespace, and the way in and out of it.

    Subclass it and pass an instance to `eagerflow.devices.register`. The methods get the
    index of the device among those of the kind.

    Attributes
    ----------
    name : str
        The name in device names, in lower case.
    array_type : type
        The type of the kind's arrays.
    namespace : Any
        The array namespace (NumPy, CuPy, …) that kernels are written over.
    complete : bool
        Whether the namespace has all that kernels use of NumPy's. Where it may not, a kernel is tried on a sample
        before it is used, so that placers know which ops the kind has no kernel for.
    records : bool
        Whether what is queued on its devices can be recorded and launched again as one; see `record`.
    host_fallback : bool
        Whether ops without a kernel run on the host, with copies there and back. Otherwise they are errors.

    Examples
    --------
    >>> import eagerflow as ef
    >>> cpu = ef.devices.kinds()["cpu"]
    >>> cpu.name, cpu.array_type.__name__, cpu.namespace.__name__
    ('cpu', 'ndarray', 'numpy')
    """

    name: str
    array_type: type
    complete = True
    records = False
    host_fallback = False

    @property
    def namespace(self) -> Any:
        """The array namespace that kernels of this kind are written over."""
        raise NotImplementedError

    def count(self) -> int:
        """Return how many devices of this kind there are; 0 where it cannot be used."""
        raise NotImplementedError

    def why_unavailable(self) -> str | None:
        """Return why `count` is 0, with the remedy; ``None`` where it is not."""
        return None

    def from_host(self, array: np.ndarray, index: int) -> Any:
        """Copy a NumPy array to device `index`."""
        raise NotImplementedError

    def to_host(self, array: Any) -> np.ndarray:
        """Copy an array of this kind into a new NumPy array."""
        raise NotImplementedError

    def copy(self, array: Any, index: int) -> Any:
        """Copy an array of this kind to device `index` of the same kind."""
        return self.from_host(self.to_host(array), index)

    def activate(self, index: int) -> Any:
        """Return a context in which new arrays of the namespace land on device `index`."""
        return nullcontext()

    def index_of(self, array: Any) -> int:
        """Return the index of the device that the array lives on."""
        return 0

    def memory(self, index: int) -> MemoryInfo:
        """Return the memory of device `index`, in bytes."""
        raise NotImplementedError

    def synchronize(self, index: int) -> None:
        """Wait until the work given to device `index` is done."""

    def record(self, run: Callable[[], Any], index: int) -> Any:
        """Call a function and record what it queues on device `index`, without computing it.

        Returns
        -------
        context manager
            With the attribute `made`, what the function returned; within its block, ``launch()`` computes it, from the
            same arrays into the same arrays.
        """
        raise NotImplementedError

    def limit_memory(self, index: int, limit: int | None) -> None:
        """Hold arrays of device `index` to so many bytes, where the library can; None takes the limit back."""

    def rates(self, index: int) -> Rates:
        """Return how fast device `index` is taken to be until `eagerflow.devices.calibrate` has measured it."""
        return Rates(contraction=4e10, arithmetic=2e9, bandwidth=8e9, launch=5e-6)

    def link(self, index: int, other: int | None) -> Link:
        """Return how fast arrays are taken to pass to device `other` of this kind, or to the host and back for None."""
        return Link(latency=2e-5, bandwidth=8e9)

    def model(self, index: int) -> str:
        """Return what hardware and software device `index` is: rates that others had are not its own."""
        namespace = self.namespace
        return f"{getattr(namespace, '__name__', '')} {getattr(namespace, '__version__', '')}".strip()
