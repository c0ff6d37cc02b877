"""vmap: a function of one example, run on a stack of examples at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import optree

from eagerflow.core import ArrayMethods, Tensor, convert, interpret
from eagerflow.core.batching import Batching, Draws
from eagerflow.core.dispatch import current_interpreter
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.arrays.shape import broadcast_to
from eagerflow.ops.arrays.transposition import moveaxis


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """Return `f` for a stack of examples: what `f` does to one, done to all at once.

    Parameters
    ----------
    f : callable
        Takes and returns pytrees of arrays, written for one example.
    in_axes : int, None or pytree of these
        Along which axis each argument holds its examples; None for what all share. One entry for all
        arguments, or a tuple with one for each; an entry may be a pytree that the argument's begins with.
    out_axes : int, None or pytree of these
        Along which axis the results shall hold them; None for results that are the same for all.

    Returns
    -------
    callable
        With the positional arguments of `f`. Keyword arguments hold their examples along axis 0.

    Raises
    ------
    ShapeError
        At the call: axes of different lengths, an axis that an argument does not have, `in_axes` or `out_axes` of
        another structure, nothing to map over, or examples in a result for which `out_axes` is None.
    CaptureError
        At the call: `f` asks for the values of an example, in ``if``, ``float`` or ``np.asarray``: it runs once.

    Notes
    -----
    Every op has a batching rule, or one that follows from its class; `docs/reference/coverage.md` lists them. vmap
    nests, and works under `grad` and over it: ``ef.vmap(ef.grad(f), in_axes=(None, 0))`` gives the gradient per
    example. Each example draws random numbers of its own. Assignment (``x[i] = v``) works; Variables cannot be
    assigned to.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.vmap(lambda x, y: x @ y, in_axes=(0, None))(ef.asarray([[1.0, 2.0], [3.0, 4.0]]), ef.asarray([1.0, 1.0]))
    Tensor([3., 7.])
    >>> per_example = ef.vmap(ef.grad(lambda w, x: ef.sum(w * x) ** 2), in_axes=(None, 0))
    >>> per_example(ef.asarray([1.0, 1.0]), ef.asarray([[1.0, 0.0], [0.0, 2.0]]))
    Tensor([[2., 0.],
            [0., 8.]])
    """

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, axes, rebuild = _arguments(f, args, kwargs, in_axes)
        size = _size(leaves, axes)
        level = Batching(size)
        values = [x if axis is None else level.batched(_front(x, axis)) for x, axis in zip(leaves, axes, strict=True)]
        with level.running(), interpret(Draws(level, current_interpreter.get())):
            again, keywords = rebuild(values)
            result = f(*again, **keywords)
        return _results(result, out_axes, level)

    return call


def _arguments(f: Any, args: Any, kwargs: Any, in_axes: Any) -> tuple[list[Any], list[int | None], Any]:
    """Return the leaves of the arguments, the axis of each, and what puts leaves in their place."""
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ShapeError(
            f"vmap: in_axes has {len(in_axes)} entries for {len(args)} arguments of "
            f"{getattr(f, '__name__', 'the function')}\n  at {user_line()}"
        )
    positional = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
    axes = [*_spread(positional, args, "in_axes"), *_spread((0,), (kwargs,), "in_axes")]
    both: Any = (args, kwargs)
    leaves, structure = optree.tree_flatten(both, none_is_leaf=True)
    # A plain number is shared by all: it has no axis to hold examples along.
    given = [_array(x, axis) for x, axis in zip(leaves, axes, strict=True)]
    return given, axes, structure.unflatten


def _spread(prefix: Any, tree: Any, what: str) -> list[int | None]:
    """Return the entry of `prefix` for each leaf of `tree`."""
    try:
        found = optree.tree_broadcast_prefix(prefix, tree, none_is_leaf=True)
    except ValueError as error:
        raise ShapeError(
            f"vmap: {what} has another structure than what it is for: {error}\n  at {user_line()}"
        ) from None
    axes: list[Any] = optree.tree_leaves(found, none_is_leaf=True)
    for axis in axes:
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
            raise ShapeError(f"vmap: {what} holds integers and None, got {axis!r}\n  at {user_line()}")
    return axes


def _array(x: Any, axis: int | None) -> Any:
    if axis is None:
        return x
    tensor = convert(x)
    if not -tensor.ndim <= axis < tensor.ndim:
        shape = tensor.shape
        raise ShapeError(
            f"vmap: in_axes asks for axis {axis} of an argument of shape {shape}; None is for what all examples share"
            f"\n  at {user_line()}"
        )
    return tensor


def _size(leaves: list[Any], axes: list[int | None]) -> int:
    sizes = {x.shape[axis] for x, axis in zip(leaves, axes, strict=True) if axis is not None}
    if not sizes:
        raise ShapeError(f"vmap: there is nothing to map over: in_axes is None for every argument\n  at {user_line()}")
    if len(sizes) > 1:
        shapes = [f"{x.shape} along {axis}" for x, axis in zip(leaves, axes, strict=True) if axis is not None]
        raise ShapeError(f"vmap: arguments hold different numbers of examples: {', '.join(shapes)}\n  at {user_line()}")
    size: int = sizes.pop()
    return size


def _front(x: Tensor, axis: int) -> Tensor:
    return x if axis in (0, -x.ndim) else moveaxis(x, axis, 0)


def _results(result: Any, out_axes: Any, level: Batching) -> Any:
    if isinstance(out_axes, list):
        out_axes = tuple(out_axes)
    leaves, structure = optree.tree_flatten(result)
    entries = optree.tree_leaves(_spread_results(out_axes, result), none_is_leaf=True)
    return structure.unflatten([_result(x, axis, level) for x, axis in zip(leaves, entries, strict=True)])


def _spread_results(out_axes: Any, result: Any) -> Any:
    # None is an entry in out_axes, and no leaf of a result.
    marked = optree.tree_map(lambda axis: _SHARED if axis is None else axis, out_axes, none_is_leaf=True)
    try:
        found = optree.tree_broadcast_prefix(marked, result)
    except ValueError as error:
        raise ShapeError(f"vmap: out_axes has another structure than the result: {error}\n  at {user_line()}") from None
    return optree.tree_map(lambda axis: None if axis is _SHARED else axis, found)


_SHARED = object()


def _result(x: Any, axis: Any, level: Batching) -> Any:
    if not isinstance(x, ArrayMethods | int | float | complex) and not hasattr(x, "__array__"):
        raise DTypeError(f"vmap: the function returns arrays, got {type(x).__name__}\n  at {user_line()}")
    value = convert(x)
    examples = level.examples(value)
    if axis is None:
        if examples is not None:
            raise ShapeError(f"vmap: out_axes is None for a result that differs between examples\n  at {user_line()}")
        return value
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ShapeError(f"vmap: out_axes holds integers and None, got {axis!r}\n  at {user_line()}")
    if examples is None:
        examples = broadcast_to(value, (level.size, *value.shape))
    if not -examples.ndim <= axis < examples.ndim:
        raise ShapeError(
            f"vmap: out_axes asks for axis {axis} of a result of shape {examples.shape}\n  at {user_line()}"
        )
    return examples if axis == 0 else moveaxis(examples, 0, axis)
