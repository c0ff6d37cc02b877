"""CUDA kernels of fused groups: they compile for GPUs, and their text, run on the host, gives what nodes give."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import cuda_on_host
import eagerflow as ef
import fake_cupy
import kinds  # noqa: F401 - the devices far:0 and far:1
import nvrtc
from eagerflow import nn
from eagerflow.capture import kernels
from eagerflow.capture.graph import FUSED, Graph, Value
from eagerflow.capture.interpreter import run_graph
from eagerflow.capture.kernels import cuda
from eagerflow.capture.kernels.cuda.functions import BINARY, UNARY, program
from eagerflow.capture.kernels.cuda.kernel import OPTIONS, written
from eagerflow.capture.kernels.cuda.launch import Launch, launch
from eagerflow.capture.kernels.cuda.source import Source
from eagerflow.capture.kernels.expression import DTYPES, SHORT
from eagerflow.capture.kernels.scalar_math import SCALAR_FUNCTIONS
from eagerflow.capture.kernels.space import kind
from eagerflow.capture.passes import fuse
from eagerflow.core import Draw, Op
from eagerflow.devices import CPU0
from test_fusion import Build, adam, close, layer_norm, layer_norm_gradient, numbers, programs, run_fused, same, softmax
from test_scalar_forms import SCALAR, check, flat

ARCHITECTURES = ("sm_80", "sm_90")
AT_ONCE = 300  # kernels in a program

for_gpus = pytest.mark.skipif(nvrtc.why_missing() is not None, reason=str(nvrtc.why_missing()))
on_host = pytest.mark.skipif(cuda_on_host.why_missing() is not None, reason=str(cuda_on_host.why_missing()))


def source_of(graph: Graph, name: str = "kernel") -> Source:
    source = written(graph, name)
    assert source is not None
    return source


def groups_of(graph: Graph) -> list[Graph]:
    return [node.attrs["graph"] for node in graph.nodes if node.op is FUSED]


def compile_for(architecture: str, sources: list[Source]) -> None:
    for i in range(0, len(sources), AT_ONCE):
        text = program(*[source.kernels for source in sources[i : i + AT_ONCE]])
        assert nvrtc.compiled(text, (*OPTIONS, f"--gpu-architecture={architecture}"))


# Every op with a scalar form, in all dtypes.


@cache
def single_ops() -> dict[tuple[str, str], tuple[Graph, Source, list[Any], dict[str, Any]]]:
    """Return groups of one op each, by its name and the dtype of what it is given; with inputs and attributes."""
    found: dict[tuple[str, str], tuple[Graph, Source, list[Any], dict[str, Any]]] = {}
    for name, op in SCALAR.items():
        for dtype in sorted(DTYPES, key=str):
            if dtype.kind != "f" and "g" in op.inputs:
                continue  # gradients are never integers
            for seed in range(3):
                sample = op.sample(Draw(seed))
                inputs = [_of(x, dtype) for x in sample.inputs]
                b = Build()
                given = [b.input(x.shape, x.dtype) if isinstance(x, np.ndarray) else x for x in inputs]
                try:
                    made = getattr(b, name)(*given, **sample.attrs)
                except TypeError:  # there is no such function of this dtype
                    continue
                graph = elsewhere(b.graph(made))
                if (name, str(dtype)) not in found and made.shape and kind(made.node) == "elementwise":
                    source = source_of(graph, f"kernel{len(found)}")
                    found[name, str(dtype)] = graph, source, inputs, sample.attrs
    return found


def elsewhere(graph: Graph) -> Graph:
    """Move a graph off the host, where numbers of 16 bits are left to NumPy."""
    for node in graph.nodes:
        for x in node.outputs:
            x.device = ef.devices.find("far:0")
    return graph


def _of(x: Any, dtype: np.dtype[Any]) -> Any:
    """Return an input of a sample, floating-point numbers in the dtype."""
    return x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


@for_gpus
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_scalar_form_compiles_for_gpus(architecture: str) -> None:
    compile_for(architecture, [source for _, source, _, _ in single_ops().values()])


def test_every_scalar_form_that_the_host_fuses_has_a_cuda_kernel() -> None:
    floats = {name for name, dtype in single_ops() if dtype == "float32"}
    # Casts of fractions to integers, powers of two arrays, and what is of integers only; two that do nothing.
    assert set(SCALAR) - floats <= {
        "to_integer", "pow", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert", "identity", "stop_gradient",
    }  # fmt: skip


def test_every_function_of_scalar_forms_is_written_for_cuda() -> None:
    text = program()
    for name in SCALAR_FUNCTIONS:
        assert name in UNARY or name in BINARY or f" {name}(" in text


@on_host
def test_every_scalar_form_gives_what_kernels_give() -> None:
    cases = single_ops()
    host = cuda_on_host.Program([source for _, source, _, _ in cases.values()])
    for (name, _), (_, source, inputs, attrs) in cases.items():
        arrays = [x for x in inputs if isinstance(x, np.ndarray)]
        (got,) = host.run(source, arrays)
        as_kernels(SCALAR[name], got, inputs, attrs)


def as_kernels(op: Op, got: Any, inputs: list[Any], attrs: dict[str, Any]) -> None:
    """Compare with the op's kernel."""
    if got.dtype.name in SHORT:
        rounded_once(op, got, inputs, attrs)
    else:
        check(op, got.reshape(-1), [flat(x, got.shape) for x in inputs], attrs)


