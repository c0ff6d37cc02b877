"""Moments: means, variances and standard deviations over axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.ops.axes import reduced_shape, reduction_rule
from eagerflow.ops.complex import conj
from eagerflow.ops.reduction import count, float_dtype, kept_axes, over, reducer, sample_reduction, spread
from eagerflow.ops.selection import where

__all__ = ["mean", "std", "var"]


# Means.


def _wide(dtype: np.dtype[Any]) -> Any:
    """Return the dtype to add up in, where it is not the input's own."""
    return np.float64 if dtype.kind in "biu" else np.float32 if dtype == np.float16 else None


def _mean_kernel(add: Callable[..., Any], x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    total = add(x, axis=axis, dtype=_wide(x.dtype), keepdims=keepdims)
    mean = total / count(x.shape, axis)
    return mean.astype(x.dtype) if x.dtype == np.float16 else mean


def _mean_gradient(g: Tensor, shape: tuple[int, ...], axis: tuple[int, ...]) -> Tensor:
    n = count(shape, axis)
    return spread(g / n if n > 1 else g, shape, axis)


_mean = Op(
    "mean",
    lambda xp, x, **attrs: _mean_kernel(xp.sum, x, **attrs),
    inputs="x",
    infer=reduction_rule(float_dtype),
    sample=sample_reduction,
    vjp=_mean_gradient,
    fusion="reduction",
    onnx="ReduceMean",
    kinds="fc",
)
_mean.register_kernel("cpu", partial(_mean_kernel, np.add.reduce))

_reduce_mean = reducer(_mean)


@implements(np.mean)
def mean(x: Any, /, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Average elements over axes.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    dtype : dtype, optional
        Dtype to convert `x` to before.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The means; of integers and booleans in float64.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.mean([[1.0, 2.0], [3.0, 4.0]], axis=1)
    Tensor([1.5, 3.5])
    """
    return _reduce_mean(x if dtype is None else convert(x, dtype), axis, keepdims)


# Variances.


def _var_kernel(add: Callable[..., Any], x: Any, *, axis: tuple[int, ...], ddof: float, keepdims: bool) -> Any:
    n = count(x.shape, axis)
    deviation = x - add(x, axis=axis, dtype=_wide(x.dtype), keepdims=True) / n
    if deviation.dtype.kind == "c":
        squares = deviation.real * deviation.real + deviation.imag * deviation.imag
    else:
        squares = deviation * deviation
    free = n - ddof
    result = add(squares, axis=axis, keepdims=keepdims) / (free if free > 0 else 0)
    return result.astype(x.dtype) if x.dtype == np.float16 else result


def _std_kernel(xp: Any, add: Callable[..., Any], x: Any, **attrs: Any) -> Any:
    return xp.sqrt(_var_kernel(add, x, **attrs))


def _var_rule(x: Spec, *, axis: tuple[int, ...], ddof: float, keepdims: bool) -> Spec:
    real = np.empty(0, float_dtype(x.dtype)).real.dtype
    return Spec(reduced_shape(x.shape, axis, keepdims), real)


def _var_gradient(g: Tensor, x: Tensor, axis: tuple[int, ...], ddof: float) -> Tensor:
    free = count(x.shape, axis) - ddof
    deviation = x - _mean(x, axis=axis, keepdims=True)
    if deviation.dtype.kind == "c":
        deviation = conj(deviation)
    return kept_axes(g, x.shape, axis) * deviation * (2 / free if free > 0 else math.nan)


def _std_gradient(g: Tensor, x: Tensor, out: Tensor, axis: tuple[int, ...], ddof: float) -> Tensor:
    # Equal elements have no spread and no direction in which it grows: the gradient is zero there.
    zero = out == 0
    return _var_gradient(where(zero, 0, g / where(zero, 1, out + out)), x, axis, ddof)


def _sample_var(draw: Draw) -> Sample:
    sample = sample_reduction(draw)
    n = count(sample.inputs[0].shape, sample.attrs["axis"])
    return Sample(sample.inputs, {**sample.attrs, "ddof": 1 if n > 1 and draw.flag() else 0})


def _sample_std(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1, min_side=3)
    return Sample(
        (draw.array(shape),), {"axis": (draw.axis(len(shape)) % len(shape),), "ddof": 1, "keepdims": draw.flag()}
    )


_var = Op(
    "var",
    lambda xp, x, **attrs: _var_kernel(xp.sum, x, **attrs),
    inputs="x",
    infer=_var_rule,
    sample=_sample_var,
    vjp=_var_gradient,
    fusion="reduction",
    flops=4,
    kinds="fc",
)
_var.register_kernel("cpu", partial(_var_kernel, np.add.reduce))
_std = Op(
    "std",
    lambda xp, x, **attrs: _std_kernel(xp, xp.sum, x, **attrs),
    inputs="x",
    infer=_var_rule,
    sample=_sample_std,
    vjp=_std_gradient,
    fusion="reduction",
    flops=4,
    kinds="fc",
)
_std.register_kernel("cpu", partial(_std_kernel, np, np.add.reduce))


@implements(np.var)
def var(
    x: Any, /, axis: Any = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False,
    correction: float | None = None,
) -> Tensor:  # fmt: skip
    """Return the variance over axes: the mean squared distance from the mean.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    dtype : dtype, optional
        Dtype to convert `x` to before.
    ddof, correction : float
        The sum of squares is divided by n minus this; `correction` is the standard's name for it.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The variances, real.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.var([1.0, 2.0, 3.0]), ef.var([1.0, 2.0, 3.0], ddof=1)
    (Tensor(0.66666667), Tensor(1.))
    """
    x = convert(x, dtype)
    freedom = ddof if correction is None else correction
    return _var(x, axis=over(x, axis, "var"), ddof=freedom, keepdims=bool(keepdims))


@implements(np.std)
def std(
    x: Any, /, axis: Any = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False,
    correction: float | None = None,
) -> Tensor:  # fmt: skip
    """Return the standard deviation over axes: the square root of the variance.

    Where all elements are equal, its gradient is zero.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    dtype : dtype, optional
        Dtype to convert `x` to before.
    ddof, correction : float
        The sum of squares is divided by n minus this; `correction` is the standard's name for it.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The standard deviations, real.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.std([1.0, 2.0, 3.0], ddof=1)
    Tensor(1.)
    """
    x = convert(x, dtype)
    freedom = ddof if correction is None else correction
    return _std(x, axis=over(x, axis, "std"), ddof=freedom, keepdims=bool(keepdims))
