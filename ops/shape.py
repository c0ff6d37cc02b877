"""Shape and movement: the same elements in another arrangement."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.callers import attributed
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.axes import one_axis, some_axes

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "ravel",
    "repeat",
    "reshape",
    "roll",
    "rot90",
    "squeeze",
    "swapaxes",
    "tile",
    "transpose",
]


def as_shape(shape: Any, name: str) -> tuple[int, ...]:
    """Return a shape that is written as an integer or a sequence of integers.

    Raises
    ------
    DTypeError
        It holds something else.
    """
    try:
        return tuple([operator.index(side) for side in shape] if hasattr(shape, "__len__") else [operator.index(shape)])
    except TypeError:
        raise DTypeError(f"{name}: a shape holds integers, got {shape!r}\n  at {user_line()}") from None


# --- reshape ------------------------------------------------------------------------------------


def _reshape_rule(x: Spec, *, shape: tuple[int, ...]) -> Spec:
    # NumPy's own rule, on an array that needs no memory.
    return Spec(_resolve(x.shape, shape), x.dtype)


def _resolve(old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
    if -1 not in new:
        return new
    known = int(np.prod([side for side in new if side != -1]))
    return tuple(int(np.prod(old)) // builtins.max(known, 1) if side == -1 else side for side in new)


def _sample_reshape(draw: Draw) -> Sample:
    shape = draw.shape()
    target = [int(np.prod(shape))]
    if draw.flag():
        target = [*shape[::-1], 1]
    if draw.flag() and target:
        target[0] = -1
    return Sample((draw.array(shape),), {"shape": tuple(target)})


_reshape = Op(
    "reshape", lambda xp, x, *, shape: x.reshape(shape), inputs="x", infer=_reshape_rule, sample=_sample_reshape,
    vjp=lambda g, shape: _reshape(g, shape=shape), fusion="view", onnx="Reshape", kinds="fc",
)  # fmt: skip
_run_reshape = attributed(_reshape)


@implements(np.reshape)
def reshape(x: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Tensor:
    """Return the elements, in row-major order, in another shape.

    Parameters
    ----------
    x : array_like
        Input.
    shape : int or sequence of int
        The shape wanted; one side may be -1 and follows from the others.
    order : {"C", "F"}
        Row-major or column-major.
    copy : bool, optional
        For the array API standard: Tensors are values, copied when they are written to.

    Returns
    -------
    Tensor
        Of shape `shape`.

    Raises
    ------
    ShapeError
        The number of elements differs.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.reshape([1.0, 2.0, 3.0, 4.0], (2, -1))
    Tensor([[1., 2.],
            [3., 4.]])
    """
    sides = as_shape(shape, "reshape")
    if order == "F":
        return transpose(_reshape(transpose(x), shape=sides[::-1]))
    if order != "C":
        raise ShapeError(f"reshape: order is 'C' or 'F', got {order!r}\n  at {user_line()}")
    return _run_reshape(x, {"shape": sides})


@implements(np.ravel)
def ravel(x: Any, /, order: str = "C") -> Tensor:
    """Return the elements as one axis.

    Parameters
    ----------
    x : array_like
        Input.
    order : {"C", "F"}
        Row-major or column-major.

    Returns
    -------
    Tensor
        Of shape ``(x.size,)``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.ravel([[1.0, 2.0], [3.0, 4.0]])
    Tensor([1., 2., 3., 4.])
    """
    return reshape(x, -1, order)


# --- broadcasting -------------------------------------------------------------------------------


def _sample_broadcast(draw: Draw) -> Sample:
    shape = draw.shape()
    return Sample((draw.array(draw.broadcastable(shape)),), {"shape": shape})


# The backward walk undoes broadcasting, here as everywhere.
_broadcast_to = Op(
    "broadcast_to", lambda xp, x, *, shape: xp.broadcast_to(x, shape), inputs="x",
    infer=lambda x, *, shape: Spec(shape, x.dtype), sample=_sample_broadcast, vjp=lambda g: g,
    fusion="view", onnx="Expand", kinds="fc",
)  # fmt: skip
_run_broadcast_to = attributed(_broadcast_to)


@implements(np.broadcast_to)
def broadcast_to(x: Any, /, shape: Any, subok: bool = False) -> Tensor:
    """Repeat an array along new axes and axes of length one.

    Parameters
    ----------
    x : array_like
        Input.
    shape : int or sequence of int
        The shape wanted.
    subok : bool
        For NumPy's signature.

    Returns
    -------
    Tensor
        Of shape `shape`.

    Raises
    ------
    ShapeError
        The input does not broadcast to `shape`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.broadcast_to([1.0, 2.0], (2, 2))
    Tensor([[1., 2.],
            [1., 2.]])
    """
    return _run_broadcast_to(x, {"shape": as_shape(shape, "broadcast_to")})


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """Return the shape that the shapes broadcast to.

    Parameters
    ----------
    *shapes : tuple of int
        Shapes.

    Returns
    -------
    tuple of int
        The common shape.

    Raises
    ------
    ShapeError
        They do not broadcast.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.broadcast_shapes((3, 1), (1, 4))
    (3, 4)
    """
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"broadcast: the shapes {' and '.join(map(str, shapes))} do not broadcast\n  at {user_line()}"
        ) from None


@implements(np.broadcast_arrays)
def broadcast_arrays(*arrays: Any, subok: bool = False) -> list[Tensor]:
    """Repeat arrays so that all have the shape that they broadcast to.

    Parameters
    ----------
    *arrays : array_like
        Inputs.
    subok : bool
        For NumPy's signature.

    Returns
    -------
    list of Tensor
        All of one shape.

    Raises
    ------
    ShapeError
        The shapes do not broadcast.

    Examples
    --------
    >>> import eagerflow as ef
    >>> [x.shape for x in ef.broadcast_arrays(ef.ones((3, 1)), ef.ones(4))]
    [(3, 4), (3, 4)]
    """
    tensors = [convert(x) for x in arrays]
    shape = broadcast_shapes(*[x.shape for x in tensors])
    return [x if x.shape == shape else _broadcast_to(x, shape=shape) for x in tensors]


# --- the order of axes --------------------------------------------------------------------------


def _sample_permute(draw: Draw) -> Sample:
    shape = draw.shape()
    return Sample((draw.array(shape),), {"axes": tuple(int(axis) for axis in draw.rng.permutation(len(shape)))})


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


_permute_dims = Op(
    "permute_dims", lambda xp, x, *, axes: x.transpose(axes), inputs="x",
    infer=lambda x, *, axes: Spec(tuple(x.shape[axis] for axis in axes), x.dtype), sample=_sample_permute,
    vjp=lambda g, axes: _permute_dims(g, axes=_inverse(axes)), fusion="view", onnx="Transpose", kinds="fc",
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
    order = some_axes(tuple(axes), source.ndim, "permute_dims")
    if len(order) != source.ndim:
        raise ShapeError(
            f"permute_dims: axes {tuple(axes)} is no order of the {source.ndim} axes of shape {source.shape}"
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


# --- axes of length one -------------------------------------------------------------------------


def _expanded(shape: tuple[int, ...], axis: tuple[int, ...]) -> tuple[int, ...]:
    rest = iter(shape)
    return tuple(1 if i in axis else next(rest) for i in range(len(shape) + len(axis)))


_expand_dims = Op(
    "expand_dims", lambda xp, x, *, axis: xp.expand_dims(x, axis), inputs="x",
    infer=lambda x, *, axis: Spec(_expanded(x.shape, axis), x.dtype),
    sample=lambda draw: Sample((draw.array(shape := draw.shape()),), {"axis": (draw.integer(0, len(shape)),)}),
    vjp=lambda g, axis: _squeeze(g, axis=axis), fusion="view", onnx="Unsqueeze", kinds="fc",
)  # fmt: skip
_run_expand_dims = attributed(_expand_dims)


def _sample_squeeze(draw: Draw) -> Sample:
    shape = list(draw.shape())
    axis = draw.integer(0, len(shape))
    shape.insert(axis, 1)
    return Sample((draw.array(tuple(shape)),), {"axis": (axis,)})


_squeeze = Op(
    "squeeze", lambda xp, x, *, axis: x.squeeze(axis), inputs="x",
    infer=lambda x, *, axis: Spec(tuple(side for i, side in enumerate(x.shape) if i not in axis), x.dtype),
    sample=_sample_squeeze, vjp=lambda g, axis: _expand_dims(g, axis=axis), fusion="view", onnx="Squeeze", kinds="fc",
)  # fmt: skip
_run_squeeze = attributed(_squeeze)


@implements(np.expand_dims)
def expand_dims(x: Any, /, axis: Any = 0) -> Tensor:
    """Insert axes of length one.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int
        Their positions in the result.

    Returns
    -------
    Tensor
        The same elements.

    Raises
    ------
    ShapeError
        A position out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.expand_dims(ef.ones((2, 3)), axis=1).shape
    (2, 1, 3)
    """
    source = convert(x)
    count = len(axis) if isinstance(axis, tuple | list) else 1
    return _run_expand_dims(source, {"axis": some_axes(axis, source.ndim + count, "expand_dims")})


@implements(np.squeeze)
def squeeze(x: Any, /, axis: Any = None) -> Tensor:
    """Remove axes of length one.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or tuple of int, optional
        Which; all of length one if not given.

    Returns
    -------
    Tensor
        The same elements.

    Raises
    ------
    ShapeError
        An axis is not of length one, or out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.squeeze(ef.ones((2, 1, 3)), axis=1).shape
    (2, 3)
    """
    source = convert(x)
    shape = source.shape
    axes = (
        tuple(i for i, side in enumerate(shape) if side == 1)
        if axis is None
        else some_axes(axis, len(shape), "squeeze")
    )
    for item in axes:
        if shape[item] != 1:
            raise ShapeError(
                f"squeeze: axis {item} has length {shape[item]}, expected 1, in shape {shape}\n  at {user_line()}"
            )
    return _run_squeeze(source, {"axis": axes})


def _at_least(ndim: int, widen: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    def function(*arrays: Any) -> Any:
        results = [x if x.ndim >= ndim else widen(x) for x in map(convert, arrays)]
        return results[0] if len(results) == 1 else tuple(results)

    function.__name__ = function.__qualname__ = f"atleast_{ndim}d"
    shown = {1: "(1,)", 2: "(1, 1)", 3: "(1, 1, 1)"}[ndim]
    function.__doc__ = f"""Return arrays with {ndim} {"axis" if ndim == 1 else "axes"} or more.

    Parameters
    ----------
    *arrays : array_like
        Inputs.

    Returns
    -------
    Tensor or tuple of Tensor
        One for each input, with axes of length one added where they were missing.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.atleast_{ndim}d(5.0).shape
    {shown}
    """
    return implements(getattr(np, function.__name__))(function)


atleast_1d = _at_least(1, lambda x: _expand_dims(x, axis=(0,)))
atleast_2d = _at_least(2, lambda x: _expand_dims(x, axis=(0, 1) if x.ndim == 0 else (0,)))
atleast_3d = _at_least(3, lambda x: _expand_dims(x, axis=((0, 1, 2), (0, 2), (2,))[x.ndim]))


# --- movement along axes ------------------------------------------------------------------------


_flip = Op(
    "flip", lambda xp, x, *, axis: xp.flip(x, axis), inputs="x", infer=lambda x, *, axis: x,
    sample=lambda draw: Sample((draw.array(shape := draw.shape()),), {"axis": draw.axes(len(shape))}),
    vjp=lambda g, axis: _flip(g, axis=axis), fusion="view", kinds="fc",
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
    flops=0, kinds="fc",
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
    first, second = some_axes(tuple(axes), source.ndim, "rot90")
    turns = k % 4
    if turns == 0:
        return source
    if turns == 2:
        return flip(source, (first, second))
    if turns == 1:
        return swapaxes(flip(source, second), first, second)
    return flip(swapaxes(source, first, second), second)


# --- repetition ---------------------------------------------------------------------------------


@implements(np.repeat)
def repeat(x: Any, repeats: Any, /, axis: int | None = None, *, total_repeat_length: int | None = None) -> Tensor:
    """Repeat each element.

    Parameters
    ----------
    x : array_like
        Input.
    repeats : int or array_like of int
        How many times; for each position along the axis, or one number for all.
    axis : int, optional
        Along which axis; without it the array is flattened.
    total_repeat_length : int, optional
        Sum of `repeats`, if known.

    Returns
    -------
    Tensor
        The elements, repeated.

    Raises
    ------
    ShapeError
        An axis out of range; `repeats` is negative or has another length than the axis.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.repeat([1.0, 2.0], 2)
    Tensor([1., 1., 2., 2.])
    """
    source = convert(x)
    if axis is None:
        source, axis = ravel(source), 0
    axis = one_axis(axis, source.ndim, "repeat")
    counts = np.asarray(repeats)
    if counts.dtype.kind not in "iub":
        raise DTypeError(f"repeat: repeats are integers, got {repeats!r}\n  at {user_line()}")
    side = source.shape[axis]
    if counts.size and int(counts.min()) < 0:
        raise ShapeError(f"repeat: repeats are not negative, got {repeats!r}\n  at {user_line()}")
    if counts.size == 1:
        count = int(counts.reshape(()))
        before, after = source.shape[:axis], source.shape[axis + 1 :]
        spread = broadcast_to(_expand_dims(source, axis=(axis + 1,)), (*before, side, count, *after))
        return reshape(spread, (*before, side * count, *after))
    if counts.shape != (side,):
        raise ShapeError(
            f"repeat: expected one number or {side} of them, as axis {axis} is long, got shape {counts.shape}"
            f"\n  at {user_line()}"
        )
    return source.take(np.repeat(np.arange(side), counts), axis)


@implements(np.tile)
def tile(x: Any, repetitions: Any, /) -> Tensor:
    """Repeat the whole array along its axes.

    Parameters
    ----------
    x : array_like
        Input.
    repetitions : int or tuple of int
        How many times along each axis, counted from the last; more numbers than axes make new axes.

    Returns
    -------
    Tensor
        The array, repeated.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.tile([1.0, 2.0], 2)
    Tensor([1., 2., 1., 2.])
    """
    source = convert(x)
    counts = as_shape(repetitions, "tile")
    ndim = builtins.max(len(counts), source.ndim)
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - source.ndim) + source.shape
    apart = [side for n in shape for side in (1, n)]
    spread = [side for pair in zip(counts, shape, strict=True) for side in pair]
    return reshape(broadcast_to(reshape(source, apart), spread), [c * n for c, n in zip(counts, shape, strict=True)])
