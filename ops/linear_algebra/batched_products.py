"""Batching rules of products: the examples are rows of a matrix, or one more axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from eagerflow.core import Op, Tensor
from eagerflow.core.batching import aligned
from eagerflow.ops.arrays.transposition import moveaxis
from eagerflow.ops.batching import up


def matrix_products(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """Batching rule of `matmul`: what examples share is not repeated, vectors of all examples are one matrix."""
    x, y = inputs
    left, right = x.ndim - batched[0], y.ndim - batched[1]
    if not batched[1] and left == 1:
        return _examples_first(op(x, y), right)
    if not batched[0] and right == 1:
        return _examples_first(op(y, x if left == 1 else x.mT), left)
    if (not batched[1] and right <= 2) or (not batched[0] and left <= 2):
        return op(x, y)
    # Vectors are left only where both are batched.
    if left == 1:
        x = x.reshape((size, 1, x.shape[1]))
    if right == 1:
        y = y.reshape((*y.shape, 1))
    made = aligned(op, size, [x, y], batched, attrs)
    rows, columns = made.shape[-2:]
    ends = ((rows,) if left > 1 else ()) + ((columns,) if right > 1 else ())
    return made.reshape((*made.shape[:-2], *ends)) if len(ends) < 2 else made


def _examples_first(product: Tensor, ndim: int) -> Tensor:
    """Return the product of one matrix of examples and an array of `ndim` axes, examples first."""
    return moveaxis(product, -2, 0) if ndim > 2 else product


def tensor_products(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """Batching rule of `tensordot`: one more free axis of what is batched; of both, a stack of products."""
    x, y = inputs
    left, right = attrs["axes"]
    if not batched[1]:
        return op(x, y, axes=(up(left), right))
    if not batched[0]:
        return moveaxis(op(x, y, axes=(left, up(right))), x.ndim - len(left), 0)
    left, right = up(left), up(right)
    rows = [axis for axis in range(1, x.ndim) if axis not in left]
    columns = [axis for axis in range(1, y.ndim) if axis not in right]
    x, y = x.transpose((0, *rows, *left)), y.transpose((0, *columns, *right))
    kept, free, summed = x.shape[1 : 1 + len(rows)], y.shape[1 : 1 + len(columns)], x.shape[1 + len(rows) :]
    if not summed:
        return x.reshape((size, *kept, *[1] * len(free))) * y.reshape((size, *[1] * len(kept), *free))
    x = x.reshape((size, math.prod(kept), math.prod(summed)))
    y = y.reshape((size, math.prod(free), math.prod(summed)))
    return (x @ y.mT).reshape((size, *kept, *free))