def rounded_once(op: Op, got: Any, inputs: list[Any], attrs: dict[str, Any]) -> None:
    """Compare a result of 16 bits with what the op's kernel gives in float64."""
    shorts = {x.dtype for x in inputs if isinstance(x, np.ndarray) and x.dtype.name in SHORT}
    eps = float(ml_dtypes.finfo(got.dtype).eps) if got.dtype.name in SHORT else 1e-6
    wide = []
    for x in inputs:
        if isinstance(x, np.ndarray):
            wide.append(x.astype(np.float64) if x.dtype.name in (*SHORT, "bool", "int8", "uint8") else x)
        else:
            wide.append(float(np.asarray(x).astype(*shorts)) if type(x) is float and shorts else x)
    with np.errstate(all="ignore"):
        exact = np.asarray(op.kernel_for(CPU0)(*wide, **attrs)).astype(np.float64)
        exact = exact.astype(got.dtype).astype(np.float64)
    np.testing.assert_allclose(got.astype(np.float64), exact, rtol=eps, atol=eps * 1e-3, err_msg=op.name)


# Numbers of 16 bits.


@cache
def short_ops(name: str) -> dict[str, tuple[Graph, Source, list[Any], dict[str, Any]]]:
    """Return groups of one op each that are given numbers of 16 bits."""
    found: dict[str, tuple[Graph, Source, list[Any], dict[str, Any]]] = {}
    for op in SCALAR.values():
        sample = op.sample(Draw(1))
        inputs = [_of(x, np.dtype(name)) for x in sample.inputs]
        b = Build()
        given = [b.input(x.shape, x.dtype) if isinstance(x, np.ndarray) else x for x in inputs]
        try:
            made = getattr(b, op.name)(*given, **sample.attrs)
        except TypeError:
            continue
        graph = elsewhere(b.graph(made))
        if any(x.dtype == name for x in made.node.values) and kind(made.node) == "elementwise":
            found[op.name] = graph, source_of(graph, f"kernel{len(found)}"), inputs, sample.attrs
    return found


@for_gpus
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_numbers_of_16_bits_compile_for_gpus(architecture: str) -> None:
    for name in SHORT:
        assert len(short_ops(name)) > 80
        compile_for(architecture, [source for _, source, _, _ in short_ops(name).values()])


@on_host
@pytest.mark.parametrize("name", sorted(SHORT))
def test_numbers_of_16_bits_are_rounded_once(name: str) -> None:
    cases = short_ops(name)
    host = cuda_on_host.Program([source for _, source, _, _ in cases.values()])
    for called, (_, source, inputs, attrs) in cases.items():
        (got,) = host.run(source, [x for x in inputs if isinstance(x, np.ndarray)])
        rounded_once(SCALAR[called], got, inputs, attrs)


