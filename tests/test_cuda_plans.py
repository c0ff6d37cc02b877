"""Captured functions on GPUs: training steps on one and on several devices, against the CPU.

On a stand-in for CuPy, and on GPUs where there are any.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuda_on_host
import eagerflow as ef
import fake_cupy
from eagerflow import nn
from fake_cuda import log
from test_cupy import CUPY

STAND_IN = pytest.mark.skipif(cuda_on_host.why_missing() is not None, reason=str(cuda_on_host.why_missing()))

ONE, SEVERAL = ("cuda:0", "cuda:0", "cuda:0"), ("cuda:0", "cuda:1", "cpu:0")
NEAR = ("cpu:0", "cpu:0", "cpu:0")


@pytest.fixture(
    autouse=True,
    params=[pytest.param(True, marks=STAND_IN, id="stand-in"), pytest.param(False, marks=pytest.mark.cuda, id="gpu")],
)
def stand_in(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Give two GPUs with a gigabyte each, or those that there are; tell which."""
    if not request.param:
        yield False
        return
    pytest.importorskip("scipy", reason="the stand-in for CuPy needs SciPy")
    with fake_cupy.pretended(CUPY) as fake:
        fake.cuda.runtime.memGetInfo = lambda: (1 << 30, 1 << 30)
        yield True


def here(where: tuple[str, ...]) -> tuple[str, ...]:
    """Return devices, the first GPU in place of others that are not here."""
    return tuple([name if name in ef.devices.list() else "cuda:0" for name in where])


def asked(kind: str) -> int:
    """Return how often something was asked of the stand-in; never where there are GPUs."""
    return sum(entry[0] == kind for entry in log)


class Stack(nn.Module):
    """Three layers, each on a device."""

    def __init__(self, where: tuple[str, ...], layers: list[Callable[[], Any]]) -> None:
        self.where = where
        self.layers = []
        for device, make in zip(where, layers, strict=True):
            with ef.device(device):
                self.layers.append(make())

    def __call__(self, x: Any) -> Any:
        for device, layer in zip(self.where, self.layers, strict=True):
            with ef.device(device):
                x = layer(x)
        return x


class Recurrent(nn.Module):
    def __init__(self) -> None:
        self.lstm = nn.LSTM(6, 6)

    def __call__(self, x: Any) -> Any:
        return self.lstm(x)[0]


class Block(nn.Module):
    """A layer of a decoder."""

    def __init__(self) -> None:
        self.norm1, self.qkv, self.mix = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.norm2, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.dropout = nn.Dropout(0.25)

    def __call__(self, x: Any) -> Any:
        b, n, _ = x.shape
        parts = self.qkv(self.norm1(x)).reshape(b, n, 3, 2, 4)
        q, k, v = (parts[:, :, i].swapaxes(1, 2) for i in range(3))
        attended = nn.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.dropout(self.mix(attended.swapaxes(1, 2).reshape(b, n, 8)))
        return x + self.down(nn.gelu(self.up(self.norm2(x)), approximate=True))


def mlp(where: tuple[str, ...]) -> Stack:
    return Stack(where, [lambda: nn.Linear(6, 10), lambda: nn.Linear(10, 10), lambda: nn.Linear(10, 5)])


def lstm(where: tuple[str, ...]) -> Stack:
    return Stack(where, [Recurrent, Recurrent, lambda: nn.Linear(6, 5)])


def decoder(where: tuple[str, ...]) -> Stack:
    return Stack(where, [lambda: nn.Embedding(5, 8), Block, lambda: nn.Linear(8, 5)])


RNG = np.random.default_rng(0)
CASES: dict[str, tuple[Any, Any, Any]] = {
    "mlp": (mlp, RNG.normal(size=(7, 6)), RNG.integers(0, 5, 7)),
    "lstm": (lstm, RNG.normal(size=(3, 4, 6)), RNG.integers(0, 5, (3, 4))),
    "decoder": (decoder, RNG.integers(0, 5, (2, 4)), RNG.integers(0, 5, (2, 4))),
}


