"""Spectra of matrices: eigenvalues and eigenvectors of Hermitian ones, singular values and vectors.

The gradients are the published ones (M. B. Giles, "Collected matrix derivative results", 2008;
J. Townsend, "Differentiating the singular value decomposition", 2016; Z.-Q. Wan and S.-X. Zhang,
"Automatic differentiation for complex valued SVD", 2019). They are published for conjugated
gradients; `conjugate` on the way in and on the way out turns them into ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, GradientError
from eagerflow.ops.checked import flag, guarded
from eagerflow.ops.elementwise.complex import real
from eagerflow.ops.linear_algebra.contraction import matmul
from eagerflow.ops.linear_algebra.solving import (
    adjoint,
    conjugate,
    constant,
    from_lower,
    hermitian,
    matrices,
    real_dtype,
    result_dtype,
)

__all__ = ["eigh", "eigvalsh", "svd", "svdvals"]


class EighResult(NamedTuple):
    """Eigenvalues and eigenvectors."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVDResult(NamedTuple):
    """Factors of `svd`."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def columns(x: Tensor) -> Tensor:
    """Make vectors multiply the columns of matrices."""
    return x.reshape((*x.shape[:-1], 1, x.shape[-1]))


def _rows(x: Tensor) -> Tensor:
    """Make vectors multiply the rows of matrices."""
    return x.reshape((*x.shape, 1))


def settled(draw: Draw, make: Callable[[], np.ndarray], vectors: Callable[[Any], Any]) -> np.ndarray:
    """Draw matrices near which the library keeps the signs of the vectors that it returns."""
    while True:
        x = make()
        here = vectors(x)
        steps = [1e-3 * draw.rng.normal(size=x.shape) for _ in range(4)]
        if all(np.abs(vectors(x + way * step) - here).max(initial=0.0) < 0.05 for step in steps for way in (1, -1)):
            return x


# Eigenvalues of Hermitian matrices


def _eigh_vjp(g: list[Tensor | None], out: tuple[Tensor, Tensor]) -> Tensor:
    on_values, on_vectors = g
    values, vectors = out
    inside: Any = None
    if on_vectors is not None:
        inside = matmul(adjoint(vectors), conjugate(on_vectors)) * off_diagonal(values)
        inside = matmul(vectors, inside)
    if on_values is not None:
        scaled = vectors * columns(on_values)
        inside = scaled if inside is None else inside + scaled
    return conjugate(from_lower(matmul(inside, adjoint(vectors))))


def off_diagonal(values: Tensor) -> Tensor:
    """Return one over the differences of eigenvalues, column minus row; zeros on the diagonal."""
    n = values.shape[-1]
    gaps = columns(values) - _rows(values) + constant(np.eye(n), values)
    return constant(1 - np.eye(n), values) / gaps


def _eigh_jvp(t: Tensor, out: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    values, vectors = out
    inside = matmul(matmul(adjoint(vectors), hermitian(t)), vectors)
    return real(inside.diagonal(0, -2, -1)), matmul(vectors, inside * off_diagonal(values))


def _eigvalsh_jvp(t: Tensor, x: Tensor) -> Tensor:
    vectors = _eigh(x)[1]
    return real((conjugate(vectors) * matmul(hermitian(t), vectors)).sum(axis=-2))


def _eigh_rule(x: Spec) -> tuple[Spec, Spec]:
    return Spec(x.shape[:-1], real_dtype(x.dtype)), Spec(x.shape, result_dtype(x.dtype))


def _sample_eigh(draw: Draw) -> Sample:
    n = draw.integer(1, 4)
    shape = (*draw.shape(max_dims=1), n, n)

    def make() -> np.ndarray:
        x = draw.array(shape, -0.5, 0.5)
        return (x + np.conj(np.swapaxes(x, -1, -2))) / 2 + np.diag(3.0 * np.arange(n))

    return Sample((settled(draw, make, lambda x: np.linalg.eigh(x)[1]),))


_eigh = Op(
    "eigh",
    lambda xp, x: tuple(xp.linalg.eigh(x)),
    inputs="x",
    outputs=2,
    infer=_eigh_rule,
    sample=_sample_eigh,
    vjp=_eigh_vjp,
    jvp=_eigh_jvp,
    batch="leading",
    flops=lambda x: 9.0 * x.size * x.shape[-1],
)

_eigvalsh = Op(
    "eigvalsh",
    lambda xp, x: xp.linalg.eigvalsh(x),
    inputs="x",
    infer=lambda x: Spec(x.shape[:-1], real_dtype(x.dtype)),
    sample=_sample_eigh,
    vjp=lambda g, x: _eigh_vjp([g, None], _eigh(x)),
    jvp=_eigvalsh_jvp,
    batch="leading",
    flops=lambda x: 4 / 3 * x.size * x.shape[-1],
    kinds="fc",
)


def _triangle(x: Any, uplo: str, name: str) -> Tensor:
    """Return matrices whose lower triangle is the one to read."""
    x = matrices(x, name, square=True)
    if uplo not in ("L", "U", "l", "u"):
        raise ArgumentError(f"{name}: UPLO is 'L' or 'U', got {uplo!r}\n  at {user_line()}")
    return adjoint(x) if uplo in "Uu" else x


@implements(np.linalg.eigh)
@guarded
def eigh(x: Any, /, UPLO: str = "L") -> EighResult:
    """Return eigenvalues and eigenvectors of Hermitian matrices.

    Parameters
    ----------
    x : array_like
        Hermitian (real: symmetric) matrices in the last two axes.
    UPLO : {"L", "U"}
        The triangle to read.

    Returns
    -------
    eigenvalues : Tensor
        In ascending order, real.
    eigenvectors : Tensor
        In the columns.

    Raises
    ------
    ShapeError
        The matrices are not square.
    ArgumentError
        `UPLO` is neither ``'L'`` nor ``'U'``.

    Notes
    -----
    The gradient is that of the triangle that is read: zero in the other one. Eigenvectors are
    determined up to their sign, or their phase for complex matrices: what is computed from
    them must not depend on it to have a gradient. Where eigenvalues are equal, eigenvectors
    have no derivative: divisions by zero give infinities or NaN, with NumPy's warning. The
    gradient of the eigenvalues alone is finite; use `eigvalsh` for those.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.eigh([[2.0, 0.0], [0.0, 1.0]]).eigenvalues
    Tensor([1., 2.])
    """
    return EighResult(*_eigh(_triangle(x, UPLO, "eigh")))


@implements(np.linalg.eigvalsh)
@guarded
def eigvalsh(x: Any, /, UPLO: str = "L") -> Tensor:
    """Return the eigenvalues of Hermitian matrices in ascending order.

    Parameters
    ----------
    x : array_like
        Hermitian matrices in the last two axes.
    UPLO : {"L", "U"}
        The triangle to read.

    Returns
    -------
    Tensor
        The eigenvalues, real.

    Raises
    ------
    ShapeError
        The matrices are not square.
    ArgumentError
        `UPLO` is neither ``'L'`` nor ``'U'``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.eigvalsh([[0.0, 1.0], [1.0, 0.0]])
    Tensor([-1.,  1.])
    """
    result: Tensor = _eigvalsh(_triangle(x, UPLO, "eigvalsh"))
    return result


# Singular values

_FULL = (
    "svd: full_matrices=True has no gradient for the vectors of matrices that are not square, as the "
    "matrix does not determine all of them; use full_matrices=False"
)


def _svd_vjp(
    g: list[Tensor | None], out: tuple[Tensor, Tensor, Tensor], shape: tuple[int, ...], full_matrices: bool
) -> Tensor:
    u, s, vh = out
    m, n = shape[-2:]
    on_u, on_s, on_vh = g
    if full_matrices and m != n:
        if on_u is not None or on_vh is not None:
            raise GradientError(_FULL)
        u, vh = u[..., : min(m, n)], vh[..., : min(m, n), :]
    if on_u is None and on_vh is None:
        assert on_s is not None
        return conjugate(matmul(u * columns(on_s), vh))
    k = min(m, n)
    eye = np.eye(k)
    # s_j^2 - s_i^2 as a product, which loses no digits; ones on the diagonal.
    gaps = (columns(s) - _rows(s)) * (columns(s) + _rows(s)) + constant(eye, s)
    weights = constant(1 - eye, s) / gaps
    middle: Any = None if on_s is None else _rows(on_s) * constant(eye, s)
    outside: Any = None
    if on_u is not None:
        on_u = conjugate(on_u)
        product = matmul(adjoint(u), on_u)
        skew = product - adjoint(product)
        part = skew * weights * columns(s)
        if skew.dtype.kind == "c":
            part = part + skew * constant(eye, s) / (2 * columns(s))
        middle = part if middle is None else middle + part
        if m > n:
            outside = matmul((on_u - matmul(u, product)) / columns(s), vh)
    if on_vh is not None:
        on_v = adjoint(conjugate(on_vh))
        v = adjoint(vh)
        product = matmul(vh, on_v)
        part = (product - adjoint(product)) * weights * _rows(s)
        middle = part if middle is None else middle + part
        if n > m:
            rest = matmul(u, adjoint((on_v - matmul(v, product)) / columns(s)))
            outside = rest if outside is None else outside + rest
    gradient = matmul(matmul(u, middle), vh)
    return conjugate(gradient if outside is None else gradient + outside)


def _svd_jvp(
    t: Tensor, out: tuple[Tensor, Tensor, Tensor], shape: tuple[int, ...], full_matrices: bool
) -> tuple[Tensor, Tensor, Tensor]:
    m, n = shape[-2:]
    if full_matrices and m != n:
        raise GradientError(_FULL)
    u, s, vh = out
    k = min(m, n)
    eye = constant(np.eye(k), s)
    v = adjoint(vh)
    moved = matmul(t, v)
    inner = matmul(adjoint(u), moved)
    weights = (1 - eye) / ((columns(s) - _rows(s)) * (columns(s) + _rows(s)) + eye)
    left = inner * columns(s)
    right = _rows(s) * inner
    on_u = matmul(u, weights * (left + adjoint(left)))
    on_v = matmul(v, weights * (right + adjoint(right)))
    if inner.dtype.kind == "c":
        on_u = on_u + u * columns(inner.diagonal(0, -2, -1).imag / s * 1j)
    if m > n:
        on_u = on_u + (moved - matmul(u, inner)) / columns(s)
    if n > m:
        other = matmul(adjoint(t), u)
        on_v = on_v + (other - matmul(v, adjoint(inner))) / columns(s)
    return on_u, real(inner.diagonal(0, -2, -1)), adjoint(on_v)


def _svd_kernel(xp: Any, x: Any, *, full_matrices: bool) -> Any:
    return tuple(xp.linalg.svd(x, full_matrices))


def _svd_rule(x: Spec, *, full_matrices: bool) -> tuple[Spec, Spec, Spec]:
    batch, (m, n) = x.shape[:-2], x.shape[-2:]
    k, dtype = min(m, n), result_dtype(x.dtype)
    left, right = (m, n) if full_matrices else (k, k)
    return Spec((*batch, m, left), dtype), Spec((*batch, k), real_dtype(x.dtype)), Spec((*batch, right, n), dtype)


def _sample_svd(draw: Draw) -> Sample:
    m, n = draw.integer(1, 4), draw.integer(1, 4)
    shape = (*draw.shape(max_dims=1), m, n)
    diagonal = np.eye(m, n) * 2.0 * np.arange(1, n + 1)
    x = settled(draw, lambda: draw.array(shape, -0.3, 0.3) + diagonal, lambda x: np.linalg.svd(x)[0])
    return Sample((x,), {"full_matrices": False})


def _svd_flops(x: Spec, **attrs: Any) -> float:
    return 14.0 * x.size * min(x.shape[-2:])


_svd = Op(
    "svd",
    _svd_kernel,
    inputs="x",
    outputs=3,
    infer=_svd_rule,
    sample=_sample_svd,
    vjp=_svd_vjp,
    jvp=_svd_jvp,
    batch="leading",
    flops=_svd_flops,
)


def svdvals_vjp(g: Tensor, x: Tensor) -> Tensor:
    u, _, vh = _svd(x, full_matrices=False)
    return conjugate(matmul(u * columns(g), vh))


def svdvals_jvp(t: Tensor, x: Tensor) -> Tensor:
    u, _, vh = _svd(x, full_matrices=False)
    return real((conjugate(u) * matmul(t, adjoint(vh))).sum(axis=-2))


_svdvals = Op(
    "svdvals",
    lambda xp, x: xp.linalg.svd(x, compute_uv=False),
    inputs="x",
    infer=lambda x: Spec((*x.shape[:-2], min(x.shape[-2:])), real_dtype(x.dtype)),
    sample=lambda draw: Sample(_sample_svd(draw).inputs),
    vjp=svdvals_vjp,
    jvp=svdvals_jvp,
    batch="leading",
    flops=lambda x: 4.0 * x.size * min(x.shape[-2:]),
    kinds="fc",
)


@implements(np.linalg.svd)
@guarded
def svd(x: Any, /, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Factor matrices into ``U @ diag(S) @ Vh``.

    Parameters
    ----------
    x : array_like
        Matrices in the last two axes, M by N.
    full_matrices : bool
        Whether U is M by M and Vh N by N, or both hold min(M, N) vectors.
    compute_uv : bool
        Otherwise the singular values alone are returned, as from `svdvals`.
    hermitian : bool
        Taken for compatibility; the result does not depend on it.

    Returns
    -------
    U : Tensor
        Left singular vectors, in the columns.
    S : Tensor
        Singular values in descending order.
    Vh : Tensor
        Right singular vectors, conjugated, in the rows.

    Raises
    ------
    ShapeError
        Fewer than two axes.

    Notes
    -----
    Where only the singular values are used, the gradient does not divide by their differences
    and is finite for equal ones; in forward mode, which follows the vectors too, use `svdvals`
    for this. The gradient of the vectors needs distinct singular values
    (and none that is 0, if M and N differ), ``full_matrices=False`` unless M and N are equal,
    and a result that does not depend on the vectors' signs or phases.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.svd([[3.0, 0.0], [0.0, 2.0]]).S
    Tensor([3., 2.])
    """
    x = matrices(x, "svd")
    if not flag(compute_uv, "svd", "compute_uv"):
        return svdvals(x)
    full = flag(full_matrices, "svd", "full_matrices") and x.shape[-1] != x.shape[-2]
    return SVDResult(*_svd(x, full_matrices=full))


@implements(np.linalg.svdvals)
@guarded
def svdvals(x: Any, /) -> Tensor:
    """Return the singular values of matrices in descending order.

    Parameters
    ----------
    x : array_like
        Matrices in the last two axes.

    Returns
    -------
    Tensor
        Singular values, real.

    Raises
    ------
    ShapeError
        Fewer than two axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.svdvals([[0.0, 2.0], [3.0, 0.0]])
    Tensor([3., 2.])
    """
    result: Tensor = _svdvals(matrices(x, "svdvals"))
    return result
