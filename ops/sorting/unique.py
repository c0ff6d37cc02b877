"""Values that occur, each once, and whether they do."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.batching import loop
from eagerflow.ops.axes import one_axis
from eagerflow.ops.checked import flag, guarded

__all__ = ["isin", "unique", "unique_all", "unique_counts", "unique_inverse", "unique_values"]


# --- sets of values -----------------------------------------------------------------------------


def _unique_kernel(xp: Any, x: Any, *, axis: int | None, equal_nan: bool) -> tuple[Any, ...]:
    values, first, inverse, counts = xp.unique(
        x.reshape(-1) if axis is None else x,
        return_index=True,
        return_inverse=True,
        return_counts=True,
        axis=axis,
        equal_nan=equal_nan,
    )
    return values, first, inverse.reshape(x.shape if axis is None else (x.shape[axis],)), counts


def _unique_rule(x: Spec, *, axis: int | None, equal_nan: bool) -> tuple[Spec, ...]:
    places = Spec((None,), np.intp)
    if axis is None:
        return Spec((None,), x.dtype), places, Spec(x.shape, np.intp), places
    values = Spec((*x.shape[:axis], None, *x.shape[axis + 1 :]), x.dtype)
    return values, places, Spec((x.shape[axis],), np.intp), places


def _sample_unique(draw: Draw) -> Sample:
    shape = draw.shape(max_side=3)
    axis = draw.integer(0, len(shape) - 1) if shape and draw.flag() else None
    return Sample((draw.array(shape, dtype=np.int64),), {"axis": axis, "equal_nan": draw.flag()})


_unique = Op(
    "unique", _unique_kernel, inputs="x", infer=_unique_rule,
    sample=_sample_unique, no_gradient="which elements are equal changes in steps", outputs=4, flops=20,
)  # fmt: skip


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: Tensor
    inverse_indices: Tensor


@implements(np.unique_all)
def unique_all(x: Any, /) -> UniqueAll:
    """Return the distinct values, and where they are.

    Parameters
    ----------
    x : array_like
        Input, read as flat. Each NaN counts as distinct.

    Returns
    -------
    UniqueAll
        ``values`` in ascending order, ``indices`` of their first occurrence, ``inverse_indices``
        (of the shape of `x`, positions in ``values``) and ``counts``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.unique_all([2, 1, 2]).counts
    Tensor([1, 2])
    """
    return UniqueAll(*_unique(convert(x), axis=None, equal_nan=False))


@implements(np.unique_counts)
def unique_counts(x: Any, /) -> UniqueCounts:
    """Return the distinct values, and how often each occurs.

    Parameters
    ----------
    x : array_like
        Input, read as flat. Each NaN counts as distinct.

    Returns
    -------
    UniqueCounts
        ``values`` in ascending order and ``counts``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> values, counts = ef.unique_counts([2, 1, 2])
    >>> values, counts
    (Tensor([1, 2]), Tensor([1, 2]))
    """
    values, _, _, counts = _unique(convert(x), axis=None, equal_nan=False)
    return UniqueCounts(values, counts)


@implements(np.unique_inverse)
def unique_inverse(x: Any, /) -> UniqueInverse:
    """Return the distinct values, and for each element which of them it is.

    Parameters
    ----------
    x : array_like
        Input, read as flat. Each NaN counts as distinct.

    Returns
    -------
    UniqueInverse
        ``values`` in ascending order, and ``inverse_indices`` of the shape of `x`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.unique_inverse([2, 1, 2]).inverse_indices
    Tensor([1, 0, 1])
    """
    values, _, inverse, _ = _unique(convert(x), axis=None, equal_nan=False)
    return UniqueInverse(values, inverse)


@implements(np.unique_values)
def unique_values(x: Any, /) -> Tensor:
    """Return the distinct values in ascending order.

    Parameters
    ----------
    x : array_like
        Input, read as flat. Each NaN counts as distinct.

    Returns
    -------
    Tensor
        A vector.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.unique_values([2, 1, 2])
    Tensor([1, 2])
    """
    return _unique(convert(x), axis=None, equal_nan=False)[0]


@implements(np.unique)
@guarded
def unique(
    x: Any,
    /,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """Return the distinct values in ascending order, as NumPy does.

    Parameters
    ----------
    x : array_like
        Input.
    return_index, return_inverse, return_counts : bool
        What else to return, in this order; see `unique_all`.
    axis : int, optional
        Compare the parts along this axis instead of all elements.
    equal_nan : bool
        Whether all NaNs count as one value.
    sorted : bool
        For NumPy's signature; the values always are.

    Returns
    -------
    Tensor or tuple of Tensor
        The values, and what else was asked for.

    Raises
    ------
    ShapeError
        The axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.unique([2, 1, 2], return_counts=True)
    (Tensor([1, 2]), Tensor([1, 2]))
    """
    source = convert(x)
    if axis is not None:
        axis = one_axis(axis, source.ndim, "unique")
    values, first, inverse, counts = _unique(source, axis=axis, equal_nan=flag(equal_nan, "unique", "equal_nan"))
    more = [(return_index, first), (return_inverse, inverse), (return_counts, counts)]
    results = (values, *[part for wanted, part in more if flag(wanted, "unique", "return_…")])
    return results if len(results) > 1 else values


def _isin_kernel(xp: Any, x1: Any, x2: Any, *, invert: bool) -> Any:
    return xp.isin(x1, x2, invert=invert)


def _isin_examples(op: Op, size: int, inputs: list[Any], batched: Any, attrs: dict[str, Any]) -> Any:
    return loop(op, size, inputs, batched, attrs) if batched[1] else op(*inputs, **attrs)


def _sample_isin(draw: Draw) -> Sample:
    x1, x2 = (draw.array(draw.shape(), dtype=np.int64) for _ in range(2))
    return Sample((x1, x2), {"invert": draw.flag()})


_isin = Op(
    "isin", _isin_kernel, inputs="x1 x2", infer=lambda x1, x2, *, invert: Spec(x1.shape, np.bool_),
    sample=_sample_isin, no_gradient="its result is boolean", batch=_isin_examples, flops=20,
)  # fmt: skip


@guarded
def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Tensor:
    """Tell for each element whether it is among the elements of another array.

    Parameters
    ----------
    x1 : array_like
        What to look for.
    x2 : array_like
        Where to look.
    invert : bool
        Whether to tell the opposite.

    Returns
    -------
    Tensor
        Booleans of the shape of `x1`. NaN is never among the elements.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.isin([1, 2, 3], [2, 5])
    Tensor([False,  True, False])
    """
    first, second = convert(x1), convert(x2)
    # A Python number is weak: 0.1 is among numbers in float32 that hold what is nearest to it.
    if type(x1) is float and second.dtype.kind == "f":
        first = first.astype(second.dtype)
    if type(x2) is float and first.dtype.kind == "f":
        second = second.astype(first.dtype)
    return _isin(first, second, invert=flag(invert, "isin", "invert"))


@implements(np.isin)
def _numpy_isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: str | None = None
) -> Tensor:
    return isin(element, test_elements, invert=invert)
