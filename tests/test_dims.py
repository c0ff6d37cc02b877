"""Symbolic lengths: their algebra, every op's shape rule, and captured functions run with other sizes."""

from __future__ import annotations

import contextlib
import copy
import math
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import optree
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.capture.graph import Graph
from eagerflow.capture.interpreter import run_graph
from eagerflow.capture.tracing.trace import Trace
from eagerflow.core import Draw, Spec, Tensor
from eagerflow.core.dims import Dim, Guards, broadcast_shapes, evaluate, has_dims, symbol, unify
from eagerflow.core.spec import Spec as CoreSpec
from eagerflow.devices import CPU0
from numpy_cases import CASES as NUMPY_CASES
from numpy_cases import PLAIN_RESULTS, Case
from symbolic_cases import CASES, FIRST, SECOND

OPS = sorted(name for name in ef.ops.registry() if not name.startswith("doc_"))

# --- the algebra --------------------------------------------------------------------------------

SIZES = st.fixed_dictionaries({"N": st.integers(2, 40), "M": st.integers(2, 40)})
_TWO = (operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod)

# Expressions as functions of the two symbols, which make a length of lengths and a number of numbers.
EXPRESSIONS: Any = st.recursive(
    st.one_of(
        st.sampled_from([("N",), ("M",)]),
        st.integers(-6, 6).map(lambda k: ("number", k)),
    ),
    lambda inner: st.tuples(st.sampled_from(_TWO), inner, inner),
    max_leaves=7,
)


def build(expression: Any, values: dict[str, Any]) -> Any:
    if expression[0] == "number":
        return expression[1]
    if expression[0] in ("N", "M"):
        return values[expression[0]]
    operation, left, right = expression
    return operation(build(left, values), build(right, values))


def symbols(sizes: dict[str, int]) -> tuple[dict[str, Any], Guards]:
    guards = Guards()
    return {name: symbol(name, size, guards) for name, size in sizes.items()}, guards


@given(EXPRESSIONS, SIZES, SIZES)
def test_expressions_are_what_integers_are(expression: Any, seen: dict[str, int], other: dict[str, int]) -> None:
    names, guards = symbols(seen)
    try:
        expected = build(expression, seen)
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            build(expression, names)
        return
    made = build(expression, names)
    assert type(made) in (int, Dim)
    assert evaluate(made, seen) == expected
    if isinstance(made, Dim):
        assert made.hint == expected
    if not guards.hold(other):  # divided by something that is zero for other sizes
        return
    assert evaluate(made, other) == build(expression, other)


@given(EXPRESSIONS, EXPRESSIONS, SIZES, SIZES)
def test_comparisons_are_right_where_their_guards_hold(a: Any, b: Any, seen: Any, other: Any) -> None:
    names, guards = symbols(seen)
    try:
        left, right = build(a, names), build(b, names)
    except ZeroDivisionError:
        return
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        answer = compare(left, right)
        assert answer is compare(build(a, seen), build(b, seen))
        assert guards.hold(seen)
        if guards.hold(other):
            assert compare(build(a, other), build(b, other)) is answer
    if guards.hold(other) and isinstance(left, Dim) and isinstance(right, Dim) and hash(left) == hash(right):
        assert evaluate(left, other) == evaluate(right, other)


@given(EXPRESSIONS, SIZES)
def test_an_expression_is_written_as_python_reads_it(expression: Any, sizes: dict[str, int]) -> None:
    names, _ = symbols(sizes)
    try:
        made = build(expression, names)
    except ZeroDivisionError:
        return
    assert eval(repr(made), {}, sizes) == evaluate(made, sizes)


