"""Random draws: repeatable by seed and number, of the right distribution, and differentiable."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.errors import ArgumentError, DTypeError, ShapeError


def draws(generator: Any) -> list[np.ndarray]:
    return [
        generator.uniform(size=5).numpy(),
        generator.normal(size=(2, 3), dtype="float32").numpy(),
        generator.exponential(size=4).numpy(),
        generator.bernoulli(0.3, size=9).numpy(),
        generator.categorical([0.0, 1.0, 2.0], size=6).numpy(),
        generator.integers(-3, 9, size=7).numpy(),
        generator.permutation(8).numpy(),
        generator.dropout_mask(0.5, (3, 3)).numpy(),
    ]


def test_equal_seeds_give_equal_streams() -> None:
    for a, b in zip(draws(ef.random.Generator(3)), draws(ef.random.Generator(3)), strict=True):
        np.testing.assert_array_equal(a, b)
    first = ef.random.Generator(3).normal(size=100).numpy()
    assert not np.array_equal(first, ef.random.Generator(4).normal(size=100).numpy())


def test_module_functions_follow_seed() -> None:
    ef.random.seed(11)
    here = draws(ef.random)
    for a, b in zip(here, draws(ef.random.Generator(11)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_draw_depends_on_its_number_only() -> None:
    a, b = ef.random.Generator(0), ef.random.Generator(0)
    a.normal(size=1000)
    b.uniform(size=1)
    np.testing.assert_array_equal(a.normal(size=3).numpy(), b.normal(size=3).numpy())


def test_draws_of_one_generator_differ() -> None:
    generator = ef.random.Generator(0)
    assert not np.array_equal(generator.normal(size=10).numpy(), generator.normal(size=10).numpy())


def test_state_goes_back_and_pickles() -> None:
    generator = ef.random.Generator(5)
    generator.normal()
    state = generator.state
    expected = generator.normal(size=3).numpy()
    generator.state = state
    for other in (generator, pickle.loads(pickle.dumps(generator)), copy.deepcopy(generator)):
        other.state = state
        np.testing.assert_array_equal(other.normal(size=3).numpy(), expected)


def test_threads_share_no_draw() -> None:
    generator = ef.random.Generator(0)
    found: list[float] = []

    def work() -> None:
        found.extend([generator.uniform().item() for _ in range(200)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    serial = ef.random.Generator(0)
    assert sorted(found) == sorted(serial.uniform().item() for _ in range(800))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = ef.random.Generator(2026)
    cases = [
        (generator.uniform(-1, 3, 20000, dtype), stats.uniform(-1, 4)),
        (generator.normal(2, 0.5, 20000, dtype), stats.norm(2, 0.5)),
        (generator.exponential(3.0, 20000, dtype), stats.expon(scale=3)),
    ]
    for drawn, expected in cases:
        assert drawn.dtype == dtype
        assert stats.kstest(drawn.numpy().astype(float), expected.cdf).pvalue > 1e-3


def test_discrete_distributions() -> None:
    generator = ef.random.Generator(7)
    count = 40000
    p = np.array([0.1, 0.0, 0.6, 0.3])
    with np.errstate(divide="ignore"):
        logits = np.log(p)
    found = np.bincount(generator.categorical(logits, size=count).numpy(), minlength=4) / count
    np.testing.assert_allclose(found, p, atol=0.01)
    assert found[1] == 0
    assert abs(generator.bernoulli(0.3, count).numpy().mean() - 0.3) < 0.01
    integers = generator.integers(-2, 3, count).numpy()
    np.testing.assert_allclose(np.bincount(integers + 2) / count, 0.2, atol=0.01)
    mask = generator.dropout_mask(0.25, count, "float32").numpy()
    np.testing.assert_allclose((mask == 0).mean(), 0.25, atol=0.01)
    np.testing.assert_allclose(mask.mean(), 1, atol=0.01)


def test_categorical_takes_any_axis() -> None:
    logits = np.full((4, 3), -np.inf)
    logits[2, :] = 0
    assert ef.random.categorical(logits, axis=0).tolist() == [2, 2, 2]
    assert ef.random.categorical(logits.T, size=(2, 2)).shape == (2, 2, 3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_small_floats_stay_below_one(dtype: str) -> None:
    drawn = ef.random.Generator(0).uniform(size=100000, dtype=dtype).numpy().astype(np.float32)
    assert drawn.max() < 1 and drawn.min() >= 0
    assert abs(drawn.mean() - 0.5) < 0.01


def test_permutation_of_an_array_is_differentiable() -> None:
    x = ef.asarray(np.arange(12.0).reshape(3, 4))
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = ef.random.permutation(x, axis=1)
        target = (y * y).sum()
    np.testing.assert_array_equal(np.sort(y.numpy(), axis=1), x.numpy())
    np.testing.assert_array_equal(tape.gradient(target, x).numpy(), 2 * x.numpy())


def test_gradients_flow_through_parameters() -> None:
    loc, scale = ef.Variable([1.0, 2.0]), ef.Variable(0.5)
    generator = ef.random.Generator(0)
    with ef.GradientTape() as tape:
        x = generator.normal(loc, scale, size=(100, 2))
        target = x.sum()
    to_loc, to_scale = tape.gradient(target, [loc, scale])
    np.testing.assert_array_equal(to_loc.numpy(), [100, 100])
    noise = ef.random.Generator(0).normal(size=(100, 2)).numpy()
    np.testing.assert_allclose(to_scale.numpy(), noise.sum())


def test_parameters_say_shape_and_dtype() -> None:
    assert ef.random.normal(np.zeros((2, 1), np.float32), np.ones(3, np.float32)).shape == (2, 3)
    assert ef.random.normal(np.zeros(2, np.float32)).dtype == np.float32
    assert ef.random.uniform().dtype == np.float64
    assert ef.random.uniform(size=0).shape == (0,)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(DTypeError, match="seed"):
        ef.random.seed(-1)
    with pytest.raises(DTypeError, match="floating-point"):
        ef.random.uniform(dtype="int32")
    with pytest.raises(ShapeError, match="broadcast"):
        ef.random.normal(np.zeros(3), size=2)
    with pytest.raises(ShapeError, match="size"):
        ef.random.normal(size=-1)
    with pytest.raises(ArgumentError, match="empty interval"):
        ef.random.integers(3, 3)
    with pytest.raises(ShapeError, match="axis"):
        ef.random.permutation(np.zeros(3), axis=1)
    with pytest.raises(ShapeError, match="categories"):
        ef.random.categorical(np.zeros((2, 0)))
