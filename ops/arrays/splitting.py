"""Splitting: many arrays of one."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.core.tensor import filled
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.joining import concat, stack
from eagerflow.ops.arrays.shape import as_shape
from eagerflow.ops.axes import one_axis
from eagerflow.ops.batching import along
from eagerflow.ops.checked import integer
from eagerflow.ops.indexing.index import slice_length
from eagerflow.ops.indexing.indexing import place_part

__all__ = ["array_split", "dsplit", "hsplit", "split", "unstack", "vsplit"]


def _filled(parts: list[Tensor | None], shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Put zeros in place of the gradients of results that nothing used."""
    known = convert(next(part for part in parts if part is not None))
    zeros: dict[tuple[int, ...], Tensor] = {}
    made = []
    for part, shape in zip(parts, shapes, strict=True):
        if part is None:
            part = zeros.get(shape)
            if part is None:
                part = zeros[shape] = filled(0, shape, known.dtype, known.device)
        made.append(part)
    return made


def _split_sizes(length: int, bounds: tuple[int, ...]) -> list[int]:
    # As a slice does: bounds beyond the end stop there, those out of order give nothing.
    ends = [*bounds, length]
    return [slice_length(slice(start, end), length) for start, end in zip([0, *bounds], ends, strict=True)]


def _split_kernel(xp: Any, x: Any, *, bounds: tuple[int, ...], axis: int) -> list[Any]:
    before = (slice(None),) * axis
    ends = (*bounds, x.shape[axis])
    return [x[(*before, slice(start, end))] for start, end in zip((0, *bounds), ends, strict=True)]


