"""Padding: more elements at the ends of axes."""

from __future__ import annotations

from builtins import min as smallest
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.dims import Dim, has_dims
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, DTypeError, ShapeError
from eagerflow.ops.arrays.joining import concat, stack
from eagerflow.ops.arrays.ranges import arange
from eagerflow.ops.arrays.shape import broadcast_to
from eagerflow.ops.arrays.splitting import unstack
from eagerflow.ops.arrays.transposition import moveaxis
from eagerflow.ops.checked import array as checked_array
from eagerflow.ops.checked import captured, numpy_checks, option
from eagerflow.ops.elementwise.rounding import floor, minimum, round
from eagerflow.ops.indexing.along_axis import take
from eagerflow.ops.indexing.indexing import read_part
from eagerflow.ops.reductions.extremes import max, min
from eagerflow.ops.reductions.moments import mean
from eagerflow.ops.reductions.order import median

__all__ = ["pad"]

_BY_INDEX = ("edge", "reflect", "symmetric", "wrap")


def _pad_kernel(xp: Any, x: Any, *, width: tuple[tuple[int, int], ...], values: tuple[tuple[Any, Any], ...]) -> Any:
    return xp.pad(x, width, mode="constant", constant_values=values)


def _pad_gradient(g: Tensor, shape: tuple[int, ...], width: tuple[tuple[int, int], ...]) -> Tensor:
    return read_part(g, tuple([slice(before, before + n) for (before, _), n in zip(width, shape, strict=True)]))


def _pad_jvp(t: Tensor, width: tuple[tuple[int, int], ...]) -> Tensor:
    result: Tensor = _pad(t, width=width, values=((0, 0),) * len(width))
    return result


