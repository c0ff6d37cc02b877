"""LSTM: long short-term memory over sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eagerflow.core import Tensor, Variable, convert, wrap
from eagerflow.errors import ArgumentError, ShapeError
from eagerflow.nn import initializers
from eagerflow.nn.dropout import dropout
from eagerflow.nn.module import Module, cast_input, dtype_of, size_of
from eagerflow.ops.checked import flag, number
from eagerflow.ops.networks.lstm import lstm

State = list[tuple[Tensor, Tensor]]


class LSTM(Module):
    """Layers of long short-term memory, one on the outputs of the other.

    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997. The forget gates'
    bias starts at 1 (Jozefowicz et al., "An empirical exploration of recurrent network architectures",
    ICML 2015).

    Parameters
    ----------
    inputs : int
        Size of the input at each step.
    size : int
        Size of the output and of the cell.
    layers : int
        Number of layers.
    batch_first : bool
        Whether sequences come as ``(batch, time, inputs)``; otherwise ``(time, batch, inputs)``,
        which needs no rearrangement and is a little faster.
    dropout : float
        Rate of dropout on what goes from one layer to the next, in training mode (Zaremba et al.,
        "Recurrent neural network regularization", 2014).
    dtype : dtype, optional
        Dtype of weights and output; inputs are cast to it. The default dtype if not given.

    Raises
    ------
    ShapeError
        A size below 1.
    ArgumentError
        The dropout rate is out of range.
    DTypeError
        A size or the rate is no number, or the dtype is not floating-point.

    Notes
    -----
    Each layer has `weight` ``(inputs, 4 * size)``, `recurrent` ``(size, 4 * size)`` and `bias`
    ``(4 * size,)``, with the gates in the order input, forget, output, candidate.

    Examples
    --------
    >>> import eagerflow as ef
    >>> layer = ef.nn.LSTM(8, 16, layers=2)
    >>> outputs, state = layer(ef.ones((5, 3, 8)))
    >>> outputs.shape, state[1][0].shape
    ((5, 3, 16), (3, 16))
    >>> more, state = layer(ef.ones((5, 3, 8)), state)
    """

    def __init__(
        self,
        inputs: int,
        size: int,
        layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        dtype: Any = None,
    ) -> None:
        inputs, size = size_of("LSTM", "inputs", inputs), size_of("LSTM", "size", size)
        layers = size_of("LSTM", "layers", layers)
        dropout = number(dropout, "LSTM", "dropout")
        if not 0 <= dropout < 1:
            raise ArgumentError(f"LSTM: expected a dropout rate from 0 to below 1, got {dropout!r}")
        self.size = size
        self.batch_first = flag(batch_first, "LSTM", "batch_first")
        self.dropout = dropout
        dtype = dtype_of("LSTM", dtype)
        self.layers = [_Weights(inputs if not layer else size, size, dtype) for layer in range(layers)]

    def __call__(self, x: Any, state: Sequence[tuple[Any, Any]] | None = None) -> tuple[Tensor, State]:
        """Run over a sequence.

        Parameters
        ----------
        x : array_like
            Of shape ``(time, batch, inputs)``, or ``(batch, time, inputs)`` with `batch_first`.
        state : sequence of (h, c), optional
            Per layer output and cell before the first step, each of shape ``(batch, size)``;
            zeros if not given.

        Returns
        -------
        outputs : Tensor
            The last layer's output at each step, laid out as `x`, with `size` as its last axis.
        state : list of (h, c)
            Per layer output and cell after the last step; to go on from. Between training steps
            no gradient flows through it: the tape that it comes from is used up by then.

        Raises
        ------
        ShapeError
            Input or state do not have these shapes.
        """
        x = cast_input(x, self.layers[0].weight.dtype)
        if x.ndim != 3 or x.shape[2] != self.layers[0].weight.shape[0] or not x.shape[1 if self.batch_first else 0]:
            layout = "(batch, time, inputs)" if self.batch_first else "(time, batch, inputs)"
            raise ShapeError(
                f"LSTM: expected an input of shape {layout} with {self.layers[0].weight.shape[0]} inputs "
                f"and at least one step, got {x.shape}"
            )
        if self.batch_first:
            x = x.transpose(1, 0, 2)
        steps, batch = x.shape[:2]
        if state is None:
            zeros = wrap(x.device.kind.from_host(np.zeros((batch, self.size), x.dtype), x.device.index), x.device)
            state = [(zeros, zeros)] * len(self.layers)
        if len(state) != len(self.layers):
            raise ShapeError(f"LSTM: expected a state of {len(self.layers)} layers, got {len(state)}")
        after: State = []
        for position, (weights, (h0, c0)) in enumerate(zip(self.layers, state, strict=True)):
            if position:
                x = dropout(x, self.dropout, self.training)
            # The inputs' part in the gates of all steps is one matrix product.
            gates = x.reshape(steps * batch, x.shape[2]) @ weights.weight + weights.bias
            gates = gates.reshape(steps, batch, 4 * self.size)
            x, c = lstm(gates, cast_input(h0, gates.dtype), cast_input(c0, gates.dtype), weights.recurrent)
            after.append((x[-1], c[-1]))
        return (x.transpose(1, 0, 2) if self.batch_first else x), after

    def _describe(self) -> str:
        inputs = self.layers[0].weight.shape[0]
        first = ", batch_first=True" if self.batch_first else ""
        return f"{inputs} -> {self.size}{first}{f', dropout={self.dropout:g}' if self.dropout else ''}"


class _Weights(Module):
    """The Variables of one layer."""

    def __init__(self, inputs: int, size: int, dtype: Any) -> None:
        start = np.zeros(4 * size, dtype)
        start[size : 2 * size] = 1
        self.weight = Variable(initializers.glorot_uniform((inputs, 4 * size), dtype, inputs, size), name="weight")
        self.recurrent = Variable(initializers.orthogonal((size, 4 * size), dtype, size, size), name="recurrent")
        self.bias = Variable(convert(start), name="bias")

    def _describe(self) -> str:
        return f"{self.weight.shape[0]} -> {self.recurrent.shape[0]}"
