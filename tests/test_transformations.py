"""Forward mode and vmap of every op in the registry, with inputs from its own sampler."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.core import Draw, Op, Sample, Spec, is_inexact
from numeric import call, differentiable

OPS = {name: op for name, op in sorted(ef.ops.registry().items()) if not name.startswith("doc_")}
DIFFERENTIABLE = [name for name, op in OPS.items() if op.vjps]
SEEDS = st.integers(0, 2**32 - 1)
# These follow NumPy's own functions closely, but sum in another order.
TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def specs_of(sample: Sample) -> list[object]:
    return [Spec(x.shape, x.dtype) if isinstance(x, np.ndarray) else x for x in sample.inputs]


def depends_on_values(op: Op, sample: Sample) -> bool:
    """Whether the shape of the result depends on the values of the inputs."""
    try:
        inferred = op.infer(*specs_of(sample), **sample.attrs)
    except ef.errors.ShapeError:
        return True
    return any(None in spec.shape for spec in (inferred if isinstance(inferred, tuple) else (inferred,)))


def random_like(rng: np.random.Generator, x: Any) -> np.ndarray:
    made = rng.normal(size=x.shape)
    return (made + 1j * rng.normal(size=x.shape) if x.dtype.kind == "c" else made).astype(x.dtype)


def inner(a: Any, b: Any) -> float:
    """The real inner product, under which a gradient and a tangent are dual."""
    return float(np.sum(np.real(np.conj(np.asarray(a)) * np.asarray(b))))


def check_forward_against_reverse(op: Op, sample: Sample, seed: int) -> None:
    rng = np.random.default_rng(seed)
    moving = differentiable(op, sample)
    moving = [p for p in moving if rng.integers(4)] or moving

    def function(*arrays: Any) -> Any:
        inputs = list(sample.inputs)
        for position, array in zip(moving, arrays, strict=True):
            inputs[position] = array
        return [r for r in call(op, inputs, sample.attrs) if is_inexact(r.dtype)]

    primals = [ef.asarray(sample.inputs[p]) for p in moving]
    tangents = [random_like(rng, p) for p in primals]
    out, moved = ef.jvp(function, primals, tangents)
    for value, tangent in zip(out, moved, strict=True):
        assert type(value) is ef.Tensor and type(tangent) is ef.Tensor
        assert tangent.shape == value.shape and tangent.dtype == value.dtype
    weights = [random_like(rng, value) for value in out]
    with ef.GradientTape() as tape:
        tape.watch(primals)
        again = function(*primals)
    gradients = tape.gradient(again, primals, [ef.asarray(w) for w in weights], unconnected="zero")
    forward = sum(inner(w, t) for w, t in zip(weights, moved, strict=True))
    reverse = sum(inner(g, t) for g, t in zip(gradients, tangents, strict=True))
    size = sum(np.abs(np.conj(w) * t.numpy()).sum() for w, t in zip(weights, moved, strict=True))
    assert abs(forward - reverse) <= 1e-9 * (1 + size), f"{op.name}: forward {forward}, reverse {reverse} for {sample}"


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(seed=SEEDS)
def test_forward_mode_agrees_with_reverse_mode(name: str, seed: int) -> None:
    op = OPS[name]
    check_forward_against_reverse(op, op.sample(Draw(seed)), seed)


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if "c" in OPS[name].kinds])
@given(seed=SEEDS)
def test_forward_mode_agrees_with_reverse_mode_for_complex_numbers(name: str, seed: int) -> None:
    op = OPS[name]
    check_forward_against_reverse(op, op.sample(Draw(seed, np.complex128)), seed)


STEP = 1e-30  # nothing is subtracted, so no digits are lost


def check_complex_step(op: Op, seed: int) -> bool:
    """Compare the derivative along a direction with the imaginary part of ``f(x + i·step·direction)``.

    Tell whether there was something to compare: a holomorphic function whose kernel takes such small imaginary parts.
    """
    complex_sample = op.sample(Draw(seed, np.complex128))
    moving = differentiable(op, complex_sample)
    rng = np.random.default_rng(seed)

    def function(sample: Sample) -> Any:
        def of(*arrays: Any) -> Any:
            inputs = list(sample.inputs)
            for position, array in zip(moving, arrays, strict=True):
                inputs[position] = array
            return [r for r in call(op, inputs, sample.attrs) if is_inexact(r.dtype)]

        return of

    points = [complex_sample.inputs[p] for p in moving]
    if not points or any(p.dtype.kind != "c" for p in points):
        return False
    directions = [random_like(rng, p) for p in points]
    _, along = ef.jvp(function(complex_sample), points, directions)
    _, turned = ef.jvp(function(complex_sample), points, [1j * d for d in directions])
    if any(
        a.dtype.kind != "c" or not np.allclose(1j * a.numpy(), t.numpy()) for a, t in zip(along, turned, strict=True)
    ):
        return False  # not holomorphic
    sample = op.sample(Draw(seed))
    if differentiable(op, sample) != moving:
        return False
    points = [sample.inputs[p] for p in moving]
    if any(p.dtype.kind != "f" for p in points):
        return False
    directions = [random_like(rng, p) for p in points]
    out, moved = ef.jvp(function(sample), points, directions)
    stepped = function(sample)(*[x + STEP * 1j * d for x, d in zip(points, directions, strict=True)])
    for value, tangent, step in zip(out, moved, stepped, strict=True):
        if value.dtype.kind != "f":
            return False
        expected = step.numpy().imag / STEP
        scale = 1 + np.abs(expected).max(initial=0)
        assert np.abs(tangent.numpy() - expected).max(initial=0) <= 1e-11 * scale, f"{op.name}: complex step, {sample}"
    return True


# A cast is to a dtype of its own; SciPy computes the functions of matrices with errors in the imaginary part as large
# as those in the real part.
NO_STEP = ("cast", "matrix_function")


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if "c" in OPS[name].kinds and name not in NO_STEP])
@given(seed=SEEDS)
def test_derivatives_agree_with_a_complex_step(name: str, seed: int) -> None:
    check_complex_step(OPS[name], seed)


def test_the_complex_step_applies_to_many_ops() -> None:
    holomorphic = [name for name in DIFFERENTIABLE if "c" in OPS[name].kinds and name not in NO_STEP]
    assert sum(check_complex_step(OPS[name], 0) for name in holomorphic) > 60


def test_no_op_of_the_library_needs_two_gradients_for_forward_mode() -> None:
    assert [name for name in DIFFERENTIABLE if OPS[name].forward.how == "transposed"] == []


def another(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Return an array that is as valid an input as `x`."""
    if is_inexact(x.dtype):
        return (x * (1 + 1e-3 * rng.uniform(size=x.shape))).astype(x.dtype)
    return np.roll(x.reshape(-1), 1).reshape(x.shape)


