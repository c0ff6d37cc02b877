"""Losses that are stable only as one op: cross-entropies of logits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, broadcast, convert
from eagerflow.core.explain import describe, user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.arrays.ranges import arange
from eagerflow.ops.arrays.transposition import moveaxis
from eagerflow.ops.axes import one_axis
from eagerflow.ops.batching import along
from eagerflow.ops.declare import elementwise
from eagerflow.ops.elementwise.exponential import exp, log
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.indexing.along_axis import take_along_axis
from eagerflow.ops.networks.activation import exponentials, log_softmax, sigmoid, softmax
from eagerflow.ops.networks.embedding import check_numbers, one_hot
from eagerflow.ops.precision import add_up, in_float32

__all__ = ["sigmoid_cross_entropy", "softmax_cross_entropy"]

_NAME = "softmax_cross_entropy"


def _at(xp: Any, labels: Any) -> tuple[Any, ...]:
    """Return the index of each row's label in an array of rows by classes."""
    return xp.arange(labels.size), labels.reshape(-1)


def _kernel(xp: Any, logits: Any, labels: Any) -> Any:
    if logits.itemsize < 4:
        return _kernel(xp, logits.astype(np.float32), labels).astype(logits.dtype)
    classes = logits.shape[-1]
    check_numbers(_NAME, "labels", labels, classes, "classes")
    rows = logits.reshape(-1, classes)
    if not rows.size:
        return xp.zeros(labels.shape, logits.dtype)
    _, total, highest = exponentials(xp, rows, 1)
    loss = xp.log(total)
    loss += highest
    return (loss[:, 0] - rows[_at(xp, labels)]).reshape(labels.shape)


@in_float32
def _gradient_kernel(xp: Any, g: Any, logits: Any, labels: Any) -> Any:
    rows = logits.reshape(-1, logits.shape[-1])
    if not rows.size:
        return xp.zeros_like(logits)
    value, total, _ = exponentials(xp, rows, 1)
    weights = g.reshape(-1, 1)
    value *= weights / total
    value[_at(xp, labels)] -= weights[:, 0]
    return value.reshape(logits.shape)


