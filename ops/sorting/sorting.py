"""Sorting, searching in sorted arrays, and sets of values."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.batching import loop
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.axes import one_axis
from eagerflow.ops.batching import along
from eagerflow.ops.checked import guarded, option
from eagerflow.ops.indexing.along_axis import take, take_along_axis

__all__ = ["argsort", "searchsorted", "sort"]

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
        `x1` is no vector.
    ArgumentError
        Unknown `side`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.searchsorted([1.0, 2.0, 3.0], [0.5, 2.0])
    Tensor([0, 1])
    """
    line = convert(x1)
    if line.ndim != 1:
        raise ShapeError(f"searchsorted: expected a vector, got shape {line.shape}\n  at {user_line()}")
    option(side, ("left", "right"), "searchsorted", "side")
    return _searchsorted(line if sorter is None else take(line, sorter), x2, side=side)
