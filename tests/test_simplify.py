"""Simplification: each rule where it has to apply and where it must not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.capture.graph import Graph
from eagerflow.capture.passes import optimize
from eagerflow.core.dims import Guards, symbol
from eagerflow.ops import Spec
from graphs import OPS, Builder, after, names

# What rules of arithmetic have to think of.
AWKWARD = np.array([[0.0, -0.0, np.nan], [np.inf, -np.inf, 2.5]])


def arithmetic(name: str, other: Any, dtype: Any = "float64", swap: bool = False) -> tuple[Graph, Any]:
    f = Builder()
    x = f.parameter((2, 3), dtype)
    y = f.constant(other) if isinstance(other, np.ndarray) else other
    made = f.op(name, y, x) if swap else f.op(name, x, y)
    with np.errstate(invalid="ignore"):
        return f.graph(f.op("positive", made)), AWKWARD.astype(dtype)


@pytest.mark.parametrize(
    ("name", "other", "dtype", "swap"),
    [
        ("multiply", 1, "float64", False),
        ("multiply", 1.0, "float32", True),
        ("multiply", 1, "int64", True),
        ("multiply", True, "float64", False),
        ("multiply", np.ones((2, 3)), "float64", False),
        ("multiply", np.ones(3), "float64", True),
        ("divide", 1, "float64", False),
        ("divide", np.asarray(1.0), "float64", False),
        ("subtract", 0, "float64", False),
        ("subtract", 0.0, "float32", False),
        ("subtract", 0, "int64", False),
        ("add", -0.0, "float64", False),
        ("add", -0.0, "float64", True),
        ("add", 0, "int64", True),
        ("pow", 1, "float32", False),
        ("pow", 1, "int64", False),
    ],
)
def test_numbers_that_change_nothing_go(name: str, other: Any, dtype: str, swap: bool) -> None:
    graph, x = arithmetic(name, other, dtype, swap)
    assert after(graph, "simplify", "prune", arrays=[x]) == []


@pytest.mark.parametrize(
    ("name", "other", "dtype", "swap"),
    [
        ("add", 0, "float64", False),  # -0.0 + 0 is 0.0
        ("add", 0.0, "float64", True),
        ("subtract", -0.0, "float64", False),
        ("subtract", 0, "float64", True),
        ("divide", 1, "float64", True),
        ("divide", 1, "int64", False),  # gives floats
        ("multiply", 1.0, "int64", False),
        ("multiply", 1, "complex128", False),  # inf * (1 + 0j) has a NaN in it
        ("multiply", 1j, "complex128", False),
        ("multiply", 2, "float64", False),
        ("multiply", np.float64([1, 1, 2]), "float64", False),
        ("multiply", np.ones((5, 2, 3)), "float64", False),  # another shape
        ("multiply", np.ones(3), "float32", False),  # another dtype
        ("subtract", np.array([0.0, -0.0, 0.0]), "float64", False),
        ("pow", 0, "float64", False),
        ("pow", 3, "float64", False),
        ("pow", 2, "int64", False),
        ("pow", np.asarray(2.0), "float64", False),
    ],
)
def test_other_numbers_stay(name: str, other: Any, dtype: str, swap: bool) -> None:
    graph, x = arithmetic(name, other, dtype, swap)
    with np.errstate(invalid="ignore"):
        assert name in after(graph, "simplify", "prune", arrays=[x])


@pytest.mark.parametrize(("exponent", "name"), [(2, "square"), (2.0, "square"), (0.5, "sqrt"), (-1, "reciprocal")])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_powers_become_what_numpy_computes_them_with(exponent: Any, name: str, dtype: str) -> None:
    f = Builder()
    x = f.parameter((500,), dtype)
    graph = f.graph(f.op("pow", x, exponent))
    rng = np.random.default_rng(0)
    values = np.exp(rng.uniform(-8, 8, 500)) * rng.choice([-1, 1], 500)
    values[:5] = [0.0, -0.0, np.nan, np.inf, -np.inf]
    assert after(graph, "simplify", arrays=[values.astype(dtype)]) == [name]


X = np.arange(24.0).reshape(2, 3, 4) - 7.5

# What is left of a chain of operations on X.
CHAINS: dict[str, tuple[Any, list[str]]] = {
    "negative of negative": (lambda f, x: f.op("negative", f.op("negative", x)), []),
    "three negatives": (lambda f, x: f.op("negative", f.op("negative", f.op("negative", x))), ["negative"]),
    "negative of tanh": (lambda f, x: f.op("negative", f.op("tanh", x)), ["tanh", "negative"]),
    "logical_not twice, of floats": (lambda f, x: f.op("logical_not", f.op("logical_not", x)), ["logical_not"] * 2),
    "logical_not twice, of booleans": (
        lambda f, x: f.op("logical_not", f.op("logical_not", f.op("less", x, 1.0))), ["less"],
    ),
    "flip twice": (lambda f, x: f.op("flip", f.op("flip", x, axis=(0,)), axis=(0,)), []),
    "flips of two axes": (lambda f, x: f.op("flip", f.op("flip", x, axis=(0,)), axis=(1,)), ["flip", "flip"]),
    "conj": (lambda f, x: f.op("conj", x), []),
    "real": (lambda f, x: f.op("real", x), []),
    "identities": (lambda f, x: f.op("identity", f.op("stop_gradient", f.op("positive", x))), []),
    "clip to nothing": (lambda f, x: f.op("clip", x, None, None), []),
    "clip": (lambda f, x: f.op("clip", x, None, 1.0), ["clip"]),
    "cast to itself": (lambda f, x: f.op("cast", x, dtype=np.dtype("float64")), []),
    "cast down and up": (
        lambda f, x: f.op("cast", f.op("cast", x, dtype=np.dtype("float32")), dtype=np.dtype("float64")),
        ["cast", "cast"],
    ),
    "cast to integers and back": (
        lambda f, x: f.op("from_integer", f.op("to_integer", x, dtype=np.dtype("int64")), dtype=np.dtype("float64")),
        ["to_integer", "from_integer"],
    ),
    "transpose twice": (
        lambda f, x: f.op("permute_dims", f.op("permute_dims", x, axes=(2, 0, 1)), axes=(1, 2, 0)), [],
    ),
    "transposes compose": (
        lambda f, x: f.op("permute_dims", f.op("permute_dims", x, axes=(2, 0, 1)), axes=(2, 0, 1)), ["permute_dims"],
    ),
    "transpose by nothing": (lambda f, x: f.op("permute_dims", x, axes=(0, 1, 2)), []),
    "reshape to itself": (lambda f, x: f.op("reshape", x, shape=(2, -1, 4)), []),
    "reshapes compose": (lambda f, x: f.op("reshape", f.op("reshape", x, shape=(24,)), shape=(4, 6)), ["reshape"]),
    "reshape and back": (lambda f, x: f.op("reshape", f.op("reshape", x, shape=(24,)), shape=(2, 3, 4)), []),
    "an axis and away": (lambda f, x: f.op("squeeze", f.op("expand_dims", x, axis=(1,)), axis=(1,)), []),
    "axes and a reshape": (
        lambda f, x: f.op("reshape", f.op("expand_dims", f.op("expand_dims", x, axis=(1,)), axis=(0,)), shape=(6, 4)),
        ["reshape"],
    ),
    "reshape of transpose": (
        lambda f, x: f.op("reshape", f.op("permute_dims", x, axes=(2, 1, 0)), shape=(24,)), ["permute_dims", "reshape"],
    ),
    "broadcast to itself": (lambda f, x: f.op("broadcast_to", x, shape=(2, 3, 4)), []),
    "broadcasts compose": (
        lambda f, x: f.op("broadcast_to", f.op("broadcast_to", x, shape=(1, 2, 3, 4)), shape=(5, 2, 3, 4)),
        ["broadcast_to"],
    ),
    "broadcast before add": (
        lambda f, x: f.op("add", f.op("broadcast_to", f.constant(np.arange(4.0)), shape=(2, 3, 4)), x),
        ["constant", "add"],
    ),
    "two broadcasts before add": (
        lambda f, x: f.op(
            "add",
            f.op("broadcast_to", f.constant(np.ones((2, 1))), shape=(2, 4)),
            f.op("broadcast_to", f.constant(np.ones((1, 4))), shape=(2, 4)),
        ),
        ["constant", "constant", "add"],
    ),
    "broadcast that gives the shape": (
        lambda f, x: f.op("add", f.op("broadcast_to", x, shape=(5, 2, 3, 4)), x), ["broadcast_to", "add"],
    ),
    "one of two broadcasts gives the shape": (
        lambda f, x: f.op(
            "add", f.op("broadcast_to", f.constant(1.0), shape=(4,)), f.op("broadcast_to", f.constant(2.0), shape=(4,)),
        ),
        ["constant", "constant", "broadcast_to", "add"],
    ),
    "broadcast before tanh": (
        lambda f, x: f.op("tanh", f.op("broadcast_to", x, shape=(5, 2, 3, 4))), ["broadcast_to", "tanh"],
    ),
    "broadcast before concat": (
        lambda f, x: f.op("concat", f.op("broadcast_to", f.constant(1.0), shape=(2, 3, 4)), x, axis=0, sizes=(2, 2)),
        ["constant", "broadcast_to", "concat"],
    ),
    "where of true": (lambda f, x: f.op("where", f.constant(np.ones((2, 3, 4), bool)), x, f.op("exp", x)), []),
    "where of false": (lambda f, x: f.op("where", f.constant(False), x, f.op("tanh", x)), ["tanh"]),
    "where of a number": (lambda f, x: f.op("where", True, x, f.op("tanh", x)), []),
    "where of both": (lambda f, x: f.op("where", f.constant([True, True, False, True]), x, 0.0), ["constant", "where"]),
    "where of the same": (lambda f, x: f.op("where", f.op("less", x, 0.0), x, x), []),
    "where that broadcasts": (
        lambda f, x: f.op("where", False, x, f.constant([1.0, 2.0, 3.0, 4.0])), ["constant", "broadcast_to"],
    ),
    "where of another dtype": (
        lambda f, x: f.op("where", True, f.constant(np.ones(4, "float32")), x), ["constant", "where"],
    ),
    "where of a weak number": (lambda f, x: f.op("where", True, 1.0, x), ["where"]),
    "concat of one": (lambda f, x: f.op("concat", x, axis=0, sizes=(2,)), []),
    "concat of two": (lambda f, x: f.op("concat", x, x, axis=0, sizes=(2, 2)), ["concat"]),
    "stack of one": (lambda f, x: f.op("stack", x, axis=1), ["expand_dims"]),
    "stack of one, from the end": (lambda f, x: f.op("stack", x, axis=3), ["expand_dims"]),
    "the whole": (lambda f, x: f.op("getitem", x, index=(slice(None), ..., slice(0, 4))), []),
    "the whole with an axis": (lambda f, x: f.op("getitem", x, index=(None, ...)), ["getitem"]),
    "a part of a part": (
        lambda f, x: f.op("getitem", f.op("getitem", x, index=(..., slice(1, None))), index=(0, -1, slice(1, 3))),
        ["getitem"],
    ),
    "backwards twice": (
        lambda f, x: f.op(
            "getitem", f.op("getitem", x, index=(..., slice(None, None, -1))), index=(..., slice(None, None, -2))
        ),
        ["getitem"],
    ),
    "backwards to the start": (
        lambda f, x: f.op(
            "getitem", f.op("getitem", x, index=(..., slice(None, 2))), index=(..., slice(None, None, -1))
        ),
        ["getitem"],
    ),
    "nothing of a part": (
        lambda f, x: f.op("getitem", f.op("getitem", x, index=(slice(1, None),)), index=(slice(5, None),)), ["getitem"],
    ),
    "one of one": (lambda f, x: f.op("getitem", f.op("getitem", x, index=(1,)), index=(2, slice(None))), ["getitem"]),
    "a part of a part with a new axis": (
        lambda f, x: f.op("getitem", f.op("getitem", x, index=(slice(1, None),)), index=(None, 0)),
        ["getitem", "getitem"],
    ),
    "sum over nothing": (lambda f, x: f.op("sum", x, axis=(), keepdims=False), ["sum"]),  # of -0.0 it is 0.0
    "max over nothing": (lambda f, x: f.op("max", x, axis=(), keepdims=False), []),
    "max over an axis": (lambda f, x: f.op("max", x, axis=(1,), keepdims=False), ["max"]),
    "sum of integers over nothing": (
        lambda f, x: f.op("sum", f.op("to_integer", x, dtype=np.dtype("int64")), axis=(), keepdims=False),
        ["to_integer"],
    ),
    "sum of small integers over nothing": (  # they become wider
        lambda f, x: f.op("sum", f.op("to_integer", x, dtype=np.dtype("int8")), axis=(), keepdims=False),
        ["to_integer", "sum"],
    ),
    "product of transposes": (
        lambda f, x: f.op("permute_dims", f.op("matmul", x, f.op("permute_dims", x, axes=(0, 2, 1))), axes=(0, 2, 1)),
        ["permute_dims", "matmul", "permute_dims"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("chain", CHAINS)
def test_chains(chain: str) -> None:
    make, left = CHAINS[chain]
    f = Builder()
    x = f.parameter((2, 3, 4))
    graph = f.graph(make(f, x))
    assert after(graph, "simplify", "prune", arrays=[X]) == left


@pytest.mark.parametrize(
    ("narrow", "wide", "goes"),
    [
        ("float32", "float64", True),
        ("float16", "float32", True),
        ("bfloat16", "float32", True),
        ("int8", "int32", True),
        ("complex64", "complex128", True),
        ("float64", "float32", False),
        ("float16", "bfloat16", False),
        ("int32", "int8", False),
        ("int8", "uint16", False),
    ],
)
def test_casts_there_and_back(narrow: str, wide: str, goes: bool) -> None:
    f = Builder()
    dtypes = [np.dtype(getattr(ef, name)) for name in (narrow, wide)]
    x = f.parameter((40,), dtypes[0])
    ops = ["to_integer" if np.issubdtype(dtype, np.integer) else "cast" for dtype in dtypes]
    graph = f.graph(f.op(ops[0], f.op(ops[1], x, dtype=dtypes[1]), dtype=dtypes[0]))
    values = np.random.default_rng(0).normal(0, 50, 40).astype(dtypes[0])
    assert after(graph, "simplify", "prune", arrays=[values]) == ([] if goes else [ops[1], ops[0]])


def test_symbolic_lengths_are_compared_without_a_guard() -> None:
    guards = Guards()
    n, m = symbol("N", 3, guards), symbol("M", 3, guards)
    f = Builder()
    x, bias, other = f.parameter((n, 4)), f.parameter((4,), name="b"), f.parameter((m, 4), name="o")
    kept = f.node(OPS["broadcast_to"], (other,), {"shape": (n, 4)}, [Spec((n, 4), "float64")])
    results = [
        f.node(OPS["add"], (x, f.op("broadcast_to", bias, shape=(n, 4))), {}, [x.spec]),
        f.node(OPS["add"], (f.op("broadcast_to", bias, shape=(n, 4)), 1.0), {}, [x.spec]),
        f.op("reshape", f.op("reshape", x, shape=(4 * n,)), shape=(n, 4)),
        f.op("getitem", f.op("getitem", x, index=(slice(None), slice(1, 3))), index=(slice(None), 0)),
        kept,
    ]
    made = optimize(f.graph(*results), ["simplify", "cse", "prune"])
    assert names(made) == ["broadcast_to", "broadcast_to", "add", "add", "getitem"]
    assert made.outputs[2] is x
    assert not len(guards)


def test_the_place_of_a_simplified_operation_is_kept() -> None:
    f = Builder()
    x = f.parameter((2, 3))
    y = f.op("permute_dims", f.op("permute_dims", f.op("exp", x), axes=(1, 0)), axes=(1, 0))
    z = f.op("pow", y, 2)
    made = optimize(f.graph(z), ["simplify", "prune"])
    assert made.nodes[-1].op.name == "square" and made.nodes[-1].line == z.node.line
