"""Plans of parts: what they send, receive and draw, and plans for devices whose arrays are not NumPy's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.capture import kernels
from eagerflow.capture.graph import LENGTH, RECV, SEND
from eagerflow.capture.partition import Edge
from eagerflow.capture.passes import optimize
from eagerflow.capture.plan import Plan
from eagerflow.core.dims import Guards, symbol
from eagerflow.devices import CPU0, transfer
from eagerflow.ops import Spec
from graphs import CPU, Builder, bits
from kinds import FAR
from strict import STRICT

SPEC = Spec((4,), "float64")


@pytest.fixture(autouse=True)
def logical_devices() -> Iterator[None]:
    """Divide the host into two devices."""
    ef.config.set_logical_devices("cpu", 2)
    yield
    ef.config.set_logical_devices("cpu", 1)


class Hand:
    """A step that keeps what is sent, and gives what it was given."""

    def __init__(self, **given: Any) -> None:
        self.sent: dict[int, Any] = {}
        self.given = given

    def send(self, number: int, array: Any) -> None:
        self.sent[number] = array

    def receive(self, number: int) -> Any:
        return self.given[f"e{number}"]


def edge(number: int, there: bool = False, lent: bool = False, spec: Spec | None = SPEC) -> Edge:
    ends = (ef.devices.find("cpu:1"), CPU) if there else (CPU, ef.devices.find("cpu:1"))
    return Edge(number, *ends, spec, "x", lent)


def test_what_is_sent_has_memory_of_its_own() -> None:
    f = Builder()
    x = f.parameter((4, 4))
    a = f.op("matmul", x, x)
    f.node(SEND, (f.op("permute_dims", a, axes=(1, 0)),), {"edge": edge(0)}, ())
    b = f.op("matmul", a, x)
    plan = Plan(f.graph(f.op("matmul", b, x)), {})
    assert plan.places[a] == "output" and isinstance(plan.places[b], int)
    assert "send(0, v" in plan.source
    hands = [Hand() for _ in range(3)]
    arrays = [np.eye(4) * (i + 1) for i in range(3)]
    for hand, array in zip(hands, arrays, strict=True):
        plan.run([array], None, hand)
    for hand, array in zip(hands, arrays, strict=True):
        assert bits(hand.sent[0]) == bits((array @ array).T)


def test_dummies_carry_nothing() -> None:
    f = Builder()
    f.node(RECV, (), {"edge": edge(3, there=True, spec=None)}, ())
    f.node(SEND, (), {"edge": edge(4, spec=None)}, ())
    hand = Hand(e3=None)
    assert Plan(f.graph(), {}).run([], None, hand) == []
    assert hand.sent == {4: None}


@pytest.mark.parametrize("lent", [False, True])
def test_what_is_received_is_copied_if_it_is_lent(lent: bool) -> None:
    f = Builder()
    v, w = ef.Variable(np.zeros(4)), ef.Variable(np.zeros(4))
    x = f.node(RECV, (), {"edge": edge(0, there=True, lent=lent)}, [SPEC])
    f.assign(v, x)
    turned = f.op("flip", x, axis=(0,))
    f.assign(w, turned)
    plan = Plan(f.graph(x, turned, f.op("add", x, 1.0)), {})
    array = np.arange(4.0)
    results = plan.run([], None, Hand(e0=array))
    assert [bits(y) for y in results] == [bits(array), bits(array[::-1]), bits(array + 1)]
    assert np.shares_memory(results[0], array) is not lent
    assert np.shares_memory(results[1], array) is not lent
    assert np.shares_memory(v._value._held, array) is not lent
    assert bits(w.numpy()) == bits(array[::-1])
    assert bits(array) == bits(np.arange(4.0))  # nobody wrote to it


def test_draws_are_given_or_taken() -> None:
    generator = ef.random.Generator(3)
    f = Builder()
    f.draw(generator)
    second = f.draw(generator)
    whole, part = f.graph(second), f.graph(second)
    part.draws = ()
    (expected,) = Plan(whole, {}).run([])
    generator.seed(3)
    (found,) = Plan(part, {}).run([], {id(generator): generator.take(2)})
    assert bits(found) == bits(expected)
    generator.seed(3)
    state = generator.state
    (found,) = Plan(whole, {}).run([], {id(generator): (generator.take(2))})
    assert bits(found) == bits(expected) and generator.state != state


def test_a_run_with_a_clock_gives_the_same() -> None:
    f = Builder()
    x = f.parameter((4, 4))
    plan = Plan(f.graph(f.op("tanh", f.op("matmul", x, x))), {})
    array = np.eye(4)
    made, starts, ends = plan.run_timed([array])
    assert bits(made[0]) == bits(plan.run([array])[0])
    times = [t for pair in zip(starts, ends, strict=True) for t in pair]
    assert len(starts) == len(plan.steps) and times == sorted(times) and times[0] > 0


def test_an_error_under_the_clock_is_explained_too() -> None:
    f = Builder()
    f.callback(lambda: [][1])
    with pytest.raises(IndexError) as caught:
        Plan(f.graph(), {}).run_timed([])
    assert "program.py:1" in caught.value.__notes__[0] and "ran on" not in caught.value.__notes__[0]


# --- devices that are not the host's ------------------------------------------------------------


def test_other_logical_devices_have_compiled_kernels_and_memory() -> None:
    f = Builder()
    x = f.parameter((64, 64))
    y = f.op("tanh", f.op("add", f.op("matmul", x, x), 1.0))
    graph = optimize(f.graph(f.op("matmul", y, x)), ["fuse"])
    source = Plan(graph, {}).source
    other = ef.devices.find("cpu:1")
    for node in graph.nodes:
        for value in node.outputs:
            value.device = other
    plan = Plan(graph, {})
    assert plan.source == source and plan.memory.peak > 0


@pytest.mark.parametrize("kind", [FAR, STRICT], ids=["far", "strict"])
def test_results_of_other_kinds_are_their_own(kind: Any) -> None:
    device = ef.devices.find(f"{kind.name}:1")

    def at(value: Any) -> Any:
        value.device = device
        return value

    v = ef.Variable(np.ones(4), device=device)
    n = symbol("n", 4, Guards())
    f = Builder()
    x = at(f.parameter((4,)))
    c = at(f.constant(np.arange(4.0)))
    c.node.attrs["value"] = transfer(c.node.attrs["value"], CPU0, device)
    before = at(f.read(v))
    length = at(f.node(LENGTH, (), {"length": n}, [Spec((), "int64")]))
    turned = at(f.op("flip", x, axis=(0,)))
    total = at(f.op("add", at(f.op("add", x, c)), before))
    seen: list[Any] = []

    def note(t: Any) -> list[Any]:
        seen.append(t.device)
        return [ef.ones(4)]

    called = at(f.callback(note, x, specs=[SPEC]))
    f.assign(v, x)
    plan = Plan(f.graph(x, c, before, length, turned, total, called), {"n": 4})
    array = transfer(np.arange(4.0) * 2, CPU0, device)
    made = plan.run([array])
    assert {type(y) for y in made} == {kind.array_type}
    expected = [np.arange(4.0) * 2, np.arange(4.0), np.ones(4), np.asarray(4), np.arange(4.0)[::-1] * 2]
    expected += [np.arange(4.0) * 3 + 1, np.ones(4)]
    assert [bits(kind.to_host(y)) for y in made] == [bits(y) for y in expected]
    assert seen == [device] and v.device is device
    with kind.activate(1):
        array[0] = 50.0
        made[1][0] = 60.0
    assert kind.to_host(made[0])[0] == 0 and kind.to_host(v._value._held)[0] == 0
    assert kind.to_host(plan.run([array])[1])[0] == 0  # the constant is as it was
    assert v.device is device


@pytest.mark.parametrize("timed", [False, True])
def test_an_error_on_another_kind_names_device_and_line(timed: bool) -> None:
    device = ef.devices.find("far:1")
    f = Builder()
    x, rows = f.parameter((3,)), f.parameter((2,), "int64")
    taken = f.op("gather", f.op("negative", x), rows, index=("array",))
    for node in f.nodes:
        node.outputs[0].device = device
    plan = Plan(f.graph(taken), {})
    arrays = [transfer(a, CPU0, device) for a in (np.ones(3), np.array([0, 7]))]
    with pytest.raises(ef.errors.IndexOutOfBoundsError, match=r"captured at program\.py:4.* ran on far:1"):
        (plan.run_timed if timed else plan.run)(arrays)


class Compiled:
    """A kernel for a fused group, as the compiler of a kind gives it."""

    source = "far away"

    def __init__(self, graph: Any) -> None:
        self.plan = Plan(graph, {})
        self.calls = 0

    def call(self, *inputs: Any) -> tuple[Any, ...]:
        self.calls += 1
        return tuple([x + 0 for x in self.plan.run(inputs)])


def test_a_kind_may_compile_fused_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernels.available():
        pytest.skip("Numba is not installed, so that nothing is fused")
    device = ef.devices.find("far:0")
    f = Builder()
    x = f.parameter((4,))
    graph = optimize(f.graph(f.op("tanh", f.op("add", x, 1.0))), ["fuse"])
    for node in graph.nodes:
        for value in node.outputs:
            value.device = device
    array = transfer(np.arange(4.0), CPU0, device)
    alone = Plan(graph, {})
    assert [step.node.op.name for step in alone.steps] == ["parameter", "add", "tanh"]
    made: list[Compiled] = []

    def compiler(graph: Any) -> Compiled:
        made.append(Compiled(graph))
        return made[0]

    monkeypatch.setitem(kernels.COMPILERS, "far", compiler)
    plan = Plan(graph, {})
    assert [(step.node.op.name, step.form) for step in plan.steps] == [("parameter", "source"), ("fused", "call")]
    (found,) = plan.run([array])
    np.testing.assert_allclose(FAR.to_host(found), np.tanh(np.arange(4.0) + 1), rtol=1e-14)
    assert made[0].calls == 1
