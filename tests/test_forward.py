"""Forward mode: jvp and linearize, alone and with the other transformations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eagerflow as ef

E = ef.errors
RNG = np.random.default_rng(1)
X, T = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2))


def close(x: Any, y: Any) -> None:
    np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-10, atol=1e-12)


def f(x: Any) -> Any:
    return np.tanh(x @ x.T) * np.sum(x)


def test_jvp_agrees_with_the_jacobian_and_with_linearize() -> None:
    expected = np.tensordot(ef.jacobian(f)(X).numpy(), T, 2)
    out, moved = ef.jvp(f, (X,), (T,))
    close(out, f(X))
    close(moved, expected)
    again, along = ef.linearize(f, X)
    close(again, out)
    close(along(T), expected)
    close(along(2 * T), 2 * expected)
    close(ef.jacobian(f, mode="forward")(X), ef.jacobian(f)(X))


def test_linearize_evaluates_once() -> None:
    calls = []

    def counted(x: Any) -> Any:
        calls.append(1)
        return ef.sin(x)

    _, along = ef.linearize(counted, X)
    close(along(T), np.cos(X) * T)
    close(along(X), np.cos(X) * X)
    assert len(calls) == 1


def test_every_nesting_of_two_modes_gives_the_hessian() -> None:
    def g(x: Any) -> Any:
        return ef.sum(ef.sin(x) * x[0] ** 2)

    x, t = X[:, 0], T[:, 0]
    hessian = ef.jacobian(ef.grad(g))(x).numpy()
    close(ef.hessian(g)(x), hessian)
    close(ef.hvp(g, (x,), (t,))[0], hessian @ t)
    close(ef.jvp(ef.grad(g), (x,), (t,))[1], hessian @ t)
    close(ef.grad(lambda x: ef.jvp(g, (x,), (t,))[1])(x), hessian @ t)
    close(ef.jvp(lambda x: ef.jvp(g, (x,), (t,))[1], (x,), (t,))[1], t @ hessian @ t)
    close(ef.jacobian(ef.jacobian(g, mode="forward"), mode="forward")(x), hessian)
    close(ef.jacobian(ef.jacobian(g, mode="forward"))(x), hessian)


def test_trees_integers_and_what_does_not_move() -> None:
    def g(p: Any, n: Any) -> Any:
        return {"y": p["a"] * p["b"], "n": n + 1, "c": ef.ones(2)}

    out, moved = ef.jvp(g, ({"a": X, "b": X}, 3), ({"a": T, "b": None}, None))
    close(moved["y"], T * X)
    close(moved["c"], np.zeros(2))
    assert int(out["n"]) == 4 and int(moved["n"]) == 0


def test_complex_directions() -> None:
    z, d = X + 1j * T, T - 1j * X
    close(ef.jvp(lambda z: ef.exp(z) * z, (z,), (d,))[1], (np.exp(z) * z + np.exp(z)) * d)
    close(ef.jvp(lambda z: ef.abs(z) ** 2, (z,), (d,))[1], 2 * np.real(np.conj(z) * d))
    close(ef.jvp(ef.conj, (z,), (d,))[1], np.conj(d))
    close(ef.jacobian(lambda z: z**2, mode="forward")(z[0]), np.diag(2 * z[0]))


def test_assignment_keeps_tangents() -> None:
    def g(x: Any) -> Any:
        out = np.zeros_like(x)
        plain = ef.zeros(3)
        for i in range(3):
            out[i] = x[i] ** 2
            plain[i] = x[i, 0] * 2
        return out, plain

    _, (out, plain) = ef.jvp(g, (X,), (T,))
    close(out, 2 * X * T)
    close(plain, 2 * T[:, 0])


def test_control_flow_on_values() -> None:
    assert float(ef.jvp(lambda x: x * 2 if x > 1 else x * 3, (2.0,), (1.0,))[1]) == 2.0
    assert float(ef.jvp(lambda x: x * float(x), (2.0,), (1.0,))[1]) == 2.0  # float() is a plain number


def test_variables_take_the_value_without_its_tangent() -> None:
    count = ef.Variable(0.0)

    def g(x: Any) -> Any:
        count.assign(ef.sum(x))
        return x * 2

    close(ef.jvp(g, (X,), (T,))[1], 2 * T)
    close(count.numpy(), X.sum())


def test_a_custom_gradient_is_transposed() -> None:
    @ef.custom_gradient
    def triple(x: Any) -> Any:
        return x * x, lambda g: 3 * g * x

    close(ef.jvp(triple, (X,), (T,))[1], 3 * X * T)
    close(
        ef.hessian(lambda x: ef.sum(triple(x) ** 2))(X[0]), ef.jacobian(ef.grad(lambda x: ef.sum(triple(x) ** 2)))(X[0])
    )


def test_ops_without_a_rule_are_transposed() -> None:
    op = ef.ops.Op(
        "doc_cube", lambda xp, x: x**3, inputs="x", infer=ef.ops.same, vjp=lambda g, x: 3 * g * x * x,
        sample=lambda draw: ef.ops.Sample((draw.array((2,)),)),
    )  # fmt: skip
    assert op.forward.how == "transposed"
    close(ef.jvp(op, (X,), (T,))[1], 3 * X**2 * T)
    close(ef.jvp(lambda x: ef.jvp(op, (x,), (T,))[1], (X,), (T,))[1], 6 * X * T * T)
    close(ef.vmap(op)(X), X**3)


def test_what_it_refuses() -> None:
    kept: list[Any] = []

    def keep(x: Any) -> Any:
        kept.append(x)
        return x

    cases: dict[str, tuple[Any, type[Exception]]] = {
        "1 primals but 2 tangents": (lambda: ef.jvp(f, (X,), (T, T)), E.ShapeError),
        r"shape \(2,\), its primal \(3, 2\)": (lambda: ef.jvp(f, (X,), (T[0],)), E.ShapeError),
        "another structure": (lambda: ef.jvp(f, ({"a": X},), ((T,),)), E.ShapeError),
        "dtype int64, along which": (lambda: ef.jvp(lambda n: n, (2,), (1,)), E.GradientError),
        "dtype complex128, its primal float64": (lambda: ef.jvp(f, (X,), (T * 1j,)), E.DTypeError),
        "after jvp has ended": (
            lambda: (ef.jvp(keep, (X,), (T,)), kept[0] + 1),
            E.CaptureError,
        ),
        "linearize: 1 primals but 0": (lambda: ef.linearize(f, X)[1](), E.ShapeError),
        "mode is 'reverse' or 'forward'": (lambda: ef.jacobian(f, mode="both"), E.ArgumentError),
        "chunk_size is 1 or more": (lambda: ef.jacobian(f, chunk_size=0), E.ArgumentError),
    }
    for match, (function, kind) in cases.items():
        with pytest.raises(kind, match=match):
            function()


@pytest.mark.parametrize("chunk_size", [1, 2, 100])
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_jacobians_in_chunks(chunk_size: int, mode: Any) -> None:
    close(ef.jacobian(f, mode=mode, chunk_size=chunk_size)(X), ef.jacobian(f)(X))
    close(ef.hessian(lambda x: ef.sum(f(x)), chunk_size=chunk_size)(X), ef.jacobian(ef.grad(lambda x: ef.sum(f(x))))(X))
