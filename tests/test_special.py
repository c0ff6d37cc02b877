"""Special functions: values against tables and SciPy, edges of domains, and matrix functions."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.errors import ArgumentError, DTypeError, GradientError, MissingExtraError, ShapeError

# Values of tables (Abramowitz and Stegun, "Handbook of mathematical functions"; DLMF), to 15 digits.
TABLE = [
    ("erf", 0.5, 0.520499877813046538),
    ("erfc", 2.0, 4.67773498104726584e-3),
    ("erfcx", 1.0, 0.427583576155807004),
    ("erfinv", 0.5, 0.476936276204469873),
    ("erfcinv", 0.5, 0.476936276204469873),
    ("ndtr", 1.0, 0.841344746068542949),
    ("ndtri", 0.975, 1.95996398454005424),
    ("log_ndtr", 0.0, -0.693147180559945309),
    ("gamma", 0.5, 1.77245385090551603),
    ("gamma", 10.0, 362880.0),
    ("lgamma", 0.5, 0.572364942924700087),
    ("lgamma", 100.0, 359.134205369575399),
    ("digamma", 1.0, -0.577215664901532861),
    ("digamma", 0.5, -1.96351002602142348),
    ("i0", 1.0, 1.26606587775200834),
    ("i1", 1.0, 0.565159103992485027),
    ("i0e", 50.0, 0.0565616266474541925),
    ("i1e", 50.0, 0.0559931238928953996),
    ("zeta", 2.0, 1.64493406684822644),
    ("zeta", 3.0, 1.20205690315959429),
    ("exprel", 1.0, 1.71828182845904524),
    ("logit", 0.75, 1.09861228866810969),
    ("entr", 0.5, 0.346573590279972655),
]


@pytest.mark.parametrize(("name", "x", "value"), TABLE)
def test_values_of_tables(name: str, x: float, value: float) -> None:
    np.testing.assert_allclose(float(getattr(ef.special, name)(x)), value, rtol=4e-15)


WIDE = np.concatenate([np.linspace(-30, 30, 1201), 10.0 ** np.arange(-300, 300, 20), [0.0]])
POSITIVE = np.concatenate([np.linspace(1e-3, 40, 1201), 10.0 ** np.arange(-300, 300, 20), [1, 2, 171.5, 180]])
SMALL = 10.0 ** -np.arange(1, 300, 10.0)
OURS = [
    ("erf", "erf", WIDE), ("erfcx", "erfcx", WIDE), ("ndtr", "ndtr", WIDE), ("log_ndtr", "log_ndtr", WIDE[:800]),
    ("gamma", "gamma", POSITIVE), ("gamma", "gamma", -np.linspace(0.03, 30, 501)),
    ("lgamma", "gammaln", POSITIVE), ("lgamma", "gammaln", -np.linspace(0.03, 30, 501)),
    ("digamma", "psi", POSITIVE), ("digamma", "psi", -np.linspace(0.03, 30, 501)),
    ("erfinv", "erfinv", np.linspace(-1, 1, 801)), ("erfcinv", "erfcinv", np.append(np.linspace(0, 2, 801), SMALL)),
    ("ndtri", "ndtri", np.append(np.linspace(0, 1, 801), SMALL)),
    ("logit", "logit", np.append(np.linspace(-0.1, 1.1, 801), SMALL)),
    ("exprel", "exprel", WIDE), ("entr", "entr", WIDE), ("i0e", "i0e", WIDE), ("i1e", "i1e", WIDE),
    ("i0", "i0", WIDE[:1201]), ("i1", "i1", WIDE[:1201]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "theirs", "x"), OURS)
def test_our_kernels_agree_with_scipy(name: str, theirs: str, x: np.ndarray) -> None:
    scipy_special = pytest.importorskip("scipy.special", reason="SciPy is not installed")
    with np.errstate(all="ignore"):
        expected = getattr(scipy_special, theirs)(x)
    result = getattr(ef.special, name)(x).numpy()
    # Near their zeros functions have absolute errors; far out SciPy's lose some digits themselves.
    np.testing.assert_allclose(result, expected, rtol=1e-13, atol=3e-15 if name in ("lgamma", "digamma") else 1e-300)


def test_our_kernels_of_two_inputs_agree_with_scipy() -> None:
    special = pytest.importorskip("scipy.special", reason="SciPy is not installed")
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.1, 20, 300), rng.uniform(0.1, 20, 300)
    np.testing.assert_allclose(ef.special.beta(a, b).numpy(), special.beta(a, b), rtol=1e-13)
    np.testing.assert_allclose(ef.special.betaln(a, b).numpy(), special.betaln(a, b), rtol=2e-13, atol=1e-14)
    np.testing.assert_allclose(ef.special.zeta(1 + a, b).numpy(), special.zeta(1 + a, b), rtol=1e-14)
    for n in range(4):
        np.testing.assert_allclose(ef.special.polygamma(n, a).numpy(), special.polygamma(n, a), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(
        ef.special.polygamma(np.arange(300) % 4, a).numpy(), special.polygamma(np.arange(300) % 4, a), rtol=1e-13,
        atol=1e-15,
    )  # fmt: skip
    x, y = rng.uniform(-2, 2, 300).round(), rng.uniform(-1, 2, 300).round()
    for name in ("xlogy", "xlog1py", "rel_entr", "kl_div"):
        np.testing.assert_allclose(
            getattr(ef.special, name)(x, y).numpy(), getattr(special, name)(x, y), rtol=1e-14, err_msg=name
        )
    whole, part = rng.integers(0, 60, 300), rng.integers(0, 60, 300)
    np.testing.assert_allclose(ef.special.comb(whole, part).numpy(), special.comb(whole, part), rtol=1e-14)
    np.testing.assert_allclose(ef.special.factorial(np.arange(-2, 172)).numpy(), special.factorial(np.arange(-2, 172)))
    np.testing.assert_allclose(ef.special.multigammaln(3 + a, 4).numpy(), special.multigammaln(3 + a, 4))


UFUNCS = sorted(
    [
        "beta",
        "betainc",
        "betaincinv",
        "betaln",
        "binom",
        "cbrt",
        "entr",
        "erf",
        "erfc",
        "erfcinv",
        "erfcx",
        "erfinv",
        "exp1",
        "expi",
        "expit",
        "expn",
        "exprel",
        "gamma",
        "gammainc",
        "gammaincc",
        "gammaln",
        "i0",
        "i0e",
        "i1",
        "i1e",
        "iv",
        "ive",
        "j0",
        "j1",
        "jv",
        "k0",
        "k0e",
        "k1",
        "k1e",
        "kl_div",
        "kv",
        "kve",
        "log_expit",
        "log_ndtr",
        "logit",
        "ndtr",
        "ndtri",
        "psi",
        "rel_entr",
        "spence",
        "xlog1py",
        "xlogy",
        "y0",
        "y1",
        "yv",
    ]
)


@pytest.mark.parametrize("name", UFUNCS)
def test_ufuncs_of_scipy_find_ours(name: str) -> None:
    special = pytest.importorskip("scipy.special", reason="SciPy is not installed")
    ufunc = getattr(special, name)
    inputs = [2 if name == "expn" else 1.5] * (ufunc.nin - 1)
    x = ef.asarray([0.3, 0.7])
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = ufunc(*inputs, x)
    assert isinstance(y, ef.Tensor)
    np.testing.assert_allclose(y.numpy(), ufunc(*inputs, x.numpy()), rtol=1e-12)
    expected = (ufunc(*inputs, x.numpy() + 1e-6) - ufunc(*inputs, x.numpy() - 1e-6)) / 2e-6
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["erf", "lgamma", "erfinv", "i1", "digamma", "logit", "ndtr"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64"])
def test_dtypes(name: str, dtype: str) -> None:
    function = getattr(ef.special, name)
    given = ef.asarray([0.5, 0.25]).astype(getattr(ef, dtype))
    result = function(given)
    assert result.dtype == (np.float64 if dtype == "int64" else given.dtype)
    expected = function(given.astype(ef.float64))
    np.testing.assert_allclose(
        result.astype(ef.float64).numpy(), expected.numpy(), rtol=6 * float(ef.finfo(result.dtype).eps)
    )


def test_edges_of_domains() -> None:
    s, inf, nan = ef.special, np.inf, np.nan
    np.testing.assert_array_equal(s.erfinv([-1.0, 0.0, 1.0, 1.5]).numpy(), [-inf, 0, inf, nan])
    np.testing.assert_array_equal(s.erfcinv([0.0, 2.0, -1.0]).numpy(), [inf, -inf, nan])
    np.testing.assert_array_equal(s.ndtri([0.0, 1.0, 2.0]).numpy(), [-inf, inf, nan])
    np.testing.assert_array_equal(s.logit([0.0, 1.0, 2.0, -1.0]).numpy(), [-inf, inf, nan, nan])
    np.testing.assert_array_equal(s.lgamma([0.0, -1.0, -2.0, inf, -inf]).numpy(), [inf] * 5)
    np.testing.assert_array_equal(s.gamma([0.0, -1.0, inf, 171.0, 172.0]).numpy()[[0, 1, 2, 4]], [inf, nan, inf, inf])
    np.testing.assert_array_equal(s.digamma([0.0, -1.0, inf]).numpy(), [-inf, nan, inf])
    np.testing.assert_array_equal(s.zeta([1.0, 0.5, inf]).numpy(), [inf, nan, 1])
    np.testing.assert_array_equal(s.exprel([-inf, 0.0, inf]).numpy(), [0, 1, inf])
    np.testing.assert_array_equal(s.xlogy([0.0, 0.0, 1.0], [0.0, nan, 0.0]).numpy(), [0, nan, -inf])
    np.testing.assert_array_equal(s.i0([inf, -inf]).numpy(), [inf, inf])
    for name in ("erf", "lgamma", "gamma", "digamma", "erfinv", "i0", "i0e", "logit", "exprel", "entr", "erfcx"):
        assert np.isnan(float(getattr(s, name)(nan))), name


def test_gradients_at_edges() -> None:
    gradient = ef.grad(lambda p: ef.sum(ef.special.xlogy(p[0], p[1])))
    np.testing.assert_array_equal(gradient(ef.zeros(2)).numpy(), [0, 0])
    np.testing.assert_array_equal(gradient(ef.asarray([0.0, 2.0])).numpy(), [np.log(2.0), 0])
    for name in ("rel_entr", "kl_div"):
        both = ef.grad(lambda p, name=name: ef.sum(getattr(ef.special, name)(p[0], p[1])))(ef.zeros(2))
        np.testing.assert_array_equal(both.numpy(), [0, 0])
    assert float(ef.grad(ef.special.i0e)(0.0)) == 0
    assert float(ef.grad(ef.special.exprel)(0.0)) == 0.5
    nothing = ef.full(3, -np.inf)
    assert float(ef.logsumexp(nothing)) == -np.inf
    np.testing.assert_array_equal(ef.grad(ef.logsumexp)(nothing).numpy(), [0, 0, 0])


def test_what_has_no_gradient_says_so() -> None:
    for function in (
        lambda a: ef.special.gammainc(a, 1.0),
        lambda a: ef.special.betainc(a, 1.0, 0.5),
        lambda a: ef.special.jv(a, 1.0),
        ef.special.zeta,
    ):
        x = ef.asarray(2.0)
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        with pytest.raises(GradientError, match="there is no closed form"):
            tape.gradient(y, x)


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match="n counts derivatives"):
        ef.special.polygamma(-1, 1.0)
    with pytest.raises(DTypeError, match="n holds integers"):
        ef.special.polygamma(1.5, 1.0)
    with pytest.raises(ArgumentError, match="integer from 1"):
        ef.special.multigammaln(3.0, 0)
    with pytest.raises(ShapeError, match="do not broadcast"):
        ef.special.xlogy([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match="square matrices"):
        ef.linalg.expm([[1.0, 2.0]])


def test_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for call in (
        lambda: ef.special.betainc(1.0, 1.0, 0.5),
        lambda: ef.special.j0(1.0),
        lambda: ef.linalg.expm([[1.0]]),
    ):
        with pytest.raises(MissingExtraError, match=r"pip install 'eagerflow\[scipy\]'"):
            call()
    # What is ours needs none, to any order.
    for name in ("lgamma", "erfinv", "i1", "gamma", "ndtri", "xlogy", "logsumexp", "logit", "expit", "exprel"):
        function = getattr(ef.special, name)
        f = (lambda x, f=function: f(x, 0.5)) if name == "xlogy" else function
        assert np.isfinite(float(ef.grad(ef.grad(f))(0.6)))


def test_scipy_is_imported_when_needed() -> None:
    program = (
        "import sys, eagerflow as ef; ef.special.lgamma(1.0); ef.special.erfinv(0.5); ef.special.i1(1.0); "
        "assert 'scipy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Matrix functions.


@pytest.mark.parametrize("name", ["expm", "logm", "sqrtm", "cosm", "sinm"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_matrix_functions(name: str, dtype: str) -> None:
    library = pytest.importorskip("scipy.linalg", reason="SciPy is not installed")
    rng = np.random.default_rng(0)
    x = (rng.uniform(-0.5, 0.5, (2, 3, 3)) + 2 * np.eye(3)).astype(dtype)
    if dtype == "complex128":
        x = x + 0.3j * rng.uniform(-0.5, 0.5, x.shape)
    result = getattr(ef.linalg, name)(x)
    assert result.dtype == x.dtype and result.shape == x.shape
    for got, matrix in zip(result.numpy(), x.astype(np.promote_types(x.dtype, np.float64)), strict=True):
        expected = getattr(library, name)(matrix)
        np.testing.assert_allclose(got, expected, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6 * (dtype == "float32") + 1e-12)  # fmt: skip # noqa: E501
    if dtype != "float32":
        ef.check_grads(getattr(ef.linalg, name), (ef.asarray(x[0]),), order=2)


def test_gradient_of_the_exponential_is_the_frechet_derivative() -> None:
    library = pytest.importorskip("scipy.linalg", reason="SciPy is not installed")
    rng = np.random.default_rng(1)
    x, e = rng.normal(size=(2, 4, 4))
    _, tangent = ef.jvp(ef.linalg.expm, (ef.asarray(x),), (ef.asarray(e),))
    np.testing.assert_allclose(tangent.numpy(), library.expm_frechet(x, e, compute_expm=False), rtol=1e-10)


def test_matrices_without_a_real_result() -> None:
    pytest.importorskip("scipy.linalg", reason="SciPy is not installed")
    assert np.isnan(ef.linalg.sqrtm(-np.eye(2)).numpy()).all()
    np.testing.assert_allclose(ef.linalg.sqrtm(-np.eye(2) + 0j).numpy(), 1j * np.eye(2), atol=1e-15)
    assert np.isnan(ef.linalg.logm([[np.nan, 0.0], [0.0, 1.0]]).numpy()).all()
    assert ef.linalg.expm(ef.zeros((0, 2, 2))).shape == (0, 2, 2)
    assert ef.linalg.logm(ef.zeros((0, 0))).shape == (0, 0)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("gammainc", lambda a: ef.special.gammainc(a, 2.0)),
        ("jv", lambda a: ef.special.jv(a, 1.0)),
        ("betainc", lambda a: ef.special.betainc(a, 1.0, 0.5)),
        ("zeta", lambda a: ef.special.zeta(a, 2.0)),
    ],
)
def test_a_derivative_without_a_rule_is_an_error_and_never_zero(name: str, function: Any) -> None:
    def forward(a: Any) -> Any:
        return ef.jvp(function, (a,), (a,))

    for derivative in (ef.grad(function), forward, lambda a: ef.vmap(ef.grad(function))(ef.reshape(a, (1,)))):
        with pytest.raises(ef.errors.GradientError, match=f"{name}: there is no .* with respect to"):
            derivative(1.5)
    assert float(ef.grad(lambda a: a * function(ef.stop_gradient(a)))(1.5)) == float(function(1.5))
