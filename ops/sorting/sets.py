"""Sets of values: union, intersection and differences, sorted and each value once.

Which elements are chosen depends on the values, which are needed; the gradient goes to the chosen ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.arrays.shape import ravel
from eagerflow.ops.checked import guarded
from eagerflow.ops.indexing.along_axis import take

__all__ = ["intersect1d", "setdiff1d", "setxor1d", "union1d"]


def _distinct(x: Tensor) -> Tensor:
    """Return the first of each value, in order."""
    return take(x, np.unique(x.numpy(), return_index=True)[1], 0)


@implements(np.union1d)
@guarded
def union1d(ar1: Any, ar2: Any) -> Tensor:
    """Return the values that are in one of two arrays.

    Parameters
    ----------
    ar1, ar2 : array_like
        Inputs, read as flat.

    Returns
    -------
    Tensor
        A vector in ascending order.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.union1d([3, 1, 2], [2, 5])
    Tensor([1, 2, 3, 5])
    """
    return _distinct(concat([ravel(ar1), ravel(ar2)]))


@implements(np.intersect1d)
@guarded
def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """Return the values that are in both arrays.

    Parameters
    ----------
    ar1, ar2 : array_like
        Inputs, read as flat.
    assume_unique : bool
        Whether each value occurs only once in each input.
    return_indices : bool
        Whether to return the positions of the values in each array, too.

    Returns
    -------
    Tensor or tuple of Tensor
        A vector in ascending order; with `return_indices` and the positions.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.intersect1d([3, 1, 2], [2, 5, 3])
    Tensor([2, 3])
    """
    first, second = ravel(ar1), ravel(ar2)
    found = np.intersect1d(first.numpy(), second.numpy(), assume_unique, return_indices=True)
    values = take(first, found[1], 0)
    kind = np.result_type(first.dtype, second.dtype)
    values = values if values.dtype == kind else values.astype(kind)
    return (values, convert(found[1]), convert(found[2])) if return_indices else values


@implements(np.setdiff1d)
@guarded
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Tensor:
    """Return the values of the first array that are not in the second.

    Parameters
    ----------
    ar1, ar2 : array_like
        Inputs, read as flat.
    assume_unique : bool
        Whether each value occurs only once in each input.

    Returns
    -------
    Tensor
        A vector, in ascending order unless `assume_unique`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.setdiff1d([3, 1, 2], [2, 5])
    Tensor([1, 3])
    """
    first, second = ravel(ar1), ravel(ar2)
    first = first if assume_unique else _distinct(first)
    return take(first, np.flatnonzero(np.isin(first.numpy(), second.numpy(), assume_unique=True, invert=True)), 0)


@implements(np.setxor1d)
@guarded
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Tensor:
    """Return the values that are in exactly one of two arrays.

    Parameters
    ----------
    ar1, ar2 : array_like
        Inputs, read as flat.
    assume_unique : bool
        Whether each value occurs only once in each input.

    Returns
    -------
    Tensor
        A vector in ascending order.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.setxor1d([3, 1, 2], [2, 5])
    Tensor([1, 3, 5])
    """
    first, second = ravel(ar1), ravel(ar2)
    if not assume_unique:
        first, second = _distinct(first), _distinct(second)
    both = concat([first, second])
    values = both.numpy()
    order = np.argsort(values, kind="stable")
    line = values[order]
    alone = np.ones(line.size, bool)
    equal = line[1:] == line[:-1]
    alone[1:] &= ~equal
    alone[:-1] &= ~equal
    return take(both, order[alone], 0)
