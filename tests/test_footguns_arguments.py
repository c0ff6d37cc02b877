"""Footguns: arguments of every kind, and whose memory arguments and results are."""

from __future__ import annotations

import datetime
import enum
import inspect
import math
from typing import Any

import ml_dtypes
import numpy as np
import optree
import pytest

import eagerflow as ef
from eagerflow.errors import CaptureWarning, DTypeError
from footguns import Config, Options, X, check, refused, same, traces, tree


class Mode(enum.Enum):
    ONE = 1
    TWO = 2


VALUES: list[Any] = [
    True, 1, 1.0, False, 0, 0.0, -0.0, math.nan, math.inf, 2, 2**62, -3, 1j, complex(0.0, -0.0), complex(-0.0, 0.0),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*was captured")
def test_python_numbers_are_told_apart() -> None:
    def f(x: Any, n: Any) -> Any:
        return x * n, ef.asarray(n), repr(n), type(n).__name__

    captured = ef.function(f)
    for value in VALUES:
        check(f, captured, X, value)
    assert traces(captured) == len(VALUES)


@pytest.mark.filterwarnings("ignore:.*was captured")
def test_large_integers_texts_and_none() -> None:
    def f(x: Any, what: Any = None) -> Any:
        return x * 2 if what is None else (x, str(what))

    captured = ef.function(f)
    for value in (None, "a", b"a", 10**40, Mode.ONE, Mode.TWO, (), (1, 2), [1, 2], datetime.date(2020, 1, 2), range(3)):
        check(f, captured, X, value)


def test_objects_as_arguments_change() -> None:
    config, options = Config(2.0), Options(3.0, [1.0])

    def f(x: Any, config: Any, options: Any) -> Any:
        return x * config.scale + options.scale + sum(options.more)

    captured = ef.function(f)
    check(f, captured, X, config, options)
    config.scale = 4.0
    check(f, captured, X, config, options)
    options.more[0] = 9.0
    check(f, captured, X, config, options)
    check(f, captured, X, config, Options(3.0, [9.0]))
    assert traces(captured) == 3


def test_functions_as_arguments_change() -> None:
    scale = 2.0

    def times(x: Any) -> Any:
        return x * scale

    def f(x: Any, function: Any) -> Any:
        return function(x)

    captured = ef.function(f)
    check(f, captured, X, times)
    scale = 3.0
    check(f, captured, X, times)
    check(f, captured, X, ef.tanh)
    check(f, captured, X, np.tanh)


def test_positions_and_keywords_share_a_trace() -> None:
    def f(x: Any, n: int = 2, *, shift: float = 0.0) -> Any:
        return x * n + shift

    captured = ef.function(f)
    check(f, captured, X)
    check(f, captured, X, 2)
    check(f, captured, X, n=2)
    check(f, captured, x=X, n=2, shift=0.0)
    assert traces(captured) == 1
    check(f, captured, X, shift=1.0)
    assert traces(captured) == 2


def test_variable_arguments() -> None:
    def f(*xs: Any, **more: Any) -> Any:
        return sum(xs), {key: value * 2 for key, value in more.items()}

    captured = ef.function(f)
    check(f, captured)
    check(f, captured, X)
    check(f, captured, X, X, a=X)
    check(f, captured, X, X, b=X)


def test_default_that_is_mutable() -> None:
    def f(x: Any, seen: Any = []) -> Any:  # noqa: B006 - the trap
        return x * (1 + len(seen))

    captured = ef.function(f)
    check(f, captured, X)
    inspect.signature(f).parameters["seen"].default.append(1)
    check(f, captured, X)


@pytest.mark.filterwarnings("ignore:.*was captured")
def test_numpy_scalars_and_arrays_as_arguments() -> None:
    def f(x: Any) -> Any:
        return ef.asarray(x) * 2, ef.asarray(x) + ef.ones(())

    captured = ef.function(f)
    arrays = np.arange(6.0).reshape(2, 3)
    for value in (
        np.float32(2.5), np.int64(3), np.array(2.0), np.zeros(0), np.zeros((0, 3)), arrays, arrays.T, arrays[:, ::2],
        arrays[::-1], np.asfortranarray(arrays), arrays.astype(">f8"), arrays.astype(">i4"), arrays > 2,
        arrays.astype(np.complex64), arrays.astype(np.float16), arrays.astype(ml_dtypes.bfloat16),
        np.broadcast_to(np.float64(2), (2, 3)),
    ):  # fmt: skip
        check(f, captured, value)
        check(f, captured, value)


def test_numpy_array_argument_is_written_to_after_the_call() -> None:
    def f(x: Any) -> Any:
        return x, ef.asarray(x)[1:], ef.reshape(x, (3, 1))

    captured = ef.function(f)
    data = np.asarray([1.0, 2.0, 3.0])
    expected = tree(captured(data))
    got = captured(data)
    data[:] = 0.0
    same(tree(got), expected)
    same(captured(data)[0], ef.zeros(3))


def test_array_on_a_tape_is_written_to_after_the_call() -> None:
    captured = ef.function(lambda x, y: x * y)
    data = np.asarray([1.0, 2.0, 3.0])
    x = ef.ones(3)
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = captured(x, data)
    data[:] = 0.0
    same(tape.gradient(y, x), ef.asarray([1.0, 2.0, 3.0]))


def test_large_array_argument_is_not_a_constant() -> None:
    captured = ef.function(lambda x: x * 2)
    data = np.arange(20_000.0)
    same(captured(data), ef.asarray(data * 2))
    data[0] = 7.0
    same(captured(data), ef.asarray(data * 2))


def test_subclasses_of_arrays_are_refused() -> None:
    captured = ef.function(lambda x: x * 2)
    with pytest.raises(DTypeError, match="masked"):
        captured(np.ma.masked_array([1.0, 2.0], [True, False]))


# --- values are values -----------------------------------------------------------------------------


def test_writing_to_an_argument_leaves_it_to_the_caller() -> None:
    def f(x: Any) -> Any:
        x += 1
        x[0] = 5.0
        y = x
        y *= 2
        return x

    captured = ef.function(f)
    for make in (lambda: ef.asarray([1.0, 2.0]), lambda: np.asarray([1.0, 2.0])):
        mine = make()
        if not traces(captured):
            with pytest.warns(CaptureWarning, match="assigns to its argument x") as caught:
                captured(mine)
            assert "test_footguns" in str(caught[0].message)
        for _ in range(2):
            got = captured(mine)
            assert np.asarray(mine).tolist() == [1.0, 2.0]
            same(tree(got), np.asarray([10.0, 6.0]))


def test_writing_to_a_tensor_of_the_closure() -> None:
    held = ef.zeros(3)

    @ef.function
    def step(x: Any) -> Any:
        held[0] = 1.0
        return x + held

    refused(step, X, line="held[0] = 1.0", remedy="keep it in a Variable")


def test_results_are_nobody_elses() -> None:
    v = ef.Variable([1.0, 2.0, 3.0])
    constant = np.asarray([7.0, 8.0, 9.0])

    @ef.function
    def f(x: Any) -> Any:
        return x, x, x[1:], ef.reshape(x, (3, 1)), v.value, ef.asarray(constant), x * 2, ef.transpose(x[None])

    data = np.asarray([1.0, 2.0, 3.0])
    x = ef.asarray(data)
    first = f(x)
    before = tree(first)
    copies = optree.tree_map(np.array, before)
    other = f(ef.asarray([4.0, 5.0, 6.0]))
    v.assign([0.0, 0.0, 0.0])
    constant[:] = 0.0
    same(before, copies)
    for result in first:
        assert not np.shares_memory(result.numpy(), x.numpy())
        result += 1
        result[...] = -1.0
    same(x, ef.asarray(data))
    same(f(x)[6], ef.asarray(data * 2))
    same(tree(other[0]), np.asarray([4.0, 5.0, 6.0]))


def test_one_value_twice_in_place() -> None:
    def f(x: Any) -> Any:
        y = x * 2
        return y, y

    captured = ef.function(f)
    a, b = captured(X)
    a += 1
    a[0] = 9.0
    same(b, X * 2)


def test_results_of_every_kind() -> None:
    v = ef.Variable([1.0, 2.0])
    options = Options(2.0)

    def f(x: Any) -> Any:
        return {
            "none": None, "number": 3, "text": "a", "array": np.arange(3), "list": [x, (x * 2, None)],
            "constant": ef.ones(2), "function": abs, "empty": [], "options": options, "scalar": np.float32(2),
            "nested": ({"b": x, "a": 1},),
        }  # fmt: skip

    captured = ef.function(f)
    check(f, captured, X)
    assert list(captured(X)) == list(f(X))
    array = captured(X)["array"]
    array[0] = 100
    same(captured(X)["array"], np.arange(3))
    assert ef.function(lambda: v)() is v
    assert ef.function(lambda x: None)(X) is None
    assert ef.function(lambda: 3)() == 3


def test_list_in_a_result_is_a_new_one_in_every_call() -> None:
    captured = ef.function(lambda x: ([x, 1], {"a": [x]}))
    first = captured(X)
    first[0].append(2)
    first[1]["a"].append(3)
    same(captured(X), ([X, 1], {"a": [X]}))