@on_host
@pytest.mark.parametrize("name", sorted(SHORT))
def test_reductions_of_16_bits_go_on_in_float32(name: str) -> None:
    graphs = []
    axes: tuple[tuple[int, ...], ...] = ((1,), (0,), (0, 1))
    for axis in axes:
        b = Build()
        x = b.multiply(b.input((60, 70), np.dtype(name)), b.input((70,), np.dtype(name)))
        graphs.append(
            elsewhere(b.graph(*[getattr(b, f)(x, axis=axis, keepdims=False) for f in ("sum", "max", "mean")]))
        )
    arrays = [np.abs(numbers(shape, 1)).astype(name) for shape in ((60, 70), (70,))]
    product = (arrays[0].astype(np.float32) * arrays[1].astype(np.float32)).astype(name).astype(np.float64)
    host = Host(graphs)
    eps = float(ml_dtypes.finfo(np.dtype(name)).eps)
    for graph, axis in zip(graphs, axes, strict=True):
        source = host.sources[graph]
        assert source is not None
        exact = [product.sum(axis), product.max(axis), product.mean(axis)]
        for got, wanted in zip(host.program.run(source, arrays), exact, strict=True):
            assert got.dtype == name
            np.testing.assert_allclose(got.astype(np.float64), wanted, rtol=eps)


@on_host
@pytest.mark.parametrize("name", sorted(SHORT))
def test_float32_is_rounded_to_16_bits(name: str) -> None:
    bits = np.random.default_rng(0).integers(0, 1 << 32, 20_000, np.uint32)
    all_short = np.arange(1 << 16, dtype=np.uint16).view(np.dtype(name))
    short = all_short.astype(np.float32)
    with np.errstate(all="ignore"):
        between = (short[:-1] + short[1:]) / 2  # where the even one is taken
        x = np.concatenate([bits.view(np.float32), short, between, np.nextafter(between, np.float32(0))])
        wanted = x.astype(name)
    b = Build()
    graph = elsewhere(b.graph(b.cast(b.input(x.shape), dtype=np.dtype(name))))
    host = Host([graph])
    source = host.sources[graph]
    assert source is not None
    (got,) = host.program.run(source, [x])
    np.testing.assert_array_equal(got.astype(np.float64), wanted.astype(np.float64))
    b = Build()
    back = elsewhere(b.graph(b.cast(b.input(short.shape, np.dtype(name)), dtype=np.dtype(np.float32))))
    host = Host([back])
    source = host.sources[back]
    assert source is not None
    np.testing.assert_array_equal(host.program.run(source, [all_short])[0], short)


def test_groups_of_16_bits_are_for_other_devices_than_the_host() -> None:
    for device, groups in (("cpu:0", 0), ("far:0", 0), ("cuda:0", 1)):
        with fake_cupy.pretended() if device == "cuda:0" else nullcontext():
            b = Build()
            x = b.input((4, 40), np.dtype("float16"))
            graph = b.graph(b.exp(b.add(x, x)))
            for node in graph.nodes:
                node.outputs[0].device = ef.devices.find(device)
            made = groups_of(fuse.run(graph))
            assert len(made) == groups
            for group in made:
                assert written(group) is not None
                assert kernels.compile(group) is None


# Random programs, under launches of all sorts. Sums of small integers are exact in whatever order.

LAUNCHES = st.tuples(
    st.integers(1, 3), st.integers(1, 3), st.sampled_from((32, 64, 128)), st.sampled_from((1, 2, 8, 32, 128))
)


def resized(source: Source, sizes: tuple[int, int, int, int]) -> Launch:
    """Return a launch that the kernels of a group are made for."""
    across, down, threads, team = sizes
    if source.form == "columns":
        return Launch(launch(source).across, down, threads, 32)
    if source.form == "flat":
        return Launch(across, 1, threads, threads)
    return Launch(across, 1, team if team > 32 else threads, team)


