"""Gradients of your own: custom_gradient, and checkpoint, which recomputes instead of keeping."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import optree

from eagerflow.core import ArrayMethods, Eager, GradientTape, Tensor, Variable, convert, interpret, is_inexact, wrap
from eagerflow.core.explain import user_line
from eagerflow.core.op import Op
from eagerflow.core.pullback import output, restore
from eagerflow.core.record import Record, Recorder, active, attach, recorders
from eagerflow.errors import GradientError
from eagerflow.gradients import Function


class _CallOp:
    """The op of one call of a user's function, whose gradients come all at once."""

    no_gradient = None
    arrays = None

    def __init__(self, name: str, gradients: Callable[[list[Any], Record, bool], list[Any]]) -> None:
        self.name = name

        def one(tracked: bool, g: Any, record: Record, position: int) -> Any:
            return g.once(lambda: gradients(g, record, tracked))[position]

        self.plain = self.pullbacks = (functools.partial(one, False),)
        self.tracked = (functools.partial(one, True),)

    def pullback(self, position: int) -> Any:
        """Return what the backward walk calls."""
        return self.plain[0]


def _attach(op: Any, parents: tuple[Record | None, ...], saved: Any, results: list[Tensor], device: Any) -> Any:
    shapes, dtypes = tuple(r.shape for r in results), tuple(r.dtype for r in results)
    return attach(op, parents, saved, None, shapes, dtypes, device)


def _outputs(record: Record | None, results: list[Tensor]) -> list[Tensor]:
    """Return handles of the results that belong to `record`, which has several outputs."""
    if record is None:
        return [wrap(r._data, r.device) for r in results]
    return [wrap(r._data, r.device, output(record, i, r._data)) for i, r in enumerate(results)]


def custom_gradient(f: Function) -> Function:
    """Give a function the gradient that it returns itself.

    Parameters
    ----------
    f : callable
        Takes Tensors and returns ``(result, gradient)``, where ``gradient(g)`` takes the gradient
        of the result (several results: several arguments) and returns that of the argument
        (several arguments: a tuple; None for one without).

    Returns
    -------
    callable
        With the arguments of `f`; returns the result.

    Raises
    ------
    GradientError
        During the backward pass: a gradient of another number or shape than the arguments.

    Notes
    -----
    Complex gradients follow the convention of `GradientTape`. What `gradient` computes from the
    arguments is itself differentiable, so that higher orders follow.

    Examples
    --------
    >>> import eagerflow as ef
    >>> @ef.custom_gradient
    ... def clipped(x):
    ...     return x, lambda g: ef.clip(g, -1.0, 1.0)
    >>> ef.grad(lambda x: 100 * clipped(x))(3.0)
    Tensor(1.)
    """

    @functools.wraps(f)
    def call(*args: Any) -> Any:
        tensors = [convert(arg) for arg in args]
        pair: Any = f(*tensors)
        if not (isinstance(pair, tuple) and len(pair) == 2 and callable(pair[1])):
            raise GradientError(
                f"custom_gradient: {getattr(f, '__name__', 'the function')} must return its result and a function for "
                f"the gradient, got {type(pair).__name__}\n  at {user_line()}"
            )
        value, gradient = pair
        single = isinstance(value, ArrayMethods)
        results = [convert(item) for item in ((value,) if single else value)]

        def gradients(g: list[Any], record: Record, tracked: bool) -> list[Any]:
            given = gradient(*[_conj(item, like) for item, like in zip(g, results_like, strict=True)])
            given = given if isinstance(given, tuple | list) else (given,)
            if len(given) != len(shapes):
                raise GradientError(
                    f"custom_gradient: {call.__name__} has {len(shapes)} arguments but its gradient function "
                    f"returned {len(given)} gradients"
                )
            return [_checked(item, shape, call.__name__) for item, shape in zip(given, shapes, strict=True)]

        shapes = [tensor.shape for tensor in tensors]
        results_like = [(r.shape, r.dtype, r.device) for r in results]
        op: Any = _CallOp(getattr(f, "__name__", "custom_gradient"), gradients)
        device = results[0].device
        record = _attach(op, tuple(t._rec for t in tensors), None, results, device)
        handles = _outputs(record, results)
        return handles[0] if single else tuple(handles)

    return call


def _conj(g: Tensor | None, like: Any) -> Tensor:
    shape, dtype, device = like
    if g is None:
        return wrap(device.kind.namespace.zeros(shape, dtype), device)
    return g.conj() if g.dtype.kind == "c" else g


