"""Triangles and diagonals of matrices, and stacks of matrices."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.axes import some_axes
from eagerflow.ops.batching import along
from eagerflow.ops.checked import guarded, integer

__all__ = ["diag", "diagflat", "diagonal", "trace", "tril", "triu"]


def _sample_triangle(draw: Draw) -> Sample:
    return Sample((draw.array(draw.shape(min_dims=2)),), {"k": draw.integer(-3, 3)})


_tril = Op(
    "tril", lambda xp, x, *, k: xp.tril(x, k), inputs="x", infer=lambda x, *, k: x, sample=_sample_triangle,
    vjp=lambda g, k: _tril(g, k=k), linear="x", batch="leading", onnx="Trilu", flops=0, kinds="fc",
)  # fmt: skip
_triu = Op(
    "triu", lambda xp, x, *, k: xp.triu(x, k), inputs="x", infer=lambda x, *, k: x, sample=_sample_triangle,
    vjp=lambda g, k: _triu(g, k=k), linear="x", batch="leading", onnx="Trilu", flops=0, kinds="fc",
)  # fmt: skip


def _matrix(x: Any, name: str) -> Tensor:
    source = convert(x)
    if source.ndim < 2:
        raise ShapeError(f"{name}: expected a matrix or a stack of them, got shape {source.shape}\n  at {user_line()}")
    return source


@implements(np.tril)
def tril(x: Any, /, k: int = 0) -> Tensor:
    """Return the lower triangle of matrices; zeros above it.

    Parameters
    ----------
    x : array_like
        Of shape ``(..., m, n)``.
    k : int
        Diagonal above which elements become zero: 0 is the main one, positive ones are above it.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        Fewer than two axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.tril([[1.0, 2.0], [3.0, 4.0]])
    Tensor([[1., 0.],
            [3., 4.]])
    """
    return _tril(_matrix(x, "tril"), k=integer(k, "tril", "k"))


@implements(np.triu)
def triu(x: Any, /, k: int = 0) -> Tensor:
    """Return the upper triangle of matrices; zeros below it.

    Parameters
    ----------
    x : array_like
        Of shape ``(..., m, n)``.
    k : int
        Diagonal below which elements become zero: 0 is the main one, positive ones are above it.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        Fewer than two axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.triu([[1.0, 2.0], [3.0, 4.0]])
    Tensor([[1., 2.],
            [0., 4.]])
    """
    return _triu(_matrix(x, "triu"), k=integer(k, "triu", "k"))


def _length(rows: int, columns: int, offset: int) -> int:
    return builtins.max(0, builtins.min(rows + builtins.min(offset, 0), columns - builtins.max(offset, 0)))


def _diagonal_rule(x: Spec, *, offset: int, axis1: int, axis2: int) -> Spec:
    rest = tuple(side for i, side in enumerate(x.shape) if i not in (axis1, axis2))
    return Spec((*rest, _length(x.shape[axis1], x.shape[axis2], offset)), x.dtype)


def _sample_planes(draw: Draw) -> tuple[tuple[int, ...], dict[str, Any]]:
    shape = draw.shape(min_dims=2)
    axis1, axis2 = (int(axis) for axis in draw.rng.permutation(len(shape))[:2])
    return shape, {"offset": draw.integer(-2, 2), "axis1": axis1, "axis2": axis2}


def _sample_diagonal(draw: Draw) -> Sample:
    shape, attrs = _sample_planes(draw)
    return Sample((draw.array(shape),), attrs)


_diagonal = Op(
    "diagonal", lambda xp, x, *, offset, axis1, axis2: xp.diagonal(x, offset, axis1, axis2), inputs="x",
    infer=_diagonal_rule, sample=_sample_diagonal,
    vjp=lambda g, shape, offset, axis1, axis2: _on_diagonal(g, shape=shape, offset=offset, axis1=axis1, axis2=axis2),
    linear="x", batch=along("axis1", "axis2"), fusion="view", kinds="fc",
)  # fmt: skip


def _on_diagonal_kernel(xp: Any, x: Any, *, shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Any:
    out = xp.zeros(shape, x.dtype)
    rows = xp.arange(x.shape[-1]) - builtins.min(offset, 0)
    xp.moveaxis(out, (axis1, axis2), (-2, -1))[..., rows, rows + offset] = x
    return out


def _sample_on_diagonal(draw: Draw) -> Sample:
    shape, attrs = _sample_planes(draw)
    part = _diagonal_rule(Spec(shape, draw.dtype), **attrs)
    return Sample((draw.array(part.shape),), {"shape": shape, **attrs})


# The gradient of reading a diagonal: zeros beside it.
_on_diagonal = Op(
    "on_diagonal", _on_diagonal_kernel, inputs="x",
    infer=lambda x, *, shape, offset, axis1, axis2: Spec(shape, x.dtype), sample=_sample_on_diagonal,
    vjp=lambda g, offset, axis1, axis2: _diagonal(g, offset=offset, axis1=axis1, axis2=axis2),
    linear="x", batch=along("axis1", "axis2", shapes=("shape",)), flops=0, kinds="fc",
)  # fmt: skip


@implements(np.diagonal)
def diagonal(x: Any, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the diagonals in the planes of two axes.

    Parameters
    ----------
    x : array_like
        Input of two axes or more.
    offset : int
        Which diagonal: 0 is the main one, positive ones are above it.
    axis1, axis2 : int
        The planes: rows and columns.

    Returns
    -------
    Tensor
        The other axes, then the diagonal.

    Raises
    ------
    ShapeError
        An axis out of range, or the same twice.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.diagonal([[1.0, 2.0], [3.0, 4.0]])
    Tensor([1., 4.])
    """
    source = _matrix(x, "diagonal")
    first, second = some_axes((axis1, axis2), source.ndim, "diagonal")
    return _diagonal(source, offset=integer(offset, "diagonal", "offset"), axis1=first, axis2=second)