class Host:
    """Runs the groups of graphs by their CUDA kernels."""

    def __init__(self, graphs: Iterable[Graph]) -> None:
        self.sources = {group: written(group, f"kernel{i}") for i, group in enumerate(graphs)}
        self.program = cuda_on_host.Program([source for source in self.sources.values() if source is not None])
        self.sizes: tuple[int, int, int, int] | None = None

    def compile(self, group: Graph) -> Any:
        source = self.sources[group]
        if source is None:
            return None
        host, size = self, None if self.sizes is None else resized(source, self.sizes)

        class Kernel:
            def call(self, *arrays: Any) -> None:
                n = len(group.inputs)
                for out, made in zip(arrays[n:], host.program.run(source, arrays[:n], size), strict=True):
                    out[...] = made

        return Kernel()


@on_host
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(programs(), LAUNCHES), min_size=1, max_size=8))
def test_random_programs(cases: list[tuple[tuple[Graph, list[np.ndarray]], tuple[int, int, int, int]]]) -> None:
    fused = [fuse.run(graph) for (graph, _), _ in cases]
    host = Host(group for graph in fused for group in groups_of(graph))
    for ((graph, arrays), sizes), made in zip(cases, fused, strict=True):
        with np.errstate(all="ignore"):
            try:
                wanted = run_graph(graph, arrays)
            except (TypeError, OverflowError, ef.errors.EagerflowError):
                continue
            for host.sizes in (sizes, None):
                got = run_fused(made, arrays, host.compile)
                if any(node.op.name == "mean" for node in graph.nodes):
                    close(got, wanted, 1e-5)
                else:
                    same(got, wanted)


EXTREMES = ("add", "subtract", "multiply", "negative", "abs", "square", "sign", "floor_divide", "remainder", "fmod")


@on_host
def test_integers_wrap_around_and_divide_as_numpys() -> None:
    cases: list[tuple[Graph, list[Any]]] = []
    for dtype in sorted((dtype for dtype in DTYPES if dtype.kind in "iu"), key=str):
        limits = np.iinfo(dtype)
        few = np.array([limits.min, limits.min + 1, 0, 1, 2, 7, limits.max - 1, limits.max], dtype)
        few = np.concatenate([few, -few]) if dtype.kind == "i" else few
        x, y = (grid.ravel() for grid in np.meshgrid(few, few))
        for name in EXTREMES:
            b = Build()
            given = [b.input(x.shape, dtype) for _ in SCALAR[name].inputs]
            try:
                cases.append((b.graph(getattr(b, name)(*given)), [x, y][: len(given)]))
            except TypeError:  # unsigned numbers have no negatives
                continue
    host = cuda_on_host.Program([source_of(graph, f"kernel{i}") for i, (graph, _) in enumerate(cases)])
    with np.errstate(all="ignore"):
        for source, (graph, arrays) in zip(host.sources, cases, strict=True):
            same(host.run(source, arrays), run_graph(graph, arrays))


# Typical groups.


def typical(shape: tuple[int, int], dtype: Any = np.float32) -> dict[str, Graph]:
    """Return groups of all three forms."""
    dtype, row, column = np.dtype(dtype), (shape[0], 1), shape[1:]
    found = {}

    def add(name: str, make: Any, *shapes: tuple[int, ...]) -> None:
        b = Build()
        made = make(b, *[b.input(given, dtype) for given in shapes])
        found[name] = b.graph(*(made if isinstance(made, tuple) else (made,)))

    def dense_gradient(b: Build, g: Value, y: Value) -> tuple[Value, ...]:
        d = b.multiply(g, b.subtract(1.0, b.multiply(y, y)))
        return d, b.sum(d, axis=(0,), keepdims=False), b.mean(b.square(d), axis=(0, 1), keepdims=False)

    def loss(b: Build, x: Value, y: Value) -> tuple[Value, ...]:
        d = b.subtract(x, y)
        row = b.sum(b.multiply(d, d), axis=(1,), keepdims=False)
        return row, b.mean(row, axis=(0,), keepdims=False)

    def kept(b: Build, x: Value) -> tuple[Value, ...]:
        y = softmax(b, b.multiply(x, 0.3))
        return b.tanh(y), b.rows("max", y), b.all(b.less(y, 2.0), axis=(0,), keepdims=False)

    add("softmax", softmax, shape)
    add("kept", kept, shape)
    add("layer norm", layer_norm, shape, column, column)
    add("layer norm gradient", layer_norm_gradient, shape, shape, row, column)
    add("adam", adam, *[shape] * 4)
    add("dense gradient", dense_gradient, shape, shape)
    add("loss", loss, shape, shape)
    add("norm", lambda b, x: b.sqrt(b.sum(b.multiply(x, x), axis=(0, 1), keepdims=False)), shape)
    return found


