"""Pooling over one and two axes: maximum and mean of windows.

Images are (N, C, H, W). The maximum is taken along rows first, then along columns: for a
window of kh by kw that is kh + kw passes instead of kh times kw, and the same holds for
the gradient. Of equal maxima the first in reading order gets the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert
from eagerflow.core.explain import describe, user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.checked import flag
from eagerflow.ops.networks.batched_images import images
from eagerflow.ops.networks.columns import padded
from eagerflow.ops.networks.convolution import pads, several
from eagerflow.ops.precision import in_float32

__all__ = ["avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"]

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]


def _out_sides(size: tuple[int, ...], window: Pair, stride: Pair, padding: Pads) -> tuple[int, ...]:
    return tuple(
        (side + before + after - width) // step + 1
        for side, width, step, (before, after) in zip(size, window, stride, padding, strict=True)
    )


def _rule(x: Spec, *, window: Pair, stride: Pair, padding: Pads, **attrs: Any) -> Spec:
    return Spec(x.shape[:2] + _out_sides(x.shape[2:], window, stride, padding), x.dtype)


def _lines(x: Any, axis: int, width: int, step: int, count: int) -> Iterator[Any]:
    """Yield for each position in the window the view of what `count` windows have there."""
    for offset in range(width):
        index = slice(offset, offset + (count - 1) * step + 1, step)
        yield x[..., index] if axis == 3 else x[:, :, index]


def _inside(whole: Any, size: tuple[int, ...], padding: Pads) -> Any:
    (top, _), (left, _) = padding
    return whole[:, :, top : top + size[0], left : left + size[1]]


# Maximum.


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.kind not in "biu" else np.iinfo(dtype).min if dtype.kind != "b" else False


def _highest(xp: Any, x: Any, axis: int, width: int, step: int, count: int) -> Any:
    first, *rest = _lines(x, axis, width, step, count)
    if not rest:
        return first
    result = xp.maximum(first, rest[0])
    for line in rest[1:]:
        xp.maximum(result, line, out=result)
    return result


def _row_maxima(xp: Any, x: Any, window: Pair, stride: Pair, padding: Pads) -> tuple[Any, Any, tuple[int, ...]]:
    """Return the padded input, the maxima along its rows, and the sides of the result."""
    sides = _out_sides(x.shape[2:], window, stride, padding)
    x = padded(xp, x, padding, _lowest(x.dtype))
    return x, _highest(xp, x, 3, window[1], stride[1], sides[1]), sides


def _max_kernel(xp: Any, x: Any, *, window: Pair, stride: Pair, padding: Pads) -> Any:
    sides = _out_sides(x.shape[2:], window, stride, padding)
    x = padded(xp, x, padding, _lowest(x.dtype))
    # Along columns first: that shortens rows of memory that lie side by side, before those with gaps are read.
    rows = _highest(xp, x, 2, window[0], stride[0], sides[0])
    result = _highest(xp, rows, 3, window[1], stride[1], sides[1])
    # A window of one element gives a view of the input; a result is an array of its own.
    return result if result.base is None else result.copy()


def _hits(xp: Any, x: Any, highest: Any, axis: int, width: int, step: int) -> Iterator[Any]:
    """Yield for each position in the window where the maximum is there for the first time."""
    seen: Any = None
    count = highest.shape[axis]
    for position, line in enumerate(_lines(x, axis, width, step, count)):
        if position == width - 1 and position:
            yield ~seen  # it is somewhere
            return
        equal = xp.equal(line, highest)
        yield equal if seen is None else xp.greater(equal, seen)
        seen = equal if seen is None else xp.logical_or(seen, equal, out=seen)


def _scatter_first(xp: Any, g: Any, x: Any, highest: Any, axis: int, width: int, step: int) -> Any:
    """Return an array like `x` with g where along `axis` the window has its maximum for the first time."""
    result = xp.zeros(x.shape, g.dtype)
    targets = _lines(result, axis, width, step, highest.shape[axis])
    hits = _hits(xp, x, highest, axis, width, step)
    for position, (target, hit) in enumerate(zip(targets, hits, strict=True)):
        if position < step:  # nothing has been added there yet
            xp.multiply(g, hit, out=target)
        else:
            target += g * hit
    return result


def _max_scatter_kernel(xp: Any, g: Any, x: Any, out: Any, *, window: Pair, stride: Pair, padding: Pads) -> Any:
    size = x.shape[2:]
    x, rows, _ = _row_maxima(xp, x, window, stride, padding)
    g = _scatter_first(xp, g, rows, out, 2, window[0], stride[0])
    g = _scatter_first(xp, g, x, rows, 3, window[1], stride[1])
    return _inside(g, size, padding)


def _gather_first(xp: Any, v: Any, x: Any, highest: Any, axis: int, width: int, step: int) -> Any:
    """Return the elements of `v` where `x` has the first maximum of each window along `axis`."""
    result = xp.zeros(highest.shape, v.dtype)
    values = _lines(v, axis, width, step, highest.shape[axis])
    for value, hit in zip(values, _hits(xp, x, highest, axis, width, step), strict=True):
        result += value * hit
    return result


def _max_gather_kernel(xp: Any, v: Any, x: Any, out: Any, *, window: Pair, stride: Pair, padding: Pads) -> Any:
    v = padded(xp, v, padding)
    x, rows, _ = _row_maxima(xp, x, window, stride, padding)
    v = _gather_first(xp, v, x, rows, 3, window[1], stride[1])
    return _gather_first(xp, v, rows, out, 2, window[0], stride[0])


def _draw_attrs(draw: Draw) -> tuple[tuple[int, ...], dict[str, Any]]:
    window = (draw.integer(1, 3), draw.integer(1, 3))
    padding = tuple((draw.integer(0, w // 2), draw.integer(0, w // 2)) for w in window)
    shape = (draw.integer(1, 2), draw.integer(1, 2), window[0] + draw.integer(0, 3), window[1] + draw.integer(0, 3))
    return shape, {"window": window, "stride": (draw.integer(1, 3), draw.integer(1, 3)), "padding": padding}


def _sample_max(draw: Draw) -> Sample:
    shape, attrs = _draw_attrs(draw)
    return Sample((draw.array(shape, -20.0, 20.0),), attrs)


def _sample_scatter(draw: Draw) -> Sample:
    shape, attrs = _draw_attrs(draw)
    x = draw.array(shape, -20.0, 20.0)
    out = _max_kernel(np, x, **attrs)
    return Sample((draw.array(out.shape), x, out), attrs)


def _sample_gather(draw: Draw) -> Sample:
    shape, attrs = _draw_attrs(draw)
    x = draw.array(shape, -20.0, 20.0)
    return Sample((draw.array(shape), x, _max_kernel(np, x, **attrs)), attrs)


_max_scatter = Op(
    "max_pool2d_scatter",
    _max_scatter_kernel,
    inputs="g x highest",
    infer=lambda g, x, highest, **attrs: Spec(x.shape, g.dtype),
    sample=_sample_scatter,
    vjp=(
        lambda g, x, highest, window, stride, padding: _max_gather(
            g, x, highest, window=window, stride=stride, padding=padding
        ),
        None,
        None,
    ),
    linear="g",
    batch=images,
)
_max_gather = Op(
    "max_pool2d_gather",
    _max_gather_kernel,
    inputs="v x highest",
    infer=lambda v, x, highest, **attrs: Spec(highest.shape, v.dtype),
    sample=_sample_gather,
    vjp=(
        lambda g, x, highest, window, stride, padding: _max_scatter(
            g, x, highest, window=window, stride=stride, padding=padding
        ),
        None,
        None,
    ),
    linear="v",
    batch=images,
)
_max_pool = Op(
    "max_pool2d",
    _max_kernel,
    inputs="x",
    infer=_rule,
    sample=_sample_max,
    vjp=lambda g, x, out, window, stride, padding: _max_scatter(
        g, x, out, window=window, stride=stride, padding=padding
    ),
    jvp=lambda t, x, out, window, stride, padding: _max_gather(
        t, x, out, window=window, stride=stride, padding=padding
    ),
    batch=images,
    onnx="MaxPool",
    flops=lambda x, *, window, **attrs: float(x.size * (window[0] + window[1])),
)


# Mean: a sum over windows times a factor, and its transpose.


@in_float32
def _sum_kernel(xp: Any, x: Any, *, window: Pair, stride: Pair, padding: Pads, factor: float) -> Any:
    sides = _out_sides(x.shape[2:], window, stride, padding)
    x = padded(xp, x, padding)
    for axis in (2, 3):
        width, step, count = window[axis - 2], stride[axis - 2], sides[axis - 2]
        first, *rest = _lines(x, axis, width, step, count)
        x = first + rest[0] if rest else first
        for line in rest[1:]:
            x += line
    return x * factor


@in_float32
def _spread_kernel(xp: Any, g: Any, *, size: Pair, window: Pair, stride: Pair, padding: Pads, factor: float) -> Any:
    g = g * factor
    for axis in (3, 2):
        sides = [g.shape[2], g.shape[3]]
        sides[axis - 2] = size[axis - 2] + sum(padding[axis - 2])
        whole = xp.zeros((*g.shape[:2], *sides), g.dtype)
        for line in _lines(whole, axis, window[axis - 2], stride[axis - 2], g.shape[axis]):
            line += g
        g = whole
    return _inside(g, size, padding)


def _sample_sum(draw: Draw) -> Sample:
    shape, attrs = _draw_attrs(draw)
    return Sample((draw.array(shape),), {**attrs, "factor": 0.5})


def _sample_spread(draw: Draw) -> Sample:
    shape, attrs = _draw_attrs(draw)
    out = _rule(Spec(shape, draw.dtype), **attrs)
    return Sample((draw.array(out.shape),), {**attrs, "factor": 0.5, "size": shape[2:]})


_window_sum = Op(
    "window_sum2d",
    _sum_kernel,
    inputs="x",
    infer=_rule,
    sample=_sample_sum,
    vjp=lambda g, shape, window, stride, padding, factor: _window_spread(
        g, size=shape[2:], window=window, stride=stride, padding=padding, factor=factor
    ),
    linear="x",
    batch=images,
    onnx="AveragePool",
    flops=lambda x, *, window, **attrs: float(x.size * (window[0] + window[1])),
    kinds="fc",
)
_window_spread = Op(
    "window_spread2d",
    _spread_kernel,
    inputs="g",
    infer=lambda g, *, size, **attrs: Spec((*g.shape[:2], *size), g.dtype),
    sample=_sample_spread,
    vjp=lambda g, window, stride, padding, factor: _window_sum(
        g, window=window, stride=stride, padding=padding, factor=factor
    ),
    linear="g",
    batch=images,
    kinds="fc",
)


# On the CPU a few images at a time: all passes but the first then find them in the cache.

_PIECE = 1 << 16


def _in_blocks(op: Op) -> None:
    kernel: Any = op.kernel

    def run(*arrays: Any, **attrs: Any) -> Any:
        count = arrays[0].shape[0]
        block = max(1, _PIECE * count // max(1, *(item.size for item in arrays)))
        if block >= count:
            return kernel(np, *arrays, **attrs)
        result: Any = None
        for start in range(0, count, block):
            part = kernel(np, *[item[start : start + block] for item in arrays], **attrs)
            if result is None:
                result = np.empty((count, *part.shape[1:]), part.dtype)
            result[start : start + block] = part
        return result

    op.register_kernel("cpu", run)


for _op in (_max_pool, _max_scatter, _max_gather, _window_sum, _window_spread):
    _in_blocks(_op)


# What users call.


def _arguments(name: str, axes: int, x: Any, window: Any, stride: Any, padding: Any) -> tuple[Tensor, dict[str, Any]]:
    x = convert(x)
    if x.ndim != axes + 2:
        letters = "H, W" if axes == 2 else "L"
        raise ShapeError(f"{name}: expected x (N, C, {letters}), got {describe(x)}\n  at {user_line()}")
    window = several(window, axes, "window", name)
    stride = window if stride is None else several(stride, axes, "stride", name)
    padding = pads(padding, x.shape[2:], window, stride, name)
    for side, width, (before, after) in zip(x.shape[2:], window, padding, strict=True):
        if side + before + after < width or max(before, after) >= width:
            raise ShapeError(
                f"{name}: a window {window} does not fit: it is smaller than the padded input and larger than "
                f"the padding; got x: {describe(x)}, padding {padding}\n  at {user_line()}"
            )
    if axes == 1:
        x = x.reshape(*x.shape[:2], 1, x.shape[2])
        window, stride, padding = (1, *window), (1, *stride), ((0, 0), *padding)
    return x, {"window": window, "stride": stride, "padding": padding}


def _maximum(name: str, axes: int, x: Any, window: Any, stride: Any, padding: Any) -> Tensor:
    x, attrs = _arguments(name, axes, x, window, stride, padding)
    result: Tensor = _max_pool(x, **attrs)
    return result if axes == 2 else result.reshape(*result.shape[:2], result.shape[3])


def _mean(name: str, axes: int, x: Any, window: Any, stride: Any, padding: Any, count_padding: bool) -> Tensor:
    x, attrs = _arguments(name, axes, x, window, stride, padding)
    if x.dtype.kind in "biu":
        raise DTypeError(f"{name}: expected floating-point numbers, got {describe(x)}\n  at {user_line()}")
    width = attrs["window"][0] * attrs["window"][1]
    if flag(count_padding, name, "count_padding") or not any(map(any, attrs["padding"])):
        result: Tensor = _window_sum(x, factor=1 / width, **attrs)
    else:
        inside = np.ones((1, 1, *x.shape[2:]), x.dtype)
        counts = convert(_sum_kernel(np, inside, factor=1.0, **attrs), None, x.device)
        result = _window_sum(x, factor=1.0, **attrs) / counts
    return result if axes == 2 else result.reshape(*result.shape[:2], result.shape[3])


def max_pool2d(x: Any, window: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """Take the maximum of each window of images.

    Parameters
    ----------
    x : array_like
        Images, shape (N, C, H, W).
    window : int or pair of int
        Height and width of the window.
    stride : int or pair of int, optional
        Step of the window; as wide as the window if not given.
    padding : int, pair of int, pair of pairs, "same" or "valid"
        As for `conv2d`; padding never is the maximum.

    Returns
    -------
    Tensor
        Shape (N, C, oh, ow) with oh = (H + padding - window) // stride + 1.

    Raises
    ------
    ShapeError
        The rank is not 4, or the window does not fit.
    DTypeError
        Window, stride or padding are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.max_pool2d([[[[1.0, 2.0], [4.0, 3.0]]]], 2)
    Tensor([[[[4.]]]])
    """
    return _maximum("max_pool2d", 2, x, window, stride, padding)


def max_pool1d(x: Any, window: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """Take the maximum of each window of sequences.

    Parameters
    ----------
    x : array_like
        Sequences, shape (N, C, L).
    window, stride : int
        Length and step of the window; as wide as the window if not given.
    padding : int, pair in a sequence, "same" or "valid"
        As for `conv1d`; padding never is the maximum.

    Returns
    -------
    Tensor
        Shape (N, C, ol) with ol = (L + padding - window) // stride + 1.

    Raises
    ------
    ShapeError
        The rank is not 3, or the window does not fit.
    DTypeError
        Window, stride or padding are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.max_pool1d([[[1.0, 2.0, 4.0, 3.0]]], 2)
    Tensor([[[2., 4.]]])
    """
    return _maximum("max_pool1d", 1, x, window, stride, padding)


def avg_pool2d(x: Any, window: Any, stride: Any = None, padding: Any = 0, count_padding: bool = True) -> Tensor:
    """Take the mean of each window of images.

    Parameters
    ----------
    x : array_like
        Images, shape (N, C, H, W).
    window : int or pair of int
        Height and width of the window.
    stride : int or pair of int, optional
        Step of the window; as wide as the window if not given.
    padding : int, pair of int, pair of pairs, "same" or "valid"
        As for `conv2d`.
    count_padding : bool
        Whether the padding's zeros count for the mean.

    Returns
    -------
    Tensor
        Shape (N, C, oh, ow) with oh = (H + padding - window) // stride + 1.

    Raises
    ------
    ShapeError
        The rank is not 4, or the window does not fit.
    DTypeError
        Window, stride or padding are no integers, or `x` holds integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.avg_pool2d([[[[1.0, 2.0], [4.0, 3.0]]]], 2)
    Tensor([[[[2.5]]]])
    """
    return _mean("avg_pool2d", 2, x, window, stride, padding, count_padding)


def avg_pool1d(x: Any, window: Any, stride: Any = None, padding: Any = 0, count_padding: bool = True) -> Tensor:
    """Take the mean of each window of sequences.

    Parameters
    ----------
    x : array_like
        Sequences, shape (N, C, L).
    window, stride : int
        Length and step of the window; as wide as the window if not given.
    padding : int, pair in a sequence, "same" or "valid"
        As for `conv1d`.
    count_padding : bool
        Whether the padding's zeros count for the mean.

    Returns
    -------
    Tensor
        Shape (N, C, ol) with ol = (L + padding - window) // stride + 1.

    Raises
    ------
    ShapeError
        The rank is not 3, or the window does not fit.
    DTypeError
        Window, stride or padding are no integers, or `x` holds integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.avg_pool1d([[[1.0, 2.0, 4.0, 3.0]]], 2)
    Tensor([[[1.5, 3.5]]])
    """
    return _mean("avg_pool1d", 1, x, window, stride, padding, count_padding)
