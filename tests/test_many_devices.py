"""Whole programs on several devices: blocks anywhere in them change nothing but where things run."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import eagerflow as ef
import kinds  # noqa: F401 - registers the kind 'far'
import strict  # noqa: F401 - registers the kind 'strict'
from eagerflow.capture import program as made_ready
from kernels_off import kernels_off
from programs import Program, programs
from test_programs import Rounds, compare, flat

drawn = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
)
X = np.array([0.5, -1.0, 2.0])


@pytest.fixture(autouse=True, scope="module")
def four_devices() -> Iterator[None]:
    ef.config.set_logical_devices("cpu", 4)
    yield
    ef.config.set_logical_devices("cpu", 1)


@pytest.fixture(scope="module")
def without_kernels() -> Iterator[None]:
    with kernels_off():
        yield


CPUS = ("cpu:0", "cpu:1", "cpu:2", "cpu:3", "cpu")


def spread(program: Program, data: st.DataObject, devices: Sequence[str] = CPUS) -> Program:
    """Return the program with each statement in a block of its own, on devices that are drawn."""
    lines = []
    for line in program.source.splitlines():
        statement = line.startswith("    ") and not line.strip().startswith("return")
        if statement:
            name = data.draw(st.sampled_from(devices))
            lines += [f"    with ef.device({name!r}):", f"    {line}"]
        else:
            lines.append(line)
    source = "\n".join(lines) + "\n"
    return Program(source, program.inputs, program.variables, program.dtype, program.exact, program.lines)


@contextmanager
def handing_over(data: st.DataObject) -> Iterator[None]:
    """Run small programs in a thread for each device, or in one thread as they would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_ready, "HAND_OVER", data.draw(st.sampled_from([0.0, 1.0])))
        yield


def bounded(seconds: float, function: Any) -> None:
    """Call a function; fail if it does not come back."""
    failed: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"still running after {seconds} s"
    if failed:
        raise failed[0]


