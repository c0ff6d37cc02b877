"""Choosing among several arrays or functions, and functions applied along axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, IndexOutOfBoundsError, ShapeError
from eagerflow.ops.arrays.conversion import astype
from eagerflow.ops.arrays.creation import zeros
from eagerflow.ops.arrays.joining import stack
from eagerflow.ops.arrays.shape import broadcast_arrays, broadcast_to, expand_dims
from eagerflow.ops.arrays.transposition import moveaxis
from eagerflow.ops.axes import one_axis
from eagerflow.ops.checked import a_function, array, guarded, no_out, option
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.indexing.along_axis import take_along_axis
from eagerflow.ops.indexing.indexing import setitem

__all__ = ["apply_along_axis", "apply_over_axes", "choose", "piecewise", "select"]


def _conditions(given: Any, name: str) -> list[Tensor]:
    made = [convert(item) for item in given]
    for item in made:
        if item.dtype.kind != "b":
            raise DTypeError(f"{name}: conditions are booleans, got dtype {item.dtype}\n  at {user_line()}")
    return made


@implements(np.select)
@guarded
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Tensor:
    """Take from each place the value of the first condition that holds there.

    Parameters
    ----------
    condlist : sequence of array_like of bool
        Conditions.
    choicelist : sequence of array_like
        A value for each condition; all shapes broadcast.
    default : array_like
        Where none holds.

    Returns
    -------
    Tensor
        Values; gradients pass to those that were taken.

    Raises
    ------
    ShapeError
        Not as many values as conditions, or none; shapes that do not broadcast.
    DTypeError
        Conditions that are no booleans.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.asarray([-2.0, 0.5, 3.0])
    >>> ef.select([x < 0, x > 1], [-x, x * x], 1.0)
    Tensor([2., 1., 9.])
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ShapeError(
            f"select: expected a value for each condition, got {len(choicelist)} for {len(condlist)}"
            f"\n  at {user_line()}"
        )
    result: Any = default
    for condition, choice in zip(reversed(_conditions(condlist, "select")), reversed(choicelist), strict=True):
        result = where(condition, choice, result)
    return result


@implements(np.choose)
@guarded
def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Tensor:
    """Take from each place the value of the array whose number stands there.

    Parameters
    ----------
    a : array_like of int
        Numbers of arrays.
    choices : sequence of array_like
        The arrays; all shapes broadcast.
    out : None
        For NumPy's signature.
    mode : {"raise", "wrap", "clip"}
        What to do with numbers out of bounds.

    Returns
    -------
    Tensor
        Values; gradients pass to those that were taken.

    Raises
    ------
    ShapeError
        Shapes that do not broadcast; no arrays.
    ArgumentError
        Unknown `mode`.
    IndexOutOfBoundsError
        A number without an array.
    DTypeError
        Numbers that are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.choose([0, 1, 0], [[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    Tensor([ 1., 20.,  3.])
    """
    no_out(out, "choose")
    option(mode, ("raise", "wrap", "clip"), "choose", "mode")
    numbers = convert(a)
    if numbers.dtype.kind not in "iub":
        raise DTypeError(f"choose: numbers of arrays are integers, got dtype {numbers.dtype}\n  at {user_line()}")
    arrays = [convert(choice) for choice in choices]
    count = len(arrays)
    if not count:
        raise ShapeError(f"choose: expected one array or more, got none\n  at {user_line()}")
    numbers = astype(numbers, np.int64)
    if mode == "wrap":
        numbers = numbers % count
    elif mode == "clip":
        numbers = numbers.clip(0, count - 1)
    elif type(numbers) is Tensor:
        values = numbers.numpy()
        if values.size and (values.min() < 0 or values.max() >= count):
            raise IndexOutOfBoundsError(
                f"choose: there are {count} arrays, got numbers from {values.min()} to {values.max()}"
                f"\n  at {user_line()}"
            )
    numbers, *spread = broadcast_arrays(numbers, *arrays)
    return take_along_axis(stack(spread), expand_dims(numbers, 0), 0)[0]


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Tensor:
    """Evaluate another function in each part of the input.

    Parameters
    ----------
    x : array_like
        Input.
    condlist : sequence of array_like of bool
        Where each function is for; of several that hold, the last counts. Their values are needed.
    funclist : sequence of callable or number
        Called with the elements of their part as a vector; one more than conditions is for the rest,
        which is zero otherwise.
    *args, **kw
        Passed to the functions.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    ShapeError
        The numbers of conditions and functions do not fit, or the shapes of the conditions.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.asarray([-2.0, 0.5, 3.0])
    >>> ef.piecewise(x, [x < 0, x > 1], [lambda v: -v, lambda v: v * v, 1.0])
    Tensor([2., 1., 9.])
    """
    values = array(x, "piecewise")
    if not isinstance(funclist, list | tuple):
        raise DTypeError(f"piecewise: expected a list of functions, got {funclist!r:.60}\n  at {user_line()}")
    if isinstance(condlist, list | tuple):
        several = (
            not values.ndim
            or not condlist
            or isinstance(condlist[0], list | tuple)
            or bool(getattr(condlist[0], "ndim", False))
        )
    else:
        several = convert(condlist).ndim > values.ndim
    conditions = [convert(item) for item in (list(condlist) if several else [condlist])]
    conditions = [item if item.dtype.kind == "b" else item != 0 for item in conditions]
    if conditions and len(funclist) == len(conditions) + 1:
        rest = conditions[0]
        for condition in conditions[1:]:
            rest = rest | condition
        conditions.append(rest == False)  # noqa: E712 - element-wise
    if len(funclist) != len(conditions):
        raise ShapeError(
            f"piecewise: {len(conditions)} conditions need as many functions or one more, got {len(funclist)}"
            f"\n  at {user_line()}"
        )
    result = zeros(values.shape, values.dtype, device=values.device)
    for condition, function in zip(conditions, funclist, strict=True):
        mask = broadcast_to(condition, values.shape)
        if not callable(function):
            result = where(mask, astype(convert(function), values.dtype), result)
            continue
        part = values[mask]
        if part.size:
            result = setitem(result, mask, function(part, *args, **kw))
    return result


