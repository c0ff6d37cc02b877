"""Dtype objects and constants of the array namespace, and what is known of dtypes."""

from __future__ import annotations

import builtins
import math
from typing import Any

import ml_dtypes
import numpy as np

from eagerflow.core import ArrayMethods

__all__ = [
    "bfloat16",
    "bool",
    "can_cast",
    "complex64",
    "complex128",
    "e",
    "finfo",
    "float8_e4m3fn",
    "float8_e5m2",
    "float16",
    "float32",
    "float64",
    "iinfo",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "isdtype",
    "nan",
    "newaxis",
    "pi",
    "result_type",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]

bool = np.dtype(np.bool_)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
uint16 = np.dtype(np.uint16)
uint32 = np.dtype(np.uint32)
uint64 = np.dtype(np.uint64)
float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
complex64 = np.dtype(np.complex64)
complex128 = np.dtype(np.complex128)
bfloat16 = np.dtype(ml_dtypes.bfloat16)
float8_e4m3fn = np.dtype(ml_dtypes.float8_e4m3fn)
float8_e5m2 = np.dtype(ml_dtypes.float8_e5m2)

e = math.e
inf = math.inf
nan = math.nan
newaxis = None
pi = math.pi


def _typed(value: Any) -> Any:
    return value.dtype if isinstance(value, ArrayMethods) else value


def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """Return the dtype that these promote to; Python scalars are weak.

    Parameters
    ----------
    *arrays_and_dtypes : Tensor, dtype or Python scalar
        What takes part in an operation.

    Returns
    -------
    dtype
        As NumPy 2 and the array API standard promote.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.result_type(ef.float32, 1.0)
    dtype('float32')
    """
    return np.result_type(*[_typed(value) for value in arrays_and_dtypes])


def can_cast(from_: Any, to: Any, /, casting: Any = "safe") -> builtins.bool:
    """Tell whether a cast is allowed.

    Parameters
    ----------
    from_ : Tensor or dtype
        What is cast.
    to : dtype
        To what.
    casting : {"no", "equiv", "safe", "same_kind", "unsafe"}
        What is allowed.

    Returns
    -------
    bool
        Whether it is.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.can_cast(ef.float64, ef.float32), ef.can_cast(ef.float32, ef.float64)
    (False, True)
    """
    return np.can_cast(_typed(from_), to, casting)


def finfo(type: Any, /) -> Any:
    """Return the limits of a floating-point dtype.

    Parameters
    ----------
    type : dtype or Tensor
        Real or complex floating point, bfloat16 and float8 included.

    Returns
    -------
    finfo
        With ``bits``, ``eps``, ``max``, ``min`` and ``smallest_normal``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> float(ef.finfo(ef.float64).eps)
    2.220446049250313e-16
    """
    dtype = np.dtype(_typed(type))
    return np.finfo(dtype) if dtype.kind in "fc" and dtype.isbuiltin == 1 else ml_dtypes.finfo(dtype)


def iinfo(type: Any, /) -> Any:
    """Return the limits of an integer dtype.

    Parameters
    ----------
    type : dtype or Tensor
        Integer.

    Returns
    -------
    iinfo
        With ``bits``, ``max`` and ``min``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.iinfo(ef.int8).max
    127
    """
    return np.iinfo(np.dtype(_typed(type)))


def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Tell whether a dtype is of a kind.

    Parameters
    ----------
    dtype : dtype
        What is asked about.
    kind : str, dtype or tuple of them
        Such as ``"real floating"``, ``"integral"``, ``"numeric"``, or a dtype.

    Returns
    -------
    bool
        Whether it is.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.isdtype(ef.float32, "real floating")
    True
    """
    return np.isdtype(np.dtype(dtype), kind)
