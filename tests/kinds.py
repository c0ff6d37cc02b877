"""A device kind for tests: arrays of a type of their own, computed by NumPy."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

import eagerflow as ef
from eagerflow.devices import Kind, MemoryInfo


class FarArray(np.ndarray):
    """An array of the far device."""


class _Namespace:
    """NumPy, but every array that comes out is a FarArray."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if isinstance(value, types.ModuleType):
            return _Namespace(value)
        if not callable(value) or isinstance(value, type):
            return value

        def function(*args: Any, **kwargs: Any) -> Any:
            return _far(value(*args, **kwargs))

        function.at = getattr(value, "at", None)
        return function


def _far(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_far(item) for item in value) if type(value) in (tuple, list) else tuple(map(_far, value))
    return np.asarray(value).view(FarArray) if isinstance(value, np.ndarray | np.generic) else value


class Far(Kind):
    """Two devices whose arrays are a type of their own."""

    name = "far"
    array_type = FarArray
    _namespace = _Namespace(np)

    @property
    def namespace(self) -> Any:
        return self._namespace

    def count(self) -> int:
        return 2

    def from_host(self, array: np.ndarray, index: int) -> Any:
        return np.array(array).view(FarArray)

    def to_host(self, array: Any) -> np.ndarray:
        return np.array(array, subok=False)

    def memory(self, index: int) -> MemoryInfo:
        return MemoryInfo(2**30, 2**29)


FAR = ef.devices.kinds().get("far") or ef.devices.register(Far())