def _checked(gradient: Any, shape: tuple[int, ...], name: str) -> Tensor:
    if gradient is None:
        gradient = 0.0
    result = convert(gradient)
    if result.shape not in (shape, ()):
        raise GradientError(
            f"custom_gradient: the gradient function of {name} returned shape {result.shape} "
            f"for an argument of shape {shape}"
        )
    result = result.conj() if result.dtype.kind == "c" else result
    return result if result.shape == shape else result + wrap(_zeros(result, shape), result.device)


def _zeros(like: Tensor, shape: tuple[int, ...]) -> Any:
    return like.device.kind.namespace.zeros(shape, like.dtype)


class _Remember(Eager):
    """Keeps what random ops drew, so that it can be drawn again."""

    def __init__(self) -> None:
        self.draws: list[dict[str, Any]] = []

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        if op.effects == "random":
            self.draws.append(attrs)
        return super().apply(op, inputs, attrs)


class _Replay(Eager):
    """Lets random ops draw what they drew before."""

    def __init__(self, draws: list[dict[str, Any]]) -> None:
        self.draws = iter(draws)

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        return super().apply(op, inputs, next(self.draws) if op.effects == "random" else attrs)


def checkpoint(f: Function) -> Function:
    """Let backward recompute `f` instead of keeping what it computed.

    Parameters
    ----------
    f : callable
        Of pytrees of Tensors; it may read Variables, and draw random numbers, which are drawn
        again the same.

    Returns
    -------
    callable
        With the arguments and result of `f`. Only its arguments are kept for the gradient.

    Raises
    ------
    GradientError
        `f` uses a watched Tensor that is not among its arguments.

    References
    ----------
    T. Chen, B. Xu, C. Zhang, C. Guestrin, "Training deep nets with sublinear memory cost", 2016.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.grad(ef.checkpoint(lambda x: ef.sum(ef.sin(x) ** 2)))(ef.asarray([0.0, 1.0]))
    Tensor([0.        , 0.90929743])
    """

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        arguments: Any = (args, kwargs)
        leaves: list[Any]
        leaves, structure = optree.tree_flatten(arguments, none_is_leaf=True)
        positions = [i for i, leaf in enumerate(leaves) if isinstance(leaf, ArrayMethods) and is_inexact(leaf.dtype)]
        tensors = [leaves[i]._read() for i in positions]

        def run(arguments: list[Tensor]) -> Any:
            replaced = list(leaves)
            for position, argument in zip(positions, arguments, strict=True):
                replaced[position] = argument
            again, keywords = optree.tree_unflatten(structure, replaced)
            return f(*again, **keywords)

        probe = Recorder(watch_accessed=True)  # it never records: it only sees which Variables are read
        remember = _Remember()
        token = active.set((probe,))
        try:
            with interpret(remember):
                out = run([wrap(t._data, t.device) for t in tensors])
        finally:
            active.reset(token)
        variables = [source for source, _ in probe.leaves.values() if isinstance(source, Variable)]
        probe.close()
        results, out_structure = optree.tree_flatten(out)
        results = [convert(result) for result in results]
        if any(r._rec is not None and _is_recording(r._rec) for r in results):
            raise GradientError(
                f"checkpoint: {getattr(f, '__name__', 'the function')} uses a watched Tensor that is not among its "
                f"arguments; pass it as one\n  at {user_line()}"
            )
        inexact = [r for r in results if is_inexact(r.dtype)]
        if not inexact:
            return out

        def gradients(g: list[Any], record: Record, tracked: bool) -> list[Any]:
            arguments = [restore(record, slot, tracked) for slot in range(len(tensors))]
            with GradientTape() as tape, interpret(_Replay(remember.draws)):
                tape.watch(arguments)
                tape.watch(variables)
                outputs = [r for r in map(convert, optree.tree_leaves(run(arguments))) if is_inexact(r.dtype)]
            weights = [_conj(item, (o.shape, o.dtype, o.device)) for item, o in zip(g, outputs, strict=True)]
            found = tape.gradient(outputs, [*arguments, *variables], weights, unconnected="zero")
            return [item.conj() if item.dtype.kind == "c" else item for item in found]

        parents = tuple([t._rec for t in tensors] + [v._read()._rec for v in variables])
        saved = (*[t._data for t in tensors], *[None] * (len(variables) + 1))
        op: Any = _CallOp("checkpoint", gradients)
        record = _attach(op, parents, saved, inexact, inexact[0].device)
        handles = iter(_outputs(record, inexact))
        final = [next(handles) if is_inexact(r.dtype) else r for r in results]
        return optree.tree_unflatten(out_structure, final)

    return call


def _is_recording(record: Record) -> bool:
    return any(recorder.recording for recorder in recorders(record.tape))
