"""Joining: one array of many."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.arrays.shape import atleast_1d, atleast_2d, atleast_3d, ravel
from eagerflow.ops.axes import one_axis
from eagerflow.ops.batching import along
from eagerflow.ops.indexing.indexing import read_part

__all__ = ["block", "column_stack", "concat", "concatenate", "dstack", "hstack", "stack", "vstack"]


def _items(arrays: Any, name: str) -> list[Any]:
    try:
        return list(arrays)
    except TypeError:
        raise DTypeError(f"{name}: expected a sequence of arrays, got {arrays!r:.60}\n  at {user_line()}") from None


def _tensors(arrays: Any, name: str) -> list[Tensor]:
    tensors = [convert(x) for x in _items(arrays, name)]
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
    sample=_sample_concat, vjp=_concat_gradient, linear="arrays", batch=along("axis"),
    onnx="Concat", flops=0, kinds="fc",
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
    linear="arrays", batch=along("axis"), flops=0, kinds="fc",
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
    return concat([atleast_2d(x) for x in _items(arrays, "vstack")], 0, dtype=dtype)


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
    tensors = [atleast_1d(x) for x in _items(arrays, "hstack")]
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
    return concat([atleast_3d(x) for x in _items(arrays, "dstack")], 2)


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
    tensors = [convert(x) for x in _items(arrays, "column_stack")]
    return concat([x if x.ndim > 1 else x.reshape(-1, 1) for x in tensors], 1)


@implements(np.block)
def block(arrays: Any) -> Tensor:
    """Join nested lists of arrays: the innermost along the last axis, those around them along the axis before.

    Parameters
    ----------
    arrays : nested list of array_like
        Blocks; all lists are equally deep.

    Returns
    -------
    Tensor
        The joined array.

    Raises
    ------
    ShapeError
        The shapes do not fit, a list is empty, or lists are not equally deep.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.block([[ef.eye(1), ef.zeros((1, 2))], [ef.ones((1, 3))]])
    Tensor([[1., 0., 0.],
            [1., 1., 1.]])
    """
    depth = _depth(arrays)
    leaves = [convert(leaf) for leaf in _leaves(arrays)]
    ndim = builtins.max([depth, *[leaf.ndim for leaf in leaves]])
    remaining = iter(leaves)

    def join(item: Any, level: int) -> Tensor:
        if level == depth:
            leaf = next(remaining)
            return leaf.reshape((1,) * (ndim - leaf.ndim) + leaf.shape)
        return concat([join(part, level + 1) for part in item], level - depth)

    return join(arrays, 0)


def _depth(item: Any) -> int:
    if not isinstance(item, list):
        return 0
    depths = {_depth(part) for part in item}
    if len(depths) != 1:
        raise ShapeError(
            f"block: lists are equally deep and not empty, got depths {sorted(depths)}\n  at {user_line()}"
        )
    return 1 + depths.pop()


def _leaves(item: Any) -> list[Any]:
    return [leaf for part in item for leaf in _leaves(part)] if isinstance(item, list) else [item]
