"""Initializers: how Variables of layers start. Each is a function of shape, dtype and fan.

`fan_in` and `fan_out` are the numbers of inputs and outputs that one output and one input of the
layer are connected to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow import random
from eagerflow.core import Tensor, convert
from eagerflow.devices import find

Initializer = Callable[[tuple[int, ...], Any, int, int], Tensor]


def glorot_uniform(shape: tuple[int, ...], dtype: Any, fan_in: int, fan_out: int) -> Tensor:
    """Draw from ``(-b, b)`` with ``b = sqrt(6 / (fan_in + fan_out))``.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    dtype : dtype
        Dtype of the result.
    fan_in, fan_out : int
        Connections per output and per input.

    Returns
    -------
    Tensor
        The initial value.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.initializers.glorot_uniform((3, 2), ef.float32, 3, 2).shape
    (3, 2)
    """
    bound = math.sqrt(6 / max(fan_in + fan_out, 1))
    return random.uniform(-bound, bound, shape, dtype)


def he_uniform(shape: tuple[int, ...], dtype: Any, fan_in: int, fan_out: int) -> Tensor:
    """Draw from ``(-b, b)`` with ``b = sqrt(6 / fan_in)``, which suits relu.

    He et al., "Delving deep into rectifiers", ICCV 2015.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    dtype : dtype
        Dtype of the result.
    fan_in, fan_out : int
        Connections per output and per input.

    Returns
    -------
    Tensor
        The initial value.

    Examples
    --------
    >>> import eagerflow as ef
    >>> bool(abs(ef.nn.initializers.he_uniform((3, 2), ef.float32, 6, 2)).max() <= 1)
    True
    """
    bound = math.sqrt(6 / max(fan_in, 1))
    return random.uniform(-bound, bound, shape, dtype)


def normal(stddev: float = 1.0) -> Initializer:
    """Return the initializer that draws from a normal distribution around zero.

    Parameters
    ----------
    stddev : float
        Standard deviation.

    Returns
    -------
    callable
        The initializer.

    Examples
    --------
    >>> import eagerflow as ef
    >>> layer = ef.nn.Embedding(10, 3, initializer=ef.nn.initializers.normal(0.1))
    """

    def initializer(shape: tuple[int, ...], dtype: Any, fan_in: int, fan_out: int) -> Tensor:
        return random.normal(0.0, stddev, shape, dtype)

    return initializer


def uniform(bound: float) -> Initializer:
    """Return the initializer that draws from ``(-bound, bound)``.

    Parameters
    ----------
    bound : float
        Largest absolute value.

    Returns
    -------
    callable
        The initializer.

    Examples
    --------
    >>> import eagerflow as ef
    >>> layer = ef.nn.Linear(3, 2, initializer=ef.nn.initializers.uniform(0.1))
    """

    def initializer(shape: tuple[int, ...], dtype: Any, fan_in: int, fan_out: int) -> Tensor:
        return random.uniform(-bound, bound, shape, dtype)

    return initializer


def orthogonal(shape: tuple[int, ...], dtype: Any, fan_in: int, fan_out: int) -> Tensor:
    """Draw a matrix of square blocks side by side, each orthogonal.

    Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", ICLR 2014.

    Parameters
    ----------
    shape : tuple of int
        ``(n, k * n)``.
    dtype : dtype
        Dtype of the result.
    fan_in, fan_out : int
        Not used.

    Returns
    -------
    Tensor
        The initial value.

    Examples
    --------
    >>> import eagerflow as ef
    >>> w = ef.nn.initializers.orthogonal((3, 3), ef.float64, 3, 3)
    >>> (w @ w.T).round(6) + 0.0
    Tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 1.]])
    """
    size, width = shape
    drawn = random.normal(size=(width // size, size, size), dtype=np.float64).numpy()
    q, r = np.linalg.qr(drawn)
    # With the signs of r's diagonal the distribution is uniform over orthogonal matrices.
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    return convert(np.concatenate(list(q), axis=1).astype(dtype), None, find(None))


def zeros(shape: tuple[int, ...], dtype: Any, fan_in: int = 0, fan_out: int = 0) -> Tensor:
    """Return zeros.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    dtype : dtype
        Dtype of the result.
    fan_in, fan_out : int
        Not used.

    Returns
    -------
    Tensor
        The initial value.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.initializers.zeros((2,), ef.float64)
    Tensor([0., 0.])
    """
    return convert(np.zeros(shape, dtype))


def ones(shape: tuple[int, ...], dtype: Any, fan_in: int = 0, fan_out: int = 0) -> Tensor:
    """Return ones.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result.
    dtype : dtype
        Dtype of the result.
    fan_in, fan_out : int
        Not used.

    Returns
    -------
    Tensor
        The initial value.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.initializers.ones((2,), ef.float64)
    Tensor([1., 1.])
    """
    return convert(np.ones(shape, dtype))
