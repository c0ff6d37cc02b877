"""Products of matrices and vectors by their names in NumPy, and the product of Kronecker."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops import linalg
from eagerflow.ops.arrays.transposition import moveaxis
from eagerflow.ops.axes import one_axis
from eagerflow.ops.checked import guarded
from eagerflow.ops.elementwise.complex import conj
from eagerflow.ops.linear_algebra.contraction import matmul

__all__ = ["cross", "kron", "matvec", "vecmat"]


@implements(np.kron)
@guarded
def kron(a: Any, b: Any) -> Tensor:
    """Return the product of Kronecker: the second array, times each element of the first.

    Parameters
    ----------
    a, b : array_like
        Inputs; the one with fewer axes gets axes of length one in front.

    Returns
    -------
    Tensor
        Each axis is as long as the product of the lengths.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.kron([1.0, 10.0], [1.0, 2.0])
    Tensor([ 1.,  2., 10., 20.])
    """
    first, second = convert(a), convert(b)
    ndim = max(first.ndim, second.ndim)
    left = (1,) * (ndim - first.ndim) + first.shape
    right = (1,) * (ndim - second.ndim) + second.shape
    apart = first.reshape([side for n in left for side in (n, 1)]) * second.reshape([s for n in right for s in (1, n)])
    return apart.reshape([n * m for n, m in zip(left, right, strict=True)])


def _check(x: Tensor, y: Tensor, name: str, form: str, fits: bool) -> None:
    if not fits:
        raise ShapeError(f"{name}: expected {form}, got shapes {x.shape} and {y.shape}\n  at {user_line()}")


@implements(np.matvec)
@guarded
def matvec(x1: Any, x2: Any, /) -> Tensor:
    """Multiply matrices with vectors.

    Parameters
    ----------
    x1 : array_like
        Matrices, of shape ``(..., m, n)``.
    x2 : array_like
        Vectors, of shape ``(..., n)``.

    Returns
    -------
    Tensor
        Of shape ``(..., m)``; the other axes broadcast.

    Raises
    ------
    ShapeError
        The shapes do not fit.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.matvec([[1.0, 2.0], [3.0, 4.0]], [1.0, 0.0])
    Tensor([1., 3.])
    """
    a, x = convert(x1), convert(x2)
    fits = a.ndim > 1 and x.ndim > 0 and a.shape[-1] == x.shape[-1]
    _check(a, x, "matvec", "matrices (..., m, n) and vectors (..., n)", fits)
    return matmul(a, x[..., None])[..., 0]


@implements(np.vecmat)
@guarded
def vecmat(x1: Any, x2: Any, /) -> Tensor:
    """Multiply vectors, conjugated if complex, with matrices.

    Parameters
    ----------
    x1 : array_like
        Vectors, of shape ``(..., m)``.
    x2 : array_like
        Matrices, of shape ``(..., m, n)``.

    Returns
    -------
    Tensor
        Of shape ``(..., n)``; the other axes broadcast.

    Raises
    ------
    ShapeError
        The shapes do not fit.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.vecmat([1.0, 0.0], [[1.0, 2.0], [3.0, 4.0]])
    Tensor([1., 2.])
    """
    x, a = convert(x1), convert(x2)
    fits = a.ndim > 1 and x.ndim > 0 and x.shape[-1] == a.shape[-2]
    _check(x, a, "vecmat", "vectors (..., m) and matrices (..., m, n)", fits)
    return matmul((conj(x) if x.dtype.kind == "c" else x)[..., None, :], a)[..., 0, :]


@implements(np.cross)
@guarded
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Tensor:
    """Return the cross products of vectors of length three.

    Parameters
    ----------
    a, b : array_like
        The vectors; their other axes broadcast.
    axisa, axisb, axisc : int
        The axes of the vectors in `a`, in `b` and in the result.
    axis : int, optional
        The same axis for all three.

    Returns
    -------
    Tensor
        Vectors at right angles to those of `a` and `b`.

    Raises
    ------
    ShapeError
        Vectors of another length, or an axis out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    Tensor([0., 0., 1.])
    """
    first, second, last = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    x, y = convert(a), convert(b)
    x = moveaxis(x, one_axis(first, x.ndim, "cross"), -1)
    y = moveaxis(y, one_axis(second, y.ndim, "cross"), -1)
    result = linalg.cross(x, y)
    return moveaxis(result, -1, one_axis(last, result.ndim, "cross"))
