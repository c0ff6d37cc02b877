"""Conv2D: convolution of images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eagerflow.core import Tensor, Variable
from eagerflow.errors import ShapeError
from eagerflow.nn import initializers
from eagerflow.nn.module import Module, cast_input, dtype_of, size_of
from eagerflow.ops.checked import a_function, flag, sequence
from eagerflow.ops.networks.convolution import conv2d


class Conv2D(Module):
    """Convolve images of shape ``(batch, channels, height, width)``.

    Parameters
    ----------
    inputs, outputs : int
        Channels of input and output.
    kernel : int or pair of int
        Height and width of the kernels.
    stride, padding, dilation, groups
        As for `eagerflow.nn.conv2d`: ``padding="same"`` keeps the size at stride 1.
    bias : bool
        Whether there is a bias.
    dtype : dtype, optional
        Dtype of weights and output; inputs are cast to it. The default dtype if not given.
    initializer : callable
        How `weight`, of shape ``(outputs, inputs / groups, height, width)``, starts; `bias` starts at zero.

    Raises
    ------
    ShapeError
        A size below 1; channels do not divide into groups.
    DTypeError
        A size that is no integer, a dtype that is not floating-point, or an initializer that is no function.

    Examples
    --------
    >>> import eagerflow as ef
    >>> layer = ef.nn.Conv2D(1, 16, 3, padding="same")
    >>> layer(ef.ones((2, 1, 8, 8))).shape
    (2, 16, 8, 8)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: Any = None,
        initializer: initializers.Initializer = initializers.he_uniform,
    ) -> None:
        inputs, outputs = size_of("Conv2D", "inputs", inputs), size_of("Conv2D", "outputs", outputs)
        groups = size_of("Conv2D", "groups", groups)
        if inputs % groups or outputs % groups:
            raise ShapeError(f"Conv2D: {inputs} input and {outputs} output channels do not divide into {groups} groups")
        several = not isinstance(kernel, int | np.integer)
        sides = tuple(sequence(kernel, "Conv2D", "kernel")) if several else (kernel, kernel)
        if len(sides) != 2:
            raise ShapeError(f"Conv2D: expected a kernel of two sides, got {kernel!r}")
        sides = tuple(size_of("Conv2D", "kernel", side) for side in sides)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        dtype = dtype_of("Conv2D", dtype)
        area = math.prod(sides)
        shape = (outputs, inputs // groups, *sides)
        fans = (inputs // groups * area, outputs // groups * area)
        with_bias = flag(bias, "Conv2D", "bias")
        a_function(initializer, "Conv2D", "initializer")
        self.weight = Variable(initializer(shape, dtype, *fans), name="weight")
        self.bias = Variable(initializers.zeros((outputs,), dtype), name="bias") if with_bias else None

    def __call__(self, x: Any) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        x : array_like
            Of shape ``(batch, inputs, height, width)``.

        Returns
        -------
        Tensor
            Of shape ``(batch, outputs, new height, new width)``.

        Raises
        ------
        ShapeError
            The input does not have this shape, or is smaller than the kernel.
        """
        x = cast_input(x, self.weight.dtype)
        return conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def _describe(self) -> str:
        outputs, inputs, height, width = self.weight.shape
        text = f"{inputs * self.groups} -> {outputs}, kernel {height}x{width}"
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text + ("" if self.bias is not None else ", bias=False")
