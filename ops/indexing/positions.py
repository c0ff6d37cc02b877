"""Positions as integers: of triangles and diagonals, of a grid's corners, and as flat numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, broadcast, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.arrays.creation import lengths
from eagerflow.ops.arrays.grids import indices
from eagerflow.ops.arrays.ranges import arange
from eagerflow.ops.arrays.shape import ravel
from eagerflow.ops.checked import a_function, guarded, integer, numpy_checks, option
from eagerflow.ops.indexing.finding import nonzero

__all__ = [
    "diag_indices",
    "diag_indices_from",
    "flatnonzero",
    "fromfunction",
    "ix_",
    "mask_indices",
    "ravel_multi_index",
    "tril_indices",
    "tril_indices_from",
    "triu_indices",
    "triu_indices_from",
    "unravel_index",
]

_POSITIONS = "positions are integers"


@implements(np.flatnonzero)
@guarded
def flatnonzero(a: Any) -> Tensor:
    """Return the positions of the elements of the flattened array that are not zero.

    Parameters
    ----------
    a : array_like
        Input.

    Returns
    -------
    Tensor
        Integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.flatnonzero([[0.0, 5.0], [7.0, 0.0]])
    Tensor([1, 2])
    """
    return nonzero(ravel(a))[0]


def _triangle(upper: bool, n: Any, k: int, m: Any, name: str) -> tuple[Tensor, Tensor]:
    rows, columns = lengths((n, n if m is None else m), name)
    found = np.nonzero(~np.tri(rows, columns, k - 1, dtype=bool) if upper else np.tri(rows, columns, k, dtype=bool))
    return convert(found[0]), convert(found[1])


def _sides(arr: Any, name: str) -> tuple[int, ...]:
    shape: tuple[int, ...] = convert(arr).shape
    if len(shape) != 2:
        raise ShapeError(f"{name}: expected a matrix, got shape {shape}\n  at {user_line()}")
    return shape


@guarded
def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the positions in the lower triangle of a matrix.

    Parameters
    ----------
    n, m : int
        Numbers of rows and columns; square if only one is given.
    k : int
        Which diagonal the triangle ends at: 0 is the main one, positive ones are above it.

    Returns
    -------
    tuple of Tensor
        Rows and columns.

    Raises
    ------
    ShapeError
        A negative length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.tril_indices(2)
    (Tensor([0, 1, 1]), Tensor([0, 0, 1]))
    """
    return _triangle(False, n, integer(k, "tril_indices", "k"), m, "tril_indices")


@implements(np.tril_indices_from)
@guarded
def tril_indices_from(arr: Any, k: int = 0) -> tuple[Tensor, Tensor]:
    """Return the positions in the lower triangle of a given matrix.

    Parameters
    ----------
    arr : array_like
        The matrix, of which only the shape matters.
    k : int
        As for `tril_indices`.

    Returns
    -------
    tuple of Tensor
        Rows and columns.

    Raises
    ------
    ShapeError
        Not a matrix.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> x[ef.tril_indices_from(x)]
    Tensor([1., 3., 4.])
    """
    rows, columns = _sides(arr, "tril_indices_from")
    return tril_indices(rows, k, columns)


