"""Normalization: layer, batch and root-mean-square norm."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from eagerflow.core import ArrayMethods, Draw, Op, Sample, Spec, Tensor, convert
from eagerflow.core.explain import describe, user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.axes import one_axis, reduced_shape, some_axes
from eagerflow.ops.batching import along
from eagerflow.ops.checked import number
from eagerflow.ops.elementwise.arithmetic import sqrt
from eagerflow.ops.precision import add_up, in_float32, is_low

__all__ = ["batch_norm", "batch_norm_inference", "layer_norm", "rms_norm"]

Axes = tuple[int, ...]


def _kernel(xp: Any, x: Any, *, axis: Axes, eps: float) -> tuple[Any, Any, Any]:
    """Return x with mean 0 and variance 1 over `axis`, its mean and its variance, both with kept axes."""
    if x.itemsize < 4:
        value, mean, variance = _kernel(xp, x.astype(np.float32), axis=axis, eps=eps)
        return value.astype(x.dtype), mean.astype(x.dtype), variance.astype(x.dtype)
    mean = x.mean(axis=axis, keepdims=True)
    value = xp.asarray(x - mean)
    variance = xp.square(value).mean(axis=axis, keepdims=True)
    value *= 1.0 / xp.sqrt(variance + eps)
    return value, mean, variance


@in_float32
def _gradient_kernel(xp: Any, g: Any, value: Any, variance: Any, *, axis: Axes, eps: float) -> Any:
    result = xp.multiply(g, value)
    along = result.mean(axis=axis, keepdims=True)
    xp.multiply(value, along, out=result)
    xp.subtract(g, result, out=result)
    result -= g.mean(axis=axis, keepdims=True)
    result *= 1.0 / xp.sqrt(variance + eps)
    return result


def _rule(x: Spec, *, axis: Axes, eps: float) -> tuple[Spec, Spec, Spec]:
    kept = Spec(reduced_shape(x.shape, axis, True), x.dtype)
    return Spec(x.shape, x.dtype), kept, kept


def _vjp(g: list[Tensor | None], out: tuple[Tensor, ...], shape: Any, axis: Axes, eps: float) -> Tensor:
    value, _, variance = out
    count = math.prod(shape[item] for item in axis)
    total: Any = None
    if g[0] is not None:
        total = _standardize_gradient(g[0], value, variance, axis=axis, eps=eps)
    if g[2] is not None:
        # d variance / dx = 2 (x - mean) / count, and x - mean = value * √(variance + eps)
        slope = value * (g[2] * ((variance + eps) ** 0.5 * (2 / count)))
        total = slope if total is None else total + slope
    if g[1] is not None:
        flat = g[1] * (1 / count)
        total = value * 0 + flat if total is None else total + flat
    return total


def _jvp(t: Tensor, out: tuple[Tensor, ...], axis: Axes, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    value, _, variance = out
    moved = _standardize_gradient(t, value, variance, axis=axis, eps=eps)
    return moved, _mean(t, axis), _mean(t * value, axis) * (2 * (variance + eps) ** 0.5)


def _mean(x: Tensor, axis: Axes) -> Tensor:
    return add_up(x, axis) / math.prod([x.shape[item] for item in axis])


def _to_value(g: Tensor, weight: Tensor, value: Tensor, variance: Tensor, axis: Axes, eps: float) -> Tensor:
    scaled = g * (variance + eps) ** -0.5
    return -(scaled * _mean(weight * value, axis) + weight * _mean(scaled * value, axis))


def _to_value_forward(t: Tensor, weight: Tensor, value: Tensor, variance: Tensor, axis: Axes, eps: float) -> Tensor:
    moved = t * _mean(weight * value, axis) + value * _mean(weight * t, axis)
    return -moved * (variance + eps) ** -0.5


def _to_variance(g: Tensor, weight: Tensor, value: Tensor, variance: Tensor, axis: Axes, eps: float) -> Tensor:
    part = weight - _mean(weight, axis) - value * _mean(weight * value, axis)
    return (g * part).sum(axis=axis, keepdims=True) * (-0.5 * (variance + eps) ** -1.5)


def _sample_axes(draw: Draw) -> tuple[tuple[int, ...], dict[str, Any]]:
    shape = (*draw.shape(max_dims=2), draw.integer(2, 4))
    axes = {draw.axis(len(shape)) % len(shape), len(shape) - 1}
    return shape, {"axis": tuple(sorted(axes)), "eps": 0.1}


def _sample(draw: Draw) -> Sample:
    shape, attrs = _sample_axes(draw)
    return Sample((draw.array(shape),), attrs)


def _sample_gradient(draw: Draw) -> Sample:
    shape, attrs = _sample_axes(draw)
    kept = reduced_shape(shape, attrs["axis"], True)
    return Sample((draw.array(shape), draw.array(shape), draw.array(kept, 0.5, 2.0)), attrs)


@in_float32
def _by_sums(xp: Any, x: Any, *, axis: Axes, eps: float) -> tuple[Any, Any, Any]:
    mean = _mean(x, axis)
    value = x - mean
    variance = _mean(value * value, axis)
    return value * (1.0 / sqrt(variance + eps)), mean, variance


@in_float32
def _gradient_by_sums(xp: Any, g: Any, value: Any, variance: Any, *, axis: Axes, eps: float) -> Any:
    return (g - value * _mean(g * value, axis) - _mean(g, axis)) * (1.0 / sqrt(variance + eps))


_standardize = Op(
    "standardize",
    _kernel,
    inputs="x",
    infer=_rule,
    sample=_sample,
    vjp=_vjp,
    jvp=_jvp,
    batch=along("axis"),
    outputs=3,
    flops=6.0,
    lower=partial(_by_sums, None),
)
_standardize_gradient = Op(
    "standardize_gradient",
    _gradient_kernel,
    inputs="weight value variance",
    infer=lambda weight, value, variance, **attrs: Spec(value.shape, value.dtype),
    sample=_sample_gradient,
    # Linear in the weight, and its own transpose: the projection is symmetric.
    vjp=(
        lambda g, value, variance, axis, eps: _standardize_gradient(g, value, variance, axis=axis, eps=eps),
        _to_value,
        _to_variance,
    ),
    jvp=(
        lambda t, value, variance, axis, eps: _standardize_gradient(t, value, variance, axis=axis, eps=eps),
        _to_value_forward,
        lambda t, out, variance, eps: out * (t * (-0.5 / (variance + eps))),
    ),
    batch=along("axis"),
    flops=8.0,
    lower=partial(_gradient_by_sums, None),
)


def _floating(name: str, x: Any) -> Tensor:
    x = convert(x)
    if x.dtype.kind in "biu":
        raise DTypeError(f"{name}: expected floating-point numbers, got {describe(x)}\n  at {user_line()}")
    return x


def _affine(
    name: str, value: Tensor, weight: Any, bias: Any, shape: tuple[int, ...], spread: tuple[int, ...]
) -> Tensor:
    """Scale and shift by parameters of `shape`, which `spread` aligns with the axes of `value`."""
    for what, parameter in (("weight", weight), ("bias", bias)):
        if parameter is None:
            continue
        parameter = convert(parameter)
        if parameter.shape != shape:
            raise ShapeError(
                f"{name}: {what} has shape {shape} for an input of shape {value.shape}, got {describe(parameter)}"
                f"\n  at {user_line()}"
            )
        if spread != shape:
            parameter = parameter.reshape(spread)
        value = value * parameter if what == "weight" else value + parameter
    return value


def _shapes(x: Tensor, axes: Axes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape of parameters over `axes`, and that shape aligned with `x`."""
    shape = tuple(x.shape[item] for item in axes)
    spread = tuple(side if item in axes else 1 for item, side in enumerate(x.shape))
    return shape, shape if axes == tuple(range(x.ndim - len(axes), x.ndim)) else spread


