"""Sorting, searching in sorted arrays, and sets of values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.batching import loop
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.axes import one_axis
from eagerflow.ops.batching import along
from eagerflow.ops.checked import flag, guarded
from eagerflow.ops.indexing.along_axis import take, take_along_axis

__all__ = [
    "argsort",
    "isin",
    "searchsorted",
    "sort",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]

_POSITIONS = "positions are integers"


def _argsort_kernel(xp: Any, x: Any, *, axis: int, descending: bool, stable: bool) -> Any:
    kind = "stable" if stable else None
    if not descending:
        return xp.argsort(x, axis, kind=kind)
    # Reversed twice, so that equal elements keep their order.
    order = xp.flip(xp.argsort(xp.flip(x, axis), axis, kind=kind), axis)
    return x.shape[axis] - 1 - order


def _sample_sort(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1)
    attrs = {"axis": draw.integer(0, len(shape) - 1), "descending": draw.flag(), "stable": draw.flag()}
    return Sample((draw.array(shape, dtype=np.float64),), attrs)


_argsort = Op(
    "argsort", _argsort_kernel, inputs="x", infer=lambda x, *, axis, descending, stable: Spec(x.shape, np.intp),
    sample=_sample_sort, no_gradient=_POSITIONS, batch=along("axis"), flops=20,
)  # fmt: skip


def _sort_kernel(xp: Any, x: Any, *, axis: int, descending: bool, stable: bool) -> Any:
    result = xp.sort(x, axis, kind="stable" if stable else None)
    return xp.flip(result, axis) if descending else result


def _sort_gradient(g: Tensor, x: Tensor, axis: int, descending: bool, stable: bool) -> Tensor:
    order = _argsort(x, axis=axis, descending=descending, stable=stable)
    back = _argsort(order, axis=axis, descending=False, stable=False)
    return take_along_axis(g, back, axis)


def _sort_tangent(t: Tensor, x: Tensor, axis: int, descending: bool, stable: bool) -> Tensor:
    return take_along_axis(t, _argsort(x, axis=axis, descending=descending, stable=stable), axis)


_sort = Op(
    "sort", _sort_kernel, inputs="x", infer=lambda x, *, axis, descending, stable: x, sample=_sample_sort,
    vjp=_sort_gradient, jvp=_sort_tangent, batch=along("axis"), flops=20,
)  # fmt: skip


def _check_order(x: Tensor, name: str) -> None:
    if x.dtype.kind == "c":
        raise DTypeError(f"{name}: complex numbers have no order; sort x.real or ef.abs(x)\n  at {user_line()}")


def _line(x: Any, axis: int | None, name: str) -> tuple[Tensor, int]:
    source = convert(x)
    _check_order(source, name)
    if axis is None:
        return source.reshape(-1), 0
    return source, one_axis(axis, source.ndim, name)


@guarded
def sort(x: Any, /, axis: int | None = -1, *, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the elements in order along an axis.

    Parameters
    ----------
    x : array_like
        Real numbers; NaNs come last.
    axis : int or None
        The axis; None flattens the array first.
    descending : bool
        Whether the greatest come first (NaNs too).
    stable : bool
        Whether the gradients of equal elements keep their order.

    Returns
    -------
    Tensor
        The elements, in order.

    Raises
    ------
    ShapeError
        The axis is out of range.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.sort([3.0, 1.0, 2.0])
    Tensor([1., 2., 3.])
    """
    source, axis = _line(x, axis, "sort")
    return _sort(source, axis=axis, descending=descending, stable=stable)


@guarded
def argsort(x: Any, /, axis: int | None = -1, *, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the positions of the elements in order along an axis.

    Parameters
    ----------
    x : array_like
        Real numbers; NaNs come last.
    axis : int or None
        The axis; None flattens the array first.
    descending : bool
        Whether the greatest come first (NaNs too).
    stable : bool
        Whether equal elements keep their order.

    Returns
    -------
    Tensor
        Integers of the shape of `x`.

    Raises
    ------
    ShapeError
        The axis is out of range.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.argsort([3.0, 1.0, 2.0])
    Tensor([1, 2, 0])
    """
    source, axis = _line(x, axis, "argsort")
    return _argsort(source, axis=axis, descending=descending, stable=stable)


def _numpy_stable(kind: str | None, order: Any, stable: bool | None) -> bool:
    if order is not None:
        raise DTypeError("sort: Tensors have no fields to order by")
    return bool(stable) or kind in ("stable", "mergesort")


@implements(np.sort)
def _numpy_sort(
    a: Any, axis: int | None = -1, kind: str | None = None, order: Any = None, *, stable: Any = None
) -> Tensor:
    return sort(a, axis, stable=_numpy_stable(kind, order, stable))


@implements(np.argsort)
def _numpy_argsort(
    a: Any, axis: int | None = -1, kind: str | None = None, order: Any = None, *, stable: Any = None
) -> Tensor:
    return argsort(a, axis, stable=_numpy_stable(kind, order, stable))


def _sample_search(draw: Draw) -> Sample:
    line = np.sort(draw.array((draw.integer(1, 6),), dtype=np.float64))
    return Sample((line, draw.array(draw.shape(), dtype=np.float64)), {"side": draw.choice(["left", "right"])})


def _search_examples(op: Op, size: int, inputs: list[Any], batched: Any, attrs: dict[str, Any]) -> Any:
    # In one sorted array all values are looked up at once; with many of those, each example by itself.
    return loop(op, size, inputs, batched, attrs) if batched[0] else op(*inputs, **attrs)


_searchsorted = Op(
    "searchsorted", lambda xp, x1, x2, *, side: xp.searchsorted(x1, x2, side), inputs="x1 x2",
    infer=lambda x1, x2, *, side: Spec(x2.shape, np.intp), sample=_sample_search, no_gradient=_POSITIONS,
    batch=_search_examples, flops=10,
)  # fmt: skip


@implements(np.searchsorted)
@guarded
def searchsorted(x1: Any, x2: Any, /, side: str = "left", sorter: Any = None) -> Tensor:
    """Return where values belong in a sorted array.

    Parameters
    ----------
    x1 : array_like
        A vector in ascending order.
    x2 : array_like
        The values.
    side : {"left", "right"}
        Whether before or behind elements that equal the value.
    sorter : array_like of int, optional
        Positions that bring `x1` into order.

    Returns
    -------
    Tensor
        Integers of the shape of `x2`.

    Raises
    ------
    ShapeError
        `x1` is no vector; unknown `side`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.searchsorted([1.0, 2.0, 3.0], [0.5, 2.0])
    Tensor([0, 1])
    """
    line = convert(x1)
    if line.ndim != 1 or side not in ("left", "right"):
        raise ShapeError(
            f"searchsorted: expected a vector and side 'left' or 'right', got shape {line.shape} and {side!r}"
            f"\n  at {user_line()}"
        )
    return _searchsorted(line if sorter is None else take(line, sorter), x2, side=side)


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
