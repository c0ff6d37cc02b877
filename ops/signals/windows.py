"""Windows: weights that fade out a piece of a signal towards its ends."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError
from eagerflow.ops.checked import guarded
from eagerflow.ops.special_functions.bessel import i0

__all__ = ["bartlett", "blackman", "hamming", "hanning", "kaiser"]


def _window(function: Callable[[int], np.ndarray], M: Any, name: str) -> Tensor:
    return convert(function(_length(M, name)))


def _length(M: Any, name: str) -> int:
    try:
        whole = int(M)
    except (TypeError, ValueError):
        whole = -1
    if whole != M and not isinstance(M, int | np.integer):
        raise DTypeError(f"{name}: the length is an integer, got {M!r}\n  at {user_line()}")
    return builtins.max(whole, 0)


@guarded
def bartlett(M: int) -> Tensor:
    """Return a triangle, zero at the ends.

    Parameters
    ----------
    M : int
        Number of points; nothing for zero or less.

    Returns
    -------
    Tensor
        The weights, 1 in the middle.

    Raises
    ------
    DTypeError
        The length is no integer.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.bartlett(5)
    Tensor([0. , 0.5, 1. , 0.5, 0. ])
    """
    return _window(np.bartlett, M, "bartlett")


@guarded
def blackman(M: int) -> Tensor:
    """Return a window of Blackman, of three cosines.

    Parameters
    ----------
    M : int
        Number of points; nothing for zero or less.

    Returns
    -------
    Tensor
        The weights, 1 in the middle.

    Raises
    ------
    DTypeError
        The length is no integer.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.blackman(3).round(6)
    Tensor([-0.,  1., -0.])
    """
    return _window(np.blackman, M, "blackman")


@guarded
def hamming(M: int) -> Tensor:
    """Return a window of Hamming, a raised cosine that is not zero at the ends.

    Parameters
    ----------
    M : int
        Number of points; nothing for zero or less.

    Returns
    -------
    Tensor
        The weights, 1 in the middle.

    Raises
    ------
    DTypeError
        The length is no integer.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.hamming(3)
    Tensor([0.08, 1.  , 0.08])
    """
    return _window(np.hamming, M, "hamming")


@guarded
def hanning(M: int) -> Tensor:
    """Return a window of von Hann, a raised cosine.

    Parameters
    ----------
    M : int
        Number of points; nothing for zero or less.

    Returns
    -------
    Tensor
        The weights, 1 in the middle.

    Raises
    ------
    DTypeError
        The length is no integer.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.hanning(5)
    Tensor([0. , 0.5, 1. , 0.5, 0. ])
    """
    return _window(np.hanning, M, "hanning")


@guarded
def kaiser(M: int, beta: Any) -> Tensor:
    """Return the window of Kaiser.

    Parameters
    ----------
    M : int
        Number of points; nothing for zero or less.
    beta : float
        Its shape: 0 for a rectangle, about 6 for one as von Hann's. Gradients pass to it.

    Returns
    -------
    Tensor
        The weights, 1 in the middle.

    Raises
    ------
    DTypeError
        The length is no integer.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.kaiser(3, 0.0)
    Tensor([1., 1., 1.])
    """
    count = _length(M, "kaiser")
    if count == 1:
        return convert(np.ones(1))
    half = (count - 1) / 2.0
    shape = convert(beta)
    return i0(shape * np.sqrt(1 - ((np.arange(count) - half) / half) ** 2.0)) / i0(shape)