def home(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Return the results of a function on the first device."""
    call = flat(function)
    return lambda *arrays: [x.to("cpu:0") if isinstance(x, ef.Tensor) else x for x in call(*arrays)]


def check(program: Program, there: Program, **options: Any) -> None:
    """Compare a program on one device with itself on several, eagerly and captured."""
    function, variables = program.make()
    lengths = [3, 3, 5, 4]
    expected = Rounds(program, variables, lengths).run(flat(function))
    again, variables = there.make()
    rounds = Rounds(there, variables, lengths)
    compare(program, rounds.run(home(again)), expected, "eagerly")
    captured = ef.function(again, **options)
    compare(program, rounds.run(home(captured)), expected, "captured")


@drawn
@given(program=programs(tape=False), data=st.data())
def test_programs(without_kernels: None, program: Program, data: st.DataObject) -> None:
    there, atomic = spread(program, data), data.draw(st.booleans())
    with handing_over(data):
        bounded(60, lambda: check(program, there, atomic=atomic))


@settings(drawn, max_examples=max(2, settings().max_examples // 8))
@given(program=programs(most=12, tape=False), data=st.data())
def test_programs_with_compiled_kernels(program: Program, data: st.DataObject) -> None:
    there = spread(program, data)
    with handing_over(data):
        bounded(120, lambda: check(program, there))


@drawn
@given(program=programs(most=20, tape=False), data=st.data())
def test_programs_on_devices_of_several_kinds(without_kernels: None, program: Program, data: st.DataObject) -> None:
    there = spread(program, data, ["cpu:0", "cpu:1", "strict:0", "strict:1", "far:1"])
    with handing_over(data):
        bounded(120, lambda: check(program, there))


# --- state, callbacks, tapes -------------------------------------------------------------------------


def test_a_callback_gets_tensors_where_eager_code_has_them_in_order_with_other_effects() -> None:
    v = ef.Variable(X, device="cpu:2")
    seen: list[tuple[str, ...]] = []

    def look(*tensors: ef.Tensor) -> ef.Tensor:
        seen.append((*[repr(t.device) for t in tensors], str(v.numpy().tolist())))
        v.assign_add(1.0)
        return tensors[0] * 2

    def f(x: ef.Tensor) -> Any:
        with ef.device("cpu:1"):
            y = ef.tanh(x)
        v.assign(v * 2)
        z = ef.py_function(look, [x, y, v], ef.TensorSpec([3], "float64"))
        return z, v.value

    start = v.numpy()
    captured = ef.function(f)
    results = []
    for run in (f, captured, captured):
        v.assign(start)
        results.append([t.numpy().tolist() for t in run(ef.asarray(X))])
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][:3] == ("cpu:0", "cpu:1", "cpu:2")
    assert results[0] == results[1] == results[2]


def test_gradients_inside_and_outside_are_where_their_sources_are() -> None:
    w = [ef.Variable(np.full((3, 3), 0.1 * (d + 1)), device=f"cpu:{d}") for d in range(4)]

    def model(x: ef.Tensor) -> ef.Tensor:
        for d in range(4):
            with ef.device(f"cpu:{d}"):
                x = ef.tanh(x @ w[d])
        return ef.sum(x * x)

    def step(x: ef.Tensor) -> list[ef.Tensor]:
        with ef.GradientTape() as tape:
            tape.watch(x)
            loss = model(x)
        return tape.gradient(loss, [x, *w])

    def outside(x: ef.Tensor) -> list[ef.Tensor]:
        with ef.GradientTape() as tape:
            tape.watch(x)
            loss = captured(x)
        return tape.gradient(loss, [x, *w])

    def twice(x: ef.Tensor) -> list[ef.Tensor]:
        with ef.GradientTape() as tape:
            tape.watch(x)
            gradients = outside(x)
            total = sum(ef.sum(g.to("cpu:0") ** 2) for g in gradients)
        return tape.gradient(total, [x, *w])

    captured = ef.function(model)
    x = ef.asarray(np.linspace(-1, 1, 6).reshape(2, 3))
    expected = step(x)
    for run in (ef.function(step), outside, ef.function(outside)):
        for found, wanted in zip(run(x), expected, strict=True):
            assert found.device is wanted.device
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-10, atol=1e-14)
    assert [repr(g.device) for g in expected] == ["cpu:0", "cpu:0", "cpu:1", "cpu:2", "cpu:3"]
    with ef.GradientTape() as tape:
        tape.watch(x)
        total = sum(ef.sum(g.to("cpu:0") ** 2) for g in step(x))
    for found, wanted in zip(twice(x), tape.gradient(total, [x, *w]), strict=True):
        assert found.device is wanted.device
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-10, atol=1e-14)


def test_draws_are_those_of_eager_code_wherever_they_happen() -> None:
    def f() -> list[ef.Tensor]:
        made = []
        for d in (0, 1, 2, 3, 1):
            with ef.device(f"cpu:{d}"):
                made.append(ef.random.normal(size=3) + ef.random.uniform(size=3))
        return made

    captured = ef.function(f)
    for run in range(3):
        ef.random.seed(run)
        expected = [t.numpy() for t in f() + f()]
        ef.random.seed(run)
        for found, wanted in zip(captured() + captured(), expected, strict=True):
            np.testing.assert_array_equal(found.numpy(), wanted)


def test_a_function_notices_that_there_are_other_devices() -> None:
    f = ef.function(lambda x: ef.sum(ef.tanh(x @ x) @ x) + ef.sum(ef.sin(x @ x.T) @ x))
    x = ef.ones((300, 300))
    concrete = f.get_concrete_function(x)
    before = f(x).item()
    assert len(set(concrete.placement().where.values())) == 2, concrete.placement()
    ef.config.set_logical_devices("cpu", 1)
    try:
        assert set(map(repr, concrete.placement().where.values())) == {"cpu:0"}
        assert f(x).item() == before
    finally:
        ef.config.set_logical_devices("cpu", 4)


def test_soft_placement_takes_another_device_where_there_is_no_kernel() -> None:
    def f(x: ef.Tensor) -> ef.Tensor:
        with ef.device("strict:0"):
            return ef.special.j0(ef.tanh(x))

    with pytest.raises(ef.errors.PlacementError, match="j0 has no kernel on strict:0, asked for at test_many"):
        ef.function(f)(X)
    ef.config.set_soft_placement(True)
    try:
        concrete = ef.function(f).get_concrete_function(X)
        assert "no kernel there: another device" in str(concrete.placement())
        assert concrete(X).numpy() == pytest.approx(ef.special.j0(np.tanh(X)).numpy())
    finally:
        ef.config.set_soft_placement(False)


# --- runs that go on by themselves -------------------------------------------------------------------


def pipeline(x: ef.Tensor) -> ef.Tensor:
    for d in range(4):
        with ef.device(f"cpu:{d}"):
            x = ef.tanh(x * (d + 1))
    return x


def test_submitted_runs_give_what_calls_give_whatever_happens_to_the_arguments() -> None:
    f = ef.function(pipeline)
    arrays = [np.full(5, i / 10) for i in range(20)]
    expected = [pipeline(ef.asarray(a)).numpy() for a in arrays]
    handles = [ef.asarray(a) for a in arrays]
    futures = [f.submit(a) for a in arrays] + [f.submit(h) for h in handles]
    for array, handle in zip(arrays, handles, strict=True):
        array[:] = np.nan
        handle[:] = np.nan
    for future, wanted in zip(futures, [*expected, *expected], strict=True):
        made = future.result(timeout=60)
        assert repr(made.device) == "cpu:3"
        np.testing.assert_allclose(made.numpy(), wanted, rtol=1e-12)


def test_submitted_runs_return_trees_and_draw_one_after_the_other() -> None:
    v = ef.Variable(0.0, device="cpu:1")

    @ef.function
    def f(x: ef.Tensor) -> dict[str, Any]:
        v.assign_add(1.0)
        return {"drawn": ef.random.uniform(size=2) + x, "count": v.value, "fixed": 2.5}

    ef.random.seed(1)
    expected = [f(1.0)["drawn"].numpy() for _ in range(4)]
    v.assign(0.0)
    ef.random.seed(1)
    made = [future.result(timeout=60) for future in [f.submit(1.0) for _ in range(4)]]
    assert [m["count"].item() for m in made] == [1, 2, 3, 4]
    for m, wanted in zip(made, expected, strict=True):
        assert m["fixed"] == 2.5
        np.testing.assert_array_equal(m["drawn"].numpy(), wanted)


def test_runs_cannot_be_submitted_where_something_follows_them() -> None:
    f = ef.function(pipeline)
    x = ef.ones(3)
    with ef.GradientTape() as tape:
        tape.watch(x)
        with pytest.raises(ef.errors.GradientError, match=r"pipeline\.submit: a tape follows"):
            f.submit(x)
    for around in (ef.vmap(f.submit), ef.function(lambda x: f.submit(x).result())):
        with pytest.raises(ef.errors.CaptureError, match=r"pipeline\.submit: whatever is around"):
            around(x)


def test_a_run_that_fails_raises_once_with_operation_device_and_line() -> None:
    v = ef.Variable(np.zeros(2), device="cpu:1")

    def f(x: ef.Tensor) -> ef.Tensor:
        v.assign_add(1.0)
        with ef.device("cpu:2"):
            y = ef.linalg.inv(x)
        with ef.device("cpu:3"):
            return ef.sum(y)

    for options, left in (({}, 1.0), ({"atomic": True}, 0.0)):
        captured = ef.function(f, **options)
        v.assign(np.zeros(2))
        for run in (captured, lambda x: captured.submit(x).result(timeout=60)):  # noqa: B023
            v.assign(np.zeros(2))
            with pytest.raises(np.linalg.LinAlgError) as caught:
                run(np.zeros((2, 2)))
            notes = " ".join(caught.value.__notes__)
            assert "unknown" not in str(caught.value)
            assert "inv" in notes and "ran on cpu:2" in notes and "y = ef.linalg.inv(x)" in notes
            if left == 0.0:
                np.testing.assert_array_equal(v.numpy(), np.zeros(2))
        np.testing.assert_array_equal(captured(np.eye(2)).numpy(), 2.0)


def test_a_run_that_takes_too_long_is_given_up() -> None:
    waits = threading.Event()

    def wait(x: ef.Tensor) -> ef.Tensor:
        waits.wait(30)
        return x

    @ef.function(timeout=0.2)
    def f(x: ef.Tensor) -> ef.Tensor:
        y = ef.py_function(wait, [x], ef.TensorSpec([3], "float64"))
        with ef.device("cpu:1"):
            return ef.tanh(y)

    try:
        with pytest.raises(ef.errors.StepTimeoutError, match=r"f: a run took longer than 0\.2 s"):
            bounded(20, lambda: f(X))
    finally:
        waits.set()
    np.testing.assert_allclose(f(X).numpy(), np.tanh(X), rtol=1e-12)


# --- gradients of calls ------------------------------------------------------------------------------


def gradient_of(block: Callable[[ef.Tensor], ef.Tensor], order: int = 1) -> Callable[[ef.Tensor], ef.Tensor]:
    def first(x: ef.Tensor) -> ef.Tensor:
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = block(x)
            loss = ef.sum(y * y)
        return tape.gradient(loss, x)

    return first if order == 1 else gradient_of(first, order - 1)


def calls_on(device: str) -> dict[str, Callable[[ef.Tensor], ef.Tensor]]:
    """Return functions with gradients of their own, whose arguments and closures are not where they run."""
    factor = ef.asarray([2.0, 3.0, 4.0])

    @ef.custom_gradient
    def exp(x: ef.Tensor) -> Any:
        return ef.exp(x), lambda g: g * ef.exp(x) * ef.ones(3)

    def there(x: ef.Tensor) -> ef.Tensor:
        with ef.device(device):
            return ef.sin(x) * x

    def both(x: ef.Tensor, factor: ef.Tensor) -> ef.Tensor:
        here = ef.sin(x) * factor
        with ef.device(device):
            return here * x

    def around(block: Callable[[ef.Tensor], ef.Tensor]) -> Callable[[ef.Tensor], ef.Tensor]:
        def call(x: ef.Tensor) -> ef.Tensor:
            with ef.device(device):
                return block(x)

        return call

    inner = ef.function(both)
    return {
        "ops": there,
        "custom gradient": around(exp),
        "checkpoint": ef.checkpoint(there),
        "checkpoint in a block": around(ef.checkpoint(lambda x: ef.sin(x) * x * ef.ones(3))),
        "checkpoint of both": ef.checkpoint(lambda x: both(x, factor)),
        "captured": lambda x: inner(x, factor),
    }


@pytest.mark.parametrize("name", calls_on("cpu:0"))
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_calls_are_computed_where_they_were_made_and_come_home(name: str, order: int) -> None:
    expected = gradient_of(calls_on("cpu:0")[name], order)(ef.asarray(X))
    for device in ("cpu:1", "strict:0"):
        gradient = gradient_of(calls_on(device)[name], order)
        for run in (gradient, ef.function(gradient)):
            found = run(ef.asarray(X))
            assert repr(found.device) == "cpu:0"
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
            with ef.device("cpu:2"):  # where a tape is asked does not matter
                np.testing.assert_allclose(run(ef.asarray(X)).to("cpu:0").numpy(), expected.numpy(), rtol=1e-12)


def test_gradients_on_several_devices_are_clipped_together() -> None:
    arrays = [np.array([3.0, 0.0]), np.array([[4.0]]), np.array([12.0j])]
    together = [ef.asarray(a) for a in arrays]
    apart = [ef.asarray(a, device=d) for a, d in zip(arrays, ["cpu:2", "strict:0", "cpu:1"], strict=True)]
    clip = ef.optim.clip_by_global_norm
    for limit, run in itertools.product((1.0, 100.0), (clip, ef.function(clip))):
        expected, wanted = clip(together, limit)
        found, norm = run(apart, limit)
        assert norm.item() == pytest.approx(13.0) == wanted.item()
        assert repr(norm.device) == "cpu:2"
        for g, like, one in zip(found, expected, apart, strict=True):
            assert g.device is one.device
            np.testing.assert_allclose(g.numpy(), like.numpy(), rtol=1e-15)


# --- what cannot be ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpu:0", "cpu:9", "cpu 0", 3])
def test_a_device_that_is_not_here_names_the_line_that_asks(name: Any) -> None:
    def f(x: ef.Tensor) -> ef.Tensor:
        with ef.device(name):
            return ef.tanh(x)

    for run in (f, ef.function(f)):
        with pytest.raises(ef.errors.DeviceError, match=r"test_many_devices\.py:\d+: with ef\.device\(name\):"):
            run(ef.asarray(X))


def test_gpu_is_not_the_name_of_a_kind() -> None:
    with pytest.raises(ef.errors.DeviceError, match="GPUs are 'cuda:0'"), ef.device("gpu:0"):
        pass


@pytest.mark.parametrize("count", [0, -1, 2.5, "2", True, None])
def test_the_number_of_logical_devices_is_an_integer(count: Any) -> None:
    with pytest.raises(ef.errors.DeviceError, match="an integer, 1 or more"):
        ef.config.set_logical_devices("cpu", count)
    assert ef.devices.logical_devices() == 4


def test_options_that_cannot_be() -> None:
    with pytest.raises(ef.errors.ArgumentError, match="devices has to name one"):
        ef.function(pipeline, devices=[])
    with pytest.raises(ef.errors.ArgumentError, match="positive number of seconds"):
        ef.function(pipeline, timeout=float("inf"))


def test_profiles_belong_to_their_functions() -> None:
    x = ef.asarray(X)
    one, other = ef.function(pipeline).get_concrete_function(x), ef.function(ef.tanh).get_concrete_function(x)
    with pytest.raises(ef.errors.ArgumentError, match="profile` of pipeline returned, got a profile of tanh"):
        one.place(other.profile(x))
    with pytest.raises(ef.errors.ArgumentError, match=r"got \{\}"):
        one.place({})
    one.place(one.profile(x))
    np.testing.assert_allclose(one(x).numpy(), pipeline(x).numpy(), rtol=1e-12)