class Training:
    """A model that is trained."""

    def __init__(self, name: str, where: tuple[str, ...], capture: bool = True, **options: Any) -> None:
        make, x, y = CASES[name]
        where = here(where)
        ef.random.seed(1)
        self.model = make(where)
        # Gradients that are zero but for rounding, as of biases of keys, would become steps by a small epsilon.
        self.optimizer = ef.optim.Adam(self.model, 0.05, epsilon=1e-3)
        self.x, self.y = ef.asarray(x, device=where[0]), ef.asarray(y, device=where[-1])
        self.where = where
        self.step: Any = ef.function(**options)(self._step) if capture else self._step

    def _step(self, x: Any, y: Any) -> Any:
        with ef.GradientTape() as tape:
            scores = self.model(x)
            with ef.device(self.where[-1]):
                loss = ef.mean(nn.softmax_cross_entropy(scores, y))
        self.optimizer.apply(tape.gradient(loss, self.model.trainable_variables))
        return loss, scores

    def run(self, steps: int = 3) -> list[np.ndarray]:
        """Return what the steps return, and what they leave."""
        found = [x.numpy() for _ in range(steps) for x in self.step(self.x, self.y)]
        return found + self.state()

    def state(self) -> list[np.ndarray]:
        return [v.numpy() for v in (*self.model.variables, *self.optimizer.variables)]

    @property
    def concrete(self) -> Any:
        return self.step.concrete_functions[0]


def close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("capture", [False, True], ids=["eager", "captured"])
@pytest.mark.parametrize("where", [ONE, SEVERAL], ids=["one", "several"])
@pytest.mark.parametrize("name", CASES)
def test_training_is_that_of_the_cpu(name: str, where: tuple[str, ...], capture: bool) -> None:
    expected = Training(name, NEAR, capture=False).run()
    training = Training(name, where, capture)
    close(training.run(), expected)
    for device, layer in zip(here(where), training.model.layers, strict=True):
        assert {repr(v.device) for v in layer.variables} == {device}
    if capture:
        assert len(training.step.concrete_functions) == 1
        parts = {repr(device) for device in training.concrete.placement().where.values()}
        assert set(here(where)) <= parts


@pytest.mark.parametrize("where", [ONE, SEVERAL], ids=["one", "several"])
def test_what_users_ask_of_a_trace(where: tuple[str, ...], tmp_path: Path) -> None:
    training = Training("decoder", where)
    training.run(1)
    before = training.state()
    profile = training.concrete.profile(training.x, training.y, repeat=2)
    assert profile.total > 0
    close(training.state(), before)
    training.concrete.save_html(tmp_path / "graph.html")
    assert "cuda:0" in (tmp_path / "graph.html").read_text()
    assert "cuda:0" in str(training.concrete.placement())
    assert training.concrete.memory().without_reuse > 0
    with ef.profiler.trace(tmp_path / "trace.json"):
        traced = training.run(2)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert any("cuda:0" in json.dumps(event) for event in events)
    expected = Training("decoder", NEAR).run(3)
    close(traced[-len(before) :], expected[-len(before) :])


@pytest.mark.parametrize("where", [ONE, SEVERAL], ids=["one", "several"])
def test_runs_that_are_submitted(where: tuple[str, ...]) -> None:
    expected = Training("mlp", NEAR).run(3)
    training = Training("mlp", where)
    training.step.get_concrete_function(training.x, training.y)
    futures = [training.step.submit(training.x, training.y) for _ in range(3)]
    found = [x.numpy() for future in futures for x in future.result()]
    close(found + training.state(), expected)


@pytest.mark.parametrize("where", [ONE, SEVERAL], ids=["one", "several"])
def test_atomic_runs_that_fail_leave_variables(where: tuple[str, ...]) -> None:
    training = Training("mlp", where, atomic=True)
    training.run(1)
    before = training.state()
    wrong = ef.asarray(np.full(7, 9), device=training.where[-1])
    with pytest.raises(ef.errors.IndexOutOfBoundsError, match="labels 9 is out of range for 5 classes"):
        training.step(training.x, wrong)
    close(training.state(), before)
    expected = Training("mlp", NEAR).run(2)
    close(training.run(1), expected[2:])


@pytest.mark.parametrize("where", [ONE, SEVERAL], ids=["one", "several"])
@pytest.mark.parametrize("name", CASES)
def test_tapes_outside_of_captured_functions(name: str, where: tuple[str, ...]) -> None:
    found = []
    for devices in (NEAR, where):
        training = Training(name, devices)
        model = training.model
        run = ef.function(lambda x, model=model: model(x))
        with ef.GradientTape() as tape:
            scores = run(training.x)
            with ef.device(training.where[-1]):
                loss = ef.mean(scores * scores)
        gradients = tape.gradient(loss, model.trainable_variables)
        assert [g.device for g in gradients] == [v.device for v in model.trainable_variables]
        found.append([loss.numpy(), *[g.numpy() for g in gradients]])
    close(found[1], found[0])


