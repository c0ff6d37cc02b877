"""Sequences multiplied with each other at every offset, and covariances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, DTypeError, ShapeError
from eagerflow.ops.arrays.conversion import astype
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.arrays.matrices import diag
from eagerflow.ops.arrays.padding import pad
from eagerflow.ops.arrays.shape import atleast_1d, atleast_2d, squeeze
from eagerflow.ops.checked import guarded, option
from eagerflow.ops.elementwise.complex import conj
from eagerflow.ops.elementwise.selection import clip
from eagerflow.ops.indexing.indexing import read_part
from eagerflow.ops.linear_algebra.contraction import matmul
from eagerflow.ops.reductions.averages import average
from eagerflow.ops.reductions.reduction import sum

__all__ = ["convolve", "corrcoef", "correlate", "cov"]


def _sample_sequences(draw: Draw) -> Sample:
    return Sample((draw.array((draw.integer(1, 6),)), draw.array((draw.integer(1, 6),))))


def _against(g: Tensor, other: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the part of a convolution in which every element of the other sequence takes part."""
    start = other.shape[0] - 1
    return read_part(_convolve(g, other[::-1]), (slice(start, start + shape[0]),))


def _windows(op: Op, size: int, inputs: Any, batched: Any, attrs: dict[str, Any]) -> Any:
    """Multiply windows of the longer sequences with the shorter ones, turned round."""
    x, y = (a if stacked else a[None] for a, stacked in zip(inputs, batched, strict=True))
    if x.shape[1] < y.shape[1]:
        x, y = y, x
    n, m = x.shape[1], y.shape[1]
    places = np.arange(n + m - 1)[:, None] + np.arange(m)
    windows = pad(x, ((0, 0), (m - 1, m - 1)))[:, places]
    return matmul(windows, y[:, ::-1, None])[..., 0]


_convolve = Op(
    "convolve", "convolve", inputs="x y",
    infer=lambda x, y: Spec((x.shape[0] + y.shape[0] - 1,), np.result_type(x.dtype, y.dtype)),
    sample=_sample_sequences,
    vjp=(lambda g, y, shape: _against(g, y, shape), lambda g, x, shape: _against(g, x, shape)),
    linear="x y", batch=_windows, fusion="contraction", flops=lambda x, y: 2.0 * x.size * y.size, kinds="fc",
)  # fmt: skip


def _pair(a: Any, v: Any, mode: Any, name: str) -> tuple[Tensor, Tensor, str]:
    """Return two vectors that are not empty, and the mode by its name."""
    mode = {0: "valid", 1: "same", 2: "full"}.get(mode, mode)
    option(mode, ("full", "same", "valid"), name, "mode")
    x, y = atleast_1d(a), atleast_1d(v)
    if x.ndim > 1 or y.ndim > 1 or not x.size or not y.size:
        raise ShapeError(
            f"{name}: expected two vectors with elements, got shapes {x.shape} and {y.shape}\n  at {user_line()}"
        )
    return x, y, mode


