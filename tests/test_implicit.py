"""Derivatives of roots and fixed points by the equation that they fulfil."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eagerflow as ef

E = ef.errors


def newton(f: Any, x: Any, *args: Any) -> Any:
    for _ in range(60):
        x = x - f(x, *args) / (2 * x)
    return x


def square_root(a: Any) -> Any:
    return ef.custom_root(lambda x, a: x * x - a, 1.0, newton, a)


def test_to_third_order_in_both_modes() -> None:
    a = 4.0
    derivatives = [0.5 * a**-0.5, -0.25 * a**-1.5, 0.375 * a**-2.5]
    f: Any = square_root
    for expected in derivatives:
        f = ef.grad(f)
        np.testing.assert_allclose(float(f(a)), expected, rtol=1e-12)

    def forward(f: Any) -> Any:
        return lambda x: ef.jvp(f, (x,), (1.0,))[1]

    f = square_root
    for expected in derivatives:
        f = forward(f)
        np.testing.assert_allclose(float(f(a)), expected, rtol=1e-12)
    np.testing.assert_allclose(float(forward(ef.grad(square_root))(a)), derivatives[1], rtol=1e-12)
    np.testing.assert_allclose(float(ef.grad(forward(square_root))(a)), derivatives[1], rtol=1e-12)


def test_mapped_over_examples() -> None:
    a = np.array([1.0, 4.0, 9.0])
    np.testing.assert_allclose(ef.vmap(square_root)(a).numpy(), np.sqrt(a))
    np.testing.assert_allclose(ef.vmap(ef.grad(square_root))(a).numpy(), 0.5 / np.sqrt(a))
    np.testing.assert_allclose(ef.grad(lambda a: ef.sum(ef.vmap(square_root)(a)))(a).numpy(), 0.5 / np.sqrt(a))


def steps(matvec: Any, b: Any) -> Any:
    """Conjugate gradients."""
    x, r = b * 0, b
    p = r
    for _ in range(len(b)):
        q = matvec(p)
        step = (r @ r) / (p @ q)
        x, before, r = x + step * p, r, r - step * q
        p = r + (r @ r) / (before @ before) * p
    return x


@pytest.mark.parametrize("linear_solve", [None, steps])
def test_several_unknowns_and_arguments_in_trees(linear_solve: Any) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(3, 3))
    matrix = matrix @ matrix.T + 3 * np.eye(3)
    p = {"matrix": ef.asarray(matrix), "load": ef.asarray(rng.normal(size=3)), "count": ef.asarray(3)}

    def equation(x: Any, p: Any) -> Any:
        return {"u": p["matrix"] @ x["u"] + x["u"] ** 3 - p["load"]}

    def solve(f: Any, x: Any, p: Any) -> Any:
        u = x["u"].numpy()
        for _ in range(50):
            jacobian = p["matrix"].numpy() + np.diag(3 * u * u)
            u = u - np.linalg.solve(jacobian, f({"u": ef.asarray(u)}, p)["u"].numpy())
        return {"u": u}

    def total(matrix: Any, load: Any) -> Any:
        x = ef.custom_root(
            equation, {"u": np.zeros(3)}, solve, {**p, "matrix": matrix, "load": load}, linear_solve=linear_solve
        )
        return ef.sum(x["u"] ** 2)

    ef.check_grads(lambda load: total(p["matrix"], load), (p["load"],), order=2)
    ef.check_grads(lambda matrix: total(matrix + matrix.T, p["load"]), (p["matrix"],), order=1)


def test_complex_roots() -> None:
    z = ef.asarray(3 + 4j)
    root = ef.custom_root(lambda x, a: x * x - a, 1 + 1j, newton, z)
    np.testing.assert_allclose(root.item(), 2 + 1j)
    np.testing.assert_allclose(
        ef.jacobian(lambda a: ef.custom_root(lambda x, a: x * x - a, 1 + 1j, newton, a))(z).item(), 0.5 / (2 + 1j)
    )


def test_fixed_points() -> None:
    def iterate(f: Any, x: Any, a: Any) -> Any:
        for _ in range(200):
            x = f(x, a)
        return x

    def point(a: Any) -> Any:
        return ef.custom_fixed_point(lambda x, a: ef.cos(a * x), 0.5, iterate, a)

    x = float(point(1.0))
    np.testing.assert_allclose(np.cos(x), x)
    np.testing.assert_allclose(float(ef.grad(point)(1.0)), -np.sin(x) * x / (1 + np.sin(x)))


def test_the_solver_is_not_recorded() -> None:
    lengths = []

    def solver(f: Any, x: Any, a: Any) -> Any:
        x = newton(f, x, a)
        lengths.append(x._rec)
        return x

    with ef.GradientTape() as tape:
        a = ef.Variable(4.0)
        y = ef.custom_root(lambda x, a: x * x - a, 1.0, solver, a)
    assert lengths == [None]
    np.testing.assert_allclose(float(tape.gradient(y, a)), 0.25)


def test_what_it_refuses() -> None:
    v = ef.Variable(2.0)

    def closes_over_a_variable() -> None:
        with ef.GradientTape():
            ef.custom_root(lambda x, a: x * x - a * v, 1.0, newton, 1.0)

    cases: dict[str, tuple[Any, type[Exception]]] = {
        "guess has dtype int64": (lambda: ef.custom_root(lambda x, a: x * x - a, 1, newton, 4.0), E.DTypeError),
        "not among args": (closes_over_a_variable, E.GradientError),
        "not among args; pass": (
            lambda: ef.grad(lambda a: ef.custom_root(lambda x, b: x * x - a * b, 1.0, newton, 2.0))(1.0),
            E.GradientError,
        ),
        "is not among": (
            lambda: ef.jvp(lambda a: ef.custom_root(lambda x, b: x * x - a * b, 1.0, newton, 2.0), (1.0,), (1.0,)),
            E.GradientError,
        ),
        r"what solve returns has shape \(2,\)": (
            lambda: ef.custom_root(lambda x: x, 1.0, lambda f, x: np.ones(2)),
            E.ShapeError,
        ),
        "what f returns has another structure": (
            lambda: ef.grad(lambda a: ef.custom_root(lambda x, a: [x["b"]], {"b": 1.0}, lambda f, x, a: x, a)["b"])(
                1.0
            ),
            E.ShapeError,
        ),
    }
    for match, (function, kind) in cases.items():
        with pytest.raises(kind, match=match):
            function()


def test_a_singular_equation_has_no_derivative() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        ef.grad(lambda a: ef.custom_root(lambda x, a: x * 0 + a * 0, 1.0, lambda f, x, a: x, a))(1.0)
