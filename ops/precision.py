"""Precision: what kernels compute in, and what they give back.

Dtypes of less than 32 bits (float16, bfloat16, float8) are for storage. Sums and functions of several
steps are computed in float32 and rounded once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow.core import Spec, broadcast, is_inexact

_PIECE = 1 << 14


def is_low(dtype: np.dtype[Any]) -> bool:
    """Tell whether numbers of this dtype are added up in float32: floating point of less than 32 bits."""
    return dtype.itemsize < 4 and dtype.kind not in "biu" and is_inexact(dtype)


def float_like(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the floating-point dtype for a dtype: integers become what NumPy's exp makes of them."""
    return np.exp.resolve_dtypes((dtype, None))[-1] if dtype.kind in "biu" else dtype


def _real(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype of real numbers; an error says that a function takes no others."""
    if dtype.kind == "c":
        raise TypeError("expected real numbers; there is no complex form of this function here")
    return dtype


def floating(xp: Any, x: Any) -> Any:
    """Return `x` as an array of a floating-point dtype."""
    x = xp.asarray(x)
    return x.astype(float_like(x.dtype)) if x.dtype.kind in "biu" else x


def float_rule(*specs: Any) -> Spec:
    """Shape rule of elementwise functions of real numbers: dtypes promote, then integers become floats."""
    return Spec(broadcast(*specs), float_like(np.result_type(*[getattr(spec, "dtype", spec) for spec in specs])))


def in_float32(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return `kernel` so that what is given in low precision is computed in float32 and rounded at the end.

    The first input tells: the others are of its dtype, or of one that the kernel promotes to.
    """

    def run(xp: Any, *inputs: Any, **attrs: Any) -> Any:
        first = inputs[0] if inputs[0] is not None else next(x for x in inputs if x is not None)
        if first.itemsize >= 4 or not is_low(first.dtype):
            return kernel(xp, *inputs, **attrs)
        dtype = np.result_type(*[x.dtype for x in inputs if x is not None and is_inexact(x.dtype)])
        wide = [x.astype(np.float32) if x is not None and is_low(x.dtype) else x for x in inputs]
        result = kernel(xp, *wide, **attrs)
        if isinstance(result, tuple):
            return tuple([item.astype(dtype) for item in result])
        return result.astype(dtype)

    return run


def add_up(x: Any, axis: Any) -> Any:
    """Return the sums of an array or a Tensor over `axis`, with the axes kept; for gradient functions.

    NumPy adds up bare arrays of low precision in their own dtype.
    """
    if x.dtype.itemsize < 4 and is_low(x.dtype):
        return x.astype(np.float32).sum(axis=axis, keepdims=True).astype(x.dtype)
    return x.sum(axis=axis, keepdims=True)


def in_pieces(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel for the CPU that takes large arrays piece by piece, so that temporaries stay in the cache."""

    def run(x: Any, **attrs: Any) -> Any:
        x = floating(np, x)
        if x.size <= _PIECE or not x.flags.c_contiguous:
            return kernel(np, x, **attrs)
        flat = x.reshape(-1)
        result = np.empty_like(flat)
        for start in range(0, flat.size, _PIECE):
            result[start : start + _PIECE] = kernel(np, flat[start : start + _PIECE], **attrs)
        return result.reshape(x.shape)

    return run


def single(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return `kernel` so that it computes in float32 what is in half precision."""

    def run(xp: Any, x: Any, **attrs: Any) -> Any:
        x = floating(xp, x)
        _real(x.dtype)
        if x.itemsize < 4:
            return kernel(xp, x.astype(np.float32), **attrs).astype(x.dtype)
        return kernel(xp, x, **attrs)

    return run


def quietly(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel of several real inputs in one dtype: at least float32, and without NumPy's warnings.

    Poles and values outside a function's domain are results (infinity, NaN), not accidents.
    """

    def run(xp: Any, *inputs: Any, **attrs: Any) -> Any:
        given = np.result_type(*[x if isinstance(x, bool | int | float | complex) else x.dtype for x in inputs])
        dtype = float_like(_real(given))
        wide = np.dtype(np.float32) if dtype.itemsize < 4 else dtype
        arrays = [xp.asarray(x, wide) for x in inputs]
        with np.errstate(all="ignore"):
            result = kernel(xp, *arrays, **attrs)
            if isinstance(result, tuple):
                return tuple([xp.asarray(item, dtype) for item in result])
            return xp.asarray(result, dtype)

    return run
