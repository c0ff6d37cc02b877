"""NumPy's whole surface: every function that it hands to Tensors is answered, with NumPy's values and a gradient.

The names are found by looking at NumPy, so that a function of a newer NumPy shows up here by failing.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.core import Draw, numpy_functions
from eagerflow.ops.protocol import REFUSED, VALUES
from numpy_cases import CASES, PLAIN_RESULTS, A, B, I, M, T, V, W, Z

SPACES = {"": np, "linalg.": np.linalg, "fft.": np.fft, "lib.stride_tricks.": np.lib.stride_tricks}


def surface() -> Iterator[tuple[str, Any]]:
    """Give every public function of NumPy that asks its arguments for `__array_function__` or `__array_ufunc__`."""
    for prefix, space in SPACES.items():
        for name in sorted(dir(space)):
            function = getattr(space, name)
            if name.startswith("_") or isinstance(function, type | types.ModuleType) or not callable(function):
                continue
            # The dispatcher keeps what it wraps. Functions with like= are handed over for its sake alone.
            if isinstance(function, np.ufunc) or hasattr(function, "_implementation"):
                yield prefix + name, function


SURFACE = dict(surface())


def test_numpy_is_as_large_as_it_was() -> None:
    # If the way of finding names broke, all other tests here would pass with nothing in them.
    assert len(SURFACE) > 340


@pytest.mark.parametrize("name", SURFACE)
def test_every_function_is_answered_or_refused_with_a_reason(name: str) -> None:
    function = SURFACE[name]
    assert function in numpy_functions or function in REFUSED or function in VALUES, (
        f"NumPy has np.{name}: implement it in ops/, or say in ops/protocol.py why it is refused"
    )


@pytest.mark.parametrize("function", REFUSED, ids=lambda f: f.__name__)
def test_what_is_refused_says_why(function: Any) -> None:
    x = ef.ones(2)
    arguments = (x,) if function in (np.isnat, np.is_busday, np.datetime_as_string) else (x, x)
    with pytest.raises(ef.errors.DTypeError, match=rf"np\.{function.__name__}: Tensors hold numbers"):
        function(*arguments)


# --- values and derivatives of each function --------------------------------------------------

NAMES = [f"{c.name}-{i}" for i, c in enumerate(CASES)]
ONLY_NUMPY = {"copyto", "common_type", "min_scalar_type"}


def test_every_function_has_a_case() -> None:
    with_cases = {c.name for c in CASES}
    missing = [
        name
        for name, function in SURFACE.items()
        if name not in with_cases
        and not isinstance(function, np.ufunc)
        and function not in REFUSED
        and function not in VALUES
    ]
    assert not missing


def leaves(value: Any) -> list[Any]:
    """Return the arrays in a result."""
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, tuple | list) else [value]


def compare(got: Any, expected: Any, name: str) -> None:
    """Compare results, dtypes included; only functions about dtypes and the like give plain values."""
    found, wanted = leaves(got), leaves(expected)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        if name in PLAIN_RESULTS:
            assert a == b
            continue
        assert isinstance(a, ef.Tensor), type(a)
        b = np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("number", range(len(CASES)), ids=NAMES)
@pytest.mark.filterwarnings(
    "ignore:Mean of empty slice", "ignore:Degrees of freedom", "ignore:numpy.fix is deprecated:DeprecationWarning"
)
def test_values_are_those_of_numpy(number: int) -> None:
    c = CASES[number]
    expected = c.run(np, *[np.array(a) for a in c.arrays])
    compare(c.run(np, *[ef.asarray(a) for a in c.arrays]), expected, c.name)
    if c.name not in ONLY_NUMPY:
        compare(c.run(ef, *[ef.asarray(a) for a in c.arrays]), expected, c.name)


DIFFERENTIABLE = [i for i, c in enumerate(CASES) if c.gradient]
CONSTANT = [
    i for i, c in enumerate(CASES) if not c.gradient and c.name not in PLAIN_RESULTS and c.arrays[0].dtype.kind == "f"
]


@pytest.mark.parametrize("number", DIFFERENTIABLE, ids=[NAMES[i] for i in DIFFERENTIABLE])
def test_derivatives_are_those_of_the_values(number: int) -> None:
    c = CASES[number]
    known = [~np.isnan(a) for a in c.arrays]

    def function(*arrays: Any) -> Any:
        # What is missing stays so, while numeric steps move all other elements.
        given = [a if mask.all() else ef.where(mask, a, np.nan) for a, mask in zip(arrays, known, strict=True)]
        return c.run(np, *given)

    ef.check_grads(function, [np.where(mask, a, 0) for a, mask in zip(c.arrays, known, strict=True)], order=2)


# How long the result is depends on the values, or which function is called for an element.
NEEDS_VALUES = {
    "argwhere", "flatnonzero", "histogram_bin_edges", "intersect1d", "nonzero", "piecewise", "polydiv", "setdiff1d",
    "setxor1d", "trim_zeros", "union1d", "unique_all", "unique_counts", "unique_inverse",
}  # fmt: skip
STACKED = [
    i
    for i, c in enumerate(CASES)
    if c.name not in PLAIN_RESULTS and c.name not in ONLY_NUMPY and all(a.dtype.kind in "fc" for a in c.arrays)
]


@pytest.mark.parametrize("number", STACKED, ids=[NAMES[i] for i in STACKED])
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_vmap_gives_what_a_loop_gives(number: int) -> None:
    c = CASES[number]
    stacks = [ef.asarray(np.stack([a, 1.01 * a, 0.97 * a])) for a in c.arrays]

    def function(*arrays: Any) -> Any:
        return leaves(c.run(ef, *arrays))

    try:
        found = ef.vmap(function)(*stacks)
    except ef.errors.CaptureError:
        assert c.name in NEEDS_VALUES
        return
    rows = [function(*[stack[i] for stack in stacks]) for i in range(3)]
    for got, *wanted in zip(found, *rows, strict=True):
        np.testing.assert_allclose(got.numpy(), [w.numpy() for w in wanted], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("number", CONSTANT, ids=[NAMES[i] for i in CONSTANT])
def test_what_has_no_derivative_says_so(number: int) -> None:
    c = CASES[number]
    arrays = [ef.asarray(a) for a in c.arrays]
    with ef.GradientTape() as tape:
        tape.watch(arrays)
        total = sum(ef.sum(ef.astype(leaf, ef.float64)) for leaf in leaves(c.run(np, *arrays)))
    with pytest.raises(ef.errors.GradientError):
        tape.gradient(total, arrays[0])


# --- ufuncs: drawn as their ops draw them -------------------------------------------------------

UFUNCS = [name for name, f in SURFACE.items() if isinstance(f, np.ufunc) and f not in REFUSED]
OPS: dict[str, Any] = {name: getattr(numpy_functions[SURFACE[name]], "op", None) for name in UFUNCS}
INPUTS = {
    "divmod": (V, W[:1]),
    "float_power": (V**2, W[:1]),
    "frexp": (V,),
    "ldexp": (V, I[:1]),
    "matvec": (M, W),
    "modf": (V,),
    "vecdot": (A, B),
    "vecmat": (W, M),
    "matmul": (A, M),
}


@pytest.mark.parametrize("name", UFUNCS)
def test_ufuncs_give_the_values_of_numpy(name: str) -> None:
    ufunc = SURFACE[name]
    op = OPS[name]
    inputs = INPUTS.get(name) or op.sample(Draw(3, np.float64)).inputs
    expected = ufunc(*inputs)
    tensors = [ef.asarray(x) for x in inputs]
    compare(ufunc(*tensors), expected, name)
    compare(getattr(ef, name)(*tensors), expected, name)


@pytest.mark.parametrize("name", [name for name in UFUNCS if OPS[name] is None])
def test_ufuncs_without_an_op_of_their_own_have_derivatives(name: str) -> None:
    inputs = INPUTS[name]
    free = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]

    def function(*arrays: Any) -> Any:
        given: list[Any] = list(inputs)
        for i, array in zip(free, arrays, strict=True):
            given[i] = array
        return SURFACE[name](*given)

    ef.check_grads(function, [inputs[i] for i in free], order=2)


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "logaddexp", "subtract", "hypot", "fmin"])
def test_methods_of_ufuncs(name: str) -> None:
    ufunc = getattr(np, name)
    for run in (
        lambda x: ufunc.reduce(x),
        lambda x: ufunc.reduce(x, axis=1, keepdims=True),
        lambda x: ufunc.accumulate(x, axis=1),
        lambda x: ufunc.outer(x, W),
    ):
        compare(run(ef.asarray(B)), run(B), name)
        ef.check_grads(run, [B], order=2)


def test_addition_at_places_that_are_named_twice() -> None:
    def assemble(xp: Any, stiffness: Any) -> Any:
        total = np.zeros((3, 3)) if xp is np else ef.zeros((3, 3))
        np.add.at(total, (np.array([0, 1, 0, 2]), np.array([1, 1, 1, 0])), stiffness)
        np.subtract.at(total, np.array([0, 0]), stiffness[:3])
        return total

    k = V[:4]
    compare(assemble(ef, ef.asarray(k)), assemble(np, k), "add")
    ef.check_grads(lambda x: assemble(ef, x) ** 2, [k], order=2)
    with pytest.raises(ef.errors.DTypeError, match=r"np\.multiply\.at"):
        np.multiply.at(ef.ones(2), [0], 2.0)


def test_a_recorded_tensor_is_not_written_into_an_array() -> None:
    target = np.zeros(3)
    with ef.GradientTape() as tape:
        x = ef.asarray([1.0, 2.0, 3.0])
        tape.watch(x)
        for write in (
            lambda: np.copyto(target, x),
            lambda: np.put(target, [0], x[:1]),
            lambda: np.place(target, np.array([True, False, False]), x),
            lambda: np.putmask(target, np.array([True, False, False]), x),
            lambda: np.add.at(target, [0], x[:1]),
        ):
            with pytest.raises(ef.errors.GradientError, match="would lose its gradient"):
                write()
    np.testing.assert_array_equal(target, np.zeros(3))
    np.copyto(target, ef.asarray([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(target, [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.random.default_rng(0).normal(x),
        lambda x: np.vectorize(lambda v: v * 2.0)(x),
        lambda x: np.polynomial.polynomial.polyval(2.0, x),
        lambda x: np.r_[x, x],
    ],
)
def test_what_asks_for_plain_numbers_warns_that_the_gradient_is_lost(function: Any) -> None:
    x = ef.asarray([1.0, 2.0])
    assert isinstance(function(x), np.ndarray | np.generic)
    with ef.GradientTape() as tape:
        tape.watch(x)
        with pytest.warns(ef.errors.GradientLostWarning):
            function(x)


def test_arguments_may_be_named_as_in_numpy() -> None:
    x = ef.asarray(A)
    compare(np.sum(a=x, axis=0), np.sum(a=A, axis=0), "sum")
    compare(np.transpose(a=x), np.transpose(A), "transpose")
    compare(np.concatenate(arrays=[x, x], axis=1), np.concatenate([A, A], axis=1), "concatenate")
    compare(np.quantile(a=x, q=0.3, axis=0), np.quantile(A, 0.3, axis=0), "quantile")
    with pytest.raises(ef.errors.DTypeError, match=r"np\.mean.*where"):
        np.mean(a=x, where=True)


def test_text_and_files_have_the_values(tmp_path: Any) -> None:
    x = ef.asarray(A)
    assert np.array2string(x) == np.array2string(A)
    assert np.array_str(x) == np.array_str(A)
    assert np.array_repr(x) == np.array_repr(A)
    assert np.einsum_path("ij,kj->ik", x, x)[0] == np.einsum_path("ij,kj->ik", A, A)[0]
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), A)
    np.savetxt(tmp_path / "x.txt", x)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "x.txt"), A)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", x=x)
        np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["x"], A)


# --- functions that make arrays -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["bartlett", "blackman", "hamming", "hanning"])
@pytest.mark.parametrize("length", [-1, 0, 1, 2, 7])
def test_windows(name: str, length: int) -> None:
    compare(getattr(ef, name)(length), getattr(np, name)(length), name)


def test_the_window_of_kaiser_has_a_gradient() -> None:
    for length in (0, 1, 6):
        compare(ef.kaiser(length, 3.0), np.kaiser(length, 3.0), "kaiser")
    ef.check_grads(lambda beta: ef.kaiser(6, beta), [np.array(3.0)], order=2)


def test_positions() -> None:
    compare(ef.tril_indices(3, -1, 4), np.tril_indices(3, -1, 4), "tril_indices")
    compare(ef.triu_indices(4, 1), np.triu_indices(4, 1), "triu_indices")
    compare(ef.diag_indices(3, 3), np.diag_indices(3, 3), "diag_indices")
    compare(ef.mask_indices(3, ef.triu, 1), np.mask_indices(3, np.triu, 1), "mask_indices")
    compare(ef.fromfunction(lambda i, j: i * j, (2, 3)), np.fromfunction(lambda i, j: i * j, (2, 3)), "fromfunction")


# --- known limits, said as such -----------------------------------------------------------------

BAD: dict[str, Callable[[], Any]] = {
    "add_at": lambda: ef.add_at(V, [9], 1.0),
    "append": lambda: ef.append(A, V, 0),
    "apply_along_axis": lambda: ef.apply_along_axis(ef.sum, 2, A),
    "argpartition": lambda: ef.argpartition(V, 9),
    "bincount_float": lambda: ef.bincount(V),
    "bincount_negative": lambda: ef.bincount([-1]),
    "block": lambda: ef.block([[A], A]),
    "choose": lambda: ef.choose([5], [[1.0], [2.0]]),
    "compress": lambda: ef.compress([True] * 9, V),
    "convolve": lambda: ef.convolve([], V),
    "convolve_mode": lambda: ef.convolve(V, V, "all"),
    "correlate": lambda: ef.correlate(A, V),
    "cov": lambda: ef.cov(T),
    "cov_weights": lambda: ef.cov(A, aweights=V),
    "delete": lambda: ef.delete(V, 9),
    "diag_indices_from": lambda: ef.diag_indices_from(A),
    "digitize": lambda: ef.digitize(V, [0.0, 2.0, 1.0]),
    "dsplit": lambda: ef.dsplit(A, 2),
    "ediff1d": lambda: ef.ediff1d(I, to_end=1.5),
    "fill_diagonal": lambda: ef.fill_diagonal(V, 1.0),
    "geomspace": lambda: ef.geomspace(-1.0, 1.0),
    "gradient": lambda: ef.gradient([1.0]),
    "gradient_spacing": lambda: ef.gradient(A, 1.0, 2.0, 3.0),
    "hanning": lambda: ef.hanning(2.5),
    "histogram": lambda: ef.histogram(V, 0),
    "histogram_edges": lambda: ef.histogram(V, [2.0, 1.0]),
    "histogram_weights": lambda: ef.histogram(V, weights=W),
    "histogram2d": lambda: ef.histogram2d(V, W),
    "insert": lambda: ef.insert(V, [0, 1], [1.0, 2.0, 3.0]),
    "interp": lambda: ef.interp(V, V, W),
    "interp_complex": lambda: ef.interp(Z, V, V),
    "ix_": lambda: ef.ix_(A),
    "ldexp": lambda: ef.ldexp(V, 0.5),
    "lexsort": lambda: ef.lexsort(V[0]),
    "matvec": lambda: ef.matvec(M, V),
    "nanargmax": lambda: ef.nanargmax([np.nan]),
    "packbits": lambda: ef.packbits(V),
    "pad": lambda: ef.pad(V, 1, "round"),
    "pad_argument": lambda: ef.pad(V, 1, "edge", speed=3),
    "partition": lambda: ef.partition(Z, 0),
    "percentile": lambda: ef.percentile(V, 101),
    "percentile_method": lambda: ef.percentile(V, 1, method="best"),
    "piecewise": lambda: ef.piecewise(V, [V > 0], [1.0, 2.0, 3.0]),
    "place": lambda: ef.place(V, V > 0, []),
    "polyfit": lambda: ef.polyfit(V, W, 1),
    "polyfit_degree": lambda: ef.polyfit(V, V, 1.5),
    "polyval": lambda: ef.polyval(A, 1.0),
    "put": lambda: ef.put(V, [9], 1.0),
    "quantile_weights": lambda: ef.quantile(A, 0.5, method="inverted_cdf", weights=V),
    "ravel_multi_index": lambda: ef.ravel_multi_index(([3], [0]), (2, 2)),
    "resize": lambda: ef.resize(V, (-1, 2)),
    "roots": lambda: ef.roots(A),
    "select": lambda: ef.select([V > 0], [V, V]),
    "sliding_window_view": lambda: ef.sliding_window_view(V, 9),
    "trapezoid": lambda: ef.trapezoid(A, x=V),
    "tril_indices": lambda: ef.tril_indices(-1),
    "unpackbits": lambda: ef.unpackbits(I),
    "unravel_index": lambda: ef.unravel_index([9], (2, 2)),
    "unwrap": lambda: ef.unwrap(Z),
    "vander": lambda: ef.vander(A),
    "vecmat": lambda: ef.vecmat(V, M),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_raise_errors_of_ours(name: str) -> None:
    with pytest.raises(ef.errors.EagerflowError, match=name.partition("_")[0]):
        BAD[name]()
