"""Linear algebra against NumPy: values, batches, dtypes, empty matrices, gradients, errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.errors import ArgumentError, DTypeError, GradientError, ShapeError

BATCHES = [(), (3,), (2, 1), (0,)]
FLOATS = ["f4", "f8", "c8", "c16"]


def values(shape: tuple[int, ...], dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    array = rng.normal(size=shape)
    if np.dtype(dtype).kind == "c":
        array = array + 1j * rng.normal(size=shape)
    return array.astype(dtype)


def square(batch: tuple[int, ...], n: int, dtype: Any = np.float64) -> np.ndarray:
    """Well-conditioned matrices."""
    return (values((*batch, n, n), dtype) + 2 * n * np.eye(n)).astype(dtype)


def hermitian(batch: tuple[int, ...], n: int, dtype: Any = np.float64) -> np.ndarray:
    x = square(batch, n, dtype)
    return x @ np.conj(np.swapaxes(x, -1, -2)) + np.diag(np.arange(n)).astype(dtype)


def close(result: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    assert isinstance(result, ef.Tensor)
    assert result.dtype == expected.dtype and result.shape == expected.shape
    tolerance = 1e-3 if expected.dtype in (np.float32, np.complex64) else 1e-9
    np.testing.assert_allclose(result.numpy(), expected, rtol=tolerance, atol=tolerance)


def gradient(function: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
    tensors = [ef.asarray(array) for array in arrays]
    with ef.GradientTape() as tape:
        tape.watch(tensors)
        target = function(*tensors)
    return [g.numpy() for g in tape.gradient(target, tensors)]


def check(function: Callable[..., Any], *arrays: np.ndarray, order: int = 2) -> None:
    """Compare the gradient of a real scalar function with central differences, to second order."""
    rng = np.random.default_rng(7)

    def direction(array: np.ndarray) -> np.ndarray:
        d = rng.normal(size=array.shape)
        return d + 1j * rng.normal(size=array.shape) if array.dtype.kind == "c" else d

    directions = [direction(array) for array in arrays]
    weights = [direction(array) for array in arrays]

    def slope(*xs: Any) -> Any:
        with ef.GradientTape() as tape:
            tape.watch(xs)
            target = function(*xs)
        total: Any = 0.0
        for g, w in zip(tape.gradient(target, list(xs)), weights, strict=True):
            product = g * w.conj()
            total = total + ef.sum(ef.real(product) if product.dtype.kind == "c" else product)
        return total

    for f in (function, slope)[:order]:
        got = sum(np.sum(np.real(np.conj(g) * d)) for g, d in zip(gradient(f, *arrays), directions, strict=True))

        def at(h: float, f: Any = f) -> float:
            return float(f(*[ef.asarray(a + h * d) for a, d in zip(arrays, directions, strict=True)]))

        step = 1e-4
        expected = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
        assert abs(got - expected) < 1e-5 * (1 + abs(expected)), (f, got, expected)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", [0, 1, 4])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["inv", "det", "slogdet", "pinv", "matrix_rank", "cholesky", "eigvalsh", "svdvals"])
def test_functions_of_square_matrices_as_numpy(name: str, dtype: str, n: int, batch: tuple[int, ...]) -> None:
    x = hermitian(batch, n, dtype)
    if name == "matrix_rank" and n == 0:
        pytest.skip("NumPy refuses matrices without elements")
    expected = getattr(np.linalg, name)(x)
    if name == "slogdet":
        for result, part in zip(ef.linalg.slogdet(x), expected, strict=True):
            close(result, part)
        assert isinstance(np.linalg.slogdet(ef.asarray(x)).sign, ef.Tensor)
        return
    close(getattr(ef.linalg, name)(x), expected)
    close(getattr(np.linalg, name)(ef.asarray(x)), expected)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (3, 0), (0, 3), (1, 1)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_decompositions_make_up_the_matrix(dtype: str, shape: tuple[int, int], batch: tuple[int, ...]) -> None:
    x = values((*batch, *shape), dtype)
    q, r = ef.linalg.qr(x)
    close(q @ r, x)
    for result, part in zip((q, r), np.linalg.qr(x), strict=True):
        close(result, part)
    for full in (False, True):
        u, s, vh = ef.linalg.svd(x, full_matrices=full)
        for result, part in zip((u, s, vh), np.linalg.svd(x, full_matrices=full), strict=True):
            assert result.shape == part.shape and result.dtype == part.dtype
        k = min(shape)
        rebuilt = u.numpy()[..., :k] * s.numpy()[..., None, :] @ vh.numpy()[..., :k, :]
        np.testing.assert_allclose(rebuilt, x, rtol=1e-3, atol=1e-4)
    h = hermitian(batch, shape[0], dtype)
    w, v = ef.linalg.eigh(h)
    close(w, np.linalg.eigvalsh(h))
    np.testing.assert_allclose((v.numpy() * w.numpy()[..., None, :]) @ np.conj(v.mT.numpy()), h, rtol=1e-3, atol=1e-3)


def test_named_results() -> None:
    x = hermitian((), 3)
    assert ef.linalg.svd(x)._fields == ("U", "S", "Vh")
    assert ef.linalg.eigh(x)._fields == ("eigenvalues", "eigenvectors")
    assert ef.linalg.qr(x)._fields == ("Q", "R")
    assert ef.linalg.slogdet(x)._fields == ("sign", "logabsdet")
    close(ef.linalg.svd(x, compute_uv=False), np.linalg.svdvals(x))
    close(ef.linalg.qr(x, mode="r"), np.linalg.qr(x, mode="r"))
    close(ef.linalg.qr(x[:, :2], mode="complete").Q, np.linalg.qr(x[:, :2], mode="complete").Q)


@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 3), (3,)), ((3, 3), (3, 2)), ((5, 3, 3), (3,)), ((5, 1, 3, 3), (4, 3, 2)), ((3, 3), (5, 3, 2)),
     ((0, 0), (0,)), ((0, 0), (0, 2)), ((0, 3, 3), (3, 2)), ((3, 3), (3, 0))],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [*FLOATS, "i4"])
def test_solve_as_numpy(a: tuple[int, ...], b: tuple[int, ...], dtype: str) -> None:
    matrix = (square(a[:-2], a[-1], "f8") * 3).astype(dtype)
    rhs = (values(b) * 3).astype(dtype)
    close(ef.linalg.solve(matrix, rhs), np.linalg.solve(matrix, rhs))
    if dtype in ("f8", "c16") and 0 not in a + b:
        check(lambda x, y: ef.sum(ef.real(ef.linalg.solve(x, y) ** 2)), matrix, rhs)


def test_one_vector_for_many_systems_is_not_taken_for_a_matrix() -> None:
    # As many systems as unknowns: the solutions look like a square matrix.
    a, b = square((3,), 3), values((3,))
    check(lambda x, y: ef.sum(ef.linalg.solve(x, y) ** 2), a, b)


@pytest.mark.parametrize("batch", [(), (3,), (3, 3), (2, 1)])
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradients_of_determinants_in_batches(batch: tuple[int, ...], dtype: str) -> None:
    x = square(batch, 3, dtype)
    weights = np.arange(1.0, np.prod(batch, dtype=int) + 1).reshape(batch)
    check(lambda t: ef.sum(ef.linalg.slogdet(t).logabsdet ** 2 * weights), x)
    check(lambda t: ef.sum(ef.real(ef.linalg.det(t)) ** 2 * weights) * 1e-4, x)
    if dtype == "c16":
        check(lambda t: ef.sum(ef.real(ef.linalg.slogdet(t).sign * (1 + 2j)) * weights), x)
    else:
        (g,) = gradient(lambda t: ef.sum(ef.linalg.slogdet(t).sign * weights), x)
        np.testing.assert_array_equal(g, np.zeros_like(x))


def test_triangles_that_are_read() -> None:
    x = hermitian((), 3, "c16")
    low, high = np.tril(x), np.triu(x)
    close(ef.linalg.cholesky(low), np.linalg.cholesky(x))
    close(ef.linalg.cholesky(high, upper=True), np.linalg.cholesky(x, upper=True))
    close(ef.linalg.eigvalsh(high, UPLO="U"), np.linalg.eigvalsh(x))
    for function, part in (
        (lambda t: ef.linalg.cholesky(t), np.tril),
        (lambda t: ef.linalg.cholesky(t, upper=True), np.triu),
        (lambda t: ef.linalg.eigvalsh(t), np.tril),
        (lambda t: ef.linalg.eigh(t, "U").eigenvalues, np.triu),
    ):
        (g,) = gradient(lambda t, function=function: ef.sum(ef.real(function(t))), x)
        np.testing.assert_array_equal(g, part(g))


def identity_of(x: np.ndarray) -> Any:
    """Weights that make functions of matrices depend on all of their elements."""
    return np.arange(1.0, x.size + 1).reshape(x.shape)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradients_of_eigh_that_do_not_depend_on_phases(dtype: str) -> None:
    x = hermitian((2,), 3, dtype)
    weights = identity_of(x)

    def exponential(t: Any) -> Any:
        w, v = ef.linalg.eigh(t)
        return ef.sum(ef.real(ef.matmul(v * ef.sqrt(w)[..., None, :], ef.conj(v).mT)) * weights)

    def squares(t: Any) -> Any:
        return ef.sum(abs(ef.linalg.eigh(t).eigenvectors) ** 2 * weights)

    check(exponential, x)
    check(squares, x)
    check(lambda t: ef.sum(ef.linalg.eigh(t, "U").eigenvalues ** 2), x)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_gradients_of_svd_and_qr_that_do_not_depend_on_phases(shape: tuple[int, int], dtype: str) -> None:
    x = values((2, *shape), dtype)
    weights = identity_of(x)

    def scaled(t: Any) -> Any:
        u, s, vh = ef.linalg.svd(t, full_matrices=False)
        return ef.sum(ef.real(ef.matmul(u * (s**3)[..., None, :], vh)) * weights)

    def squares(t: Any) -> Any:
        u, s, vh = ef.linalg.svd(t, full_matrices=False)
        rows = np.arange(1.0, u.size + 1).reshape(u.shape)
        columns = np.arange(1.0, vh.size + 1).reshape(vh.shape)
        return ef.sum(abs(u) ** 2 * rows) + ef.sum(abs(vh) ** 2 * columns) + ef.sum(s)

    def factors(t: Any) -> Any:
        q, r = ef.linalg.qr(t)
        return ef.sum(abs(q) ** 2 * np.arange(1.0, q.size + 1).reshape(q.shape)) + ef.sum(abs(r) ** 4)

    check(scaled, x)
    check(squares, x)
    check(factors, x)
    check(lambda t: ef.sum(ef.real(ef.linalg.pinv(t)) * np.swapaxes(weights, -1, -2)), x)


def test_equal_singular_values_and_eigenvalues() -> None:
    # With the values alone nothing divides by their differences.
    eye = np.eye(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(gradient(lambda t: ef.sum(ef.linalg.svd(t).S), eye)[0], eye, atol=1e-12)
        np.testing.assert_allclose(gradient(lambda t: ef.sum(ef.linalg.svdvals(t)), eye)[0], eye, atol=1e-12)
        np.testing.assert_allclose(gradient(lambda t: ef.sum(ef.linalg.eigh(t).eigenvalues), eye)[0], eye, atol=1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        (g,) = gradient(lambda t: ef.sum(ef.linalg.eigh(t).eigenvectors * identity_of(eye)), eye)
    assert not np.isfinite(g).all()  # and never a finite wrong number


def test_full_singular_vectors_have_no_gradient() -> None:
    x = values((4, 2))
    with pytest.raises(GradientError, match="full_matrices=False"):
        gradient(lambda t: ef.sum(ef.linalg.svd(t).U), x)
    with pytest.raises(GradientError, match="mode='reduced'"):
        gradient(lambda t: ef.sum(ef.linalg.qr(t, mode="complete").R), x)
    close(ef.asarray(gradient(lambda t: ef.sum(ef.linalg.svd(t).S), x)[0]),
          gradient(lambda t: ef.sum(ef.linalg.svdvals(t)), x)[0])  # fmt: skip


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradient_of_the_determinant_of_singular_matrices(rank: int, dtype: str) -> None:
    x = values((3, rank), dtype) @ values((rank, 3), dtype, 1)
    (g,) = gradient(lambda t: ef.real(ef.linalg.det(t)), x)
    expected = np.array(
        [[(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(x, i, 0), j, 1)) for j in range(3)] for i in range(3)]
    )
    np.testing.assert_allclose(g, expected.conj(), atol=1e-12)


def test_gradient_of_the_determinant_of_one_by_one_and_empty() -> None:
    np.testing.assert_array_equal(gradient(ef.linalg.det, np.zeros((1, 1)))[0], [[1.0]])
    assert gradient(ef.linalg.det, np.zeros((0, 0)))[0].shape == (0, 0)
    assert gradient(lambda t: ef.sum(ef.linalg.det(t)), np.zeros((0, 2, 2)))[0].shape == (0, 2, 2)


@pytest.mark.parametrize("name", ["inv", "det", "cholesky", "eigvalsh", "svdvals", "pinv"])
def test_gradients_of_no_matrices(name: str) -> None:
    for shape in ((0, 2, 2), (2, 0, 0)):
        (g,) = gradient(lambda t: ef.sum(getattr(ef.linalg, name)(t)), np.zeros(shape))
        assert g.shape == shape


@pytest.mark.parametrize("dtype", ["f4", "c8"])
@pytest.mark.parametrize("name", ["inv", "det", "cholesky", "eigvalsh", "svdvals", "pinv", "norm", "slogdet"])
def test_gradients_keep_single_precision(name: str, dtype: str) -> None:
    x = hermitian((), 3, dtype)

    def function(t: Any) -> Any:
        y = getattr(ef.linalg, name)(t)
        y = y[1] if name == "slogdet" else y
        return ef.sum(ef.real(y))

    (g,) = gradient(function, x)
    assert g.dtype == x.dtype
    (wide,) = gradient(function, x.astype("c16" if dtype == "c8" else "f8"))
    np.testing.assert_allclose(g, wide, rtol=1e-2, atol=1e-2 * np.abs(wide).max())


@pytest.mark.parametrize("order", [None, 0, 1, 2, 3, 0.5, -1, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c16", "i4"])
def test_vector_norms_as_numpy(order: Any, dtype: str) -> None:
    x = (values((3, 4), "f8") * 4 + 9).astype(dtype)
    t = ef.asarray(x)
    for axis in (0, -1):
        close(ef.linalg.norm(t, order, axis), np.linalg.norm(x, order, axis))
        close(np.linalg.norm(t, ord=order, axis=axis, keepdims=True), np.linalg.norm(x, order, axis, keepdims=True))
    if order is not None:
        for axes in (None, (0, 1), 1):
            close(ef.linalg.vector_norm(t, axis=axes, ord=order), np.linalg.vector_norm(x, axis=axes, ord=order))
    close(ef.linalg.norm(t), np.linalg.norm(x))
    close(ef.linalg.norm(t, keepdims=True), np.linalg.norm(x, axis=(0, 1), keepdims=True))
    if dtype in ("f8", "c16") and order not in (0,):
        check(lambda v: ef.sum(ef.linalg.norm(v, order, 0)), x)


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
def test_matrix_norms_as_numpy(order: Any, dtype: str) -> None:
    x = values((2, 3, 4), dtype)
    t = ef.asarray(x)
    close(ef.linalg.matrix_norm(t, ord=order), np.linalg.matrix_norm(x, ord=order))
    close(np.linalg.matrix_norm(t, ord=order, keepdims=True), np.linalg.matrix_norm(x, ord=order, keepdims=True))
    for axis in ((0, 1), (2, 0), (-1, 1)):
        close(ef.linalg.norm(t, order, axis), np.linalg.norm(x, order, axis))
        close(ef.linalg.norm(t, order, axis, True), np.linalg.norm(x, order, axis, True))
    if dtype != "f4":
        check(lambda v: ef.sum(ef.linalg.matrix_norm(v, ord=order)), x)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradient_of_norms_at_zero_is_zero(dtype: str) -> None:
    zero = np.zeros(3, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for order in (None, 1, 2, 3):
            np.testing.assert_array_equal(gradient(lambda t, order=order: ef.linalg.norm(t, order), zero)[0], zero)


def test_norms_of_nothing_nan_and_infinity() -> None:
    assert float(ef.linalg.norm(np.zeros(0))) == 0
    assert np.isnan(float(ef.linalg.norm([np.nan, 1.0])))
    assert float(ef.linalg.norm([np.inf, 1.0])) == np.inf
    assert float(ef.linalg.norm(3.0)) == 3


@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 5, 8])
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_matrix_power_as_numpy(n: int, dtype: str) -> None:
    x = square((2,), 3, dtype) / 5
    close(ef.linalg.matrix_power(x, n), np.linalg.matrix_power(x, n))
    if n:
        check(lambda t: ef.sum(ef.real(ef.linalg.matrix_power(t, n)) ** 2), x)


def test_matrix_rank_counts() -> None:
    x = np.diag([3.0, 1.0, 1e-9])
    assert ef.linalg.matrix_rank(x).item() == 3
    assert ef.linalg.matrix_rank(x, tol=1e-6).item() == 2
    assert ef.linalg.matrix_rank(x, rtol=0.5).item() == 1
    assert ef.linalg.matrix_rank(np.zeros((3, 2))).item() == 0
    with pytest.raises(GradientError, match=r"matrix_rank|int"):
        gradient(lambda t: ef.linalg.matrix_rank(t) * 1.0, x)


def test_cross_diagonal_trace_and_the_rest_of_the_namespace() -> None:
    x, y = values((2, 3)), values((3,), seed=1)
    close(ef.linalg.cross(x, y), np.linalg.cross(x, np.broadcast_to(y, (2, 3))))
    close(np.cross(ef.asarray(x), y), np.cross(x, y))
    close(np.cross(ef.asarray(x.T), y, axisa=0), np.cross(x.T, y, axisa=0))
    close(ef.linalg.cross(x.T, x[::-1].T, axis=0), np.linalg.cross(x.T, x[::-1].T, axis=0))
    z = values((2, 3, 4))
    close(ef.linalg.diagonal(z, offset=1), np.linalg.diagonal(z, offset=1))
    close(np.linalg.trace(ef.asarray(z)), np.linalg.trace(z))
    close(np.linalg.matrix_transpose(ef.asarray(z)), np.swapaxes(z, -1, -2))
    close(np.linalg.vecdot(ef.asarray(x), y), np.linalg.vecdot(x, y))
    close(np.linalg.tensordot(ef.asarray(x), y, axes=1), np.linalg.tensordot(x, y, axes=1))
    close(np.linalg.outer(ef.asarray(y), y), np.linalg.outer(y, y))
    close(ef.linalg.cond(z[:, :, :3]), np.linalg.cond(z[:, :, :3]))
    close(np.linalg.cond(ef.asarray(z[0, :, :3]), 1), np.linalg.cond(z[0, :, :3], 1))
    for name in ef.linalg.__all__:
        assert getattr(ef.linalg, name).__doc__


@pytest.mark.parametrize("name", ["inv", "solve"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_singular_matrices_raise_an_error_that_helps(name: str, batch: tuple[int, ...]) -> None:
    x = np.ones((*batch, 2, 2))
    arguments = (x,) if name == "inv" else (x, np.ones(2))
    with pytest.raises(np.linalg.LinAlgError, match=rf"^{name}: a matrix is singular.*pinv") as caught:
        getattr(ef.linalg, name)(*arguments)
    assert "float64" in str(caught.value) and "test_linalg.py" in str(caught.value)


def test_errors_name_the_op_and_what_came() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="cholesky: a matrix is not positive definite"):
        ef.linalg.cholesky(-np.eye(2))
    for name in ("inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh"):
        for shape in ((2, 3), (3,), ()):
            with pytest.raises(ShapeError, match=rf"{name}: expected square matrices .* got shape \("):
                getattr(ef.linalg, name)(np.ones(shape))
    for name in ("svd", "qr", "svdvals", "pinv", "matrix_norm", "matrix_rank", "diagonal", "trace"):
        with pytest.raises(ShapeError, match=rf"{name}: expected matrices .* got shape \(3,\)"):
            getattr(ef.linalg, name)(np.ones(3))
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: ef.linalg.solve(np.eye(2), np.ones(3)), r"solve: the sizes do not meet: a is \(2, 2\) and b \(3,\)"),
        (lambda: ef.linalg.solve(np.ones((2, 3)), np.ones(3)), "solve: expected square"),
        (lambda: ef.linalg.solve(np.ones((2, 2, 2)), np.ones((3, 2, 2))), "solve: the batch dimensions"),
        (lambda: ef.linalg.norm(np.ones((2, 2, 2)), 2), "needs vectors or matrices"),
        (lambda: ef.linalg.norm(np.ones(2), axis=1), "norm: axis 1 is out of range"),
        (lambda: ef.linalg.cross(np.ones(2), np.ones(2)), "cross: expected vectors of length 3"),
    ]
    for function, message in cases:
        with pytest.raises(ShapeError, match=message):
            function()
    unknown: list[tuple[Callable[[], Any], str]] = [
        (lambda: ef.linalg.norm(np.ones((2, 2)), 7), "norm: no order 7"),
        (lambda: ef.linalg.norm(np.ones(2), "fro"), "norm: no order 'fro'"),
        (lambda: ef.linalg.qr(np.eye(2), mode="raw"), "qr: mode is"),
        (lambda: ef.linalg.eigh(np.eye(2), UPLO="X"), "UPLO"),
    ]
    for function, message in unknown:
        with pytest.raises(ArgumentError, match=message):
            function()
    with pytest.raises(DTypeError, match="float16"):
        ef.linalg.inv(np.eye(2, dtype=np.float16))
    with pytest.raises(DTypeError, match="matrix_power: the power is an integer"):
        ef.linalg.matrix_power(np.eye(2), 0.5)
