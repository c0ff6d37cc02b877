"""Shape: the same elements, in the same order, along other axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, dims, implements
from eagerflow.core.callers import attributed
from eagerflow.core.dims import index, is_symbolic, lift
from eagerflow.core.explain import describe, user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.arrays.transposition import transpose
from eagerflow.ops.axes import some_axes
from eagerflow.ops.batching import along
from eagerflow.ops.checked import captured, option

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "expand_dims",
    "ravel",
    "reshape",
    "squeeze",
]


def as_shape(shape: Any, name: str) -> tuple[int, ...]:
    """Return a shape that is written as an integer or a sequence of integers.

    Raises
    ------
    DTypeError
        It holds something else.
    """
    if type(shape) is tuple:
        for side in shape:
            if type(side) is not int:
                break
        else:
            return shape
    try:
        if not hasattr(shape, "__len__"):
            return (index(shape),)
        if not isinstance(shape, str | bytes | bytearray | dict | set | frozenset):
            return tuple([index(side) for side in shape])
    except TypeError:
        pass
    raise DTypeError(f"{name}: a shape holds integers, got {describe(shape)}\n  at {user_line()}")


# --- reshape ------------------------------------------------------------------------------------


def _reshape_rule(x: Spec, *, shape: tuple[int, ...]) -> Spec:
    # NumPy's own rule, on an array that needs no memory.
    return Spec(_resolve(x.shape, shape), x.dtype)


def _resolve(old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
    if -1 not in new:
        return new
    known = math.prod([side for side in new if side != -1])
    return tuple(math.prod(old) // (known or 1) if side == -1 else side for side in new)


def _sample_reshape(draw: Draw) -> Sample:
    shape = draw.shape()
    target = [int(np.prod(shape))]
    if draw.flag():
        target = [*shape[::-1], 1]
    if draw.flag() and target:
        target[0] = -1
    return Sample((draw.array(shape),), {"shape": tuple(target)})


def _reshape_examples(op: Op, size: int, inputs: list[Any], batched: Any, attrs: dict[str, Any]) -> Any:
    (x,) = inputs
    return op(x, shape=(size, *_resolve(x.shape[1:], attrs["shape"])))


_reshape = Op(
    "reshape", lambda xp, x, *, shape: x.reshape(shape), inputs="x", infer=_reshape_rule, sample=_sample_reshape,
    vjp=lambda g, shape: _reshape(g, shape=shape), linear="x", batch=_reshape_examples,
    fusion="view", onnx="Reshape", kinds="fc",
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
    ArgumentError
        `order` is neither ``'C'`` nor ``'F'``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.reshape([1.0, 2.0, 3.0, 4.0], (2, -1))
    Tensor([[1., 2.],
            [3., 4.]])
    """
    sides = as_shape(shape, "reshape")
    if sides is not shape:
        x = captured(x, sides)
    if type(order) is str and order == "C":
        return _run_reshape(x, {"shape": sides})
    option(order, ("C", "F"), "reshape", "order")
    return transpose(_reshape(transpose(x), shape=sides[::-1]))


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


def _broadcast_examples(op: Op, size: int, inputs: list[Any], batched: Any, attrs: dict[str, Any]) -> Any:
    (x,) = inputs
    shape = attrs["shape"]
    return op(x.reshape((size,) + (1,) * (len(shape) + 1 - x.ndim) + x.shape[1:]), shape=(size, *shape))


# The backward walk undoes broadcasting, here as everywhere.
_broadcast_to = Op(
    "broadcast_to", lambda xp, x, *, shape: xp.broadcast_to(x, shape), inputs="x",
    infer=lambda x, *, shape: Spec(shape, x.dtype), sample=_sample_broadcast, vjp=lambda g: g,
    linear="x", batch=_broadcast_examples, fusion="view", onnx="Expand", kinds="fc",
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
    sides = as_shape(shape, "broadcast_to")
    if sides is not shape and is_symbolic(sides):
        x = convert(x)
        x = lift(x, sides) if type(x) is Tensor else x
    return _run_broadcast_to(x, {"shape": sides})


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
    shapes = tuple(as_shape(shape, "broadcast_shapes") for shape in shapes)
    try:
        return dims.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"broadcast: the shapes {' and '.join(map(str, shapes))} do not broadcast\n  at {user_line()}"
        ) from None


@implements(np.broadcast_arrays)
def broadcast_arrays(*arrays: Any, subok: bool = False) -> tuple[Tensor, ...]:
    """Repeat arrays so that all have the shape that they broadcast to.

    Parameters
    ----------
    *arrays : array_like
        Inputs.
    subok : bool
        For NumPy's signature.

    Returns
    -------
    tuple of Tensor
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
    return tuple([x if x.shape == shape else broadcast_to(x, shape) for x in tensors])


# --- axes of length one -------------------------------------------------------------------------


def _expanded(shape: tuple[int, ...], axis: tuple[int, ...]) -> tuple[int, ...]:
    rest = iter(shape)
    return tuple(1 if i in axis else next(rest) for i in range(len(shape) + len(axis)))


_expand_dims = Op(
    "expand_dims", lambda xp, x, *, axis: xp.expand_dims(x, axis), inputs="x",
    infer=lambda x, *, axis: Spec(_expanded(x.shape, axis), x.dtype),
    sample=lambda draw: Sample((draw.array(shape := draw.shape()),), {"axis": (draw.integer(0, len(shape)),)}),
    vjp=lambda g, axis: _squeeze(g, axis=axis), linear="x", batch=along("axis"),
    fusion="view", onnx="Unsqueeze", kinds="fc",
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
    sample=_sample_squeeze, vjp=lambda g, axis: _expand_dims(g, axis=axis),
    linear="x", batch=along("axis"), fusion="view", onnx="Squeeze", kinds="fc",
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
