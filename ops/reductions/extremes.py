"""Reductions that choose or count: extremes and where they are, and truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements, is_inexact
from eagerflow.ops.axes import one_axis, reduced_shape, reduction_rule
from eagerflow.ops.batching import along
from eagerflow.ops.checked import flag
from eagerflow.ops.precision import is_low
from eagerflow.ops.reductions.reduction import over, reducer, sample_reduction

__all__ = ["all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "max", "min", "ptp"]

_INDEX = "its result is an index"
_BOOLEAN = "its result is boolean"


# Each of several equal extremes gets the same share of the gradient.


def _ties_kernel(xp: Any, x: Any, out: Any, *, axis: tuple[int, ...]) -> Any:
    out = out.reshape(reduced_shape(x.shape, axis, True))
    chosen = xp.equal(x, out)
    if is_inexact(x.dtype):
        chosen = xp.logical_or(chosen, xp.not_equal(x, x))  # a NaN makes the result NaN
    shares = chosen.astype(np.float32 if x.itemsize < 4 and is_low(x.dtype) else x.dtype)
    # At least one equals an extreme of the same array; another `out` gets zeros.
    shares = shares / xp.maximum(shares.sum(axis=axis, keepdims=True), 1)
    return shares if shares.dtype == x.dtype else shares.astype(x.dtype)


def _sample_ties(draw: Draw) -> Sample:
    x, axis = draw.array(draw.shape(min_dims=1), 0, 3, np.int64).astype(draw.dtype), (0,)
    return Sample((x, x.max(axis=0, keepdims=draw.flag())), {"axis": axis})


_ties = Op(
    "ties",
    _ties_kernel,
    inputs="x out",
    infer=lambda x, out, *, axis: x,
    sample=_sample_ties,
    no_gradient="it is constant between ties",
    batch=along("axis"),
    flops=4,
)


def _extreme_gradient(g: Tensor, x: Tensor, out: Tensor, axis: tuple[int, ...]) -> Tensor:
    if g.ndim != x.ndim:
        g = g.reshape(reduced_shape(x.shape, axis, True))
    return g * _ties(x, out, axis=axis)


def _extreme_jvp(t: Tensor, x: Tensor, out: Tensor, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    return (t * _ties(x, out, axis=axis)).sum(axis=axis, keepdims=keepdims)


def _into(reduce: Any) -> Callable[..., Any]:
    return lambda x, out, *, axis, keepdims: reduce(x, axis, None, out, keepdims)


def _extreme(name: str, ufunc: np.ufunc, onnx: str) -> Callable[[Any, Any, Any], Tensor]:
    op = Op(
        name,
        lambda xp, x, *, axis, keepdims: getattr(xp, name)(x, axis=axis, keepdims=keepdims),
        inputs="x",
        infer=reduction_rule(),
        sample=sample_reduction,
        vjp=_extreme_gradient,
        jvp=_extreme_jvp,
        batch=along("axis"),
        fusion="reduction",
        onnx=onnx,
    )
    op.register_kernel("cpu", ufunc.reduce, into=_into(ufunc.reduce))
    return reducer(op)


_max = _extreme("max", np.maximum, "ReduceMax")
_min = _extreme("min", np.minimum, "ReduceMin")


@implements(np.max, np.amax)
def max(x: Any, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the greatest element over axes.

    Several equal greatest elements share the gradient evenly.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The greatest elements; NaN where there is a NaN.

    Raises
    ------
    ShapeError
        An axis is out of range, or there is nothing to choose from.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.max([[1.0, 2.0], [4.0, 3.0]], axis=1)
    Tensor([2., 4.])
    """
    return _max(x, axis, keepdims)