@implements(np.convolve)
@guarded
def convolve(a: Any, v: Any, mode: str = "full") -> Tensor:
    """Return the convolution of two sequences: ``c[k] = Σ a[i] v[k - i]``.

    Parameters
    ----------
    a, v : array_like
        The sequences: vectors.
    mode : {"full", "same", "valid"}
        All offsets; as many as the longer sequence has elements; or those at which the shorter one is
        inside the longer one.

    Returns
    -------
    Tensor
        A vector.

    Raises
    ------
    ShapeError
        Not vectors, or empty.
    ArgumentError
        Unknown mode.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.convolve([1.0, 2.0, 3.0], [0.0, 1.0, 0.5])
    Tensor([0. , 1. , 2.5, 4. , 1.5])
    """
    x, y, mode = _pair(a, v, mode, "convolve")
    whole = _convolve(x, y)
    if mode == "full":
        return whole
    longer, shorter = max(x.size, y.size), min(x.size, y.size)
    start, count = ((shorter - 1) // 2, longer) if mode == "same" else (shorter - 1, longer - shorter + 1)
    return whole[start : start + count]


@implements(np.correlate)
@guarded
def correlate(a: Any, v: Any, mode: str = "valid") -> Tensor:
    """Return the correlation of two sequences: ``c[k] = Σ a[i + k] conj(v[i])``.

    Parameters
    ----------
    a, v : array_like
        The sequences: vectors.
    mode : {"valid", "same", "full"}
        As for `convolve`.

    Returns
    -------
    Tensor
        A vector.

    Raises
    ------
    ShapeError
        Not vectors, or empty.
    ArgumentError
        Unknown mode.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.correlate([1.0, 2.0, 3.0], [0.0, 1.0, 0.5], "same")
    Tensor([2. , 3.5, 3. ])
    """
    x, y, mode = _pair(a, v, mode, "correlate")
    turned = conj(y)[::-1] if y.dtype.kind == "c" else y[::-1]
    if mode != "same" or x.size >= y.size:
        return convolve(x, turned, mode)
    # NumPy puts the longer sequence first and turns the result: of two middles it is then the other.
    return _convolve(x, turned)[x.size // 2 :][: y.size]


@implements(np.cov)
@guarded
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None, fweights: Any = None,
    aweights: Any = None, *, dtype: Any = None,
) -> Tensor:  # fmt: skip
    """Estimate the covariances of variables.

    Parameters
    ----------
    m : array_like
        Observations, one variable a row.
    y : array_like, optional
        More variables, in the same form.
    rowvar : bool
        Whether variables are rows; otherwise columns.
    bias : bool
        Whether to divide by the number of observations; otherwise by one less.
    ddof : int, optional
        What to subtract from the number of observations, whatever `bias` is.
    fweights : array_like of int, optional
        How often each observation was made.
    aweights : array_like, optional
        How much each observation counts; gradients pass to them.
    dtype : dtype, optional
        Dtype of the result; at least float64 if not given.

    Returns
    -------
    Tensor
        The matrix of covariances; a number for one variable.

    Raises
    ------
    ShapeError
        More than two axes, or weights that do not fit.
    ArgumentError
        Negative weights.
    DTypeError
        `fweights` are no integers, `ddof` is no integer.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.cov([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    Tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if ddof is not None and ddof != int(ddof):
        raise DTypeError(f"cov: ddof is an integer, got {ddof!r}\n  at {user_line()}")
    given = [convert(part) for part in (m, y) if part is not None]
    if any(part.ndim > 2 for part in given):
        raise ShapeError(
            f"cov: expected one or two axes, got shapes {[part.shape for part in given]}\n  at {user_line()}"
        )
    wanted = np.result_type(*[part.dtype for part in given], np.float64) if dtype is None else dtype
    rows = [atleast_2d(astype(part, wanted)) for part in given]
    if not rowvar:
        rows = [row if part.ndim == 1 else row.T for row, part in zip(rows, given, strict=True)]
    if not rows[0].shape[0]:
        rows = rows[:1]  # without variables there is nothing to compare, as in NumPy
    if len({row.shape[1] for row in rows}) > 1:
        raise ShapeError(
            f"cov: m and y have as many observations as each other, got shapes {[r.shape for r in rows]}"
            f"\n  at {user_line()}"
        )
    x = concat(rows) if len(rows) > 1 else rows[0]
    freedom = int(bias == 0) if ddof is None else int(ddof)
    count = x.shape[1]
    weights: Any = None
    for value, name in ((fweights, "fweights"), (aweights, "aweights")):
        if value is None:
            continue
        made = convert(value)
        if made.shape != (count,):
            raise ShapeError(f"cov: {name} are {count} numbers, got shape {made.shape}\n  at {user_line()}")
        if name == "fweights" and made.dtype.kind not in "iu" and bool((made != made.round()).any()):
            raise DTypeError(f"cov: fweights are integers, got {value!r}\n  at {user_line()}")
        if type(made) is Tensor and np.any(made.numpy() < 0):
            raise ArgumentError(f"cov: {name} are not negative, got {value!r}\n  at {user_line()}")
        weights = made if weights is None else weights * made
    middle = average(x, axis=1, weights=weights)
    free: Any
    if weights is None:
        free = max(count - freedom, 0)
        scale: Any = 1 / free if free else math.inf if count else math.nan
    else:
        total = sum(weights)
        free = total if not freedom else total - freedom
        if freedom and aweights is not None:
            free = total - freedom * sum(weights * convert(aweights)) / total
        scale = astype(1 / free, wanted)
    x = x - middle[:, None]
    other = x.T if weights is None else (x * astype(weights, wanted)).T
    return squeeze(matmul(x, conj(other) if other.dtype.kind == "c" else other) * scale)


@implements(np.corrcoef)
@guarded
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Tensor:
    """Return the correlation coefficients of variables.

    Parameters
    ----------
    x : array_like
        Observations, one variable a row.
    y : array_like, optional
        More variables, in the same form.
    rowvar : bool
        Whether variables are rows; otherwise columns.
    dtype : dtype, optional
        Dtype of the result; at least float64 if not given.

    Returns
    -------
    Tensor
        The matrix of coefficients, from -1 to 1; a number for one variable.

    Raises
    ------
    ShapeError
        More than two axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.corrcoef([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    Tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    deviation = diag(c).real ** 0.5
    c = c / deviation[:, None] / deviation
    if c.dtype.kind == "c":
        return clip(c.real, -1, 1) + 1j * clip(c.imag, -1, 1)
    return clip(c, -1, 1)
