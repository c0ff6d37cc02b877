"""Reading and writing along one axis, each line of an array at positions of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.arrays.shape import broadcast_to
from eagerflow.ops.axes import one_axis
from eagerflow.ops.batching import along
from eagerflow.ops.checked import option
from eagerflow.ops.cupy_functions import add_at
from eagerflow.ops.indexing.batched_indices import ARRAY
from eagerflow.ops.indexing.index import read_indices
from eagerflow.ops.indexing.indexing import assign, gather, read_part, setitem
from eagerflow.ops.precision import in_float32

__all__ = ["put_along_axis", "take", "take_along_axis"]

_WHOLE = slice(None)


@implements(np.take)
def take(x: Any, indices: Any, /, axis: int | None = None, *, out: None = None, mode: str = "raise") -> Tensor:
    """Return the elements at `indices` along an axis.

    Parameters
    ----------
    x : array_like
        Input.
    indices : array_like of int
        Positions; negative ones count from the end.
    axis : int, optional
        The axis; without it `x` is read as flat.
    out : None
        For NumPy's signature.
    mode : {"raise", "wrap", "clip"}
        What to do with positions out of bounds.

    Returns
    -------
    Tensor
        Of the shape of `x` with that of `indices` in place of the axis.

    Raises
    ------
    IndexOutOfBoundsError
        A position outside the axis.
    ArgumentError
        Unknown `mode`.
    DTypeError
        Positions that are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.take([[1.0, 2.0], [3.0, 4.0]], [1, 0, 1], axis=1)
    Tensor([[2., 1., 2.],
            [4., 3., 4.]])
    """
    source = convert(x)
    if axis is None:
        source, axis = source.reshape(-1), 0
    axis = one_axis(axis, source.ndim, "take")
    if type(indices) is int and type(mode) is str and mode == "raise":
        return read_part(source, (*(_WHOLE,) * axis, indices))
    places = read_indices(convert(indices) if isinstance(indices, int) else indices, source.device, "take")
    if places.dtype.kind == "b":
        raise DTypeError(f"take: positions are integers, got booleans; use x[mask]\n  at {user_line()}")
    option(mode, ("raise", "wrap", "clip"), "take", "mode")
    if mode != "raise":
        side = source.shape[axis]
        places = places % side if mode == "wrap" else places.clip(0, side - 1)
    return gather(source, places, index=(*(_WHOLE,) * axis, ARRAY))


def _sample_along(draw: Draw) -> tuple[tuple[int, ...], Any, int]:
    shape = draw.shape(min_dims=1)
    axis = draw.integer(0, len(shape) - 1)
    wanted = tuple(draw.integer(1, 4) if i == axis else side for i, side in enumerate(shape))
    return shape, draw.array(wanted, -shape[axis], shape[axis] - 1, np.int64), axis


def _sample_take_along(draw: Draw) -> Sample:
    shape, indices, axis = _sample_along(draw)
    return Sample((draw.array(shape), indices), {"axis": axis})


def _sample_add_along(draw: Draw) -> Sample:
    shape, indices, axis = _sample_along(draw)
    return Sample((draw.array(indices.shape), indices), {"shape": shape, "axis": axis})


_take_along_axis = Op(
    "take_along_axis", lambda xp, x, indices, *, axis: xp.take_along_axis(x, indices, axis), inputs="x indices",
    infer=lambda x, indices, *, axis: Spec(indices.shape, x.dtype), sample=_sample_take_along,
    vjp=(lambda g, indices, shape, axis: _add_along_axis(g, indices, shape=shape, axis=axis), None),
    linear="x", batch=along("axis"), onnx="GatherElements", flops=0, kinds="fc",
)  # fmt: skip


@in_float32
def _add_along_kernel(xp: Any, x: Any, indices: Any, *, shape: tuple[int, ...], axis: int) -> Any:
    out = xp.zeros(shape, x.dtype)
    places = xp.take_along_axis(xp.arange(out.size).reshape(shape), indices, axis)
    add_at(xp, out.reshape(-1), places.reshape(-1), x.reshape(-1))
    return out


_add_along_axis = Op(
    "add_along_axis", _add_along_kernel, inputs="x indices",
    infer=lambda x, indices, *, shape, axis: Spec(shape, x.dtype), sample=_sample_add_along,
    vjp=(lambda g, indices, axis: _take_along_axis(g, indices, axis=axis), None),
    linear="x", batch=along("axis", shapes=("shape",)), onnx="ScatterElements", kinds="fc",
)  # fmt: skip


def _along(name: str, x: Tensor, indices: Any, axis: int) -> tuple[Tensor, Tensor, int]:
    """Check the operands of an operation along an axis, and broadcast their other axes."""
    places = convert(indices, copy=False)
    if places.dtype.kind not in "iu":
        raise DTypeError(f"{name}: indices are integers, got dtype {places.dtype}\n  at {user_line()}")
    if places.ndim != x.ndim:
        raise ShapeError(
            f"{name}: x and indices need as many axes as each other, got shapes {x.shape} and {places.shape}"
            f"\n  at {user_line()}"
        )
    axis = one_axis(axis, x.ndim, name)
    rest = [
        (1 if i == axis else a, 1 if i == axis else b)
        for i, (a, b) in enumerate(zip(x.shape, places.shape, strict=True))
    ]
    if any(a != b for a, b in rest):
        if any(a != b and 1 not in (a, b) for a, b in rest):
            raise ShapeError(
                f"{name}: the shapes {x.shape} and {places.shape} do not broadcast beside axis {axis}"
                f"\n  at {user_line()}"
            )
        common = [b if a == 1 else a for a, b in rest]
        x = broadcast_to(x, (*common[:axis], x.shape[axis], *common[axis + 1 :]))
        places = broadcast_to(places, (*common[:axis], places.shape[axis], *common[axis + 1 :]))
    return x, places, axis


@implements(np.take_along_axis)
def take_along_axis(x: Any, indices: Any, /, axis: int | None = -1) -> Tensor:
    """Return, for each line of `x` along an axis, the elements at the positions in `indices`.

    Parameters
    ----------
    x : array_like
        Input.
    indices : array_like of int
        Positions along the axis; the other axes broadcast with those of `x`. What `argsort` gives fits.
    axis : int or None
        The axis; None reads `x` as flat.

    Returns
    -------
    Tensor
        Of the shape of `indices`.

    Raises
    ------
    ShapeError
        The shapes do not fit together.
    IndexOutOfBoundsError
        A position outside the axis.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.take_along_axis([[1.0, 2.0], [3.0, 4.0]], [[1], [0]], axis=1)
    Tensor([[2.],
            [3.]])
    """
    source = convert(x)
    if axis is None:
        source, axis = source.reshape(-1), 0
    source, places, axis = _along("take_along_axis", source, indices, axis)
    return _take_along_axis(source, places, axis=axis)


def put_along_axis(x: Any, indices: Any, values: Any, /, axis: int | None = -1) -> Tensor:
    """Return a copy of `x` with `values` written at the positions that `take_along_axis` reads.

    Parameters
    ----------
    x : array_like
        Input.
    indices : array_like of int
        Positions along the axis.
    values : array_like
        Broadcast to the shape of `indices`.
    axis : int or None
        The axis; None reads `x` as flat.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    ShapeError, IndexOutOfBoundsError
        As `take_along_axis`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.put_along_axis(ef.zeros((2, 2)), [[1], [0]], 5.0, axis=1)
    Tensor([[0., 5.],
            [5., 0.]])
    """
    source = convert(x)
    shape = source.shape
    if axis is None:
        source, axis = source.reshape(-1), 0
    _, places, axis = _along("put_along_axis", source, indices, axis)
    sides = places.shape
    index: list[Any] = [np.arange(n).reshape((-1,) + (1,) * (len(sides) - i - 1)) for i, n in enumerate(sides)]
    index[axis] = places
    return setitem(source, tuple(index), values).reshape(shape)


@implements(np.put_along_axis)
def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    assign(arr, ..., put_along_axis(arr, indices, values, axis))