@implements(np.min, np.amin)
def min(x: Any, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element over axes.

    Several equal smallest elements share the gradient evenly.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The smallest elements; NaN where there is a NaN.

    Raises
    ------
    ShapeError
        An axis is out of range, or there is nothing to choose from.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.min([[1.0, 2.0], [4.0, 3.0]], axis=1)
    Tensor([1., 3.])
    """
    return _min(x, axis, keepdims)


amax, amin = max, min


@implements(np.ptp)
def ptp(x: Any, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the greatest minus the smallest element over axes.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The ranges.

    Raises
    ------
    ShapeError
        An axis is out of range, or there is nothing to choose from.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.ptp([[1.0, 2.0], [4.0, 7.0]], axis=1)
    Tensor([1., 3.])
    """
    x = convert(x)
    return max(x, axis, keepdims) - min(x, axis, keepdims)


# Where the extremes are.


def _index_rule(x: Spec, *, axis: int | None, keepdims: bool) -> Spec:
    axes = tuple(range(x.ndim)) if axis is None else (axis,)
    return Spec(reduced_shape(x.shape, axes, keepdims), np.intp)


def batch_index(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    (x,) = inputs
    axis, keepdims = attrs["axis"], attrs["keepdims"]
    if axis is not None:
        return op(x, axis=axis + 1, keepdims=keepdims)
    found = op(x.reshape((size, math.prod(x.shape[1:]))), axis=1, keepdims=False)
    return found.reshape((size,) + (1,) * (x.ndim - 1)) if keepdims else found


def _sample_index(draw: Draw) -> Sample:
    shape = draw.shape()
    axis = draw.axis(len(shape)) % len(shape) if shape and draw.flag() else None
    return Sample((draw.array(shape),), {"axis": axis, "keepdims": draw.flag()})


def _index(name: str) -> Op:
    def on_cpu(x: np.ndarray, *, axis: int | None, keepdims: bool) -> Any:
        return getattr(x, name)(axis, keepdims=keepdims)

    op = Op(
        name,
        lambda xp, x, *, axis, keepdims: getattr(xp, name)(x, axis=axis, keepdims=keepdims),
        inputs="x",
        infer=_index_rule,
        sample=_sample_index,
        no_gradient=_INDEX,
        batch=batch_index,
        fusion="reduction",
    )
    op.register_kernel("cpu", on_cpu)
    return op


_argmax, _argmin = _index("argmax"), _index("argmin")


def _find(op: Op, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    x = convert(x)
    one = None if axis is None else one_axis(axis, x.ndim, op.name)
    return op(x, axis=one, keepdims=flag(keepdims, op.name, "keepdims"))


@implements(np.argmax)
def argmax(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the first of the greatest elements.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int, optional
        Along which to search; None for the flattened array.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        Integer indices.

    Raises
    ------
    ShapeError
        The axis is out of range, or there is nothing to choose from.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.argmax([[1.0, 2.0], [4.0, 3.0]], axis=1)
    Tensor([1, 0])
    """
    return _find(_argmax, x, axis, keepdims)


@implements(np.argmin)
def argmin(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the first of the smallest elements.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int, optional
        Along which to search; None for the flattened array.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        Integer indices.

    Raises
    ------
    ShapeError
        The axis is out of range, or there is nothing to choose from.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.argmin([[1.0, 2.0], [4.0, 3.0]], axis=1)
    Tensor([0, 1])
    """
    return _find(_argmin, x, axis, keepdims)


# Truth.


def _truth(name: str, ufunc: np.ufunc) -> Op:
    op = Op(
        name,
        lambda xp, x, *, axis, keepdims: getattr(xp, name)(x, axis=axis, keepdims=keepdims),
        inputs="x",
        infer=reduction_rule(lambda dtype: np.bool_),
        sample=lambda draw: (
            Sample((draw.array(draw.shape(), dtype=np.bool_),), {"axis": (), "keepdims": False})
            if draw.flag()
            else sample_reduction(draw)
        ),
        no_gradient=_BOOLEAN,
        batch=along("axis"),
        fusion="reduction",
    )
    op.register_kernel("cpu", ufunc.reduce, into=_into(ufunc.reduce))
    return op


_all, _any = _truth("all", np.logical_and), _truth("any", np.logical_or)


@implements(np.all)
def all(x: Any, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Tell whether all elements over axes are true (not zero).

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        Booleans; True of nothing.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.all([[True, False], [True, True]], axis=1)
    Tensor([False,  True])
    """
    x = convert(x)
    return _all(x, axis=over(x, axis, "all"), keepdims=flag(keepdims, "all", "keepdims"))


@implements(np.any)
def any(x: Any, /, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Tell whether one of the elements over axes is true (not zero).

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        Booleans; False of nothing.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.any([[True, False], [False, False]], axis=1)
    Tensor([ True, False])
    """
    x = convert(x)
    return _any(x, axis=over(x, axis, "any"), keepdims=flag(keepdims, "any", "keepdims"))


_count_nonzero = Op(
    "count_nonzero",
    lambda xp, x, *, axis, keepdims: xp.sum(x != 0, axis=axis, keepdims=keepdims, dtype=np.intp),
    inputs="x",
    infer=reduction_rule(lambda dtype: np.intp),
    sample=sample_reduction,
    no_gradient="its result is an integer",
    batch=along("axis"),
    fusion="reduction",
)


@implements(np.count_nonzero)
def count_nonzero(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Tensor:
    """Count the elements over axes that are not zero.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        Integers.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.count_nonzero([[1.0, 0.0], [4.0, 3.0]], axis=1)
    Tensor([1, 2])
    """
    x = convert(x)
    return _count_nonzero(x, axis=over(x, axis, "count_nonzero"), keepdims=flag(keepdims, "count_nonzero", "keepdims"))
