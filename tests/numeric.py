"""Numeric differentiation of ops, as the independent truth for their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

import eagerflow as ef
from eagerflow.core import Op, Sample, Tensor, is_inexact


def call(op: Op, inputs: Any, attrs: dict[str, Any]) -> tuple[Tensor, ...]:
    """Run an op; its results always as a tuple."""
    result = op(*inputs, **attrs)
    return result if isinstance(result, tuple) else (result,)


def differentiable(op: Op, sample: Sample) -> list[int]:
    """Positions of the inputs that have a gradient and a dtype for it."""
    return [
        i
        for i, x in enumerate(sample.inputs)
        if isinstance(x, np.ndarray) and is_inexact(x.dtype) and op.vjps and op.pullback(i) is not None
    ]


def projection(op: Op, sample: Sample, seed: int) -> Any:
    """Return f(*arrays) -> real scalar Tensor: the results weighted with fixed random numbers."""
    rng = np.random.default_rng(seed)
    positions = differentiable(op, sample)
    weights: list[Any] = []

    def function(*arrays: Any) -> Tensor:
        inputs = list(sample.inputs)
        for position, array in zip(positions, arrays, strict=True):
            inputs[position] = array
        total: Any = 0.0
        results = [r for r in call(op, inputs, sample.attrs) if is_inexact(r.dtype)]
        for index, result in enumerate(results):
            if len(weights) <= index:
                w = rng.normal(size=result.shape)
                weights.append(w + 1j * rng.normal(size=result.shape) if result.dtype.kind == "c" else w)
            product = result * weights[index]
            total = total + ef.sum(ef.real(product) if product.dtype.kind == "c" else product)
        return total

    return function, [np.array(sample.inputs[i]) for i in positions]


def check_first_order(op: Op, sample: Sample, seed: int, tolerance: float = 2e-6) -> None:
    """Compare the gradient along a random direction with a central difference."""
    function, arrays = projection(op, sample, seed)
    if not arrays or all(not a.size for a in arrays):
        return
    rng = np.random.default_rng(seed + 1)
    directions = [_direction(rng, a) for a in arrays]
    with ef.GradientTape() as tape:
        tensors = [ef.asarray(a) for a in arrays]
        tape.watch(tensors)
        value = function(*tensors)
    gradients = tape.gradient(value, tensors, unconnected="zero")
    for g, a in zip(gradients, arrays, strict=True):
        assert g.shape == a.shape and g.dtype == a.dtype, (
            f"{op.name}: gradient {g.dtype}{g.shape} for {a.dtype}{a.shape}"
        )
    expected = _difference(lambda *xs: float(function(*xs)), arrays, directions)
    got = sum(_inner(g.numpy(), d) for g, d in zip(gradients, directions, strict=True))
    scale = 1 + abs(expected) + abs(float(value))
    assert abs(got - expected) <= tolerance * scale, f"{op.name}: gradient {got} but numeric {expected} for {sample}"


def check_second_order(op: Op, sample: Sample, seed: int, tolerance: float = 2e-6) -> None:
    """Compare the gradient of a directional derivative with a central difference of gradients."""
    function, arrays = projection(op, sample, seed)
    if not arrays or all(not a.size for a in arrays):
        return
    rng = np.random.default_rng(seed + 2)
    weights = [_direction(rng, a) for a in arrays]
    directions = [_direction(rng, a) for a in arrays]

    def slope(*tensors: Any) -> Tensor:
        with ef.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        gradients = tape.gradient(value, list(tensors), unconnected="zero")
        total: Any = 0.0
        for g, w in zip(gradients, weights, strict=True):
            product = g * w.conj()
            total = total + ef.sum(ef.real(product) if product.dtype.kind == "c" else product)
        return total

    tensors = [ef.asarray(a) for a in arrays]
    with ef.GradientTape() as tape:
        tape.watch(tensors)
        value = slope(*tensors)
    gradients = tape.gradient(value, tensors, unconnected="zero")
    expected = _difference(lambda *xs: float(slope(*[ef.asarray(x) for x in xs])), arrays, directions)
    got = sum(_inner(g.numpy(), d) for g, d in zip(gradients, directions, strict=True))
    scale = 1 + abs(expected) + abs(float(value))
    assert abs(got - expected) <= tolerance * scale, f"{op.name}: second {got} but numeric {expected} for {sample}"


def _direction(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    d = rng.normal(size=array.shape)
    return d + 1j * rng.normal(size=array.shape) if array.dtype.kind == "c" else d


def _inner(gradient: np.ndarray, direction: np.ndarray) -> float:
    return float(np.sum(np.real(np.conj(gradient) * direction)))


def _difference(f: Any, arrays: list[np.ndarray], directions: list[np.ndarray], step: float = 1e-4) -> float:
    """Central difference of fourth order: the error falls with the fourth power of the step."""

    def at(h: float) -> float:
        return f(*[a + h * d for a, d in zip(arrays, directions, strict=True)])

    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
