"""Code that knows NumPy only: it makes what it assigns to with `like=`, and what it loses it does not lose silently."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.core import numpy_functions

# --- like= --------------------------------------------------------------------------------------

CREATIONS: dict[str, Callable[[Any], Any]] = {
    "zeros": lambda x: np.zeros((2, 3), like=x),
    "zeros, int": lambda x: np.zeros(2, int, "F", like=x),
    "ones": lambda x: np.ones(3, np.float32, order="F", like=x),
    "full": lambda x: np.full((2, 2), 1.5, like=x),
    "eye": lambda x: np.eye(2, 3, 1, like=x),
    "identity": lambda x: np.identity(2, dtype=np.float32, like=x),
    "tri": lambda x: np.tri(3, 2, -1, like=x),
    "arange": lambda x: np.arange(1, 7, 2, like=x),
    "arange, float": lambda x: np.arange(3.0, like=x),
    "array": lambda x: np.array([[1, 2]], float, ndmin=3, like=x),
    "asarray": lambda x: np.asarray([1.0, 2.0], like=x),
    "asanyarray": lambda x: np.asanyarray([1, 2], like=x),
    "ascontiguousarray": lambda x: np.ascontiguousarray([1.0], like=x),
    "require": lambda x: np.require([1.0], float, like=x),
    "fromfunction": lambda x: np.fromfunction(lambda i, j: i + 2 * j, (2, 3), like=x),
    "fromiter": lambda x: np.fromiter(iter([1.0, 2.0]), float, like=x),
    "loadtxt": lambda x: np.loadtxt(io.StringIO("1 2\n3 4"), like=x),
}


@pytest.mark.parametrize("name", CREATIONS)
def test_like_a_tensor_makes_tensors(name: str) -> None:
    f = CREATIONS[name]
    made, expected = f(ef.asarray([1.0])), f(np.ones(1))
    assert type(made) is ef.Tensor and made.dtype == expected.dtype
    np.testing.assert_array_equal(made.numpy(), expected)


def test_empty_like_a_tensor() -> None:
    made: Any = np.empty((2, 3), np.float32, like=ef.zeros(1))
    assert type(made) is ef.Tensor and made.shape == (2, 3) and made.dtype == np.float32


def test_like_puts_it_on_the_device_of_the_tensor() -> None:
    ef.config.set_logical_devices("cpu", 2)
    try:
        there = ef.zeros(1, device="cpu:1")
        for make in CREATIONS.values():
            assert repr(make(there).device) == "cpu:1"
    finally:
        ef.config.set_logical_devices("cpu", 1)


def test_lists_of_tensors_like_a_tensor_are_recorded() -> None:
    ef.check_grads(lambda x: np.array([x[0] ** 2, x[1] * x[0]], like=x), [np.array([0.5, 2.0])], order=2)


def test_assignment_in_place_is_recorded() -> None:
    def assembled(x: np.ndarray) -> np.ndarray:
        total = np.zeros((4, 4), like=x)
        for i, value in enumerate(x):
            total[np.ix_([i, i + 1], [i, i + 1])] += value * np.array([[1, -1], [-1, 1]])
        total.flat[::5] += 0.1
        solution = np.zeros_like(x, shape=4)
        solution[1:] = np.linalg.solve(total[1:, 1:], np.ones(3))
        return solution

    x = np.array([0.5, 1.5, 1.0])
    np.testing.assert_allclose(assembled(ef.asarray(x)).numpy(), assembled(x))
    ef.check_grads(assembled, [x], order=2)


HEAT = """
import numpy as np

def temperatures(conductivity, steps=20):
    now = np.zeros(8)
    now[0] = 1.0
    history = np.empty((steps, 8))
    for step in range(steps):
        flow = np.zeros(9)
        flow[1:-1] = -conductivity * np.diff(now)
        now = now - np.diff(flow)
        now[0], now[-1] = 1.0, 0.0
        history[step] = now
    return history
