"""Movement along axes: elements reversed, shifted and turned."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.shape import as_shape, ravel, reshape
from eagerflow.ops.arrays.transposition import swapaxes
from eagerflow.ops.axes import one_axis, some_axes
from eagerflow.ops.batching import along
from eagerflow.ops.checked import integer, sequence

__all__ = ["flip", "fliplr", "flipud", "roll", "rot90"]


_flip = Op(
    "flip", lambda xp, x, *, axis: xp.flip(x, axis), inputs="x", infer=lambda x, *, axis: x,
    sample=lambda draw: Sample((draw.array(shape := draw.shape()),), {"axis": draw.axes(len(shape))}),
    vjp=lambda g, axis: _flip(g, axis=axis), linear="x", batch=along("axis"), fusion="view", kinds="fc",
)  # fmt: skip


@implements(np.flip)
def flip(x: Any, /, axis: Any = None) -> Tensor:
    """Reverse the order of the elements along axes.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Which; all if not given.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        An axis out of range or repeated.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.flip([1.0, 2.0, 3.0])
    Tensor([3., 2., 1.])
    """
    source = convert(x)
    return _flip(source, axis=some_axes(axis, source.ndim, "flip"))


@implements(np.flipud)
def flipud(x: Any, /) -> Tensor:
    """Reverse the order of the rows, the first axis.

    Parameters
    ----------
    x : array_like
        Input of one axis or more.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        The input has no axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.flipud([1.0, 2.0])
    Tensor([2., 1.])
    """
    return flip(x, 0)


@implements(np.fliplr)
def fliplr(x: Any, /) -> Tensor:
    """Reverse the order of the columns, the second axis.

    Parameters
    ----------
    x : array_like
        Input of two axes or more.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        Fewer than two axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fliplr([[1.0, 2.0]])
    Tensor([[2., 1.]])
    """
    return flip(x, 1)


def _sample_roll(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1)
    axis = draw.axes(len(shape))
    return Sample((draw.array(shape),), {"shift": tuple(draw.integer(-5, 5) for _ in axis), "axis": axis})


_roll = Op(
    "roll", lambda xp, x, *, shift, axis: xp.roll(x, shift, axis), inputs="x", infer=lambda x, *, shift, axis: x,
    sample=_sample_roll, vjp=lambda g, shift, axis: _roll(g, shift=tuple([-s for s in shift]), axis=axis),
    linear="x", batch=along("axis"), flops=0, kinds="fc",
)  # fmt: skip


@implements(np.roll)
def roll(x: Any, /, shift: Any, axis: Any = None) -> Tensor:
    """Shift elements along axes; those that leave at one end come in at the other.

    Parameters
    ----------
    x : array_like
        Input.
    shift : int or tuple of int
        By how many places.
    axis : int or tuple of int, optional
        Along which axes; without it the array is shifted as if it were flat.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        An axis out of range; not as many shifts as axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.roll([1.0, 2.0, 3.0], 1)
    Tensor([3., 1., 2.])
    """
    source = convert(x)
    if axis is None:
        total = int(np.sum(as_shape(shift, "roll")))
        return reshape(_roll(ravel(source), shift=(total,), axis=(0,)), source.shape)
    axes = tuple(one_axis(item, source.ndim, "roll") for item in (axis if isinstance(axis, tuple | list) else (axis,)))
    shifts = as_shape(shift, "roll")
    if len(shifts) == 1:
        shifts *= len(axes)
    elif len(axes) == 1:
        axes *= len(shifts)
    if len(shifts) != len(axes):
        raise ShapeError(f"roll: {len(shifts)} shifts for {len(axes)} axes\n  at {user_line()}")
    return _roll(source, shift=shifts, axis=axes)


@implements(np.rot90)
def rot90(x: Any, /, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Rotate by quarter turns in the plane of two axes, from the first to the second.

    Parameters
    ----------
    x : array_like
        Input of two axes or more.
    k : int
        How many turns.
    axes : tuple of two int
        The plane.

    Returns
    -------
    Tensor
        The rotated array.

    Raises
    ------
    ShapeError
        An axis out of range, or the same twice.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.rot90([[1.0, 2.0], [3.0, 4.0]])
    Tensor([[2., 4.],
            [1., 3.]])
    """
    source = convert(x)
    plane = some_axes(tuple(sequence(axes, "rot90", "axes")), source.ndim, "rot90")
    if len(plane) != 2:
        raise ShapeError(f"rot90: axes are two axes, got {axes!r}\n  at {user_line()}")
    first, second = plane
    turns = integer(k, "rot90", "k") % 4
    if turns == 0:
        return source
    if turns == 2:
        return flip(source, (first, second))
    if turns == 1:
        return swapaxes(flip(source, second), first, second)
    return flip(swapaxes(source, first, second), second)