@implements(np.apply_along_axis)
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Tensor:
    """Apply a function to each line of an array along an axis.

    `vmap` does this with one call of the function, if that is written in array operations.

    Parameters
    ----------
    func1d : callable
        Called with one line at a time, a vector.
    axis : int
        The axis.
    arr : array_like
        Input.
    *args, **kwargs
        Passed to the function.

    Returns
    -------
    Tensor
        Of the shape of `arr` with that of the results in place of the axis.

    Raises
    ------
    ShapeError
        The axis is out of range; there are no lines; the results have several shapes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.apply_along_axis(lambda line: line[0] * line[1], 1, [[1.0, 2.0], [3.0, 4.0]])
    Tensor([ 2., 12.])
    """
    a_function(func1d, "apply_along_axis", "func1d")
    x = array(arr, "apply_along_axis")
    axis = one_axis(axis, x.ndim, "apply_along_axis")
    moved = moveaxis(x, axis, -1)
    before = moved.shape[:-1]
    lines = moved.reshape((-1, x.shape[axis])) if 0 not in before else None
    if lines is None:
        raise ShapeError(
            f"apply_along_axis: there are no lines along axis {axis} of shape {x.shape}\n  at {user_line()}"
        )
    results = [convert(func1d(lines[i], *args, **kwargs)) for i in range(lines.shape[0])]
    made = stack(results)
    inner = made.ndim - 1
    made = made.reshape((*before, *made.shape[1:]))
    return moveaxis(made, tuple(range(len(before), len(before) + inner)), tuple(range(axis, axis + inner)))


@implements(np.apply_over_axes)
def apply_over_axes(func: Callable[[Any, int], Any], a: Any, axes: Any) -> Tensor:
    """Apply a reduction over one axis after the other, with the axes kept.

    Parameters
    ----------
    func : callable
        ``func(x, axis)`` returns an array with that axis kept, or without it.
    a : array_like
        Input.
    axes : int or sequence of int
        The axes.

    Returns
    -------
    Tensor
        Of as many axes as `a`.

    Raises
    ------
    ShapeError
        An axis is out of range, or the function returns another number of axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.apply_over_axes(ef.sum, [[1.0, 2.0], [3.0, 4.0]], [0, 1])
    Tensor([[10.]])
    """
    a_function(func, "apply_over_axes", "func")
    x = array(a, "apply_over_axes")
    for item in axes if isinstance(axes, list | tuple) else (axes,):
        axis = one_axis(item, x.ndim, "apply_over_axes")
        result = convert(func(x, axis))
        if result.ndim == x.ndim - 1:
            result = expand_dims(result, axis)
        if result.ndim != x.ndim:
            raise ShapeError(f"apply_over_axes: the function made {result.ndim} axes of {x.ndim}\n  at {user_line()}")
        x = result
    return x
