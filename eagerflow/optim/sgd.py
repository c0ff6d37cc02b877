"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from eagerflow.errors import ArgumentError
from eagerflow.ops.checked import flag
from eagerflow.optim.optimizer import Optimizer, Schedule, _number


class SGD(Optimizer):
    """Stochastic gradient descent.

    Parameters
    ----------
    variables : Module or pytree of Variable
        What to optimize; of a Module its trainable Variables.
    learning_rate : float or callable
        The step size, or a schedule: a function of the number of steps done (0, 1, …).
    momentum : float
        How much of the last step's velocity is kept; 0 for none.
    nesterov : bool
        Whether to look ahead along the velocity (Sutskever et al., "On the importance of
        initialization and momentum in deep learning", ICML 2013).
    weight_decay : float
        Multiple of the Variable that is added to its gradient.
    master_weights : bool
        Whether to keep float32 copies of Variables of low precision; see `Optimizer`.

    Raises
    ------
    ArgumentError
        `nesterov` without momentum, or a negative number.
    DTypeError
        As `Optimizer`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> v = ef.Variable([1.0, 2.0])
    >>> opt = ef.optim.SGD([v], learning_rate=0.1)
    >>> opt.apply([ef.asarray([1.0, 1.0])])
    >>> v
    Variable([0.9, 1.9])
    """

    def __init__(
        self,
        variables: Any,
        learning_rate: float | Schedule,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        master_weights: bool = False,
    ) -> None:
        self.momentum = _number("SGD", "momentum", momentum)
        self.nesterov = flag(nesterov, "SGD", "nesterov")
        self.weight_decay = _number("SGD", "weight_decay", weight_decay)
        if self.nesterov and not self.momentum:
            raise ArgumentError("SGD: nesterov needs momentum; give for example momentum=0.9")
        self.slots = ("velocity",) if self.momentum else ()
        super().__init__(variables, learning_rate, master_weights)

    def _constants(self, step: int, rate: float) -> tuple[float, ...]:
        return (rate,)

    def _update(self, xp: Any, constants: tuple[float, ...], g: Any, w: Any, *slots: Any) -> None:
        if self.weight_decay:
            g = g + self.weight_decay * w
        if slots:
            (velocity,) = slots
            velocity *= self.momentum
            velocity += g
            g = g + self.momentum * velocity if self.nesterov else velocity
        w -= constants[0] * g
