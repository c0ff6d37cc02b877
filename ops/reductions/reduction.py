"""Reductions: sums, products and logarithms of sums over axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.callers import attributed
from eagerflow.ops.axes import reduced_shape, reduction_rule, some_axes
from eagerflow.ops.batching import along
from eagerflow.ops.checked import flag
from eagerflow.ops.elementwise.exponential import exp, log
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.precision import in_float32, is_low
from eagerflow.ops.reductions.cumulative import products_before, total_dtype

__all__ = ["logsumexp", "prod", "sum"]

_ALL = tuple(tuple(range(ndim)) for ndim in range(8))
_ONE = tuple((axis,) for axis in range(8))


def over(x: Any, axis: Any, name: str) -> tuple[int, ...]:
    """Return the axes that `axis` means in `x`; the usual cases without a detour."""
    ndim = x.ndim
    if axis is None and ndim < 8:
        return _ALL[ndim]
    if type(axis) is int and 0 <= axis < ndim < 8:
        return _ONE[axis]
    return some_axes(axis, ndim, name)


def count(shape: tuple[int, ...], axis: tuple[int, ...]) -> int:
    """Return how many elements are reduced to one."""
    return math.prod([shape[a] for a in axis])


def reducer(op: Op, quick: Callable[..., Any] | None = None) -> Callable[[Any, Any, Any], Tensor]:
    """Return ``reduce(x, axis, keepdims)``, with a short way for Tensors on the CPU.

    On small arrays the way to the kernel costs more than the kernel: see `callers.attributed`.
    """
    call = attributed(op, quick)

    def reduce(x: Any, axis: Any, keepdims: Any) -> Tensor:
        if type(x) is not Tensor:
            x = convert(x)
        if keepdims is not False and keepdims is not True:
            keepdims = flag(keepdims, op.name, "keepdims")
        return call(x, {"axis": over(x, axis, op.name), "keepdims": keepdims})

    return reduce


def sample_reduction(draw: Draw, low: float = -2.0, high: float = 2.0) -> Sample:
    """Draw an array and some of its axes."""
    shape = draw.shape()
    axis = tuple(sorted(a % len(shape) for a in draw.axes(len(shape))))
    return Sample((draw.array(shape, low, high),), {"axis": axis, "keepdims": draw.flag()})


# spread: the transpose of a sum, which every gradient of a reduction needs.

_SMALL = 1 << 14


def _spread_kernel(xp: Any, g: Any, *, to: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    if g.ndim != len(to):
        g = g.reshape(reduced_shape(to, axis, True))
    if math.prod(to) > _SMALL:
        return xp.broadcast_to(g, to)
    out = xp.empty(to, g.dtype)
    out[...] = g  # on small arrays several times faster than broadcast_to
    return out


def _sample_spread(draw: Draw) -> Sample:
    sample = sample_reduction(draw)
    axis, keepdims = sample.attrs["axis"], sample.attrs["keepdims"]
    shape = sample.inputs[0].shape
    return Sample((draw.array(reduced_shape(shape, axis, keepdims)),), {"to": shape, "axis": axis})


_spread = Op(
    "spread",
    _spread_kernel,
    inputs="x",
    infer=lambda x, *, to, axis: Spec(to, x.dtype),
    sample=_sample_spread,
    vjp=lambda g, shape, axis: _sum(g, axis=axis, keepdims=len(shape) == g.ndim),
    linear="x",
    batch=along("axis", shapes=("to",)),
    flops=0,
    kinds="fc",
)


def spread(g: Tensor, shape: tuple[int, ...], axis: tuple[int, ...]) -> Tensor:
    """Repeat a reduced array along the axes over which it was reduced.

    Parameters
    ----------
    g : Tensor
        Of the reduced shape, with or without the reduced axes.
    shape : tuple of int
        The shape before the reduction.
    axis : tuple of int
        The reduced axes.

    Returns
    -------
    Tensor
        Of shape `shape`.
    """
    return g if not axis else _spread(g, to=shape, axis=axis)


def kept_axes(out: Tensor, shape: tuple[int, ...], axis: tuple[int, ...]) -> Tensor:
    """Return a result of a reduction with the reduced axes as axes of length one."""
    return out if out.ndim == len(shape) else out.reshape(reduced_shape(shape, axis, True))


# Sums.


def _widely(reduce: Any) -> Callable[..., Any]:
    """Return a reduction of a ufunc that goes on in float32 where the elements are of low precision."""

    def kernel(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
        if x.itemsize < 4 and is_low(x.dtype):
            return reduce(x, axis, np.float32, None, keepdims).astype(x.dtype)
        return reduce(x, axis, None, None, keepdims)

    return kernel


def reducing_into(reduce: Any) -> Callable[..., Any]:
    """Return a reduction of a ufunc into an array that is given."""

    def into(x: Any, out: Any, *, axis: tuple[int, ...], keepdims: bool) -> None:
        if x.itemsize < 4 and is_low(x.dtype):
            out[...] = reduce(x, axis, np.float32, None, keepdims)
        else:
            reduce(x, axis, None, out, keepdims)

    return into


_sum = Op(
    "sum",
    lambda xp, x, *, axis, keepdims: xp.sum(x, axis=axis, keepdims=keepdims),
    inputs="x",
    infer=reduction_rule(total_dtype),
    sample=sample_reduction,
    vjp=lambda g, shape, axis: spread(g, shape, axis),
    linear="x",
    batch=along("axis"),
    fusion="reduction",
    onnx="ReduceSum",
    kinds="fc",
)
_sum.register_kernel("cpu", _widely(np.add.reduce), into=reducing_into(np.add.reduce))

_reduce_sum = reducer(_sum, np.add.reduce)


@implements(np.sum)
def sum(x: Any, /, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Add elements over axes.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    dtype : dtype, optional
        Dtype to convert `x` to before. Without it, small integers and booleans are added in 64 bits.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The sums.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    Tensor([4., 6.])
    """
    if dtype is None:
        return _reduce_sum(x, axis, keepdims)
    # In small integers NumPy computes modulo their size; so does a cast of the larger result.
    return convert(_reduce_sum(convert(x, dtype), axis, keepdims), dtype)