@implements(np.trace)
def trace(x: Any, /, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Tensor:
    """Return the sums along the diagonals in the planes of two axes.

    Parameters
    ----------
    x : array_like
        Input of two axes or more.
    offset, axis1, axis2 : int
        As for `diagonal`.
    dtype : dtype, optional
        Dtype of the sums.

    Returns
    -------
    Tensor
        The other axes.

    Raises
    ------
    ShapeError
        An axis out of range, or the same twice.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.trace([[1.0, 2.0], [3.0, 4.0]])
    Tensor(5.)
    """
    line = diagonal(x, offset, axis1, axis2)
    return (line if dtype is None else line.astype(dtype)).sum(-1)


@implements(np.diag)
def diag(x: Any, /, k: int = 0) -> Tensor:
    """Return the diagonal of a matrix, or the matrix with a given diagonal.

    Parameters
    ----------
    x : array_like
        A matrix or a vector.
    k : int
        Which diagonal: 0 is the main one, positive ones are above it.

    Returns
    -------
    Tensor
        Of a matrix its diagonal; of a vector the square matrix that has it as its diagonal.

    Raises
    ------
    ShapeError
        Neither one nor two axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.diag([1.0, 2.0])
    Tensor([[1., 0.],
            [0., 2.]])
    """
    source = convert(x)
    if source.ndim == 1:
        offset = integer(k, "diag", "k")
        side = source.shape[0] + abs(offset)
        return _on_diagonal(source, shape=(side, side), offset=offset, axis1=0, axis2=1)
    if source.ndim != 2:
        raise ShapeError(f"diag: expected a vector or a matrix, got shape {source.shape}\n  at {user_line()}")
    return diagonal(source, k)


@implements(np.diagflat)
@guarded
def diagflat(v: Any, k: int = 0) -> Tensor:
    """Return the matrix whose diagonal has the elements of an array.

    Parameters
    ----------
    v : array_like
        Input, read as flat.
    k : int
        Which diagonal: 0 is the main one, positive ones are above it.

    Returns
    -------
    Tensor
        A square matrix.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.diagflat([[1.0], [2.0]])
    Tensor([[1., 0.],
            [0., 2.]])
    """
    return diag(convert(v).reshape(-1), k)
