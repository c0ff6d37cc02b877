"""Linear algebra: the namespace ``ef.linalg``, after the array API's extension and `numpy.linalg`.

The functions take batches: matrices are the last two axes. Integers are computed in float64.

Examples
--------
>>> import eagerflow as ef
>>> ef.linalg.solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])
Tensor([1. , 0.5])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, broadcast, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.transposition import matrix_transpose
from eagerflow.ops.axes import one_axis
from eagerflow.ops.checked import guarded
from eagerflow.ops.linear_algebra.contraction import matmul, outer, tensordot, vecdot
from eagerflow.ops.linear_algebra.decomposition import QRResult, cholesky, qr
from eagerflow.ops.linear_algebra.determinant import SlogdetResult, det, slogdet
from eagerflow.ops.linear_algebra.eigen import EigResult, eig, eigvals
from eagerflow.ops.linear_algebra.einsum import multi_dot
from eagerflow.ops.linear_algebra.least_squares import LstsqResult, lstsq, tensorinv, tensorsolve
from eagerflow.ops.linear_algebra.matrix_functions import cosm, expm, logm, sinm, sqrtm
from eagerflow.ops.linear_algebra.norms import cond, matrix_norm, norm, vector_norm
from eagerflow.ops.linear_algebra.solving import inv, matrices, matrix_power, matrix_rank, pinv
from eagerflow.ops.linear_algebra.spectral import EighResult, SVDResult, eigh, eigvalsh, svd, svdvals
from eagerflow.ops.linear_algebra.systems import cho_solve, solve, solve_triangular
from eagerflow.ops.reductions.reduction import sum

LinAlgError = np.linalg.LinAlgError

# NumPy has functions of its own for these in its namespace.
implements(np.linalg.matmul)(matmul)
implements(np.linalg.tensordot)(tensordot)
implements(np.linalg.vecdot)(vecdot)
implements(np.linalg.matrix_transpose)(matrix_transpose)

__all__ = [
    "EigResult",
    "EighResult",
    "LinAlgError",
    "LstsqResult",
    "QRResult",
    "SVDResult",
    "SlogdetResult",
    "cho_solve",
    "cholesky",
    "cond",
    "cosm",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "expm",
    "inv",
    "logm",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "sinm",
    "slogdet",
    "solve",
    "solve_triangular",
    "sqrtm",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]


@implements(np.linalg.diagonal)
@guarded
def diagonal(x: Any, /, *, offset: int = 0) -> Tensor:
    """Return the diagonals of matrices, which are the last two axes (in `ef.diagonal` the first).

    Parameters
    ----------
    x : array_like
        Matrices in the last two axes.
    offset : int
        Which diagonal: above the main one if positive.

    Returns
    -------
    Tensor
        The diagonals, in the last axis.

    Raises
    ------
    ShapeError
        Fewer than two axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.diagonal([[1.0, 2.0], [3.0, 4.0]])
    Tensor([1., 4.])
    """
    return matrices(x, "diagonal").diagonal(offset, -2, -1)


@implements(np.linalg.trace)
@guarded
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Sum the diagonals of matrices, which are the last two axes (in `ef.trace` the first).

    Parameters
    ----------
    x : array_like
        Matrices in the last two axes.
    offset : int
        Which diagonal: above the main one if positive.
    dtype : dtype, optional
        Dtype of the sum.

    Returns
    -------
    Tensor
        The sums.

    Raises
    ------
    ShapeError
        Fewer than two axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.trace([[1.0, 2.0], [3.0, 4.0]])
    Tensor(5.)
    """
    return sum(matrices(x, "trace").diagonal(offset, -2, -1), axis=-1, dtype=dtype)


def _cross_kernel(xp: Any, x: Any, y: Any) -> Any:
    # Three slices; the general function of the array libraries moves axes about first.
    x0, x1, x2 = x[..., 0], x[..., 1], x[..., 2]
    y0, y1, y2 = y[..., 0], y[..., 1], y[..., 2]
    return xp.stack([x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0], axis=-1)


def _sample_cross(draw: Draw) -> Sample:
    shape = draw.shape(max_dims=2)
    return Sample((draw.array((*shape, 3)), draw.array((*draw.broadcastable(shape), 3))))


_cross = Op(
    "cross",
    _cross_kernel,
    inputs="x y",
    infer=lambda x, y: Spec(broadcast(x, y), np.result_type(x.dtype, y.dtype)),
    sample=_sample_cross,
    vjp=(lambda g, y: _cross(y, g), lambda g, x: _cross(g, x)),
    linear="x y",
    batch="leading",
    flops=3,
    kinds="fc",
)


@implements(np.linalg.cross)
@guarded
def cross(x: Any, y: Any, /, *, axis: int = -1) -> Tensor:
    """Return the cross products of vectors of length 3.

    Parameters
    ----------
    x, y : array_like
        Vectors along `axis`; the other axes broadcast.
    axis : int
        Axis of the vectors.

    Returns
    -------
    Tensor
        The products, along the same axis.

    Raises
    ------
    ShapeError
        The vectors are not 3 long, or the other axes do not broadcast.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    Tensor([0., 0., 1.])
    """
    return _cross_along(x, y, axis, axis, axis)


@implements(np.cross)
def _numpy_cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Tensor:
    if axis is not None:
        axisa = axisb = axisc = axis
    return _cross_along(a, b, axisa, axisb, axisc)


def _cross_along(x: Any, y: Any, first: int, second: int, last: int) -> Tensor:
    x, y = convert(x), convert(y)
    first, second = one_axis(first, x.ndim, "cross"), one_axis(second, y.ndim, "cross")
    if x.shape[first] != 3 or y.shape[second] != 3:
        raise ShapeError(f"cross: expected vectors of length 3, got shapes {x.shape} and {y.shape}\n  at {user_line()}")
    result: Tensor = _cross(_move(x, first, x.ndim - 1), _move(y, second, y.ndim - 1))
    return _move(result, result.ndim - 1, one_axis(last, result.ndim, "cross"))


def _move(x: Tensor, source: int, target: int) -> Tensor:
    if source == target:
        return x
    order = [axis for axis in range(x.ndim) if axis != source]
    order.insert(target, source)
    return x.transpose(tuple(order))
