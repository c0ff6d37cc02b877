"""Rows of a table by number, and numbers as rows of a unit matrix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, default_dtype
from eagerflow.core.batching import repeated
from eagerflow.core.explain import describe, user_line
from eagerflow.errors import DTypeError, IndexOutOfBoundsError, ShapeError
from eagerflow.ops.arrays.conversion import check_dtype
from eagerflow.ops.axes import one_axis
from eagerflow.ops.batching import along
from eagerflow.ops.checked import integer
from eagerflow.ops.cupy_functions import add_at
from eagerflow.ops.precision import in_float32

__all__ = ["embedding", "one_hot"]


def check_numbers(name: str, what: str, numbers: Any, count: int, of: str) -> None:
    """Raise where an array holds a number that is not from 0 to ``count - 1``.

    Raises
    ------
    DTypeError, IndexOutOfBoundsError
        It holds no integers; one is out of range.
    """
    if numbers.dtype.kind not in "iu":
        raise DTypeError(f"{name}: {what} are integers, got {describe(numbers)}")
    if numbers.size:
        for extreme in (int(numbers.min()), int(numbers.max())):
            if not 0 <= extreme < count:
                raise IndexOutOfBoundsError(
                    f"{name}: {what} {extreme} is out of range for {count} {of}: expected 0 to {count - 1}"
                )


def _take(xp: Any, table: Any, ids: Any) -> Any:
    check_numbers("embedding", "ids", ids, table.shape[0], "rows")
    return table.take(ids, axis=0)


@in_float32
def _add_rows(xp: Any, g: Any, ids: Any, *, rows: int) -> Any:
    result = xp.zeros((rows, *g.shape[ids.ndim :]), g.dtype)
    add_at(xp, result, ids.reshape(-1), g.reshape(-1, *result.shape[1:]))
    return result


@in_float32
def _add_sorted_rows(xp: Any, g: Any, ids: Any, *, rows: int) -> Any:
    """Sort the rows by number and add up runs of the same: without a Python loop or `np.add.at`."""
    result = np.zeros((rows, *g.shape[ids.ndim :]), g.dtype)
    if ids.size and g.size:
        order = np.argsort(ids, axis=None, kind="stable")
        sorted_ids = ids.reshape(-1)[order]
        starts = np.flatnonzero(np.concatenate(([True], sorted_ids[1:] != sorted_ids[:-1])))
        sums = g.reshape(ids.size, -1)[order]
        if starts.size != ids.size:
            sums = np.add.reduceat(sums, starts, axis=0)
        result.reshape(rows, -1)[sorted_ids[starts]] = sums
    return result


def _sample_ids(draw: Draw) -> tuple[int, Any]:
    rows = draw.integer(1, 5)
    return rows, draw.array(draw.shape(min_dims=1), 0, rows - 1, np.int64)


def _sample_embedding(draw: Draw) -> Sample:
    rows, ids = _sample_ids(draw)
    return Sample((draw.array((rows, draw.integer(1, 3))), ids))


def _sample_gradient(draw: Draw) -> Sample:
    rows, ids = _sample_ids(draw)
    return Sample((draw.array((*ids.shape, draw.integer(1, 3))), ids), {"rows": rows})


def _batch(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """Batching rule: the tables of all examples, one below the other, are one table."""
    table, ids = inputs
    if not batched[0]:
        return op(table, ids)
    rows = table.shape[1]
    # Looking up the numbers themselves checks their range, which is that of one table.
    checked = op(convert(np.arange(rows), None, table.device), ids)
    return op(table.reshape((size * rows, *table.shape[2:])), _below_each_other(checked, size, rows, batched[1]))


def _batch_gradient(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    g, ids = inputs
    rows = attrs["rows"]
    if not batched[0]:
        g = repeated(g, size)
    made = op(g, _below_each_other(ids, size, rows, batched[1]), rows=size * rows)
    return made.reshape((size, rows, *made.shape[1:]))


def _below_each_other(ids: Tensor, size: int, rows: int, batched: bool) -> Tensor:
    """Return the numbers of rows in the tables of all examples, one below the other."""
    first = np.arange(size).reshape((size,) + (1,) * (ids.ndim - batched)) * rows
    return ids + convert(first, None, ids.device)


_embedding = Op(
    "embedding",
    _take,
    inputs="table ids",
    infer=lambda table, ids: Spec(ids.shape + table.shape[1:], table.dtype),
    sample=_sample_embedding,
    vjp=(lambda g, ids, shape: _embedding_gradient(g, ids, rows=shape[0]), None),
    linear="table",
    batch=_batch,
    onnx="Gather",
    flops=0.0,
    kinds="fc",
)
_embedding_gradient = Op(
    "embedding_gradient",
    _add_rows,
    inputs="g ids",
    infer=lambda g, ids, *, rows: Spec((rows, *g.shape[ids.ndim :]), g.dtype),
    sample=_sample_gradient,
    vjp=(lambda g, ids: _embedding(g, ids), None),
    linear="g",
    batch=_batch_gradient,
    kinds="fc",
)
_embedding_gradient.register_kernel("cpu", partial(_add_sorted_rows, np))


def embedding(table: Any, ids: Any) -> Tensor:
    """Look up rows of a table by their numbers.

    Parameters
    ----------
    table : array_like
        Rows, shape (rows, …).
    ids : array_like of int
        Numbers of rows, from 0.

    Returns
    -------
    Tensor
        Shape ``ids.shape + table.shape[1:]``.

    Raises
    ------
    IndexOutOfBoundsError
        There is no row of that number. Negative numbers do not count from the end.
    DTypeError
        `ids` holds no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.embedding([[1.0, 2.0], [3.0, 4.0]], [1, 1, 0])
    Tensor([[3., 4.],
            [3., 4.],
            [1., 2.]])
    """
    table = convert(table)
    if not table.ndim:
        raise ShapeError(f"embedding: the table has no rows: got {describe(table)}\n  at {user_line()}")
    result: Tensor = _embedding(table, ids)
    return result


def _one_hot_kernel(xp: Any, ids: Any, *, count: int, axis: int, dtype: str) -> Any:
    check_numbers("one_hot", "ids", ids, count, "classes")
    shape = (1,) * axis + (count,) + (1,) * (ids.ndim - axis)
    return (xp.expand_dims(ids, axis) == xp.arange(count).reshape(shape)).astype(dtype)


def _one_hot_rule(ids: Spec, *, count: int, axis: int, dtype: str) -> Spec:
    return Spec((*ids.shape[:axis], count, *ids.shape[axis:]), dtype)


def _sample_one_hot(draw: Draw) -> Sample:
    count, ids = _sample_ids(draw)
    return Sample((ids,), {"count": count, "axis": draw.integer(0, ids.ndim), "dtype": "float64"})


_one_hot = Op(
    "one_hot",
    _one_hot_kernel,
    inputs="ids",
    infer=_one_hot_rule,
    sample=_sample_one_hot,
    no_gradient="its input are integers",
    batch=along("axis"),
    onnx="OneHot",
)


def one_hot(ids: Any, num_classes: int, dtype: Any = None, axis: int = -1) -> Tensor:
    """Return 1 at the class of each number and 0 at the others.

    Parameters
    ----------
    ids : array_like of int
        Classes, from 0.
    num_classes : int
        How many classes there are.
    dtype : dtype, optional
        Dtype of the result; float64, or what `set_default_dtype` chose.
    axis : int
        Where the axis of classes is in the result.

    Returns
    -------
    Tensor
        One axis more than `ids`, of length `num_classes`.

    Raises
    ------
    IndexOutOfBoundsError
        A class is not from 0 to ``num_classes - 1``.
    DTypeError
        `ids` holds no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.one_hot([2, 0], 3)
    Tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    from_ids = convert(ids)
    wanted = default_dtype() if dtype is None else check_dtype(dtype, "one_hot")
    position = one_axis(axis, from_ids.ndim + 1, "one_hot")
    count = integer(num_classes, "one_hot", "num_classes")
    result: Tensor = _one_hot(from_ids, count=count, axis=position, dtype=wanted.name)
    return result
