"""Reductions and cumulative sums of those elements that are numbers: NaN stands for a missing value."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements, is_inexact
from eagerflow.ops.axes import one_axis, reduced_shape
from eagerflow.ops.checked import guarded
from eagerflow.ops.elementwise.comparison import isnan
from eagerflow.ops.elementwise.complex import conj
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.reductions.cumulative import cumprod, cumsum
from eagerflow.ops.reductions.extremes import all as every
from eagerflow.ops.reductions.extremes import batch_index, max, min
from eagerflow.ops.reductions.moments import mean, var
from eagerflow.ops.reductions.reduction import prod, sum

__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]


def _without(x: Tensor, value: float) -> Tensor:
    """Return `x` with `value` in place of NaN; the gradient of a NaN is exactly zero."""
    return where(isnan(x), value, x) if is_inexact(x.dtype) else x


def _present(x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    return sum(isnan(x) == False, axis, None, keepdims)  # noqa: E712 - element-wise


@implements(np.nansum)
@guarded
def nansum(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Add elements over axes, without those that are NaN.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    dtype : dtype, optional
        Dtype to convert `a` to before.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The sums, 0 of nothing; the gradient of a NaN is zero.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nansum([1.0, float("nan"), 2.0])
    Tensor(3.)
    """
    return sum(_without(convert(a, dtype), 0), axis, None, keepdims)


