"""Random graphs compute the same after every pass, bit by bit."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

import eagerflow as ef
from eagerflow.capture.graph import Graph, Value
from eagerflow.capture.passes import optimize
from eagerflow.capture.verifier import verify
from eagerflow.ops import Spec
from graphs import CPU, EXACT, OPS, Builder, bits, run

SHAPES = [(2, 3), (3,), (2, 1), (1, 3), (), (3, 2)]
DTYPES = ["float64", "float32", "int64", "bool"]
# Without sums of floats and products of matrices: the order in which they add up follows the layout in memory,
# which passes may change.
UNARY = ["negative", "positive", "tanh", "square", "identity", "stop_gradient", "conj", "logical_not", "abs", "isnan"]
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "less", "pow"]
NUMBERS = [0, 0.0, -0.0, 1, 1.0, 2, 0.5, -1.0, True]


class Program:
    """A random graph over a dozen operations, with constants, Variables, draws and callbacks."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.f = Builder()
        self.variables = [ef.Variable(np.arange(6.0).reshape(2, 3), name=f"v{i}") for i in range(2)]
        self.generator = ef.random.Generator(5)
        self.log: list[bytes] = []
        self.values = [self.f.parameter(*self.kind()) for _ in range(3)]
        for _ in range(data.draw(st.integers(1, 25), label="steps")):
            self.step(data.draw(st.sampled_from(STEPS), label="step"))

    def kind(self) -> tuple[Any, str]:
        return self.data.draw(st.sampled_from(SHAPES)), self.data.draw(st.sampled_from(DTYPES))

    def array(self, shape: Any, dtype: str) -> np.ndarray:
        seed = self.data.draw(st.integers(0, 5))
        if not seed:
            return np.full(shape, self.data.draw(st.sampled_from([0, 1]))).astype(dtype)
        rng = np.random.default_rng(seed)
        values = rng.integers(-4, 5, shape) / 2
        if dtype.startswith("float"):
            awkward = rng.choice([0.0, -0.0, np.nan, np.inf], shape)
            values = np.where(rng.random(shape) < 0.2, awkward, values)
        return np.asarray(values).astype(dtype)

    def value(self) -> Value:
        return self.data.draw(st.sampled_from(self.values))

    def operand(self) -> Any:
        return self.value() if self.data.draw(st.booleans()) else self.data.draw(st.sampled_from(NUMBERS))

    def step(self, kind: str) -> None:
        f, draw = self.f, self.data.draw
        if kind == "constant":
            self.values.append(f.constant(self.array(*self.kind())))
        elif kind == "read":
            self.values.append(f.read(draw(st.sampled_from(self.variables))))
        elif kind == "assign":
            fitting = [value for value in self.values if value.spec == Spec((2, 3), "float64")]
            if fitting:
                f.assign(draw(st.sampled_from(self.variables)), draw(st.sampled_from(fitting)))
        elif kind == "draw":
            self.values.append(f.draw(self.generator, draw(st.sampled_from(SHAPES))))
        elif kind == "again":
            made = [value for value in self.values if value.node.op.name in OPS and value.node.effects == "none"]
            if made:
                node = draw(st.sampled_from(made)).node
                self.values.append(f.op(node.op.name, *node.inputs, **node.attrs))
        elif kind == "callback":
            f.callback(self.look, self.value())
        else:
            self.operation(kind)

    def look(self, tensor: ef.Tensor) -> tuple[()]:
        self.log += [bits(x.numpy()) for x in (tensor, *self.variables)]
        return ()

    def operation(self, kind: str) -> None:
        draw, x = self.data.draw, self.value()
        inputs: list[Any] = [x]
        name = kind
        attrs: dict[str, Any] = {}
        if kind == "unary":
            name = draw(st.sampled_from(UNARY))
        elif kind == "binary":
            name = draw(st.sampled_from(BINARY))
            inputs = draw(st.permutations([x, self.operand()]))
            if name == "pow" and any(v.dtype.kind != "f" for v in inputs if isinstance(v, Value)):
                return  # integers to negative powers fail
        elif kind == "where":
            inputs = [self.operand(), x, self.operand()]
        elif kind in ("cast", "to_integer", "from_integer"):
            attrs = {"dtype": np.dtype(draw(st.sampled_from(DTYPES)))}
        elif kind == "permute_dims":
            attrs = {"axes": tuple(draw(st.permutations(range(x.spec.ndim))))}
        elif kind == "reshape":
            attrs = {"shape": draw(st.sampled_from([x.shape, x.shape[::-1], (-1,), (1, x.spec.size)]))}
        elif kind == "expand_dims":
            attrs = {"axis": (draw(st.integers(0, x.spec.ndim)),)}
        elif kind == "squeeze":
            attrs = {"axis": tuple(i for i, side in enumerate(x.shape) if side == 1)}
        elif kind == "broadcast_to":
            attrs = {"shape": draw(st.sampled_from([x.shape, (2, 3), (2, *x.shape)]))}
        elif kind == "getitem":
            parts = st.sampled_from([slice(None), slice(1, None), slice(None, None, -1), 0, -1, ...])
            attrs = {"index": tuple(draw(st.lists(parts, max_size=2)))}
        elif kind in ("max", "sum", "any"):
            attrs = {"axis": draw(st.sampled_from([(), tuple(range(x.spec.ndim))])), "keepdims": draw(st.booleans())}
            if kind == "sum" and x.dtype.kind == "f":
                return
        elif kind in ("concat", "stack"):
            inputs = draw(st.sampled_from([[x], [x, x]]))
            attrs = {"axis": 0} | ({"sizes": (*x.shape[:1],) * len(inputs)} if kind == "concat" else {})
        nodes = list(self.f.nodes)
        try:
            made = self.f.op(name, *inputs, **attrs)
            with np.errstate(all="ignore"):
                OPS[name].kernel_for(CPU)(*[zeros(item) for item in inputs], **attrs)
        except Exception:
            self.f.nodes = nodes  # not a valid call
            return
        self.values.append(made)

    def graph(self) -> Graph:
        return self.f.graph(*self.data.draw(st.lists(st.sampled_from(self.values), min_size=1, max_size=9)))


