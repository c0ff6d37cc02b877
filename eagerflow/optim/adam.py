"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from eagerflow.errors import ArgumentError
from eagerflow.optim.optimizer import Optimizer, Schedule, _number


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Parameters
    ----------
    variables : Module or pytree of Variable
        What to optimize; of a Module its trainable Variables.
    learning_rate : float or callable
        The step size, or a schedule: a function of the number of steps done (0, 1, …).
    beta1, beta2 : float
        Decay of the running means of the gradient and of its square, in ``[0, 1)``.
    epsilon : float
        Added to the root of the mean square.
    master_weights : bool
        Whether to keep float32 copies of Variables of low precision; see `Optimizer`.

    Raises
    ------
    ArgumentError
        A number outside its range.
    DTypeError
        As `Optimizer`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> v = ef.Variable([1.0, -1.0])
    >>> opt = ef.optim.Adam([v], learning_rate=0.1)
    >>> opt.apply([ef.asarray([5.0, -0.01])])
    >>> v.value.round(4)
    Tensor([ 0.9, -0.9])
    """

    slots = ("mean", "square")
    weight_decay = 0.0

    def __init__(
        self,
        variables: Any,
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        master_weights: bool = False,
    ) -> None:
        kind = type(self).__name__
        self.beta1 = _number(kind, "beta1", beta1)
        self.beta2 = _number(kind, "beta2", beta2)
        self.epsilon = _number(kind, "epsilon", epsilon)
        if self.beta1 >= 1 or self.beta2 >= 1:
            raise ArgumentError(f"{kind}: expected beta1 and beta2 below 1, got {beta1} and {beta2}")
        super().__init__(variables, learning_rate, master_weights)

    def _constants(self, step: int, rate: float) -> tuple[float, ...]:
        # rate * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + e), with the corrections pulled out of the roots.
        root = (1 - self.beta2**step) ** 0.5
        return rate * root / (1 - self.beta1**step), self.epsilon * root, 1 - rate * self.weight_decay

    def _update(self, xp: Any, constants: tuple[float, ...], g: Any, w: Any, *slots: Any) -> None:
        rate, epsilon, shrink = constants
        mean, square = slots
        work = g * (1 - self.beta1)
        mean *= self.beta1
        mean += work
        xp.multiply(g, g, out=work)
        work *= 1 - self.beta2
        square *= self.beta2
        square += work
        xp.sqrt(square, out=work)
        work += epsilon
        xp.divide(mean, work, out=work)
        work *= rate
        if self.weight_decay:
            w *= shrink
        w -= work


class AdamW(Adam):
    """Adam with decoupled weight decay: Variables shrink beside the adapted step, not through it.

    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Parameters
    ----------
    variables : Module or pytree of Variable
        What to optimize; of a Module its trainable Variables.
    learning_rate : float or callable
        The step size, or a schedule: a function of the number of steps done (0, 1, …).
    weight_decay : float
        Each step multiplies Variables by ``1 - learning_rate * weight_decay``.
    beta1, beta2, epsilon : float
        As for `Adam`.
    master_weights : bool
        Whether to keep float32 copies of Variables of low precision; see `Optimizer`.

    Raises
    ------
    ArgumentError
        A number outside its range.
    DTypeError
        As `Optimizer`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> v = ef.Variable([1.0])
    >>> ef.optim.AdamW([v], learning_rate=0.1, weight_decay=0.5).apply([ef.asarray([0.0])])
    >>> v
    Variable([0.95])
    """

    def __init__(
        self,
        variables: Any,
        learning_rate: float | Schedule = 1e-3,
        weight_decay: float = 1e-2,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        master_weights: bool = False,
    ) -> None:
        self.weight_decay = _number("AdamW", "weight_decay", weight_decay)
        super().__init__(variables, learning_rate, beta1, beta2, epsilon, master_weights)
