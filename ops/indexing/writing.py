"""Writing: copies with some elements replaced. NumPy's functions of these names give the handle the new value."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements
from eagerflow.core.dims import broadcast_shapes
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.arrays.conversion import astype
from eagerflow.ops.arrays.shape import broadcast_to, ravel
from eagerflow.ops.checked import guarded, numpy_checks, option, plain
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.indexing.along_axis import take
from eagerflow.ops.indexing.index import slice_length, split_index
from eagerflow.ops.indexing.indexing import getitem, place_part, scatter_add, setitem

__all__ = ["add_at", "fill_diagonal", "place", "put", "putmask"]


def _fits(value: Any, x: Tensor, name: str) -> Tensor:
    """Return values in the dtype of `x`.

    Raises
    ------
    DTypeError
        Complex values for real elements.
    """
    made = convert(value)
    if made.dtype.kind == "c" and x.dtype.kind != "c":
        raise DTypeError(
            f"{name}: complex numbers do not fit into a Tensor of dtype {x.dtype}; write value.real or cast it"
            f"\n  at {user_line()}"
        )
    return made if made.dtype == x.dtype else astype(made, x.dtype)


def _repeated(values: Any, x: Tensor, count: int, name: str) -> Tensor:
    """Return values in a row, from the start again behind the last one."""
    row = ravel(_fits(values, x, name))
    if count and not row.size:
        raise ShapeError(f"{name}: there are places but no values\n  at {user_line()}")
    if row.size == count or row.size == 1:
        return row if row.size == count else broadcast_to(row, (count,))
    return take(row, np.arange(count) % max(row.size, 1), 0)


@guarded
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> Tensor:
    """Return a copy with values at positions of the flattened array.

    Parameters
    ----------
    a : array_like
        Input.
    ind : array_like of int
        Positions; of values for one and the same position the last counts.
    v : array_like
        Values, from the start again if there are fewer than positions.
    mode : {"raise", "wrap", "clip"}
        What to do with positions out of bounds.

    Returns
    -------
    Tensor
        Of the shape and dtype of `a`; gradients pass to both.

    Raises
    ------
    IndexOutOfBoundsError
        A position out of bounds.
    ArgumentError
        Unknown `mode`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.put([0.0, 0.0, 0.0], [0, 2], [5.0, 6.0])
    Tensor([5., 0., 6.])
    """
    x = convert(a)
    option(mode, ("raise", "wrap", "clip"), "put", "mode")
    places = plain(ind).reshape(-1)
    if places.size and places.dtype.kind not in "iu":
        raise DTypeError(f"put: positions are integers, got dtype {places.dtype}\n  at {user_line()}")
    places = places.astype(np.intp)
    if mode != "raise":
        places = places % x.size if mode == "wrap" else np.clip(places, 0, x.size - 1)
    if not places.size or not np.size(v):
        return x
    return setitem(ravel(x), places, _repeated(v, x, places.size, "put")).reshape(x.shape)


@guarded
def place(arr: Any, mask: Any, vals: Any) -> Tensor:
    """Return a copy with values in a row at the places where a mask holds.

    Parameters
    ----------
    arr : array_like
        Input.
    mask : array_like of bool
        Of the size of `arr`; its values are needed.
    vals : array_like
        As many first values as there are places, from the start again if there are fewer.

    Returns
    -------
    Tensor
        Of the shape and dtype of `arr`; gradients pass to both.

    Raises
    ------
    ShapeError
        The mask has another shape, or there are no values.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.place([1.0, 2.0, 3.0], [True, False, True], [5.0, 6.0])
    Tensor([5., 2., 6.])
    """
    x, holds = convert(arr), plain(mask).astype(bool)
    if holds.size != x.size:
        raise ShapeError(f"place: the mask has {holds.size} elements, x has {x.size}\n  at {user_line()}")
    places = np.flatnonzero(holds)
    if not places.size:
        return x
    return setitem(ravel(x), places, _repeated(vals, x, places.size, "place")).reshape(x.shape)


@guarded
def putmask(a: Any, mask: Any, values: Any) -> Tensor:
    """Return a copy with the values of another array where a mask holds.

    Parameters
    ----------
    a : array_like
        Input.
    mask : array_like of bool
        Of the shape of `a`.
    values : array_like
        Read as flat, from the start again until there is one for each element of `a`.

    Returns
    -------
    Tensor
        Of the shape and dtype of `a`; gradients pass to both.

    Raises
    ------
    ShapeError
        The mask has another shape, or there are no values.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.putmask([1.0, 2.0, 3.0], [True, False, True], [5.0, 6.0])
    Tensor([5., 2., 5.])
    """
    x, holds = convert(a), convert(mask)
    if holds.size != x.size:
        raise ShapeError(f"putmask: the mask has {holds.size} elements, x has {x.size}\n  at {user_line()}")
    if not np.size(values):
        return x
    new = _repeated(values, x, x.size, "putmask").reshape(x.shape)
    return where(holds.reshape(x.shape), new, x)


@guarded
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> Tensor:
    """Return a copy with values on its main diagonal.

    Parameters
    ----------
    a : array_like
        Input of two axes, or of more that are all of one length.
    val : array_like
        Values, from the start again if there are fewer than places.
    wrap : bool
        Whether the diagonal of a tall matrix begins again behind each square.

    Returns
    -------
    Tensor
        Of the shape and dtype of `a`; gradients pass to both.

    Raises
    ------
    ShapeError
        Fewer than two axes, or more than two of unequal lengths.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fill_diagonal(ef.zeros((2, 2)), [1.0, 2.0])
    Tensor([[1., 0.],
            [0., 2.]])
    """
    x = convert(a)
    if x.ndim < 2 or (x.ndim > 2 and len(set(x.shape)) > 1):
        raise ShapeError(
            f"fill_diagonal: expected two axes, or several of one length, got shape {x.shape}\n  at {user_line()}"
        )
    # The diagonal as positions in the flat array, as NumPy counts them.
    end = None
    if x.ndim == 2:
        step = x.shape[1] + 1
        end = None if wrap else x.shape[1] * x.shape[1]
    else:
        step = 1 + sum(x.shape[0] ** power for power in range(1, x.ndim))
    places = slice(None, end, step)
    count = slice_length(places, x.size)
    if not count:
        return x
    return setitem(ravel(x), places, _repeated(val, x, count, "fill_diagonal")).reshape(x.shape)


@guarded
def add_at(x: Any, index: Any, values: Any) -> Tensor:
    """Return a copy with values added at an index; places that it names more than once get all of them.

    Parameters
    ----------
    x : array_like
        Input.
    index : index expression
        As for `getitem`.
    values : array_like
        Broadcast to the shape of ``x[index]``.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`; gradients pass to both.

    Raises
    ------
    IndexOutOfBoundsError, DTypeError, ShapeError
        As `setitem`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.add_at([0.0, 0.0], [1, 1, 0], 1.0)
    Tensor([1., 2.])
    """
    source = convert(x)
    made = _fits(values, source, "add_at")
    template, arrays = split_index(index, source.device, "add_at")
    target = getitem(source, index).shape
    with numpy_checks("add_at"):
        broadcast_shapes(made.shape, target)
    made = broadcast_to(made, target)
    if arrays:
        return source + scatter_add(made, *arrays, shape=source.shape, index=template)
    return source + place_part(made, source.shape, template)


# NumPy's functions write to their first argument: the handle gets the new value.


@implements(np.put)
def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    a[...] = put(a, ind, v, mode)


@implements(np.place)
def _place(arr: Any, mask: Any, vals: Any) -> None:
    arr[...] = place(arr, mask, vals)


@implements(np.putmask)
def _putmask(a: Any, /, mask: Any, values: Any) -> None:
    a[...] = putmask(a, mask, values)


@implements(np.fill_diagonal)
def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    a[...] = fill_diagonal(a, val, wrap)


@implements(np.copyto)
def _copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    new = convert(src)
    weak = isinstance(src, int | float | complex | bool)
    if not np.can_cast(np.min_scalar_type(src) if weak else new.dtype, dst.dtype, casting):
        raise DTypeError(
            f"copyto: {new.dtype} does not fit into {dst.dtype} with casting={casting!r}\n  at {user_line()}"
        )
    new = broadcast_to(astype(new, dst.dtype), dst.shape)
    dst[...] = new if where is True else _select(where, new, convert(dst))


def _select(condition: Any, x: Tensor, y: Tensor) -> Tensor:
    return where(broadcast_to(condition, y.shape), x, y)


def write_at(ufunc: Any, target: Any, index: Any, values: Any) -> None:
    """Do what ``np.add.at(target, index, values)`` does, to a handle.

    Raises
    ------
    DTypeError
        Another function than `np.add` and `np.subtract`.
    """
    if ufunc not in (np.add, np.subtract):
        name = ufunc.__name__
        raise DTypeError(
            f"np.{name}.at: on Tensors there are np.add.at and np.subtract.at only; where no place is named twice, "
            f"write x[index] = np.{name}(x[index], y)\n  at {user_line()}"
        )
    made = convert(values)
    target[...] = add_at(target, index, made if ufunc is np.add else -made)
