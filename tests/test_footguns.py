"""Footguns: the traps of capture. Each ends in what eager code gives, call after call, or in an error that helps."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import functools
import gc
import inspect
import itertools
import math
import random
import subprocess
import sys
import time
import types
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import optree
import pytest

import eagerflow as ef
from eagerflow.errors import ArgumentError, CaptureError, CaptureWarning, DTypeError, GradientError

X = ef.asarray([1.0, -2.0, 3.0])


def tree(value: Any) -> Any:
    """Return a result with NumPy arrays in place of Tensors and Variables."""
    return optree.tree_map(lambda x: x.numpy() if isinstance(x, ef.Tensor) else x, value, none_is_leaf=True)


def same(got: Any, expected: Any) -> None:
    """Check that two results are of one structure, of the same types, and equal bit for bit."""
    found, structure = optree.tree_flatten(got, none_is_leaf=True)
    wanted, form = optree.tree_flatten(expected, none_is_leaf=True)
    assert structure == form
    for a, b in zip(found, wanted, strict=True):
        assert type(a) is type(b)
        if isinstance(a, ef.Tensor | np.ndarray | np.generic):
            mine, theirs = np.asarray(a), np.asarray(b)
            assert mine.dtype == theirs.dtype
            assert mine.shape == theirs.shape
            assert mine.tobytes() == theirs.tobytes()
        else:
            assert a == b or a is b


def check(f: Callable[..., Any], captured: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Check that a captured function gives what its Python function gives, twice."""
    for _ in range(2):
        same(captured(*args, **kwargs), f(*args, **kwargs))


def refused(captured: Callable[..., Any], *args: Any, line: str, remedy: str, kind: Any = CaptureError) -> str:
    """Check that a call is an error of ours that shows a line of this file and names the way out."""
    with pytest.raises(kind) as caught:
        captured(*args)
    text = str(caught.value)
    assert isinstance(caught.value, ef.errors.EagerflowError)
    assert remedy in text, text
    name, _, rest = text[text.index("  at ") + 5 :].partition(":")
    assert name == Path(__file__).name, text
    assert line in rest.splitlines()[0], text
    return text


def traces(captured: Any) -> int:
    """Return how often a function was captured."""
    return len(captured.concrete_functions)


# --- values outside that change between calls: the silent traps ------------------------------------


def test_number_of_the_closure_changes() -> None:
    scale = 2.0

    def f(x: Any) -> Any:
        return x * scale

    captured = ef.function(f)
    for value in (2.0, 3.0, 2.0, -0.0, 0.0, math.nan):
        scale = value
        check(f, captured, X)
    assert traces(captured) == 5


def test_list_of_the_closure_changes() -> None:
    powers = [1, 2]

    def f(x: Any) -> Any:
        return [x**p for p in powers]

    captured = ef.function(f)
    check(f, captured, X)
    powers.append(3)
    check(f, captured, X)
    powers[0] = 5
    check(f, captured, X)
    powers.clear()
    check(f, captured, X)


def test_dict_of_the_closure_changes() -> None:
    options: dict[str, Any] = {"scale": 2.0, "inner": {"shift": [1.0]}}

    def f(x: Any) -> Any:
        return x * options["scale"] + options["inner"]["shift"][0] + len(options)

    captured = ef.function(f)
    check(f, captured, X)
    options["inner"]["shift"][0] = 7.0
    check(f, captured, X)
    options["scale"] = 0.5
    check(f, captured, X)
    options["new"] = None
    check(f, captured, X)


def test_set_and_text_of_the_closure_change() -> None:
    names, mode = {"sin"}, "once"

    def f(x: Any) -> Any:
        y = ef.sin(x) if "sin" in names else x
        return y if mode == "once" else y * 2

    captured = ef.function(f)
    check(f, captured, X)
    names.add("cos")
    names.discard("sin")
    check(f, captured, X)
    mode = "twice"
    check(f, captured, X)