"""


def test_a_program_runs_with_eagerflow_in_place_of_numpy() -> None:
    plain: dict[str, Any] = {}
    ours: dict[str, Any] = {}
    exec(HEAT, plain)
    exec(HEAT.replace("import numpy as np", "import eagerflow as np"), ours)
    rates = np.linspace(0.2, 0.4, 7)
    np.testing.assert_allclose(ours["temperatures"](ef.asarray(rates)).numpy(), plain["temperatures"](rates))
    ef.check_grads(ours["temperatures"], [rates], order=1)
    with pytest.raises(ef.errors.GradientError, match="lose its gradient"):
        ef.grad(lambda rates: plain["temperatures"](rates)[-1].sum())(ef.asarray(rates))


# --- what would be lost -------------------------------------------------------------------------


def stores() -> dict[str, Callable[[Any], Any]]:
    """Return ways to store a recorded Tensor in an array of NumPy."""

    def element(x: Any) -> None:
        np.zeros(3)[0] = x[0]

    def added(x: Any) -> None:
        buffer = np.zeros(3)
        buffer[0] += x[0]

    def part(x: Any) -> None:
        np.zeros(3)[:2] = x

    def fancy(x: Any) -> None:
        np.zeros((2, 3), np.float32)[[0, 1], [1, 2]] = x

    def of_complex(x: Any) -> None:
        np.zeros(2, complex)[0] = x[1]

    return {
        f.__name__: f
        for f in (element, added, part, fancy, of_complex)
    } | {
        "copyto": lambda x: np.copyto(np.zeros(2), x),
        "put": lambda x: np.put(np.zeros(2), [0, 1], x),
        "fill_diagonal": lambda x: np.fill_diagonal(np.zeros((2, 2)), x[0]),
        "out": lambda x: np.multiply(x, x, out=np.zeros(2)),
    }  # fmt: skip


@pytest.mark.parametrize("name", stores())
def test_storing_a_recorded_tensor_in_an_array_is_refused(name: str) -> None:
    store = stores()[name]

    def f(x: Any) -> Any:
        store(x)
        return ef.sum(x)

    x = ef.asarray([1.0, 2.0])
    with pytest.raises(ef.errors.GradientError, match=r"lose its gradient.*np\.zeros\(shape, like=x\)"):
        ef.grad(f)(x)
    with pytest.raises(ef.errors.GradientError, match=r"lose its gradient.*np\.zeros\(shape, like=x\)"):
        ef.jvp(f, [x], [x])


@pytest.mark.parametrize("name", stores())
def test_storing_a_tensor_that_no_open_tape_follows_is_not(name: str) -> None:
    x = ef.asarray([1.0, 2.0])
    stores()[name](x)
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x * 1
    stores()[name](y)


@pytest.mark.parametrize("make", [np.asarray, np.array, lambda x: np.array([x[0], x[1]]), lambda x: np.full(3, x[0])])
def test_making_an_array_of_a_recorded_tensor_warns(make: Callable[[Any], Any]) -> None:
    x = ef.asarray([1.0, 2.0])
    make(x)
    with ef.GradientTape(persistent=True) as tape:
        tape.watch(x)
        with pytest.warns(ef.errors.GradientLostWarning, match=r"tensor\.numpy\(\) where numbers are meant") as caught:
            make(x)
        with tape.stop_recording():
            make(x)
    make(x)
    with pytest.warns(ef.errors.GradientLostWarning):
        ef.jvp(lambda x: x * ef.sum(make(x)), [x], [x])
    assert caught[0].filename in (__file__, np.full.__code__.co_filename)


def test_numbers_that_are_asked_for_by_name_are_given() -> None:
    history = np.zeros(6)
    x = ef.asarray([1.0, 2.0])
    with ef.GradientTape() as tape, warnings.catch_warnings():
        warnings.simplefilter("error")
        tape.watch(x)
        history[0], history[1] = float(x[0]), x[1].item()
        history[2:4] = x.numpy()
        history[4] = complex(x[0]).real
        history[ef.asarray([5])] = 1.0
        history[np.asarray(x > 3).repeat(3)] = 0.0
        text = f"{x[0]:.1f} {x}"
    assert history.tolist() == [1.0, 2.0, 1.0, 2.0, 1.0, 1.0]
    assert text == "1.0 [1. 2.]"


def test_integers_have_no_gradient_to_lose() -> None:
    x = ef.asarray([1.0, 2.0])
    counts = np.zeros(2, int)
    with ef.GradientTape() as tape:
        tape.watch(x)
        counts[:] = ef.astype(x, ef.int64)
        np.asarray(x > 1)
    assert counts.tolist() == [1, 2]


def test_a_function_without_a_gradient_raises_where_another_way_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(numpy_functions, np.tanh)  # as if no op answered for it
    x = ef.asarray([3.0, 1.0, 2.0])
    with pytest.raises(ef.errors.GradientError, match=r"np\.tanh.*ef\.stop_gradient"):
        ef.grad(lambda x: ef.sum(np.tanh(x) + x))(x)
    constant = ef.grad(lambda x: ef.sum(np.tanh(ef.stop_gradient(x)) + x))(x)
    np.testing.assert_array_equal(constant.numpy(), np.ones(3))
    with pytest.raises(ef.errors.GradientError, match=r"np\.tanh.*ef\.stop_gradient"):
        ef.jvp(lambda x: np.tanh(x) + x, [x], [x])
    _, tangent = ef.jvp(lambda x: np.tanh(ef.stop_gradient(x)) + x, [x], [x])
    np.testing.assert_array_equal(tangent.numpy(), x.numpy())


def test_masked_functions_neither_write_to_a_tensor_nor_lose_its_gradient_silently() -> None:
    x = ef.asarray([1.0, 2.0])
    assert not np.ma.getdata(x).flags.writeable
    with ef.GradientTape() as tape:
        tape.watch(x)
        with pytest.warns(ef.errors.GradientLostWarning):
            np.ma.getdata(x)
