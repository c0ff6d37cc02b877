"""Property tests drawn from the op registry: every op, with inputs from its own sampler."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.core import EFFECTS, Draw, Op, Sample, Spec, is_inexact
from numeric import call, check_first_order, check_second_order, differentiable

OPS = sorted(name for name in ef.ops.registry() if not name.startswith("doc_"))
SEEDS = st.integers(0, 2**32 - 1)


def draw(op: Op, seed: int, dtype: object = np.float64) -> Sample:
    return op.sample(Draw(seed, dtype))


def specs_of(sample: Sample) -> list[object]:
    return [Spec(x.shape, x.dtype) if isinstance(x, np.ndarray) else x for x in sample.inputs]


@pytest.mark.parametrize("name", OPS)
@given(seed=SEEDS)
def test_result_follows_shape_rule_and_leaves_inputs_alone(name: str, seed: int) -> None:
    op = ef.ops.registry()[name]
    sample = draw(op, seed)
    before = [np.array(x) if isinstance(x, np.ndarray) else x for x in sample.inputs]
    results = call(op, sample.inputs, sample.attrs)
    expected = op.infer(*specs_of(sample), **sample.attrs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    assert len(results) == len(expected)
    for result, rule in zip(results, expected, strict=True):
        # A length of None depends on the values.
        known = tuple(n if side is None else side for n, side in zip(result.shape, rule.shape, strict=True))
        assert Spec(result.shape, result.dtype) == Spec(known, rule.dtype)
    for x, y in zip(sample.inputs, before, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", [name for name in OPS if ef.ops.registry()[name].effects != "random"])
@given(seed=SEEDS)
def test_contiguity_does_not_matter(name: str, seed: int) -> None:
    op = ef.ops.registry()[name]
    sample = draw(op, seed)
    plain = [np.array(x, order="C") if isinstance(x, np.ndarray) else x for x in sample.inputs]
    for a, b in zip(call(op, sample.inputs, sample.attrs), call(op, plain, sample.attrs), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in OPS if ef.ops.registry()[name].vjps])
@given(seed=SEEDS)
def test_gradient(name: str, seed: int) -> None:
    op = ef.ops.registry()[name]
    check_first_order(op, draw(op, seed), seed)


@pytest.mark.parametrize("name", [n for n in OPS if ef.ops.registry()[n].vjps and ef.ops.registry()[n].smooth >= 2])
@given(seed=SEEDS)
def test_second_order(name: str, seed: int) -> None:
    op = ef.ops.registry()[name]
    check_second_order(op, draw(op, seed), seed)


@pytest.mark.parametrize("name", [name for name in OPS if ef.ops.registry()[name].vjps])
@given(seed=SEEDS)
def test_gradient_functions_never_write_to_what_they_are_given(name: str, seed: int) -> None:
    op = ef.ops.registry()[name]
    sample = draw(op, seed)
    inputs = list(sample.inputs)
    sources = []
    for position in differentiable(op, sample):
        inputs[position] = tensor = ef.asarray(inputs[position])
        tensor._held.flags.writeable = False
        sources.append(tensor)
    with ef.GradientTape() as tape:
        tape.watch(sources)
        results = [r for r in call(op, inputs, sample.attrs) if is_inexact(r.dtype)]
    weights = [ef.ones_like(r) for r in results]
    for tensor in (*results, *weights):
        tensor._held.flags.writeable = False
    tape.gradient(results, sources, weights, unconnected="zero")


@pytest.mark.parametrize("name", [name for name in OPS if "c" in ef.ops.registry()[name].kinds])
@given(seed=SEEDS)
def test_complex_gradient(name: str, seed: int) -> None:
    op = ef.ops.registry()[name]
    check_first_order(op, draw(op, seed, np.complex128), seed)
    if op.smooth >= 2:
        check_second_order(op, draw(op, seed, np.complex128), seed)


@pytest.mark.parametrize("name", OPS)
def test_declaration_is_complete(name: str) -> None:
    op = ef.ops.registry()[name]
    assert op.effects in EFFECTS
    sample = draw(op, 0)
    flops, moved = op.cost(*specs_of(sample), **sample.attrs)
    assert flops >= 0 and moved >= 0
    assert bool(op.vjps) != bool(op.no_gradient)


def test_a_planted_wrong_gradient_is_found() -> None:
    wrong = ef.ops.elementwise(
        "doc_wrong_sine", lambda xp, x: xp.sin(x), vjp=lambda g, x: g * ef.sin(x), infer=ef.ops.same,
        doc="Sine with a wrong gradient.", example=("", ""),
    ).op  # fmt: skip
    with pytest.raises(AssertionError, match="numeric"):
        check_first_order(wrong, Sample((np.array([0.3, 0.5]),)), 0)


def test_a_planted_wrong_second_derivative_is_found() -> None:
    wrong = ef.ops.elementwise(
        "doc_cut_sine", lambda xp, x: xp.sin(x), vjp=lambda g, x: g * ef.stop_gradient(ef.cos(x)), infer=ef.ops.same,
        doc="Sine whose gradient is cut.", example=("", ""),
    ).op  # fmt: skip
    check_first_order(wrong, Sample((np.array([0.3, 0.5]),)), 0)
    with pytest.raises(AssertionError, match="numeric"):
        check_second_order(wrong, Sample((np.array([0.3, 0.5]),)), 0)
