"""Eigenvalues and eigenvectors of general square matrices.

The gradients are the published ones (C. Boeddeker, P. Hanebrink, L. Drude, J. Heymann and R. Haeb-Umbach, "On the
computation of complex-valued gradients with application to statistically optimum beamforming", 2017), with columns of
length one. As in `spectral`, `conjugate` on the way in and out turns them into ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, implements
from eagerflow.errors import DeviceError
from eagerflow.ops.checked import guarded
from eagerflow.ops.elementwise.complex import real
from eagerflow.ops.indexing.along_axis import take_along_axis
from eagerflow.ops.linear_algebra.contraction import matmul
from eagerflow.ops.linear_algebra.solving import adjoint, conjugate, constant, matrices, result_dtype, solve_general
from eagerflow.ops.linear_algebra.spectral import columns, off_diagonal, settled
from eagerflow.ops.sorting.sorting import argsort

__all__ = ["eig", "eigvals"]


class EigResult(NamedTuple):
    """Eigenvalues and eigenvectors."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _complex(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.complex64 if result_dtype(dtype).char in "fF" else np.complex128)


def _library(xp: Any, name: str) -> Any:
    found = getattr(xp.linalg, name, None)
    if found is None:
        raise DeviceError(f"{name}: {xp.__name__} cannot compute it; move the matrix to the host with x.to('cpu:0')")
    return found


def _eig_kernel(xp: Any, x: Any) -> Any:
    # A real result where all eigenvalues happen to be real would make the dtype depend on the values.
    values, vectors = _library(xp, "eig")(x)
    dtype = _complex(x.dtype)
    return values.astype(dtype, copy=False), vectors.astype(dtype, copy=False)


def _lengths(vectors: Tensor, moved: Tensor) -> Tensor:
    """Return by how much each column of `moved` changes the length of that of `vectors`."""
    return columns(real((conjugate(vectors) * moved).sum(axis=-2)))


def _eig_vjp(g: list[Tensor | None], out: tuple[Tensor, Tensor]) -> Tensor:
    on_values, on_vectors = g
    values, vectors = out
    inside: Any = None
    if on_vectors is not None:
        on_vectors = conjugate(on_vectors)
        across = on_vectors - vectors * _lengths(vectors, on_vectors)
        inside = matmul(adjoint(vectors), across) * conjugate(off_diagonal(values))
    if on_values is not None:
        scaled = _diagonal(conjugate(on_values))
        inside = scaled if inside is None else inside + scaled
    back = adjoint(vectors)
    return conjugate(solve_general(back, matmul(inside, back)))


def _diagonal(values: Tensor) -> Tensor:
    return columns(values) * constant(np.eye(values.shape[-1]), values)


def _eig_jvp(t: Tensor, out: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    values, vectors = out
    inside = solve_general(vectors, matmul(t, vectors))
    moved = matmul(vectors, inside * off_diagonal(values))
    return inside.diagonal(0, -2, -1), moved - vectors * _lengths(vectors, moved)


def _sample_eig(draw: Draw) -> Sample:
    n = draw.integer(1, 4)
    shape = (*draw.shape(max_dims=1), n, n)
    diagonal = np.diag(3.0 * np.arange(n))
    return Sample((settled(draw, lambda: draw.array(shape, -0.5, 0.5) + diagonal, lambda x: np.linalg.eig(x)[1]),))


_eig = Op(
    "eig",
    _eig_kernel,
    inputs="x",
    outputs=2,
    infer=lambda x: (Spec(x.shape[:-1], _complex(x.dtype)), Spec(x.shape, _complex(x.dtype))),
    sample=_sample_eig,
    vjp=_eig_vjp,
    jvp=_eig_jvp,
    batch="leading",
    flops=lambda x: 25.0 * x.size * x.shape[-1],
)


def _rank_of(values: Tensor) -> Tensor:
    """Return the order of eigenvalues along a direction in which different ones differ."""
    return argsort(values.real * 0.8414709848 + values.imag * 0.5403023059)


def _vectors_of(x: Tensor, values: Tensor) -> Tensor:
    """Return eigenvectors in the order of eigenvalues that were computed without them."""
    found, vectors = _eig(x)
    order = take_along_axis(_rank_of(found), argsort(_rank_of(values)), -1)
    return take_along_axis(vectors, order.reshape((*order.shape[:-1], 1, order.shape[-1])), -1)


def _eigvals_vjp(g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    vectors = _vectors_of(x, out).mT
    return solve_general(vectors, g.reshape((*g.shape, 1)) * vectors)


def _eigvals_jvp(t: Tensor, x: Tensor, out: Tensor) -> Tensor:
    vectors = _vectors_of(x, out)
    return solve_general(vectors, matmul(t, vectors)).diagonal(0, -2, -1)


_eigvals = Op(
    "eigvals",
    lambda xp, x: _library(xp, "eigvals")(x).astype(_complex(x.dtype), copy=False),
    inputs="x",
    infer=lambda x: Spec(x.shape[:-1], _complex(x.dtype)),
    sample=_sample_eig,
    vjp=_eigvals_vjp,
    jvp=_eigvals_jvp,
    batch="leading",
    flops=lambda x: 10.0 * x.size * x.shape[-1],
    kinds="fc",
)


@guarded
def eig(x: Any, /) -> EigResult:
    """Return eigenvalues and eigenvectors of square matrices; see `eigh` for Hermitian ones.

    Parameters
    ----------
    x : array_like
        Square matrices in the last two axes.

    Returns
    -------
    eigenvalues : Tensor
        Complex, in no particular order.
    eigenvectors : Tensor
        In the columns, of length one; complex.

    Raises
    ------
    ShapeError
        The matrices are not square.

    Notes
    -----
    Eigenvectors are determined up to their phase: what is computed from them must not depend on it to have a
    gradient. Where eigenvalues are equal, eigenvectors have no derivative: divisions by zero give infinities or
    NaN, with NumPy's warning. Use `eigvals` if the vectors are not needed. `numpy.linalg.eig` of a Tensor gives
    real results where all eigenvalues of a real matrix are real, as NumPy does.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.eig([[0.0, 1.0], [-1.0, 0.0]]).eigenvalues
    Tensor([0.+1.j, 0.-1.j])
    """
    return EigResult(*_eig(matrices(x, "eig", square=True)))


@guarded
def eigvals(x: Any, /) -> Tensor:
    """Return the eigenvalues of square matrices.

    Parameters
    ----------
    x : array_like
        Square matrices in the last two axes.

    Returns
    -------
    Tensor
        The eigenvalues, complex, in no particular order.

    Raises
    ------
    ShapeError
        The matrices are not square.

    Notes
    -----
    The gradient computes the eigenvectors. Where eigenvalues are equal and their vectors are too, it does not exist:
    the matrix of the vectors is singular.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.eigvals([[2.0, 1.0], [0.0, 3.0]])
    Tensor([2.+0.j, 3.+0.j])
    """
    result: Tensor = _eigvals(matrices(x, "eigvals", square=True))
    return result


@implements(np.linalg.eig)
def _numpy_eig(a: Any) -> EigResult:
    a = matrices(a, "eig", square=True)
    values, vectors = eig(a)
    if a.dtype.kind != "c" and bool((values.imag == 0).all()):
        return EigResult(values.real, vectors.real)
    return EigResult(values, vectors)


@implements(np.linalg.eigvals)
def _numpy_eigvals(a: Any) -> Tensor:
    a = matrices(a, "eigvals", square=True)
    values = eigvals(a)
    return values.real if a.dtype.kind != "c" and bool((values.imag == 0).all()) else values
