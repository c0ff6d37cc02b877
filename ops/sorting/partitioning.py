"""Order without sorting all: partitions, and sorting by several keys."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, IndexOutOfBoundsError, ShapeError
from eagerflow.ops.arrays.conversion import astype
from eagerflow.ops.arrays.joining import stack
from eagerflow.ops.axes import one_axis
from eagerflow.ops.batching import along, everywhere, up
from eagerflow.ops.checked import guarded, plain
from eagerflow.ops.indexing.along_axis import take_along_axis

__all__ = ["argpartition", "lexsort", "partition", "sort_complex"]

_POSITIONS = "positions are integers"


def _sample_partition(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1)
    axis = draw.integer(0, len(shape) - 1)
    return Sample((draw.array(shape, dtype=np.float64),), {"kth": (draw.integer(0, shape[axis] - 1),), "axis": axis})


_argpartition = Op(
    "argpartition", lambda xp, x, *, kth, axis: xp.argpartition(x, kth, axis), inputs="x",
    infer=lambda x, *, kth, axis: Spec(x.shape, np.intp), sample=_sample_partition, no_gradient=_POSITIONS,
    batch=along("axis"), flops=10,
)  # fmt: skip


def _places(a: Any, kth: Any, axis: int | None, kind: str, order: Any, name: str) -> tuple[Tensor, Tensor, int]:
    x = convert(a)
    if order is not None or kind != "introselect":
        raise DTypeError(f"{name}: kind is 'introselect' and there are no fields to order by\n  at {user_line()}")
    if x.dtype.kind == "c":
        raise DTypeError(f"{name}: complex numbers have no order; take x.real or ef.abs(x)\n  at {user_line()}")
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis = one_axis(axis, x.ndim, name)
    places = plain(kth).reshape(-1)
    side = x.shape[axis]
    if places.dtype.kind not in "iu":
        raise DTypeError(f"{name}: kth is an integer or several, got {kth!r}\n  at {user_line()}")
    wanted = places.tolist()
    if any(not -side <= place < side for place in wanted):
        raise IndexOutOfBoundsError(
            f"{name}: kth={kth!r} is out of bounds for axis {axis} of length {side}\n  at {user_line()}"
        )
    found = _argpartition(x, kth=tuple([place if place >= 0 else place + side for place in wanted]), axis=axis)
    return x, found, axis


@implements(np.argpartition)
@guarded
def argpartition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None) -> Tensor:
    """Return positions that put the `kth` elements in their place, smaller ones before them, greater ones behind.

    Parameters
    ----------
    a : array_like
        Real numbers.
    kth : int or sequence of int
        Positions in the sorted array, at which the elements belong that end up there.
    axis : int or None
        The axis; None flattens the array first.
    kind, order
        For NumPy's signature.

    Returns
    -------
    Tensor
        Integers, without a gradient. The order within the parts means nothing.

    Raises
    ------
    IndexOutOfBoundsError
        A position outside the axis.
    ShapeError
        The axis is out of range.
    DTypeError
        Complex numbers; positions that are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> int(ef.argpartition([3.0, 1.0, 2.0], 0)[0])
    1
    """
    return _places(a, kth, axis, kind, order, "argpartition")[1]


@implements(np.partition)
@guarded
def partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None) -> Tensor:
    """Return the elements with the `kth` ones in their place, smaller ones before them, greater ones behind.

    Parameters
    ----------
    a : array_like
        Real numbers.
    kth : int or sequence of int
        Positions in the sorted array, at which the elements belong that end up there.
    axis : int or None
        The axis; None flattens the array first.
    kind, order
        For NumPy's signature.

    Returns
    -------
    Tensor
        Of the shape of `a`. The order within the parts means nothing.

    Raises
    ------
    IndexOutOfBoundsError
        A position outside the axis.
    ShapeError
        The axis is out of range.
    DTypeError
        Complex numbers; positions that are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.partition([3.0, 1.0, 2.0], 1)
    Tensor([1., 2., 3.])
    """
    x, found, axis = _places(a, kth, axis, kind, order, "partition")
    return take_along_axis(x, found, axis)


# Several keys.


def _lexsort_kernel(xp: Any, keys: Any, *, axis: int) -> Any:
    if xp is np:
        return np.lexsort(keys, axis)
    # CuPy has it for two axes only. Stable sorts by one key after the other are the same.
    order = xp.argsort(keys[0], axis, kind="stable")
    for key in keys[1:]:
        again = xp.argsort(xp.take_along_axis(key, order, axis), axis, kind="stable")
        order = xp.take_along_axis(order, again, axis)
    return order


def _sample_keys(draw: Draw) -> Sample:
    shape = (draw.integer(1, 3), *draw.shape(min_dims=1, max_dims=2))
    return Sample((draw.array(shape, 0, 3, np.int64),), {"axis": draw.integer(0, len(shape) - 2)})


def _batch_keys(op: Op, size: int, inputs: Any, batched: Any, attrs: dict[str, Any]) -> Any:
    (keys,) = everywhere(size, inputs, batched)
    return op(keys.swapaxes(0, 1), axis=up(attrs["axis"]))


_lexsort = Op(
    "lexsort", _lexsort_kernel, inputs="keys",
    infer=lambda keys, *, axis: Spec(keys.shape[1:], np.intp), sample=_sample_keys, no_gradient=_POSITIONS,
    batch=_batch_keys, flops=20,
)  # fmt: skip


@implements(np.lexsort)
@guarded
def lexsort(keys: Any, axis: int = -1) -> Tensor:
    """Return the positions that sort by several keys, by the last one first.

    Parameters
    ----------
    keys : sequence of array_like
        Keys of one shape.
    axis : int
        The axis to sort along.

    Returns
    -------
    Tensor
        Integers, without a gradient.

    Raises
    ------
    ShapeError
        No keys, keys of several shapes, or an axis out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.lexsort(([3, 1, 2], [0, 0, 1]))
    Tensor([1, 0, 2])
    """
    made = stack(list(keys)) if isinstance(keys, list | tuple) else convert(keys)
    if made.ndim < 2:
        if made.ndim == 1:
            return _lexsort(made[:, None], axis=0).reshape(())
        raise ShapeError(f"lexsort: expected keys of one axis or more, got shape {made.shape}\n  at {user_line()}")
    return _lexsort(made, axis=one_axis(axis, made.ndim - 1, "lexsort"))


@implements(np.sort_complex)
@guarded
def sort_complex(a: Any) -> Tensor:
    """Return complex numbers in the order of their real parts, of equal ones in that of the imaginary parts.

    Parameters
    ----------
    a : array_like
        Input; sorted along the last axis.

    Returns
    -------
    Tensor
        Complex numbers.

    Raises
    ------
    ShapeError
        There is no axis.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.sort_complex([1 + 1j, 0 + 2j, 1 - 1j])
    Tensor([0.+2.j, 1.-1.j, 1.+1.j])
    """
    x = convert(a)
    # As NumPy: integers of one or two bytes become the narrower complex numbers.
    narrow = x.dtype.kind in "iu" and x.dtype.itemsize <= 2
    kind = np.complex64 if narrow or (x.dtype.kind == "f" and x.dtype.itemsize <= 4) else np.complex128
    x = x if x.dtype.kind == "c" else astype(x, kind)
    one_axis(-1, x.ndim, "sort_complex")
    return take_along_axis(x, lexsort((x.imag, x.real)), -1)
