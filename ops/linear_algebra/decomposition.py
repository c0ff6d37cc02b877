"""Triangular factors of matrices: Cholesky and QR.

The gradients are the published ones (I. Murray, "Differentiation of the Cholesky decomposition",
2016; S. F. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions",
2018). They are published for conjugated gradients; `conjugate` on the way in and on the way out
turns them into ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, GradientError
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.checked import guarded
from eagerflow.ops.linear_algebra.contraction import matmul
from eagerflow.ops.linear_algebra.solving import (
    adjoint,
    conjugate,
    constant,
    from_lower,
    hermitian,
    lower_weights,
    matrices,
    result_dtype,
    same_inexact,
    saying,
)
from eagerflow.ops.linear_algebra.systems import NOT_POSITIVE, substitute

__all__ = ["cholesky", "qr"]


class QRResult(NamedTuple):
    """Factors of `qr`."""

    Q: Tensor
    R: Tensor


# Cholesky


def _cholesky_vjp(g: Tensor, out: Tensor) -> Tensor:
    inner = matmul(adjoint(out), conjugate(g)) * constant(lower_weights(out.shape[-1], 0.5, 1.0), out)
    inner = inner + adjoint(inner)
    # L^-H inner L^-1, for an inner that is its own adjoint.
    full = adjoint(substitute(out, adjoint(substitute(out, inner, True, adjoint=True)), True, adjoint=True))
    return conjugate(from_lower(full)) * 0.5


def _cholesky_jvp(t: Tensor, out: Tensor) -> Tensor:
    inner = substitute(out, adjoint(substitute(out, hermitian(t), True)), True)
    return matmul(out, inner * constant(lower_weights(out.shape[-1], 0.5, 1.0), out))


def _sample_cholesky(draw: Draw) -> Sample:
    n = draw.integer(1, 4)
    x = draw.array((*draw.shape(max_dims=1), n, n), -1, 1)
    return Sample((x @ np.conj(np.swapaxes(x, -1, -2)) + 2 * np.eye(n),))


_cholesky = Op(
    "cholesky",
    lambda xp, x: saying(NOT_POSITIVE, xp.linalg.cholesky, x),
    inputs="x",
    infer=same_inexact,
    sample=_sample_cholesky,
    vjp=_cholesky_vjp,
    jvp=_cholesky_jvp,
    batch="leading",
    flops=lambda x: x.size * x.shape[-1] / 3,
    kinds="fc",
)


@implements(np.linalg.cholesky)
@guarded
def cholesky(x: Any, /, *, upper: bool = False) -> Tensor:
    """Factor Hermitian positive definite matrices into ``L @ L.conj().mT``.

    Parameters
    ----------
    x : array_like
        Hermitian matrices in the last two axes. Only the lower triangle is read.
    upper : bool
        Return (and read) the upper triangle instead: U of ``U.conj().mT @ U``.

    Returns
    -------
    Tensor
        Triangular matrices with a positive diagonal.

    Raises
    ------
    ShapeError
        The matrices are not square.
    numpy.linalg.LinAlgError
        A matrix is not positive definite.

    Notes
    -----
    The gradient is that of the triangle that is read: zero in the other one. Its sum with its
    transpose, halved, is the symmetric form that some libraries return.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.cholesky([[4.0, 2.0], [2.0, 5.0]])
    Tensor([[2., 0.],
            [1., 2.]])
    """
    x = matrices(x, "cholesky", square=True)
    if upper:
        return adjoint(_cholesky(adjoint(x)))
    result: Tensor = _cholesky(x)
    return result


# QR


def _check_qr_mode(shape: tuple[int, ...], mode: str) -> None:
    if mode == "complete" and shape[-2] > shape[-1]:
        raise GradientError(
            "qr: mode='complete' has no gradient for matrices with more rows than columns, as they do not "
            "determine the further columns of Q; use mode='reduced'"
        )


def _qr_vjp(g: list[Tensor | None], out: tuple[Tensor, Tensor], shape: tuple[int, ...], mode: str) -> Tensor:
    _check_qr_mode(shape, mode)
    q, r = out
    on_q, on_r = (None if item is None else conjugate(item) for item in g)
    m, n = shape[-2:]
    if m >= n:
        return conjugate(_qr_tall_vjp(on_q, on_r, q, r))
    # A = [X Y] with a square X = Q U, and Y = Q V.
    rest = r[..., m:]
    last = None
    if on_r is not None:
        after = on_r[..., m:]
        last = matmul(q, after)
        more = matmul(matmul(q, rest), adjoint(after))
        on_q = more if on_q is None else on_q + more
        on_r = on_r[..., :m]
    first = _qr_tall_vjp(on_q, on_r, q, r[..., :m])
    return conjugate(concat([first, rest * 0 if last is None else last], axis=-1))


def _qr_tall_vjp(on_q: Tensor | None, on_r: Tensor | None, q: Tensor, r: Tensor) -> Tensor:
    n = r.shape[-1]
    middle: Any = None
    if on_r is not None:
        middle = matmul(r, adjoint(on_r))
    if on_q is not None:
        product = matmul(adjoint(on_q), q)
        middle = -product if middle is None else middle - product
    # The lower triangle, copied to the upper one; the diagonal is real.
    half = middle * constant(lower_weights(n, 0.5, 1.0), middle)
    left = matmul(q, half + adjoint(half))
    if on_q is not None:
        left = left + on_q
    return adjoint(substitute(r, adjoint(left), False))


def _qr_jvp(t: Tensor, out: tuple[Tensor, Tensor], shape: tuple[int, ...], mode: str) -> tuple[Tensor, Tensor]:
    _check_qr_mode(shape, mode)
    q, r = out
    m, n = shape[-2:]
    if m >= n:
        return _qr_tall_jvp(t, q, r)
    on_q, on_r = _qr_tall_jvp(t[..., :m], q, r[..., :m])
    return on_q, concat([on_r, matmul(adjoint(q), t[..., m:] - matmul(on_q, r[..., m:]))], axis=-1)


def _qr_tall_jvp(t: Tensor, q: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    n = r.shape[-1]
    moved = adjoint(substitute(r, adjoint(t), False, adjoint=True))
    inner = matmul(adjoint(q), moved)
    below = inner * constant(lower_weights(n, 0.0, 1.0), inner)
    skew = below - adjoint(below)
    if skew.dtype.kind == "c":
        skew = skew + inner.imag * constant(np.eye(n), inner) * 1j  # the diagonal of R stays real
    return moved + matmul(q, skew - inner), matmul(inner - skew, r)


def _qr_kernel(xp: Any, x: Any, *, mode: str) -> Any:
    return tuple(xp.linalg.qr(x, mode))


def _qr_rule(x: Spec, *, mode: str) -> tuple[Spec, Spec]:
    batch, (m, n) = x.shape[:-2], x.shape[-2:]
    k = min(m, n) if mode == "reduced" else m
    return Spec((*batch, m, k), result_dtype(x.dtype)), Spec((*batch, k, n), result_dtype(x.dtype))


def _sample_qr(draw: Draw) -> Sample:
    m, n = draw.integer(1, 4), draw.integer(1, 4)
    x = draw.array((*draw.shape(max_dims=1), m, n), -1, 1)
    return Sample((x + 3 * np.eye(m, n),), {"mode": "reduced"})


_qr = Op(
    "qr",
    _qr_kernel,
    inputs="x",
    outputs=2,
    infer=_qr_rule,
    sample=_sample_qr,
    vjp=_qr_vjp,
    jvp=_qr_jvp,
    batch="leading",
    flops=lambda x, **attrs: 4.0 * x.size * min(x.shape[-2:]),
)


@implements(np.linalg.qr)
@guarded
def qr(x: Any, /, mode: str = "reduced") -> Any:
    """Factor matrices into orthonormal columns and an upper triangle, ``Q @ R``.

    Parameters
    ----------
    x : array_like
        Matrices in the last two axes, M by N.
    mode : {"reduced", "complete", "r"}
        Whether Q has min(M, N) or M columns; ``"r"`` returns R alone.

    Returns
    -------
    Q, R : Tensor
        The factors.

    Raises
    ------
    ShapeError
        Fewer than two axes.
    ArgumentError
        Unknown mode.

    Notes
    -----
    The gradient needs linearly independent columns (of the first M, where N is more), and does
    not exist for ``"complete"`` with M greater than N.

    Examples
    --------
    >>> import eagerflow as ef
    >>> q, r = ef.linalg.qr([[0.0, 2.0], [3.0, 1.0]])
    >>> ef.matmul(q, r)
    Tensor([[0., 2.],
            [3., 1.]])
    """
    x = matrices(x, "qr")
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f"qr: mode is 'reduced', 'complete' or 'r', got {mode!r}\n  at {user_line()}")
    q, r = _qr(x, mode="complete" if mode == "complete" else "reduced")
    return r if mode == "r" else QRResult(q, r)