def test_numpy_array_of_the_closure_is_written_to() -> None:
    weights = np.ones(3)

    def f(x: Any) -> Any:
        return x * weights + weights.sum()

    captured = ef.function(f)
    check(f, captured, X)
    weights[1] = 5.0
    check(f, captured, X)
    weights *= 2
    check(f, captured, X)


def test_large_numpy_array_of_the_closure_is_written_to() -> None:
    weights = np.arange(20_000.0)
    x = ef.ones(20_000)

    def f(x: Any) -> Any:
        return x * weights

    captured = ef.function(f)
    check(f, captured, x)
    weights[1] = 5.0
    check(f, captured, x)
    assert traces(captured) == 1  # it is an input of the graph
    weights = weights[::-1]
    check(f, captured, x)
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = captured(x)
    before = weights.copy()
    weights[:] = 0.0
    same(tape.gradient(y, x), ef.asarray(before))


def test_tensor_of_the_closure_changes() -> None:
    shift = ef.asarray([1.0, 2.0, 3.0])

    def f(x: Any) -> Any:
        return x + shift

    captured = ef.function(f)
    check(f, captured, X)
    shift[0] = 100.0
    check(f, captured, X)
    shift += 1
    check(f, captured, X)
    shift = ef.zeros(3)
    check(f, captured, X)


SCALE: Any = 2.0
FACTORS = [1.0, 2.0]


def helper(x: Any) -> Any:
    return x * SCALE


def test_global_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        return x + SCALE

    captured = ef.function(f)
    check(f, captured, X)
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    check(f, captured, X)


def test_global_of_a_helper_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def between(x: Any) -> Any:
        return helper(x) + 1

    def f(x: Any) -> Any:
        return between(x)

    captured = ef.function(f)
    check(f, captured, X)
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    check(f, captured, X)


def test_helper_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        return helper(x)

    captured = ef.function(f)
    check(f, captured, X)
    monkeypatch.setitem(globals(), "helper", lambda x: x - 1)
    check(f, captured, X)


def test_global_appears_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        try:
            return x * APPEARS_LATER  # type: ignore[name-defined]
        except NameError:
            return x

    captured = ef.function(f)
    check(f, captured, X)
    monkeypatch.setitem(globals(), "APPEARS_LATER", 4.0)
    check(f, captured, X)


def test_attribute_of_a_python_module_changes() -> None:
    settings = types.ModuleType("settings")
    settings.scale = 2.0  # type: ignore[attr-defined]

    def f(x: Any) -> Any:
        return x * settings.scale  # type: ignore[attr-defined]

    captured = ef.function(f)
    check(f, captured, X)
    settings.scale = 3.0  # type: ignore[attr-defined]
    check(f, captured, X)


class Config:
    """An object without anything special."""

    kind = "linear"

    def __init__(self, scale: float, children: Any = ()) -> None:
        self.scale = scale
        self.children = list(children)

    @property
    def doubled(self) -> float:
        return self.scale * 2

    def __getitem__(self, index: int) -> float:
        return self.scale + index


def test_attribute_of_an_object_changes() -> None:
    config = Config(2.0, [Config(3.0), Config(4.0)])

    def f(x: Any) -> Any:
        y = x * config.scale if config.kind == "linear" else x
        return y + sum(child.scale for child in config.children)

    captured = ef.function(f)
    check(f, captured, X)
    config.scale = 5.0
    check(f, captured, X)
    config.children[1].scale = 6.0
    check(f, captured, X)
    config.kind = "none"
    check(f, captured, X)


def test_attribute_behind_a_property_or_an_operator_changes() -> None:
    config = Config(2.0)

    def f(x: Any) -> Any:
        return x * config.doubled + config[1]

    captured = ef.function(f)
    check(f, captured, X)
    config.scale = 5.0
    check(f, captured, X)


def test_attribute_of_a_class_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        return x * 2 if Config.kind == "linear" else x

    captured = ef.function(f)
    check(f, captured, X)
    monkeypatch.setattr(Config, "kind", "none")
    check(f, captured, X)


