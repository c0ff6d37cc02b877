"""checkpoint: recompute in the backward pass instead of keeping."""

from __future__ import annotations

import functools
from typing import Any

import optree

from eagerflow.core import (
    ArrayMethods,
    Eager,
    GradientTape,
    Interpreter,
    Tensor,
    Variable,
    alias,
    convert,
    interpret,
    is_inexact,
)
from eagerflow.core.calls import CallOp, attach_call, back_at, kept, outputs_of, place, weight_of
from eagerflow.core.dispatch import current_interpreter
from eagerflow.core.explain import user_line
from eagerflow.core.op import Op
from eagerflow.core.pullback import restore
from eagerflow.core.record import Record, Recorder, active, recorders
from eagerflow.core.traced import Traced, depth
from eagerflow.errors import GradientError
from eagerflow.gradients import Function


class _Remember(Eager):
    """Keeps what random ops drew, so that it can be drawn again."""

    def __init__(self, outer: Interpreter) -> None:
        self.outer = outer
        self.draws: list[dict[str, Any]] = []

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        if op.effects == "random":
            self.draws.append(attrs)
        return self.outer.apply(op, inputs, attrs)


class _Replay(Eager):
    """Lets random ops draw what they drew before."""

    def __init__(self, draws: list[dict[str, Any]], outer: Interpreter) -> None:
        self.draws = iter(draws)
        self.outer = outer

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        return self.outer.apply(op, inputs, next(self.draws) if op.effects == "random" else attrs)


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

        probe = Recorder(watch_accessed=True, depth=depth())  # it never records: it only sees which Variables are read
        remember = _Remember(current_interpreter.get())
        token = active.set((probe,))
        try:
            with interpret(remember):
                out = run([alias(t) for t in tensors])
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

        home, there = inexact[0].device, place()

        def gradients(g: list[Any], record: Record, tracked: bool) -> list[Any]:
            arguments = [restore(record, slot, tracked) for slot in range(len(tensors))]
            with back_at(there), GradientTape() as tape, interpret(_Replay(remember.draws, remember.outer)):
                tape.watch(arguments)
                tape.watch(variables)
                outputs = [r for r in map(convert, optree.tree_leaves(run(arguments))) if is_inexact(r.dtype)]
            weights = [weight_of(item, (o.shape, o.dtype, o.device)) for item, o in zip(g, outputs, strict=True)]
            found = tape.gradient(outputs, [*arguments, *variables], weights, unconnected="zero")
            return [item.conj() if item.dtype.kind == "c" else item for item in found]

        parents = tuple([t._rec for t in tensors] + [v._read()._rec for v in variables])
        values = [alias(t) if isinstance(t, Traced) else kept(t._held, t.device, home) for t in tensors]
        saved = (*values, *[None] * (len(variables) + 1))
        op: Any = CallOp("checkpoint", gradients)
        record = attach_call(op, parents, saved, inexact, home)
        handles = iter(outputs_of(record, inexact))
        final = [next(handles) if is_inexact(r.dtype) else r for r in results]
        return optree.tree_unflatten(out_structure, final)

    return call


def _is_recording(record: Record) -> bool:
    return any(recorder.recording for recorder in recorders(record.tape))