def layer_norm(x: Any, weight: Any = None, bias: Any = None, axis: Any = -1, eps: float = 1e-5) -> Tensor:
    """Give each example mean 0 and variance 1 over its features, then scale and shift them.

    Parameters
    ----------
    x : array_like
        Input.
    weight, bias : array_like, optional
        Factor and summand of each feature: the lengths of `axis`, in the order of the axes of `x`.
    axis : int or sequence of int
        The axes of features.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        The axis is out of range, or weight or bias do not have its lengths.
    DTypeError
        `x` holds integers.

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization", 2016.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.layer_norm([[1.0, 3.0]], eps=0.0)
    Tensor([[-1.,  1.]])
    """
    x = _floating("layer_norm", x)
    axes = tuple(sorted(some_axes(axis, x.ndim, "layer_norm")))
    value = _standardize(x, axis=axes, eps=number(eps, "layer_norm", "eps"))[0]
    return _affine("layer_norm", value, weight, bias, *_shapes(x, axes))


def batch_norm(
    x: Any, weight: Any = None, bias: Any = None, axis: int = 1, eps: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor]:
    """Give each channel mean 0 and variance 1 over the batch, then scale and shift it: for training.

    Parameters
    ----------
    x : array_like
        Input, with the channels along `axis`.
    weight, bias : array_like, optional
        Factor and summand of each channel, shape (C,).
    axis : int
        The axis of channels.
    eps : float
        Added to the variance.

    Returns
    -------
    out : Tensor
        Of the shape of `x`.
    mean, variance : Tensor
        Of each channel over the batch, shape (C,), for the running averages that
        `batch_norm_inference` takes. The variance is the biased one (divided by the count).

    Raises
    ------
    ShapeError
        The axis is out of range, or weight or bias do not have shape (C,).
    DTypeError
        `x` holds integers.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", 2015.

    Examples
    --------
    >>> import eagerflow as ef
    >>> out, mean, variance = ef.nn.batch_norm([[1.0, 5.0], [3.0, 5.0]], eps=0.001)
    >>> mean, variance
    (Tensor([2., 5.]), Tensor([1., 0.]))
    """
    x = _floating("batch_norm", x)
    channel = one_axis(axis, x.ndim, "batch_norm")
    axes = tuple(item for item in range(x.ndim) if item != channel)
    value, mean, variance = _standardize(x, axis=axes, eps=number(eps, "batch_norm", "eps"))
    out = _affine("batch_norm", value, weight, bias, *_shapes(x, (channel,)))
    return out, mean.reshape(-1), variance.reshape(-1)