SHAPES = ((1, 1), (1, 700), (300, 1), (5, 3), (40, 33), (3, 1500), (150, 130))


@on_host
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_typical_groups(dtype: str) -> None:
    cases = [(f"{name} of {shape}", graph) for shape in SHAPES for name, graph in typical(shape, dtype).items()]
    host = Host(graph for _, graph in cases)
    forms = set()
    for name, graph in cases:
        source = host.sources[graph]
        if source is None:
            assert 1 in graph.inputs[0].shape, name  # where nothing is left to be reduced
            continue
        forms.add((source.form, bool(source.finish), bool(source.schedule.kept), launch(source).team > 32))
        arrays = [np.abs(numbers(x.shape, i, dtype)) + np.dtype(dtype).type(0.1) for i, x in enumerate(graph.inputs)]
        exact = run_graph(graph, [x.astype(np.float64) for x in arrays])
        got = host.program.run(source, arrays)
        for a, b in zip(got, exact, strict=True):
            # Sums of up to a hundred thousand numbers, from which differences may be taken.
            tolerance = 1e-5 if dtype == "float32" else 1e-13
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(), err_msg=name)
        same(host.program.run(source, arrays), got)
    assert {form for form, *_ in forms} == {"flat", "rows", "columns"}


@on_host
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_through_reductions(special: float) -> None:
    graphs = []
    for axis in ((1,), (0,), (0, 1)):
        b = Build()
        x = b.negative(b.negative(b.input((6, 40))))
        made = [getattr(b, name)(x, axis=axis, keepdims=False) for name in ("sum", "max", "min", "mean", "prod")]
        graphs.append(b.graph(*made))
    host = Host(graphs)
    array = numbers((6, 40))
    array[2, 17] = special
    array[4, 3:5] = special, -special
    with np.errstate(invalid="ignore"):
        for graph, source in host.sources.items():
            assert source is not None
            close(host.program.run(source, [array]), run_graph(graph, [array]), 1e-5)


def test_one_kernel_serves_all_lengths_and_numbers() -> None:
    found = set()
    for shape, number in (((3, 4), 0.3), ((100, 7), 0.7), ((2, 3, 5), 0.9)):
        b = Build()
        found.add(source_of(b.graph(softmax(b, b.multiply(b.input(shape), number)))).text)
    assert len(found) == 1


def test_many_elements_take_positions_of_64_bits() -> None:
    for side, index in ((1 << 10, "int"), (1 << 20, "long long")):
        b = Build()
        x = b.input((side, 1 << 12))
        assert f"{index} column" in source_of(b.graph(softmax(b, x))).kernels


@given(st.integers(1, 1 << 33), st.integers(1, 1 << 24), st.sampled_from(("softmax", "layer norm gradient", "loss")))
def test_launches_are_what_kernels_and_gpus_take(rows: int, columns: int, name: str) -> None:
    assume(rows > 1 and columns > 1)
    source = source_of(typical((rows, columns))[name])
    size = launch(source)
    assert size.threads in (32, 64, 128, 256, 512, 1024) and size.threads % size.team == 0
    assert size.team <= 32 or size.team == size.threads
    assert 1 <= size.across < 1 << 31 and 1 <= size.down < 1 << 16
    # No more is written beside inputs and outputs than they have, or a few megabytes.
    assert size.teams * columns <= max(rows * columns * 2, 1 << 23, 512 * columns)


# Captured functions.


