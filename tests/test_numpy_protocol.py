"""NumPy's functions on Tensors: they run, they are recorded, and nothing is lost silently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eagerflow as ef

A = np.array([[0.5, 1.5, 0.2], [2.0, 0.1, 0.7]])

FUNCTIONS: dict[str, Any] = {
    "tanh": lambda t: np.tanh(t),
    "sum_axis": lambda t: np.sum(t, axis=0),
    "sum_positional": lambda t: np.sum(t, 1),
    "norm": lambda t: np.linalg.norm(t),
    "norm_axis": lambda t: np.linalg.norm(t, axis=1),
    "where": lambda t: np.where(A > 0.4, t, 0),
    "array_matmul_tensor": lambda t: A.T @ t,
    "tensor_matmul_array": lambda t: t @ A.T,
    "array_plus_tensor": lambda t: A + t,
    "array_minus_tensor": lambda t: A - t,
    "scalar_times_tensor": lambda t: np.float64(2.0) * t,
    "mean": lambda t: np.mean(t, axis=(0, 1), keepdims=True),
    "einsum": lambda t: np.einsum("ij,kj->ik", t, A),
    "concatenate": lambda t: np.concatenate([t, A], axis=0),
    "stack": lambda t: np.stack([t, A, t]),
    "dot": lambda t: np.dot(t, A.T),
    "transpose": lambda t: np.transpose(t),
    "reshape": lambda t: np.reshape(t, (3, 2)),
    "maximum": lambda t: np.maximum(t, 1.0),
    "clip": lambda t: np.clip(t, 0.3, 1.0),
    "exp_log": lambda t: np.log(np.exp(t) + 1),
    "power": lambda t: np.power(t, 3),
    "cumsum": lambda t: np.cumsum(t, axis=1),
    "prod": lambda t: np.prod(t, axis=1),
    "add_reduce": lambda t: np.add.reduce(t, axis=1),
    "multiply_outer": lambda t: np.multiply.outer(t, A),
    "std": lambda t: np.std(t, axis=0),
    "inv": lambda t: np.linalg.inv(t @ A.T),
    "solve": lambda t: np.linalg.solve(t @ A.T, A),
    "tensordot": lambda t: np.tensordot(t, A, axes=([1], [1])),
    "squeeze": lambda t: np.squeeze(np.expand_dims(t, 0)),
    "take": lambda t: np.take(t, [0, 1, 1], axis=1),
    "sort": lambda t: np.sort(t, axis=-1),
    "astype_ufunc": lambda t: np.add(t, A, dtype=np.float64),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_value_as_on_arrays_and_recorded(name: str) -> None:
    f = FUNCTIONS[name]
    t = ef.asarray(A)
    with ef.GradientTape() as tape:
        tape.watch(t)
        y = f(t)
    assert isinstance(y, ef.Tensor)
    np.testing.assert_allclose(y.numpy(), f(A), rtol=1e-12)
    assert y.dtype == f(A).dtype
    assert tape.gradient(y, t).shape == A.shape
    ef.check_grads(f, [A], order=2)


@pytest.mark.parametrize("f", [np.argmax, np.isnan, np.shape, np.ndim, np.size, np.array_equal])
def test_functions_without_a_gradient(f: Any) -> None:
    t = ef.asarray(A)
    args = (t, t) if f is np.array_equal else (t,)
    plain = (A, A) if f is np.array_equal else (A,)
    np.testing.assert_array_equal(np.asarray(f(*args)), f(*plain))


def test_named_tuples_hold_tensors_too() -> None:
    result = np.linalg.eig(ef.asarray([[2.0, 0.0], [0.0, 3.0]]))
    assert all(type(part) is ef.Tensor for part in result)
    np.testing.assert_array_equal(result.eigenvalues.numpy(), [2, 3])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.fill_diagonal(x, 0.0),
        lambda x: np.copyto(x, 0.0),
        lambda x: np.putmask(x, x > 0, 0.0),
        lambda x: np.put(x, [0, 3], 7.0),
        lambda x: np.place(x, x > 0, [1.0, 2.0]),
        lambda x: np.add.at(x, ([0, 0], [1, 1]), 5.0),
    ],
)
def test_functions_that_write_give_the_handle_a_new_value(f: Any) -> None:
    x = ef.ones((2, 2))
    other = x[...]
    a = np.ones((2, 2))
    f(x)
    f(a)
    np.testing.assert_array_equal(x.numpy(), a)
    np.testing.assert_array_equal(other.numpy(), np.ones((2, 2)))


def test_asarray_gives_the_values() -> None:
    t = ef.asarray(A)
    np.testing.assert_array_equal(np.asarray(t), A)
    assert np.asarray(t, dtype=np.float32).dtype == np.float32
    copied = np.array(t)
    copied[0, 0] = 9
    assert t[0, 0].item() == 0.5
    with pytest.raises(ef.errors.ArgumentError, match="needs a copy"):
        np.asarray(t, dtype=np.float32, copy=False)


def test_functions_without_a_rule_run_and_say_so_in_the_gradient() -> None:
    t = ef.asarray([3.0, 1.0, 2.0])
    with ef.GradientTape(persistent=True) as tape:
        tape.watch(t)
        y = np.emath.sqrt(t)
        z = np.maximum.reduceat(t, [0, 1])
    np.testing.assert_array_equal(y.numpy(), np.sqrt([3.0, 1.0, 2.0]))
    for value, name in ((y, r"sqrt runs on Tensors through NumPy"), (z, r"np\.maximum\.reduceat")):
        with pytest.raises(ef.errors.GradientError, match=name):
            tape.gradient(value, t)


def test_out_gives_the_handle_a_new_value() -> None:
    x = ef.asarray([1.0, 2.0])
    out = ef.zeros(2)
    kept = out * 1
    with ef.GradientTape() as tape:
        tape.watch(x)
        result = np.multiply(x, x, out=out)
    assert result is out
    np.testing.assert_array_equal(out.numpy(), [1.0, 4.0])
    np.testing.assert_array_equal(kept.numpy(), [0.0, 0.0])
    np.testing.assert_array_equal(tape.gradient(out, x).numpy(), [2.0, 4.0])


def test_writing_into_a_numpy_array_does_not_lose_a_gradient() -> None:
    a = np.zeros(2)
    x = ef.asarray([1.0, 2.0])
    a += x
    np.testing.assert_array_equal(a, [1.0, 2.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        with pytest.raises(ef.errors.GradientError, match="would lose its gradient"):
            a += x
    np.testing.assert_array_equal(a, [1.0, 2.0])


def test_arguments_that_tensors_do_not_take() -> None:
    x = ef.asarray([1.0, 2.0])
    with pytest.raises(ef.errors.DTypeError, match=r"np\.sum.*where"):
        np.sum(x, where=[True, False])
    with pytest.raises(ef.errors.DTypeError, match=r"np\.divide\.at.*np\.add\.at"):
        np.divide.at(x, [0], 1.0)


def test_other_array_types_may_answer() -> None:
    class Mine:
        __array_ufunc__ = None

        def __radd__(self, other: Any) -> str:
            return "mine"

        def __rmatmul__(self, other: Any) -> str:
            return "mine too"

    assert ef.ones(2) + Mine() == "mine"
    assert ef.ones(2) @ Mine() == "mine too"
    with pytest.raises(TypeError):
        ef.ones(2) + object()
