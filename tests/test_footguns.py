"""Footguns, the silent ones: what a function reads outside its arguments changes between calls.

The traps of capture are tests. Each ends in what eager code gives, call after call, or in an error that names the
user's line and the way out. The other files are those with `footguns` in their names.
"""

from __future__ import annotations

import functools
import math
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from footguns import Config, Options, Slots, X, check, same, traces


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
    settings.scale = 2.0

    def f(x: Any) -> Any:
        return x * settings.scale

    captured = ef.function(f)
    check(f, captured, X)
    settings.scale = 3.0
    check(f, captured, X)


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

    functions = [plain, lambda x: inner(x, SCALE), functools.partial(scaled, y=3.0)]
    several = [(f, ef.function(f)) for f in functions]
    for value in (2.0, 4.0):
        scale = value
        for f, captured in several:
            check(f, captured, X)


def test_defaults_and_attributes_of_a_helper_change() -> None:
    def inner(x: Any, powers: Any = [1, 2]) -> Any:  # noqa: B006 - the trap
        return sum(x**p for p in powers) * inner.scale

    def f(x: Any) -> Any:
        return inner(x)

    inner.scale = 2.0
    captured = ef.function(f)
    check(f, captured, X)
    inner.scale = 3.0
    check(f, captured, X)
    inner.__defaults__[0].append(3)  # type: ignore[index]
    check(f, captured, X)


def test_objects_that_answer_to_every_name() -> None:
    class Any_:
        def __getattr__(self, name: str) -> float:
            return 2.0

    settings = Any_()

    def f(x: Any) -> Any:
        return x * settings.whatever

    check(f, ef.function(f), X)


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