class Cell(nn.Module):
    def __init__(self) -> None:
        self.gates = nn.Linear(8 + 6, 4 * 6)

    def __call__(self, x: Any, h: Any, c: Any) -> Any:
        i, f, o, g = ef.split(self.gates(ef.concat([x, h], axis=1)), 4, axis=1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * ef.tanh(g)
        return nn.sigmoid(o) * ef.tanh(c), c


class Block(nn.Module):
    def __init__(self) -> None:
        self.norm1, self.qkv, self.mix = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
        self.norm2, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 64), nn.Linear(64, 16)

    def __call__(self, x: Any) -> Any:
        parts = self.qkv(self.norm1(x)).reshape(2, 6, 3, 2, 8)
        q, k, v = (parts[:, :, i].swapaxes(1, 2) for i in range(3))
        scores = nn.softmax(q @ k.swapaxes(2, 3) * 8**-0.5 + ef.asarray(np.triu(np.full((6, 6), -1e9), 1)), axis=-1)
        x = x + self.mix((scores @ v).swapaxes(1, 2).reshape(2, 6, 16))
        return x + self.down(nn.gelu(self.up(self.norm2(x)), approximate=True))


def step(model: nn.Module, loss: Any) -> Any:
    """Return a training step with Adam."""
    optimizer = ef.optim.Adam(model, 1e-3)

    def run(*inputs: Any) -> Any:
        with ef.GradientTape() as tape:
            value = loss(model, *inputs)
        optimizer.apply(tape.gradient(value, model.trainable_variables))
        return value

    return run


@cache
def captured() -> dict[str, list[Graph]]:
    """Return the groups of training steps, by what is trained."""
    ef.random.seed(0)

    def made(run: Any, *inputs: Any) -> list[Graph]:
        run = ef.function(run)
        run(*[ef.asarray(x) for x in inputs])
        return groups_of(run.concrete_functions[0].optimized_graph)

    mlp = nn.Sequential(nn.Linear(12, 20), nn.gelu, nn.Linear(20, 5))
    cross_entropy = lambda model, x, y: ef.mean(nn.softmax_cross_entropy(model(x), y))  # noqa: E731
    return {
        "mlp": made(step(mlp, cross_entropy), numbers((7, 12)), np.arange(7) % 5),
        "lstm": made(
            step(Cell(), lambda model, *xs: sum(ef.sum(y * y) for y in model(*xs))),
            *[numbers(s) for s in ((4, 8), (4, 6), (4, 6))],
        ),
        "decoder": made(step(Block(), lambda model, x: ef.mean(model(x) ** 2)), numbers((2, 6, 16))),
    }


@on_host
def test_groups_of_training_steps() -> None:
    groups = captured()
    assert all(len(found) > 1 for found in groups.values())
    host = Host(group for found in groups.values() for group in found)
    for group, source in host.sources.items():
        assert source is not None
        rng = np.random.default_rng(0)
        arrays = [
            rng.uniform(0.1, 1, x.shape).astype(x.dtype)
            if x.dtype.kind == "f"
            else rng.integers(0, 2, x.shape, x.dtype)
            for x in group.inputs
        ]
        tolerance = 1e-5 if any(x.dtype == np.float32 for x in group.outputs) else 1e-12
        close(host.program.run(source, arrays), run_graph(group, arrays), tolerance)


@for_gpus
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_groups_compile_for_gpus(architecture: str) -> None:
    groups = [group for found in captured().values() for group in found]
    groups += [group for shape in ((5, 3), (150, 130)) for group in typical(shape).values()]
    groups += [b for dtype in ("float64",) for b in typical((40, 33), dtype).values()]
    compile_for(architecture, [source_of(group, f"kernel{i}") for i, group in enumerate(groups)])


@for_gpus
@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(st.lists(programs(), min_size=1, max_size=8), st.sampled_from(ARCHITECTURES))
def test_random_groups_compile_for_gpus(cases: list[tuple[Graph, list[np.ndarray]]], architecture: str) -> None:
    groups = [group for graph, _ in cases for group in groups_of(fuse.run(graph))]
    sources = [written(group, f"kernel{i}") for i, group in enumerate(groups)]
    compile_for(architecture, [source for source in sources if source is not None])


# Captured functions on CUDA devices: on a stand-in for CuPy, and on a GPU where there is one.


