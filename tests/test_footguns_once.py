"""Footguns: what happens once, while a function is captured, and what needs numbers that are not there yet."""

from __future__ import annotations

import collections
import datetime
import functools
import itertools
import math
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.errors import CaptureWarning
from footguns import Config, X, check, refused, same

SCALE: Any = 2.0


def test_list_of_the_closure_is_appended_to() -> None:
    losses: list[Any] = []

    @ef.function
    def step(x: Any) -> Any:
        losses.append(1.0)
        return x * 2

    text = refused(step, X, line="losses.append(1.0)", remedy="ef.py_function")
    assert "changes losses" in text


def test_tensor_is_appended_to_a_list_outside() -> None:
    losses: list[Any] = []

    @ef.function
    def step(x: Any) -> Any:
        loss = ef.sum(x)
        losses.append(loss)
        return x * 2

    refused(step, X, line="losses.append(loss)", remedy="return it")
    refused(lambda: losses[0] + 1, line="losses[0] + 1", remedy="return it")


def test_dict_of_the_closure_is_changed() -> None:
    cache: dict[str, int] = {}

    @ef.function
    def step(x: Any) -> Any:
        cache["calls"] = cache.get("calls", 0) + 1
        return x * 2

    refused(step, X, line='cache["calls"] = ', remedy="keep it in a Variable")


def test_nonlocal_counter() -> None:
    count = 0

    @ef.function
    def step(x: Any) -> Any:
        nonlocal count
        count += 1
        return x * count

    refused(step, X, line="count += 1", remedy="keep it in a Variable")


def test_what_is_remembered_in_the_first_call() -> None:
    known: dict[int, Any] = {}
    names: Any = collections.defaultdict(float)

    def f(x: Any, n: int) -> Any:
        if n not in known:
            known[n] = np.arange(n)
        return x * known[n].sum() + names["shift"]

    captured = ef.function(f)
    for n in (2, 3, 2, 3):
        check(f, captured, X, n)
    known[3] = np.arange(9)
    names["shift"] = 1.0
    check(f, captured, X, 3)


def test_global_is_assigned() -> None:
    @ef.function
    def step(x: Any) -> Any:
        global SCALE
        SCALE = 3.5
        return x

    try:
        for before in (2.0, 3.5, 2.0):
            globals()["SCALE"] = before
            step(X)
            assert SCALE == 3.5
    finally:
        globals()["SCALE"] = 2.0


def test_attribute_of_self_is_assigned() -> None:
    class Model:
        calls = 0

        @ef.function
        def __call__(self, x: Any) -> Any:
            self.calls += 1
            return x * 2

        @ef.function
        def keep(self, x: Any) -> Any:
            self.last = x * 2
            return self.last

    model = Model()
    refused(model, X, line="self.calls += 1", remedy="keep it in a Variable")
    refused(model.keep, X, line="self.last = x * 2", remedy="return it")
    refused(lambda: model.last + 1, line="model.last + 1", remedy="return it")


def test_attribute_of_a_module_is_assigned() -> None:
    class Counting(ef.nn.Module):
        def __init__(self) -> None:
            self.calls = 0

        def __call__(self, x: Any) -> Any:
            self.calls += 1
            return x

    model = ef.nn.Sequential(Counting())
    refused(ef.function(lambda x: model(x)), X, line="self.calls += 1", remedy="keep it in a Variable")
    refused(ef.function(lambda m, x: m(x)), model, X, line="self.calls += 1", remedy="return what it makes")


LEAK: Any = None


def test_symbol_leaks_into_a_global() -> None:
    @ef.function
    def step(x: Any) -> Any:
        global LEAK
        LEAK = x + 1
        return x

    try:
        refused(step, X, line="LEAK = x + 1", remedy="return it")
        refused(lambda: ef.sum(LEAK), line="ef.sum(LEAK)", remedy="return it")
        refused(lambda: LEAK.numpy(), line="LEAK.numpy()", remedy="return it")
        refused(lambda: float(LEAK[0]), line="LEAK[0]", remedy="return it")
    finally:
        globals().pop("LEAK", None)


def test_symbol_leaks_where_nobody_looks() -> None:
    class Box:
        pass

    box = Box()
    hide = functools.partial(setattr, box, "hidden")
    first = ef.function(lambda x: hide(x * 2) or x)
    first(X)
    refused(ef.function(lambda x: x + box.hidden), X, line="box.hidden", remedy="return it")


