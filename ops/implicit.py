"""The op of a root: a value that a solver found, and the derivative that the equation gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow.core import Draw, GradientTape, Op, Sample, Spec, Tensor, alias, convert
from eagerflow.core.batching import Batching, loop
from eagerflow.core.forward import ForwardLevel
from eagerflow.core.record import active

__all__: list[str] = []


def transposed_product(f: Callable[..., Tensor], x: Tensor, g: Tensor, *others: Tensor) -> Tensor:
    """Return the gradient of ``f(x, *others)`` in `x` for the gradient `g` of its value, without conjugation."""
    source = alias(x, x._rec)
    with GradientTape() as tape:
        tape.watch(source)
        value = f(source, *others)
    weight = g.conj() if g.dtype.kind == "c" else g
    found: Tensor = tape.gradient(value, source, weight, unconnected="zero")
    return found.conj() if found.dtype.kind == "c" else found


def product(f: Callable[..., Tensor], x: Tensor, t: Tensor, *others: Tensor) -> Tensor:
    """Return the derivative of ``f(x, *others)`` along `t`, a direction of `x`."""
    level = ForwardLevel()
    with level.running():
        value, moved = level.split(f(level.dual(x, t), *others))
    return value * 0 if moved is None else moved


def matrix_of(matvec: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """Return a linear function of vectors as a matrix."""
    level = Batching(like.shape[0])
    unit = convert(np.eye(like.shape[0], dtype=like.dtype), None, like.device)
    with level.running():
        columns = level.examples(matvec(level.batched(unit)))
    assert columns is not None
    return columns.mT


def _find(xp: Any, theta: Any, guess: Any, *, equation: Any, solver: Any, linear: Any) -> Any:
    # What the solver does on the way is nobody's to record.
    token = active.set(())
    try:
        found = convert(solver(convert(theta, copy=False), convert(guess, copy=False)))
        return found.numpy() if xp is np else found._held
    finally:
        active.reset(token)


def _gradient(g: Tensor, out: Tensor, theta: Tensor, equation: Any, linear: Any) -> Tensor:
    out, theta, g = convert(out), convert(theta), convert(g)
    adjoint = linear(lambda v: transposed_product(lambda x: equation(x, theta), out, v), g)
    return -transposed_product(lambda p: equation(out, p), theta, adjoint)


def _tangent(t: Tensor, out: Tensor, theta: Tensor, equation: Any, linear: Any) -> Tensor:
    moved = product(lambda p: equation(out, p), theta, t)
    return -linear(lambda v: product(lambda x: equation(x, theta), out, v), moved)


def _sample(draw: Draw) -> Sample:
    size = draw.integer(1, 3)

    def newton(theta: Tensor, x: Tensor) -> Tensor:
        for _ in range(50):
            x = x - (x**3 + x - theta) / (3 * x**2 + 1)
        return x

    def linear(matvec: Any, b: Tensor) -> Tensor:
        # The equation has an element of each to itself.
        return b / matvec(b * 0 + 1)

    attrs = {"equation": lambda x, theta: x**3 + x - theta, "solver": newton, "linear": linear}
    return Sample((draw.array((size,)), draw.array((size,))), attrs)


# Both are vectors; `equation(x, theta)` is zero, of the size of x. The rules find x, or its derivative, again from the
# equation, so that they are exact to any order.
root = Op(
    "root", _find, inputs="theta guess", infer=lambda theta, guess, **_: Spec(guess.shape, guess.dtype), sample=_sample,
    vjp=(_gradient, None), jvp=(_tangent, None), batch=loop,
    flops=lambda theta, guess, **_: float(guess.size) ** 3,
)  # fmt: skip
