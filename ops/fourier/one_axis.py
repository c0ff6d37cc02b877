"""Fourier transforms along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements
from eagerflow.ops.checked import guarded
from eagerflow.ops.elementwise.complex import conj
from eagerflow.ops.fourier.dft import OPPOSITE, dft, fitted, irdft, normalization, points, rdft, ready, refuse_complex

__all__ = [
    "fft",
    "hfft",
    "ifft",
    "ihfft",
    "irfft",
    "rfft",
]


def _one(x: Any, n: Any, axis: Any, norm: Any, name: str, inverse: bool) -> Tensor:
    x, axis, norm = ready(x, axis, norm, name)
    x = fitted(x, axis, points(x.shape[axis] if n is None else n, name))
    result: Tensor = dft(x, axes=(axis,), norm=norm, inverse=inverse)
    return result


@implements(np.fft.fft)
@guarded
def fft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """Return the discrete Fourier transform along an axis: ``sum_j x[j] * exp(-2πi*j*k/n)``.

    Parameters
    ----------
    x : array_like
        Input, real or complex.
    n : int, optional
        Number of points: the axis is cut, or filled up with zeros.
    axis : int
        The axis.
    norm : {"backward", "ortho", "forward"}
        Which way is divided by n; ``"ortho"``: each by its square root.

    Returns
    -------
    Tensor
        The spectrum, complex.

    Raises
    ------
    ShapeError
        The axis is out of range or empty, or `n` is not positive.
    ArgumentError
        Unknown `norm`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.fft([0.0, 1.0, 0.0, 0.0])
    Tensor([ 1.+0.j,  0.-1.j, -1.+0.j,  0.+1.j])
    """
    return _one(x, n, axis, norm, "fft", False)


@implements(np.fft.ifft)
@guarded
def ifft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """Return the inverse of `fft`: ``sum_k x[k] * exp(2πi*j*k/n) / n``.

    Parameters
    ----------
    x : array_like
        A spectrum.
    n, axis, norm
        As for `fft`.

    Returns
    -------
    Tensor
        Complex.

    Raises
    ------
    ShapeError, ArgumentError
        As `fft`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.ifft([4.0, 0.0, 0.0, 0.0])
    Tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """
    return _one(x, n, axis, norm, "ifft", True)


@implements(np.fft.rfft)
@guarded
def rfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """Return the first half of the Fourier transform of real numbers; the other is its conjugate.

    Parameters
    ----------
    x : array_like
        Real numbers.
    n, axis, norm
        As for `fft`.

    Returns
    -------
    Tensor
        Complex, of length ``n // 2 + 1`` along the axis.

    Raises
    ------
    ShapeError, ArgumentError
        As `fft`.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.rfft([0.0, 1.0, 0.0, 0.0])
    Tensor([ 1.+0.j,  0.-1.j, -1.+0.j])
    """
    x, axis, norm = ready(x, axis, norm, "rfft")
    refuse_complex(x, "rfft", "fft")
    n = points(x.shape[axis] if n is None else n, "rfft")
    result: Tensor = rdft(fitted(x, axis, n), axis=axis, norm=norm, n=n)
    return result


@implements(np.fft.irfft)
@guarded
def irfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """Return the inverse of `rfft`.

    Parameters
    ----------
    x : array_like
        Half a spectrum.
    n : int, optional
        Number of points of the result; ``2 * (m - 1)`` for m points of `x` if not given.
    axis, norm
        As for `fft`.

    Returns
    -------
    Tensor
        Real.

    Raises
    ------
    ShapeError, ArgumentError
        As `fft`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.irfft([1.0, -1.0j, -1.0])
    Tensor([0., 1., 0., 0.])
    """
    x, axis, norm = ready(x, axis, norm, "irfft")
    n = points(2 * (x.shape[axis] - 1) if n is None else n, "irfft")
    result: Tensor = irdft(fitted(x, axis, n // 2 + 1), axis=axis, norm=norm, n=n)
    return result


@implements(np.fft.hfft)
@guarded
def hfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """Return the Fourier transform of a signal whose second half is the conjugate of the first: it is real.

    Parameters
    ----------
    x : array_like
        The first half of the signal.
    n : int, optional
        Number of points of the result; ``2 * (m - 1)`` for m points of `x` if not given.
    axis, norm
        As for `fft`.

    Returns
    -------
    Tensor
        Real.

    Raises
    ------
    ShapeError, ArgumentError
        As `fft`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.hfft([1.0, 0.0, 0.0])
    Tensor([1., 1., 1., 1.])
    """
    return irfft(conj(convert(x)), n, axis, OPPOSITE[normalization(norm, "hfft")])


@implements(np.fft.ihfft)
@guarded
def ihfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = "backward") -> Tensor:
    """Return the inverse of `hfft`.

    Parameters
    ----------
    x : array_like
        A real spectrum.
    n, axis, norm
        As for `fft`.

    Returns
    -------
    Tensor
        Complex, of length ``n // 2 + 1`` along the axis.

    Raises
    ------
    ShapeError, ArgumentError
        As `fft`.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.ihfft([4.0, 0.0, 0.0, 0.0]).real
    Tensor([1., 1., 1.])
    """
    return conj(rfft(x, n, axis, OPPOSITE[normalization(norm, "ihfft")]))