def test_arguments_are_changed_in_place() -> None:
    @ef.function
    def extend(parts: Any) -> Any:
        parts.append(1.0)
        return parts[0]

    @ef.function
    def put(parts: Any) -> Any:
        parts["new"] = parts["x"] * 2
        return parts["x"]

    @ef.function
    def assign(config: Any, x: Any) -> Any:
        config.scale = 5.0
        return x * config.scale

    refused(extend, [X], line="parts.append(1.0)", remedy="return what it makes")
    refused(put, {"x": X}, line='parts["new"] = ', remedy="return what it makes")
    refused(assign, Config(1.0), X, line="config.scale = 5.0", remedy="return what it makes")


def test_default_is_changed() -> None:
    @ef.function
    def step(x: Any, seen: Any = []) -> Any:  # noqa: B006 - the trap
        seen.append(1)
        return x * len(seen)

    refused(step, X, line="seen.append(1)", remedy="return what it makes")


def test_generator_of_the_closure() -> None:
    numbers = (n for n in range(10))

    @ef.function
    def step(x: Any) -> Any:
        return x * next(numbers)

    refused(step, X, line="next(numbers)", remedy="make a list of it")


@pytest.mark.parametrize(
    "make", [lambda: iter([1, 2, 3]), lambda: itertools.count(), lambda: enumerate([1, 2]), lambda: map(abs, [1, 2]),
             lambda: zip([1, 2], [3, 4], strict=True), lambda: itertools.cycle([1, 2])],
    ids=["list", "count", "enumerate", "map", "zip", "cycle"],
)  # fmt: skip
def test_iterator_of_the_closure(make: Callable[[], Iterator[Any]]) -> None:
    items = make()

    @ef.function
    def step(x: Any) -> Any:
        next(items)
        return x

    refused(step, X, line="next(items)", remedy="list of it")


def test_generator_as_an_argument_or_a_result() -> None:
    total = ef.function(lambda xs: sum(xs))
    refused(total, (x for x in [X, X]), line="captured(*args)", remedy="pass a list or a tuple")
    refused(total, iter([X, X]), line="captured(*args)", remedy="pass a list or a tuple")

    @ef.function
    def give(x: Any) -> Any:
        return (x * n for n in range(3))

    refused(give, X, line="return (x * n", remedy="return a list")


def test_tensor_within_something_unknown_is_returned() -> None:
    @ef.function
    def in_object(x: Any) -> Any:
        config = Config(1.0)
        config.scale = x * 2
        return config

    refused(in_object, X, line="captured(*args)", remedy="return lists")
    refused(ef.function(lambda x: {x * 2}), X, line="captured(*args)", remedy="return lists")


def test_random_numbers_of_python_and_numpy() -> None:
    rng, stream = np.random.default_rng(0), random.Random(0)
    refused(ef.function(lambda x: x * random.random()), X, line="random.random()", remedy="ef.random")
    refused(ef.function(lambda x: x * np.random.rand()), X, line="np.random.rand()", remedy="ef.random")  # noqa: NPY002
    refused(ef.function(lambda x: x * rng.normal()), X, line="rng.normal()", remedy="ef.random")
    refused(ef.function(lambda x: x * stream.random()), X, line="stream.random()", remedy="ef.random")


def test_random_generator_as_an_argument() -> None:
    rng = np.random.default_rng(0)
    refused(ef.function(lambda x, rng: x * rng.normal()), X, rng, line="rng.normal()", remedy="return what it makes")


def test_value_of_a_transformation_that_is_not_used() -> None:
    held: list[Any] = [None]
    captured = ef.function(lambda x: x * len(held))

    def outer(s: Any) -> Any:
        held[0] = s
        return captured(X)

    same(ef.vmap(outer)(ef.ones(2)), ef.stack([X, X]))


def test_clocks_are_warned_of() -> None:
    for f in (
        lambda x: x * time.time(),
        lambda x: x * datetime.datetime.now().second,
        lambda x: x * len(os.urandom(1)),
    ):
        with pytest.warns(CaptureWarning, match="called once.*\n.*test_footguns") as caught:
            ef.function(f)(X)
        assert "py_function" in str(caught[0].message)


def test_printing_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    def show(x: Any) -> Any:
        print(x)  # noqa: T201 - the trap
        return x

    def text(x: Any) -> Any:
        return x * len(f"{x}")

    for f in (show, text):
        captured = ef.function(f)
        with pytest.warns(CaptureWarning, match=r"ef\.print"):
            captured(X)
    assert "Symbol" in capsys.readouterr().out


