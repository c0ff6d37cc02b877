"""Determinants: of matrices, and their sign and logarithm."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eagerflow.core import Op, Spec, Tensor, implements
from eagerflow.ops.checked import guarded
from eagerflow.ops.linear_algebra.contraction import matmul
from eagerflow.ops.linear_algebra.solving import (
    cubic,
    inv,
    matrices,
    real_dtype,
    result_dtype,
    same_inexact,
    sample_invertible,
)

__all__ = ["det", "slogdet"]


class SlogdetResult(NamedTuple):
    """Sign, and logarithm of the absolute value, of determinants."""

    sign: Tensor
    logabsdet: Tensor


# The gradient of a determinant is the matrix of cofactors. It exists where the inverse does not.


def _cofactor_kernel(xp: Any, x: Any) -> Any:
    value = xp.linalg.det(x)
    if bool((value != 0).all()) and bool(xp.isfinite(value).all()):
        return xp.swapaxes(xp.linalg.inv(x), -1, -2) * value[..., None, None]
    # det(U S Vh) = det(U) det(Vh) prod(S): each cofactor leaves one of the singular values out.
    u, s, vh = xp.linalg.svd(x)
    ones = xp.ones_like(s[..., :1])
    before = xp.cumprod(xp.concatenate([ones, s[..., :-1]], axis=-1), axis=-1)
    after = xp.cumprod(xp.concatenate([ones, s[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
    phase = (xp.linalg.det(u) * xp.linalg.det(vh))[..., None, None]
    return phase * xp.matmul(u.conj() * (before * after)[..., None, :], vh.conj())


def _cofactor_vjp(g: Tensor, x: Tensor) -> Tensor:
    inverse = inv(x)
    transposed = inverse.mT
    weight = _det(x).reshape((*x.shape[:-2], 1, 1))
    inside = (g * transposed).sum(axis=(-2, -1), keepdims=True)
    return weight * (inside * transposed - matmul(matmul(transposed, g.mT), transposed))


_cofactor = Op(
    "cofactor",
    _cofactor_kernel,
    inputs="x",
    infer=same_inexact,
    sample=sample_invertible,
    vjp=_cofactor_vjp,
    jvp=lambda t, x: _cofactor_vjp(t, x),  # its matrix is symmetric
    batch="leading",
    flops=cubic(3),
    kinds="fc",
)

_det = Op(
    "det",
    lambda xp, x: xp.linalg.det(x),
    inputs="x",
    infer=lambda x: Spec(x.shape[:-2], result_dtype(x.dtype)),
    sample=sample_invertible,
    vjp=lambda g, x: g.reshape((*g.shape, 1, 1)) * _cofactor(x),
    jvp=lambda t, x: (t * _cofactor(x)).sum(axis=(-2, -1)),
    batch="leading",
    flops=cubic(2 / 3),
    kinds="fc",
)


@implements(np.linalg.det)
@guarded
def det(x: Any, /) -> Tensor:
    """Return the determinants of matrices.

    Parameters
    ----------
    x : array_like
        Square matrices in the last two axes.

    Returns
    -------
    Tensor
        One determinant for each matrix.

    Raises
    ------
    ShapeError
        The matrices are not square.

    Notes
    -----
    The gradient, the matrix of cofactors, is right for singular matrices too. The second
    derivative needs the inverse, and raises where there is none.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.det([[2.0, 0.0], [0.0, 4.0]])
    Tensor(8.)
    """
    result: Tensor = _det(matrices(x, "det", square=True))
    return result


def _slogdet_vjp(g: list[Tensor | None], x: Tensor, out: tuple[Tensor, Tensor]) -> Tensor:
    on_sign, on_log = g
    transposed = inv(x).mT
    weight: Any = None if on_log is None else on_log.reshape((*on_log.shape, 1, 1))
    if on_sign is not None and on_sign.dtype.kind == "c":
        turn = (on_sign * out[0]).imag * 1j
        turn = turn.reshape((*turn.shape, 1, 1))
        weight = turn if weight is None else weight + turn
    # The sign of a real determinant does not change.
    return transposed * 0 if weight is None else transposed * weight


def _slogdet_jvp(t: Tensor, x: Tensor, out: tuple[Tensor, Tensor]) -> tuple[Tensor | None, Tensor]:
    moved = (t * inv(x).mT).sum(axis=(-2, -1))
    return (out[0] * (moved.imag * 1j), moved.real) if moved.dtype.kind == "c" else (None, moved)


_slogdet = Op(
    "slogdet",
    lambda xp, x: xp.linalg.slogdet(x),
    inputs="x",
    outputs=2,
    infer=lambda x: (Spec(x.shape[:-2], result_dtype(x.dtype)), Spec(x.shape[:-2], real_dtype(x.dtype))),
    sample=sample_invertible,
    vjp=_slogdet_vjp,
    jvp=_slogdet_jvp,
    batch="leading",
    flops=cubic(2 / 3),
    kinds="fc",
)


@implements(np.linalg.slogdet)
@guarded
def slogdet(x: Any, /) -> SlogdetResult:
    """Return sign and logarithm of the determinants of matrices.

    Parameters
    ----------
    x : array_like
        Square matrices in the last two axes.

    Returns
    -------
    sign : Tensor
        -1, 0 or 1; for complex matrices a number of modulus 1, or 0.
    logabsdet : Tensor
        Natural logarithm of the absolute value; ``-inf`` for singular matrices.

    Raises
    ------
    ShapeError
        The matrices are not square.

    Notes
    -----
    The gradient needs the inverse, and raises ``LinAlgError`` for singular matrices.

    Examples
    --------
    >>> import eagerflow as ef
    >>> sign, logarithm = ef.linalg.slogdet([[2.0, 0.0], [0.0, -1.0]])
    >>> sign, logarithm
    (Tensor(-1.), Tensor(0.69314718))
    """
    return SlogdetResult(*_slogdet(matrices(x, "slogdet", square=True)))
