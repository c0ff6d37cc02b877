"""Comparison of a function with NumPy's own, over dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eagerflow as ef

DTYPES = ["bool", "int8", "int32", "int64", "uint8", "float16", "float32", "float64", "complex64", "complex128"]


def values(dtype: str, shape: tuple[int, ...] = (3, 4), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if kind in "iu":
        return rng.integers(1, 5, shape).astype(dtype)
    x = rng.uniform(-2, 2, shape)
    return (x + 1j * rng.uniform(-1, 1, shape) if kind == "c" else x).astype(dtype)


def agree(function: Any, expected: Any, *arrays: Any) -> None:
    """Check that both give the same, or that both refuse."""
    with np.errstate(all="ignore"):
        try:
            want = expected(*arrays)
        except (TypeError, ValueError):
            with pytest.raises((TypeError, ValueError)):
                function(*arrays)
            return
        got = function(*arrays)
    assert isinstance(got, ef.Tensor)
    want = np.asarray(want)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    np.testing.assert_array_max_ulp(got.numpy(), want, 4) if want.dtype.kind == "f" else (
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    )