def test_memory_of_a_gpu_is_counted_as_its_pool_gives_it() -> None:
    def chain(x: Any, w: Any) -> Any:
        for _ in range(5):
            x = ef.tanh(x @ w)
        return ef.sum(x)

    x, w = (ef.asarray(RNG.normal(size=(16, 16)), device="cuda:0") for _ in range(2))
    memory = ef.function(chain).get_concrete_function(x, w).memory()
    array = 16 * 16 * 8
    assert memory == (2 * array, 9 * array + 8, 8)


def test_ops_without_a_kernel_on_gpus_are_placed_on_the_host() -> None:
    near = ef.asarray(RNG.normal(size=(3, 3)) / 3)
    far = near.to("cuda:0")
    with pytest.raises(ef.errors.DeviceError, match=r"matrix_function: devices of kind 'cuda' have no kernel"):
        ef.linalg.expm(far)

    def run(x: Any) -> Any:
        return ef.tanh(ef.linalg.expm(x) @ x)

    captured = ef.function(devices=("cuda:0", "cpu:0"))(run)
    close([captured(far).numpy()], [run(near).numpy()])
    where = captured.concrete_functions[0].placement().where
    assert {repr(device) for node, device in where.items() if node.op.name == "matrix_function"} == {"cpu:0"}
    with pytest.raises(ef.errors.DeviceError, match=r"matrix_function"):
        ef.function(devices="cuda:0")(run)(far)


# --- numbers of 16 bits -----------------------------------------------------------------------------


SHORT_OPS: dict[str, Callable[..., Any]] = {
    "softmax": lambda x, w: nn.softmax(x, axis=-1),
    "log_softmax": lambda x, w: nn.log_softmax(x, axis=-1),
    "layer_norm": lambda x, w: nn.layer_norm(x, w, w),
    "cross_entropy": lambda x, w: nn.softmax_cross_entropy(x, ef.asarray([0, 3, 1, 2], device=x.device)),
    "variance": lambda x, w: ef.var(x, axis=-1),
    "gelu": lambda x, w: nn.gelu(x),
    "sigmoid": lambda x, w: nn.sigmoid(x),
}


