"""Polynomials as vectors of coefficients, that of the highest power first, as NumPy's functions have them."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements, is_inexact
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, DTypeError, ShapeError
from eagerflow.ops.arrays.conversion import astype
from eagerflow.ops.arrays.creation import ones, zeros
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.arrays.padding import pad
from eagerflow.ops.arrays.shape import atleast_1d, broadcast_to
from eagerflow.ops.checked import guarded, number
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.linear_algebra.contraction import matmul
from eagerflow.ops.linear_algebra.solving import matrix_rank, pinv
from eagerflow.ops.reductions.cumulative import cumprod
from eagerflow.ops.reductions.reduction import sum
from eagerflow.ops.signals.signals import convolve

__all__ = ["polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub", "polyval", "vander"]


def coefficients(p: Any, name: str) -> Tensor:
    """Return coefficients as a vector.

    Raises
    ------
    ShapeError
        They are none.
    """
    made = atleast_1d(p.coeffs if isinstance(p, np.poly1d) else p)
    if made.ndim > 1:
        raise ShapeError(f"{name}: coefficients are a vector, got shape {made.shape}\n  at {user_line()}")
    return made


def floating(x: Tensor) -> Tensor:
    """Return integers and booleans as float64, other numbers as they are."""
    return x if is_inexact(x.dtype) else astype(x, np.float64)


@implements(np.polyval)
@guarded
def polyval(p: Any, x: Any) -> Tensor:
    """Evaluate a polynomial by Horner's rule.

    Parameters
    ----------
    p : array_like
        Coefficients, that of the highest power first.
    x : array_like
        Where.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        The coefficients are no vector.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.polyval([3.0, 0.0, 1.0], 5.0)
    Tensor(76.)
    """
    line, at = coefficients(p, "polyval"), convert(x)
    value: Any = at * 0
    for power in range(line.size):
        value = value * at + line[power]
    return value


def _aligned(a: Any, b: Any, name: str) -> tuple[Tensor, Tensor]:
    first, second = coefficients(a, name), coefficients(b, name)
    length = max(first.size, second.size)
    return tuple(x if x.size == length else pad(x, (length - x.size, 0)) for x in (first, second))  # type: ignore[return-value]


@implements(np.polyadd)
@guarded
def polyadd(a1: Any, a2: Any) -> Any:
    """Return the sum of two polynomials.

    Parameters
    ----------
    a1, a2 : array_like
        Coefficients, that of the highest power first.

    Returns
    -------
    Tensor
        Coefficients, as many as the longer one has.

    Raises
    ------
    ShapeError
        The coefficients are no vectors.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.polyadd([1.0, 2.0, 3.0], [1.0, 2.0])
    Tensor([1., 3., 5.])
    """
    first, second = _aligned(a1, a2, "polyadd")
    return first + second


@implements(np.polysub)
@guarded
def polysub(a1: Any, a2: Any) -> Any:
    """Return the difference of two polynomials.

    Parameters
    ----------
    a1, a2 : array_like
        Coefficients, that of the highest power first.

    Returns
    -------
    Tensor
        Coefficients, as many as the longer one has.

    Raises
    ------
    ShapeError
        The coefficients are no vectors.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.polysub([1.0, 2.0, 3.0], [1.0, 2.0])
    Tensor([1., 1., 1.])
    """
    first, second = _aligned(a1, a2, "polysub")
    return first - second


@implements(np.polymul)
@guarded
def polymul(a1: Any, a2: Any) -> Any:
    """Return the product of two polynomials.

    Parameters
    ----------
    a1, a2 : array_like
        Coefficients, that of the highest power first.

    Returns
    -------
    Tensor
        Coefficients. Leading zeros are kept, so that their gradients are.

    Raises
    ------
    ShapeError
        The coefficients are no vectors.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.polymul([1.0, 2.0], [1.0, 3.0])
    Tensor([1., 5., 6.])
    """
    return convolve(coefficients(a1, "polymul"), coefficients(a2, "polymul"))


@implements(np.polydiv)
@guarded
def polydiv(u: Any, v: Any) -> Any:
    """Divide one polynomial by another.

    Parameters
    ----------
    u, v : array_like
        Coefficients, that of the highest power first; the first one of `v` is not zero.

    Returns
    -------
    tuple of Tensor
        Quotient and remainder. Leading zeros of the remainder are taken off, by its values.

    Raises
    ------
    ShapeError
        The coefficients are no vectors.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.polydiv([1.0, 5.0, 7.0], [1.0, 2.0])
    (Tensor([1., 3.]), Tensor([1.]))
    """
    rest, divisor = coefficients(u, "polydiv"), coefficients(v, "polydiv")
    kind = np.result_type(rest.dtype, divisor.dtype, np.float16)
    rest, divisor = floating(astype(rest, kind)), astype(divisor, kind)
    steps = rest.size - divisor.size + 1
    if steps < 1:
        return zeros(1, kind), _without_leading_zeros(rest)
    parts = []
    for step in range(steps):
        part = rest[step] / divisor[0]
        parts.append(part.reshape(1))
        rest = rest - pad(part * divisor, (step, steps - step - 1))
    return concat(parts), _without_leading_zeros(rest)


def _without_leading_zeros(x: Tensor) -> Tensor:
    large = np.flatnonzero(~(np.abs(x.numpy()[:-1]) <= 1e-8))
    return x[int(large[0]) if large.size else x.size - 1 :]


@implements(np.polyder)
@guarded
def polyder(p: Any, m: int = 1) -> Any:
    """Return the derivative of a polynomial.

    Parameters
    ----------
    p : array_like
        Coefficients, that of the highest power first.
    m : int
        Which derivative.

    Returns
    -------
    Tensor
        Coefficients.

    Raises
    ------
    ShapeError
        The coefficients are no vector.
    ArgumentError
        `m` is negative.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.polyder([1.0, 2.0, 3.0])
    Tensor([2., 2.])
    """
    made = coefficients(p, "polyder")
    if m < 0:
        raise ArgumentError(f"polyder: m is not negative, got {m}\n  at {user_line()}")
    for _ in range(min(m, made.size)):
        made = made[:-1] * np.arange(made.size - 1, 0, -1)
    return made


@implements(np.polyint)
@guarded
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """Return the integral of a polynomial.

    Parameters
    ----------
    p : array_like
        Coefficients, that of the highest power first.
    m : int
        How many times to integrate.
    k : array_like, optional
        The constants, one for each time; zero if not given. Gradients pass to them.

    Returns
    -------
    Tensor
        Coefficients.

    Raises
    ------
    ShapeError
        The coefficients are no vector, or there are not `m` constants.
    ArgumentError
        `m` is negative.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.polyint([2.0, 2.0], k=3.0)
    Tensor([1., 2., 3.])
    """
    made = coefficients(p, "polyint")
    if m < 0:
        raise ArgumentError(f"polyint: m is not negative, got {m}\n  at {user_line()}")
    constants = zeros(m) if k is None else atleast_1d(k)
    if constants.shape == (1,) and m > 1:
        constants = broadcast_to(constants, m)
    if constants.ndim != 1 or constants.size < m:
        raise ShapeError(f"polyint: expected {m} constants, got shape {constants.shape}\n  at {user_line()}")
    for step in range(m):
        made = concat([made / np.arange(made.size, 0, -1), constants[step : step + 1]])
    return made


@implements(np.vander)
@guarded
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Return the matrix whose columns are powers of a vector.

    Parameters
    ----------
    x : array_like
        A vector.
    N : int, optional
        Number of columns; as many as `x` has elements if not given.
    increasing : bool
        Whether the powers go up from 0 to the right; otherwise down to 0.

    Returns
    -------
    Tensor
        The matrix of Vandermonde.

    Raises
    ------
    ShapeError
        Not a vector, or a negative number of columns.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.vander([1.0, 2.0, 3.0], 3)
    Tensor([[1., 1., 1.],
            [4., 2., 1.],
            [9., 3., 1.]])
    """
    line = convert(x)
    columns = line.size if N is None else int(N)
    if line.ndim != 1 or columns < 0:
        raise ShapeError(
            f"vander: expected a vector and a number of columns, got shape {line.shape} and {N!r}\n  at {user_line()}"
        )
    kind = np.result_type(line.dtype, np.int64)
    start = ones((line.size, min(columns, 1)), kind, device=line.device)
    factors = broadcast_to(astype(line, kind)[:, None], (line.size, max(columns - 1, 0)))
    powers = cumprod(concat([start, factors], 1), 1)
    return powers if increasing else powers[:, ::-1]


