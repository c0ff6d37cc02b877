"""Fusion: groups of nodes and the kernels that compute them give what the nodes give one by one."""

from __future__ import annotations

import importlib.util
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.capture import kernels
from eagerflow.capture.graph import ASSIGN, FUSED, PARAMETER, Graph, Node, Value
from eagerflow.capture.interpreter import run_graph
from eagerflow.capture.kernels import schedule, threads
from eagerflow.capture.kernels.kernel import LARGE, written
from eagerflow.capture.passes import fuse, lower
from eagerflow.core.dims import Guards, symbol
from eagerflow.core.spec import Spec
from eagerflow.devices import CPU0

OPS = ef.ops.registry()
F4 = np.dtype(np.float32)

compiled = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")


class Build:
    """Makes a graph node by node: every op of the registry is a method."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.inputs: list[Value] = []

    def input(self, shape: tuple[Any, ...], dtype: Any = F4) -> Value:
        node = Node(PARAMETER, (), {"name": f"p{len(self.inputs)}"}, [(Spec(shape, dtype), CPU0)])
        self.nodes.append(node)
        self.inputs.append(node.outputs[0])
        return node.outputs[0]

    def __getattr__(self, name: str) -> Any:
        op = OPS[name]

        def add(*inputs: Any, **attrs: Any) -> Value:
            spec = op.infer(*[x.spec if isinstance(x, Value) else x for x in inputs], **attrs)
            self.nodes.append(Node(op, inputs, attrs, [(spec, CPU0)], line=f"line {len(self.nodes)}"))
            return self.nodes[-1].outputs[0]

        return add

    def rows(self, name: str, x: Value) -> Value:
        """Reduce over the last axis and keep it."""
        value: Value = getattr(self, name)(x, axis=(len(x.shape) - 1,), keepdims=True)
        return value

    def graph(self, *outputs: Value) -> Graph:
        return Graph("f", self.inputs, outputs, self.nodes)


def kernel_of(graph: Graph) -> kernels.Kernel:
    kernel = kernels.compile(graph)
    assert kernel is not None
    return kernel


def computed(graph: Graph, arrays: list[Any]) -> list[np.ndarray]:
    """Run a graph that is one group by its kernel."""
    outputs = [np.empty(x.shape, x.dtype) for x in graph.outputs]
    kernel_of(graph).call(*arrays, *outputs)
    return outputs


def interpreted(graph: Graph) -> kernels.Kernel | None:
    """Return the kernel of a group with Python in place of Numba, to test its text without compiling it."""
    source = written(graph)
    if source is None:
        return None
    names = (*DTYPES[1:], "int16", "uint16", "uint32", "uint64", *UNARY, *BINARY)
    scope: dict[str, Any] = {name: getattr(np, name) for name in names}
    scope |= {"greatest": np.maximum, "least": np.minimum, "plus": np.add, "times": np.multiply}
    scope |= {"np": np, "where": np.where, "part": lambda array, low, length: array[low : low + length]}
    exec(source.text[source.text.index("def kernel(") :], scope)
    return kernels.Kernel(source, scope["kernel"])


def run_fused(graph: Graph, arrays: list[Any], compile: Any = kernels.compile) -> list[Any]:
    """Run a graph with fused nodes: these by their kernels, the others one by one."""
    found: dict[Value, Any] = dict(zip(graph.inputs, arrays, strict=True))
    for node in graph.nodes:
        if node.op is PARAMETER:
            continue
        inputs = [found[x] if isinstance(x, Value) else x for x in node.inputs]
        if node.op is FUSED:
            kernel = compile(node.attrs["graph"])
            results = [np.empty(x.shape, x.dtype) for x in node.outputs]
            if kernel is None:
                results = run_graph(node.attrs["graph"], inputs)
            else:
                kernel.call(*inputs, *results)
        else:
            results = [np.asarray(node.op.kernel_for(CPU0)(*inputs, **node.attrs))]
        found.update(zip(node.outputs, results, strict=True))
    return [found[x] for x in graph.outputs]


def same(made: list[Any], wanted: list[Any]) -> None:
    for a, b in zip(made, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(a, b)


def close(made: list[Any], wanted: list[Any], tolerance: float = 2e-6) -> None:
    for a, b in zip(made, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        size = float(np.abs(b[np.isfinite(b)]).max(initial=0))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * size)


def fused_nodes(graph: Graph) -> list[list[str]]:
    """Return the names of the ops in each group."""
    return [
        [node.op.name for node in item.attrs["graph"].nodes if node.op is not PARAMETER]
        for item in graph.nodes
        if item.op is FUSED
    ]


def numbers(shape: tuple[int, ...], seed: int = 0, dtype: Any = F4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# Random programs. Their numbers are small integers, so that sums are exact in whatever order they are added up.

DTYPES = ("bool", "int8", "uint8", "int32", "int64", "float32", "float64")
UNARY = ("negative", "abs", "square", "sign", "logical_not", "isfinite", "floor")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "less", "equal", "logical_and")
REDUCE = ("sum", "max", "min", "any", "all", "mean", "prod", "count_nonzero")


@st.composite
def programs(draw: st.DrawFn) -> tuple[Graph, list[np.ndarray]]:
    b = Build()
    full = tuple(draw(st.lists(st.sampled_from((1, 2, 3, 5, 8)), min_size=1, max_size=3)))
    arrays = []
    for _ in range(draw(st.integers(1, 3))):
        shape = full[draw(st.integers(0, len(full))) :] if draw(st.booleans()) else full
        shape = tuple(1 if draw(st.integers(0, 4)) == 0 else side for side in shape)
        dtype = np.dtype(draw(st.sampled_from(DTYPES)))
        x = np.random.default_rng(draw(st.integers(0, 99))).integers(-3 if dtype.kind in "if" else 0, 4, shape)
        x = x.astype(dtype)
        if dtype.kind == "f" and draw(st.integers(0, 3)) == 0:
            x.flat[0] = draw(st.sampled_from((np.nan, np.inf, -np.inf, -0.0)))
        arrays.append(x)
        b.input(x.shape, x.dtype)
    values = list(b.inputs)
    for _ in range(draw(st.integers(1, 9))):
        values.append(_step(draw, b, values, full))
    outputs = draw(st.lists(st.sampled_from(values[len(arrays) :]), min_size=1, max_size=3, unique=True))
    if values[-1] not in outputs:
        outputs.append(values[-1])
    return b.graph(*outputs), arrays


def _step(draw: st.DrawFn, b: Build, values: list[Value], full: tuple[int, ...]) -> Value:
    x = draw(st.sampled_from(values))
    choice = draw(st.integers(0, 9))
    try:
        if choice == 0 and x.shape:
            n = len(x.shape)
            axes = draw(st.sampled_from([tuple(range(n)), (n - 1,), (0,), tuple(range(n - 1))]))
            return getattr(b, draw(st.sampled_from(REDUCE)))(x, axis=axes, keepdims=draw(st.booleans()))
        if choice == 1 and len(x.shape) < 4:
            return b.expand_dims(x, axis=(draw(st.integers(0, len(x.shape))),))
        if choice == 2:
            return b.broadcast_to(x, shape=np.broadcast_shapes(x.shape, full))
        if choice == 3:
            return getattr(b, draw(st.sampled_from(UNARY)))(x)
        if choice == 4:
            return b.where(draw(st.sampled_from(values)), x, draw(st.sampled_from([*values, 0, 1.0])))
        y = draw(st.sampled_from([*values, 2, 0.5, True]))
        made = getattr(b, draw(st.sampled_from(BINARY)))(x, y)
        if made.node.op.name == "multiply" and made.dtype.kind == "f":
            made = b.minimum(b.maximum(made, -8.0), 8.0)
        return made
    except (TypeError, ValueError):  # shapes that do not broadcast, booleans that have no difference
        return b.positive(x) if x.dtype.kind != "b" else b.logical_not(x)


@given(programs(), st.sampled_from((0.0, schedule.CHEAP, 1e9)))
def test_random_programs(program: tuple[Graph, list[np.ndarray]], cheap: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "CHEAP", cheap)  # what later passes need is kept, or all is computed again
        _same_when_fused(interpreted, program)


@compiled
@settings(max_examples=10)
@given(programs())
def test_random_programs_compiled(program: tuple[Graph, list[np.ndarray]]) -> None:
    _same_when_fused(kernels.compile, program)


def _same_when_fused(compile: Any, program: tuple[Graph, list[np.ndarray]]) -> None:
    graph, arrays = program
    with np.errstate(all="ignore"):
        try:
            wanted = run_graph(graph, arrays)
        except (TypeError, OverflowError, ef.errors.EagerflowError):
            assume(False)
        fused = fuse.run(graph)
        same(run_graph(fused, arrays), wanted)
        made = run_fused(fused, arrays, compile)
    if any(node.op.name == "mean" for node in graph.nodes):
        close(made, wanted, 1e-5)
    else:
        same(made, wanted)


# Typical groups, by their kernels.


def softmax(b: Build, x: Value) -> Value:
    e = b.exp(b.subtract(x, b.rows("max", x)))
    return b.divide(e, b.rows("sum", e))


def layer_norm(b: Build, x: Value, weight: Value, bias: Value) -> tuple[Value, ...]:
    mean = b.rows("mean", x)
    centred = b.subtract(x, mean)
    root = b.sqrt(b.add(b.rows("mean", b.square(centred)), 1e-5))
    value = b.divide(centred, root)
    return b.add(b.multiply(value, weight), bias), value, root


def layer_norm_gradient(b: Build, g: Value, value: Value, root: Value, weight: Value) -> tuple[Value, ...]:
    scaled = b.multiply(g, weight)
    along = b.rows("mean", b.multiply(scaled, value))
    left = b.subtract(b.subtract(scaled, b.multiply(value, along)), b.rows("mean", scaled))
    weights = b.sum(b.multiply(g, value), axis=(0,), keepdims=False)
    return b.divide(left, root), weights, b.sum(g, axis=(0,), keepdims=False)


def adam(b: Build, w: Value, g: Value, m: Value, v: Value) -> tuple[Value, ...]:
    mean = b.add(b.multiply(m, 0.9), b.multiply(g, 0.1))
    square = b.add(b.multiply(v, 0.999), b.multiply(b.multiply(g, g), 0.001))
    step = b.multiply(b.divide(mean, b.add(b.sqrt(square), 1e-8)), 0.01)
    return b.subtract(w, step), mean, square


@compiled
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (33, 129), (300, 2000)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax(shape: tuple[int, int], dtype: str) -> None:
    b = Build()
    x = b.input(shape, np.dtype(dtype))
    graph, arrays = b.graph(softmax(b, x)), [numbers(shape, 1, dtype)]
    close(run_fused(graph, arrays), run_graph(graph, arrays))
    if min(shape) > 1:
        close(computed(graph, arrays), run_graph(graph, arrays), 2e-6 if dtype == "float32" else 1e-14)


@compiled
@pytest.mark.parametrize("rows", [3, 700])
def test_layer_norm_and_its_gradient(rows: int) -> None:
    shape = (rows, 513)
    b = Build()
    out = layer_norm(b, b.input(shape), b.input((513,)), b.input((513,)))
    graph, arrays = b.graph(*out), [numbers(shape, 1), numbers((513,), 2), numbers((513,), 3)]
    made = computed(graph, arrays)
    close(made, run_graph(graph, arrays))
    b = Build()
    graph = b.graph(*layer_norm_gradient(b, *[b.input(s) for s in (shape, shape, (rows, 1), (513,))]))
    arrays = [numbers(shape, 4), made[1], made[2], arrays[1]]
    close(computed(graph, arrays), run_graph(graph, arrays), 1e-5)


@compiled
def test_costly_values_are_kept_between_passes_over_a_row() -> None:
    b = Build()
    x = b.input((40, 50))
    e = b.exp(x)
    half = b.divide(e, b.rows("sum", e))
    graph = b.graph(b.tanh(half))
    source = kernel_of(graph).source
    assert source.count("exp(") == 1
    assert "np.empty(columns" in source
    close(computed(graph, [numbers((40, 50))]), run_graph(graph, [numbers((40, 50))]))


@compiled
def test_an_optimizer_step_is_bitwise_numpy() -> None:
    b = Build()
    graph = b.graph(*adam(b, *[b.input((37, 11)) for _ in range(4)]))
    arrays = [numbers((37, 11), i) for i in range(3)] + [numbers((37, 11), 3) ** 2]
    same(computed(graph, arrays), run_graph(graph, arrays))


@compiled
@pytest.mark.parametrize("kind", ["sum", "mean", "max", "min", "prod"])
@pytest.mark.parametrize("axis", [(0,), (1,), (0, 1)])
def test_large_reductions_in_parts(kind: str, axis: tuple[int, ...]) -> None:
    shape = (1024, 700)
    b = Build()
    x = b.multiply(b.input(shape), b.input(shape))
    graph = b.graph(getattr(b, kind)(b.add(x, 1.0), axis=axis, keepdims=False))
    arrays = [numbers(shape, 1) * 1e-3, numbers(shape, 2)]
    exact = run_graph(graph, [x.astype(np.float64) for x in arrays])
    made, wanted = computed(graph, arrays)[0], run_graph(graph, arrays)[0]
    # Hardly further off than NumPy's own; products have no better order than another.
    worst = 4 * max(float(np.abs(wanted - exact[0]).max()), float(np.spacing(np.abs(wanted)).max()))
    if kind == "prod":
        worst = 4e-7 * (x.spec.size // wanted.size) ** 0.5 * float(np.abs(exact[0]).max())
    assert np.abs(made - exact[0]).max() <= worst
    threads.set_num_threads(3)
    try:
        same([computed(graph, arrays)[0]], [computed(graph, arrays)[0]])
        assert np.abs(computed(graph, arrays)[0] - exact[0]).max() <= worst
    finally:
        threads.set_num_threads(None)


@compiled
def test_long_sums_are_as_accurate_as_pairwise_ones() -> None:
    n = 3_000_000
    b = Build()
    graph = b.graph(b.sum(b.positive(b.abs(b.input((n,)))), axis=(0,), keepdims=False))
    x = numbers((n,))
    exact = np.abs(x).sum(dtype=np.float64)
    assert abs(computed(graph, [x])[0] - exact) <= 4 * np.spacing(np.float32(exact))


@compiled
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_through_reductions(special: float) -> None:
    b = Build()
    x = b.negative(b.negative(b.input((6, 40))))
    graph = b.graph(*[b.rows(name, x) for name in ("sum", "max", "min", "mean", "prod")])
    arrays = [numbers((6, 40))]
    arrays[0][2, 17] = special
    arrays[0][4, 3:5] = special, -special
    with np.errstate(invalid="ignore"):
        close(computed(graph, arrays), run_graph(graph, arrays))


@compiled
def test_inputs_that_repeat_every_few_rows() -> None:
    b = Build()
    x, mask, scale = b.input((3, 4, 5, 6)), b.input((5, 6)), b.input((4, 1, 1))
    y = b.multiply(b.add(x, mask), scale)
    graph = b.graph(b.divide(y, b.rows("sum", y)))
    arrays = [numbers((3, 4, 5, 6), 1), numbers((5, 6), 2), numbers((4, 1, 1), 3)]
    close(computed(graph, arrays), run_graph(graph, arrays), 1e-5)
    assert "% count1" in kernel_of(graph).source


@compiled
def test_one_kernel_serves_all_lengths_and_numbers() -> None:
    found = set()
    for shape, number in (((3, 4), 0.3), ((100, 7), 0.7), ((2, 3, 5), 0.9)):
        b = Build()
        x = b.input(shape)
        found.add(kernel_of(b.graph(softmax(b, b.multiply(x, number)))).function)
    assert len(found) == 1


@compiled
def test_inputs_need_not_be_contiguous_or_writable() -> None:
    b = Build()
    x, y = b.input((6, 7)), b.input((6, 7))
    graph = b.graph(softmax(b, b.multiply(x, y)))
    a = numbers((7, 6)).T
    fixed = np.broadcast_to(np.float32(2.0), (6, 7))
    frozen = numbers((6, 7))
    frozen.flags.writeable = False
    for arrays in ([a, fixed], [frozen, a], [numbers((12, 14))[::2, ::2], frozen]):
        close(computed(graph, arrays), run_graph(graph, arrays))


@compiled
@settings(max_examples=10)
@given(programs(), st.randoms(use_true_random=False))
def test_outputs_may_overwrite_inputs_compiled(program: tuple[Graph, list[np.ndarray]], random: Any) -> None:
    _overwrite(kernels.compile, program, random)


@given(programs(), st.randoms(use_true_random=False))
def test_outputs_may_overwrite_inputs(program: tuple[Graph, list[np.ndarray]], random: Any) -> None:
    _overwrite(interpreted, program, random)


def _overwrite(compile: Any, program: tuple[Graph, list[np.ndarray]], random: Any) -> None:
    graph, _ = program
    with np.errstate(all="ignore"):
        for node in fuse.run(graph).nodes:
            kernel = compile(node.attrs["graph"]) if node.op is FUSED else None
            if kernel is None or not any(kernel.may_overwrite):
                continue
            inputs = [_of_small_integers(x) for x in node.inputs]
            wanted = [np.empty(x.shape, x.dtype) for x in node.outputs]
            kernel.call(*inputs, *wanted)
            outputs: list[np.ndarray] = []
            taken: set[int] = set()
            for x, allowed in zip(node.outputs, kernel.may_overwrite, strict=True):
                free = sorted(allowed - taken)
                if free:
                    chosen = random.choice(free)
                    taken.add(chosen)
                    outputs.append(inputs[chosen].view(x.dtype).reshape(x.shape))
                else:
                    outputs.append(np.empty(x.shape, x.dtype))
            kernel.call(*inputs, *outputs)
            same(outputs, wanted)


def _of_small_integers(x: Value) -> np.ndarray:
    found = np.random.default_rng(x.index).integers(0, 3, x.shape)
    return np.ascontiguousarray(found.astype(x.dtype))


@compiled
def test_what_the_compiler_finds_to_be_constant_overwrites_nothing_that_is_read() -> None:
    b = Build()
    x, y = b.input((64,), np.dtype(bool)), b.input((), np.dtype(bool))
    constant = b.less(b.logical_or(x, y), y)
    assert not any(0 in allowed for allowed in kernel_of(b.graph(constant, b.logical_not(x))).may_overwrite)
    b = Build()
    assert all(kernel_of(b.graph(*adam(b, *[b.input((9,)) for _ in range(4)]))).may_overwrite)


def test_values_that_are_used_twice_over_and_over() -> None:
    b = Build()
    x = y = b.input((8, 8))
    for _ in range(40):
        y = b.multiply(y, y)
    total = b.rows("sum", y)
    for _ in range(40):
        y = b.add(y, y)
    source = written(b.graph(b.multiply(y, total), b.add(x, 1.0)))
    assert source is not None
    assert source.text.count(" * ") < 100


# What becomes a group.


def test_groups_are_as_large_as_can_be_and_leave_the_rest_alone() -> None:
    b = Build()
    x, w, bias = b.input((64, 32)), b.input((32, 16)), b.input((16,))
    before = b.tanh(b.add(x, 1.0))
    after = b.maximum(b.add(b.matmul(before, w), bias), 0.0)
    graph = fuse.run(b.graph(after, b.sum(after, axis=(0,), keepdims=False)))
    assert fused_nodes(graph) == [["add", "tanh"], ["add", "maximum", "sum"]]
    arrays = [numbers((64, 32), 1), numbers((32, 16), 2), numbers((16,), 3)]
    close(run_graph(graph, arrays), run_graph(b.graph(after, b.sum(after, axis=(0,), keepdims=False)), arrays))


def test_a_lone_cheap_node_is_left_to_numpy() -> None:
    for name, groups in (("add", []), ("tanh", [["tanh"]])):
        b = Build()
        x = b.input((64, 32))
        assert fused_nodes(fuse.run(b.graph(getattr(b, name)(*[x] * len(OPS[name].inputs))))) == groups


def test_no_path_leaves_a_group_and_comes_back() -> None:
    b = Build()
    x = b.input((8, 8))
    first = b.exp(b.add(x, 1.0))
    product = b.matmul(first, x)  # needs the first group, and the last node needs it
    last = b.add(b.multiply(first, 2.0), product)
    graph = fuse.run(b.graph(b.negative(last)))
    assert sorted(map(len, fused_nodes(graph))) == [2, 2] or sorted(map(len, fused_nodes(graph))) == [2, 3]
    same(run_graph(graph, [numbers((8, 8))]), run_graph(b.graph(b.negative(last)), [numbers((8, 8))]))


def test_what_only_shares_an_input_is_read_once() -> None:
    b = Build()
    x = b.input((64, 32))
    y, z = b.exp(b.multiply(x, 2.0)), b.sum(b.abs(x), axis=(0,), keepdims=False)
    assert fused_nodes(fuse.run(b.graph(y, z))) == [["multiply", "exp", "abs", "sum"]]


def test_a_broadcast_for_several_groups_is_not_written_out() -> None:
    b = Build()
    g, x, y = b.input((1, 4)), b.input((64, 4)), b.input((64, 4))
    wide = b.spread(g, to=(64, 4), axis=(0,))
    one = b.matmul(b.exp(b.multiply(wide, x)), b.input((4, 4)))
    graph = b.graph(b.exp(b.multiply(wide, b.add(one, y))))
    assert fused_nodes(fuse.run(graph)) == [["spread", "multiply", "exp"], ["add", "spread", "multiply", "exp"]] or (
        fused_nodes(fuse.run(graph)) == [["spread", "multiply", "exp"], ["spread", "add", "multiply", "exp"]]
    )
    arrays = [numbers(v.shape, i) for i, v in enumerate(graph.inputs)]
    close(run_graph(fuse.run(graph), arrays), run_graph(graph, arrays))


def test_effects_and_what_waits_for_them_are_left_alone() -> None:
    v = ef.Variable([1.0, 2.0])
    b = Build()
    x = b.input((2,), np.dtype(np.float64))
    y = b.exp(b.add(x, 1.0))
    assign = Node(ASSIGN, (y,), {"variable": v}, ())
    b.nodes.append(assign)
    waits = Node(OPS["exp"], (x,), {}, [(x.spec, CPU0)], (assign,))
    b.nodes.append(waits)
    graph = fuse.run(b.graph(b.negative(b.exp(waits.outputs[0]))))
    kept = next(node for node in graph.nodes if node.op is ASSIGN)
    assert [node.op.name for node in graph.nodes] == ["parameter", "fused", "assign_variable", "exp", "fused"]
    assert graph.nodes[3].control == (kept,)


def test_symbolic_lengths() -> None:
    n = symbol("N", 16, Guards())
    b = Build()
    x = b.input((n, 32))
    graph = fuse.run(b.graph(b.add(softmax(b, x), b.input((32,)))))
    assert fused_nodes(graph) == [["max", "subtract", "exp", "sum", "divide", "add"]]
    assert not list(n.guards)


def test_complex_and_low_precision_are_left_alone() -> None:
    for dtype in ("complex64", "float16"):
        b = Build()
        x = b.input((4, 4), np.dtype(dtype))
        assert not fused_nodes(fuse.run(b.graph(b.exp(b.add(x, x)))))


def test_without_numba_nodes_run_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eagerflow.capture.kernels.kernel.available", lambda: False)
    b = Build()
    graph = fuse.run(b.graph(softmax(b, b.input((4, 5)))))
    (node,) = [node for node in graph.nodes if node.op is FUSED]
    assert kernels.compile(node.attrs["graph"]) is None
    arrays = [numbers((4, 5))]
    close(run_graph(graph, arrays), [np.exp(arrays[0]) / np.exp(arrays[0]).sum(1, keepdims=True)])


# Threads and many at once.


@compiled
def test_large_work_in_parts_is_bitwise_the_same() -> None:
    shape = (512, 1024)
    assert shape[0] * shape[1] > LARGE / 8
    b = Build()
    x = b.input(shape)
    graph = b.graph(softmax(b, b.multiply(x, 0.5)), b.tanh(x))
    arrays = [numbers(shape)]
    try:
        threads.set_num_threads(1)
        alone = computed(graph, arrays)
        threads.set_num_threads(4)
        same(computed(graph, arrays), alone)
    finally:
        threads.set_num_threads(None)


@compiled
def test_two_threads_at_once() -> None:
    b = Build()
    x = b.input((256, 512))
    e = b.exp(x)
    graph = b.graph(b.tanh(b.divide(e, b.rows("sum", e))), b.sum(e, axis=(0,), keepdims=False))
    inputs = [[numbers((256, 512), i)] for i in range(4)]
    wanted = [computed(graph, arrays) for arrays in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            made = computed(graph, inputs[i])
            if not all(np.array_equal(a, c) for a, c in zip(made, wanted[i], strict=True)):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@compiled
def test_one_update_of_many_parameters() -> None:
    shapes = [(3,), (700, 300), (5, 5, 5), (), (4000,), (1, 1), (513, 1000)]
    made, wanted, arguments, found = [], [], [], []
    for i, shape in enumerate(shapes):
        b = Build()
        graph = b.graph(*adam(b, *[b.input(shape) for _ in range(4)]))
        arrays = [np.abs(numbers(shape, 4 * i + j)) for j in range(4)]
        wanted.append(run_graph(graph, arrays))
        made.append([np.empty(shape, F4) for _ in range(3)])
        arguments.append((*arrays, *made[-1]))
        found.append(kernel_of(graph))
    assert len({kernel.function for kernel in found}) == 1
    kernels.batched(found)(arguments)
    for a, c in zip(made, wanted, strict=True):
        same(a, c)
    for outputs in made:
        for x in outputs:
            x[...] = 0
    found[0].call_many(arguments)
    for a, c in zip(made, wanted, strict=True):
        same(a, c)


# Lowering.


def _lowerable(b: Build, name: str, shape: tuple[Any, ...], axis: tuple[int, ...]) -> Value:
    value: Value = getattr(b, name)(b.input(shape), axis=axis)
    return value


@compiled
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_what_is_lowered_becomes_one_kernel_with_its_neighbours(name: str) -> None:
    b = Build()
    x, bias = b.input((6, 50)), b.input((50,))
    graph = b.graph(b.multiply(getattr(b, name)(b.add(x, bias), axis=(1,)), 2.0))
    made = fuse.run(lower.run(graph))
    assert [node.op.name for node in made.nodes] == ["parameter", "parameter", "fused"]
    arrays = [numbers((6, 50), 1), numbers((50,), 2)]
    close(run_graph(made, arrays), run_graph(graph, arrays))
    close(run_fused(made, arrays), run_graph(graph, arrays))
    assert {node.line for node in lower.run(graph).nodes if node.op.name == "exp"} == {"line 3"}


@compiled
def test_a_normalization_and_its_gradient_are_lowered() -> None:
    n = symbol("N", 8, Guards())
    for shape in ((8, 64), (n, 64)):
        b = Build()
        x, g = b.input(shape), b.input(shape)
        op = OPS["standardize"]
        specs = op.infer(x.spec, axis=(1,), eps=1e-5)
        b.nodes.append(Node(op, (x,), {"axis": (1,), "eps": 1e-5}, [(spec, CPU0) for spec in specs]))
        value, _, variance = b.nodes[-1].outputs
        graph = b.graph(value, b.standardize_gradient(g, value, variance, axis=(1,), eps=1e-5))
        made = fuse.run(lower.run(graph))
        assert [node.op.name for node in made.nodes] == ["parameter", "parameter", "fused"]
        arrays = [numbers((8, 64), 1), numbers((8, 64), 2)]
        close(run_graph(made, arrays), run_graph(graph, arrays), 1e-5)


@compiled
def test_what_would_not_be_one_kernel_is_not_lowered() -> None:
    b = Build()
    graph = b.graph(_lowerable(b, "softmax", (3, 4, 5), (1,)))
    assert [node.op.name for node in lower.run(graph).nodes] == ["parameter", "softmax"]


def test_nothing_is_lowered_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lower, "available", lambda: False)
    b = Build()
    graph = b.graph(_lowerable(b, "softmax", (3, 4), (1,)))
    assert lower.run(graph) is graph