@implements(np.nanprod)
@guarded
def nanprod(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Multiply elements over axes, without those that are NaN.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    dtype : dtype, optional
        Dtype to convert `a` to before.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The products, 1 of nothing; the gradient of a NaN is zero.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nanprod([4.0, float("nan"), 2.0])
    Tensor(8.)
    """
    return prod(_without(convert(a, dtype), 1), axis, None, keepdims)


@implements(np.nanmean)
@guarded
def nanmean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Average elements over axes, without those that are NaN.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    dtype : dtype, optional
        Dtype to convert `a` to before.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The means, NaN where there is nothing but NaN; the gradient of a NaN is zero.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nanmean([1.0, float("nan"), 2.0])
    Tensor(1.5)
    """
    x = convert(a, dtype)
    if not is_inexact(x.dtype):
        return mean(x, axis, None, keepdims)
    number = _present(x, axis, keepdims)
    return sum(_without(x, 0), axis, None, keepdims) / number.astype(x.dtype)


@implements(np.nanvar)
@guarded
def nanvar(
    a: Any, axis: Any = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False,
    correction: float | None = None,
) -> Tensor:  # fmt: skip
    """Return the variance over axes, without those elements that are NaN.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    dtype : dtype, optional
        Dtype to convert `a` to before.
    ddof, correction : float
        The sum of squares is divided by the number of elements minus this.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The variances, real; NaN where nothing is left to divide by. The gradient of a NaN is zero.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nanvar([1.0, float("nan"), 3.0])
    Tensor(1.)
    """
    x = convert(a, dtype)
    ddof = ddof if correction is None else correction
    if not is_inexact(x.dtype):
        return var(x, axis, None, ddof=ddof, keepdims=keepdims)
    deviation = where(isnan(x), 0, x - nanmean(x, axis, None, True))
    squares = (deviation * conj(deviation)).real if x.dtype.kind == "c" else deviation * deviation
    free = _present(x, axis, keepdims) - ddof
    some = free > 0
    return where(some, sum(squares, axis, None, keepdims) / where(some, free, 1).astype(squares.dtype), np.nan)


@implements(np.nanstd)
@guarded
def nanstd(
    a: Any, axis: Any = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False,
    correction: float | None = None,
) -> Tensor:  # fmt: skip
    """Return the standard deviation over axes, without those elements that are NaN.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    dtype : dtype, optional
        Dtype to convert `a` to before.
    ddof, correction : float
        The sum of squares is divided by the number of elements minus this.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The square roots of the variances. Where all elements are equal, the gradient is zero.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nanstd([1.0, float("nan"), 3.0])
    Tensor(1.)
    """
    variance = nanvar(a, axis, dtype, ddof=ddof, keepdims=keepdims, correction=correction)
    zero = variance == 0
    return where(zero, 0, where(zero, 1, variance) ** 0.5)


@implements(np.nanmax)
@guarded
def nanmax(a: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the greatest element over axes, without those that are NaN.

    Several equal greatest elements share the gradient evenly.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The greatest elements, NaN where there is nothing but NaN; the gradient of a NaN is zero.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nanmax([1.0, float("nan"), 2.0])
    Tensor(2.)
    """
    x = convert(a)
    if not is_inexact(x.dtype):
        return max(x, axis, keepdims)
    empty = every(isnan(x), axis, keepdims)
    return where(empty, np.nan, max(_without(x, -np.inf), axis, keepdims))


@implements(np.nanmin)
@guarded
def nanmin(a: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element over axes, without those that are NaN.

    Several equal smallest elements share the gradient evenly.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The smallest elements, NaN where there is nothing but NaN; the gradient of a NaN is zero.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nanmin([1.0, float("nan"), 2.0])
    Tensor(1.)
    """
    x = convert(a)
    if not is_inexact(x.dtype):
        return min(x, axis, keepdims)
    empty = every(isnan(x), axis, keepdims)
    return where(empty, np.nan, min(_without(x, np.inf), axis, keepdims))


# Where the extremes are.


def _sample_missing(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1, min_side=2)
    axis = draw.choice([None, draw.integer(0, len(shape) - 1)])
    x = np.array(draw.array(shape, dtype=np.float64))
    x.flat[draw.integer(0, x.size - 1)] = np.nan
    return Sample((x,), {"axis": axis, "keepdims": draw.flag()})


def _place_rule(x: Spec, *, axis: int | None, keepdims: bool) -> Spec:
    axes = tuple(range(x.ndim)) if axis is None else (axis,)
    return Spec(reduced_shape(x.shape, axes, keepdims), np.intp)


def _place(name: str) -> Op:
    return Op(
        name, lambda xp, x, *, axis, keepdims: getattr(xp, name)(x, axis=axis, keepdims=keepdims), inputs="x",
        infer=_place_rule, sample=_sample_missing, no_gradient="its result is an index", batch=batch_index,
        fusion="reduction",
    )  # fmt: skip


_nanargmax, _nanargmin = _place("nanargmax"), _place("nanargmin")


@implements(np.nanargmax)
@guarded
def nanargmax(a: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the first of the greatest elements, without those that are NaN.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int, optional
        Along which to search; None for the flattened array.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        Integer indices, which have no gradient.

    Raises
    ------
    ShapeError
        The axis is out of range, or there is nothing but NaN.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nanargmax([1.0, float("nan"), 2.0])
    Tensor(2)
    """
    x = convert(a)
    return _nanargmax(x, axis=None if axis is None else one_axis(axis, x.ndim, "nanargmax"), keepdims=bool(keepdims))


@implements(np.nanargmin)
@guarded
def nanargmin(a: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the first of the smallest elements, without those that are NaN.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int, optional
        Along which to search; None for the flattened array.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        Integer indices, which have no gradient.

    Raises
    ------
    ShapeError
        The axis is out of range, or there is nothing but NaN.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nanargmin([1.0, float("nan"), 2.0])
    Tensor(0)
    """
    x = convert(a)
    return _nanargmin(x, axis=None if axis is None else one_axis(axis, x.ndim, "nanargmin"), keepdims=bool(keepdims))


@implements(np.nancumsum)
@guarded
def nancumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Add up the elements along an axis, as if those that are NaN were 0.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int, optional
        The axis; None for the flattened array.
    dtype : dtype, optional
        Dtype to convert `a` to before.

    Returns
    -------
    Tensor
        Of the shape of `a`, or one-dimensional; the gradient of a NaN is zero.

    Raises
    ------
    ShapeError
        The axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nancumsum([1.0, float("nan"), 2.0])
    Tensor([1., 1., 3.])
    """
    return cumsum(_without(convert(a, dtype), 0), axis)


@implements(np.nancumprod)
@guarded
def nancumprod(a: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Multiply up the elements along an axis, as if those that are NaN were 1.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int, optional
        The axis; None for the flattened array.
    dtype : dtype, optional
        Dtype to convert `a` to before.

    Returns
    -------
    Tensor
        Of the shape of `a`, or one-dimensional; the gradient of a NaN is zero.

    Raises
    ------
    ShapeError
        The axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nancumprod([1.0, float("nan"), 2.0])
    Tensor([1., 1., 2.])
    """
    return cumprod(_without(convert(a, dtype), 1), axis)