@pytest.mark.parametrize("dtype", [ef.float16, ef.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("name", SHORT_OPS)
def test_captured_ops_of_16_bits_round_as_their_kernels_do(name: str, dtype: Any) -> None:
    function = SHORT_OPS[name]
    arrays = [RNG.normal(size=shape).astype(dtype) for shape in ((4, 30), (30,))]
    near = [ef.asarray(x) for x in arrays]
    far = [ef.asarray(x, device="cuda:0") for x in arrays]

    def gradient(x: Any, w: Any, g: Any) -> list[Any]:
        with ef.GradientTape() as tape:
            tape.watch([x, w])
            y = function(x, w)
        return list(tape.gradient(y, [x, w], g, unconnected="zero"))

    g = RNG.normal(size=function(*near).shape).astype(dtype)
    expected = [function(*near), *gradient(near[0], near[1], ef.asarray(g))]
    g = ef.asarray(g, device="cuda:0")
    eager = [function(*far), *gradient(far[0], far[1], g)]
    captured = [ef.function(function)(*far), *ef.function(gradient)(*far, g)]
    step = float(ef.finfo(dtype).eps)
    for cpu, op, plan in zip(expected, eager, captured, strict=True):
        assert cpu.dtype == op.dtype == plan.dtype == dtype
        values = [x.numpy().astype(np.float64) for x in (cpu, op, plan)]
        size = np.abs(values[0]).max()
        np.testing.assert_allclose(values[1], values[0], rtol=step, atol=step * size)
        np.testing.assert_allclose(values[2], values[1], rtol=step, atol=step * size)


# --- replay ---------------------------------------------------------------------------------------


def decay(device: str) -> tuple[ef.Variable, Callable[[Any], Any]]:
    """Return a Variable, and a function that a CUDA graph can hold."""
    weight = ef.Variable(ef.asarray(np.linspace(0.5, 1.5, 20).reshape(4, 5), device=device))

    def run(x: Any) -> Any:
        weight.assign_sub(0.1 * ef.tanh(x) * weight)
        return nn.softmax(weight * x), x, ef.sum(x, axis=0)

    return weight, run


def inputs(device: str) -> list[Any]:
    return [ef.asarray(np.random.default_rng(i).normal(size=(4, 5)), device=device) for i in range(5)]


@pytest.mark.parametrize("among", [True, False], ids=["nowhere else", "placed"])
@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_a_function_on_one_gpu_is_replayed_from_the_second_run_on(device: str, among: bool, stand_in: bool) -> None:
    (device,) = here((device,))
    weight, run = decay("cpu:0")
    expected = [[*[y.numpy() for y in run(x)], weight.numpy()] for x in inputs("cpu:0")]
    weight, run = decay(device)
    captured = ef.function(devices=device if among else None)(run)
    concrete = captured.get_concrete_function(inputs(device)[0])
    assert concrete.source.startswith(f"# {device}: to be recorded by the second run\n")
    kept = []
    for x, wanted in zip(inputs(device), expected, strict=True):
        made = captured(x)
        assert {repr(y.device) for y in made} == {device}
        close([*[y.numpy() for y in made], weight.numpy()], wanted)
        kept.append(made)
    assert concrete.source.startswith(f"# {device}: replayed\n")
    assert not stand_in or asked("launch") == 4
    for made, wanted in zip(kept, expected, strict=True):
        close([y.numpy() for y in made], wanted[:3])


def test_runs_beside_replayed_ones_share_variables() -> None:
    _, run = decay("cpu:0")
    expected = [[y.numpy() for y in run(x)] for x in inputs("cpu:0")]
    _, run = decay("cuda:0")
    captured = ef.function(run)
    ways = [captured, captured, lambda x: captured.submit(x).result(), captured, run]
    for way, x, wanted in zip(ways, inputs("cuda:0"), expected, strict=True):
        close([y.numpy() for y in way(x)], wanted)


def test_replay_can_be_turned_off() -> None:
    _, run = decay("cuda:0")
    captured = ef.function(run)
    ef.config.set_cuda_graphs(False)
    try:
        for x in inputs("cuda:0"):
            captured(x)
        assert captured.concrete_functions[0].source.startswith("# cuda:0: kernel by kernel, as it was chosen\n")
        assert not asked("begin capture")
    finally:
        ef.config.set_cuda_graphs(True)
    for x in inputs("cuda:0"):
        captured(x)
    assert captured.concrete_functions[0].source.startswith("# cuda:0: replayed\n")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x @ x, "NotImplementedError: calling cuBLAS API during stream capture"),
        (lambda x: x + ef.random.normal(size=(5, 5)), "takes other numbers in every run"),
        (
            lambda x: ef.where(x > 0, x, 0.0)[ef.asarray([0, 2], device="cuda:0")],
            "CUDARuntimeError: cudaErrorStreamCaptureInvalidated",
        ),
        (lambda x: [ef.py_function(lambda a: None, [x]), x + 1.0][1], "it runs Python code"),
    ],
    ids=["product", "random", "waits", "callback"],
)
def test_source_tells_why_a_function_is_not_replayed(function: Any, reason: str, stand_in: bool) -> None:
    if not stand_in and ":" in reason:
        pytest.skip("what CuPy refuses to record depends on its version")
    captured = ef.function(function, devices="cuda:0")
    x = ef.asarray(np.ones((5, 5)), device="cuda:0")
    for _ in range(3):
        with ef.device("cuda:0"):
            captured(x)
    first = captured.concrete_functions[0].source.partition("\n")[0]
    assert first.startswith("# cuda:0: kernel by kernel, since ")
    assert reason in first


def test_copies_from_the_host_are_not_recorded() -> None:
    kind = ef.devices.kinds()["cuda"]

    def run() -> Any:
        return kind.from_host(np.ones(3), 0)

    with pytest.raises(NotImplementedError, match="copies from the host"):
        kind.record(run, 0)
    assert kind.to_host(run()).tolist() == [1.0, 1.0, 1.0]


def test_functions_over_several_devices_are_not_replayed() -> None:
    training = Training("mlp", SEVERAL)
    training.run(3)
    assert not asked("begin capture")
    assert "replayed" not in training.concrete.source
