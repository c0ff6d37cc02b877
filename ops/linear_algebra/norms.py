"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements, is_inexact
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, ShapeError
from eagerflow.ops.axes import reduced_shape, some_axes
from eagerflow.ops.batching import along
from eagerflow.ops.checked import flag, guarded
from eagerflow.ops.elementwise.complex import real
from eagerflow.ops.linear_algebra.solving import conjugate, inv, matrices, real_dtype
from eagerflow.ops.linear_algebra.spectral import svdvals
from eagerflow.ops.precision import is_low

__all__ = ["cond", "matrix_norm", "norm", "vector_norm"]


def _p_norm_kernel(xp: Any, x: Any, *, p: float, axis: tuple[int, ...], keepdims: bool) -> Any:
    if x.itemsize < 4 and is_low(x.dtype):
        return _p_norm_kernel(xp, x.astype(np.float32), p=p, axis=axis, keepdims=keepdims).astype(x.dtype)
    if x.dtype.kind not in "fc":
        x = x.astype(xp.float64)
    if p == 2 and not keepdims and len(axis) == x.ndim and x.dtype.kind == "f":
        flat = x.ravel()
        return xp.sqrt(xp.dot(flat, flat))
    if p == 2:
        squares = x * x if x.dtype.kind == "f" else x.real**2 + x.imag**2
        return xp.sqrt(squares.sum(axis=axis, keepdims=keepdims))
    size = xp.abs(x)
    if p == 1:
        return size.sum(axis=axis, keepdims=keepdims)
    # A float of the array's own precision: ** keeps float32.
    return (size**p).sum(axis=axis, keepdims=keepdims) ** (1 / p)


