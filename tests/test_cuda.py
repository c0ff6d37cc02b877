"""The kind `cuda`: what it asks of streams, events and graphs, on a stand-in; and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cuda_on_host
import eagerflow as ef
import fake_cuda
import fake_cupy
from eagerflow.capture.plan.replay import Replay
from eagerflow.core import Draw, is_inexact
from fake_cuda import log
from numeric import call, differentiable
from test_cupy import HOST_ONLY, in_dtype
from test_other_kinds import OPS, everything, on


@pytest.fixture
def cupy() -> Iterator[Any]:
    """Give the stand-in for CuPy."""
    with fake_cupy.pretended() as fake:
        yield fake


def kind() -> Any:
    return ef.devices.kinds()["cuda"]


def place(entry: tuple[Any, ...]) -> int:
    """Return where in the log an entry is, which is there once."""
    (found,) = (i for i, known in enumerate(log) if known == entry)
    return found


def waits() -> list[tuple[Any, ...]]:
    """Return the entries that tell of a host that waits."""
    return [entry for entry in log if entry[0].startswith("synchronize")]


# --- copies ---------------------------------------------------------------------------------------


def test_a_copy_between_gpus_waits_for_its_source_and_is_waited_for(cupy: Any) -> None:
    x = ef.asarray([1.0, 2.0], device="cuda:0")
    log.clear()
    fake_cuda.synchronized.clear()
    y = x.to("cuda:1")
    assert (repr(y.device), y.tolist()) == ("cuda:1", [1.0, 2.0])
    fake_cuda.synchronized.clear()
    ready, free, done = [entry[1] for entry in log if entry[0] == "event"]
    (copy,) = (entry for entry in log if entry[0] == "copy")
    stream = copy[3]
    assert stream != "null"
    # The array is there, and so is the memory that the copy goes to, before it starts; who uses it comes after it.
    assert place(("record", ready, "null")) < place(("wait", ready, stream)) < place(copy)
    assert place(("record", free, "null")) < place(("wait", free, stream)) < place(copy)
    assert place(copy) < place(("record", done, stream)) < place(("wait", done, "null"))


def test_no_thread_of_the_host_waits_for_a_copy_between_gpus(cupy: Any) -> None:
    x = ef.asarray(np.ones((3, 4)), device="cuda:0")
    log.clear()
    fake_cuda.synchronized.clear()
    x.T.to("cuda:1")
    assert not waits()
    assert not fake_cuda.synchronized


def test_both_ends_of_a_copy_are_kept_until_it_is_done(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = ef.asarray([1.0], device="cuda:0")
    monkeypatch.setattr(fake_cuda.Event, "finished", False)
    x.to("cuda:1")
    assert [(f.source.device.id, f.array.device.id) for f in kind()._flying] == [(0, 1)]
    monkeypatch.setattr(fake_cuda.Event, "finished", True)
    kind().synchronize(1)
    assert not kind()._flying


def test_what_the_target_does_between_start_and_finish_does_not_wait(cupy: Any) -> None:
    array = kind().from_host(np.ones(2), 0)
    log.clear()
    flight = kind().start_copy(array, 1)
    done = [entry[1] for entry in log if entry[0] == "event"][-1]
    assert ("wait", done, "null") not in log
    kind().finish_copy(flight)
    assert log[-1] == ("wait", done, "null")


def test_copies_to_one_gpu_share_a_stream_and_other_gpus_have_others(cupy: Any) -> None:
    here = kind().from_host(np.ones(2), 0)
    there = kind().copy(here, 1)
    kind().copy(here, 1)
    kind().copy(there, 0)
    streams = [entry[3] for entry in log if entry[0] == "copy"]
    assert streams[0] == streams[1] != streams[2]


def test_a_copy_on_the_same_gpu_is_another_array(cupy: Any) -> None:
    array = kind().from_host(np.ones(2), 1)
    other = kind().copy(array, 1)
    other[...] = 5.0
    assert kind().to_host(array).tolist() == [1.0, 1.0]
    assert not any(entry[0] == "copy" for entry in log)


def test_the_stream_that_the_user_entered_is_the_one_that_waits(cupy: Any) -> None:
    array = kind().from_host(np.ones(2), 0)
    with cupy.cuda.Device(1):
        mine = cupy.cuda.Stream(non_blocking=True)
        with mine:
            kind().copy(array, 1)
    done = [entry[1] for entry in log if entry[0] == "event"][-1]
    assert log[-1] == ("wait", done, mine.name)


@given(shape=st.lists(st.integers(0, 4), max_size=3), steps=st.integers(-2, 2).filter(bool))
def test_copies_are_equal_whatever_the_layout(shape: list[int], steps: int) -> None:
    host = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    with fake_cupy.pretended():
        array = kind().from_host(host, 0).T
        if array.ndim:
            array = array[::steps]
        copied = kind().copy(array, 1)
        assert copied.device.id == 1
        expected = host.T[::steps] if host.ndim else host
        np.testing.assert_array_equal(kind().to_host(copied), expected)


def test_dtypes_that_cupy_lacks_are_refused_with_a_remedy(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def array(x: Any) -> Any:
        raise ValueError(f"Unsupported dtype {x.dtype}")

    monkeypatch.setattr(cupy, "array", array, raising=False)
    x = ef.asarray([1.0], dtype=ef.float8_e4m3fn)
    with pytest.raises(ef.errors.DTypeError, match=r"no arrays of float8_e4m3fn.*float16"):
        x.to("cuda:0")


def test_dtypes_that_a_kernel_of_cupy_refuses_are_dtype_errors(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def tanh(x: Any) -> Any:
        raise ValueError("Unsupported dtype float128")

    op = ef.ops.registry()["tanh"]
    monkeypatch.setitem(op._kernels, kind(), tanh)
    with pytest.raises(ef.errors.DTypeError, match=r"tanh: Unsupported dtype float128\n  got x: float64\[2\]"):
        ef.tanh(ef.asarray([1.0, 2.0], device="cuda:0"))


def test_reading_a_value_waits_for_its_stream_alone(cupy: Any) -> None:
    x = ef.asarray([1.0, 2.0], device="cuda:1") * 2.0
    log.clear()
    fake_cuda.synchronized.clear()
    assert x.numpy().tolist() == [2.0, 4.0]
    assert fake_cuda.synchronized == ["get"]
    assert not log


def test_a_captured_function_over_two_gpus_copies_from_one_to_the_other(cupy: Any) -> None:
    first = ef.Variable(ef.asarray(np.ones((3, 3)), device="cuda:0"))
    second = ef.Variable(ef.asarray(np.full((3, 3), 2.0), device="cuda:1"))

    @ef.function
    def two_layers(x: Any) -> Any:
        with ef.device("cuda:0"):
            hidden = x @ first
        with ef.device("cuda:1"):
            return hidden @ second

    x = ef.asarray(np.ones((2, 3)), device="cuda:0")
    for _ in range(2):
        log.clear()
        fake_cuda.synchronized.clear()
        y = two_layers(x)
        assert [entry[:3] for entry in log if entry[0] == "copy"] == [("copy", 0, 1)]
        assert not waits()
        assert not fake_cuda.synchronized
        assert repr(y.device) == "cuda:1"
        np.testing.assert_array_equal(y.numpy(), np.full((2, 3), 18.0))


# --- memory and settings --------------------------------------------------------------------------


def test_memory_counts_what_the_pool_holds_as_free_and_obeys_its_limit(cupy: Any) -> None:
    assert kind().memory(0) == ef.devices.MemoryInfo(1000, 600)
    kind().limit_memory(0, 250)
    assert kind().memory(0) == ef.devices.MemoryInfo(250, 150)
    assert kind().memory(1) == ef.devices.MemoryInfo(1000, 600)
    kind().limit_memory(0, None)
    assert kind().memory(0) == ef.devices.MemoryInfo(1000, 600)


def test_matmul_precision_reaches_cupy(cupy: Any) -> None:
    ef.config.set_matmul_precision("tf32")
    ef.config.set_matmul_precision("highest")
    assert [entry for entry in log if entry[0] == "compute type"] == [
        ("compute type", np.float32, "TF32"),
        ("compute type", np.float32, "DEFAULT"),
    ]
    with pytest.raises(ef.errors.ArgumentError, match="expected one of 'highest', 'tf32', got 'low'"):
        ef.config.set_matmul_precision("low")


def test_a_stack_by_a_matrix_is_one_product_on_cuda(cupy: Any) -> None:
    x, y = np.ones((2, 3, 4), np.float32), np.ones((4, 5), np.float32)
    product = ef.matmul(ef.asarray(x, device="cuda:0"), ef.asarray(y, device="cuda:0"))
    np.testing.assert_array_equal(product.numpy(), x @ y)
    low = ef.asarray(x[:, :, :3], ef.bfloat16, device="cuda:0")
    assert (low @ low).dtype == ef.bfloat16
    assert (low @ low).numpy().tolist() == np.full((2, 3, 3), 3.0).tolist()


# --- replay ---------------------------------------------------------------------------------------


class Program:
    """Something to record: it adds up its inputs and a Variable, and counts in another."""

    def __init__(self) -> None:
        self.weight = ef.Variable(ef.asarray([10.0, 20.0], device="cuda:0"))
        self.count = ef.Variable(ef.asarray([0.0], device="cuda:0"))
        self.runs = 0
        self.replay = Replay(self.run, ef.devices.find("cuda:0"), [self.weight, self.count], [self.count])

    def run(self, arrays: Any) -> list[Any]:
        self.runs += 1
        x, y = arrays
        result = x + y + self.weight._value._held
        self.count._value = type(self.count._value)(self.count._value._held + 1.0, device="cuda:0")
        return [result, x]


def arrays(*values: float) -> list[Any]:
    return [kind().from_host(np.array([v, v]), 0) for v in values]


@pytest.fixture
def program(cupy: Any) -> Program:
    return Program()


def test_a_replayed_program_gives_what_a_plain_run_gives(program: Program) -> None:
    given = [(1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0)]
    results = [[kind().to_host(a).tolist() for a in program.replay.run(arrays(*pair))] for pair in given]
    assert results == [[[x + y + 10.0, x + y + 20.0], [x, x]] for x, y in given]
    assert program.count.numpy().tolist() == [4.0]
    assert program.replay.recorded
    assert program.replay.reason is None
    assert program.runs == 2  # plainly, and to be recorded
    assert sum(entry[0] == "launch" for entry in log) == 3


def test_a_replay_copies_in_and_out_and_waits_for_nothing(program: Program) -> None:
    for _ in range(2):
        program.replay.run(arrays(1.0, 2.0))
    given = arrays(1.0, 2.0)
    log.clear()
    fake_cuda.synchronized.clear()
    first = program.replay.run(given)
    assert not waits()
    assert not fake_cuda.synchronized
    second = program.replay.run(arrays(3.0, 4.0))
    assert kind().to_host(first[0]).tolist() == [13.0, 23.0], "a later run wrote to an earlier result"
    own = {id(x) for x in (*program.replay._inputs, *program.replay._results)}
    assert not own & {id(x) for x in (*first, *second)}
    # The arrays of the graph are free again when the results are copied out: the next run waits for that.
    free = [entry for entry in log if entry[0] in ("record", "wait", "launch")]
    kinds = [entry[0] for entry in free]
    assert kinds == ["wait", "launch", "record", "wait", "launch", "record"]
    assert free[2][1] == free[3][1]


def test_variables_that_are_set_between_runs_count(program: Program) -> None:
    for _ in range(3):
        program.replay.run(arrays(0.0, 0.0))
    program.weight.assign([100.0, 200.0])
    assert kind().to_host(program.replay.run(arrays(1.0, 1.0))[0]).tolist() == [102.0, 202.0]
    held = program.count._value
    program.replay.run(arrays(0.0, 0.0))
    assert held.tolist() == [4.0], "the value of a Variable that somebody holds was written to"
    assert program.count.numpy().tolist() == [5.0]


def test_other_shapes_run_plainly(program: Program) -> None:
    for _ in range(3):
        program.replay.run(arrays(0.0, 0.0))
    wide = [kind().from_host(np.ones((3, 2)), 0)] * 2
    assert program.replay.run(wide)[0].shape == (3, 2)
    assert program.replay.recorded


def test_a_kernel_that_waits_is_not_recorded_and_the_reason_is_told(cupy: Any) -> None:
    state = ef.Variable(ef.asarray([1.0], device="cuda:0"))

    def run(given: Any) -> list[Any]:
        state._value = type(state._value)(state._value._held * 2.0, device="cuda:0")
        return [given[0] * float(given[0][0])]

    replay = Replay(run, ef.devices.find("cuda:0"), [state], [state])
    results = [kind().to_host(replay.run(arrays(3.0))[0]).tolist() for _ in range(3)]
    assert results == [[9.0, 9.0]] * 3
    assert state.numpy().tolist() == [8.0], "the attempt to record left its mark"
    assert not replay.recorded
    assert replay.reason is not None
    assert "CUDARuntimeError: cudaErrorStreamCapture" in replay.reason
    log.clear()
    replay.run(arrays(3.0))
    assert not any(entry[0] == "begin capture" for entry in log), "it was tried again"


def test_an_error_of_the_program_is_raised_by_the_plain_run(cupy: Any) -> None:
    calls = []

    def run(given: Any) -> list[Any]:
        calls.append(1)
        if len(calls) > 1:
            raise ZeroDivisionError("mine")
        return list(given)

    replay = Replay(run, ef.devices.find("cuda:0"))
    replay.run(arrays(1.0))
    with pytest.raises(ZeroDivisionError, match="mine"):
        replay.run(arrays(1.0))
    assert replay.reason == "it could not be recorded: ZeroDivisionError: mine"


def test_what_obviously_cannot_be_recorded_is_not_tried(cupy: Any) -> None:
    generator = ef.random.Generator(0)

    @ef.function
    def noisy(x: Any) -> Any:
        return x + ef.asarray(generator.normal(size=2), device="cuda:0")

    x = ef.asarray([1.0, 2.0], device="cuda:0")
    graph = noisy.get_concrete_function(x).graph
    replay = Replay.of(graph, ef.devices.find("cuda:0"), lambda given: list(given))
    for _ in range(3):
        replay.run(arrays(1.0))
    assert not replay.recorded
    assert replay.reason is not None
    assert "is not on cuda:0" in replay.reason or "takes other numbers in every run" in replay.reason
    assert not any(entry[0] == "begin capture" for entry in log)


def test_variables_of_a_graph_are_found(cupy: Any) -> None:
    weight = ef.Variable(ef.asarray([2.0], device="cuda:0"))
    total = ef.Variable(ef.asarray([0.0], device="cuda:0"))

    @ef.function
    def step(x: Any) -> Any:
        total.assign_add(x * weight)
        return x * weight

    graph = step.get_concrete_function(ef.asarray([1.0], device="cuda:0")).graph
    replay = Replay.of(graph, ef.devices.find("cuda:0"), lambda given: list(given))
    assert replay.reason is None
    assert {id(v) for v in replay._reads} == {id(weight), id(total)}
    assert [id(v) for v in replay._assigns] == [id(total)]


# --- on a GPU -------------------------------------------------------------------------------------


@pytest.mark.cuda
@pytest.mark.parametrize("name", OPS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=5)
def test_every_op_on_a_gpu_gives_what_it_gives_on_the_cpu(name: str, seed: int) -> None:
    op = OPS[name]
    sample = op.sample(Draw(seed))
    moving = differentiable(op, sample)
    if not any(isinstance(x, np.ndarray) for x in sample.inputs):
        return
    near = everything(op, on("cpu:0", sample.inputs), sample.attrs, moving, seed)
    if name in HOST_ONLY:
        with pytest.raises(ef.errors.DeviceError):
            everything(op, on("cuda:0", sample.inputs), sample.attrs, moving, seed)
        return
    far = everything(op, on("cuda:0", sample.inputs), sample.attrs, moving, seed)
    for here, there in zip(near, far, strict=True):
        assert repr(there.device) == "cuda:0"
        assert (here.shape, here.dtype) == (there.shape, there.dtype)
        np.testing.assert_allclose(here.numpy(), there.numpy(), rtol=1e-7, atol=1e-7)


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", ["float32", "complex64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", sorted(set(OPS) - HOST_ONLY))
def test_every_op_that_works_in_a_dtype_does_so_on_a_gpu(name: str, dtype: str) -> None:
    in_dtype(name, dtype, nullcontext)


def captured_as_eager(name: str, device: str) -> None:
    """Compare a captured op, and its gradient, on a device with eager code on the CPU."""
    op = OPS[name]
    for seed in range(2):
        sample = op.sample(Draw(seed))
        if not any(isinstance(x, np.ndarray) for x in sample.inputs):
            return
        moving = differentiable(op, sample)
        rng = np.random.default_rng(seed)
        near = call(op, on("cpu:0", sample.inputs), sample.attrs)
        weights = [rng.normal(size=y.shape).astype(y.dtype) if is_inexact(y.dtype) else None for y in near]

        def run(*xs: Any, moving: Any = moving, weights: Any = weights, attrs: Any = sample.attrs) -> Any:
            sources = [xs[i] for i in moving]
            with ef.GradientTape() as tape:
                tape.watch(sources)
                made = list(call(op, xs, attrs))
            if not moving:
                return made
            pairs = [(y, w) for y, w in zip(made, weights, strict=True) if w is not None]
            seeds = [ef.asarray(w, device=xs[moving[0]].device) for _, w in pairs]
            return [*made, *tape.gradient([y for y, _ in pairs], sources, seeds, unconnected="zero")]

        expected = run(*on("cpu:0", sample.inputs))
        for got, wanted in zip(ef.function(run)(*on(device, sample.inputs)), expected, strict=True):
            assert repr(got.device) == device
            assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
            np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-7, atol=1e-7)


CAPTURABLE = sorted(
    set(OPS) - HOST_ONLY - {"argwhere", "nonzero", "root", "unique"}
)  # which depend on values, or run Python


@pytest.mark.skipif(cuda_on_host.why_missing() is not None, reason=str(cuda_on_host.why_missing()))
@pytest.mark.parametrize("name", CAPTURABLE[::9])
def test_captured_ops_on_a_stand_in_are_those_of_the_cpu(name: str, cupy: Any) -> None:
    pytest.importorskip("scipy", reason="the stand-in for CuPy needs SciPy")
    cupy.cuda.runtime.memGetInfo = lambda: (1 << 30, 1 << 30)
    captured_as_eager(name, "cuda:0")


@pytest.mark.cuda
@pytest.mark.parametrize("name", CAPTURABLE)
def test_captured_ops_on_a_gpu_are_those_of_the_cpu(name: str) -> None:
    captured_as_eager(name, "cuda:0")


@pytest.mark.cuda
def test_arrays_move_between_the_gpus_that_there_are() -> None:
    names = [name for name in ef.devices.list() if name.startswith("cuda:")]
    x = ef.asarray(np.arange(1_000_000, dtype=np.float32).reshape(1000, 1000), device=names[0])
    for name in names * 3:
        x = (x.T + 1.0).to(name)
    expected = np.arange(1_000_000, dtype=np.float32).reshape(1000, 1000)
    for _ in names * 3:
        expected = expected.T + 1.0
    np.testing.assert_array_equal(x.numpy(), expected)


@pytest.mark.cuda
def test_a_graph_on_a_gpu_replays_what_a_plain_run_gives() -> None:
    device = ef.devices.find("cuda:0")
    rng = np.random.default_rng(0)
    weight = ef.Variable(ef.asarray(rng.normal(size=(8, 8)), device=device))

    def run(given: Any) -> list[Any]:
        xp = device.kind.namespace
        value = xp.tanh(given[0] @ weight._value._held)
        weight._value = type(weight._value)(weight._value._held * 0.5, device=device)
        return [value, value.sum(axis=0)]

    replay = Replay(run, device, [weight], [weight])
    expected = weight.numpy()
    for _ in range(5):
        x = rng.normal(size=(4, 8))
        first, second = (device.kind.to_host(a) for a in replay.run([device.kind.from_host(x, 0)]))
        np.testing.assert_allclose(first, np.tanh(x @ expected), rtol=1e-10)
        np.testing.assert_allclose(second, first.sum(axis=0), rtol=1e-10)
        expected = expected * 0.5
        np.testing.assert_array_equal(weight.numpy(), expected)
    assert replay.recorded, replay.reason


@pytest.mark.cuda
def test_tf32_rounds_the_factors_of_products_on_a_gpu() -> None:
    x = ef.asarray(np.full((256, 256), 1 + 2.0**-12, np.float32), device="cuda:0")
    exact = (x @ x).numpy()
    try:
        ef.config.set_matmul_precision("tf32")
        rounded = (x @ x).numpy()
    finally:
        ef.config.set_matmul_precision("highest")
    np.testing.assert_allclose(exact, 256 * (1 + 2.0**-12) ** 2, rtol=1e-6)
    np.testing.assert_allclose(rounded, exact, rtol=2e-3)
