"""Fourier transforms: the namespace ``ef.fft``, after the array API's extension and `numpy.fft`.

Examples
--------
>>> import eagerflow as ef
>>> ef.fft.fft([1.0, 0.0, 0.0, 0.0])
Tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, default_dtype, implements
from eagerflow.devices import Device
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.arrays.movement import roll
from eagerflow.ops.arrays.ranges import arange
from eagerflow.ops.axes import some_axes
from eagerflow.ops.checked import guarded
from eagerflow.ops.fourier.dft import points
from eagerflow.ops.fourier.one_axis import fft, hfft, ifft, ihfft, irfft, rfft
from eagerflow.ops.fourier.several_axes import fft2, fftn, ifft2, ifftn, irfft2, irfftn, rfft2, rfftn

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]


@implements(np.fft.fftfreq)
@guarded
def fftfreq(n: int, /, d: Any = 1.0, *, dtype: Any = None, device: str | Device | None = None) -> Tensor:
    """Return the frequencies of the points of `fft`: 0, the positive ones, the negative ones.

    Parameters
    ----------
    n : int
        Number of points.
    d : float or Tensor
        Distance of the samples; gradients pass to it.
    dtype : dtype, optional
        The dtype; the default dtype if not given.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        In cycles per unit of `d`.

    Raises
    ------
    ShapeError
        `n` is not positive.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.fftfreq(4)
    Tensor([ 0.  ,  0.25, -0.5 , -0.25])
    """
    n = points(n, "fftfreq")
    wanted = default_dtype() if dtype is None else dtype
    parts = [arange(0, (n - 1) // 2 + 1, device=device), arange(-(n // 2), 0, device=device)]
    return concat(parts).astype(wanted) * (1.0 / (n * d))


@implements(np.fft.rfftfreq)
@guarded
def rfftfreq(n: int, /, d: Any = 1.0, *, dtype: Any = None, device: str | Device | None = None) -> Tensor:
    """Return the frequencies of the points of `rfft`.

    Parameters
    ----------
    n : int
        Number of points of the signal.
    d : float or Tensor
        Distance of the samples; gradients pass to it.
    dtype : dtype, optional
        The dtype; the default dtype if not given.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        In cycles per unit of `d`.

    Raises
    ------
    ShapeError
        `n` is not positive.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.rfftfreq(4)
    Tensor([0.  , 0.25, 0.5 ])
    """
    n = points(n, "rfftfreq")
    return arange(0, n // 2 + 1, device=device).astype(default_dtype() if dtype is None else dtype) * (1.0 / (n * d))


@implements(np.fft.fftshift)
@guarded
def fftshift(x: Any, /, axes: Any = None) -> Tensor:
    """Move frequency 0 to the middle of a spectrum.

    Parameters
    ----------
    x : array_like
        A spectrum.
    axes : int or tuple of int, optional
        The axes; all if not given.

    Returns
    -------
    Tensor
        The same values, rotated.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.fftshift([0, 1, 2, -2, -1])
    Tensor([-2, -1,  0,  1,  2])
    """
    x = convert(x)
    chosen = some_axes(axes, x.ndim, "fftshift")
    return roll(x, tuple(x.shape[axis] // 2 for axis in chosen), axis=chosen)


@implements(np.fft.ifftshift)
@guarded
def ifftshift(x: Any, /, axes: Any = None) -> Tensor:
    """Undo `fftshift`.

    Parameters
    ----------
    x : array_like
        A spectrum with frequency 0 in the middle.
    axes : int or tuple of int, optional
        The axes; all if not given.

    Returns
    -------
    Tensor
        The same values, rotated.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.ifftshift([-2, -1, 0, 1, 2])
    Tensor([ 0,  1,  2, -2, -1])
    """
    x = convert(x)
    chosen = some_axes(axes, x.ndim, "ifftshift")
    return roll(x, tuple(-(x.shape[axis] // 2) for axis in chosen), axis=chosen)