def _pad_examples(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    return op(inputs[0], **{name: ((0, 0), *pairs) for name, pairs in attrs.items()})


def _sample_pad(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1)
    width = tuple((draw.integer(0, 2), draw.integer(0, 2)) for _ in shape)
    return Sample((draw.array(shape),), {"width": width, "values": tuple((1.0, -2.0) for _ in shape)})


_pad = Op(
    "pad", _pad_kernel, inputs="x",
    infer=lambda x, *, width, values: Spec(tuple(a + n + b for n, (a, b) in zip(x.shape, width, strict=True)), x.dtype),
    sample=_sample_pad, vjp=_pad_gradient, jvp=_pad_jvp, batch=_pad_examples, onnx="Pad", flops=0, kinds="fc",
)  # fmt: skip


def _pairs(value: Any, ndim: int, name: str) -> tuple[tuple[Any, Any], ...]:
    """Return one (before, after) for each axis, however briefly it was written."""
    if isinstance(value, dict):
        pairs = [(0, 0)] * ndim
        with numpy_checks("pad"):
            for axis, pair in value.items():
                pairs[axis] = pair if isinstance(pair, tuple | list) else (pair, pair)
        value = pairs
    if has_dims(value):
        return _symbolic_pairs(value, ndim)
    try:
        spread = np.broadcast_to(np.asarray(value), (ndim, 2))
        if spread.dtype.kind not in "biufc":
            raise ValueError
    except ValueError:
        raise ShapeError(
            f"pad: {name} is a number, a pair, or a pair for each of the {ndim} axes, got {value!r}\n  at {user_line()}"
        ) from None
    return tuple((before.item(), after.item()) for before, after in spread)


def _symbolic_pairs(value: Any, ndim: int) -> tuple[tuple[Any, Any], ...]:
    rows = value if isinstance(value, tuple | list) else (value,)
    if not any(isinstance(row, tuple | list) for row in rows):
        rows = (rows,)
    pairs = [tuple(row) if isinstance(row, tuple | list) else (row,) for row in rows]
    pairs = [pair * 2 if len(pair) == 1 else pair for pair in (pairs * ndim if len(pairs) == 1 else pairs)]
    if len(pairs) != ndim or any(len(pair) != 2 for pair in pairs):
        raise ShapeError(f"pad: expected a pair for each of the {ndim} axes, got {value!r}\n  at {user_line()}")
    return tuple([(before, after) for before, after in pairs])


def _symbolic_places(side: Any, pair: tuple[Any, Any], mode: str) -> Tensor:
    """Return which elements of an axis stand where after padding, as NumPy pads positions."""
    places = arange(-pair[0], side + pair[1])
    if mode == "edge" or side == 1:
        return places.clip(0, side - 1)
    if mode == "wrap":
        return places % side
    period = 2 * side - (2 if mode == "reflect" else 0)
    places = places % period
    return minimum(places, period - (0 if mode == "reflect" else 1) - places)


@implements(np.pad)
def pad(
    array: Any, pad_width: Any, mode: str | Callable[..., Any] = "constant", *, constant_values: Any = 0,
    end_values: Any = 0, stat_length: Any = None, reflect_type: str = "even", **kwargs: Any,
) -> Tensor:  # fmt: skip
    """Return an array with more elements at the ends of its axes.

    Parameters
    ----------
    array : array_like
        Input.
    pad_width : int, pair of int, sequence of pairs or dict
        How many before and after; for all axes, for each, or by axis.
    mode : str or callable
        With what. ``"constant"``: a constant; ``"edge"``: the element at the end; ``"reflect"``, ``"symmetric"``:
        the array mirrored at its last element or behind it; ``"wrap"``: the array from its other end;
        ``"linear_ramp"``: the way from the end to a constant; ``"maximum"``, ``"minimum"``, ``"mean"``,
        ``"median"``: that of the elements next to the end; ``"empty"``: anything. A function
        ``f(line, widths, axis, kwargs)`` returns the padded line.
    constant_values : float, pair or sequence of pairs
        The constants, before and after.
    end_values : float, pair or sequence of pairs
        Where the ways of ``"linear_ramp"`` lead.
    stat_length : int, pair or sequence of pairs, optional
        How many elements count for ``"maximum"`` and its like; all if not given.
    reflect_type : {"even", "odd"}
        Whether mirrored elements are turned over at the end: ``2 * end - x``.
    **kwargs
        For the function that is the mode.

    Returns
    -------
    Tensor
        The longer array.

    Raises
    ------
    ShapeError
        A negative width, or widths that do not fit the axes; an empty axis has no elements to repeat.
    ArgumentError
        Unknown `mode` or `reflect_type`; `stat_length` is not positive.
    DTypeError
        Widths that are no integers; arguments that the mode does not take.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.pad([1.0, 2.0], (1, 0))
    Tensor([0., 1., 2.])
    >>> ef.pad([1.0, 2.0], 1, "mean")
    Tensor([1.5, 1. , 2. , 1.5])
    """
    source = checked_array(array, "pad")
    width = _pairs(pad_width, source.ndim, "pad_width")
    source = captured(source, width)
    for pair in width:
        if not all(isinstance(n, int | Dim) for n in pair):
            raise DTypeError(f"pad: widths are integers, got {pad_width!r}\n  at {user_line()}")
        if smallest(pair) < 0:
            raise ShapeError(f"pad: widths are not negative, got {pad_width!r}\n  at {user_line()}")
    if callable(mode):
        return _by_function(source, width, mode, kwargs)
    if kwargs:
        raise DTypeError(f"pad: mode {mode!r} does not take {', '.join(map(repr, kwargs))}\n  at {user_line()}")
    option(mode, ("constant", "empty", "linear_ramp", *_BY_INDEX, *_STATISTICS), "pad", "mode")
    if mode == "constant":
        return _pad(source, width=width, values=_pairs(constant_values, source.ndim, "constant_values"))
    option(reflect_type, ("even", "odd"), "pad", "reflect_type")
    lengths = _lengths(stat_length, source)
    ends = _pairs(end_values, source.ndim, "end_values")
    for axis, pair in enumerate(width):
        if mode == "empty" or not any(pair):
            source = _widen(source, axis, pair)
        elif mode == "linear_ramp":
            source = _ramp(source, axis, pair, ends[axis])
        elif not source.shape[axis]:
            raise ShapeError(f"pad: axis {axis} is empty: there is nothing to repeat\n  at {user_line()}")
        elif mode in _STATISTICS:
            source = _statistic(source, axis, pair, lengths[axis], _STATISTICS[mode])
        elif reflect_type == "odd" and mode in ("reflect", "symmetric"):
            source = _turned_over(source, axis, pair, mode)
        else:
            # NumPy pads the positions; the elements, and their gradients, follow by them.
            side: Any = source.shape[axis]
            places: Any
            if has_dims((side, pair)):
                places = _symbolic_places(side, pair, mode)
            else:
                places = np.pad(np.arange(side), pair, mode=mode)  # type: ignore[call-overload]
            source = take(source, places, axis)
    return source


def _lengths(value: Any, x: Tensor) -> tuple[tuple[Any, Any], ...]:
    if value is None:
        return ((None, None),) * x.ndim
    pairs = _pairs(value, x.ndim, "stat_length")
    if any(not isinstance(n, int) or n < 1 for pair in pairs for n in pair):
        raise ArgumentError(f"pad: stat_length are positive integers, got {value!r}\n  at {user_line()}")
    return pairs


def _widen(x: Tensor, axis: int, pair: tuple[int, int]) -> Tensor:
    """Put zeros at the ends of one axis."""
    none = ((0, 0),) * x.ndim
    return _pad(x, width=(*none[:axis], pair, *none[axis + 1 :]), values=none) if any(pair) else x


def _part(x: Tensor, axis: int, start: int | None, stop: int | None) -> Tensor:
    return read_part(x, (*(slice(None),) * axis, slice(start, stop)))


def _repeated(x: Tensor, axis: int, count: int) -> Tensor:
    return broadcast_to(x, (*x.shape[:axis], count, *x.shape[axis + 1 :]))


def _whole(x: Tensor, like: Tensor) -> Tensor:
    """Return values in the dtype of the array that is padded; integers are rounded, as NumPy does."""
    return x if x.dtype == like.dtype else (round(x) if like.dtype.kind in "iu" else x).astype(like.dtype)


def _statistic(x: Tensor, axis: int, pair: tuple[int, int], lengths: tuple[Any, Any], function: Any) -> Tensor:
    parts = [x]
    for side, (count, length) in enumerate(zip(pair, lengths, strict=True)):
        if count:
            n = x.shape[axis] if length is None else smallest(length, x.shape[axis])
            near = _part(x, axis, None, n) if side == 0 else _part(x, axis, x.shape[axis] - n, None)
            made = _repeated(_whole(function(near, axis, keepdims=True), x), axis, count)
            parts = [made, *parts] if side == 0 else [*parts, made]
    return concat(parts, axis)


def _ramp(x: Tensor, axis: int, pair: tuple[int, int], ends: tuple[Any, Any]) -> Tensor:
    parts = [x]
    for side, (count, end) in enumerate(zip(pair, ends, strict=True)):
        if not count:
            continue
        edge = _part(x, axis, None, 1) if side == 0 else _part(x, axis, -1, None)
        steps = (np.arange(count) / count).reshape((-1,) + (1,) * (x.ndim - axis - 1))
        steps = steps if x.dtype.kind not in "fc" else steps.astype(np.empty(0, x.dtype).real.dtype)
        way = end + steps * (edge - end)
        if x.dtype.kind in "iu":
            way = floor(way)
        way = way.astype(x.dtype)
        parts = [way, *parts] if side == 0 else [*parts, _reversed(way, axis)]
    return concat(parts, axis)


def _reversed(x: Tensor, axis: int) -> Tensor:
    return read_part(x, (*(slice(None),) * axis, slice(None, None, -1)))


def _turned_over(x: Tensor, axis: int, pair: tuple[int, int], mode: str) -> Tensor:
    """Mirror the array at its ends, again and again, turned over so that it goes on in its direction."""
    before, after = pair
    edge = mode == "symmetric"
    if x.shape[axis] == 1:
        return _repeated(x, axis, 1 + before + after) if before + after else x
    while before or after:
        # As far as the array reaches; the next round mirrors what has grown.
        n = x.shape[axis]
        period = n - 1 + edge
        first, last = smallest(before, period), smallest(after, period)
        parts = [x]
        if first:
            mirror = _reversed(_part(x, axis, 1 - edge, first + 1 - edge), axis)
            parts.insert(0, 2 * _part(x, axis, None, 1) - mirror)
        if last:
            mirror = _reversed(_part(x, axis, n - last - 1 + edge, n - 1 + edge), axis)
            parts.append(2 * _part(x, axis, -1, None) - mirror)
        x = concat(parts, axis)
        before, after = before - first, after - last
    return x


def _by_function(x: Tensor, width: Any, function: Callable[..., Any], kwargs: dict[str, Any]) -> Tensor:
    """Let a function fill the ends: of each line along each axis. It may write to the line, or return another."""
    x = _pad(x, width=width, values=((0, 0),) * x.ndim)
    for axis, pair in enumerate(width):
        moved = moveaxis(x, axis, -1)
        lines = unstack(moved.reshape((-1, moved.shape[-1]))) if moved.size else ()
        if lines:
            filled = []
            for line in lines:
                made = function(line, pair, axis, kwargs)
                filled.append(line if made is None else convert(made))
            x = moveaxis(stack(filled).reshape(moved.shape), -1, axis)
    return x


_STATISTICS = {"maximum": max, "mean": mean, "median": median, "minimum": min}