def test_attribute_read_by_its_name_as_text_changes() -> None:
    config = Config(2.0)

    def f(x: Any) -> Any:
        return x * getattr(config, "scale")  # noqa: B009 - it is what is tested

    captured = ef.function(f)
    check(f, captured, X)
    config.scale = 3.0
    check(f, captured, X)


def test_objects_in_containers_change() -> None:
    layers = {"first": [Config(1.0)], "second": [Config(2.0)]}

    def f(x: Any) -> Any:
        return x + sum(c.scale for group in layers.values() for c in group)

    captured = ef.function(f)
    check(f, captured, X)
    layers["second"][0].scale = 9.0
    check(f, captured, X)


class Slots:
    __slots__ = ("scale",)

    def __init__(self, scale: float) -> None:
        self.scale = scale


@dataclasses.dataclass
class Options:
    scale: float
    more: list[float] = dataclasses.field(default_factory=list)


def test_slots_and_dataclasses_of_the_closure_change() -> None:
    slots, options, simple = Slots(2.0), Options(3.0, [1.0]), types.SimpleNamespace(scale=4.0)

    def f(x: Any) -> Any:
        return x * slots.scale * options.scale * simple.scale + sum(options.more)

    captured = ef.function(f)
    check(f, captured, X)
    slots.scale = 1.0
    check(f, captured, X)
    options.more.append(5.0)
    check(f, captured, X)
    simple.scale = 7.0
    check(f, captured, X)


