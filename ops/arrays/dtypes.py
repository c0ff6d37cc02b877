"""Dtype objects and constants of the array namespace, and what is known of dtypes."""

from __future__ import annotations

import builtins
import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from eagerflow.core import ArrayMethods, implements, is_inexact
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError

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


def _dtype(value: Any, name: str) -> np.dtype[Any]:
    """Return the dtype that is meant by a dtype or an array."""
    try:
        return value.dtype if isinstance(value, ArrayMethods | np.ndarray) else np.dtype(value)
    except TypeError:
        raise DTypeError(f"{name}: expected a dtype or an array, got {value!r:.60}\n  at {user_line()}") from None


@implements(np.result_type)
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

    Raises
    ------
    DTypeError
        Nothing is given, or what has no common dtype.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.result_type(ef.float32, 1.0)
    dtype('float32')
    """
    try:
        return np.result_type(*[_typed(value) for value in arrays_and_dtypes])
    except (TypeError, ValueError) as error:
        raise DTypeError(
            f"result_type: expected arrays, dtypes and Python scalars that have a common dtype: {error}"
            f"\n  at {user_line()}"
        ) from None


@implements(np.can_cast)
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

    Raises
    ------
    DTypeError
        No dtype or array; an unknown `casting`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.can_cast(ef.float64, ef.float32), ef.can_cast(ef.float32, ef.float64)
    (False, True)
    """
    try:
        return np.can_cast(_typed(from_), to, casting)
    except (TypeError, ValueError) as error:
        raise DTypeError(f"can_cast: {error}\n  at {user_line()}") from None


@dataclass(frozen=True)
class FloatLimits:
    """Limits of a floating-point dtype, as Python numbers.

    Parameters
    ----------
    dtype : dtype
        The real dtype (of a complex one that of its parts).
    bits : int
        Bits of one number.
    eps : float
        Distance from 1 to the next larger number.
    max, min : float
        Largest and smallest finite number.
    smallest_normal, smallest_subnormal : float
        Smallest positive number with full precision; smallest of all.
    epsneg, resolution : float
        Distance from 1 to the next smaller number; ten to the power of minus the exact decimal digits.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.finfo(ef.float32).bits
    32
    """

    dtype: np.dtype[Any]
    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    smallest_subnormal: float
    epsneg: float
    resolution: float

    @property
    def tiny(self) -> float:
        """NumPy's other name of `smallest_normal`."""
        return self.smallest_normal


def finfo(type: Any, /) -> FloatLimits:
    """Return the limits of a floating-point dtype.

    Parameters
    ----------
    type : dtype or Tensor
        Real or complex floating point, bfloat16 and float8 included.

    Returns
    -------
    FloatLimits
        With ``bits``, ``eps``, ``max``, ``min``, ``smallest_normal``, ``dtype`` and others of `numpy.finfo`.

    Raises
    ------
    DTypeError
        Not a floating-point dtype.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.finfo(ef.float64).eps
    2.220446049250313e-16
    """
    dtype = _dtype(type, "finfo")
    if not is_inexact(dtype):
        raise DTypeError(f"finfo: expected a floating-point dtype, got {dtype}; see iinfo\n  at {user_line()}")
    known = dtype.kind in "fc" and dtype.isbuiltin == 1
    limits: Any = np.finfo(dtype) if known else ml_dtypes.finfo(dtype)
    names = ("eps", "max", "min", "smallest_normal", "smallest_subnormal", "epsneg", "resolution")
    return FloatLimits(
        dtype=np.dtype(limits.dtype), bits=int(limits.bits), **{name: float(getattr(limits, name)) for name in names}
    )


def iinfo(type: Any, /) -> Any:
    """Return the limits of an integer dtype.

    Parameters
    ----------
    type : dtype or Tensor
        Integer.

    Returns
    -------
    iinfo
        With ``bits``, ``max``, ``min`` and ``dtype``.

    Raises
    ------
    DTypeError
        Not an integer dtype.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.iinfo(ef.int8).max
    127
    """
    dtype = _dtype(type, "iinfo")
    if dtype.kind not in "iu":
        raise DTypeError(f"iinfo: expected an integer dtype, got {dtype}; see finfo\n  at {user_line()}")
    return np.iinfo(dtype)


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Tell whether a dtype is of a kind.

    Parameters
    ----------
    dtype : dtype
        What is asked about.
    kind : str, dtype or tuple of them
        ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``, ``"real floating"``,
        ``"complex floating"``, ``"numeric"``, or a dtype. bfloat16 and float8 are real floating too.

    Returns
    -------
    bool
        Whether it is.

    Raises
    ------
    DTypeError
        Not a dtype; an unknown kind.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.isdtype(ef.float32, "real floating")
    True
    """
    found = _dtype(dtype, "isdtype")
    own = "c" if found.kind == "c" else "f" if is_inexact(found) else found.kind
    for item in kind if isinstance(kind, tuple) else (kind,):
        if isinstance(item, str) and item in _KINDS:
            if own in _KINDS[item]:
                return True
        elif isinstance(item, str | tuple):
            raise DTypeError(
                f"isdtype: kind is a dtype or one of {', '.join(map(repr, _KINDS))}, got {item!r}\n  at {user_line()}"
            )
        elif _dtype(item, "isdtype") == found:
            return True
    return False
