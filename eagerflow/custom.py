"""Gradients of your own: custom_gradient."""

from __future__ import annotations

import functools
from typing import Any

from eagerflow.core import ArrayMethods, Tensor, convert
from eagerflow.core.batching import Batching, repeated
from eagerflow.core.calls import CallOp, attach_call, back_at, outputs_of, place, weight_of
from eagerflow.core.explain import user_line
from eagerflow.core.forward import ForwardLevel, transpose
from eagerflow.core.record import Record
from eagerflow.core.tensor import filled
from eagerflow.core.traced import capturing, innermost
from eagerflow.errors import GradientError
from eagerflow.gradients import Function


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
    arguments is itself differentiable, so that higher orders follow. Forward mode (`jvp`, `hvp`, `hessian`) uses the
    transpose of the gradient function, at the gradient zero where it is not linear.

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
        single, results = _run(f, [convert(arg) for arg in args])
        return results[0] if single else tuple(results)

    return call


def _run(f: Function, tensors: list[Tensor]) -> tuple[bool, list[Tensor]]:
    """Call `f` and record its gradient function in place of what it did; tell if it has a single result."""
    level = innermost(tensors)
    capture = capturing.get()
    if capture is not None and level is not None:
        capture.own_gradients = True  # which a graph does not hold
    if isinstance(level, Batching):
        return _run_examples(f, tensors, level)
    if isinstance(level, ForwardLevel):
        return _run_forward(f, tensors, level)
    single, results, gradient = _evaluate(f, tensors)
    record = _record(f, tensors, tuple([t._rec for t in tensors]), results, gradient)
    return single, outputs_of(record, results)


def _evaluate(f: Function, tensors: list[Tensor]) -> tuple[bool, list[Tensor], Function]:
    pair: Any = f(*tensors)
    if not (isinstance(pair, tuple) and len(pair) == 2 and callable(pair[1])):
        raise GradientError(
            f"custom_gradient: {getattr(f, '__name__', 'the function')} must return its result and a function for "
            f"the gradient, got {type(pair).__name__}\n  at {user_line()}"
        )
    value, gradient = pair
    single = isinstance(value, ArrayMethods)
    return single, [convert(item) for item in ((value,) if single else value)], gradient


def _record(
    f: Function, tensors: list[Tensor], parents: tuple[Record | None, ...], results: list[Tensor], gradient: Function
) -> Record | None:
    name = getattr(f, "__name__", "custom_gradient")
    likes = [(tensor.shape, tensor.device) for tensor in tensors]
    results_like = [(r.shape, r.dtype, r.device) for r in results]

    there = place()

    def gradients(g: list[Any], record: Record, tracked: bool) -> list[Any]:
        weights = [weight_of(item, like) for item, like in zip(g, results_like, strict=True)]
        with back_at(there):
            given = gradient(*weights)
        given = given if isinstance(given, tuple | list) else (given,)
        if len(given) != len(likes):
            raise GradientError(
                f"custom_gradient: {name} has {len(likes)} arguments but its gradient function "
                f"returned {len(given)} gradients"
            )
        found = [_checked(item, shape, name) for item, (shape, _) in zip(given, likes, strict=True)]
        return [g if g.device is home else g.to(home) for g, (_, home) in zip(found, likes, strict=True)]

    op: Any = CallOp(name, gradients)
    made: Record | None = attach_call(op, parents, None, results, results[0].device)
    return made


def _run_examples(f: Function, tensors: list[Tensor], level: Batching) -> tuple[bool, list[Tensor]]:
    """Run `f` inside `vmap`: below it is a function of all examples with a gradient of its own."""
    examples = [level.examples(t) for t in tensors]
    evaluated: Any = None

    def below(*values: Tensor) -> Any:
        nonlocal evaluated
        with level.running():
            inside = [v if x is None else level.batched(v) for v, x in zip(values, examples, strict=True)]
            evaluated = _evaluate(f, inside)
        _, results, gradient = evaluated

        def gradient_below(*gs: Tensor) -> tuple[Any, ...]:
            with level.running():
                given = gradient(*[level.batched(g) for g in gs])
            given = given if isinstance(given, tuple | list) else (given,)
            found = [None if g is None else _all_examples(level, convert(g)) for g in given]
            # What all examples share gets the sum of their gradients.
            return tuple(
                g.sum(axis=0) if g is not None and x is None else g for g, x in zip(found, examples, strict=False)
            )

        return tuple(_all_examples(level, r) for r in results), gradient_below

    _, results = _run(below, [t if x is None else x for t, x in zip(tensors, examples, strict=True)])
    single, _, gradient = evaluated
    handles: list[Tensor] = [level.batched(r) for r in results]
    record = _record(f, tensors, tuple([level.followed(t) for t in tensors]), handles, gradient)
    return single, outputs_of(record, handles)


def _all_examples(level: Batching, value: Tensor) -> Tensor:
    examples = level.examples(value)
    return repeated(value, level.size) if examples is None else examples


def _run_forward(f: Function, tensors: list[Tensor], level: ForwardLevel) -> tuple[bool, list[Tensor]]:
    """Run `f` inside `jvp`: the tangents are those of which its gradient function is the transpose."""
    pairs = [level.split(t) for t in tensors]
    evaluated: Any = None

    def below(*values: Tensor) -> Any:
        nonlocal evaluated
        evaluated = _evaluate(f, list(values))
        _single, results, gradient = evaluated
        return tuple(results), gradient

    _, results = _run(below, [value for value, _ in pairs])
    single, _, gradient = evaluated

    def gradients_of(seeds: list[Tensor]) -> list[Any]:
        given = gradient(*seeds)
        given = given if isinstance(given, tuple | list) else (given,)
        return [None if g is None else convert(g) for g in given]

    moved: list[Any] = [None] * len(results)
    if any(t is not None for _, t in pairs):
        moved = transpose(gradients_of, results, [t for _, t in pairs])
    handles: list[Tensor] = [level.dual(value, t) for value, t in zip(results, moved, strict=True)]
    parents = tuple([level.followed(t) for t in tensors])
    if not any(parents):
        return single, handles
    # Tapes inside see the traced values: their gradients move, too.
    _, _, gradient = _evaluate(f, tensors)
    return single, outputs_of(_record(f, tensors, parents, handles, gradient), handles)


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
    return result if result.shape == shape else result + filled(0, shape, result.dtype, result.device)
