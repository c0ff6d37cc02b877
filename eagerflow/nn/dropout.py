"""Dropout."""

from __future__ import annotations

from typing import Any

from eagerflow import devices, random
from eagerflow.core import Tensor, convert, default_dtype, is_inexact
from eagerflow.core.explain import describe, user_line
from eagerflow.errors import ArgumentError, DTypeError
from eagerflow.nn.module import Module
from eagerflow.ops.checked import flag, number


def _checked(rate: Any, name: str) -> float:
    chosen: float = number(rate, name, "rate")
    if not 0 <= chosen < 1:
        raise ArgumentError(f"{name}: expected a rate from 0 to below 1, got {rate!r}\n  at {user_line()}")
    return chosen


def _check_generator(generator: Any, name: str) -> None:
    if generator is not None and not isinstance(generator, random.Generator):
        raise DTypeError(f"{name}: generator is a Generator, got {describe(generator)}\n  at {user_line()}")


def dropout(x: Any, rate: float = 0.5, training: bool = True, generator: random.Generator | None = None) -> Tensor:
    """Set elements to zero at random, and scale the others so that the mean stays.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.

    Parameters
    ----------
    x : array_like
        Input.
    rate : float
        Probability of zero, from 0 (never) to below 1; rounded to a multiple of 2**-16.
    training : bool
        Whether to do it at all.
    generator : Generator, optional
        Where the draws come from; that of `eagerflow.random` if not given.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ArgumentError
        The rate is out of range.
    DTypeError
        The rate is no number, or `generator` no Generator.

    Examples
    --------
    >>> import eagerflow as ef
    >>> sorted(set(ef.nn.dropout(ef.ones(100), 0.5).tolist()))
    [0.0, 2.0]
    >>> ef.nn.dropout(ef.ones(2), 0.5, training=False)
    Tensor([1., 1.])
    """
    rate = _checked(rate, "dropout")
    _check_generator(generator, "dropout")
    x = convert(x)
    if not flag(training, "dropout", "training") or not rate:
        return x
    dtype = x.dtype if is_inexact(x.dtype) and x.dtype.kind != "c" else default_dtype()
    draw = (generator or random.default_generator).dropout_mask
    if x.device is devices.current():
        return x * draw(rate, x.shape, dtype)
    with devices.device(x.device):
        return x * draw(rate, x.shape, dtype)


class Dropout(Module):
    """`dropout` while the module is in training mode; the identity otherwise.

    Parameters
    ----------
    rate : float
        Probability of zero.
    generator : Generator, optional
        Where the draws come from; that of `eagerflow.random` if not given.

    Raises
    ------
    ArgumentError
        The rate is out of range.
    DTypeError
        The rate is no number, or `generator` no Generator.

    Examples
    --------
    >>> import eagerflow as ef
    >>> layer = ef.nn.Dropout(0.5).eval()
    >>> layer([1.0, 2.0])
    Tensor([1., 2.])
    """

    def __init__(self, rate: float = 0.5, generator: random.Generator | None = None) -> None:
        self.rate = _checked(rate, "Dropout")
        _check_generator(generator, "Dropout")
        self.generator = generator

    def __call__(self, x: Any) -> Tensor:
        """Return `x` with elements dropped, in training mode."""
        return dropout(x, self.rate, self.training, self.generator)

    def _describe(self) -> str:
        return f"{self.rate:g}"
