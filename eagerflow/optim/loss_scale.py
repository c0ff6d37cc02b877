"""Loss scaling: gradients of float16 models, kept where float16 has digits.

Micikevicius et al., "Mixed precision training", ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import optree

from eagerflow.core import Tensor, Variable, convert
from eagerflow.errors import ArgumentError
from eagerflow.ops.checked import integer, number
from eagerflow.ops.precision import is_low
from eagerflow.optim.optimizer import Optimizer


class LossScale:
    """A fixed factor for the loss, by which its gradients are divided again.

    The smallest positive float16 is 6e-8, and gradients below it are 0. Those of a loss that was multiplied
    by a large factor are not. Steps with gradients that are infinite or NaN are left out.

    Parameters
    ----------
    scale : float
        The factor, above 0; best a power of two.

    Raises
    ------
    ArgumentError
        The factor is not above 0.
    DTypeError
        It is no number.

    Examples
    --------
    >>> import eagerflow as ef
    >>> w = ef.Variable([1.0, 2.0], dtype=ef.float16)
    >>> opt = ef.optim.SGD([w], learning_rate=0.5)
    >>> scaling = ef.optim.LossScale(1024.0)
    >>> with ef.GradientTape() as tape:
    ...     loss = scaling.scale(ef.sum(w * w) / 4)
    >>> scaling.apply(opt, [tape.gradient(loss, w)])
    True
    >>> w
    Variable([0.75, 1.5 ], dtype=float16)
    """

    def __init__(self, scale: float = 2.0**15) -> None:
        self._scale = Variable(_positive("scale", scale), trainable=False, name="scale", dtype=np.float64)

    @property
    def factor(self) -> float:
        """The factor now."""
        return float(self._scale)

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """Yield the Variables of its state with their names."""
        yield "scale", self._scale

    def scale(self, loss: Any) -> Tensor:
        """Return the loss times the factor.

        Parameters
        ----------
        loss : array_like
            The loss.

        Returns
        -------
        Tensor
            In float32 where the loss is of low precision: the product may be too large for float16.

        Examples
        --------
        >>> import eagerflow as ef
        >>> ef.optim.LossScale(1024.0).scale(2.0)
        Tensor(2048.)
        """
        loss = convert(loss)
        wide = loss.astype(np.float32) if is_low(loss.dtype) else loss
        return wide * self.factor

    def unscale(self, gradients: Any) -> Any:
        """Return gradients of the scaled loss divided by the factor.

        Parameters
        ----------
        gradients : pytree of array_like
            The gradients; None stays None.

        Returns
        -------
        pytree of Tensor
            In float32 where they are of low precision: the quotient may be too small for float16.

        Examples
        --------
        >>> import eagerflow as ef
        >>> ef.optim.LossScale(1024.0).unscale([ef.asarray(2048.0)])
        [Tensor(2.)]
        """
        inverse = 1 / self.factor

        def divide(gradient: Any) -> Tensor:
            g = convert(gradient)
            return (g.astype(np.float32) if is_low(g.dtype) else g) * inverse

        return optree.tree_map(divide, gradients)

    def apply(self, optimizer: Optimizer, gradients: Any) -> bool:
        """Do one step of the optimizer with gradients of the scaled loss, unless one is infinite or NaN.

        Parameters
        ----------
        optimizer : Optimizer
            Whose Variables to change.
        gradients : pytree of array_like
            As `Optimizer.apply` takes them.

        Returns
        -------
        bool
            Whether the step was done.

        Raises
        ------
        ShapeError, DTypeError, DeviceError
            The gradients do not fit; all Variables are as they were.
        """
        unscaled = self.unscale(gradients)
        leaves = optree.tree_leaves(unscaled)
        # In float64 no sum of float32 overflows that holds no infinity.
        finite = bool(np.isfinite(sum(float(abs(g).sum(dtype=np.float64)) for g in leaves)))
        if finite:
            optimizer.apply(unscaled)
        self._update(finite)
        return finite

    def _update(self, finite: bool) -> None:
        """Change the factor after a step that was done, or left out."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.factor:g})"


class DynamicLossScale(LossScale):
    """A factor for the loss that is found on the way: as large as gradients stay finite.

    It grows after a number of good steps, and shrinks with every step that is left out.

    Parameters
    ----------
    scale : float
        The factor to start with.
    growth_interval : int
        Number of good steps after which it grows.
    growth_factor : float
        By how much it grows, above 1.
    backoff_factor : float
        What it is multiplied by when gradients are infinite or NaN, between 0 and 1.
    least : float
        It does not fall below this.

    Raises
    ------
    ArgumentError
        A number outside its range.
    DTypeError
        Something else than a number.

    Examples
    --------
    >>> import eagerflow as ef
    >>> w = ef.Variable([1.0], dtype=ef.float16)
    >>> opt = ef.optim.SGD([w], learning_rate=0.5)
    >>> scaling = ef.optim.DynamicLossScale(1024.0, growth_interval=1)
    >>> scaling.apply(opt, [ef.asarray([ef.inf], dtype=ef.float16)]), scaling
    (False, DynamicLossScale(512))
    >>> scaling.apply(opt, [ef.asarray([512.0], dtype=ef.float16)]), scaling, w
    (True, DynamicLossScale(1024), Variable([0.5], dtype=float16))
    """

    def __init__(
        self,
        scale: float = 2.0**15,
        growth_interval: int = 2000,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        least: float = 1.0,
    ) -> None:
        super().__init__(scale)
        self.growth_interval = integer(growth_interval, "DynamicLossScale", "growth_interval")
        self.growth_factor = float(number(growth_factor, "DynamicLossScale", "growth_factor"))
        self.backoff_factor = float(number(backoff_factor, "DynamicLossScale", "backoff_factor"))
        if self.growth_interval < 1 or not self.growth_factor > 1 or not 0 < self.backoff_factor < 1:
            raise ArgumentError(
                "DynamicLossScale: expected growth_interval of 1 or more, growth_factor above 1 and backoff_factor "
                f"between 0 and 1, got {growth_interval!r}, {growth_factor!r} and {backoff_factor!r}"
            )
        self.least = _positive("least", least)
        self._good_steps = Variable(0, trainable=False, name="good_steps")

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """Yield the Variables of its state with their names."""
        yield from super().named_variables()
        yield "good_steps", self._good_steps

    def _update(self, finite: bool) -> None:
        good = int(self._good_steps) + 1 if finite else 0
        if not finite:
            self._scale.assign(max(self.factor * self.backoff_factor, self.least))
        elif good >= self.growth_interval:
            grown = self.factor * self.growth_factor
            self._scale.assign(grown if np.isfinite(np.float32(grown)) else self.factor)
            good = 0
        self._good_steps.assign(good)


def _positive(name: str, value: Any) -> float:
    chosen = float(number(value, "LossScale", name))
    if not 0 < chosen < float("inf"):
        raise ArgumentError(f"LossScale: expected {name} above 0 and finite, got {value!r}")
    return chosen
