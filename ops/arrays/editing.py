"""Editing: elements taken out, put in, or appended, by position or by a condition."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.conversion import astype
from eagerflow.ops.arrays.creation import zeros
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.arrays.shape import as_shape, broadcast_to, ravel
from eagerflow.ops.arrays.transposition import moveaxis
from eagerflow.ops.axes import one_axis, some_axes
from eagerflow.ops.checked import guarded, numpy_checks, option, plain
from eagerflow.ops.indexing.along_axis import take

__all__ = ["append", "compress", "delete", "extract", "insert", "resize", "trim_zeros"]


def _positions(obj: Any) -> Any:
    """Return positions as NumPy takes them; their values are needed."""
    if isinstance(obj, slice | int):
        return obj
    return np.empty(0, np.intp) if isinstance(obj, list | tuple) and not obj else plain(obj)


def _along(x: Any, axis: int | None, name: str) -> tuple[Tensor, int]:
    made = convert(x)
    if axis is None:
        return ravel(made), 0
    return made, one_axis(axis, made.ndim, name)


@implements(np.append)
@guarded
def append(arr: Any, values: Any, axis: int | None = None) -> Tensor:
    """Return an array with `values` behind its last element along an axis.

    Parameters
    ----------
    arr, values : array_like
        Of the same shape except along `axis`.
    axis : int, optional
        The axis; without it the array is flattened.

    Returns
    -------
    Tensor
        The longer array.

    Raises
    ------
    ShapeError
        The axis is out of range, or the shapes do not fit.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.append([1.0, 2.0], 3.0)
    Tensor([1., 2., 3.])
    """
    x, axis = _along(arr, axis, "append") if axis is not None else (ravel(arr), None)
    return concat([x, ravel(values)] if axis is None else [x, convert(values)], axis or 0)


@implements(np.delete)
@guarded
def delete(arr: Any, obj: Any, axis: int | None = None) -> Tensor:
    """Return an array without the elements at some positions along an axis.

    Parameters
    ----------
    arr : array_like
        Input.
    obj : int, slice or array_like of int or bool
        Which positions to leave out.
    axis : int, optional
        The axis; without it the array is flattened.

    Returns
    -------
    Tensor
        The shorter array.

    Raises
    ------
    ShapeError
        The axis is out of range, or a mask has another length.
    IndexOutOfBoundsError
        A position outside the axis.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.delete([1.0, 2.0, 3.0], 1)
    Tensor([1., 3.])
    """
    x, axis = _along(arr, axis, "delete")
    with numpy_checks("delete"):
        kept = np.delete(np.arange(x.shape[axis]), _positions(obj))
    return take(x, kept, axis)


@implements(np.insert)
@guarded
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Tensor:
    """Return an array with `values` before the elements at some positions along an axis.

    Parameters
    ----------
    arr : array_like
        Input.
    obj : int, slice or array_like of int or bool
        Before which positions.
    values : array_like
        Broadcast to the places; cast to the dtype of `arr`.
    axis : int, optional
        The axis; without it the array is flattened.

    Returns
    -------
    Tensor
        The longer array.

    Raises
    ------
    ShapeError
        The axis is out of range, or the shapes do not fit.
    IndexOutOfBoundsError
        A position outside the axis.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.insert([1.0, 3.0], 1, 2.0)
    Tensor([1., 2., 3.])
    """
    x, axis = _along(arr, axis, "insert")
    side = x.shape[axis]
    new = astype(values, x.dtype)
    places = _positions(obj)
    single = np.ndim(places) == 0 and not isinstance(places, slice)
    if single and new.ndim:
        # As many as there are values: these run along the axis if there is only one position.
        new = new.reshape((1,) * (x.ndim - new.ndim) + new.shape) if new.ndim < x.ndim else new
        new = moveaxis(new, 0, axis)
    else:
        new = new.reshape((1,) * (x.ndim - new.ndim) + new.shape) if new.ndim < x.ndim else new
    if new.ndim > x.ndim:
        raise ShapeError(f"insert: values of shape {new.shape} have more axes than {x.shape}\n  at {user_line()}")
    with numpy_checks("insert"):
        index = np.arange(side)
        count = new.shape[axis] if single else np.insert(index, places, -1).size - side
        order = np.insert(index, places, np.arange(side, side + count))
    new = broadcast_to(new, (*x.shape[:axis], count, *x.shape[axis + 1 :]))
    return take(concat([x, new], axis), order, axis)


@implements(np.resize)
@guarded
def resize(a: Any, new_shape: Any) -> Tensor:
    """Return an array of another shape, repeated as often as needed.

    Parameters
    ----------
    a : array_like
        Input, read as flat.
    new_shape : int or tuple of int
        The shape.

    Returns
    -------
    Tensor
        The elements in their order, from the start again behind the last one; zeros if there are none.

    Raises
    ------
    ShapeError
        A negative length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.resize([1.0, 2.0], (2, 3))
    Tensor([[1., 2., 1.],
            [2., 1., 2.]])
    """
    flat = ravel(a)
    shape = as_shape(new_shape, "resize")
    if builtins.any(side < 0 for side in shape):
        raise ShapeError(f"resize: lengths are not negative, got {new_shape!r}\n  at {user_line()}")
    if not flat.size:
        return zeros(shape, flat.dtype, device=flat.device)
    return take(flat, np.arange(math.prod(shape)) % flat.size, 0).reshape(shape)


@implements(np.compress)
@guarded
def compress(condition: Any, a: Any, axis: int | None = None) -> Tensor:
    """Return the slices along an axis at which a condition holds.

    Parameters
    ----------
    condition : array_like of bool
        A vector, not longer than the axis; its values are needed.
    a : array_like
        Input.
    axis : int, optional
        The axis; without it the array is flattened.

    Returns
    -------
    Tensor
        The slices.

    Raises
    ------
    ShapeError
        The condition is no vector, or the axis is out of range.
    IndexOutOfBoundsError
        The condition is longer than the axis.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.compress([False, True], [[1.0, 2.0], [3.0, 4.0]], axis=0)
    Tensor([[3., 4.]])
    """
    x, axis = _along(a, axis, "compress")
    holds = plain(condition)
    if holds.ndim != 1:
        raise ShapeError(f"compress: the condition is a vector, got shape {holds.shape}\n  at {user_line()}")
    return take(x, np.flatnonzero(holds), axis)


@implements(np.extract)
@guarded
def extract(condition: Any, arr: Any) -> Tensor:
    """Return the elements at which a condition holds.

    Parameters
    ----------
    condition : array_like of bool
        Of the size of `arr`; its values are needed.
    arr : array_like
        Input.

    Returns
    -------
    Tensor
        A vector.

    Raises
    ------
    IndexOutOfBoundsError
        The condition holds beyond the end of `arr`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.extract([True, False, True], [1.0, 2.0, 3.0])
    Tensor([1., 3.])
    """
    return take(ravel(arr), np.flatnonzero(plain(condition)), 0)


@implements(np.trim_zeros)
@guarded
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Tensor:
    """Return an array without the zeros at its ends.

    Parameters
    ----------
    filt : array_like
        Input; its values are needed.
    trim : {"fb", "f", "b"}
        At the front, at the back, or both.
    axis : int or tuple of int, optional
        Along which axes; all if not given.

    Returns
    -------
    Tensor
        The part from the first to the last element that is not zero.

    Raises
    ------
    ShapeError
        An axis is out of range.
    ArgumentError
        Unknown `trim`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.trim_zeros([0.0, 1.0, 0.0, 2.0, 0.0])
    Tensor([1., 0., 2.])
    """
    x = convert(filt)
    word = str(trim).lower()
    option(word, ("fb", "bf", "f", "b"), "trim_zeros", "trim")
    axes = some_axes(axis, x.ndim, "trim_zeros")
    used = np.nonzero(x.numpy())
    part = [slice(None)] * x.ndim
    for one in axes:
        places = used[one]
        first, last = (int(places.min()), int(places.max()) + 1) if places.size else (x.shape[one], x.shape[one])
        if not places.size and "f" not in word:
            last = 0
        part[one] = slice(first if "f" in word else 0, last if "b" in word else None)
    return x[tuple(part)]
