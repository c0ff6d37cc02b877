"""Linear: a dense layer."""

from __future__ import annotations

from typing import Any

from eagerflow.core import Tensor, Variable
from eagerflow.errors import ShapeError
from eagerflow.nn import initializers
from eagerflow.nn.module import Module, cast_input, dtype_of, size_of
from eagerflow.ops.checked import a_function, flag


class Linear(Module):
    """``x @ weight + bias``.

    Parameters
    ----------
    inputs, outputs : int
        Sizes of the last axis of input and output.
    bias : bool
        Whether there is a bias.
    dtype : dtype, optional
        Dtype of weights and output; inputs are cast to it. The default dtype if not given.
    initializer : callable
        How `weight`, of shape ``(inputs, outputs)``, starts; `bias` starts at zero.

    Raises
    ------
    ShapeError
        A size below 1.
    DTypeError
        A size that is no integer, a dtype that is not floating-point, or an initializer that is no function.

    Examples
    --------
    >>> import eagerflow as ef
    >>> layer = ef.nn.Linear(4, 3)
    >>> layer(ef.ones((2, 5, 4))).shape
    (2, 5, 3)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        dtype: Any = None,
        initializer: initializers.Initializer = initializers.glorot_uniform,
    ) -> None:
        inputs, outputs = size_of("Linear", "inputs", inputs), size_of("Linear", "outputs", outputs)
        dtype = dtype_of("Linear", dtype)
        with_bias = flag(bias, "Linear", "bias")
        a_function(initializer, "Linear", "initializer")
        self.weight = Variable(initializer((inputs, outputs), dtype, inputs, outputs), name="weight")
        self.bias = Variable(initializers.zeros((outputs,), dtype), name="bias") if with_bias else None

    def __call__(self, x: Any) -> Tensor:
        """Compute the layer.

        Parameters
        ----------
        x : array_like
            Of shape ``(..., inputs)``.

        Returns
        -------
        Tensor
            Of shape ``(..., outputs)``.

        Raises
        ------
        ShapeError
            The last axis is not `inputs` long.
        """
        weight = self.weight
        x = cast_input(x, weight.dtype)
        inputs, outputs = weight.shape
        shape = x.shape
        if not shape or shape[-1] != inputs:
            raise ShapeError(f"Linear: expected an input of shape (..., {inputs}), got {shape}")
        # One matrix product for all leading axes together.
        y = (x if len(shape) == 2 else x.reshape(-1, inputs)) @ weight
        if self.bias is not None:
            y = y + self.bias
        return y if len(shape) == 2 else y.reshape(*shape[:-1], outputs)

    def _describe(self) -> str:
        return f"{self.weight.shape[0]} -> {self.weight.shape[1]}{'' if self.bias is not None else ', bias=False'}"
