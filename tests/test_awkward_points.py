"""Gradients where functions have none, or one that formulas miss: what docs/reference/awkward-points.md says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import eagerflow as ef

INF, NAN = np.inf, np.nan
W = np.array([1.0, 2.0, 3.0])
EYE, ZERO = np.eye(2), np.zeros((2, 2))
MIXED = np.array([[1.0, 2.0], [3.0, 4.0]])
RANK_ONE = np.array([[1.0, 2.0], [2.0, 4.0]])


class Point(NamedTuple):
    """A function, where, its value there (results are summed), and the gradient for each argument."""

    function: Callable[..., Any]
    at: Any
    value: float
    gradient: Any
    forward: Any = None  # where forward mode says something else


def order(p: Any) -> Callable[[Any], Any]:
    return lambda x: ef.linalg.norm(x, p)


CHOOSING = {
    "max, ties": Point(ef.max, [1.0, 2.0, 2.0], 2, [0, 0.5, 0.5]),
    "amax, all equal": Point(ef.amax, [2.0, 2.0, 2.0, 2.0], 2, [0.25] * 4),
    "min, ties": Point(ef.min, [3.0, 2.0, 2.0], 2, [0, 0.5, 0.5]),
    "max, axis": Point(lambda x: ef.max(x, axis=1), [[1.0, 1.0], [2.0, 1.0]], 3, [[0.5, 0.5], [1, 0]]),
    "max, NaN": Point(ef.max, [1.0, NAN, 2.0], NAN, [0, 1, 0]),
    "nanmax, ties": Point(ef.nanmax, [NAN, 2.0, 2.0], 2, [0, 0.5, 0.5]),
    "ptp, all equal": Point(ef.ptp, [2.0, 2.0], 0, [0, 0]),
    "maximum, equal": Point(ef.maximum, (1.0, 1.0), 1, (0.5, 0.5)),
    "minimum, equal": Point(ef.minimum, (1.0, 1.0), 1, (0.5, 0.5)),
    "maximum, NaN": Point(ef.maximum, (1.0, NAN), NAN, (0, 0)),
    "fmax, equal": Point(ef.fmax, (1.0, 1.0), 1, (0.5, 0.5)),
    "fmax, NaN": Point(ef.fmax, (1.0, NAN), 1, (1, 0)),
    "sort, duplicates": Point(lambda x: ef.sort(x) * W, [2.0, 1.0, 1.0], 9, [3, 1, 2]),
    "sort, descending": Point(lambda x: ef.sort(x, descending=True) * W, [1.0, 2.0, 2.0], 9, [3, 1, 2]),
    "median, even": Point(ef.median, [1.0, 2.0, 2.0, 3.0], 2, [0, 0.5, 0.5, 0]),
    "median, odd": Point(ef.median, [1.0, 2.0, 2.0, 2.0, 3.0], 2, [0, 0, 1, 0, 0]),
    "quantile, ties": Point(lambda x: ef.quantile(x, 0.5), [2.0, 2.0, 2.0], 2, [0, 1, 0]),
    "clip, on bounds": Point(lambda x: ef.clip(x, 0.0, 1.0), [0.0, 1.0], 1, [1, 1]),
    "clip, bounds": Point(ef.clip, (1.0, 0.0, 1.0), 1, (1, 0, 0)),
    "relu": Point(ef.nn.relu, 0.0, 0, 0),
    "leaky_relu": Point(ef.nn.leaky_relu, 0.0, 0, 0.01),
    "elu": Point(ef.nn.elu, 0.0, 0, 1),
    "interp, at a knot": Point(lambda x: ef.interp(x, [0.0, 1.0, 2.0], [0.0, 1.0, 4.0]), 1.0, 1, 3),
    # The gradient of `where` itself is exact, whatever the value in the branch that is not taken.
    "where, NaN and inf not taken": Point(
        lambda x, y: ef.where(np.array([True, False]), x, y), ([1.0, NAN], [INF, 2.0]), 3, ([1, 0], [0, 1])
    ),
    "where, sqrt not taken": Point(lambda x: ef.where(x > 0, ef.sqrt(x), 0.0), [0.0, 4.0], 2, [NAN, 0.25], [0, 0.25]),
    "where, log not taken": Point(lambda x: ef.where(x > 0, ef.log(x), 0.0), [0.0, 1.0], 0, [NAN, 1], [0, 1]),
    "where, argument chosen": Point(
        lambda x: ef.where(x > 0, ef.sqrt(ef.where(x > 0, x, 1.0)), 0.0), [-1.0, 0.0, 4.0], 2, [0, 0, 0.25]
    ),
    "relu under a root": Point(lambda x: ef.sqrt(ef.nn.relu(x)), -1.0, 0, NAN),
    "clip under a root": Point(lambda x: ef.sqrt(ef.clip(x, 0.0, None)), -1.0, 0, 0, NAN),
    "maximum under a root": Point(lambda x: ef.sqrt(ef.maximum(x, 0.0)), -1.0, 0, 0, NAN),
}

STEPS = {
    "sign": Point(ef.sign, 0.0, 0, 0),
    "floor": Point(ef.floor, 1.0, 1, 0),
    "ceil": Point(ef.ceil, 1.0, 1, 0),
    "trunc": Point(ef.trunc, 1.0, 1, 0),
    "round": Point(ef.round, 0.5, 0, 0),
    "heaviside": Point(lambda x: ef.heaviside(x, 0.5), 0.0, 0.5, 0),
    "floor_divide": Point(ef.floor_divide, (4.0, 2.0), 2, (0, 0)),
    "mod": Point(ef.mod, (4.0, 2.0), 0, (1, -2)),
    "fmod": Point(ef.fmod, (-4.0, 2.0), 0, (1, 2)),
}

ROOTS = {
    "abs": Point(ef.abs, 0.0, 0, 0),
    "abs, complex": Point(ef.abs, 0j, 0, 0),
    "sign, complex": Point(lambda z: ef.real(ef.sign(z)), 0j, 0, 0),
    "angle": Point(ef.angle, 0.0, 0, 0),
    "angle, complex": Point(ef.angle, 0j, 0, 0),
    "sqrt": Point(ef.sqrt, 0.0, 0, INF),
    "cbrt": Point(ef.cbrt, 0.0, 0, INF),
    "log": Point(ef.log, 0.0, -INF, INF),
    "log1p": Point(ef.log1p, -1.0, -INF, INF),
    "reciprocal": Point(ef.reciprocal, 0.0, INF, -INF),
    "arccos": Point(ef.arccos, 1.0, 0, -INF),
    "arccos, -1": Point(ef.arccos, -1.0, np.pi, -INF),
    "arcsin": Point(ef.arcsin, 1.0, np.pi / 2, INF),
    "arcsin, -1": Point(ef.arcsin, -1.0, -np.pi / 2, INF),
    "arccosh": Point(ef.arccosh, 1.0, 0, INF),
    "arctanh": Point(ef.arctanh, 1.0, INF, INF),
    "hypot": Point(ef.hypot, (0.0, 0.0), 0, (0, 0)),
    "arctan2": Point(ef.arctan2, (0.0, 0.0), 0, (0, 0)),
    "sinc": Point(ef.sinc, 0.0, 1, 0),
    "copysign": Point(ef.copysign, (0.0, 1.0), 0, (0, 0)),
    "x ** 2": Point(lambda x: x**2, 0.0, 0, 0),
    "x ** 1": Point(lambda x: x**1, 0.0, 0, 1),
    "x ** 0": Point(lambda x: x**0, 0.0, 1, 0),
    "x ** 0.5": Point(lambda x: x**0.5, 0.0, 0, INF),
    "x ** -1": Point(lambda x: x**-1.0, 0.0, INF, -INF),
    "power, 0 and 2": Point(ef.pow, (0.0, 2.0), 0, (0, 0)),
    "power, 0 and 0": Point(ef.pow, (0.0, 0.0), 1, (0, 0)),
    "power, 0 and 0.5": Point(ef.pow, (0.0, 0.5), 0, (INF, 0)),
    "power, 0 ** y": Point(lambda y: 0.0**y, 2.0, 0, 0),
    "power, negative base": Point(ef.pow, (-2.0, 3.0), -8, (12, 0)),
    "power, negative base, square": Point(ef.pow, (-2.0, 2.0), 4, (-4, 0)),
    "xlogy": Point(ef.special.xlogy, (0.0, 0.0), 0, (0, 0)),
    "xlogy, 0 and 2": Point(ef.special.xlogy, (0.0, 2.0), 0, (np.log(2), 0)),
    "entr": Point(ef.special.entr, 0.0, 0, INF),
    "rel_entr": Point(ef.special.rel_entr, (0.0, 0.0), 0, (0, 0)),
    "kl_div": Point(ef.special.kl_div, (0.0, 0.0), 0, (0, 0)),
}

SUMS = {
    "var, all equal": Point(ef.var, [2.0, 2.0], 0, [0, 0]),
    "std, all equal": Point(ef.std, [2.0, 2.0], 0, [0, 0]),
    "std, one element": Point(ef.std, [2.0], 0, [0]),
    "std, no freedom": Point(lambda x: ef.std(x, ddof=1), [2.0], NAN, [NAN]),
    "prod, one zero": Point(ef.prod, [0.0, 2.0, 3.0], 0, [6, 0, 0]),
    "prod, two zeros": Point(ef.prod, [0.0, 0.0, 3.0], 0, [0, 0, 0]),
    "cumprod, zeros": Point(ef.cumprod, [2.0, 0.0, 3.0, 0.0], 2, [1, 8, 0, 0]),
    "logsumexp, all -inf": Point(ef.logsumexp, [-INF, -INF], -INF, [0, 0]),
    "logsumexp, one -inf": Point(ef.logsumexp, [-INF, 0.0], 0, [0, 1]),
    "logaddexp, -inf": Point(ef.logaddexp, (-INF, -INF), -INF, (0, 0)),
    "softmax, one -inf": Point(lambda x: ef.nn.softmax(x) * W, [0.0, 0.0, -INF], 1.5, [-0.25, 0.25, 0]),
    "softmax, all -inf": Point(lambda x: ef.nn.softmax(x) * W, [-INF] * 3, NAN, [NAN] * 3),
    "log_softmax, all of it": Point(ef.nn.log_softmax, [0.0, 0.0, -INF], -INF, [-0.5, -0.5, 1]),
    "log_softmax, one -inf": Point(lambda x: ef.nn.log_softmax(x)[0], [0.0, 0.0, -INF], -np.log(2), [0.5, -0.5, 0]),
    "sum of nothing": Point(ef.sum, np.zeros((0, 2)), 0, np.zeros((0, 2))),
    "prod of nothing": Point(ef.prod, np.zeros(0), 1, []),
    "sort of nothing": Point(ef.sort, np.zeros(0), 0, []),
    "mean of nothing": Point(ef.mean, np.zeros(0), NAN, []),
    "logsumexp of nothing": Point(ef.logsumexp, np.zeros(0), -INF, []),
    "norm of nothing": Point(ef.linalg.norm, np.zeros(0), 0, []),
    "matmul over nothing": Point(
        ef.matmul, (np.zeros((2, 0)), np.zeros((0, 3))), 0, (np.zeros((2, 0)), np.zeros((0, 3)))
    ),
}

MATRICES = {
    **{f"norm at 0, order {p}": Point(order(p), [0.0, 0.0], 0, [0, 0])
       for p in (None, 0.5, 1, 1.5, 2, 3, INF, -INF)},
    **{f"norm with one 0, order {p}": Point(order(p), [0.0, 2.0], 2, [0, 1]) for p in (0.5, 1, 1.5, 2, 3)},
    **{f"norm with one 0, order {p}": Point(order(p), [0.0, 2.0], 0, [0, 0]) for p in (-1, -2)},
    "norm at 0, complex": Point(ef.linalg.norm, [0j, 0j], 0, [0, 0]),
    "Frobenius norm at 0": Point(order("fro"), ZERO, 0, ZERO),
    "1-norm of a matrix at 0": Point(order(1), ZERO, 0, ZERO),
    "nuclear norm at 0": Point(order("nuc"), ZERO, 0, EYE),
    "nuclear norm, rank one": Point(order("nuc"), np.diag([1.0, 0.0]), 1, EYE),
    "2-norm, equal singular values": Point(order(2), EYE, 1, EYE / 2),
    "det, singular": Point(ef.linalg.det, RANK_ONE, 0, [[4, -2], [-2, 1]]),
    "det, zero": Point(ef.linalg.det, ZERO, 0, ZERO),
    "eigvalsh, equal": Point(lambda x: ef.linalg.eigvalsh(x) ** 2, 3 * EYE, 18, 6 * EYE),
    "eigh, equal, values only": Point(lambda x: ef.linalg.eigh(x)[0] ** 2, 3 * EYE, 18, 6 * EYE),
    "svdvals, equal": Point(ef.linalg.svdvals, 3 * EYE, 6, EYE),
    "svd, equal, values only": Point(lambda x: ef.linalg.svd(x)[1] ** 2, 3 * EYE, 18, 6 * EYE),
    "eigh, equal, vectors": Point(lambda x: spectral(x, lambda v: v**2) * MIXED, EYE, 5, NAN * EYE + NAN),
    "svd, equal, vectors": Point(lambda x: singular(x), EYE, 5, NAN * EYE + NAN),
    # Functions of a matrix have their own derivatives, which do not go through eigenvectors.
    "expm, equal eigenvalues": Point(lambda x: ef.linalg.expm(x) * MIXED, EYE, 5 * np.e, np.e * MIXED),
    "sqrtm, equal eigenvalues": Point(lambda x: ef.linalg.sqrtm(x) * MIXED, 4 * EYE, 10, MIXED / 4),
    "matrix_power, equal eigenvalues": Point(lambda x: ef.linalg.matrix_power(x, 2) * MIXED, EYE, 5, 2 * MIXED),
}  # fmt: skip


def spectral(x: Any, function: Callable[[Any], Any]) -> Any:
    values, vectors = ef.linalg.eigh(x)
    return (vectors * function(values)) @ vectors.T


def singular(x: Any) -> Any:
    u, s, vh = ef.linalg.svd(x)
    return ((u * s**2) @ vh) * MIXED


POINTS: dict[str, Point] = {**CHOOSING, **STEPS, **ROOTS, **SUMS, **MATRICES}


def arguments(at: Any) -> list[np.ndarray]:
    return [np.asarray(item) for item in (at if isinstance(at, tuple) else (at,))]


def gradients_of(point: Point, choice: Any) -> list[np.ndarray]:
    return [np.asarray(item, dtype=complex) for item in (choice if isinstance(point.at, tuple) else (choice,))]


@pytest.mark.parametrize("name", POINTS)
def test_value_and_gradient(name: str) -> None:
    point = POINTS[name]
    with np.errstate(all="ignore"):
        value, pull = ef.vjp(lambda *xs: ef.sum(point.function(*xs)), *arguments(point.at))
        found = pull(ef.ones_like(value))
    np.testing.assert_allclose(value.numpy(), point.value, atol=1e-12)
    for got, expected in zip(
        found if isinstance(found, tuple) else (found,), gradients_of(point, point.gradient), strict=True
    ):
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", POINTS)
def test_forward_mode_says_the_same(name: str) -> None:
    point = POINTS[name]
    inputs = arguments(point.at)
    expected = gradients_of(point, point.gradient if point.forward is None else point.forward)
    for position, (x, gradient) in enumerate(zip(inputs, expected, strict=True)):

        def moving(x: Any, position: int = position) -> Any:
            return ef.sum(point.function(*inputs[:position], x, *inputs[position + 1 :]))

        for index in np.ndindex(x.shape):
            for factor in (1.0, 1j) if x.dtype.kind == "c" else (1.0,):
                direction = np.zeros_like(x)
                direction[index] = factor
                with np.errstate(all="ignore"):
                    moved = ef.jvp(moving, (x,), (direction,))[1]
                wanted = gradient[index].imag if factor == 1j else gradient[index].real
                np.testing.assert_allclose(moved.numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("function", [ef.argsort, ef.argmax, ef.isnan, lambda x: x > 0, lambda x: x.astype(int)])
def test_what_has_no_gradient_says_so(function: Callable[[Any], Any]) -> None:
    x = ef.asarray([1.0, 2.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    with pytest.raises(ef.errors.GradientError):
        tape.gradient(y, x)


def test_a_singular_matrix_has_no_logarithm_of_its_determinant() -> None:
    with np.errstate(all="ignore"), pytest.raises(np.linalg.LinAlgError, match="singular"):
        ef.grad(lambda x: ef.linalg.slogdet(x)[1])(ef.asarray(RANK_ONE))


def test_infinite_derivatives_warn_as_numpy_does() -> None:
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        ef.grad(ef.sqrt)(0.0)


def test_sinc_is_smooth_at_zero() -> None:
    np.testing.assert_allclose(ef.hessian(ef.sinc)(0.0).numpy(), -(np.pi**2) / 3)
