"""grad, vjp, jvp, jacobian, hessian, hvp, custom_gradient, checkpoint, check_grads."""

from __future__ import annotations

from typing import Any

import numpy as np
import optree
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef


def mixed(x: Any, y: Any) -> Any:
    return ef.tanh(x @ y) * ef.sum(x**2) + ef.exp(-y)


X = np.array([[0.3, -0.2], [0.5, 0.1]])
Y = np.array([[0.7, 0.4], [-0.3, 0.2]])


def test_grad_of_numpy_code_on_plain_values() -> None:
    gradient = ef.grad(lambda x: np.sum(np.sin(x) ** 2))(np.array([0.5, 1.0]))
    np.testing.assert_allclose(gradient.numpy(), np.sin(2 * np.array([0.5, 1.0])))


def test_grad_with_argnums_and_keywords() -> None:
    def f(a: Any, b: Any, *, scale: float) -> Any:
        return scale * ef.sum(a * b)

    ga, gb = ef.grad(f, argnums=(0, -1))(ef.asarray([1.0]), ef.asarray([2.0]), scale=3.0)
    assert (ga.item(), gb.item()) == (6.0, 3.0)
    with pytest.raises(ef.errors.ArgumentError, match="argument 2"):
        ef.grad(f, argnums=2)(1.0, 2.0, scale=1.0)


def test_value_and_grad_with_aux_over_a_pytree() -> None:
    def loss(params: Any) -> Any:
        y = params["w"] * 3 + params["b"][0]
        return ef.sum(y**2), {"y": y}

    (value, aux), gradient = ef.value_and_grad(loss, has_aux=True)({"w": ef.asarray(1.0), "b": (ef.asarray(2.0),)})
    assert value.item() == 25.0
    assert aux["y"].item() == 5.0
    assert gradient["w"].item() == 30.0
    assert gradient["b"][0].item() == 10.0
    gradient, aux = ef.grad(loss, has_aux=True)({"w": ef.asarray(1.0), "b": (ef.asarray(2.0),)})
    assert gradient["w"].item() == 30.0 and aux["y"].item() == 5.0


def test_grad_leaves_the_argument_alone() -> None:
    x = ef.asarray([1.0, 2.0])

    def f(v: Any) -> Any:
        v[0] = 5.0
        v *= v
        return ef.sum(v)

    np.testing.assert_array_equal(ef.grad(f)(x).numpy(), [0.0, 4.0])
    np.testing.assert_array_equal(x.numpy(), [1.0, 2.0])


def test_grad_of_grad_and_of_a_closure() -> None:
    assert ef.grad(ef.grad(ef.grad(lambda x: x**4)))(2.0).item() == 48.0
    # No confusion between levels: d/dx [x · d/dy (x + y)] = 1 (Siskind and Pearlmutter, 2005).
    assert ef.grad(lambda x: x * ef.grad(lambda y: x + y)(1.0))(1.0).item() == 1.0


def test_grad_of_a_variable_argument() -> None:
    v = ef.Variable([1.0, 2.0])
    np.testing.assert_array_equal(ef.grad(lambda x: ef.sum(x * x))(v).numpy(), [2.0, 4.0])


@pytest.mark.parametrize(
    ("f", "match"),
    [
        (lambda x: x * 2, r"scalar, got shape \(2,\)"),
        (lambda x: 3.0, "must return a Tensor, got float"),
        (lambda x: ef.argmax(x), "int64"),
        (lambda x: ef.sum(x) * 1j, "complex128"),
    ],
)
def test_grad_refuses_what_is_no_real_scalar(f: Any, match: str) -> None:
    with pytest.raises((ef.errors.GradientError, ef.errors.DTypeError), match=match):
        ef.grad(f)(ef.asarray([1.0, 2.0]))


def test_grad_of_an_integer_says_what_to_write() -> None:
    with pytest.raises(ef.errors.GradientError, match=r"int64.*write 3\.0"):
        ef.grad(lambda x: x * x)(3)


