"""Activations of neural networks, and softmax."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, same, unary
from eagerflow.ops.axes import some_axes
from eagerflow.ops.batching import along
from eagerflow.ops.checked import flag, number
from eagerflow.ops.cupy_functions import special
from eagerflow.ops.declare import elementwise, ufunc_rule
from eagerflow.ops.elementwise.exponential import exp, log
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.precision import add_up, float_like, floating, in_float32, in_pieces, single
from eagerflow.ops.special_functions.error_functions import erf

__all__ = [
    "elu",
    "gelu",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]

_float_rule = ufunc_rule("exp")


# Piecewise linear.


def _sample_away_from_zero(draw: Draw) -> Sample:
    x = draw.array(draw.shape())
    return Sample((np.where(np.abs(x) < 0.05, 0.5, x),))


def _sample_masked(draw: Draw) -> Sample:
    x = _sample_away_from_zero(draw).inputs[0]
    return Sample((draw.array(x.shape), x))


_relu_gradient = Op(
    "relu_gradient",
    lambda xp, g, x: xp.multiply(g, xp.greater(x, 0)),
    inputs="g x",
    infer=lambda g, x: same(g),
    sample=_sample_masked,
    vjp=(lambda g, x: _relu_gradient(g, x), None),
    fusion="elementwise",
    scalar="where(x > 0, g, g * 0)",
)
relu = elementwise(
    "relu", lambda xp, x: xp.maximum(x, 0), scalar="maximum(x, 0)",
    infer=same, sample=_sample_away_from_zero, onnx="Relu",
    vjp=lambda g, out: _relu_gradient(g, out),
    doc="max(x, 0), element-wise. The gradient at 0 is 0.", example=("ef.nn.relu([-1.0, 2.0])", "Tensor([0., 2.])"),
)  # fmt: skip


@single
def _leaky_relu_kernel(xp: Any, x: Any, *, slope: float) -> Any:
    x = floating(xp, x)
    return xp.where(x > 0, x, x * slope)


_leaky_relu = Op(
    "leaky_relu",
    _leaky_relu_kernel,
    inputs="x",
    infer=lambda x, *, slope: _float_rule(x),
    sample=lambda draw: Sample(_sample_away_from_zero(draw).inputs, {"slope": 0.1}),
    vjp=lambda g, x, slope: g * where(x > 0, 1.0, slope),
    fusion="elementwise",
    scalar="where(x > 0, x, x * slope)",
    onnx="LeakyRelu",
)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """Return x where it is positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    x : array_like
        Input.
    negative_slope : float
        Slope for negative inputs.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.leaky_relu([-1.0, 2.0], 0.1)
    Tensor([-0.1,  2. ])
    """
    result: Tensor = _leaky_relu(x, slope=float(number(negative_slope, "leaky_relu", "negative_slope")))
    return result


# Smooth ones.

# Beyond these, exp of the negative overflows; sigmoid is 0 to the last digit but denormal ones.
_LIMIT = {"f": 88.0, "d": 708.0}


def _sigmoid_kernel(xp: Any, x: Any) -> Any:
    x = floating(xp, x)
    if x.itemsize < 4:
        return _sigmoid_kernel(xp, x.astype(np.float32)).astype(x.dtype)
    value = xp.asarray(xp.maximum(x, -_LIMIT.get(x.dtype.char, 88.0)))
    xp.negative(value, out=value)
    xp.exp(value, out=value)
    value += 1.0
    return xp.reciprocal(value, out=value)


def _softplus_kernel(xp: Any, x: Any) -> Any:
    x = floating(xp, x)
    if x.itemsize < 4:
        return _softplus_kernel(xp, x.astype(np.float32)).astype(x.dtype)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


sigmoid = elementwise(
    "sigmoid", _sigmoid_kernel, scalar="sigmoid(x)",
    infer=_float_rule, vjp=lambda g, out: g * (out * (1 - out)), flops=12, onnx="Sigmoid",
    domain=(-4.0, 4.0), doc="1 / (1 + exp(-x)), element-wise, without overflow.",
    example=("ef.nn.sigmoid([0.0, 2.0])", "Tensor([0.5       , 0.88079708])"),
)  # fmt: skip
softplus = elementwise(
    "softplus", _softplus_kernel, scalar="maximum(x, 0) + log1p(exp(-abs(x)))",
    infer=_float_rule, vjp=lambda g, x: g * sigmoid(x), flops=20, onnx="Softplus",
    domain=(-4.0, 4.0), doc="log(1 + exp(x)), element-wise, without overflow.",
    example=("ef.nn.softplus([0.0, 1000.0])", "Tensor([6.93147181e-01, 1.00000000e+03])"),
)  # fmt: skip
log_sigmoid = elementwise(
    "log_sigmoid", lambda xp, x: -_softplus_kernel(xp, -floating(xp, x)), infer=_float_rule,
    scalar="minimum(x, 0) - log1p(exp(-abs(x)))",
    vjp=lambda g, x: g * sigmoid(-x), flops=20, domain=(-4.0, 4.0),
    doc="log(sigmoid(x)), element-wise, without overflow.",
    example=("ef.nn.log_sigmoid([0.0, -1000.0])", "Tensor([-6.93147181e-01, -1.00000000e+03])"),
)  # fmt: skip


def _silu_kernel(xp: Any, x: Any) -> Any:
    x = floating(xp, x)
    if x.itemsize < 4:
        return _silu_kernel(xp, x.astype(np.float32)).astype(x.dtype)
    value = _sigmoid_kernel(xp, x)
    value *= x
    return value


def _silu_vjp(g: Tensor, x: Tensor) -> Tensor:
    s = sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


silu = elementwise(
    "silu", _silu_kernel, scalar="x * sigmoid(x)", infer=_float_rule, vjp=_silu_vjp, flops=14, domain=(-4.0, 4.0),
    doc="x * sigmoid(x), element-wise (the sigmoid-weighted linear unit, also called swish).\n\n"
    "Elfwing, Uchibe and Doya, \"Sigmoid-weighted linear units for neural network function approximation in "
    "reinforcement learning\", 2017.",
    example=("ef.nn.silu([0.0, 2.0])", "Tensor([0.        , 1.76159416])"),
)  # fmt: skip


@single
def _elu_kernel(xp: Any, x: Any, *, alpha: float) -> Any:
    x = floating(xp, x)
    return xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, 0)))


_elu = Op(
    "elu",
    _elu_kernel,
    inputs="x",
    infer=lambda x, *, alpha: _float_rule(x),
    sample=lambda draw: Sample(_sample_away_from_zero(draw).inputs, {"alpha": draw.choice((1.0, 0.5))}),
    vjp=lambda g, x, out, alpha: g * where(x > 0, 1.0, out + alpha),
    fusion="elementwise",
    flops=12,
    scalar="where(x > 0, x, alpha * expm1(minimum(x, 0)))",
    onnx="Elu",
)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """Return x where it is positive, ``alpha * (exp(x) - 1)`` elsewhere.

    Parameters
    ----------
    x : array_like
        Input.
    alpha : float
        The limit for large negative inputs is ``-alpha``.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    References
    ----------
    Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by
    exponential linear units", 2016.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.elu([-1.0, 2.0])
    Tensor([-0.63212056,  2.        ])
    """
    result: Tensor = _elu(x, alpha=float(number(alpha, "elu", "alpha")))
    return result


# GELU: one op for the value and one for its slope, so that a gradient has few temporaries too.

_ROOT = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)
_SCALE = math.sqrt(2 / math.pi)
_CUBE = 0.044715


def _erf(xp: Any, x: Any) -> Any:
    computed = special(xp, "erf")
    return xp.asarray(erf.op.kernel(xp, x) if computed is None else computed(x))  # type: ignore[attr-defined]


@single
def _gelu_kernel(xp: Any, x: Any) -> Any:
    value = _erf(xp, x * _ROOT)
    value += 1.0
    value *= x
    value *= 0.5
    return value


@single
def _gelu_slope_kernel(xp: Any, x: Any) -> Any:
    value = _erf(xp, x * _ROOT)
    value += 1.0
    value *= 0.5
    bell = xp.asarray(x * x)
    bell *= -0.5
    bell = xp.exp(bell) * x
    bell *= _DENSITY
    value += bell
    return value


def _tanh_inside(xp: Any, x: Any) -> tuple[Any, Any]:
    square = xp.asarray(x * x)
    inside = square * (_SCALE * _CUBE)
    inside += _SCALE
    inside *= x
    return square, xp.asarray(xp.tanh(inside))


@single
def _gelu_tanh_kernel(xp: Any, x: Any) -> Any:
    value = _tanh_inside(xp, x)[1]
    value += 1.0
    value *= x
    value *= 0.5
    return value


@single
def _gelu_tanh_slope_kernel(xp: Any, x: Any) -> Any:
    square, t = _tanh_inside(xp, x)
    square *= 3 * _SCALE * _CUBE
    square += _SCALE
    square *= x
    square *= 1.0 - t * t
    square += t
    square += 1.0
    square *= 0.5
    return square


def _gelu_tanh_curvature(g: Tensor, x: Tensor) -> Tensor:
    # With u = s x (1 + c x²) and t = tanh u: t' = (1 - t²) u', and the slope is (1 + t + x t') / 2.
    inner = (x * x * (3 * _CUBE) + 1) * _SCALE
    t = _tanh((x * x * _CUBE + 1) * x * _SCALE)
    rest = 1 - t * t
    return g * (rest * (inner + 0.5 * x * ((6 * _CUBE * _SCALE) * x - 2 * t * inner * inner)))


def _tanh(x: Tensor) -> Tensor:
    return sigmoid(x * 2) * 2 - 1


_ERF = f"erf(x * {_ROOT})"
# (1 + tanh(u)) / 2 is the logistic function of 2 u, which takes fewer operations and loses no digits.
_LOGISTIC = f"sigmoid((x * x * {2 * _SCALE * _CUBE} + {2 * _SCALE}) * x)"


def _unary(name: str, kernel: Any, vjp: Any, onnx: str | None, flops: float, scalar: str) -> Any:
    op = Op(
        name,
        kernel,
        inputs="x",
        infer=_float_rule,
        sample=lambda draw: Sample((draw.array(draw.shape(), -3.0, 3.0),)),
        vjp=vjp,
        fusion="elementwise",
        flops=flops,
        scalar=scalar,
        onnx=onnx,
    )
    op.register_kernel("cpu", in_pieces(kernel))
    return unary(op)


_gelu_slope = _unary(
    "gelu_slope", _gelu_slope_kernel, lambda g, x: g * (exp(x * x * -0.5) * _DENSITY * (2 - x * x)), None, 40,
    f"({_ERF} + 1) * 0.5 + exp(x * x * -0.5) * x * {_DENSITY}",
)  # fmt: skip
_gelu_tanh_slope = _unary(
    "gelu_tanh_slope", _gelu_tanh_slope_kernel, _gelu_tanh_curvature, None, 24,
    f"{_LOGISTIC} + x * (x * x * {6 * _SCALE * _CUBE} + {2 * _SCALE}) * {_LOGISTIC} * (1 - {_LOGISTIC})",
)  # fmt: skip
_gelu = _unary("gelu", _gelu_kernel, lambda g, x: g * _gelu_slope(x), "Gelu", 34, f"({_ERF} + 1) * x * 0.5")
_gelu_tanh = _unary(
    "gelu_tanh", _gelu_tanh_kernel, lambda g, x: g * _gelu_tanh_slope(x), "Gelu", 18, f"x * {_LOGISTIC}"
)


def gelu(x: Any, approximate: bool = False) -> Tensor:
    """Gaussian error linear unit: x times the normal distribution's probability of less than x.

    Parameters
    ----------
    x : array_like
        Input.
    approximate : bool
        Whether to use ``0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`` instead of the error function.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    References
    ----------
    Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.gelu([-1.0, 2.0])
    Tensor([-0.15865525,  1.95449974])
    """
    result: Tensor = (_gelu_tanh if flag(approximate, "gelu", "approximate") else _gelu)(x)
    return result


# Softmax.


def _sample_softmax(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1)
    return Sample((draw.array(shape),), {"axis": tuple(sorted({draw.axis(len(shape)) % len(shape)}))})


def _softmax_rule(x: Spec, *, axis: tuple[int, ...]) -> Spec:
    return _float_rule(x)


def exponentials(xp: Any, x: Any, axis: Any) -> tuple[Any, Any, Any]:
    """Return exp(x - max) in a new array, its sum, and the maximum, over `axis`."""
    highest = x.max(axis=axis, keepdims=True)
    value = x - highest
    xp.exp(value, out=value)
    return value, value.sum(axis=axis, keepdims=True), highest


def _softmax_kernel(xp: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    x = floating(xp, x)
    if x.itemsize < 4:
        return _softmax_kernel(xp, x.astype(np.float32), axis=axis).astype(x.dtype)
    if not x.size:
        return x
    value, total, _ = exponentials(xp, x, axis)
    value /= total
    return value


def _log_softmax_kernel(xp: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    x = floating(xp, x)
    if x.itemsize < 4:
        return _log_softmax_kernel(xp, x.astype(np.float32), axis=axis).astype(x.dtype)
    if not x.size:
        return x
    value = xp.asarray(x - x.max(axis=axis, keepdims=True))
    value -= xp.log(xp.exp(value).sum(axis=axis, keepdims=True))
    return value


@in_float32
def _softmax_by_sums(xp: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    x = x.astype(float_like(x.dtype))
    if 0 in x.shape:
        return x
    value = exp(x - x.max(axis=axis, keepdims=True))
    return value * (1 / value.sum(axis=axis, keepdims=True))


@in_float32
def _log_softmax_by_sums(xp: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    x = x.astype(float_like(x.dtype))
    if 0 in x.shape:
        return x
    value = x - x.max(axis=axis, keepdims=True)
    return value - log(exp(value).sum(axis=axis, keepdims=True))


_softmax = Op(
    "softmax",
    _softmax_kernel,
    inputs="x",
    infer=_softmax_rule,
    sample=_sample_softmax,
    vjp=lambda g, out, axis: (g - add_up(g * out, axis)) * out,
    jvp=lambda t, out, axis: (t - add_up(t * out, axis)) * out,
    batch=along("axis"),
    flops=14,
    lower=partial(_softmax_by_sums, None),
    onnx="Softmax",
)
_log_softmax = Op(
    "log_softmax",
    _log_softmax_kernel,
    inputs="x",
    infer=_softmax_rule,
    sample=_sample_softmax,
    vjp=lambda g, out, axis: g - exp(out) * add_up(g, axis),
    jvp=lambda t, out, axis: t - add_up(exp(out) * t, axis),
    batch=along("axis"),
    flops=14,
    lower=partial(_log_softmax_by_sums, None),
    onnx="LogSoftmax",
)


def softmax(x: Any, axis: Any = -1) -> Tensor:
    """Exponentials, divided by their sum over `axis`, without overflow.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int, sequence of int or None
        Axes that sum to one; all of them for None.

    Returns
    -------
    Tensor
        Of the shape of `x`, from 0 to 1.

    Raises
    ------
    ShapeError
        The axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.softmax([0.0, 0.0, 1000.0])
    Tensor([0., 0., 1.])
    """
    x = convert(x)
    result: Tensor = _softmax(x, axis=some_axes(axis, x.ndim, "softmax"))
    return result


def log_softmax(x: Any, axis: Any = -1) -> Tensor:
    """Logarithm of `softmax`, without loss of digits.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int, sequence of int or None
        Axes over which the exponentials sum to one; all of them for None.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        The axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.log_softmax([0.0, 0.0, 1000.0])
    Tensor([-1000., -1000.,     0.])
    """
    x = convert(x)
    result: Tensor = _log_softmax(x, axis=some_axes(axis, x.ndim, "log_softmax"))
    return result