def _split_rule(x: Spec, *, bounds: tuple[int, ...], axis: int) -> tuple[Spec, ...]:
    sizes = _split_sizes(x.shape[axis], bounds)
    return tuple(Spec((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype) for size in sizes)


def _split_gradient(g: list[Tensor | None], shape: tuple[int, ...], bounds: tuple[int, ...], axis: int) -> Tensor:
    sizes = _split_sizes(shape[axis], bounds)
    parts = _filled(g, [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes])
    if builtins.sum(sizes) == shape[axis]:
        return concat(parts, axis)
    # Bounds out of order: parts overlap or leave gaps.
    total: Any = None
    for part, start, size in zip(parts, (0, *bounds), sizes, strict=True):
        index = (*(slice(None),) * axis, slice(start, start + size))
        whole = place_part(part, shape, index)
        total = whole if total is None else total + whole
    return total


def _sample_split(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1, max_side=6)
    axis = draw.integer(0, len(shape) - 1)
    bounds = tuple(sorted(draw.integer(0, shape[axis]) for _ in range(draw.integer(0, 3))))
    return Sample((draw.array(shape),), {"bounds": bounds, "axis": axis})


_split = Op(
    "split", _split_kernel, inputs="x", infer=_split_rule, sample=_sample_split, vjp=_split_gradient,
    linear="x", batch=along("axis"), outputs=-1, fusion="view", onnx="Split", kinds="fc",
)  # fmt: skip


@implements(np.split)
def split(x: Any, /, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Cut an array into parts along an axis.

    Parameters
    ----------
    x : array_like
        Input.
    indices_or_sections : int or sequence of int
        Into how many equal parts, or at which positions.
    axis : int
        The axis.

    Returns
    -------
    list of Tensor
        The parts. Their gradients are joined in one step, however many there are.

    Raises
    ------
    ShapeError
        The axis cannot be divided into so many equal parts, or is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.split([1.0, 2.0, 3.0, 4.0], 2)
    [Tensor([1., 2.]), Tensor([3., 4.])]
    """
    source = convert(x)
    axis = one_axis(axis, source.ndim, "split")
    if not hasattr(indices_or_sections, "__len__"):
        (count,) = as_shape(indices_or_sections, "split")
        if count < 1 or source.shape[axis] % count:
            raise ShapeError(
                f"split: axis {axis} of length {source.shape[axis]} cannot be divided into {count} equal parts; "
                f"use ef.array_split\n  at {user_line()}"
            )
    return array_split(source, indices_or_sections, axis)


@implements(np.array_split)
def array_split(x: Any, /, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Cut an array into parts along an axis, the first ones longer by one where they cannot be equal.

    Parameters
    ----------
    x : array_like
        Input.
    indices_or_sections : int or sequence of int
        Into how many parts, or at which positions.
    axis : int
        The axis.

    Returns
    -------
    list of Tensor
        The parts.

    Raises
    ------
    ShapeError
        The number of parts is not positive, or the axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> [part.shape for part in ef.array_split(ef.zeros(5), 2)]
    [(3,), (2,)]
    """
    source = convert(x)
    axis = one_axis(axis, source.ndim, "array_split")
    bounds = as_shape(indices_or_sections, "array_split")
    if not hasattr(indices_or_sections, "__len__"):
        count = integer(bounds[0], "array_split", "the number of parts")
        if count < 1:
            raise ShapeError(f"array_split: expected one part or more, got {count}\n  at {user_line()}")
        least, longer = divmod(source.shape[axis], count)
        bounds = tuple(least * i + builtins.min(i, longer) for i in range(1, count))
    return list(_split(source, bounds=bounds, axis=axis))


def _unstack_rule(x: Spec, *, axis: int) -> tuple[Spec, ...]:
    return (Spec((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype),) * x.shape[axis]


def _unstack_kernel(xp: Any, x: Any, *, axis: int) -> list[Any]:
    return list(xp.moveaxis(x, axis, 0) if axis else x)


def _unstack_gradient(g: list[Tensor | None], shape: tuple[int, ...], axis: int) -> Tensor:
    return stack(_filled(g, [(*shape[:axis], *shape[axis + 1 :])] * len(g)), axis)


def _sample_unstack(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1)
    return Sample((draw.array(shape),), {"axis": draw.integer(0, len(shape) - 1)})


_unstack = Op(
    "unstack", _unstack_kernel, inputs="x", infer=_unstack_rule, sample=_sample_unstack, vjp=_unstack_gradient,
    linear="x", batch=along("axis"), outputs=-1, fusion="view", kinds="fc",
)  # fmt: skip


@implements(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """Take an array apart along an axis.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int
        The axis.

    Returns
    -------
    tuple of Tensor
        As many as the axis is long. Their gradients are joined in one step.

    Raises
    ------
    ShapeError
        The axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.unstack([[1.0, 2.0], [3.0, 4.0]])
    (Tensor([1., 2.]), Tensor([3., 4.]))
    """
    source = convert(x)
    return _unstack(source, axis=one_axis(axis, source.ndim, "unstack"))


@implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Tensor]:
    """Cut an array into parts along its columns, the second axis; vectors along their only one.

    Parameters
    ----------
    ary : array_like
        Input.
    indices_or_sections : int or sequence of int
        Into how many equal parts, or at which positions.

    Returns
    -------
    list of Tensor
        The parts.

    Raises
    ------
    ShapeError
        Too few axes, or the axis cannot be divided into so many equal parts.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.hsplit([1.0, 2.0], 2)
    [Tensor([1.]), Tensor([2.])]
    """
    source = _deep(ary, 1, "hsplit")
    return split(source, indices_or_sections, 1 if source.ndim > 1 else 0)


@implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Tensor]:
    """Cut an array into parts along its rows, the first axis.

    Parameters
    ----------
    ary : array_like
        Input.
    indices_or_sections : int or sequence of int
        Into how many equal parts, or at which positions.

    Returns
    -------
    list of Tensor
        The parts.

    Raises
    ------
    ShapeError
        Too few axes, or the axis cannot be divided into so many equal parts.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.vsplit([[1.0], [2.0]], 2)
    [Tensor([[1.]]), Tensor([[2.]])]
    """
    return split(_deep(ary, 2, "vsplit"), indices_or_sections, 0)


@implements(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Tensor]:
    """Cut an array into parts along the third axis.

    Parameters
    ----------
    ary : array_like
        Input.
    indices_or_sections : int or sequence of int
        Into how many equal parts, or at which positions.

    Returns
    -------
    list of Tensor
        The parts.

    Raises
    ------
    ShapeError
        Too few axes, or the axis cannot be divided into so many equal parts.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.dsplit([[[1.0, 2.0]]], 2)
    [Tensor([[[1.]]]), Tensor([[[2.]]])]
    """
    return split(_deep(ary, 3, "dsplit"), indices_or_sections, 2)


def _deep(x: Any, least: int, name: str) -> Tensor:
    source = convert(x)
    if source.ndim < least:
        raise ShapeError(f"{name}: expected {least} axes or more, got shape {source.shape}\n  at {user_line()}")
    return source
