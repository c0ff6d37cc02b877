"""Joining and splitting: one array of many, and many of one."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.axes import one_axis
from eagerflow.ops.indexing import place_part, read_part
from eagerflow.ops.shape import as_shape, atleast_1d, atleast_2d, atleast_3d, broadcast_to, ravel

__all__ = [
    "array_split",
    "column_stack",
    "concat",
    "concatenate",
    "dstack",
    "hstack",
    "meshgrid",
    "split",
    "stack",
    "unstack",
    "vstack",
]


def _tensors(arrays: Any, name: str) -> list[Tensor]:
    tensors = [convert(x) for x in arrays]
    if not tensors:
        raise ShapeError(f"{name}: expected one array or more, got none\n  at {user_line()}")
    return tensors


# --- joining ------------------------------------------------------------------------------------


def _concat_rule(*arrays: Spec, axis: int, sizes: tuple[int, ...]) -> Spec:
    shape = list(arrays[0].shape)
    shape[axis] = builtins.sum(x.shape[axis] for x in arrays)
    return Spec(tuple(shape), np.result_type(*[x.dtype for x in arrays]))


def _concat_gradient(g: Tensor, position: int, axis: int, sizes: tuple[int, ...]) -> Tensor:
    start = builtins.sum(sizes[:position])
    return read_part(g, (*(slice(None),) * axis, slice(start, start + sizes[position])))


def _sample_concat(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1)
    axis = draw.integer(0, len(shape) - 1)
    sizes = tuple(draw.integer(0, 3) for _ in range(draw.integer(1, 4)))
    arrays = [draw.array((*shape[:axis], size, *shape[axis + 1 :])) for size in sizes]
    return Sample(tuple(arrays), {"axis": axis, "sizes": sizes})


# `sizes` are the lengths of the inputs along the axis: all that the gradient needs of them.
_concat = Op(
    "concat", lambda xp, *arrays, axis, sizes: xp.concatenate(arrays, axis), inputs="*arrays", infer=_concat_rule,
    sample=_sample_concat, vjp=_concat_gradient, onnx="Concat", flops=0, kinds="fc",
)  # fmt: skip


@implements(np.concatenate)
def concat(arrays: Sequence[Any], /, axis: int | None = 0, *, dtype: Any = None) -> Tensor:
    """Join arrays along an axis that they have.

    Parameters
    ----------
    arrays : sequence of array_like
        Of the same shape except along `axis`.
    axis : int or None
        Where to join; None flattens the arrays first.
    dtype : dtype, optional
        Dtype of the result; otherwise what the inputs promote to.

    Returns
    -------
    Tensor
        The joined array.

    Raises
    ------
    ShapeError
        The shapes differ elsewhere; no arrays; an axis out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.concat([[1.0, 2.0], [3.0]])
    Tensor([1., 2., 3.])
    """
    tensors = _tensors(arrays, "concat")
    if axis is None:
        tensors, axis = [ravel(x) for x in tensors], 0
    if dtype is not None:
        tensors = [x.astype(dtype) for x in tensors]
    shapes = [x.shape for x in tensors]
    axis = one_axis(axis, len(shapes[0]), "concat")
    sizes = []
    first = shapes[0]
    for position, shape in enumerate(shapes):
        if len(shape) != len(first) or shape[:axis] != first[:axis] or shape[axis + 1 :] != first[axis + 1 :]:
            raise ShapeError(
                f"concat: the shapes must agree except along axis {axis}, got {first} and, at position {position}, "
                f"{shape}\n  at {user_line()}"
            )
        sizes.append(shape[axis])
    return _concat(*tensors, axis=axis, sizes=tuple(sizes))


concatenate = concat


def _sample_stack(draw: Draw) -> Sample:
    shape = draw.shape()
    arrays = [draw.array(shape) for _ in range(draw.integer(1, 4))]
    return Sample(tuple(arrays), {"axis": draw.integer(0, len(shape))})


def _stack_rule(*arrays: Spec, axis: int) -> Spec:
    shape = arrays[0].shape
    return Spec((*shape[:axis], len(arrays), *shape[axis:]), np.result_type(*[x.dtype for x in arrays]))


_stack = Op(
    "stack", lambda xp, *arrays, axis: xp.stack(arrays, axis), inputs="*arrays", infer=_stack_rule,
    sample=_sample_stack, vjp=lambda g, position, axis: read_part(g, (*(slice(None),) * axis, position)),
    flops=0, kinds="fc",
)  # fmt: skip


@implements(np.stack)
def stack(arrays: Sequence[Any], /, axis: int = 0, *, dtype: Any = None) -> Tensor:
    """Join arrays along a new axis.

    Parameters
    ----------
    arrays : sequence of array_like
        Of one shape.
    axis : int
        Position of the new axis in the result.
    dtype : dtype, optional
        Dtype of the result; otherwise what the inputs promote to.

    Returns
    -------
    Tensor
        The joined array.

    Raises
    ------
    ShapeError
        The shapes differ; no arrays; an axis out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.stack([[1.0, 2.0], [3.0, 4.0]], axis=1)
    Tensor([[1., 3.],
            [2., 4.]])
    """
    tensors = _tensors(arrays, "stack")
    if dtype is not None:
        tensors = [x.astype(dtype) for x in tensors]
    shape = tensors[0].shape
    for position, x in enumerate(tensors):
        if x.shape != shape:
            raise ShapeError(
                f"stack: expected arrays of one shape, got {shape} and, at position {position}, {x.shape}"
                f"\n  at {user_line()}"
            )
    return _stack(*tensors, axis=one_axis(axis, len(shape) + 1, "stack"))


@implements(np.vstack)
def vstack(arrays: Sequence[Any], /, *, dtype: Any = None) -> Tensor:
    """Join arrays along their rows, the first axis; vectors are rows.

    Parameters
    ----------
    arrays : sequence of array_like
        Of the same shape except along the first axis.
    dtype : dtype, optional
        Dtype of the result.

    Returns
    -------
    Tensor
        Of two axes or more.

    Raises
    ------
    ShapeError
        The shapes differ elsewhere.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.vstack([[1.0, 2.0], [3.0, 4.0]])
    Tensor([[1., 2.],
            [3., 4.]])
    """
    return concat([atleast_2d(x) for x in arrays], 0, dtype=dtype)


@implements(np.hstack)
def hstack(arrays: Sequence[Any], /, *, dtype: Any = None) -> Tensor:
    """Join arrays along their columns, the second axis; vectors along their only one.

    Parameters
    ----------
    arrays : sequence of array_like
        Of the same shape except along the second axis.
    dtype : dtype, optional
        Dtype of the result.

    Returns
    -------
    Tensor
        The joined array.

    Raises
    ------
    ShapeError
        The shapes differ elsewhere.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.hstack([[1.0, 2.0], [3.0]])
    Tensor([1., 2., 3.])
    """
    tensors = [atleast_1d(x) for x in arrays]
    return concat(tensors, 0 if tensors and tensors[0].ndim == 1 else 1, dtype=dtype)


@implements(np.dstack)
def dstack(arrays: Sequence[Any], /) -> Tensor:
    """Join arrays along the third axis.

    Parameters
    ----------
    arrays : sequence of array_like
        Of the same shape except along the third axis.

    Returns
    -------
    Tensor
        Of three axes or more.

    Raises
    ------
    ShapeError
        The shapes differ elsewhere.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.dstack([[1.0, 2.0], [3.0, 4.0]]).shape
    (1, 2, 2)
    """
    return concat([atleast_3d(x) for x in arrays], 2)


@implements(np.column_stack)
def column_stack(arrays: Sequence[Any], /) -> Tensor:
    """Join vectors as the columns of a matrix.

    Parameters
    ----------
    arrays : sequence of array_like
        Vectors, and matrices with as many rows.

    Returns
    -------
    Tensor
        A matrix.

    Raises
    ------
    ShapeError
        The lengths differ.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.column_stack([[1.0, 2.0], [3.0, 4.0]])
    Tensor([[1., 3.],
            [2., 4.]])
    """
    tensors = [convert(x) for x in arrays]
    return concat([x if x.ndim > 1 else x.reshape(-1, 1) for x in tensors], 1)


# --- splitting ----------------------------------------------------------------------------------


def _filled(parts: list[Tensor | None], shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Put zeros in place of the gradients of results that nothing used."""
    known = convert(next(part for part in parts if part is not None))
    xp = known.device.kind.namespace
    zeros: dict[tuple[int, ...], Tensor] = {}
    filled = []
    for part, shape in zip(parts, shapes, strict=True):
        if part is None:
            part = zeros.get(shape)
            if part is None:
                part = zeros[shape] = convert(xp.zeros(shape, known.dtype), None, known.device, copy=False)
        filled.append(part)
    return filled