@guarded
def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the positions in the upper triangle of a matrix.

    Parameters
    ----------
    n, m : int
        Numbers of rows and columns; square if only one is given.
    k : int
        Which diagonal the triangle ends at: 0 is the main one, positive ones are above it.

    Returns
    -------
    tuple of Tensor
        Rows and columns.

    Raises
    ------
    ShapeError
        A negative length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.triu_indices(2)
    (Tensor([0, 0, 1]), Tensor([0, 1, 1]))
    """
    return _triangle(True, n, integer(k, "triu_indices", "k"), m, "triu_indices")


@implements(np.triu_indices_from)
@guarded
def triu_indices_from(arr: Any, k: int = 0) -> tuple[Tensor, Tensor]:
    """Return the positions in the upper triangle of a given matrix.

    Parameters
    ----------
    arr : array_like
        The matrix, of which only the shape matters.
    k : int
        As for `triu_indices`.

    Returns
    -------
    tuple of Tensor
        Rows and columns.

    Raises
    ------
    ShapeError
        Not a matrix.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> x[ef.triu_indices_from(x)]
    Tensor([1., 2., 4.])
    """
    rows, columns = _sides(arr, "triu_indices_from")
    return triu_indices(rows, k, columns)


@guarded
def diag_indices(n: int, ndim: int = 2) -> tuple[Tensor, ...]:
    """Return the positions on the main diagonal.

    Parameters
    ----------
    n : int
        Length of each axis.
    ndim : int
        Number of axes.

    Returns
    -------
    tuple of Tensor
        The positions along each axis.

    Raises
    ------
    ShapeError
        A negative length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.diag_indices(2)
    (Tensor([0, 1]), Tensor([0, 1]))
    """
    (side,) = lengths((n,), "diag_indices")
    return (arange(side),) * int(ndim)


@implements(np.diag_indices_from)
@guarded
def diag_indices_from(arr: Any) -> tuple[Tensor, ...]:
    """Return the positions on the main diagonal of a given array.

    Parameters
    ----------
    arr : array_like
        Of two axes or more, all of one length.

    Returns
    -------
    tuple of Tensor
        The positions along each axis.

    Raises
    ------
    ShapeError
        Fewer than two axes, or unequal lengths.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> x[ef.diag_indices_from(x)]
    Tensor([1., 4.])
    """
    shape = convert(arr).shape
    if len(shape) < 2 or len(set(shape)) > 1:
        raise ShapeError(
            f"diag_indices_from: expected two axes or more of one length, got shape {shape}\n  at {user_line()}"
        )
    return diag_indices(shape[0], len(shape))


def mask_indices(n: int, mask_func: Callable[..., Any], k: Any = 0) -> tuple[Tensor, Tensor]:
    """Return the positions that a function such as `triu` leaves of a square matrix.

    Parameters
    ----------
    n : int
        Number of rows and columns.
    mask_func : callable
        Called with a matrix of ones and `k`.
    k : object
        For the function.

    Returns
    -------
    tuple of Tensor
        Rows and columns.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.mask_indices(2, ef.triu, 1)
    (Tensor([0]), Tensor([1]))
    """
    a_function(mask_func, "mask_indices", "mask_func")
    with numpy_checks("mask_indices"):
        whole = np.ones(lengths((n, n), "mask_indices"), int)
    rows, columns = nonzero(mask_func(convert(whole), k))
    return rows, columns


def fromfunction(function: Callable[..., Any], shape: Any, *, dtype: Any = None, **kwargs: Any) -> Any:
    """Return what a function gives for the positions of a grid.

    Parameters
    ----------
    function : callable
        Called once, with the positions along each axis as arrays of the grid's shape.
    shape : sequence of int
        The shape.
    dtype : dtype, optional
        Dtype of the positions; the default dtype if not given.
    **kwargs
        Passed to the function.

    Returns
    -------
    object
        What the function returns.

    Raises
    ------
    ShapeError
        A negative length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fromfunction(lambda i, j: i + j, (2, 2))
    Tensor([[0., 1.],
            [1., 2.]])
    """
    a_function(function, "fromfunction", "function")
    return function(*indices(shape, dtype=float if dtype is None else dtype), **kwargs)


@implements(np.ix_)
@guarded
def ix_(*args: Any) -> tuple[Tensor, ...]:
    """Return an index that selects the crossings of rows, columns and so on.

    Parameters
    ----------
    *args : array_like of int or bool
        For each axis a vector of positions or a mask.

    Returns
    -------
    tuple of Tensor
        An index for arrays with as many axes.

    Raises
    ------
    ShapeError
        Not a vector.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.arange(6).reshape(2, 3)
    >>> x[ef.ix_([0, 1], [2, 0])]
    Tensor([[2, 0],
            [5, 3]])
    """
    result = []
    for position, given in enumerate(args):
        line = convert(np.empty(0, np.intp) if isinstance(given, list | tuple) and not given else given)
        if line.ndim != 1:
            raise ShapeError(f"ix_: expected vectors, got shape {line.shape}\n  at {user_line()}")
        if line.dtype.kind == "b":
            (line,) = nonzero(line)
        result.append(line.reshape((1,) * position + (line.size,) + (1,) * (len(args) - position - 1)))
    return tuple(result)


# Positions as numbers in the flat array, and back.


def _sample_positions(draw: Draw) -> Sample:
    dims = (draw.integer(1, 4), draw.integer(1, 4))
    shape = draw.shape()
    rows, columns = (np.asarray(draw.rng.integers(0, side, shape)) for side in dims)
    return Sample((rows, columns), {"dims": dims, "mode": "raise", "order": draw.choice(["C", "F"])})


_ravel_index = Op(
    "ravel_multi_index",
    lambda xp, *indices, dims, mode, order: xp.ravel_multi_index(indices, dims, mode=mode, order=order),
    inputs="*indices", infer=lambda *indices, dims, mode, order: Spec(broadcast(*indices), np.intp),
    sample=_sample_positions, no_gradient=_POSITIONS, batch="leading",
)  # fmt: skip


def _sample_numbers(draw: Draw) -> Sample:
    shape = (draw.integer(1, 4), draw.integer(1, 4))
    numbers = draw.array(draw.shape(), 0, shape[0] * shape[1] - 1, np.int64)
    return Sample((np.asarray(numbers),), {"shape": shape, "order": draw.choice(["C", "F"])})


_unravel_index = Op(
    "unravel_index", lambda xp, x, *, shape, order: xp.unravel_index(x, shape, order=order), inputs="x",
    infer=lambda x, *, shape, order: (Spec(x.shape, np.intp),) * len(shape), sample=_sample_numbers,
    no_gradient=_POSITIONS, outputs=-1, batch="leading",
)  # fmt: skip


def _integers(x: Any, name: str) -> Tensor:
    made = convert(x)
    if made.dtype.kind not in "iu":
        raise DTypeError(f"{name}: positions are integers, got dtype {made.dtype}\n  at {user_line()}")
    return made


@implements(np.ravel_multi_index)
@guarded
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Tensor:
    """Return the positions in the flat array of positions along each axis.

    Parameters
    ----------
    multi_index : sequence of array_like of int
        Positions along each axis.
    dims : sequence of int
        Shape of the array.
    mode : {"raise", "wrap", "clip"}, or one for each axis
        What to do with positions out of bounds.
    order : {"C", "F"}
        Whether the last axis runs fastest, or the first.

    Returns
    -------
    Tensor
        Integers, without a gradient.

    Raises
    ------
    ShapeError
        A position out of bounds, or not one for each axis.
    ArgumentError
        Unknown `mode` or `order`.
    DTypeError
        Positions that are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.ravel_multi_index(([0, 1], [2, 0]), (2, 3))
    Tensor([2, 3])
    """
    option(order, ("C", "F"), "ravel_multi_index", "order")
    sides = lengths(dims, "ravel_multi_index")
    parts = [_integers(part, "ravel_multi_index") for part in multi_index]
    if len(parts) != len(sides):
        raise ShapeError(
            f"ravel_multi_index: expected positions along {len(sides)} axes, got {len(parts)}\n  at {user_line()}"
        )
    mode = tuple(mode) if isinstance(mode, list | tuple) else mode
    for word in mode if isinstance(mode, tuple) else (mode,):
        option(word, ("raise", "wrap", "clip"), "ravel_multi_index", "mode")
    return _ravel_index(*parts, dims=sides, mode=mode, order=order)


@implements(np.unravel_index)
@guarded
def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Tensor, ...]:
    """Return the positions along each axis of positions in the flat array.

    Parameters
    ----------
    indices : array_like of int
        Positions in the flat array.
    shape : sequence of int
        Shape of the array.
    order : {"C", "F"}
        Whether the last axis runs fastest, or the first.

    Returns
    -------
    tuple of Tensor
        Integers, without a gradient: the positions along each axis.

    Raises
    ------
    ShapeError
        A position out of bounds.
    ArgumentError
        Unknown `order`.
    DTypeError
        Positions that are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.unravel_index([2, 3], (2, 3))
    (Tensor([0, 1]), Tensor([2, 0]))
    """
    option(order, ("C", "F"), "unravel_index", "order")
    return _unravel_index(_integers(indices, "unravel_index"), shape=lengths(shape, "unravel_index"), order=order)