def _slope(g: Tensor, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return g with an axis of classes, and softmax(logits)."""
    return g.reshape(*g.shape, 1), softmax(logits)


def _second_logits(g: Tensor, weight: Tensor, logits: Tensor) -> Tensor:
    weights, p = weight.reshape(*weight.shape, 1), softmax(logits)
    return weights * (p * (g - add_up(g * p, -1)))


def _second_weight(g: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    hot = one_hot(labels, logits.shape[-1], logits.dtype)
    return add_up(g * (softmax(logits) - hot), -1).reshape(labels.shape)


def _draw(draw: Draw) -> tuple[Any, Any]:
    classes = draw.integer(1, 4)
    shape = draw.shape(max_dims=2)
    return draw.array((*shape, classes)), draw.array(shape, 0, classes - 1, np.int64)


def _sample(draw: Draw) -> Sample:
    return Sample(_draw(draw))


def _sample_gradient(draw: Draw) -> Sample:
    logits, labels = _draw(draw)
    return Sample((draw.array(labels.shape), logits, labels))


def _checked_kernel(xp: Any, labels: Any, *, classes: int) -> Any:
    check_numbers(_NAME, "labels", labels, classes, "classes")
    return labels.reshape(*labels.shape, 1)


# Labels with an axis for the classes, once each is known to be one: what is compiled raises no errors.
_checked = Op(
    "checked_labels",
    _checked_kernel,
    inputs="labels",
    infer=lambda labels, *, classes: Spec((*labels.shape, 1), labels.dtype),
    sample=lambda draw: Sample((draw.array(draw.shape(), 0, 3, np.int64),), {"classes": 4}),
    no_gradient="labels are integers",
    batch="leading",
    flops=2.0,
)


@in_float32
def _by_sums(xp: Any, logits: Any, labels: Any) -> Any:
    column = _checked(labels, classes=logits.shape[-1])
    if 0 in logits.shape:
        return labels.astype(logits.dtype)
    top = logits.max(axis=-1, keepdims=True)
    total = log(exp(logits - top).sum(axis=-1, keepdims=True)) + top
    return (total - take_along_axis(logits, column, -1)).reshape(labels.shape)


@in_float32
def _gradient_by_sums(xp: Any, g: Any, logits: Any, labels: Any) -> Any:
    classes = logits.shape[-1]
    column = _checked(labels, classes=classes)
    if 0 in logits.shape:
        return logits
    weights = g.reshape(*g.shape, 1)
    value = exp(logits - logits.max(axis=-1, keepdims=True))
    hot = column.astype(np.int32) == arange(classes, dtype=np.int32, device=column.device)
    return value * (weights / value.sum(axis=-1, keepdims=True)) - where(hot, weights, 0)


_sparse = Op(
    "softmax_cross_entropy",
    _kernel,
    inputs="logits labels",
    infer=lambda logits, labels: Spec(labels.shape, logits.dtype),
    sample=_sample,
    vjp=(lambda g, logits, labels: _sparse_gradient(g, logits, labels), None),
    jvp=(lambda t, logits, labels: _second_weight(t, logits, labels), None),
    batch=along(),
    flops=lambda logits, labels: 14.0 * logits.size,
    lower=partial(_by_sums, None),
    onnx="SoftmaxCrossEntropyLoss",
)
_sparse_gradient = Op(
    "softmax_cross_entropy_gradient",
    _gradient_kernel,
    inputs="weight logits labels",
    infer=lambda weight, logits, labels: Spec(logits.shape, np.result_type(logits.dtype, weight.dtype)),
    sample=_sample_gradient,
    vjp=(_second_weight, _second_logits, None),
    jvp=(
        lambda t, logits, labels: _sparse_gradient(t, logits, labels),
        lambda t, weight, logits: _second_logits(t, weight, logits),  # the softmax has a symmetric Jacobian
        None,
    ),
    batch=along(),
    flops=14.0,
    lower=partial(_gradient_by_sums, None),
)


def softmax_cross_entropy(logits: Any, labels: Any, axis: int = -1) -> Tensor:
    """Cross-entropy of labels and the softmax of logits: ``-log(softmax(logits)[label])``.

    Parameters
    ----------
    logits : array_like
        Unnormalized log-probabilities of the classes, which lie along `axis`.
    labels : array_like
        Either integers, the shape of `logits` without `axis`: classes from 0. Or the
        probabilities of the classes (one-hot or soft), the shape of `logits`.
    axis : int
        The axis of classes.

    Returns
    -------
    Tensor
        A loss for each example, in nats: the shape of `logits` without `axis`. Take its mean
        for the loss of a batch.

    Raises
    ------
    IndexOutOfBoundsError
        A label is not from 0 to the number of classes less one.
    ShapeError
        The shapes of `logits` and `labels` do not fit.
    DTypeError
        The logits are no floating-point numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.softmax_cross_entropy([[2.0, 0.0], [0.0, 1000.0]], [0, 0])
    Tensor([1.26928011e-01, 1.00000000e+03])
    >>> ef.nn.softmax_cross_entropy([[2.0, 0.0]], [[0.5, 0.5]])
    Tensor([1.12692801])
    """
    logits, labels = convert(logits), convert(labels)
    if logits.dtype.kind not in "fV":
        raise DTypeError(f"{_NAME}: logits are floating-point numbers, got {describe(logits)}\n  at {user_line()}")
    where = one_axis(axis, logits.ndim, _NAME)
    rest = logits.shape[:where] + logits.shape[where + 1 :]
    if labels.dtype.kind in "iu" and labels.shape == rest:
        if where != logits.ndim - 1:
            logits = moveaxis(logits, where, -1)
        result: Tensor = _sparse(logits, labels)
        return result
    if labels.shape == logits.shape:
        return -(log_softmax(logits, where) * labels.astype(logits.dtype)).sum(axis=where)
    raise ShapeError(
        f"{_NAME}: labels are integers of shape {rest} or probabilities of shape {logits.shape}, "
        f"got logits: {describe(logits)}, labels: {describe(labels)}\n  at {user_line()}"
    )


def _sigmoid_kernel(xp: Any, logits: Any, labels: Any) -> Any:
    return xp.maximum(logits, 0) - logits * labels + xp.log1p(xp.exp(-xp.abs(logits)))


_binary = elementwise(
    "sigmoid_cross_entropy",
    _sigmoid_kernel,
    inputs="x y",
    infer=lambda x, y: Spec(
        broadcast(x, y),
        np.result_type(getattr(x, "dtype", x), getattr(y, "dtype", y)),
    ),
    vjp=(lambda g, x, y: g * (sigmoid(x) - y), lambda g, x: -(g * x)),
    domain=((-3.0, 3.0), (0.05, 0.95)),
    flops=24,
    scalar="maximum(x, 0) - x * y + log1p(exp(-abs(x)))",
    doc="",
    example=("", ""),
)


def sigmoid_cross_entropy(logits: Any, labels: Any) -> Tensor:
    """Cross-entropy of labels and the sigmoid of logits, for classes that do not exclude each other.

    It is ``-labels * log(p) - (1 - labels) * log(1 - p)`` with ``p = sigmoid(logits)``, without
    overflow or loss of digits.

    Parameters
    ----------
    logits : array_like
        Unnormalized log-odds.
    labels : array_like
        Probabilities, or booleans or integers 0 and 1; the shape broadcasts with that of `logits`.

    Returns
    -------
    Tensor
        A loss for each element, in nats.

    Raises
    ------
    ShapeError
        The shapes do not broadcast.
    DTypeError
        The logits are no floating-point numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.sigmoid_cross_entropy([0.0, -1000.0], [1, 1])
    Tensor([6.93147181e-01, 1.00000000e+03])
    """
    logits, labels = convert(logits), convert(labels)
    if logits.dtype.kind not in "fV":
        raise DTypeError(
            f"sigmoid_cross_entropy: logits are floating-point numbers, got {describe(logits)}\n  at {user_line()}"
        )
    if labels.dtype.kind not in "fV":
        labels = labels.astype(logits.dtype)
    result: Tensor = _binary(logits, labels)
    return result
