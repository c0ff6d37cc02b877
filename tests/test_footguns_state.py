"""Footguns: Variables, random numbers, and the function itself: methods, threads, errors, transformations."""

from __future__ import annotations

import asyncio
import functools
import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.errors import ArgumentError, GradientError
from footguns import Config, X, check, refused, same, traces


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
        ef.function(3)


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


def test_tensor_of_the_closure_is_followed_by_a_tape() -> None:
    held = ef.asarray([1.0, 2.0, 3.0])
    holder = Config(1.0)
    holder.scale = held  # type: ignore[assignment]

    def f(x: Any) -> Any:
        return ef.sum(x * held * holder.scale)

    def g(x: Any, config: Any) -> Any:
        return ef.sum(x * config.scale)

    for function, args in ((f, (X,)), (g, (X, holder))):
        captured = ef.function(function)
        for call in (function, captured, captured):
            captured(*args)  # so that there is a trace
            with ef.GradientTape() as tape:
                tape.watch(held)
                y = call(*args)
            expected = 2 * X * held if function is f else X
            same(tape.gradient(y, held), expected)


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
