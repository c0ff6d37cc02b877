"""The interpreter seam: what capture will plug into, exercised by a small tracer of our own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.core import EAGER, Eager, Interpreter, Op, Spec, Tensor, interpret


class Symbol(Tensor):
    """A value that is not there yet."""

    __slots__ = ("spec",)

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec.shape

    @property
    def dtype(self) -> Any:
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        return self.spec.ndim


class Tracer(Interpreter):
    """Collects calls instead of executing them."""

    def __init__(self) -> None:
        self.nodes: list[str] = []

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        self.nodes.append(op.name)
        specs = [
            x.spec if isinstance(x, Symbol) else x if isinstance(x, float | int) else ef.asarray(x) for x in inputs
        ]
        given = [Spec(s.shape, s.dtype) if isinstance(s, Tensor) else s for s in specs]
        result = op.infer(*given, **attrs)
        return tuple(map(Symbol, result)) if isinstance(result, tuple) else Symbol(result)


def test_ops_on_symbols_go_to_the_interpreter() -> None:
    tracer = Tracer()
    x = Symbol(Spec((4, 3), np.float64))
    with interpret(tracer):
        y = ef.tanh(x @ np.ones((3, 2)) + 1.0)
        z = ef.sum(y, axis=1)
    assert tracer.nodes == ["matmul", "add", "tanh", "sum"]
    assert z.shape == (4,)


def test_concrete_tensors_execute_at_once_even_then() -> None:
    tracer = Tracer()
    a = ef.ones(3)
    with interpret(tracer):
        b = ef.sin(a) * a
    assert tracer.nodes == []
    assert type(b) is Tensor


def test_variables_and_ops_with_effects_ask() -> None:
    tracer = Tracer()
    v = ef.Variable([1.0, 2.0])
    with interpret(tracer):
        ef.tanh(v)
        ef.random.uniform(size=2)
    assert tracer.nodes[:2] == ["tanh", "random_uniform"]


def test_the_interpreter_is_restored_after_an_exception() -> None:
    with pytest.raises(KeyError), interpret(Tracer()):
        raise KeyError
    assert type(ef.tanh(ef.Variable(1.0))) is Tensor


def test_an_interpreter_can_build_on_the_eager_one() -> None:
    class Count(Eager):
        calls = 0

        def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
            self.calls += 1
            return super().apply(op, inputs, attrs)

    count = Count()
    with interpret(count):
        np.testing.assert_allclose(ef.tanh([1.0, 2.0]).numpy(), np.tanh([1.0, 2.0]))
    assert count.calls == 1
    assert isinstance(EAGER, Eager)
