"""Kinds over a namespace of the array API standard, whose arrays know nothing of NumPy's."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any

import numpy as np

from eagerflow.devices.kind import Kind
from eagerflow.devices.standard.adapted import Adapted
from eagerflow.devices.standard.namespace import Namespace


class ArrayAPIKind(Kind):
    """A kind of device over any namespace of the array API standard.

    Its arrays need not know NumPy's: kernels see them through an adapter that has NumPy's names, promotion of dtypes
    and methods, computed by functions of the standard. Kernels that need what the standard lacks are refused with a
    `DeviceError` that says what is lacking. There are two remedies: ``register_kernel`` of the op, or
    ``host_fallback = True``.

    Subclasses have `name`, `standard` and `places`.

    Attributes
    ----------
    standard : Any
        The namespace.
    places : tuple
        The namespace's own device objects, one for each device of the kind.

    Examples
    --------
    >>> import numpy as np
    >>> import eagerflow as ef
    >>> class Shelf(ef.devices.ArrayAPIKind):
    ...     name = "shelf"
    ...     standard = np  # NumPy follows the standard as well
    ...     places = ("cpu",)
    >>> kind = ef.devices.register(Shelf())
    >>> ef.tanh(ef.zeros(2, device="shelf:0"))
    Tensor([0., 0.], device=shelf:0)
    """

    standard: Any
    places: tuple[Any, ...]
    array_type: type = Adapted
    complete = False

    def __init__(self) -> None:
        # A type of their own tells whose arrays they are.
        self.array_type = type(self.name.capitalize() + "Array", (Adapted,), {"__slots__": ()})
        self._place: ContextVar[Any] = ContextVar(f"place of {self.name}", default=self.places[0])

    @cached_property
    def namespace(self) -> Any:
        """The standard's functions under NumPy's names."""
        return Namespace(self.standard, self.name, self.array_type, self._place)

    def count(self) -> int:
        """Return how many places there are."""
        return len(self.places)

    def from_host(self, array: np.ndarray, index: int) -> Any:
        """Copy to place `index`."""
        return self.namespace.made(array, self.places[index])

    def to_host(self, array: Any) -> np.ndarray:
        """Copy out of any place."""
        host: np.ndarray = array.to_host()
        return host

    def copy(self, array: Any, index: int) -> Any:
        """Copy from place to place."""
        return array.moved(self.places[index])

    def activate(self, index: int) -> AbstractContextManager[None]:
        """Let functions that make arrays make them at place `index`."""
        return self._at(self.places[index])

    @contextmanager
    def _at(self, place: Any) -> Any:
        token = self._place.set(place)
        try:
            yield
        finally:
            self._place.reset(token)

    def index_of(self, array: Any) -> int:
        """Return the number of the place that holds the array."""
        return self.places.index(array.place)

    def model(self, index: int) -> str:
        """Return the namespace's name and version."""
        return f"{self.standard.__name__} {getattr(self.standard, '__version__', '')}".strip()