def stacks(op: Op, sample: Sample, seed: int) -> tuple[list[Any], list[int | None], int]:
    """Return some of the inputs with examples along an axis, the axes, and the number of examples."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 4))
    arrays = [i for i, x in enumerate(sample.inputs) if isinstance(x, np.ndarray)]
    chosen = [i for i in arrays if rng.integers(2)] or arrays
    inputs = list(sample.inputs)
    axes: list[int | None] = [None] * len(inputs)
    for i in chosen:
        x = sample.inputs[i]
        axes[i] = int(rng.integers(x.ndim + 1))
        inputs[i] = np.stack([x, *[another(rng, x) for _ in range(size - 1)]], axes[i])
    return inputs, axes, size


def example(inputs: list[Any], axes: list[int | None], index: int) -> list[Any]:
    return [x if axis is None else np.asarray(np.take(x, index, axis)) for x, axis in zip(inputs, axes, strict=True)]


BATCHED = [name for name, op in OPS.items() if op.inputs]


@pytest.mark.parametrize("name", BATCHED)
@given(seed=SEEDS)
def test_vmap_agrees_with_a_loop(name: str, seed: int) -> None:
    op = OPS[name]
    sample = op.sample(Draw(seed))
    inputs, axes, size = stacks(op, sample, seed)
    if all(axis is None for axis in axes):
        return
    mapped = ef.vmap(lambda *xs: call(op, xs, sample.attrs), in_axes=tuple(axes))
    if depends_on_values(op, sample):
        with pytest.raises(ef.errors.CaptureError, match="depends on"):
            mapped(*inputs)
        return
    results = mapped(*inputs)
    rows = [call(op, example(inputs, axes, i), sample.attrs) for i in range(size)]
    for result, *row in zip(results, *rows, strict=True):
        assert result.dtype == row[0].dtype
        np.testing.assert_allclose(result.numpy(), np.stack([r.numpy() for r in row]), **TOLERANCE)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(seed=SEEDS)
def test_vmap_of_a_gradient_agrees_with_a_loop(name: str, seed: int) -> None:
    op = OPS[name]
    sample = op.sample(Draw(seed))
    inputs, axes, size = stacks(op, sample, seed)
    positions = list(differentiable(op, sample))
    if all(axis is None for axis in axes) or depends_on_values(op, sample) or not positions:
        return
    rng = np.random.default_rng(seed)
    weights = [random_like(rng, r) for r in call(op, sample.inputs, sample.attrs) if is_inexact(r.dtype)]

    def gradients(*xs: Any) -> Any:
        sources = [ef.copy(xs[p]) for p in positions]
        with ef.GradientTape() as tape:
            tape.watch(sources)
            given = list(xs)
            for position, source in zip(positions, sources, strict=True):
                given[position] = source
            results = [r for r in call(op, given, sample.attrs) if is_inexact(r.dtype)]
        return tape.gradient(results, sources, [ef.asarray(w) for w in weights], unconnected="zero")

    mapped = ef.vmap(gradients, in_axes=tuple(axes))(*inputs)
    rows = [
        gradients(*[ef.asarray(x) if isinstance(x, np.ndarray) else x for x in example(inputs, axes, i)])
        for i in range(size)
    ]
    for result, *row in zip(mapped, *rows, strict=True):
        np.testing.assert_allclose(result.numpy(), np.stack([r.numpy() for r in row]), **TOLERANCE)


def test_a_planted_wrong_forward_rule_is_found() -> None:
    wrong = Op(
        "doc_wrong_forward", lambda xp, x: x**2, inputs="x", infer=ef.ops.same, vjp=lambda g, x: 2 * g * x,
        jvp=lambda t, x: t * x, sample=lambda draw: Sample((draw.array((3,)),)),
    )  # fmt: skip
    with pytest.raises(AssertionError, match="forward"):
        check_forward_against_reverse(wrong, Sample((np.array([0.3, 0.5]),)), 0)
