"""Batching rules of indexing with arrays: the examples become one more index, or one more slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eagerflow.core import Op, Tensor, convert
from eagerflow.core.batching import loop, repeated
from eagerflow.core.dims import Dim
from eagerflow.ops.arrays.shape import broadcast_to
from eagerflow.ops.arrays.transposition import moveaxis
from eagerflow.ops.elementwise.selection import where

ARRAY = "array"
_ALL = slice(None)


class Layout:
    """Where the axes of ``x[index]`` come from, for an index with arrays in it.

    NumPy puts the axes of the arrays where the first array stood, if the arrays (and integers) stand next to each
    other, and first of all otherwise.

    Parameters
    ----------
    template : tuple
        The index, with ``ARRAY`` for each array.
    arrays : sequence of Tensor
        The arrays of one example.
    batched : sequence of bool
        Which of them hold a stack.
    ndim : int
        Axes of one example of what is indexed.
    """

    def __init__(self, template: tuple[Any, ...], arrays: Sequence[Any], batched: Sequence[bool], ndim: int) -> None:
        shapes = [x.shape[b:] for x, b in zip(arrays, batched, strict=True)]
        masks = [x.dtype.kind == "b" for x in arrays]
        self.ndim = max(1 if mask else len(shape) for shape, mask in zip(shapes, masks, strict=True))
        self.masks = any(masks)
        advanced = [i for i, item in enumerate(template) if item == ARRAY or type(item) in (int, Dim)]
        self.separated = advanced[-1] - advanced[0] + 1 != len(advanced)
        taken = iter([len(shape) if mask else 1 for shape, mask in zip(shapes, masks, strict=True)])
        used = [next(taken) if item == ARRAY else 0 if item is None or item is Ellipsis else 1 for item in template]
        before = 0
        for item in template[: advanced[0]]:
            before += ndim - sum(used) if item is Ellipsis else 1
        self.before = 0 if self.separated else before


def _aligned(arrays: Sequence[Any], batched: Sequence[bool], size: int, ndim: int) -> list[Any]:
    """Return index arrays with the examples first, and axes of length one behind them up to `ndim`."""
    return [
        x.reshape((size,) + (1,) * (ndim + 1 - x.ndim) + x.shape[1:]) if b else x
        for x, b in zip(arrays, batched, strict=True)
    ]


def _numbers(like: Any, size: int, ndim: int) -> Tensor:
    return convert(np.arange(size).reshape((size,) + (1,) * ndim), None, like.device)


def _moved(part: Any, start: int, count: int, to: int) -> Any:
    """Return `part` with `count` axes from `start` on moved to begin at `to`."""
    if start == to:
        return part
    return moveaxis(part, tuple(range(start, start + count)), tuple(range(to, to + count)))


def reading(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """Batching rule of ops that read ``x[index]``."""
    x, *arrays = inputs
    template = attrs["index"]
    layout = Layout(template, arrays, batched[1:], x.ndim - batched[0])
    if layout.masks and any(batched[1:]):
        return loop(op, size, inputs, batched, attrs)
    if not any(batched[1:]):
        part = op(x, *arrays, **{**attrs, "index": (_ALL, *template)})
        return _moved(part, layout.ndim, 1, 0) if layout.separated else part
    aligned = _aligned(arrays, batched[1:], size, layout.ndim)
    if not batched[0] and op.name == "gather":
        return _moved(op(x, *aligned, **attrs), layout.before, 1, 0)
    x = x if batched[0] else repeated(x, size)
    part = op(x, _numbers(x, size, layout.ndim), *aligned, **{**attrs, "index": (ARRAY, *template)})
    return _moved(part, 1, layout.ndim, 1 + layout.before)


def writing(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """Batching rule of ops that put ``x`` at an index into zeros of a given shape."""
    x, *arrays = inputs
    template = attrs["index"]
    layout = Layout(template, arrays, batched[1:], len(attrs["shape"]))
    if layout.masks and any(batched[1:]):
        return loop(op, size, inputs, batched, attrs)
    part, index, more = _to_write(x if batched[0] else repeated(x, size), arrays, template, batched[1:], layout, size)
    return op(part, *more, **{**attrs, "shape": (size, *attrs["shape"]), "index": index})


def _to_write(
    part: Any, arrays: Any, template: Any, batched: Sequence[bool], layout: Layout, size: int
) -> tuple[Any, tuple[Any, ...], list[Any]]:
    """Return the values, the index and its arrays for writing parts of all examples into a stack."""
    if not any(batched):
        return (_moved(part, 0, 1, layout.ndim) if layout.separated else part), (_ALL, *template), list(arrays)
    more = [_numbers(part, size, layout.ndim), *_aligned(arrays, batched, size, layout.ndim)]
    return _moved(part, 1 + layout.before, layout.ndim, 1), (ARRAY, *template), more


def assigning(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """Batching rule of ``x[index] = value``."""
    x, value, *arrays = inputs
    template = attrs["index"]
    whole = x if batched[0] else repeated(x, size)
    shape = whole.shape[1:]
    if not arrays:
        inner = np.broadcast_to(np.False_, shape)[template].shape
        return op(whole, _spread(value, batched[1], inner, size), **{**attrs, "index": (_ALL, *template)})
    if any(batched[2:]) and any(a.dtype.kind == "b" for a in arrays):
        if template == (ARRAY,) and getattr(value, "ndim", 0) == batched[1] and arrays[0].shape[1:] == shape:
            mask = arrays[0]
            spread = value.reshape((size,) + (1,) * len(shape)) if batched[1] else value
            return where(mask, spread, whole).astype(whole.dtype)
        return loop(op, size, inputs, batched, attrs)
    layout = Layout(template, arrays, batched[2:], len(shape))
    if layout.masks:
        return loop(op, size, inputs, batched, attrs)
    rest = iter([np.broadcast_to(np.intp(0), a.shape[b:]) for a, b in zip(arrays, batched[2:], strict=True)])
    inner = np.broadcast_to(np.False_, shape)[tuple([next(rest) if item == ARRAY else item for item in template])].shape
    part = _spread(value, batched[1], inner, size)
    part, index, more = _to_write(part, arrays, template, batched[2:], layout, size)
    return op(whole, part, *more, **{**attrs, "index": index})


def _spread(value: Any, batched: bool, shape: tuple[int, ...], size: int) -> Any:
    """Return a value to write with one part of `shape` for each example."""
    if not isinstance(value, Tensor):
        return broadcast_to(convert(value), (size, *shape))
    own = value.shape[1:] if batched else value.shape
    # NumPy lets the value have more axes than the places, if they are of length one.
    own = own[max(len(own) - len(shape), 0) :]
    padded = (1,) * (len(shape) - len(own)) + own
    return broadcast_to(value.reshape((size if batched else 1, *padded)), (size, *shape))
