"""Functions of matrices through SciPy: exponential, logarithm, square root, sine and cosine.

The derivative of f at A along E is a block of f of a larger matrix: f([[A, E], [0, A]]) has it above its
diagonal (Higham, "Functions of matrices", SIAM 2008, §3.2). So each function is its own derivative's
kernel, to any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, is_inexact
from eagerflow.errors import MissingExtraError
from eagerflow.ops.arrays.conversion import stop_gradient
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.linear_algebra.solving import matrices

__all__ = ["cosm", "expm", "logm", "sinm", "sqrtm"]


def _kernel(xp: Any, x: Any, *, function: str) -> Any:
    try:
        import scipy.linalg as library
    except ImportError:
        raise MissingExtraError.of("SciPy", "scipy", f"ef.linalg.{function}") from None
    wide = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    out = np.empty_like(wide)
    for index in np.ndindex(x.shape[:-2]):
        out[index] = _one(getattr(library, function), wide[index])
    return out.astype(_rule(x, function=function).dtype)


def _one(function: Any, x: np.ndarray) -> Any:
    """Return the function of one matrix; NaN where it is not finite, or complex for a real matrix."""
    if not x.size:
        return x
    if not np.isfinite(x).all():
        return np.nan
    value = function(x)
    if x.dtype.kind != "c" and value.dtype.kind == "c":
        return value.real if np.abs(value.imag).max() <= 1e-12 * np.abs(value).max() else np.nan
    return value


def _rule(x: Any, *, function: str) -> Spec:
    return Spec(x.shape, x.dtype if is_inexact(x.dtype) else np.float64)


def _direction(e: Tensor, x: Tensor, function: str) -> Tensor:
    """Return the derivative at `x` along `e`."""
    n = x.shape[-1]
    # It is linear in e; e of the size of x neither drowns nor rules the kernel's scaling.
    size, own = (stop_gradient(abs(m)).max(axis=(-2, -1), keepdims=True) for m in (e, x))
    scale = where(size > 0, size, 1) / where(own > 0, own, 1)
    block = concat([concat([x, e / scale], axis=-1), concat([x * 0, x], axis=-1)], axis=-2)
    return _matrix_function(block, function=function)[..., :n, n:] * scale


def _sample(draw: Draw) -> Sample:
    n = draw.integer(1, 3)
    x = draw.array((*draw.shape(max_dims=1), n, n), -0.9, 0.9)
    return Sample((x / 2 + 2 * np.eye(n),), {"function": draw.choice(("expm", "logm", "sqrtm"))})


_matrix_function = Op(
    "matrix_function",
    _kernel,
    inputs="x",
    infer=_rule,
    sample=_sample,
    vjp=lambda g, x, function: _direction(g, x.mT, function),
    jvp=lambda t, x, function: _direction(t, x, function),
    batch="leading",
    lacks=lambda xp: None if xp is np else "function of matrices",
    flops=60,
    kinds="fc",
)


def _apply(x: Any, function: str) -> Tensor:
    result: Tensor = _matrix_function(matrices(x, function, square=True), function=function)
    return result


def expm(x: Any, /) -> Tensor:
    """Return the exponentials of matrices, ``Σ Aᵏ / k!``. It needs SciPy.

    Parameters
    ----------
    x : array_like
        Square matrices in the last two axes.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        The matrices are not square.
    MissingExtraError
        SciPy is not installed.

    References
    ----------
    Al-Mohy and Higham, "A new scaling and squaring algorithm for the matrix exponential", SIAM
    Journal on Matrix Analysis and Applications 31(3), 2009.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.expm([[0.0, 1.0], [0.0, 0.0]])
    Tensor([[1., 1.],
            [0., 1.]])
    """
    return _apply(x, "expm")


def logm(x: Any, /) -> Tensor:
    """Return the principal logarithms of matrices, the inverse of `expm`. It needs SciPy.

    Parameters
    ----------
    x : array_like
        Square matrices in the last two axes, without eigenvalue 0. Real ones with negative
        eigenvalues have no real logarithm, and give NaN: make them complex before.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        The matrices are not square.
    MissingExtraError
        SciPy is not installed.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.logm([[1.0, 1.0], [0.0, 1.0]])
    Tensor([[0., 1.],
            [0., 0.]])
    """
    return _apply(x, "logm")


def sqrtm(x: Any, /) -> Tensor:
    """Return the principal square roots of matrices. It needs SciPy.

    Parameters
    ----------
    x : array_like
        Square matrices in the last two axes. Real ones with negative eigenvalues have no real
        square root, and give NaN: make them complex before.

    Returns
    -------
    Tensor
        Of the shape of `x`. There is no derivative at singular matrices.

    Raises
    ------
    ShapeError
        The matrices are not square.
    MissingExtraError
        SciPy is not installed.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.sqrtm([[4.0, 0.0], [0.0, 9.0]])
    Tensor([[2., 0.],
            [0., 3.]])
    """
    return _apply(x, "sqrtm")


def cosm(x: Any, /) -> Tensor:
    """Return the cosines of matrices. It needs SciPy.

    Parameters
    ----------
    x : array_like
        Square matrices in the last two axes.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        The matrices are not square.
    MissingExtraError
        SciPy is not installed.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.cosm([[0.0, 1.0], [0.0, 0.0]])
    Tensor([[1., 0.],
            [0., 1.]])
    """
    x = matrices(x, "cosm", square=True)
    if x.dtype.kind != "c":
        return expm(x * 1j).real
    return (expm(x * 1j) + expm(x * -1j)) / 2


def sinm(x: Any, /) -> Tensor:
    """Return the sines of matrices. It needs SciPy.

    Parameters
    ----------
    x : array_like
        Square matrices in the last two axes.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        The matrices are not square.
    MissingExtraError
        SciPy is not installed.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.sinm([[0.0, 1.0], [0.0, 0.0]])
    Tensor([[0., 1.],
            [0., 0.]])
    """
    x = matrices(x, "sinm", square=True)
    if x.dtype.kind != "c":
        return expm(x * 1j).imag
    return (expm(x * 1j) - expm(x * -1j)) / 2j