def test_closure_of_a_partial_a_lambda_and_a_decorator_change() -> None:
    scale = 2.0

    def decorate(g: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(g)
        def wrapped(*args: Any) -> Any:
            return g(*args) * scale

        return wrapped

    @decorate
    def inner(x: Any, shift: Any) -> Any:
        return x + shift

    def plain(x: Any) -> Any:
        return inner(x, 1.0)

    def scaled(x: Any, y: Any) -> Any:
        return x * scale + y

    functions = [
        plain,
        lambda x: inner(x, SCALE),
        functools.partial(scaled, y=3.0),
        functools.partial(inner, shift=1.0),
    ]
    several = [(f, ef.function(f)) for f in functions]
    for value in (2.0, 4.0):
        scale = value
        for f, captured in several:
            check(f, captured, X)


def test_method_reads_an_attribute_of_self() -> None:
    class Model:
        def __init__(self) -> None:
            self.scale = 2.0
            self.parts = [1.0]

        def inner(self, x: Any) -> Any:
            return x * self.scale

        def plain(self, x: Any) -> Any:
            return self.inner(x) + sum(self.parts)

        call = ef.function(plain)

    model = Model()
    check(model.plain, model.call, X)
    model.scale = 3.0
    check(model.plain, model.call, X)
    model.parts.append(5.0)
    check(model.plain, model.call, X)


def test_training_flag_of_a_module() -> None:
    model = ef.nn.Sequential(ef.nn.Linear(3, 3), ef.nn.Dropout(0.5))

    def f(x: Any) -> Any:
        return model(x)

    captured = ef.function(f)
    for mode in (True, False, True):
        model.train(mode)
        ef.random.seed(1)
        expected = [f(X), f(X)]
        ef.random.seed(1)
        same([captured(X), captured(X)], expected)
    assert traces(captured) == 2


def test_training_flag_of_a_module_argument() -> None:
    model = ef.nn.Sequential(ef.nn.Linear(3, 3), ef.nn.Dropout(0.9))

    def f(model: Any, x: Any) -> Any:
        return model(x)

    captured = ef.function(f)
    captured(model, X)
    model.eval()
    check(f, captured, model, X)


def test_module_gets_another_layer() -> None:
    model = ef.nn.Sequential(ef.nn.Linear(3, 3))

    def f(x: Any) -> Any:
        return model(x)

    captured = ef.function(f)
    check(f, captured, X)
    model.layers = [*model.layers, ef.tanh]
    check(f, captured, X)


def test_layers_of_a_module_are_of_a_users_class() -> None:
    class Scale(ef.nn.Module):
        def __init__(self) -> None:
            self.options = {"scale": 2.0}

        def __call__(self, x: Any) -> Any:
            return x * self.options["scale"] * SCALE

    model = ef.nn.Sequential(Scale())

    def f(x: Any) -> Any:
        return model(x)

    def g(model: Any, x: Any) -> Any:
        return model(x)

    captured, other = ef.function(f), ef.function(g)
    check(f, captured, X)
    check(g, other, model, X)
    model.layers[0].options["scale"] = 5.0
    check(f, captured, X)
    check(g, other, model, X)


def test_default_dtype_changes_between_calls() -> None:
    def f(x: Any) -> Any:
        return x * ef.zeros(3), ef.asarray(1.0), ef.random.normal(size=2).dtype == ef.float32

    captured = ef.function(f)
    check(f, captured, X)
    ef.set_default_dtype(ef.float32)
    try:
        check(f, captured, X)
    finally:
        ef.set_default_dtype(ef.float64)
    check(f, captured, X)


def test_device_changes_between_calls() -> None:
    code = """
import eagerflow as ef
ef.config.set_logical_devices("cpu", 2)
f = ef.function(lambda: ef.ones(3) * 2)
for name in ("cpu:0", "cpu:1", "cpu:0"):
    with ef.device(name):
        assert repr(f().device) == name, f().device
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_order_of_a_dict_argument() -> None:
    def f(parts: Any) -> Any:
        return ef.stack([*parts.values()]), list(parts)

    captured = ef.function(f)
    a, b = ef.ones(2), ef.zeros(2)
    check(f, captured, {"a": a, "b": b})
    check(f, captured, {"b": b, "a": a})


def test_order_of_keywords() -> None:
    def f(x: Any, **parts: Any) -> Any:
        return x + parts["a"] * 2 + parts["b"]

    captured = ef.function(f)
    check(f, captured, X, a=1.0, b=X)
    check(f, captured, X, b=X, a=1.0)
    check(f, captured, X, b=1.0, a=X)


# --- Python values as arguments --------------------------------------------------------------------


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


# --- what happens once, while the function is captured ---------------------------------------------


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


def test_global_is_assigned() -> None:
    @ef.function
    def step(x: Any) -> Any:
        global SCALE
        SCALE = 3.5
        return x

    try:
        refused(step, X, line="SCALE = 3.5", remedy="keep it in a Variable")
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
    refused(ef.function(lambda x: x + box.hidden), X, line="box.hidden", remedy="return it")  # type: ignore[attr-defined]


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


def test_clocks_are_warned_of() -> None:
    for f in (lambda x: x * time.time(), lambda x: x * datetime.datetime.now().second):
        with pytest.warns(CaptureWarning, match="called once.*\n.*test_footguns.py") as caught:
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


# --- Variables and random numbers ------------------------------------------------------------------


def test_variable_is_made_in_every_call() -> None:
    @ef.function
    def step(x: Any) -> Any:
        v = ef.Variable(ef.zeros(3))
        return x + v

    refused(step, X, line="v = ef.Variable(ef.zeros(3))", remedy="if self.v is None")


def test_variable_is_made_once() -> None:
    class Layer:
        def __init__(self) -> None:
            self.w: Any = None

        def plain(self, x: Any) -> Any:
            if self.w is None:
                self.w = ef.Variable(ef.random.normal(size=3))
            self.w.assign_add(ef.ones(3))
            return x * self.w

        call = ef.function(plain)

    ef.random.seed(3)
    eager = Layer()
    expected = [eager.plain(X) for _ in range(3)]
    ef.random.seed(3)
    layer = Layer()
    same([layer.call(X) for _ in range(3)], expected)
    same(layer.w.value, eager.w.value)


def test_variable_depends_on_an_argument() -> None:
    kept: list[Any] = []

    @ef.function
    def step(x: Any) -> Any:
        if not kept:
            kept.append(ef.Variable(x * 2))
        return x

    refused(step, X, line="kept.append(ef.Variable(x * 2))", remedy="make it before")


def test_variable_is_read_and_assigned_in_order() -> None:
    def f(v: Any, x: Any) -> Any:
        first = v.value
        v.assign(x)
        second = v * 1
        v.assign_add(ef.ones(3))
        v[0] = 50.0
        return first, second, v.value, v * 2

    eager, mine = ef.Variable(X), ef.Variable(X)
    captured = ef.function(f)
    for k in range(3):
        same(captured(mine, X * k), f(eager, X * k))
        same(mine.value, eager.value)


def test_values_of_a_variable_do_not_change_later() -> None:
    v = ef.Variable([1.0, 2.0, 3.0])
    update = ef.function(lambda: [v.assign_add(ef.ones(3))])
    before, view = v.value, v.value.numpy()
    for _ in range(3):
        update()
    same(before, ef.asarray([1.0, 2.0, 3.0]))
    assert view.tolist() == [1.0, 2.0, 3.0]
    same(v.value, ef.asarray([4.0, 5.0, 6.0]))


def test_variable_keeps_no_memory_of_an_argument() -> None:
    v = ef.Variable(ef.zeros(3))
    keep = ef.function(lambda x: [v.assign(x)])
    data = np.asarray([1.0, 2.0, 3.0])
    for _ in range(2):
        data[:] = [1.0, 2.0, 3.0]
        keep(data)
        data[:] = 0.0
        same(v.value, ef.asarray([1.0, 2.0, 3.0]))
    x = ef.asarray([4.0, 5.0, 6.0])
    keep(x)
    v.assign_add(ef.ones(3))
    same(x, ef.asarray([4.0, 5.0, 6.0]))


def test_variable_of_the_closure_is_replaced() -> None:
    v = ef.Variable(ef.ones(3))

    def f(x: Any) -> Any:
        return x * v

    captured = ef.function(f)
    check(f, captured, X)
    v = ef.Variable(ef.ones(3) * 5)
    check(f, captured, X)
    v.assign(ef.ones(3) * 7)
    check(f, captured, X)
    assert traces(captured) == 2


def test_two_variables_as_arguments() -> None:
    captured = ef.function(lambda a, b: [a.assign_add(b)])
    a, b = ef.Variable(1.0), ef.Variable(10.0)
    captured(a, b)
    captured(b, a)
    captured(a, a)
    assert (float(a), float(b)) == (22.0, 21.0)


def test_random_draws_are_those_of_eager_code() -> None:
    mine = ef.random.Generator(7)

    def f(x: Any) -> Any:
        return x + ef.random.normal(size=3), ef.random.uniform(), mine.normal(), ef.random.permutation(5)

    captured = ef.function(f)
    found = []
    for call in (f, captured):
        ef.random.seed(5)
        mine.seed(6)
        found.append([call(X), ef.random.normal(), call(X), call(X)])
    same(found[0], found[1])


def test_generator_made_inside_starts_anew() -> None:
    def f(x: Any) -> Any:
        generator = ef.random.Generator(3)
        return x + generator.normal(size=3), generator.uniform()

    check(f, ef.function(f), X)


def test_seed_inside() -> None:
    @ef.function
    def step(x: Any) -> Any:
        ef.random.seed(0)
        return x + ef.random.normal()

    refused(step, X, line="ef.random.seed(0)", remedy="seed it outside")


# --- the function itself ---------------------------------------------------------------------------


def test_an_error_inside_leaves_nothing_behind() -> None:
    fail = True
    v = ef.Variable(1.0)

    def f(x: Any) -> Any:
        v.assign_add(1.0)
        with ef.name_scope("inner"):
            y = ef.exp(x)
            if fail:
                raise KeyError("mine")
        return y

    captured = ef.function(f)
    with pytest.raises(KeyError, match="mine"):
        captured(X)
    assert float(v) == 1.0
    same(ef.exp(X), ef.asarray(np.exp(X.numpy())))
    with ef.GradientTape() as tape:
        tape.watch(X)
        y = ef.sum(X * 2)
    same(tape.gradient(y, X), ef.asarray([2.0, 2.0, 2.0]))
    fail = False
    same(captured(X), ef.exp(X))
    assert float(v) == 2.0


def test_a_tape_that_stays_open_inside() -> None:
    tapes: list[Any] = []

    def f(x: Any) -> Any:
        tape = ef.GradientTape()
        tape.__enter__()
        tape.watch(x)
        y = ef.sum(x * x)
        return tape.gradient(y, x) if tapes else y

    captured = ef.function(f)
    captured(X)
    with ef.GradientTape() as outer:
        outer.watch(X)
        z = ef.sum(X * 3)
    same(outer.gradient(z, X), ef.asarray([3.0, 3.0, 3.0]))


def test_a_tape_from_outside_is_closed_inside() -> None:
    tape = ef.GradientTape()
    x = ef.asarray([1.0, 2.0])

    def f(x: Any) -> Any:
        y = ef.sum(x * x)
        tape.__exit__(None, None, None)
        return y

    tape.__enter__()
    tape.watch(x)
    refused(ef.function(f), x, line="captured(*args)", remedy="close it there")
    with pytest.raises(GradientError, match="closed already"):
        tape.__exit__(None, None, None)
    with ef.GradientTape() as other:
        other.watch(x)
        z = ef.sum(x)
    same(other.gradient(z, x), ef.ones(2))


def test_recursion() -> None:
    @ef.function
    def power(x: Any, n: int) -> Any:
        return x if n == 1 else x * power(x, n - 1)

    same(power(X, 4), X * (X * (X * X)))
    assert traces(power) == 1


def test_nested_captured_functions() -> None:
    shift = 1.0

    @ef.function
    def inner(x: Any) -> Any:
        return x * 2 + shift

    def f(x: Any) -> Any:
        return inner(x) + inner(x * 2)

    captured = ef.function(f)
    check(f, captured, X)
    assert traces(inner) == 1  # by itself, not for the graph around
    shift = 5.0
    check(f, captured, X)


def test_methods_of_every_kind() -> None:
    class Model:
        factor = 3.0

        def __init__(self, scale: float) -> None:
            self.scale = scale

        @ef.function
        def own(self, x: Any, n: int = 1) -> Any:
            return x * self.scale * n

        @staticmethod
        @ef.function
        def fixed(x: Any) -> Any:
            return x + 1

        @ef.function
        @staticmethod
        def fixed_too(x: Any) -> Any:
            return x + 1

        @classmethod
        @ef.function
        def of_class(cls, x: Any) -> Any:
            return x * cls.factor

        @ef.function
        @classmethod
        def of_class_too(cls, x: Any) -> Any:
            return x * cls.factor

        @property
        @ef.function
        def doubled(self) -> Any:
            return ef.ones(2) * self.scale * 2

        @ef.function
        def __call__(self, x: Any) -> Any:
            return x - self.scale

    a, b = Model(2.0), Model(5.0)
    for _ in range(2):
        for model, scale in ((a, 2.0), (b, 5.0)):
            same(model.own(X), X * scale)
            same(model.own(X, n=2), X * scale * 2)
            same(model(X), X - scale)
            same(model.doubled, ef.ones(2) * scale * 2)
            for fixed in (model.fixed, model.fixed_too, Model.fixed, Model.fixed_too):
                same(fixed(X), X + 1)
            for of_class in (model.of_class, model.of_class_too, Model.of_class, Model.of_class_too):
                same(of_class(X), X * 3.0)
        same(Model.own(b, X), X * 5.0)
    Model.factor = 4.0
    same(a.of_class(X), X * 4.0)
    assert traces(a.own) == 2
    assert a.own is a.own


def test_instances_that_are_gone_leave_nothing() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = ef.Variable(ef.ones(3))
            self.parts = [ef.Variable(ef.zeros(3))]

        @ef.function
        def __call__(self, x: Any) -> Any:
            return x * self.w + self.parts[0]

    model = Model()
    model(X)
    seen = weakref.ref(model), weakref.ref(model.w), weakref.ref(model.parts[0])
    del model
    gc.collect()
    assert [reference() for reference in seen] == [None, None, None]


def test_callable_objects_partials_and_builtins() -> None:
    class Callable_:
        def __init__(self) -> None:
            self.scale = 2.0

        def __call__(self, x: Any) -> Any:
            return x * self.scale

    called = Callable_()
    captured = ef.function(called)
    check(called, captured, X)
    called.scale = 4.0
    check(called, captured, X)
    for f in (functools.partial(lambda x, n: x * n, n=3), abs, ef.tanh, np.sin, functools.lru_cache(lambda: X * 2)):
        args = () if hasattr(f, "cache_info") else (X,)
        check(f, ef.function(f), *args)


def test_decorated_twice_and_not_a_function() -> None:
    once = ef.function(lambda x: x + 1)
    assert ef.function(once) is once
    with pytest.raises(ArgumentError, match="expected a function"):
        ef.function(3)  # type: ignore[call-overload]


def test_two_threads_and_the_first_call() -> None:
    v = ef.Variable(ef.ones(100))
    f = ef.function(lambda x: ef.sum(ef.sin(x) * v) + ef.sum(x))
    xs = [ef.ones(100) * k for k in range(40)]
    expected = [np.sum(np.sin(x.numpy())) + np.sum(x.numpy()) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        found = [float(y) for y in pool.map(f, xs)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert traces(f) == 1


def test_threads_do_not_see_each_others_capture() -> None:
    v = ef.Variable(1.0)

    def slow(x: Any) -> Any:
        time.sleep(0.05)
        return x * v

    captured = ef.function(slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(captured, X)
        second = pool.submit(lambda: (v.value, ef.exp(X)))
        same(first.result(), X * 1.0)
        same(second.result(), (ef.asarray(1.0), ef.exp(X)))


def test_inside_asyncio() -> None:
    f = ef.function(lambda x, n: ef.sum(x * n))

    async def one(n: int) -> float:
        await asyncio.sleep(0)
        return float(f(X, n))

    async def every() -> list[float]:
        return list(await asyncio.gather(*[one(n) for n in range(5)]))

    assert asyncio.run(every()) == [float(ef.sum(X * n)) for n in range(5)]


def test_coroutine_function_is_refused() -> None:
    async def f(x: Any) -> Any:
        return x

    def each(x: Any) -> Any:
        yield x

    for function in (f, each):
        with pytest.raises(ArgumentError, match="returns once"):
            ef.function(function)


def test_under_vmap_and_forward_mode() -> None:
    def f(x: Any, n: float = 2.0) -> Any:
        return ef.sum(ef.sin(x) * n)

    captured = ef.function(f)
    rows = ef.asarray([[1.0, 2.0], [3.0, 4.0]])
    captured(rows[0])
    same(ef.vmap(captured)(rows), ef.vmap(f)(rows))
    same(ef.jvp(captured, (X,), (X,)), ef.jvp(f, (X,), (X,)))
    y = rows[0]

    def closure(x: Any) -> Any:
        return ef.function(lambda: x * y)()

    same(ef.vmap(closure)(rows), rows * y)


def test_value_of_a_transformation_in_the_closure() -> None:
    @ef.function
    def captured(x: Any) -> Any:
        return x * held[0]

    held: list[Any] = [ef.asarray(2.0)]
    same(captured(X), X * 2)

    def outer(s: Any) -> Any:
        held[0] = s
        return ef.sum(captured(X))

    same(ef.grad(outer)(ef.asarray(3.0)), ef.sum(X))
    held[0] = ef.asarray(4.0)
    same(captured(X), X * 4)


def test_floating_point_errors_are_those_of_the_caller() -> None:
    captured = ef.function(lambda x: ef.log(x))
    zero = ef.zeros(3)
    with np.errstate(divide="ignore"):
        same(captured(zero), ef.log(zero))


def test_a_shape_error_while_it_runs_names_the_line() -> None:
    @ef.function
    def f(x: Any, i: Any) -> Any:
        return ef.take(x, i)

    same(f(X, ef.asarray([0, 1])), X[:2])
    with pytest.raises(IndexError) as caught:
        f(X, ef.asarray([0, 7]))
    assert "return ef.take(x, i)" in str(caught.value)
    same(f(X, ef.asarray([0, 1])), X[:2])