STEPS = [
    "constant", "read", "assign", "draw", "callback", "again", "again", *["unary"] * 3, *["binary"] * 6,
    "where", "cast", "to_integer", "from_integer", "permute_dims", "reshape", "expand_dims", "squeeze", "broadcast_to",
    "getitem", "max", "sum", "any", "concat", "stack",
]  # fmt: skip


def zeros(x: Any) -> Any:
    return np.zeros(x.shape, x.dtype) if isinstance(x, Value) else x


@given(st.data())
def test_random_graphs_stay_the_same(data: st.DataObject) -> None:
    program = Program(data)
    graph = program.graph()
    verify(graph)
    arrays = [program.array(value.shape, value.dtype.name) for value in graph.inputs]
    expected = run(graph, *arrays)
    log = list(program.log)
    # The reference interpreter computes fused nodes as it would compute their parts.
    for chosen in (*[[name] for name in EXACT], EXACT, (*EXACT, *EXACT), (*EXACT, "fuse", "prune")):
        program.log.clear()
        made = optimize(graph, chosen, verify=True)
        assert_same_results(graph, made, arrays, expected)
        assert program.log == log


def assert_same_results(graph: Graph, made: Graph, arrays: Any, expected: list[np.ndarray]) -> None:
    found = run(made, *arrays)
    count = len(graph.outputs)
    assert [bits(x) for x in found[:count]] == [bits(x) for x in expected[:count]]
    now = dict(zip(map(id, made.variables()), found[count:], strict=True))
    for variable, then in zip(graph.variables(), expected[count:], strict=True):
        assert bits(now.get(id(variable), variable.numpy())) == bits(then)
