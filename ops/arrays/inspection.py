"""Inspection: what this array namespace has, as the array API standard lets other libraries ask."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from eagerflow import devices as device_kinds
from eagerflow.core import bind, default_dtype
from eagerflow.devices import Device
from eagerflow.errors import DTypeError
from eagerflow.ops.arrays.dtypes import isdtype

__all__ = ["__array_api_version__", "__array_namespace_info__"]

__array_api_version__ = "2025.12"
_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")

_STANDARD = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float32", "float64", "complex64", "complex128",
)  # fmt: skip
_KINDS = ("bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric")


class NamespaceInfo:
    """What `__array_namespace_info__` returns: dtypes, devices, and what can be done with them.

    Examples
    --------
    >>> import eagerflow as ef
    >>> info = ef.__array_namespace_info__()
    >>> info.default_device(), info.default_dtypes()["real floating"]
    (cpu:0, dtype('float64'))
    """

    def capabilities(self) -> dict[str, Any]:
        """Return what is supported of the parts that the standard leaves open.

        Returns
        -------
        dict
            ``"boolean indexing"``, ``"data-dependent shapes"`` and ``"max dimensions"``.
        """
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """Return the current device."""
        return device_kinds.current()

    def devices(self) -> tuple[Device, ...]:
        """Return the devices that can be used here."""
        return tuple(device_kinds.find(name) for name in device_kinds.list())

    def default_dtypes(self, *, device: str | Device | None = None) -> dict[str, np.dtype[Any]]:
        """Return the dtypes that arrays get which come without one.

        Parameters
        ----------
        device : str or Device, optional
            For which device; they do not differ.

        Returns
        -------
        dict
            By kind: ``"real floating"``, ``"complex floating"``, ``"integral"`` and ``"indexing"``.
        """
        device_kinds.find(device)
        return {
            "real floating": default_dtype(),
            "complex floating": default_dtype("c"),
            "integral": np.dtype(np.int64),
            "indexing": np.dtype(np.intp),
        }

    def dtypes(
        self, *, device: str | Device | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, np.dtype[Any]]:
        """Return the dtypes of the standard. Others, such as float16 and bfloat16, are supported too.

        Parameters
        ----------
        device : str or Device, optional
            For which device; they do not differ.
        kind : str or tuple of str, optional
            Only those of these kinds, named as for `isdtype`.

        Returns
        -------
        dict
            By name.

        Raises
        ------
        DTypeError
            An unknown kind.
        """
        device_kinds.find(device)
        wanted = _KINDS if kind is None else kind if isinstance(kind, tuple) else (kind,)
        unknown = [item for item in wanted if item not in _KINDS]
        if unknown:
            raise DTypeError(f"dtypes: kind is one of {', '.join(map(repr, _KINDS))}, got {unknown[0]!r}")
        known = {name: np.dtype(name) for name in _STANDARD}
        return {name: dtype for name, dtype in known.items() if isdtype(dtype, wanted)}


_info = NamespaceInfo()


def __array_namespace_info__() -> NamespaceInfo:
    """Return what this array namespace has: dtypes, devices and capabilities.

    Returns
    -------
    NamespaceInfo
        With the methods ``capabilities``, ``default_device``, ``default_dtypes``, ``devices`` and ``dtypes``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> sorted(ef.__array_namespace_info__().dtypes(kind="complex floating"))
    ['complex128', 'complex64']
    """
    return _info


def _array_namespace(self: Any, /, *, api_version: str | None = None) -> ModuleType:
    """Return the array namespace that this belongs to.

    Parameters
    ----------
    api_version : str, optional
        The version of the array API standard that is asked for; each includes the ones before it.

    Returns
    -------
    module
        `eagerflow`.

    Raises
    ------
    DTypeError
        A version that is not known.
    """
    if api_version is not None and api_version not in _VERSIONS:
        raise DTypeError(
            f"__array_namespace__: api_version is one of {', '.join(map(repr, _VERSIONS))}, got {api_version!r}"
        )
    return sys.modules[__name__.partition(".")[0]]


bind({"__array_namespace__": _array_namespace})