def _split_sizes(length: int, bounds: tuple[int, ...]) -> list[int]:
    # As a slice does: bounds beyond the end stop there, those out of order give nothing.
    ends = [*bounds, length]
    return [len(range(length)[start:end]) for start, end in zip([0, *bounds], ends, strict=True)]


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
    outputs=-1, fusion="view", onnx="Split", kinds="fc",
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
        (count,) = bounds
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
    outputs=-1, fusion="view", kinds="fc",
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


@implements(np.meshgrid)
def meshgrid(*arrays: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> list[Tensor]:
    """Return the coordinates of the points of a grid.

    Parameters
    ----------
    *arrays : array_like
        Coordinates along each axis: vectors.
    copy : bool
        For NumPy's signature.
    sparse : bool
        Whether the results have length one along the axes of others, and so broadcast to the grid.
    indexing : {"xy", "ij"}
        Whether the first vector runs along the second axis, as in plots, or along the first.

    Returns
    -------
    list of Tensor
        One for each vector.

    Raises
    ------
    ShapeError
        An input has more than one axis; unknown `indexing`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x, y = ef.meshgrid([1.0, 2.0], [3.0, 4.0, 5.0])
    >>> x.shape
    (3, 2)
    """
    if indexing not in ("xy", "ij"):
        raise ShapeError(f"meshgrid: indexing is 'xy' or 'ij', got {indexing!r}\n  at {user_line()}")
    tensors = [convert(x) for x in arrays]
    for x in tensors:
        if x.ndim > 1:
            raise ShapeError(f"meshgrid: expected vectors, got shape {x.shape}\n  at {user_line()}")
    order = list(range(len(tensors)))
    if indexing == "xy" and len(order) > 1:
        order[0], order[1] = 1, 0
    sides = [1] * len(tensors)
    for axis, x in zip(order, tensors, strict=True):
        sides[axis] = x.size
    results = []
    for axis, x in zip(order, tensors, strict=True):
        line = x.reshape([x.size if i == axis else 1 for i in range(len(order))])
        results.append(line if sparse else broadcast_to(line, sides))
    return results
