"""BatchNorm and LayerNorm."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Tensor, Variable
from eagerflow.errors import ArgumentError, ShapeError
from eagerflow.nn import initializers
from eagerflow.nn.module import Module, cast_input, dtype_of, size_of
from eagerflow.ops.arrays.conversion import stop_gradient
from eagerflow.ops.checked import integer, number, sequence
from eagerflow.ops.networks.normalization import batch_norm, batch_norm_inference, layer_norm


def _eps(eps: Any, layer: str) -> float:
    chosen: float = number(eps, layer, "eps")
    if not chosen >= 0:
        raise ArgumentError(f"{layer}: expected eps of 0 or more, got {eps!r}")
    return chosen


class BatchNorm(Module):
    """Give each channel mean 0 and variance 1, then scale and shift it.

    In training mode with the mean and variance of the batch, which also flow into running ones;
    otherwise with the running ones. Ioffe and Szegedy, "Batch normalization", ICML 2015.

    Parameters
    ----------
    channels : int
        Length of the channel axis.
    axis : int
        The channel axis.
    momentum : float
        How much of the running mean and variance each training call keeps, from 0 to 1.
    eps : float
        Added to variances.
    dtype : dtype, optional
        Dtype of weights and output; inputs are cast to it. The default dtype if not given.

    Raises
    ------
    ShapeError
        `channels` is below 1.
    ArgumentError
        `momentum` or `eps` is out of range.
    DTypeError
        A number is none, or the dtype is not floating-point.

    Notes
    -----
    `mean` and `variance`, the running ones, are Variables that are not trainable. The variance
    that flows in is the unbiased one, as far as there is more than one element.

    Examples
    --------
    >>> import eagerflow as ef
    >>> layer = ef.nn.BatchNorm(3)
    >>> layer(ef.random.normal(size=(16, 3, 4, 4))).mean(axis=(0, 2, 3)).round(6) + 0.0
    Tensor([0., 0., 0.])
    """

    def __init__(
        self, channels: int, axis: int = 1, momentum: float = 0.9, eps: float = 1e-5, dtype: Any = None
    ) -> None:
        shape = (size_of("BatchNorm", "channels", channels),)
        momentum = number(momentum, "BatchNorm", "momentum")
        if not 0 <= momentum <= 1:
            raise ArgumentError(f"BatchNorm: expected momentum from 0 to 1, got {momentum!r}")
        dtype = dtype_of("BatchNorm", dtype)
        self.axis, self.momentum, self.eps = integer(axis, "BatchNorm", "axis"), momentum, _eps(eps, "BatchNorm")
        self.weight = Variable(initializers.ones(shape, dtype), name="weight")
        self.bias = Variable(initializers.zeros(shape, dtype), name="bias")
        self.mean = Variable(initializers.zeros(shape, dtype), trainable=False, name="mean")
        self.variance = Variable(initializers.ones(shape, dtype), trainable=False, name="variance")

    def __call__(self, x: Any) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        x : array_like
            With `channels` elements along `axis`.

        Returns
        -------
        Tensor
            Of the shape of `x`.

        Raises
        ------
        ShapeError
            The input does not have that many channels.
        """
        x = cast_input(x, self.weight.dtype)
        if not -x.ndim <= self.axis < x.ndim or x.shape[self.axis] != self.weight.shape[0]:
            raise ShapeError(
                f"BatchNorm: expected {self.weight.shape[0]} channels along axis {self.axis}, got shape {x.shape}"
            )
        if not self.training:
            return batch_norm_inference(x, self.mean, self.variance, self.weight, self.bias, self.axis, self.eps)
        y, mean, variance = batch_norm(x, self.weight, self.bias, self.axis, self.eps)
        # Where Tensors stand in for the Variables there is nothing to keep.
        if isinstance(self.mean, Variable) and isinstance(self.variance, Variable):
            count = x.size // self.weight.size
            unbiased = count / (count - 1) if count > 1 else 1.0
            keep = self.momentum
            self.mean.assign(self.mean * keep + stop_gradient(mean) * (1 - keep))
            self.variance.assign(self.variance * keep + stop_gradient(variance) * ((1 - keep) * unbiased))
        return y

    def _describe(self) -> str:
        return f"{self.weight.shape[0]}{'' if self.axis == 1 else f', axis={self.axis}'}"


class LayerNorm(Module):
    """Give each example mean 0 and variance 1 over its last axes, then scale and shift it.

    Ba et al., "Layer normalization", 2016.

    Parameters
    ----------
    shape : int or tuple of int
        Lengths of the last axes.
    eps : float
        Added to variances.
    dtype : dtype, optional
        Dtype of weights and output; inputs are cast to it. The default dtype if not given.

    Raises
    ------
    ShapeError
        A length below 1, or no axes.
    ArgumentError
        `eps` is negative.
    DTypeError
        A number is none, or the dtype is not floating-point.

    Examples
    --------
    >>> import eagerflow as ef
    >>> layer = ef.nn.LayerNorm(4)
    >>> layer([[1.0, 2.0, 3.0, 4.0]]).round(3)
    Tensor([[-1.342, -0.447,  0.447,  1.342]])
    """

    def __init__(self, shape: int | tuple[int, ...], eps: float = 1e-5, dtype: Any = None) -> None:
        sides = (shape,) if isinstance(shape, int | np.integer) else tuple(sequence(shape, "LayerNorm", "shape"))
        sides = tuple(size_of("LayerNorm", "shape", side) for side in sides)
        if not sides:
            raise ShapeError("LayerNorm: expected one axis or more in shape, got none")
        dtype = dtype_of("LayerNorm", dtype)
        self.eps = _eps(eps, "LayerNorm")
        self.weight = Variable(initializers.ones(sides, dtype), name="weight")
        self.bias = Variable(initializers.zeros(sides, dtype), name="bias")

    def __call__(self, x: Any) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        x : array_like
            Whose last axes have the lengths `shape`.

        Returns
        -------
        Tensor
            Of the shape of `x`.

        Raises
        ------
        ShapeError
            The last axes have other lengths.
        """
        x = cast_input(x, self.weight.dtype)
        shape = self.weight.shape
        if x.shape[-len(shape) :] != shape:
            raise ShapeError(f"LayerNorm: expected an input whose last axes are {shape}, got shape {x.shape}")
        return layer_norm(x, self.weight, self.bias, tuple(range(-len(shape), 0)), self.eps)

    def _describe(self) -> str:
        return ", ".join(map(str, self.weight.shape))