# --- numbers that are not there yet ----------------------------------------------------------------


def branch(x: Any) -> Any:
    if ef.sum(x) > 0:
        return x
    return -x


def repeat(x: Any) -> Any:
    while x[0] < 10:
        x = x * 2
    return x


def insist(x: Any) -> Any:
    assert x[0] > 0
    return x


def smallest(x: Any) -> Any:
    return min(x[0], x[1])


NUMBERS: list[tuple[Callable[..., Any], str, str]] = [
    (branch, "if ef.sum(x) > 0", "ef.where"),
    (repeat, "while x[0] < 10", "ef.where"),
    (insist, "assert x[0] > 0", "ef.where"),
    (smallest, "min(x[0], x[1])", "ef.where"),
    (lambda x: x[0] > 0 and x, "x[0] > 0 and x", "ef.where"),
    (lambda x: x[0] > 0 or x, "x[0] > 0 or x", "ef.where"),
    (lambda x: not x[0], "not x[0]", "ef.where"),
    (lambda x: x if x[0] in (1.0, 2.0) else -x, "in (1.0, 2.0)", "ef.where"),
    (lambda x: x * bool(x[0]), "bool(x[0])", "ef.where"),
    (lambda x: x * float(x[0]), "float(x[0])", "keep it a Tensor"),
    (lambda x: x * int(x[0]), "int(x[0])", "keep it a Tensor"),
    (lambda x: x * complex(x[0]), "complex(x[0])", "keep it a Tensor"),
    (lambda x: x * x[0].item(), "x[0].item()", "keep it a Tensor"),
    (lambda x: x * x.tolist()[0], "x.tolist()", "keep it a Tensor"),
    (lambda x: x * x.numpy(), "x.numpy()", "ef.py_function"),
    (lambda x: x * np.asarray(x), "np.asarray(x)", "ef.py_function"),
    (lambda x: x * np.array([x[0], 1.0]), "np.array([x[0], 1.0])", ""),
    (lambda x: x * math.sin(x[0]), "math.sin(x[0])", "keep it a Tensor"),
    (lambda x: [1, 2, 3][ef.argmax(x)], "[ef.argmax(x)]", "keep it a Tensor"),
    (lambda x: x * len(range(ef.argmax(x))), "range(ef.argmax(x))", "keep it a Tensor"),
    (lambda x: ef.zeros(ef.argmax(x)), "ef.zeros(ef.argmax(x))", ""),
    (lambda x: ef.reshape(x, (ef.argmax(x), -1)), "ef.reshape(x, (ef.argmax(x), -1))", ""),
    (lambda x: x[: ef.argmax(x)], "x[: ef.argmax(x)]", ""),
    (lambda x: x[x > 0], "x[x > 0]", "ef.where"),
    (lambda x: ef.nonzero(x), "ef.nonzero(x)", "ef.where"),
    (lambda x: ef.unique_values(x), "ef.unique_values(x)", "ef.py_function"),
    (lambda x: ef.repeat(x, ef.astype(abs(x), ef.int64)), "ef.repeat(", ""),
]


@pytest.mark.parametrize(("f", "line", "remedy"), NUMBERS, ids=[line for _, line, _ in NUMBERS])
def test_what_needs_numbers(f: Callable[..., Any], line: str, remedy: str) -> None:
    refused(ef.function(f), X, line=line, remedy=remedy, kind=ef.errors.EagerflowError)


def test_storing_into_a_numpy_array() -> None:
    def fill(x: Any) -> Any:
        out = np.zeros(3)
        out[0] = x[0] * 2
        return out

    def fill_slice(x: Any) -> Any:
        out = np.zeros(3)
        out[:2] = x[:2]
        return out

    refused(ef.function(fill), X, line="out[0] = x[0] * 2", remedy="np.zeros_like(x)")
    refused(ef.function(fill_slice), X, line="out[:2] = x[:2]", remedy="np.zeros_like(x)")


def test_scipy_function() -> None:
    signal = pytest.importorskip("scipy.signal")
    refused(ef.function(lambda x: signal.medfilt(x)), X, line="signal.medfilt(x)", remedy="ef.py_function")


def test_numpy_functions_are_captured() -> None:
    def f(x: Any) -> Any:
        return np.sin(x), np.linalg.norm(x), np.where(x > 0, x, 0), np.concatenate([x, x]), np.add(x, 1), x.sum()

    check(f, ef.function(f), X)