@implements(np.polyfit)
@guarded
def polyfit(
    x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """Fit a polynomial to points by least squares.

    Parameters
    ----------
    x : array_like
        Coordinates: a vector.
    y : array_like
        Values: a vector, or one column for each fit.
    deg : int
        Degree.
    rcond : float, optional
        Singular values below this part of the greatest one count as zero.
    full : bool
        Whether to return what the solver found, too.
    w : array_like, optional
        Weights of the residuals.
    cov : bool or {"unscaled"}
        Whether to return the covariances of the coefficients.

    Returns
    -------
    Tensor or tuple
        Coefficients, with gradients with respect to `x`, `y` and `w`. With `full` then the sums of squared residuals,
        rank, singular values and `rcond`; with `cov` the covariances.

    Raises
    ------
    ShapeError
        Shapes that do not fit; no points, or too few for covariances.
    ArgumentError
        A negative degree.
    DTypeError
        `deg` is no integer.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.polyfit([0.0, 1.0, 2.0], [1.0, 3.0, 5.0], 1).round(6)
    Tensor([2., 1.])
    """
    if not isinstance(deg, int | np.integer):
        raise DTypeError(f"polyfit: deg is an integer, got {deg!r}\n  at {user_line()}")
    if deg < 0:
        raise ArgumentError(f"polyfit: deg is not negative, got {deg}\n  at {user_line()}")
    at, values = floating(convert(x)), floating(convert(y))
    fits = at.ndim == 1 and at.size and values.ndim in (1, 2) and values.shape[0] == at.size
    weights = None if w is None else convert(w)
    if not fits or (weights is not None and weights.shape != at.shape):
        raise ShapeError(
            "polyfit: expected a vector x, as many values y, and weights if any, got shapes "
            f"{at.shape}, {values.shape}{'' if weights is None else f', {weights.shape}'}\n  at {user_line()}"
        )
    columns = vander(at, int(deg) + 1)
    if weights is not None:
        columns = columns * weights[:, None]
        values = values * (weights if values.ndim == 1 else weights[:, None])
    # Columns of equal length, so that the small singular values mean something.
    size = sum(columns * columns, axis=0) ** 0.5
    size = where(size == 0, 1, size)
    scaled = columns / size
    precision = float(np.finfo(at.dtype).eps)
    limit = at.size * precision if rcond is None else number(rcond, "polyfit", "rcond")
    cut = limit if 0 < limit < 1 else precision
    inverse = pinv(scaled, cut)
    solution = matmul(inverse, values)
    found = solution / (size if values.ndim == 1 else size[:, None])
    if full:
        return found, *_quality(scaled, solution, values, cut), limit
    if not cov:
        return found
    base = matmul(inverse, inverse.T) / (size[:, None] * size)
    if cov == "unscaled":
        factor: Any = convert(1.0)
    else:
        if at.size <= deg + 1:
            raise ShapeError(
                f"polyfit: covariances need more than {deg + 1} points, got {at.size}; or cov='unscaled'"
                f"\n  at {user_line()}"
            )
        rest = values - matmul(scaled, solution)
        factor = sum(rest * rest, axis=0) / (at.size - (int(deg) + 1))
    return found, base * factor if values.ndim == 1 else base[:, :, None] * factor


def _quality(columns: Tensor, solution: Tensor, values: Tensor, limit: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums of squared residuals (none if the rank is not full), the rank and the singular values."""
    rank = matrix_rank(columns, rtol=limit)
    singular = convert(np.linalg.svd(columns.numpy(), compute_uv=False))
    rest = values - matmul(columns, solution)
    few = int(rank) != columns.shape[1] or columns.shape[0] <= columns.shape[1]
    squares = zeros(0, values.dtype) if few else atleast_1d(sum(rest * rest, axis=0))
    return squares, rank, singular
