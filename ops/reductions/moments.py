"""Moments: means, variances and standard deviations over axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements, is_inexact
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError
from eagerflow.ops.arrays.conversion import check_dtype
from eagerflow.ops.axes import reduced_shape, reduction_rule
from eagerflow.ops.batching import along
from eagerflow.ops.checked import flag, number
from eagerflow.ops.elementwise.complex import conj, real
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.precision import is_low
from eagerflow.ops.reductions.reduction import count, float_dtype, kept_axes, over, reducer, sample_reduction, spread

__all__ = ["mean", "std", "var"]


# Means.


def _wide(dtype: np.dtype[Any]) -> Any:
    """Return the dtype to add up in, where it is not the input's own."""
    return np.float64 if dtype.kind in "biu" else np.float32 if is_low(dtype) else None


def _mean_kernel(add: Callable[..., Any], x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    total = add(x, axis=axis, dtype=_wide(x.dtype), keepdims=keepdims)
    mean = total / count(x.shape, axis)
    return mean.astype(x.dtype) if is_low(x.dtype) else mean


def _mean_gradient(g: Tensor, shape: tuple[int, ...], axis: tuple[int, ...]) -> Tensor:
    n = count(shape, axis)
    return spread(g / n if n > 1 else g, shape, axis)


def _mean_by_sum(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    wide = _wide(x.dtype)
    total = (x if wide is None else x.astype(wide)).sum(axis=axis, keepdims=keepdims)
    mean = total / count(x.shape, axis)
    return mean.astype(x.dtype) if is_low(x.dtype) else mean


_mean = Op(
    "mean",
    lambda xp, x, **attrs: _mean_kernel(xp.sum, x, **attrs),
    inputs="x",
    infer=reduction_rule(float_dtype),
    sample=sample_reduction,
    vjp=_mean_gradient,
    linear="x",
    batch=along("axis"),
    fusion="reduction",
    lower=_mean_by_sum,
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
        Dtype to convert `x` to before, and the result to.
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
    if dtype is None:
        return _reduce_mean(x, axis, keepdims)
    wanted = check_dtype(dtype, "mean")
    return convert(_reduce_mean(convert(x, wanted), axis, keepdims), wanted)


# Variances.


def _var_kernel(add: Callable[..., Any], x: Any, *, axis: tuple[int, ...], ddof: float, keepdims: bool) -> Any:
    n = count(x.shape, axis)
    deviation = x - add(x, axis=axis, dtype=_wide(x.dtype), keepdims=True) / n
    if deviation.dtype.kind == "c":
        squares = deviation.real * deviation.real + deviation.imag * deviation.imag
    else:
        squares = deviation * deviation
    free = n - ddof
    result = add(squares, axis=axis, keepdims=keepdims) / (0 if free <= 0 else free)
    return result.astype(x.dtype) if is_low(x.dtype) else result


def _var_by_sums(x: Any, *, axis: tuple[int, ...], ddof: float, keepdims: bool) -> Any:
    n = count(x.shape, axis)
    wide = _wide(x.dtype)
    values = x if wide is None else x.astype(wide)
    deviation = values - values.sum(axis=axis, keepdims=True) / n
    if deviation.dtype.kind == "c":
        squares = deviation.real * deviation.real + deviation.imag * deviation.imag
    else:
        squares = deviation * deviation
    free = n - ddof
    result = squares.sum(axis=axis, keepdims=keepdims) / (0 if free <= 0 else free)
    return result.astype(x.dtype) if is_low(x.dtype) else result


def _std_by_sums(x: Any, **attrs: Any) -> Any:
    return _var_by_sums(x, **attrs) ** 0.5


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


def _var_jvp(t: Tensor, x: Tensor, axis: tuple[int, ...], ddof: float, keepdims: bool) -> Tensor:
    return real(_var_gradient(t, x, axis, ddof)).sum(axis=axis, keepdims=keepdims)


def _std_gradient(g: Tensor, x: Tensor, out: Tensor, axis: tuple[int, ...], ddof: float) -> Tensor:
    # Equal elements have no spread and no direction in which it grows: the gradient is zero there.
    return _var_gradient(_halved(g, out), x, axis, ddof)


def _std_jvp(t: Tensor, x: Tensor, out: Tensor, axis: tuple[int, ...], ddof: float, keepdims: bool) -> Tensor:
    return _halved(_var_jvp(t, x, axis, ddof, keepdims), out)


def _halved(x: Tensor, root: Tensor) -> Tensor:
    """Multiply by the derivative of a square root."""
    zero = root == 0
    return where(zero, 0, x / where(zero, 1, root + root))


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
    jvp=_var_jvp,
    batch=along("axis"),
    fusion="reduction",
    flops=4,
    lower=_var_by_sums,
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
    jvp=_std_jvp,
    batch=along("axis"),
    fusion="reduction",
    flops=4,
    lower=_std_by_sums,
    kinds="fc",
)
_std.register_kernel("cpu", partial(_std_kernel, np, np.add.reduce))


def _inexact(dtype: Any, name: str) -> np.dtype[Any]:
    found = check_dtype(dtype, name)
    if not is_inexact(found):
        raise DTypeError(f"{name}: dtype is one of floating-point numbers, got {found}\n  at {user_line()}")
    return found


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
        Dtype to convert `x` to before, of floating-point numbers.
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
    x = convert(x) if dtype is None else convert(x, _inexact(dtype, "var"))
    freedom = number(ddof if correction is None else correction, "var", "ddof")
    return _var(x, axis=over(x, axis, "var"), ddof=freedom, keepdims=flag(keepdims, "var", "keepdims"))


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
        Dtype to convert `x` to before, of floating-point numbers.
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
    x = convert(x) if dtype is None else convert(x, _inexact(dtype, "std"))
    freedom = number(ddof if correction is None else correction, "std", "ddof")
    return _std(x, axis=over(x, axis, "std"), ddof=freedom, keepdims=flag(keepdims, "std", "keepdims"))