def attention(q: Any, k: Any, bias: Any) -> Any:
    scores = nn.softmax(q @ k.T * 0.3 + bias, axis=-1)
    return ef.sum(nn.gelu(scores - ef.mean(scores, axis=0)), axis=1), ef.max(scores, axis=0) > 0.5


def on_cuda() -> None:
    """Compare a captured function and its gradient on ``cuda:0`` with eager code on the host."""
    arrays = [numbers((40, 8), 1), numbers((24, 8), 2), numbers((24,), 3)]
    host = [ef.asarray(x) for x in arrays]
    there = [ef.asarray(x, device="cuda:0") for x in arrays]
    run = ef.function(attention)
    made = run(*there)
    assert len(groups_of(run.concrete_functions[0].optimized_graph)) > 0
    assert all(repr(x.device) == "cuda:0" for x in made)
    close([x.numpy() for x in made], [x.numpy() for x in attention(*host)], 1e-5)
    loss = lambda *xs: ef.sum(attention(*xs)[0] ** 2)  # noqa: E731
    gradients = ef.function(ef.grad(loss, argnums=(0, 1, 2)))(*there)
    close([x.numpy() for x in gradients], [x.numpy() for x in ef.grad(loss, argnums=(0, 1, 2))(*host)], 1e-4)


@on_host
def test_captured_functions_on_a_stand_in() -> None:
    pytest.importorskip("scipy", reason="the stand-in for CuPy needs SciPy")
    calls = []

    class RawModule(cuda_on_host.RawModule):
        def __init__(self, code: str, options: tuple[str, ...]) -> None:
            calls.append(options)
            super().__init__(code, options)

    with fake_cupy.pretended() as fake:
        fake.RawModule = RawModule
        fake.cuda.runtime.memGetInfo = lambda: (1 << 30, 1 << 30)
        on_cuda()
    assert calls and set(calls) == {OPTIONS}


@pytest.mark.cuda
def test_captured_functions_on_a_gpu() -> None:
    on_cuda()


@pytest.mark.cuda
def test_scalar_forms_on_a_gpu() -> None:
    import cupy

    cases = [(name, case) for (name, _), case in single_ops().items()]
    for name, (graph, _, inputs, attrs) in [*cases, *short_ops("float16").items()]:
        kernel = cuda.compile(graph)
        assert kernel is not None
        (got,) = kernel.call(*[cupy.asarray(x) for x in inputs if isinstance(x, np.ndarray)])
        as_kernels(SCALAR[name], got.get(), inputs, attrs)


@pytest.mark.cuda
@pytest.mark.parametrize("shape", [*SHAPES, (4096, 1024), (3, 200_000), (200_000, 3)])
def test_typical_groups_on_a_gpu(shape: tuple[int, int]) -> None:
    import cupy

    for name, graph in typical(shape).items():
        kernel = cuda.compile(graph)
        if kernel is None:
            continue
        arrays = [np.abs(numbers(x.shape, i)) + np.float32(0.1) for i, x in enumerate(graph.inputs)]
        exact = run_graph(graph, [x.astype(np.float64) for x in arrays])
        # Every other column of wider arrays: kernels take what is not contiguous.
        given = [cupy.repeat(cupy.asarray(x), 2, axis=-1)[..., ::2] for x in arrays]
        first, second = kernel.call(*given), kernel.call(*given)
        for a, again, b in zip(first, second, exact, strict=True):
            np.testing.assert_allclose(a.get(), b, rtol=1e-5, atol=1e-5 * np.abs(b).max(), err_msg=name)
            np.testing.assert_array_equal(a.get(), again.get())


@pytest.mark.cuda
def test_calls_are_captured_into_cuda_graphs() -> None:
    import cupy

    graph = typical((300, 200))["layer norm gradient"]
    kernel = cuda.compile(graph)
    assert kernel is not None
    given = [cupy.asarray(np.abs(numbers(x.shape, i)) + np.float32(0.1)) for i, x in enumerate(graph.inputs)]
    wanted = [x.get() for x in kernel.call(*given)]
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        made = kernel.call(*given)
        recorded = stream.end_capture()
        recorded.launch()
        stream.synchronize()
    for a, b in zip(made, wanted, strict=True):
        np.testing.assert_array_equal(a.get(), b)
