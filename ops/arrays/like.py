"""``like=``: NumPy's functions that make arrays make Tensors where they are told to make one like a Tensor.

So code that knows NumPy only can make what it assigns recorded values to: ``np.zeros(n, like=x)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow.core import Tensor, implements
from eagerflow.ops.arrays.creation import array, asarray, empty, full, ones, zeros
from eagerflow.ops.arrays.grids import eye, indices, tri
from eagerflow.ops.arrays.ranges import arange

# NumPy hands these on for the sake of `like=` alone, so the result goes where that Tensor is.
CREATORS = frozenset({
    np.arange, np.array, np.asanyarray, np.asarray, np.ascontiguousarray, np.asfortranarray, np.empty, np.eye,
    np.frombuffer, np.fromfile, np.fromfunction, np.fromiter, np.fromstring, np.full, np.genfromtxt, np.identity,
    np.loadtxt, np.ones, np.require, np.tri, np.zeros,
})  # fmt: skip

# Memory layout, `order`, is taken and has no meaning: a Tensor is a value.


@implements(np.zeros)
def _zeros(shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None) -> Tensor:
    return zeros(shape, dtype, device=device)


@implements(np.ones)
def _ones(shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None) -> Tensor:
    return ones(shape, dtype, device=device)


@implements(np.empty)
def _empty(shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None) -> Tensor:
    return empty(shape, dtype, device=device)


@implements(np.full)
def _full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", *, device: Any = None) -> Tensor:
    return full(shape, fill_value, dtype, device=device)


@implements(np.eye)
def _eye(
    N: int, M: int | None = None, k: int = 0, dtype: Any = None, order: str = "C", *, device: Any = None
) -> Tensor:
    return eye(N, M, k=k, dtype=dtype, device=device)


@implements(np.identity)
def _identity(n: int, dtype: Any = None) -> Tensor:
    return eye(n, dtype=dtype)


@implements(np.tri)
def _tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Tensor:
    return tri(N, M, k, dtype=dtype)


@implements(np.arange)
def _arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None, *, device: Any = None) -> Tensor:
    return arange(start, stop, step, dtype=dtype, device=device)


@implements(np.array)
def _array(
    object: Any, dtype: Any = None, *, copy: bool | None = True, order: str = "K", subok: bool = False, ndmin: int = 0
) -> Tensor:
    return array(object, dtype, copy=copy, ndmin=ndmin)


@implements(np.asarray, np.asanyarray)
def _asarray(
    a: Any, dtype: Any = None, order: str | None = None, *, device: Any = None, copy: bool | None = None
) -> Tensor:
    return asarray(a, dtype, device=device, copy=copy)


@implements(np.ascontiguousarray, np.asfortranarray, np.require)
def _laid_out(a: Any, dtype: Any = None, requirements: Any = None) -> Tensor:
    return asarray(a, dtype)


@implements(np.fromfunction)
def _fromfunction(function: Callable[..., Any], shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    return function(*indices(shape, dtype=dtype), **kwargs)