def float_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of a mean: float64 of integers and booleans."""
    return np.dtype(np.float64) if dtype.kind in "biu" else dtype


# Products.


def _prod_gradient(g: Tensor, x: Tensor, axis: tuple[int, ...]) -> Tensor:
    """Return g times the product of all other elements, without a division: zeros are no exception.

    `g` is of the reduced shape; of the shape of `x` it is a tangent.
    """
    if not axis:
        return g
    if len(axis) == 1:
        (one,) = axis
        return kept_axes(g, x.shape, axis) * products_before(x, one) * products_before(x, one, reverse=True)
    others = tuple(a for a in range(x.ndim) if a not in axis)
    order = others + axis
    last = x.transpose(order) if order != _ALL[x.ndim] else x
    rows = last.reshape(*[x.shape[a] for a in others], count(x.shape, axis))
    products = products_before(rows, len(others)) * products_before(rows, len(others), reverse=True)
    back = products.reshape(last.shape).transpose(tuple(int(a) for a in np.argsort(order)))
    return kept_axes(g, x.shape, axis) * back


def _sample_prod(draw: Draw) -> Sample:
    sample = sample_reduction(draw)
    x = np.array(sample.inputs[0])
    for _ in range(draw.integer(0, 2)):
        x.flat[draw.integer(0, x.size - 1)] = 0  # the case in which a quotient of products fails
    return Sample((x,), sample.attrs)


_prod = Op(
    "prod",
    lambda xp, x, *, axis, keepdims: xp.prod(x, axis=axis, keepdims=keepdims),
    inputs="x",
    infer=reduction_rule(total_dtype),
    sample=_sample_prod,
    vjp=_prod_gradient,
    jvp=lambda t, x, axis, keepdims: _sum(_prod_gradient(t, x, axis), axis=axis, keepdims=keepdims),
    batch=along("axis"),
    fusion="reduction",
    onnx="ReduceProd",
    kinds="fc",
)
_prod.register_kernel("cpu", _widely(np.multiply.reduce), into=reducing_into(np.multiply.reduce))

_reduce_prod = reducer(_prod, np.multiply.reduce)


@implements(np.prod)
def prod(x: Any, /, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Multiply elements over axes.

    The gradient is exact where elements are zero, too.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    dtype : dtype, optional
        Dtype to convert `x` to before. Without it, small integers and booleans are multiplied in 64 bits.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The products.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.prod([[1.0, 2.0], [3.0, 4.0]], axis=0)
    Tensor([3., 8.])
    """
    if dtype is None:
        return _reduce_prod(x, axis, keepdims)
    # In small integers NumPy computes modulo their size; so does a cast of the larger result.
    return convert(_reduce_prod(convert(x, dtype), axis, keepdims), dtype)


