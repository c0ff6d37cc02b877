"""Linear systems of known form, least squares, and eigenvalues of general matrices."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.errors import ArgumentError, DTypeError, ShapeError
from test_linalg import FLOATS, check, close, gradient, hermitian, square, values

FORMS = ["sym", "her", "pos", "lower triangular", "upper triangular"]
SCIPY = importlib.util.find_spec("scipy") is not None
LARGE = 60  # from some 50 rows on, LAPACK is called through SciPy where it is installed


def matrix_of(form: str, batch: tuple[int, ...], n: int, dtype: Any) -> np.ndarray:
    if form in ("pos", "positive definite"):
        return hermitian(batch, n, dtype) + np.eye(n, dtype=dtype)
    if form in ("sym", "her"):
        x = values((*batch, n, n), dtype)
        return (x + np.conj(np.swapaxes(x, -1, -2)) + 3 * np.diag(np.arange(1, n + 1) * (-1) ** np.arange(n))).astype(
            dtype
        )
    return (np.tril if form == "lower triangular" else np.triu)(square(batch, n, dtype))


def garbled(x: np.ndarray, form: str) -> np.ndarray:
    """Return the matrix with other values in the triangle that is not to be read."""
    other = np.triu(np.full_like(x, 7.0), 1) if form != "upper triangular" else np.tril(np.full_like(x, 7.0), -1)
    return np.where(other != 0, other, x)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("batch", "right"), [((), (4,)), ((), (4, 2)), ((3,), (4,)), ((3,), (4, 2)), ((2, 1), (3, 4, 1)), ((0,), (4, 1))]
)
def test_systems_of_a_form_as_general_ones(batch: Any, right: Any, form: str, dtype: str) -> None:
    if form == "sym" and dtype.startswith("c"):
        return
    a, b = matrix_of(form, batch, 4, dtype), values(right, dtype)
    expected = np.linalg.solve(a, b)
    close(ef.linalg.solve(garbled(a, form), b, assume_a=form), expected)
    if dtype in ("f8", "c16") and 0 not in batch:
        check(lambda a, b: ef.sum(ef.abs(ef.linalg.solve(a, b, assume_a=form)) ** 2), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_large_systems_as_small_ones(form: str, batch: Any, dtype: str) -> None:
    if form == "sym" and dtype.startswith("c"):
        return
    a, b = matrix_of(form, batch, LARGE, dtype), values((LARGE, 2), dtype)
    x = ef.linalg.solve(garbled(a, form), b, assume_a=form).numpy()
    assert x.dtype == a.dtype
    scale = np.abs(a).max() * max(np.abs(x).max(), 1.0)
    np.testing.assert_allclose(
        a @ x, np.broadcast_to(b, x.shape), atol=scale * (1e-4 if dtype in ("f4", "c8") else 1e-11)
    )


class Counting:
    """Counts calls of NumPy's functions that factor a matrix."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        for name in ("solve", "inv", "cholesky"):
            self._count(monkeypatch, np.linalg, name)
        if SCIPY:
            import scipy.linalg

            original = scipy.linalg.get_lapack_funcs

            def find(names: Any, *args: Any, **kwargs: Any) -> Any:
                self.calls.extend(name for name in names if name.endswith("trf"))
                return original(names, *args, **kwargs)

            monkeypatch.setattr(scipy.linalg, "get_lapack_funcs", find)

    def _count(self, monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> None:
        original = getattr(where, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(where, name, counted)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    # Kernels look NumPy's functions up when they run.
    return Counting(monkeypatch)


@pytest.mark.skipif(not SCIPY, reason="without SciPy each solution factors anew")
@pytest.mark.parametrize(("form", "factorizations"), [("sym", 1), ("her", 1), ("pos", 1), ("lower triangular", 0)])
def test_one_factorization_serves_the_solution_and_its_gradients(
    form: str, factorizations: int, counting: Counting
) -> None:
    a, b = ef.asarray(matrix_of(form, (), LARGE, "f8")), ef.asarray(values((LARGE,)))

    def loss(a: Any, b: Any) -> Any:
        return ef.sum(ef.linalg.solve(a, b, assume_a=form) ** 2)

    ef.grad(loss, argnums=(0, 1))(a, b)
    assert len(counting.calls) == factorizations
    counting.calls.clear()
    ef.grad(lambda a: ef.sum(ef.grad(loss)(a, b) ** 2))(a)
    assert len(counting.calls) == factorizations


@pytest.mark.skipif(not SCIPY, reason="without SciPy each solution factors anew")
def test_the_gradient_of_a_cholesky_factor_factors_nothing(counting: Counting) -> None:
    a, b = ef.asarray(matrix_of("pos", (), LARGE, "f8")), ef.asarray(values((LARGE,)))
    ef.grad(lambda a: ef.sum(ef.linalg.cho_solve((ef.linalg.cholesky(a), True), b)))(a)
    assert counting.calls == ["cholesky"]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [3, LARGE])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("trans", [0, 1, 2, "N", "T", "C"])
def test_triangular_systems(trans: Any, lower: bool, n: int, dtype: str) -> None:
    a, b = square((), n, dtype) / n, values((n, 2), dtype)
    for unit in (False, True):
        part = np.tril(a) if lower else np.triu(a)
        if unit:
            part = part - np.diag(np.diag(part)) + np.eye(n, dtype=dtype)
        part = {0: part, "N": part, 1: part.T, "T": part.T, 2: part.conj().T, "C": part.conj().T}[trans]
        x = ef.linalg.solve_triangular(a, b, trans=trans, lower=lower, unit_diagonal=unit).numpy()
        scale = max(np.abs(x).max(), 1.0) * n
        np.testing.assert_allclose(part @ x, b, atol=scale * (1e-4 if dtype in ("f4", "c8") else 1e-12))


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("lower", [False, True])
def test_solving_with_a_cholesky_factor(lower: bool, dtype: str) -> None:
    a, b = matrix_of("pos", (2,), 3, dtype), values((3,), dtype)
    factor = ef.linalg.cholesky(a, upper=not lower)
    close(ef.linalg.cho_solve((factor, lower), b), np.linalg.solve(a, b))

    def through(a: Any, b: Any) -> Any:
        return ef.sum(ef.abs(ef.linalg.cho_solve((ef.linalg.cholesky(a), True), b)) ** 2)

    check(through, a, b)


@pytest.mark.parametrize("rcond", [None, -1, 1e-3])
@pytest.mark.parametrize(("m", "n"), [(5, 2), (3, 3), (2, 4), (3, 0), (0, 3)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_least_squares_as_numpy(dtype: str, m: int, n: int, rcond: Any) -> None:
    a = values((m, n), dtype)
    for b in (values((m,), dtype), values((m, 2), dtype)):
        results, expected = ef.linalg.lstsq(a, b, rcond), np.linalg.lstsq(a, b, rcond)
        for result, part in zip(results, expected, strict=True):
            assert result.shape == np.shape(part)
            np.testing.assert_allclose(result.numpy(), part, rtol=1e-3, atol=1e-3 if dtype in ("f4", "c8") else 1e-9)
        assert results.x.dtype == expected[0].dtype and results.s.dtype == expected[3].dtype
        assert isinstance(np.linalg.lstsq(ef.asarray(a), ef.asarray(b), rcond).x, ef.Tensor)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize(("m", "n"), [(5, 2), (3, 3), (2, 4)])
def test_gradients_of_least_squares(m: int, n: int, dtype: str) -> None:
    a, b = values((m, n), dtype), values((m, 2), dtype, seed=1)
    check(lambda a, b: ef.sum(ef.abs(ef.linalg.lstsq(a, b).x) ** 2), a, b)
    check(lambda a, b: ef.sum(ef.linalg.lstsq(a, b).residuals) + ef.sum(ef.linalg.lstsq(a, b).s), a, b)


def test_gradient_of_least_squares_of_many_rows_makes_no_square_of_them() -> None:
    a, b = values((20_000, 3)), values((20_000,), seed=1)  # 3 GB as a square matrix
    expected = gradient(lambda a, b: ef.sum(ef.linalg.solve(a.mT @ a, a.mT @ b)), a, b)
    for f in (lambda a, b: ef.sum(ef.linalg.lstsq(a, b).x), lambda a, b: ef.sum(ef.linalg.pinv(a) @ b)):
        for got, wanted in zip(gradient(f, a, b), expected, strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-12)


def test_tolerances_for_each_matrix() -> None:
    x = np.stack([np.diag([1.0, 0.1]), np.diag([1.0, 0.1])])
    assert ef.linalg.matrix_rank(x, rtol=np.array([0.5, 0.01])).tolist() == [1, 2]
    assert ef.linalg.matrix_rank(x, np.array([0.01, 0.5])).tolist() == [2, 1]
    close(ef.linalg.pinv(x, rtol=np.array([0.5, 0.01])), np.linalg.pinv(x, rtol=np.array([0.5, 0.01])))
    with pytest.raises(ShapeError, match="one for each matrix"):
        ef.linalg.pinv(x, rtol=np.ones(3))


def test_systems_of_tensors_as_numpy() -> None:
    a, b = values((2, 3, 6)) + np.eye(6).reshape(2, 3, 6) * 5, values((2, 3))
    close(ef.linalg.tensorsolve(a, b), np.linalg.tensorsolve(a, b))
    close(np.linalg.tensorsolve(ef.asarray(a.transpose(2, 0, 1)), b, axes=(0,)), np.linalg.tensorsolve(a, b))
    close(ef.linalg.tensorinv(a), np.linalg.tensorinv(a))
    close(np.linalg.tensorinv(ef.asarray(a.reshape(6, 2, 3)), 1), np.linalg.tensorinv(a.reshape(6, 2, 3), 1))
    check(lambda a, b: ef.sum(ef.linalg.tensorsolve(a, b) ** 2), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("batch", [(), (3,), (0,)])
@pytest.mark.parametrize("n", [0, 1, 4])
def test_eigenvalues_and_vectors(n: int, batch: Any, dtype: str) -> None:
    x = values((*batch, n, n), dtype)
    values_, vectors = ef.linalg.eig(x)
    assert values_.dtype == vectors.dtype == np.result_type(dtype, np.complex64)
    tolerance = 1e-3 if dtype in ("f4", "c8") else 1e-9
    np.testing.assert_allclose(x @ vectors.numpy(), vectors.numpy() * values_.numpy()[..., None, :], atol=tolerance)
    alone = ef.linalg.eigvals(x)
    assert alone.dtype == values_.dtype
    np.testing.assert_allclose(np.sort_complex(alone.numpy()), np.sort_complex(values_.numpy()), atol=10 * tolerance)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_gradients_of_eigenvalues_and_vectors(dtype: str) -> None:
    x = values((2, 4, 4), dtype)
    # Of real matrices some eigenvalues are pairs of conjugates. What does not depend on the phases of the vectors:
    check(lambda x: ef.sum(ef.abs(ef.linalg.eigvals(x) - 0.5) ** 2), x)
    check(lambda x: ef.sum(ef.abs(ef.linalg.eig(x).eigenvalues - 0.5) ** 2), x)
    check(lambda x: ef.sum(ef.abs(ef.linalg.eig(x).eigenvectors) ** 4), x)
    weights = values((4, 4), "c16")
    check(lambda x: ef.sum(ef.abs(ef.matmul(weights, ef.linalg.eig(x).eigenvectors)) ** 2), x)


def test_eigenvalues_that_are_equal() -> None:
    (slope,) = gradient(lambda x: ef.sum(ef.real(ef.linalg.eigvals(x))), np.eye(3))
    np.testing.assert_allclose(slope, np.eye(3))


def test_numpys_eig_of_a_tensor_is_real_where_numpys_own_is() -> None:
    symmetric, turn = ef.asarray([[2.0, 1.0], [1.0, 2.0]]), ef.asarray([[0.0, 1.0], [-1.0, 0.0]])
    assert np.linalg.eig(symmetric).eigenvalues.dtype == np.linalg.eigvals(symmetric).dtype == ef.float64
    assert np.linalg.eig(turn).eigenvectors.dtype == np.linalg.eigvals(turn).dtype == ef.complex128
    assert ef.linalg.eig(symmetric).eigenvalues.dtype == ef.complex128
    slope = ef.grad(lambda x: ef.sum(np.linalg.eigvals(x) ** 2))(symmetric)
    np.testing.assert_allclose(slope.numpy(), 2 * symmetric.numpy())


A = ef.asarray(np.eye(3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ef.linalg.solve(A, ef.ones(2), assume_a="pos"), ShapeError, "solve: the sizes do not meet"),
        (lambda: ef.linalg.solve(A, ef.ones(3), assume_a="banded"), ArgumentError, "assume_a is 'gen'.*got 'banded'"),
        (lambda: ef.linalg.solve(A * 1j, ef.ones(3), assume_a="sym"), DTypeError, "assume_a='her'"),
        (lambda: ef.linalg.solve(-A, ef.ones(3), assume_a="pos"), np.linalg.LinAlgError, "not positive definite"),
        (lambda: ef.linalg.solve(A * 0, ef.ones(3), assume_a="sym"), np.linalg.LinAlgError, "singular"),
        (lambda: ef.linalg.solve_triangular(A * 0, ef.ones(3)), np.linalg.LinAlgError, "singular"),
        (lambda: ef.linalg.solve_triangular(A, ef.ones(3), trans="X"), ArgumentError, "trans is 0"),
        (lambda: ef.linalg.cho_solve((ef.ones((2, 3)), True), ef.ones(3)), ShapeError, "cho_solve: expected square"),
        (lambda: ef.linalg.lstsq(A, ef.ones(2)), ShapeError, "lstsq: the sizes do not meet"),
        (lambda: ef.linalg.tensorsolve(ef.ones((2, 3)), ef.ones(2)), ShapeError, "tensorsolve"),
        (lambda: ef.linalg.tensorinv(ef.ones((2, 3)), ind=1), ShapeError, "tensorinv"),
        (lambda: ef.linalg.eig(ef.ones((2, 3))), ShapeError, "eig: expected square matrices"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("form", ["sym", "pos", "lower triangular"])
def test_large_matrices_that_are_singular(form: str) -> None:
    with pytest.raises(np.linalg.LinAlgError, match=r"singular|not positive definite"):
        ef.linalg.solve(np.zeros((LARGE, LARGE)), np.ones(LARGE), assume_a=form)
