"""Transposition: the axes of an array in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.callers import attributed
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.axes import one_axis, some_axes
from eagerflow.ops.batching import up
from eagerflow.ops.checked import sequence

__all__ = ["matrix_transpose", "moveaxis", "permute_dims", "swapaxes", "transpose"]


def _sample_permute(draw: Draw) -> Sample:
    shape = draw.shape()
    return Sample((draw.array(shape),), {"axes": tuple(int(axis) for axis in draw.rng.permutation(len(shape)))})


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


_permute_dims = Op(
    "permute_dims", lambda xp, x, *, axes: x.transpose(axes), inputs="x",
    infer=lambda x, *, axes: Spec(tuple(x.shape[axis] for axis in axes), x.dtype), sample=_sample_permute,
    vjp=lambda g, axes: _permute_dims(g, axes=_inverse(axes)),
    linear="x", batch=lambda op, size, inputs, batched, attrs: op(inputs[0], axes=(0, *up(attrs["axes"]))),
    fusion="view", onnx="Transpose", kinds="fc",
)  # fmt: skip
_run_permute_dims = attributed(_permute_dims)


def permute_dims(x: Any, /, axes: Sequence[int]) -> Tensor:
    """Return the array with its axes in another order.

    Parameters
    ----------
    x : array_like
        Input.
    axes : sequence of int
        For each axis of the result, the axis of `x` that it is.

    Returns
    -------
    Tensor
        The same elements.

    Raises
    ------
    ShapeError
        `axes` is not an order of all axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.permute_dims(ef.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    source = convert(x)
    axes = tuple(sequence(axes, "permute_dims", "axes"))
    order = some_axes(axes, source.ndim, "permute_dims")
    if len(order) != source.ndim:
        raise ShapeError(
            f"permute_dims: axes {axes} is no order of the {source.ndim} axes of shape {source.shape}"
            f"\n  at {user_line()}"
        )
    return _run_permute_dims(source, {"axes": order})


@implements(np.transpose)
def transpose(x: Any, /, axes: Any = None) -> Tensor:
    """Return the array with its axes reversed, or in the order `axes`.

    Parameters
    ----------
    x : array_like
        Input.
    axes : sequence of int, optional
        As for `permute_dims`.

    Returns
    -------
    Tensor
        The same elements.

    Raises
    ------
    ShapeError
        `axes` is not an order of all axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.transpose(ef.ones((2, 3, 4))).shape
    (4, 3, 2)
    """
    source = convert(x)
    if axes is None:
        return _run_permute_dims(source, {"axes": tuple(range(source.ndim - 1, -1, -1))})
    return permute_dims(source, axes)


@implements(np.matrix_transpose)
def matrix_transpose(x: Any, /) -> Tensor:
    """Exchange the last two axes.

    Parameters
    ----------
    x : array_like
        A matrix, or a stack of them.

    Returns
    -------
    Tensor
        The transposed matrices.

    Raises
    ------
    ShapeError
        Fewer than two axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.matrix_transpose(ef.ones((5, 2, 3))).shape
    (5, 3, 2)
    """
    source = convert(x)
    if source.ndim < 2:
        raise ShapeError(f"matrix_transpose: expected two axes or more, got shape {source.shape}\n  at {user_line()}")
    return swapaxes(source, -1, -2)


@implements(np.moveaxis)
def moveaxis(x: Any, source: Any, destination: Any, /) -> Tensor:
    """Move axes to other positions; the others keep their order.

    Parameters
    ----------
    x : array_like
        Input.
    source, destination : int or sequence of int
        Where the axes are, and where they shall be.

    Returns
    -------
    Tensor
        The same elements.

    Raises
    ------
    ShapeError
        An axis out of range or repeated; not as many sources as destinations.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.moveaxis(ef.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    array = convert(x)
    old = some_axes(source, array.ndim, "moveaxis")
    new = some_axes(destination, array.ndim, "moveaxis")
    if len(old) != len(new):
        raise ShapeError(f"moveaxis: {len(old)} axes for {len(new)} positions\n  at {user_line()}")
    order = [axis for axis in range(array.ndim) if axis not in old]
    for position, axis in sorted(zip(new, old, strict=True)):
        order.insert(position, axis)
    return _run_permute_dims(array, {"axes": tuple(order)})


@implements(np.swapaxes)
def swapaxes(x: Any, axis1: int, axis2: int, /) -> Tensor:
    """Exchange two axes.

    Parameters
    ----------
    x : array_like
        Input.
    axis1, axis2 : int
        The axes.

    Returns
    -------
    Tensor
        The same elements.

    Raises
    ------
    ShapeError
        An axis out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.swapaxes(ef.ones((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    source = convert(x)
    first, second = one_axis(axis1, source.ndim, "swapaxes"), one_axis(axis2, source.ndim, "swapaxes")
    order = list(range(source.ndim))
    order[first], order[second] = second, first
    return _run_permute_dims(source, {"axes": tuple(order)})
