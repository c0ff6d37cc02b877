"""check_grads: gradients against numeric differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optree

from eagerflow.core import Tensor, convert, is_inexact
from eagerflow.errors import ArgumentError, GradientError
from eagerflow.gradients import Function, jvp, vjp
from eagerflow.ops.checked import integer, number, sequence


def check_grads(
    f: Function, args: Sequence[Any], order: int = 2, tolerance: float = 1e-5, step: float = 1e-4, seed: int = 0
) -> None:
    """Compare the derivatives of `f` with numeric differences along random directions.

    Parameters
    ----------
    f : callable
        Returns a pytree of Tensors.
    args : sequence of pytree of array_like
        Where to compare; float64 or complex128.
    order : int
        Up to which derivative.
    tolerance : float
        Allowed difference, relative to the size of the derivative and of the value.
    step : float
        Step of the central difference.
    seed : int
        Seed of the random directions.

    Raises
    ------
    GradientError
        A derivative differs, or the arguments have too few digits to compare.
    ArgumentError
        `order` is below 1; a step of 0, or a negative seed.
    DTypeError
        A number is none; `args` is no sequence.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.check_grads(lambda x: ef.sin(x) * x, [ef.asarray([0.5, 1.5])], order=2)
    """
    seed = integer(seed, "check_grads", "seed")
    order = integer(order, "check_grads", "order")
    tolerance, step = number(tolerance, "check_grads", "tolerance"), number(step, "check_grads", "step")
    if order < 1 or seed < 0 or not step:
        raise ArgumentError(
            "check_grads: expected an order of 1 or more, a seed of 0 or more and a step that is not 0, "
            f"got {order}, {seed} and {step}"
        )
    rng = np.random.default_rng(seed)
    given: Any = tuple(sequence(args, "check_grads", "args"))
    leaves: list[Any]
    leaves, structure = optree.tree_flatten(given)
    arrays = [np.array(convert(leaf).numpy()) for leaf in leaves]
    for array in arrays:
        if array.dtype not in (np.float64, np.complex128):
            raise GradientError(f"check_grads: needs float64 or complex128 arguments, got {array.dtype}")

    def flat(*values: Any) -> list[Tensor]:
        out = f(*optree.tree_unflatten(structure, list(values)))
        return [result for result in map(convert, optree.tree_leaves(out)) if is_inexact(result.dtype)]

    _check(flat, arrays, order, tolerance, step, rng, 1)


def _check(
    f: Function, arrays: list[Any], order: int, tolerance: float, step: float, rng: np.random.Generator, level: int
) -> None:
    directions = [_random(rng, array.shape, array.dtype) for array in arrays]

    def at(h: float) -> list[np.ndarray]:
        return [r.numpy() for r in f(*[convert(a + h * d) for a, d in zip(arrays, directions, strict=True)])]

    values = at(0.0)
    numeric = [
        (8 * (p1 - m1) - (p2 - m2)) / (12 * step)
        for p1, m1, p2, m2 in zip(at(step), at(-step), at(2 * step), at(-2 * step), strict=True)
    ]
    weights = [_random(rng, v.shape, v.dtype) for v in values]
    expected = sum(_inner(w, n) for w, n in zip(weights, numeric, strict=True))
    scale = 1 + abs(expected) + sum(float(np.sum(np.abs(v))) for v in values)
    _, vjp_fn = vjp(f, *arrays)
    backward = sum(_inner(g.numpy(), d) for g, d in zip(vjp_fn(weights), directions, strict=True))
    _compare("backward", level, backward, expected, tolerance * scale)
    _, tangents = jvp(f, arrays, directions)
    forward = sum(_inner(w, t.numpy()) for w, t in zip(weights, tangents, strict=True))
    _compare("forward", level, forward, expected, tolerance * scale)
    if order > 1:
        conjugated = [np.conj(w) for w in weights]

        def gradients(*values: Any) -> list[Tensor]:
            return list(vjp(f, *values)[1](conjugated))

        _check(gradients, arrays, order - 1, tolerance, step, rng, level + 1)


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    values = rng.normal(size=shape)
    return (values + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else values).astype(dtype)


def _inner(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.sum(np.real(np.conj(first) * second)))


def _compare(mode: str, level: int, got: float, expected: float, allowed: float) -> None:
    if not abs(got - expected) <= allowed:
        raise GradientError(
            f"check_grads: the {mode} derivative of order {level} along a random direction is {got!r}, "
            f"numerically it is {expected!r} (allowed difference {allowed:.1e})"
        )