def test_vjp_can_be_called_again_and_zero_for_unused() -> None:
    out, vjp_fn = ef.vjp(lambda a, b: {"y": a * 2}, ef.asarray([1.0, 2.0]), ef.asarray(3.0))
    np.testing.assert_array_equal(out["y"].numpy(), [2.0, 4.0])
    for scale in (1.0, 10.0):
        ga, gb = vjp_fn({"y": ef.asarray([scale, scale])})
        np.testing.assert_array_equal(ga.numpy(), [2 * scale, 2 * scale])
        assert gb.item() == 0.0


@given(st.integers(0, 10_000))
def test_jvp_is_the_numeric_derivative_and_the_transpose_of_vjp(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dx, dy, w = rng.normal(size=(3, 2, 2))
    out, tangent = ef.jvp(mixed, [X, Y], [dx, dy])
    h = 1e-6
    numeric = (
        mixed(ef.asarray(X + h * dx), ef.asarray(Y + h * dy)) - mixed(ef.asarray(X - h * dx), ef.asarray(Y - h * dy))
    ) / (2 * h)
    np.testing.assert_allclose(tangent.numpy(), numeric.numpy(), rtol=1e-6, atol=1e-8)
    _, vjp_fn = ef.vjp(mixed, X, Y)
    gx, gy = vjp_fn(w)
    left = np.sum(w * tangent.numpy())
    right = np.sum(gx.numpy() * dx) + np.sum(gy.numpy() * dy)
    np.testing.assert_allclose(left, right)
    assert out.shape == (2, 2)


def test_jvp_of_a_linear_and_of_a_constant_function() -> None:
    _, tangent = ef.jvp(lambda x: 3 * x, [ef.asarray(2.0)], [ef.asarray(5.0)])
    assert tangent.item() == 15.0
    _, tangent = ef.jvp(lambda x: ef.asarray(1.0), [ef.asarray(2.0)], [ef.asarray(5.0)])
    assert tangent.item() == 0.0
    with pytest.raises(ef.errors.ShapeError, match="tangent"):
        ef.jvp(lambda x: 3 * x, [ef.asarray(2.0)], [ef.asarray([5.0, 1.0])])


def test_jvp_complex_holomorphic() -> None:
    z, d = 0.3 + 0.4j, 1.0 - 2.0j
    _, tangent = ef.jvp(ef.exp, [ef.asarray(z)], [ef.asarray(d)])
    np.testing.assert_allclose(tangent.item(), np.exp(z) * d)


def test_derivative_of_a_jvp() -> None:
    def directional(x: Any) -> Any:
        return ef.jvp(ef.sin, [x], [ef.asarray(1.0)])[1]

    np.testing.assert_allclose(ef.grad(directional)(0.7).item(), -np.sin(0.7))


def test_jacobian_and_hessian() -> None:
    np.testing.assert_allclose(ef.jacobian(ef.sin)(ef.asarray([0.1, 0.2])).numpy(), np.diag(np.cos([0.1, 0.2])))
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(ef.hessian(lambda x: x @ a @ x)(ef.asarray([1.0, 2.0])).numpy(), 2 * a)
    tree = ef.jacobian(lambda p: p["a"] * p["b"])({"a": ef.asarray([1.0, 2.0]), "b": ef.asarray(3.0)})
    assert tree["a"].shape == (2, 2) and tree["b"].shape == (2,)
    z = np.array([1 + 1j, 2 - 1j])
    np.testing.assert_allclose(ef.jacobian(lambda v: v * v)(ef.asarray(z)).numpy(), np.diag(2 * z))


def test_hvp_without_the_hessian() -> None:
    def f(x: Any) -> Any:
        return ef.sum(ef.sin(x) * x[::-1])

    x, v = np.array([0.3, 0.5, 0.9]), np.array([1.0, -2.0, 0.5])
    (product,) = ef.hvp(f, [x], [v])
    np.testing.assert_allclose(product.numpy(), ef.hessian(f)(ef.asarray(x)).numpy() @ v)


class TestCustomGradient:
    def test_replaces_the_gradient(self) -> None:
        @ef.custom_gradient
        def f(x: Any, y: Any) -> Any:
            return x * y, lambda g: (g * 100, None)

        ga, gb = ef.grad(lambda a, b: ef.sum(f(a, b)), argnums=(0, 1))(ef.asarray([1.0, 2.0]), ef.asarray(3.0))
        np.testing.assert_array_equal(ga.numpy(), [100.0, 100.0])
        assert gb.item() == 0.0

    def test_several_results(self) -> None:
        @ef.custom_gradient
        def f(x: Any) -> Any:
            return (x * 2, x * 3), lambda g, h: 2 * g + 30 * h

        assert ef.grad(lambda x: f(x)[0] + f(x)[1])(1.0).item() == 32.0
        assert ef.grad(lambda x: f(x)[1])(1.0).item() == 30.0

    def test_second_order_goes_through_what_the_gradient_computes(self) -> None:
        @ef.custom_gradient
        def log1pexp(x: Any) -> Any:
            e = ef.exp(x)
            return ef.log(1 + e), lambda g: g * (1 - 1 / (1 + e))

        s = 1 / (1 + np.exp(-0.3))
        np.testing.assert_allclose(ef.grad(log1pexp)(0.3).item(), s)
        np.testing.assert_allclose(ef.grad(ef.grad(log1pexp))(0.3).item(), s * (1 - s))
        assert np.isfinite(ef.grad(log1pexp)(100.0).item())

    def test_complex_convention_is_that_of_the_tape(self) -> None:
        square = ef.custom_gradient(lambda z: (z * z, lambda g: g * ef.conj(2 * z)))
        z = ef.asarray(1.0 + 2.0j)

        def real_part(f: Any) -> Any:
            return lambda v: ef.real(f(v) * (0.5 + 1j))

        expected = ef.grad(real_part(lambda v: v * v))(z)
        assert ef.grad(real_part(square))(z).item() == expected.item()

    def test_wrong_number_of_gradients(self) -> None:
        f = ef.custom_gradient(lambda x, y: (x * y, lambda g: g))
        with pytest.raises(ef.errors.GradientError, match=r"2 arguments.*1 gradients"):
            ef.grad(lambda x: f(x, x))(1.0)


class TestCheckpoint:
    def test_same_gradient_to_second_order_and_variables_too(self) -> None:
        w = ef.Variable([[0.5, -0.3], [0.2, 0.8]])
        x = np.array([0.4, 0.7])

        def layer(v: Any) -> Any:
            return ef.tanh(w @ v) ** 2

        def loss(f: Any) -> Any:
            return lambda v: ef.sum(f(f(v)))

        np.testing.assert_allclose(
            ef.grad(loss(ef.checkpoint(layer)))(x).numpy(), ef.grad(loss(layer))(x).numpy(), rtol=1e-12
        )
        np.testing.assert_allclose(
            ef.hessian(loss(ef.checkpoint(layer)))(x).numpy(), ef.hessian(loss(layer))(x).numpy(), rtol=1e-12
        )
        results = []
        for f in (layer, ef.checkpoint(layer)):
            with ef.GradientTape() as tape:
                y = loss(f)(ef.asarray(x))
            results.append(tape.gradient(y, w).numpy())
        np.testing.assert_allclose(results[0], results[1], rtol=1e-12)

    def test_keeps_only_the_arguments(self) -> None:
        x = ef.asarray(np.ones(8))
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = ef.checkpoint(lambda v: ef.exp(ef.sin(ef.cos(v))))(x)
        assert sum(record.op.name == "checkpoint" for record in tape._recorder.records if record.op) == 1
        assert len(tape._recorder.records) == 2
        assert tape.gradient(y, x).shape == (8,)

    def test_random_numbers_are_drawn_again_the_same(self) -> None:
        ef.random.seed(7)
        x = ef.asarray(np.ones(100))
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = ef.checkpoint(lambda v: v * ef.random.uniform(size=100))(x)
        np.testing.assert_array_equal(tape.gradient(y, x).numpy(), y.numpy())

    def test_a_watched_tensor_from_outside_is_refused(self) -> None:
        x, y = ef.asarray(1.0), ef.asarray(2.0)
        with ef.GradientTape() as tape:
            tape.watch([x, y])
            with pytest.raises(ef.errors.GradientError, match="not among its arguments"):
                ef.checkpoint(lambda v: v * y)(x)


class TestCheckGrads:
    def test_accepts_right_and_finds_wrong_gradients(self) -> None:
        ef.check_grads(mixed, [X, Y], order=2)
        ef.check_grads(lambda z: ef.exp(z) * z, [np.array([0.1 + 0.2j, 0.3 - 0.1j])], order=2)
        wrong = ef.custom_gradient(lambda x: (ef.sin(x), lambda g: g * ef.cos(x) * 1.001))
        with pytest.raises(ef.errors.GradientError, match="order 1"):
            ef.check_grads(wrong, [np.array([0.3, 0.5])])

    def test_finds_a_wrong_second_derivative(self) -> None:
        wrong = ef.custom_gradient(lambda x: (ef.sin(x), lambda g: g * ef.stop_gradient(ef.cos(x))))
        ef.check_grads(wrong, [np.array([0.3, 0.5])], order=1)
        with pytest.raises(ef.errors.GradientError, match="order 2"):
            ef.check_grads(wrong, [np.array([0.3, 0.5])], order=2)

    def test_needs_double_precision(self) -> None:
        with pytest.raises(ef.errors.GradientError, match="float32"):
            ef.check_grads(ef.sin, [np.float32(1.0)])


def test_jacobian_of_complex_values_with_respect_to_real_ones() -> None:
    x = np.array([1.0, 2.0])
    expected = np.diag(1j * np.exp(1j * x))
    np.testing.assert_allclose(ef.jacobian(lambda a: ef.exp(1j * a))(x).numpy(), expected)
    a = ef.asarray(x)
    with ef.GradientTape() as tape:
        tape.watch(a)
        y = ef.exp(1j * a)
    np.testing.assert_allclose(tape.jacobian(y, a).numpy(), expected)


def test_hessian_of_complex_arguments_is_refused_but_hvp_is_there() -> None:
    z, d = np.array([1 + 2j, 3 - 1j]), np.array([1j, 1.0])

    def f(a: Any) -> Any:
        return ef.sum(ef.abs(a) ** 4)

    with pytest.raises(ef.errors.GradientError, match="hvp"):
        ef.hessian(f)(z)
    step = 1e-5
    expected = (ef.grad(f)(z + step * d).numpy() - ef.grad(f)(z - step * d).numpy()) / (2 * step)
    np.testing.assert_allclose(ef.hvp(f, (z,), (d,))[0].numpy(), expected, rtol=1e-8)


@pytest.mark.parametrize("f", [lambda a: a * a, lambda a: ef.abs(a) ** 2, lambda a: ef.conj(a) * a, ef.exp, ef.real])
def test_jvp_of_complex_arguments_is_the_directional_derivative(f: Any) -> None:
    z, d = np.array([1 + 2j, 3 - 1j]), np.array([1j, 1.0])
    step = 1e-6
    expected = (f(ef.asarray(z + step * d)).numpy() - f(ef.asarray(z - step * d)).numpy()) / (2 * step)
    np.testing.assert_allclose(ef.jvp(f, (z,), (d,))[1].numpy(), expected, rtol=1e-7, atol=1e-8)


def test_none_in_an_argument_stays() -> None:
    assert ef.grad(lambda p: p["a"] * 2.0)({"a": 1.0, "b": None}) == {"a": ef.asarray(2.0), "b": None}


def test_has_aux_wants_a_pair() -> None:
    with pytest.raises(ef.errors.DTypeError, match="pair"):
        ef.value_and_grad(lambda x: x * x, has_aux=True)(2.0)


def test_errors_in_trees_name_the_users_own_line() -> None:
    with pytest.raises(ef.errors.GradientError, match=r"test_derivatives\.py"):
        ef.grad(lambda p: p["a"])({"a": 3})


def test_argument_numbers_out_of_range() -> None:
    for transform in (ef.grad, ef.jacobian, ef.hessian):
        with pytest.raises(ef.errors.ArgumentError, match="argument 2"):
            transform(lambda x: x, 2)(1.0)


class Counted(ef.nn.Module):
    """A Module with a counter and a running mean beside what is trained."""

    def __init__(self) -> None:
        self.layers: list[Any] = [ef.nn.Linear(2, 3, dtype="float64"), ef.tanh]
        self.norm = ef.nn.BatchNorm(3, dtype="float64")
        self.scale = ef.Variable(2.0)
        self.calls = ef.Variable(0, trainable=False)
        self.note = "not a number"

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return self.norm(x) * self.scale


def loss_of(model: Any, x: Any) -> Any:
    return ef.mean((model(x) - 1.0) ** 2 * ef.asarray([1.0, 2.0, 3.0]))


def test_gradient_of_a_module_is_a_module() -> None:
    model = Counted()
    x = np.random.default_rng(0).normal(size=(4, 2))
    value, gradient = ef.value_and_grad(loss_of)(model, x)
    assert type(gradient) is Counted
    assert gradient.note == model.note
    leaves: list[Any] = optree.tree_leaves(gradient)
    with ef.GradientTape() as tape:
        loss = loss_of(model, x)
    assert loss.item() == pytest.approx(value.item())
    for (name, variable), mine in zip(model.named_variables(), leaves, strict=True):
        assert (mine.shape, mine.dtype) == (variable.shape, variable.dtype), name
        if not variable.trainable:
            np.testing.assert_array_equal(mine.numpy(), np.zeros(variable.shape))
    theirs = iter(tape.gradient(loss, model.trainable_variables))
    for (name, variable), mine in zip(model.named_variables(), leaves, strict=True):
        if variable.trainable:
            np.testing.assert_allclose(mine.numpy(), next(theirs).numpy(), atol=1e-15, err_msg=name)
    optimizer = ef.optim.SGD(model, 0.1)
    before = model.scale.numpy().copy()
    optimizer.apply(gradient)
    np.testing.assert_allclose(model.scale.numpy(), before - 0.1 * gradient.scale.numpy())
    assert model.calls.item() == 0


def test_other_derivatives_of_a_module() -> None:
    model = ef.nn.Sequential(ef.nn.Linear(2, 3, dtype="float64"), ef.tanh, ef.nn.Linear(3, 1, dtype="float64"))
    x = np.random.default_rng(0).normal(size=(4, 2))

    def f(m: Any) -> Any:
        return ef.mean(m(x) ** 2)

    gradient = ef.grad(f)(model)
    square = sum(float(ef.sum(g * g)) for g in optree.tree_leaves(gradient))
    assert ef.jvp(f, (model,), (gradient,))[1].item() == pytest.approx(square)
    pull = ef.vjp(f, model)[1]
    assert type(pull(1.0)[0]) is ef.nn.Sequential
    assert type(ef.hvp(f, (model,), (gradient,))[0]) is ef.nn.Sequential


def test_vectors_of_hvp_must_fit() -> None:
    def f(x: Any) -> Any:
        return ef.sum(x * x)

    with pytest.raises(ef.errors.ShapeError, match="hvp: the vectors have another structure"):
        ef.hvp(f, (3.0,), (1.0, 2.0))
    with pytest.raises(ef.errors.ShapeError, match=r"hvp: a vector has shape \(1,\), its primal \(3,\)"):
        ef.hvp(f, (np.ones(3),), (np.ones(1),))


def test_custom_gradient_wants_a_pair() -> None:
    with pytest.raises(ef.errors.GradientError, match="must return its result and a function"):
        ef.custom_gradient(lambda x: x * 1.0)(2.0)
