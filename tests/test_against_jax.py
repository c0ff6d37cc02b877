"""Values, gradients and tangents of functions are those of JAX, in float64 and complex128."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
import jax_cases_arrays
import jax_cases_elementwise
import jax_cases_linalg
from jax_cases import OURS, Case, cplx, hermitian, real, regular, theirs

pytestmark = [
    pytest.mark.reference,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed"),
]

CASES: dict[str, Case] = {**jax_cases_elementwise.CASES, **jax_cases_arrays.CASES, **jax_cases_linalg.CASES}
TOLERANCE = {"rtol": 1e-9, "atol": 1e-10}
GROUP = 8

# Where JAX says something else: why, and the case. Ours is what numeric differentiation gives.
DIFFERENT: dict[str, tuple[Any, ...]] = {
    "arccosh, left half plane": (
        "JAX takes one root of z**2 - 1, which has the wrong sign where the real part is negative",
        lambda xp, z: xp.arccosh(z), -1 - cplx(3, 4, low=0.1, high=1.0),
    ),
    "sign, complex": (
        "JAX gives zero; z / |z| changes when z turns",
        lambda xp, z: xp.sign(z), cplx(3, 4),
    ),
    "special.spence, small": (
        "JAX gives NaN at some points",
        lambda xp, x: xp.special.spence(x), real(3, 4, low=0.3, high=3.0),
    ),
    "linalg.cholesky, one triangle": (
        "we differentiate the triangle that is read, JAX the mean of both",
        lambda xp, x: xp.linalg.cholesky(x), hermitian(3),
    ),
    "linalg.eigvalsh, one triangle": (
        "we differentiate the triangle that is read, JAX the mean of both",
        lambda xp, x: xp.linalg.eigvalsh(x), hermitian(3),
    ),
    "linalg.sqrtm": ("JAX has no derivative of it", lambda xp, x: xp.linalg.sqrtm(x), regular(3) @ regular(3)),
}  # fmt: skip


@pytest.fixture(scope="module")
def jax() -> Iterator[Any]:
    """Give JAX in double precision, quick to compile; its settings are what they were afterwards."""
    import jax

    settings = {"jax_enable_x64": True, "jax_disable_most_optimizations": True}
    before = {name: jax.config.read(name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield jax
    for name, value in before.items():
        jax.config.update(name, value)


def flat(result: Any) -> list[Any]:
    """Return the results that derivatives are taken of, nested or not, in one list."""
    if isinstance(result, tuple | list):
        return [part for item in result for part in flat(item)]
    return [result] if np.dtype(result.dtype).kind in "fc" else []


def random_like(rng: np.random.Generator, x: Any) -> np.ndarray:
    """Return an array of the shape and dtype of another."""
    made = rng.normal(size=x.shape)
    return made + 1j * rng.normal(size=x.shape) if np.dtype(x.dtype).kind == "c" else made


def derivatives(jax: Any, function: Any, arrays: Any) -> tuple[Any, Any, Any]:
    """Return what JAX says: values, gradients for random weights, and tangents for random directions."""
    rng = np.random.default_rng(0)
    values, push = jax.linearize(lambda *xs: flat(function(theirs(jax), *xs)), *arrays)
    # JAX's cotangents are the conjugates of ours, both those that go in and those that come out: it pairs them
    # with tangents by sum(g * t), we (as TensorFlow and PyTorch do) by the real part of sum(conj(g) * t).
    weights = [random_like(rng, value).conj() for value in values]
    gradients = jax.linear_transpose(push, *arrays)(weights)
    return values, [g.conj() for g in gradients], push(*[random_like(rng, x) for x in arrays])


@pytest.fixture(scope="module")
def reference(jax: Any) -> Callable[[str], Any]:
    """Give what JAX says of a case; it is computed for some cases in one program, which saves compilations."""
    names = list(CASES)
    known: dict[str, Any] = {}

    def of(name: str) -> Any:
        if name not in known:
            start = names.index(name) // GROUP * GROUP
            group = names[start : start + GROUP]
            functions = [CASES[item][0] for item in group]
            program = jax.jit(lambda inputs: [derivatives(jax, f, xs) for f, xs in zip(functions, inputs, strict=True)])
            known.update(zip(group, program([CASES[item][1:] for item in group]), strict=True))
        return known[name]

    return of


def compare(got: Any, expected: Any, what: str) -> None:
    """Hold that arrays agree in shape, dtype and values."""
    assert len(got) == len(expected), what
    for ours, jax_array in zip(got, expected, strict=True):
        wanted = np.asarray(jax_array)
        assert (ours.shape, ours.dtype) == (wanted.shape, wanted.dtype), what
        np.testing.assert_allclose(ours.numpy(), wanted, **TOLERANCE, err_msg=what)


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 250


@pytest.mark.parametrize("name", CASES)
def test_value_gradient_and_tangent_are_those_of_jax(reference: Callable[[str], Any], name: str) -> None:
    function, *arrays = CASES[name]
    rng = np.random.default_rng(0)

    def ours(*inputs: Any) -> Any:
        return flat(function(OURS, *inputs))

    values, pull = ef.vjp(ours, *arrays)
    gradients = pull([ef.asarray(random_like(rng, value)) for value in values])
    tangents = ef.jvp(ours, arrays, [random_like(rng, x) for x in arrays])[1]
    expected = reference(name)
    compare(values, expected[0], "value")
    compare(gradients if isinstance(gradients, tuple) else (gradients,), expected[1], "gradient")
    compare(tangents, expected[2], "tangent")


@pytest.mark.parametrize("name", DIFFERENT)
def test_where_jax_differs_numeric_derivatives_are_ours(name: str) -> None:
    reason, function, *arrays = DIFFERENT[name]
    assert reason
    ef.check_grads(lambda *xs: flat(function(OURS, *xs)), arrays, order=1)