def _p_norm_vjp(g: Tensor, x: Tensor, out: Tensor, p: float, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    shape = reduced_shape(x.shape, axis, True)
    g, out = g.reshape(shape), out.reshape(shape)
    if p == 2:
        return g / (out + (out == 0)) * conjugate(x)
    return g * _p_norm_slope(x, out, p)


def _p_norm_jvp(t: Tensor, x: Tensor, out: Tensor, p: float, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    slope = _p_norm_slope(x, out.reshape(reduced_shape(x.shape, axis, True)), p)
    return real(slope * t).sum(axis=axis, keepdims=keepdims)


def _p_norm_slope(x: Tensor, out: Tensor, p: float) -> Tensor:
    """Return the derivative in each element; 0 at the zero vector, and for p below 2 where the element is 0."""
    norm = out + (out == 0)
    if p == 2:
        return conjugate(x) / norm
    size = abs(x)
    unit = conjugate(x) / (size + (size == 0))
    if p == 1:
        return unit
    # The power is one of a number up to 1 where p is above 1, and below.
    return unit * ((size / norm) ** (p - 1) if p > 1 else (out / (size + (size == 0))) ** (1 - p))


def _p_norm_rule(x: Spec, *, p: float, axis: tuple[int, ...], keepdims: bool) -> Spec:
    return Spec(reduced_shape(x.shape, axis, keepdims), _norm_dtype(x.dtype))


def _norm_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if is_low(dtype) else real_dtype(dtype)


def _sample_p_norm(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=0)
    axis = tuple(sorted(a % len(shape) for a in draw.axes(len(shape))))
    p = draw.choice((1.0, 2.0, 2.0, 1.5, 3.0))
    return Sample((draw.array(shape, 0.3, 2.0),), {"p": p, "axis": axis, "keepdims": draw.flag()})


_p_norm = Op(
    "p_norm",
    _p_norm_kernel,
    inputs="x",
    infer=_p_norm_rule,
    sample=_sample_p_norm,
    vjp=_p_norm_vjp,
    jvp=_p_norm_jvp,
    batch=along("axis"),
    fusion="reduction",
    flops=2,
    kinds="fc",
)


def _floating(x: Tensor) -> Tensor:
    return x if is_inexact(x.dtype) else x.astype(np.float64)


def _vector_norm(x: Tensor, axis: tuple[int, ...], keepdims: bool, order: Any, name: str) -> Tensor:
    try:
        p = float(order)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}: no order {order!r} for vectors: expected a number\n  at {user_line()}") from None
    if math.isinf(p):
        size = abs(_floating(x))
        return size.max(axis=axis, keepdims=keepdims) if p > 0 else size.min(axis=axis, keepdims=keepdims)
    if p == 0:
        return (x != 0).sum(axis=axis, keepdims=keepdims).astype(_norm_dtype(x.dtype))
    result: Tensor = _p_norm(x, p=p, axis=axis, keepdims=keepdims)
    return result


@implements(np.linalg.vector_norm)
@guarded
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    """Return the norms of vectors.

    Parameters
    ----------
    x : array_like
        Vectors along `axis`.
    axis : int or tuple of int, optional
        By default all axes.
    keepdims : bool
        Whether the axes stay, with length 1.
    ord : number
        p of ``sum(|x|**p)**(1/p)``; ``inf`` and ``-inf`` for the largest and the smallest
        absolute value, 0 for the number of elements that are not 0.

    Returns
    -------
    Tensor
        The norms, real.

    Raises
    ------
    ShapeError
        An axis is out of range.
    ArgumentError
        The order is no number.

    Notes
    -----
    The gradient at the zero vector, where the norm has a kink, is 0.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.vector_norm([3.0, 4.0])
    Tensor(5.)
    """
    x = convert(x)
    return _vector_norm(
        x, some_axes(axis, x.ndim, "vector_norm"), flag(keepdims, "vector_norm", "keepdims"), ord, "vector_norm"
    )


@implements(np.linalg.matrix_norm)
@guarded
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """Return the norms of matrices.

    Parameters
    ----------
    x : array_like
        Matrices in the last two axes.
    keepdims : bool
        Whether these axes stay, with length 1.
    ord : {"fro", "nuc", 1, -1, 2, -2, inf, -inf}
        Frobenius norm; nuclear norm (the sum of the singular values); largest or smallest
        sum of absolute values of a column; largest or smallest singular value; the same of a row.

    Returns
    -------
    Tensor
        The norms, real.

    Raises
    ------
    ShapeError
        Fewer than two axes.
    ArgumentError
        Unknown order.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.matrix_norm([[3.0, 0.0], [0.0, 4.0]], ord=2)
    Tensor(4.)
    """
    return _matrix_norm(matrices(x, "matrix_norm"), flag(keepdims, "matrix_norm", "keepdims"), ord, "matrix_norm")


def _matrix_norm(x: Tensor, keepdims: bool, order: Any, name: str) -> Tensor:
    last = (x.ndim - 2, x.ndim - 1)
    if order is None or order == "fro":
        result: Tensor = _p_norm(x, p=2.0, axis=last, keepdims=keepdims)
        return result
    if order in ("nuc", 2, -2):
        values = svdvals(x)
        result = values.sum(axis=-1) if order == "nuc" else values.max(axis=-1) if order == 2 else values.min(axis=-1)
    elif order in (1, -1, math.inf, -math.inf):
        sums = abs(_floating(x)).sum(axis=-2 if order in (1, -1) else -1)
        result = sums.max(axis=-1) if order > 0 else sums.min(axis=-1)
    else:
        raise ArgumentError(
            f"{name}: no order {order!r} for matrices: expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf"
            f"\n  at {user_line()}"
        )
    return result.reshape((*result.shape, 1, 1)) if keepdims else result


@implements(np.linalg.norm)
@guarded
def norm(x: Any, /, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return norms of vectors or matrices, as `numpy.linalg.norm`.

    Parameters
    ----------
    x : array_like
        Input.
    ord : number or str, optional
        As for `vector_norm` and `matrix_norm`; by default the 2-norm of all elements.
    axis : int or pair of int, optional
        One axis for vectors, two for matrices. By default `x` is one vector or one matrix;
        without `ord` it may have any number of axes.
    keepdims : bool
        Whether the axes stay, with length 1.

    Returns
    -------
    Tensor
        The norms, real.

    Raises
    ------
    ShapeError
        An axis is out of range, or their number does not fit.
    ArgumentError
        Unknown order.

    Notes
    -----
    The gradient of the 2-norm at 0, where it has a kink, is 0.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.grad(ef.linalg.norm)(ef.asarray([3.0, 4.0]))
    Tensor([0.6, 0.8])
    """
    x = convert(x)
    axes, keepdims = some_axes(axis, x.ndim, "norm"), flag(keepdims, "norm", "keepdims")
    if len(axes) == 1 or ord is None:
        if len(axes) > 2 and axis is not None:
            raise ShapeError(f"norm: axis is one axis or two, got {axis!r}; see vector_norm\n  at {user_line()}")
        return _vector_norm(x, axes, keepdims, 2 if ord is None else ord, "norm")
    if len(axes) != 2:
        raise ShapeError(
            f"norm: ord={ord!r} needs vectors or matrices, got shape {x.shape}; choose axis=\n  at {user_line()}"
        )
    others = tuple(item for item in range(x.ndim) if item not in axes)
    result = _matrix_norm(x.transpose((*others, *axes)), False, ord, "norm")
    return result.reshape(reduced_shape(x.shape, axes, True)) if keepdims else result


@implements(np.linalg.cond)
@guarded
def cond(x: Any, /, p: Any = None) -> Tensor:
    """Return the condition numbers of matrices: the norm times that of the inverse.

    Parameters
    ----------
    x : array_like
        Matrices in the last two axes.
    p : {None, 2, -2, "fro", "nuc", 1, -1, inf, -inf}
        The norm; None and 2 give the largest singular value over the smallest, for matrices
        of any shape.

    Returns
    -------
    Tensor
        The condition numbers.

    Raises
    ------
    ShapeError
        Not matrices, or not square where the norm needs it.
    ArgumentError
        Unknown norm.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.cond([[4.0, 0.0], [0.0, 2.0]])
    Tensor(2.)
    """
    x = matrices(x, "cond")
    if p in (None, 2, -2):
        values = svdvals(x)
        largest, smallest = values[..., 0], values[..., -1]
        return smallest / largest if p == -2 else largest / smallest
    x = matrices(x, "cond", square=True)
    return matrix_norm(x, ord=p) * matrix_norm(inv(x), ord=p)