def test_equal_expressions_have_one_form() -> None:
    guards = Guards()
    n, m = symbol("N", 8, guards), symbol("M", 6, guards)
    pairs = [
        (n * 4, 4 * n), (n + 1 - 1, n), ((4 * n) // 4, n), ((4 * n + 3) // 4, n), (n * (m + 1), m * n + n),
        ((n - 1) // 2 + 1, (n + 1) // 2), (n // 2 // 2, n // 4), ((n * m + n) // (m + 1), n),
        ((n + m) ** 2 // (n + m), n + m), ((2 * n) // 4, n // 2), ((4 * n + 2) % 4, 2), ((n + 4) % 4, n % 4),
        (-(-2 * n // 2), n),
    ]  # fmt: skip
    for left, right in pairs:
        assert left == right
        assert hash(left) == hash(right)
        assert repr(left) == repr(right)
    assert type(n - n) is int
    assert n - n == 0
    assert not len(guards)
    assert [repr(x) for x in (n, 2 * n + 1, n // 2, 1 - n, n * m, n % 2 * 3, n**2, (n + 1) // 2 - 1)] == [
        "N", "2*N+1", "N//2", "-N+1", "M*N", "3*(N%2)", "N**2", "(N+1)//2-1",
    ]  # fmt: skip


def test_what_every_size_answers_needs_no_guard() -> None:
    guards = Guards()
    n, m = symbol("N", 8, guards), symbol("M", 6, guards)
    assert n > 0 and n >= 2 and n != 1 and n != 0 and bool(n)
    assert not (n < 1 or n == 1 or n - 1 < 1 or n in (0, 1, -1))
    assert n * m > n - 1
    assert n // 2 <= n
    assert n - n // 3 > 0
    assert n % 4 < 4
    assert 2 * n + 1 != 2 * m
    assert n != "N"
    assert n is not None
    assert not len(guards)


def test_an_open_question_leaves_a_guard() -> None:
    guards = Guards()
    n, m = symbol("N", 8, guards), symbol("M", 6, guards)
    assert n != m
    assert n > 5
    assert n > 5
    assert min(n, 3) == 3
    assert [guard.text for guard in guards] == ["N != M", "N > 5", "N > 3"]
    assert guards.hold({"N": 6, "M": 2})
    assert guards.failed({"N": 6, "M": 2}) is None
    assert guards.failed({"N": 4, "M": 2}) == "N > 5"
    assert not guards.hold({"N": 7, "M": 7})
    assert "N != M, at test_dims.py:" in guards.explain()
    assert guards.explain({"N": 4, "M": 2}).startswith("N > 5, at test_dims.py:")


@pytest.mark.parametrize("needs", [
    int, float, range, math.sqrt, np.sqrt, np.arange, np.asarray, np.zeros, lambda n: [0] * n, lambda n: f"{n:d}",
    lambda n: n & 3, lambda n: 1 << n, lambda n: np.array([n, 2]), complex, lambda n: round(n * 0.3),
])  # fmt: skip
def test_what_needs_the_number_gets_it_and_guards_it(needs: Callable[[Any], Any]) -> None:
    guards = Guards()
    made, expected = needs(symbol("N", 8, guards)), needs(8)
    assert str(made) == str(expected)
    assert guards.hold({"N": 8})
    assert not guards.hold({"N": 80})


def test_numbers_made_of_lengths_stay_symbolic() -> None:
    guards = Guards()
    n = symbol("N", 8, guards)
    found = {
        "1 / N": 1 / n, "N * 0.5": n * 0.5, "(N - 1.5) * 2": (n - 1.5) * 2, "N ** -1": n**-1, "N ** 0.5": n**0.5,
        "(1 / N) / (2*N+1)": 1 / n / (2 * n + 1),
    }  # fmt: skip
    assert {text: repr(x) for text, x in found.items()} == {text: text for text in found}
    for text, x in found.items():
        assert evaluate(x, {"N": 5}) == eval(text, {}, {"N": 5})
    assert math.ceil(n / 2) == n - n // 2
    assert math.floor(n / 2) == n // 2
    assert 1 / n == 1 / n
    assert not len(guards)
    assert int(n * 0.5) == 4
    assert guards.hold({"N": 9})
    assert guards.failed({"N": 10}) == "int(N * 0.5) == 4"


def test_numpy_integers_compute_with_lengths() -> None:
    guards = Guards()
    n = symbol("N", 8, guards)
    three = np.int64(3)
    assert three * n == n * three == 3 * n
    assert three + n == n + 3
    assert (n // np.int32(2), np.int64(17) % n) == (n // 2, 17 % n)
    assert not (n == np.int64(1) or n < np.int64(1))
    assert not len(guards)


def test_division_by_zero_is_an_error_and_a_guard_where_it_may_be() -> None:
    guards = Guards()
    n, m = symbol("N", 8, guards), symbol("M", 6, guards)
    with pytest.raises(ZeroDivisionError):
        n // 0
    with pytest.raises(ZeroDivisionError):
        n % (m - 6)
    assert guards.failed({"N": 8, "M": 7}) == "M-6 == 0"
    assert n // (m - 2) == 2
    assert guards.explain({"N": 8, "M": 2}).count("\n") == 2  # also what cannot be asked for these sizes
    with pytest.raises(TypeError):
        n + "1"


def test_lengths_are_copied_as_they_are_and_can_be_pickled() -> None:
    guards = Guards()
    n = symbol("N", 8, guards)
    expression = (n + 1) // 2
    assert copy.deepcopy(expression) is copy.copy(expression) is expression
    _ = n > 5
    again, other = pickle.loads(pickle.dumps((expression, guards)))
    assert repr(again) == repr(expression)
    assert other.failed({"N": 4}) == "N > 5"


def test_symbols_of_two_traces_differ() -> None:
    first, second = symbol("N", 8, Guards()), symbol("N", 8, Guards())
    assert Spec((first,), "float64") != Spec((second,), "float64")
    assert {first: 1, second: 2}[first] == 1


# --- what holds lengths -------------------------------------------------------------------------


def test_evaluate_looks_into_structures() -> None:
    n = symbol("N", 8, Guards())
    value = {"shape": (n, 2), "bounds": [n // 2, None], "index": (slice(1, n), Ellipsis), "spec": Spec((n,), "int8")}
    assert has_dims(value)
    made = evaluate(value, {"N": 6})
    assert made == {
        "shape": (6, 2), "bounds": [3, None], "index": (slice(1, 6), Ellipsis), "spec": Spec((6,), "int8"),
    }  # fmt: skip
    assert not has_dims(made)
    assert evaluate(made, {}) is made
    m = symbol("M", 5, Guards())
    assert evaluate(n // 2 + 1, {"N": 2 * m}) == m + 1  # sizes may be lengths themselves


def test_unify_finds_the_sizes() -> None:
    guards = Guards()
    n, m = symbol("N", 8, guards), symbol("M", 6, guards)
    sizes: dict[str, Any] = {}
    assert unify((n, 3, m, n + m, None), (4, 3, 5, 9, 1), sizes)
    assert sizes == {"N": 4, "M": 5}
    assert not unify((n,), (5,), sizes)
    assert not unify((n,), (4, 4), sizes)
    assert not unify((n, 3), (4, 2), {})
    assert not unify((n + 1,), (4,), {})  # a symbol that no length tells
    assert not unify((n,), (1,), {})  # a length of one broadcasts: the trace does not hold for it
    assert not len(guards)


def test_specs_of_symbolic_shapes() -> None:
    guards = Guards()
    n, m = symbol("N", 8, guards), symbol("M", 8, guards)
    spec = Spec((n, 3), "float32")
    assert (spec.size, spec.nbytes, spec.ndim) == (3 * n, 12 * n, 2)
    assert repr(spec) == "float32[N, 3]"
    assert spec == Spec((n, 3), "float32")
    assert spec != Spec((m, 3), "float32")
    assert spec != Spec((8, 3), "float32")
    assert len({spec, Spec((n + 0, 3), "float32"), Spec((m, 3), "float32")}) == 2
    assert Spec((n, None), "float32").size == n
    assert not len(guards)
    assert CoreSpec is Spec


def test_symbolic_numbers_are_weak_as_pythons_are() -> None:
    n = symbol("N", 8, Guards())
    add, spec = ef.ops.registry()["add"], Spec((n,), "float32")
    assert add.infer(spec, n) == add.infer(spec, 1 / n) == spec
    assert add.infer(Spec((n,), "int8"), n).dtype == np.int8
    assert add.infer(Spec((n,), "int8"), 1 / n).dtype == np.float64
    assert not len(n.guards)


def test_broadcasting() -> None:
    guards = Guards()
    n, m = symbol("N", 8, guards), symbol("M", 6, guards)
    assert broadcast_shapes((n, 1), (m,), ()) == (n, m)
    assert broadcast_shapes((n - 1,), (n - 1,), (1,)) == (n - 1,)
    assert broadcast_shapes((3,), (n, 1)) == (n, 3)
    assert not len(guards)
    assert broadcast_shapes((n,), (8,)) == (8,)
    with pytest.raises(ValueError, match="do not broadcast"):
        broadcast_shapes((n,), (m,))
    assert [guard.text for guard in guards] == ["N == 8", "M != N"]


# --- shape rules of all ops ---------------------------------------------------------------------

# Ops whose rule needs a number, and why.
SPECIALIZE = {"unstack": "it has as many results as the axis is long"}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def symbolic(arrays: Any, guards: Guards) -> tuple[list[Any], dict[str, int]]:
    """Return Specs with a symbol for each length from 2 on, and the lengths of the symbols."""
    made: dict[int, Dim] = {}

    def side(n: int) -> Any:
        return made.setdefault(n, symbol(LETTERS[len(made)], n, guards)) if n > 1 else n

    specs = [Spec(tuple(map(side, x.shape)), x.dtype) if isinstance(x, np.ndarray) else x for x in arrays]
    return specs, {repr(dim): n for n, dim in made.items()}


def specialized(guards: Guards, sizes: dict[str, int]) -> list[str]:
    """Return the guards that ask for one number: they hold for none of the sizes around."""
    others = [{name: n + more for name, n in sizes.items()} for more in (1, 2, 3, 5)]
    return [g.text for g in guards if " == " in g.text and not any(g.check(other) for other in others)]


@pytest.mark.parametrize("name", OPS)
@given(seed=st.integers(0, 2**32 - 1))
def test_shape_rules_keep_symbolic_lengths(name: str, seed: int) -> None:
    op = ef.ops.registry()[name]
    sample = op.sample(Draw(seed))
    plain = [Spec(x.shape, x.dtype) if isinstance(x, np.ndarray) else x for x in sample.inputs]
    expected = op.infer(*plain, **sample.attrs)
    guards = Guards()
    specs, sizes = symbolic(sample.inputs, guards)
    made = op.infer(*specs, **sample.attrs)
    assert evaluate(made, sizes) == expected
    for spec in made if isinstance(made, tuple) else (made,):
        assert all(side is None or type(side) in (int, Dim) for side in spec.shape)
    assert guards.hold(sizes)
    if name not in SPECIALIZE:
        assert not specialized(guards, sizes)
    known = len(guards)
    assert op.cost(*specs, **sample.attrs) == op.cost(*plain, **sample.attrs)
    assert len(guards) == known


# --- public functions, captured with some sizes and run with others -----------------------------

# Functions that need a number, and why.
NEED_NUMBERS = {
    "apply_along_axis": "it calls a function for each line",
    "bincount": "how many numbers there are decides about the result",
    "choose": "its choices are taken apart",
    "delete": "it reckons with positions in Python",
    "unstack": "it has as many results as the axis is long",
    "insert": "it reckons with positions in Python",
    "histogram": "its bins are numbers", "histogram2d": "its bins are numbers", "histogramdd": "its bins are numbers",
    "poly": "it multiplies root by root", "polyval": "it goes from coefficient to coefficient",
    "polyder": "its factors are a NumPy array", "polyint": "its factors are a NumPy array",
    "put": "it repeats values by position", "place": "it repeats values by position",
    "putmask": "it repeats values by position",
    "repeat": "a number for each element",
    "tril_indices_from": "NumPy counts the positions", "triu_indices_from": "NumPy counts the positions",
    "cross": "vectors have three components", "linalg.cross": "vectors have three components",
    "linalg.tensorinv": "the sides of the matrix are equal", "linalg.tensorsolve": "the sides of the matrix are equal",
    "quantile": "the case has an array of its own",
    "put_along_axis": "the case has an array of its own", "take_along_axis": "the case has an array of its own",
    "where": "the case has an array of its own",
}  # fmt: skip


def captured(run: Callable[..., Any], specs: list[Any], trace: Trace) -> tuple[Graph, list[Any]]:
    with trace.tracing():
        made = optree.tree_leaves(run(*[trace.parameter(f"x{i}", spec, CPU0) for i, spec in enumerate(specs)]))
        return trace.graph([x for x in made if isinstance(x, Tensor)]), made


def compare(graph: Graph, run: Callable[..., Any], arrays: list[Any], sizes: dict[str, int]) -> None:
    """Compare a graph with what eager code gives, and its symbolic shapes with the shapes."""
    wanted = [x for x in optree.tree_leaves(run(*[ef.asarray(x) for x in arrays])) if isinstance(x, Tensor)]
    for value, made, want in zip(graph.outputs, run_graph(graph, arrays), wanted, strict=True):
        assert evaluate(value.shape, sizes) == made.shape == want.shape
        assert value.dtype == made.dtype == want.dtype
        np.testing.assert_allclose(made, want.numpy(), rtol=1e-9, atol=1e-9)


def larger(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers like those of an array in another shape; square matrices stay regular."""
    made = np.resize(array, shape)
    if array.dtype.kind == "f":
        made = made + np.arange(made.size).reshape(shape) * 1e-3
    if array.dtype.kind in "fc" and len(set(shape)) == 1 and made.ndim == 2:
        made = made + 3 * np.eye(len(made))
    return made.astype(array.dtype)


# Their results are plain Python values.
WITH_TENSORS = [case for case in NUMPY_CASES if case.name not in PLAIN_RESULTS]


def numpy_case(case: Case, trace: Trace) -> tuple[Callable[..., Any], list[Any], list[Any], dict[str, int]]:
    arrays = [np.asarray(x) for x in case.arrays]
    return (lambda *given: case.run(ef, *given)), arrays, *symbolic(arrays, trace.guards)


def test_the_list_of_functions_that_need_numbers_is_exact() -> None:
    found = set()
    for case in WITH_TENSORS:
        if case.name in NEED_NUMBERS:
            trace = Trace(case.name)
            run, _, specs, sizes = numpy_case(case, trace)
            with contextlib.suppress(ef.errors.CaptureError):  # these come in the test below
                captured(run, specs, trace)
                found |= {case.name} if specialized(trace.guards, sizes) else set()
    assert found == set(NEED_NUMBERS)


@pytest.mark.parametrize("case", WITH_TENSORS, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore")
def test_numpy_functions_of_symbolic_shapes(case: Case) -> None:
    trace = Trace(case.name)
    run, arrays, specs, sizes = numpy_case(case, trace)
    try:
        graph, _ = captured(run, specs, trace)
    except ef.errors.CaptureError:
        # Then it is the values that it needs, and not the lengths.
        with pytest.raises(ef.errors.CaptureError):
            captured(run, [Spec(x.shape, x.dtype) for x in arrays], Trace(case.name))
        return
    assert trace.guards.hold(sizes)
    compare(graph, run, arrays, sizes)
    if case.name not in NEED_NUMBERS:
        assert not specialized(trace.guards, sizes)
    for more in (1, 4):
        others = {name: n + more * (1 + i) for i, (name, n) in enumerate(sizes.items())}
        if trace.guards.hold(others):
            bigger = [larger(x, evaluate(spec.shape, others)) for x, spec in zip(arrays, specs, strict=True)]
            try:
                run(*[ef.asarray(x) for x in bigger])
            except Exception:
                with pytest.raises(Exception):  # noqa: B017, PT011 - what is wrong for one is wrong for the other
                    run_graph(graph, bigger)
            else:
                compare(graph, run, bigger, others)


def array_of(text: str, sizes: dict[str, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    words = text.split()
    shape = [sizes[word] if word in sizes else int(word) for word in words if word in sizes or word.isdigit()]
    if words[-1] == "int":
        return rng.integers(0, 3, shape)
    return rng.random(shape) > 0.5 if words[-1] == "bool" else rng.normal(size=shape)


@pytest.mark.parametrize("name", CASES)
def test_captured_functions_hold_for_other_sizes(name: str) -> None:
    run, *texts = CASES[name]
    trace = Trace("f")
    names: Any = {key: symbol(key, n, trace.guards) for key, n in FIRST.items()}
    arrays = [array_of(text, FIRST) for text in texts]
    specs = [Spec(tuple(names[word] if word in names else int(word) for word in text.split()
                        if word in names or word.isdigit()), array.dtype)
             for text, array in zip(texts, arrays, strict=True)]  # fmt: skip
    graph, made = captured(run, specs, trace)
    assert len(graph.outputs) == len(made)
    compare(graph, run, arrays, FIRST)
    assert trace.guards.hold(SECOND), trace.guards.explain(SECOND)
    compare(graph, run, [array_of(text, SECOND, 1) for text in texts], SECOND)


def test_a_trace_does_not_hold_where_broadcasting_differs() -> None:
    trace = Trace("f")
    n, m = symbol("N", 4, trace.guards), symbol("M", 4, trace.guards)
    captured(lambda x, y: x + y, [Spec((n,), np.float64), Spec((m,), np.float64)], trace)
    assert trace.guards.hold({"N": 6, "M": 6})
    assert trace.guards.failed({"N": 6, "M": 5}) == "M == N"


def test_a_symbolic_length_outside_its_trace_is_an_error() -> None:
    n = symbol("N", 4, Guards())
    with pytest.raises(ef.errors.CaptureError, match="nothing is captured"):
        ef.broadcast_to(1.0, (n,))