def _added(eps: Any, name: str) -> Any:
    return eps if isinstance(eps, ArrayMethods) else number(eps, name, "eps")  # gradients pass to Tensors


def batch_norm_inference(
    x: Any, mean: Any, variance: Any, weight: Any = None, bias: Any = None, axis: int = 1, eps: float = 1e-5
) -> Tensor:
    """Normalize each channel with a known mean and variance, then scale and shift it.

    Parameters
    ----------
    x : array_like
        Input, with the channels along `axis`.
    mean, variance : array_like
        Of each channel, shape (C,).
    weight, bias : array_like, optional
        Factor and summand of each channel, shape (C,).
    axis : int
        The axis of channels.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        The axis is out of range, or a parameter does not have shape (C,).
    DTypeError
        `x` holds integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.batch_norm_inference([[1.0, 5.0]], [1.0, 1.0], [4.0, 4.0], eps=0.0)
    Tensor([[0., 2.]])
    """
    name = "batch_norm_inference"
    x = _floating(name, x)
    channel = one_axis(axis, x.ndim, name)
    shape, spread = _shapes(x, (channel,))
    scale = (_floating(name, variance) + _added(eps, name)) ** -0.5
    if weight is not None:
        scale = scale * convert(weight)
    shift = -(convert(mean) * scale)
    if bias is not None:
        shift = shift + convert(bias)
    return _affine(name, x, scale, shift, shape, spread)


def rms_norm(x: Any, weight: Any = None, axis: Any = -1, eps: float = 1e-6) -> Tensor:
    """Divide each example by the root of its features' mean square, then scale them.

    Parameters
    ----------
    x : array_like
        Input.
    weight : array_like, optional
        Factor of each feature: the lengths of `axis`.
    axis : int or sequence of int
        The axes of features.
    eps : float
        Added to the mean square.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        The axis is out of range, or the weight does not have its lengths.
    DTypeError
        `x` holds integers.

    References
    ----------
    Zhang and Sennrich, "Root mean square layer normalization", 2019.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.rms_norm([[3.0, 4.0]], eps=0.0) ** 2
    Tensor([[0.72, 1.28]])
    """
    x = _floating("rms_norm", x)
    axes = tuple(sorted(some_axes(axis, x.ndim, "rms_norm")))
    wide = x.astype(np.float32) if is_low(x.dtype) else x  # squares would overflow early
    value = wide * ((wide * wide).mean(axis=axes, keepdims=True) + _added(eps, "rms_norm")) ** -0.5
    if wide is not x:
        value = value.astype(x.dtype)
    return _affine("rms_norm", value, weight, None, *_shapes(x, axes))