# Logarithm of a sum of exponentials.


@in_float32
def _logsumexp_kernel(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    if x.dtype.kind in "biu":
        x = x.astype(np.float64)
    if not x.size and not count(x.shape, axis):
        return xp.full(reduced_shape(x.shape, axis, keepdims), -xp.inf, x.dtype)
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = xp.exp(x - top).sum(axis=axis, keepdims=True)
    out = xp.where(total > 0, xp.log(xp.where(total > 0, total, xp.ones_like(total))), -xp.inf) + top
    out = xp.where(xp.isnan(total), total, out)
    return out.reshape(reduced_shape(x.shape, axis, keepdims))


def _logsumexp_cpu(x: np.ndarray, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    if x.itemsize >= 4 and x.dtype.kind == "f" and x.size:
        top = np.maximum.reduce(x, axis=axis, keepdims=True)
        if np.isfinite(top).all():
            out = np.log(np.add.reduce(np.exp(x - top), axis=axis, keepdims=True)) + top
            return out if keepdims else out.reshape(reduced_shape(x.shape, axis, False))
    return _logsumexp_kernel(np, x, axis=axis, keepdims=keepdims)


@in_float32
def _logsumexp_by_sums(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    x = x.astype(float_dtype(x.dtype))
    if 0 in x.shape:  # of nothing there is no maximum
        return x.sum(axis=axis, keepdims=keepdims) - math.inf
    top = x.max(axis=axis, keepdims=True)
    top = where(abs(top) < math.inf, top, 0)
    total = exp(x - top).sum(axis=axis, keepdims=True)
    some = total > 0
    out = where(total == total, where(some, log(where(some, total, 1)), -math.inf) + top, total)
    return out if keepdims else out.reshape(reduced_shape(x.shape, axis, False))


def _logsumexp_gradient(g: Tensor, x: Tensor, out: Tensor, axis: tuple[int, ...]) -> Tensor:
    if is_low(x.dtype):  # the result is rounded too much to subtract it
        x = x.astype(np.float32)
        out = _logsumexp(x, axis=axis, keepdims=True)
    top = kept_axes(out, x.shape, axis)
    return kept_axes(g, x.shape, axis) * exp(x - where(top == -math.inf, 0.0, top))


_logsumexp = Op(
    "logsumexp",
    _logsumexp_kernel,
    inputs="x",
    infer=reduction_rule(float_dtype),
    sample=sample_reduction,
    vjp=_logsumexp_gradient,
    jvp=lambda t, x, out, axis, keepdims: _sum(_logsumexp_gradient(t, x, out, axis), axis=axis, keepdims=keepdims),
    batch=along("axis"),
    fusion="reduction",
    flops=20,
    lower=partial(_logsumexp_by_sums, None),
    onnx="ReduceLogSumExp",
)

_logsumexp.register_kernel("cpu", _logsumexp_cpu)


def logsumexp(x: Any, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return ``log(sum(exp(x)))`` over axes without overflow.

    Parameters
    ----------
    x : array_like
        Real input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The logarithms; minus infinity of nothing.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.logsumexp([1000.0, 1000.0])
    Tensor(1000.69314718)
    """
    x = convert(x)
    return _logsumexp(x, axis=over(x, axis, "logsumexp"), keepdims=flag(keepdims, "logsumexp", "keepdims"))
