"""Random programs give the same eagerly, by the reference interpreter and by plans, with each pass on and off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import optree
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.capture.executable import Executable
from eagerflow.capture.interpreter import run_graph
from eagerflow.capture.options import Options
from eagerflow.capture.passes import DEFAULT, PASSES, optimize
from graphs import bits
from kernels_off import kernels_off
from programs import Program, programs

drawn = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
)
some = settings(drawn, max_examples=max(2, settings().max_examples // 8))

# By name what is run: everything, all but one, and one alone.
VARIANTS: dict[str, list[str]] = {"none": [], "all": [*DEFAULT]}
VARIANTS |= {f"without {name}": [other for other in DEFAULT if other != name] for name in PASSES}
VARIANTS |= {f"only {name}": [name] for name in PASSES}


@pytest.fixture(scope="module")
def without_kernels() -> Iterator[None]:
    with kernels_off():
        yield


def leaves_of(tree: Any) -> list[Any]:
    return [x.numpy() if isinstance(x, ef.Tensor) else x for x in optree.tree_leaves(tree)]


class Rounds:
    """Calls of one program, one after the other, from the same state: results, and the Variables after each."""

    def __init__(self, program: Program, variables: dict[str, ef.Variable], lengths: list[int]) -> None:
        self.program = program
        self.variables = variables
        self.lengths = lengths

    def run(self, call: Callable[..., list[Any]]) -> list[list[Any]]:
        """Return per call the results, then the Variables; whatever was handed out before stays as it was."""
        for name, value in self.program.start().items():
            self.variables[name].assign(value)
        ef.random.seed(11)
        found: list[list[Any]] = []
        seen: list[tuple[Any, np.ndarray]] = []
        for number, n in enumerate(self.lengths):
            arrays = self.program.arrays(number, n)
            given = [a.copy() for a in arrays]
            # In every second call someone holds the values that Variables have.
            held = [v.value for v in self.variables.values()] if number % 2 else []
            seen += [(t._held, np.array(t._held)) for t in held]
            with np.errstate(all="ignore"):
                results = call(*arrays)
            for a, before in zip(arrays, given, strict=True):
                assert bits(a) == bits(before), "an argument was written to"
            results = [x._held if isinstance(x, ef.Tensor) else x for x in results]
            for x in results:
                if isinstance(x, np.ndarray):
                    assert not any(np.shares_memory(x, a) for a in arrays), "a result is an argument"
                    seen.append((x, x.copy()))
            found.append([np.array(x) for x in (*results, *[v.numpy() for v in self.variables.values()])])
        for array, before in seen:
            assert bits(array) == bits(before), "what an earlier call returned was written to"
        return found


def compare(program: Program, found: list[list[Any]], expected: list[list[Any]], what: str) -> None:
    near = 1e-3 if program.dtype == "float32" else 1e-7
    for number, (got, wanted) in enumerate(zip(found, expected, strict=True)):
        assert len(got) == len(wanted)
        for position, (a, b) in enumerate(zip(got, wanted, strict=True)):
            a, b = np.asarray(a), np.asarray(b)  # plain numbers are results, too
            place = f"{what}, call {number}, result {position}"
            assert (a.shape, a.dtype) == (b.shape, b.dtype), place
            if a.dtype.kind in "biu":
                np.testing.assert_array_equal(a, b, err_msg=place)
            else:
                np.testing.assert_allclose(a, b, rtol=near, atol=near, err_msg=place)


def flat(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    return lambda *arrays: optree.tree_leaves(function(*[ef.asarray(a) for a in arrays]))


def check(program: Program, names: list[str]) -> None:
    """Compare a program eagerly, captured, and by its graph before and after passes."""
    function, variables = program.make()
    lengths = [3, 3, 3, 5, 4]
    rounds = Rounds(program, variables, lengths)
    expected = rounds.run(flat(function))
    captured = ef.function(function)
    compare(program, rounds.run(flat(captured)), expected, "captured")
    concretes = captured.concrete_functions
    assert len(concretes) <= 3, captured.explain()
    of = {n: next(c for c in reversed(concretes) if serves(c, program.arrays(0, n))) for n in set(lengths)}
    shapes = {n: [r.position for r in c._results] for n, c in of.items()}
    fixed = {n: [r.fixed for r in c._results] for n, c in of.items()}

    def call(run: Callable[[int, list[Any]], list[Any]]) -> Callable[..., list[Any]]:
        def calls(*arrays: Any) -> list[Any]:
            n = next(n for n in of if [a.shape for a in program.arrays(0, n)] == [a.shape for a in arrays])
            made = run(n, list(arrays))
            return [f if i is None else made[i] for i, f in zip(shapes[n], fixed[n], strict=True)]

        return calls

    for name in names:
        graphs = {id(c): optimize(c.graph, VARIANTS[name], verify=True) for c in of.values()}
        by_hand = call(lambda n, arrays: [np.array(x) for x in run_graph(graphs[id(of[n])], arrays)])  # noqa: B023
        compare(program, rounds.run(by_hand), expected, f"interpreter, {name}")
        runners = {key: Executable(graph, Options([])) for key, graph in graphs.items()}
        planned = call(lambda n, arrays: runners[id(of[n])].run(arrays))  # noqa: B023
        compare(program, rounds.run(planned), expected, f"plan, {name}")


def serves(concrete: Any, arrays: list[np.ndarray]) -> bool:
    lengths: dict[str, int] = {}
    fits = all(
        ef.core.dims.unify(v.shape, a.shape, lengths) for v, a in zip(concrete.graph.inputs, arrays, strict=True)
    )
    return fits and concrete.graph.guards.failed(lengths) is None


@drawn
@given(program=programs(tape=False), data=st.data())
def test_programs(without_kernels: None, program: Program, data: st.DataObject) -> None:
    check(program, ["none", "all", data.draw(st.sampled_from(sorted(VARIANTS)))])


@drawn
@given(program=programs(most=20, tape=True), data=st.data())
def test_programs_with_a_tape_inside(without_kernels: None, program: Program, data: st.DataObject) -> None:
    check(program, ["none", "all", data.draw(st.sampled_from(sorted(VARIANTS)))])


@some
@given(program=programs(most=15))
def test_every_pass_alone_and_left_out(without_kernels: None, program: Program) -> None:
    check(program, sorted(VARIANTS))


@some
@given(program=programs(most=12, tape=False))
def test_programs_with_compiled_kernels(program: Program) -> None:
    check(program, ["all"])


@some
@given(program=programs(state=False, tape=False))
def test_two_threads_run_one_function_at_once(without_kernels: None, program: Program) -> None:
    if "random" in program.source:
        return  # which thread draws which numbers is open
    function, _ = program.make()
    captured = ef.function(function)
    sets = [program.arrays(seed, 3) for seed in range(4)]
    with np.errstate(all="ignore"):
        expected = [leaves_of(function(*[ef.asarray(a) for a in arrays])) for arrays in sets]
        captured(*sets[0])

    def work(number: int) -> list[list[Any]]:
        with np.errstate(all="ignore"):
            return [leaves_of(captured(*sets[number])) for _ in range(8)]

    with ThreadPoolExecutor(4) as pool:
        for number, runs in enumerate(pool.map(work, range(4))):
            compare(program, runs, [expected[number]] * 8, "thread")


@drawn
@given(program=programs(most=25, tape=False))
def test_tape_outside_a_program(without_kernels: None, program: Program) -> None:
    function, variables = program.make()
    rounds = Rounds(program, variables, [3, 3, 5, 4])

    def differentiated(f: Callable[..., Any]) -> Callable[..., list[Any]]:
        def call(*arrays: Any) -> list[Any]:
            tensors = [ef.asarray(a) for a in arrays]
            sources = [t for t in tensors if t.dtype.kind == "f"]
            with ef.GradientTape() as tape:
                tape.watch(sources)
                results = optree.tree_leaves(f(*[t * 1 if t.dtype.kind == "f" else t for t in tensors]))
                floats = [r for r in results if isinstance(r, ef.Tensor) and r.dtype.kind == "f"]
                loss = sum([ef.sum(ef.tanh(r * 0.125)) for r in floats], ef.asarray(0.0))
            gradients = tape.gradient(loss, [*sources, *variables.values()], unconnected="zero")
            return [*results, *[ef.tanh(g) for g in gradients]]

        return call

    expected = rounds.run(differentiated(function))
    compare(program, rounds.run(differentiated(ef.function(function))), expected, "tape outside")


# --- what random programs found, or cannot reach ---------------------------------------------------


def test_a_callback_between_sees_a_Variable_before_its_assignment() -> None:
    v = ef.Variable(np.ones(3))
    seen: list[np.ndarray] = []

    def look(a: ef.Tensor) -> ef.Tensor:
        seen.append(v.numpy())
        return a

    @ef.function
    def f(x: ef.Tensor) -> ef.Tensor:
        after = v * 0.5
        y = ef.py_function(look, [x], ef.TensorSpec([3], "float64"))
        v.assign(after)
        return y

    for call in range(3):
        f(np.arange(3.0))
        np.testing.assert_array_equal(seen[-1], np.full(3, 0.5**call))
        np.testing.assert_array_equal(v.numpy(), np.full(3, 0.5 ** (call + 1)))


def test_a_call_that_fails_leaves_a_Variable_as_it_was() -> None:
    v = ef.Variable(np.ones(3))

    @ef.function
    def f(x: ef.Tensor, matrix: ef.Tensor) -> ef.Tensor:
        after = v * 0.5
        y = ef.linalg.inv(matrix)
        v.assign(after)
        return y * x

    f(np.ones(3), np.eye(3))
    with pytest.raises(np.linalg.LinAlgError):
        f(np.ones(3), np.zeros((3, 3)))
    np.testing.assert_array_equal(v.numpy(), np.full(3, 0.5))


def test_fused_groups_without_kernels_stand_for_themselves_one_after_the_other(without_kernels: None) -> None:
    def f(x: ef.Tensor) -> ef.Tensor:
        return ef.tanh((x + x) @ x.T * 2.0 + 1.0) + x[:, :1] * 3.0

    x = ef.asarray([[0.5, -1.0, 2.0]])
    np.testing.assert_array_equal(ef.function(f)(x).numpy(), f(x).numpy())


def test_results_and_constants_share_no_memory() -> None:
    constant = ef.asarray([1.0, 2.0])
    f = ef.function(lambda x: [constant, constant[::-1], x, ef.zeros(3), ef.arange(3)])
    first, second = f(ef.ones(2)), f(ef.ones(2))
    for a, b in zip(first, second, strict=True):
        assert not np.shares_memory(a._held, b._held)
        assert not np.shares_memory(a._held, constant._held)


def test_kernels_write_over_an_input_only_where_the_result_is_made_of_it() -> None:
    # Two passes over the elements: the second stores one result and reads, for another, an input that ends there.
    def f(x: ef.Tensor, y: ef.Tensor, m: ef.Tensor) -> tuple[ef.Tensor, ef.Tensor]:
        total = ef.sum(x * y, axis=(1, 2), keepdims=True)
        lost = m @ m  # in a buffer
        rest = ef.sum(total * y - lost, axis=(1, 2), keepdims=True)
        return (x * total) @ m, rest * y

    rng = np.random.default_rng(0)
    x, y, m = (ef.asarray(rng.normal(size=(3, 4, 4))) for _ in range(3))
    for got, wanted in zip(ef.function(f)(x, y, m), f(x, y, m), strict=True):
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-12, atol=1e-12)


def test_a_read_that_nothing_uses_leaves_no_edge_behind() -> None:
    v = ef.Variable(np.array([-0.5, 0.25]))

    @ef.function
    def f(x: ef.Tensor) -> ef.Tensor:
        _ = v.value
        v.assign(x * 0.5)
        return x + ef.tanh(x)

    x = ef.ones(2)
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    np.testing.assert_allclose(tape.gradient(y, x), 2 - np.tanh(1.0) ** 2)
    assert v.numpy().tolist() == [0.5, 0.5]
