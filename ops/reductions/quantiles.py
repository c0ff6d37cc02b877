"""Quantiles: values below which a given part of the elements lies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements, is_inexact
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, DTypeError, ShapeError
from eagerflow.ops.arrays.conversion import astype, stop_gradient
from eagerflow.ops.arrays.creation import full_like
from eagerflow.ops.arrays.shape import broadcast_to
from eagerflow.ops.arrays.transposition import moveaxis, transpose
from eagerflow.ops.axes import reduced_shape, some_axes
from eagerflow.ops.checked import guarded, known, no_out, option, real
from eagerflow.ops.elementwise.comparison import isnan
from eagerflow.ops.elementwise.rounding import ceil, floor, maximum, minimum, rint
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.indexing.along_axis import take, take_along_axis
from eagerflow.ops.reductions.cumulative import cumsum
from eagerflow.ops.reductions.reduction import sum
from eagerflow.ops.sorting.sorting import argsort, sort

__all__ = ["nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]

# Where between the n elements in order a quantile is: n q + m, as Hyndman and Fan number the definitions,
# with m = α + q (1 - α - β).
_BETWEEN = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
_METHODS = (
    "linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf", "averaged_inverted_cdf", "closest_observation",
    *_BETWEEN,
)  # fmt: skip


def _positions(q: Tensor, n: Any, method: str) -> tuple[Tensor, Tensor]:
    """Return where the quantiles are among `n` elements: the place before, and how far it is to the next one."""
    if method in _BETWEEN:
        alpha, beta = _BETWEEN[method]
        place = n * q + (alpha + q * (1 - alpha - beta)) - 1
    elif method in ("linear", "lower", "higher", "midpoint", "nearest"):
        place = (n - 1) * q
    else:
        place = n * q - (1.5 if method == "closest_observation" else 1)
    before = floor(place)
    rest = place - stop_gradient(before)
    whole = rest == 0
    if method == "lower":
        rest = rest * 0
    elif method == "higher":
        before, rest = ceil(place), rest * 0
    elif method == "nearest":
        before, rest = rint(place), rest * 0
    elif method == "midpoint":
        rest = where(whole, 0.0, full_like(rest, 0.5))
    elif method == "inverted_cdf":
        before, rest = where(whole, before, before + 1), rest * 0
    elif method == "averaged_inverted_cdf":
        rest = where(whole, 0.5, full_like(rest, 1.0))
    elif method == "closest_observation":
        before, rest = where(whole & (before % 2 == 1), before, before + 1), rest * 0
    return before, rest


def _lines(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Bring the axes together into one, the last."""
    kept = tuple(a for a in range(x.ndim) if a not in axes)
    shape = tuple(x.shape[a] for a in kept)
    return transpose(x, kept + axes).reshape((*shape, math.prod(x.shape[a] for a in axes)))


def _fractions(q: Any, scale: float, x: Tensor, name: str) -> Tensor:
    if isinstance(q, int | float) and x.dtype.kind == "f":
        made = convert(q, x.dtype)
    else:
        made = real(q, name, "q")
        made = made if is_inexact(made.dtype) else astype(made, float)
    made = made / scale if scale != 1 else made
    values = known(made)
    if values is not None and not np.all((values >= 0) & (values <= 1)):
        raise ArgumentError(f"{name}: q is from 0 to {scale:g}, got {q!r}\n  at {user_line()}")
    return made


def _mixed(low: Tensor, high: Tensor, rest: Tensor) -> Tensor:
    """Return the value `rest` of the way between the two; from the nearer one, as NumPy does."""
    way = high - low
    return where(rest < 0.5, low + way * rest, high - way * (1 - rest))


def _spread_weights(weights: Any, x: Tensor, axes: tuple[int, ...], name: str) -> Tensor:
    made = real(weights, name, "weights")
    if made.shape == x.shape:
        return _lines(made, axes)
    if made.shape != tuple(x.shape[a] for a in axes):
        raise ShapeError(
            f"{name}: weights of shape {made.shape} fit neither an input of shape {x.shape} nor its axes {axes}"
            f"\n  at {user_line()}"
        )
    kept = [x.shape[a] for a in range(x.ndim) if a not in axes]
    return broadcast_to(made.reshape(-1), (*kept, made.size))


def _weighted(line: Tensor, weights: Tensor, q: Tensor) -> Tensor:
    """Return the first elements at which the sum of the weights reaches the part `q`."""
    order = argsort(line)
    ordered = take_along_axis(line, order, -1)
    reached = cumsum(astype(take_along_axis(weights, order, -1), np.float64), -1)
    reached = reached / reached[..., -1:]
    # Elements without weight at the start do not count, not even for q = 0.
    before = (reached[..., None] < q) | (reached[..., None] == 0)
    index = minimum(sum(before, axis=-2), line.shape[-1] - 1)
    return take_along_axis(ordered, index, -1)


def _quantile(
    name: str, a: Any, q: Any, axis: Any, method: str, keepdims: bool, weights: Any, scale: float, skip: bool
) -> Tensor:
    x = real(a, name, "the input")
    if x.dtype.kind == "b":
        raise DTypeError(
            f"{name}: booleans have nothing between them; cast them with astype(float)\n  at {user_line()}"
        )
    option(method, _METHODS, name, "method")
    if weights is not None and method != "inverted_cdf":
        raise ArgumentError(f"{name}: weights need method='inverted_cdf', got {method!r}\n  at {user_line()}")
    axes = some_axes(axis, x.ndim, name)
    fractions = _fractions(q, scale, x, name)
    flat = fractions.reshape(-1)
    line = _lines(x, axes)
    n = line.shape[-1]
    if not n:
        raise ShapeError(f"{name}: there are no elements over axes {axes} of shape {x.shape}\n  at {user_line()}")
    missing = isnan(line) if is_inexact(x.dtype) else None
    if weights is not None:
        parts = _spread_weights(weights, x, axes, name)
        if skip and missing is not None:
            parts = where(missing, 0, parts)
        found = _weighted(line, parts, flat)
    else:
        # NaNs come last, so that what is before them is what counts.
        present = sum(missing == False, -1, keepdims=True) if skip and missing is not None else None  # noqa: E712
        found = _between(sort(line), flat, present, method)
    if missing is not None:
        bad = missing.all(-1, keepdims=True) if skip else missing.any(-1, keepdims=True)
        found = where(bad, np.nan, found)
    shape = reduced_shape(x.shape, axes, keepdims)
    return moveaxis(found, -1, 0).reshape((*fractions.shape, *shape))


def _between(ordered: Tensor, q: Tensor, present: Tensor | None, method: str) -> Tensor:
    n = ordered.shape[-1]
    before, rest = _positions(q, n if present is None else astype(present, q.dtype), method)
    last = n - 1 if present is None else maximum(astype(present, before.dtype) - 1, 0)
    rest = where((before < 0) | (before >= last), 0, rest)
    low = astype(maximum(minimum(before, last), 0), np.int64)
    high = astype(maximum(minimum(before + 1, last), 0), np.int64)
    if present is None:
        first, second = take(ordered, low, -1), take(ordered, high, -1)
    else:
        first, second = take_along_axis(ordered, low, -1), take_along_axis(ordered, high, -1)
    if method in ("lower", "higher", "nearest", "inverted_cdf", "closest_observation"):
        return first
    if method == "midpoint":
        return where(rest == 0, first, (first + second) / 2)
    return _mixed(first, second, rest)


@implements(np.quantile)
@guarded
def quantile(
    a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Tensor:  # fmt: skip
    """Return the values below which the parts `q` of the elements lie.

    Parameters
    ----------
    a : array_like
        Real numbers.
    q : array_like
        Parts, from 0 to 1.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    out, overwrite_input
        For NumPy's signature: there is no memory to write to.
    method : str
        Which value to take between elements: NumPy's names. ``"lower"``, ``"higher"``, ``"nearest"``,
        ``"inverted_cdf"`` and ``"closest_observation"`` take an element.
    keepdims : bool
        Whether to keep the reduced axes with length one.
    weights : array_like, optional
        Of the shape of `a`, or of its reduced axes; for ``"inverted_cdf"`` only.

    Returns
    -------
    Tensor
        Of the shape of `q`, then the axes that are left; NaN where there is a NaN. The gradient goes
        to the elements next to each quantile, and to `q` where the method interpolates. Weights have none:
        which element they choose changes in steps.

    Raises
    ------
    ShapeError
        An axis is out of range; there are no elements; weights that do not fit.
    ArgumentError
        `q` is out of range; unknown method, or one that takes no weights.
    DTypeError
        Complex numbers or booleans.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.quantile([1.0, 2.0, 4.0], [0.5, 0.75])
    Tensor([2., 3.])
    """
    no_out(out, "quantile")
    return _quantile("quantile", a, q, axis, method, keepdims, weights, 1, False)


@implements(np.percentile)
@guarded
def percentile(
    a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Tensor:  # fmt: skip
    """Return the values below which `q` percent of the elements lie.

    Parameters
    ----------
    a : array_like
        Real numbers.
    q : array_like
        Percentages, from 0 to 100.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    out, overwrite_input
        For NumPy's signature: there is no memory to write to.
    method : str
        Which value to take between elements: NumPy's names. ``"lower"``, ``"higher"``, ``"nearest"``,
        ``"inverted_cdf"`` and ``"closest_observation"`` take an element.
    keepdims : bool
        Whether to keep the reduced axes with length one.
    weights : array_like, optional
        Of the shape of `a`, or of its reduced axes; for ``"inverted_cdf"`` only.

    Returns
    -------
    Tensor
        Of the shape of `q`, then the axes that are left; NaN where there is a NaN. The gradient goes
        to the elements next to each quantile, and to `q` where the method interpolates. Weights have none:
        which element they choose changes in steps.

    Raises
    ------
    ShapeError
        An axis is out of range; there are no elements; weights that do not fit.
    ArgumentError
        `q` is out of range; unknown method, or one that takes no weights.
    DTypeError
        Complex numbers or booleans.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.percentile([1.0, 2.0, 4.0], [50, 75])
    Tensor([2., 3.])
    """
    no_out(out, "percentile")
    return _quantile("percentile", a, q, axis, method, keepdims, weights, 100, False)


@implements(np.nanquantile)
@guarded
def nanquantile(
    a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Tensor:  # fmt: skip
    """Return the values below which the parts `q` of those elements lie that are not NaN.

    Parameters
    ----------
    a : array_like
        Real numbers.
    q : array_like
        Parts, from 0 to 1.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    out, overwrite_input
        For NumPy's signature: there is no memory to write to.
    method : str
        Which value to take between elements: NumPy's names. ``"lower"``, ``"higher"``, ``"nearest"``,
        ``"inverted_cdf"`` and ``"closest_observation"`` take an element.
    keepdims : bool
        Whether to keep the reduced axes with length one.
    weights : array_like, optional
        Of the shape of `a`, or of its reduced axes; for ``"inverted_cdf"`` only.

    Returns
    -------
    Tensor
        Of the shape of `q`, then the axes that are left; NaN where there is nothing but NaN. The gradient goes
        to the elements next to each quantile, and to `q` where the method interpolates. Weights have none:
        which element they choose changes in steps.

    Raises
    ------
    ShapeError
        An axis is out of range; there are no elements; weights that do not fit.
    ArgumentError
        `q` is out of range; unknown method, or one that takes no weights.
    DTypeError
        Complex numbers or booleans.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nanquantile([1.0, float("nan"), 2.0, 4.0], 0.75)
    Tensor(3.)
    """
    no_out(out, "nanquantile")
    return _quantile("nanquantile", a, q, axis, method, keepdims, weights, 1, True)


@implements(np.nanpercentile)
@guarded
def nanpercentile(
    a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Tensor:  # fmt: skip
    """Return the values below which `q` percent of those elements lie that are not NaN.

    Parameters
    ----------
    a : array_like
        Real numbers.
    q : array_like
        Percentages, from 0 to 100.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    out, overwrite_input
        For NumPy's signature: there is no memory to write to.
    method : str
        Which value to take between elements: NumPy's names. ``"lower"``, ``"higher"``, ``"nearest"``,
        ``"inverted_cdf"`` and ``"closest_observation"`` take an element.
    keepdims : bool
        Whether to keep the reduced axes with length one.
    weights : array_like, optional
        Of the shape of `a`, or of its reduced axes; for ``"inverted_cdf"`` only.

    Returns
    -------
    Tensor
        Of the shape of `q`, then the axes that are left; NaN where there is nothing but NaN. The gradient goes
        to the elements next to each quantile, and to `q` where the method interpolates. Weights have none:
        which element they choose changes in steps.

    Raises
    ------
    ShapeError
        An axis is out of range; there are no elements; weights that do not fit.
    ArgumentError
        `q` is out of range; unknown method, or one that takes no weights.
    DTypeError
        Complex numbers or booleans.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nanpercentile([1.0, float("nan"), 2.0, 4.0], 75)
    Tensor(3.)
    """
    no_out(out, "nanpercentile")
    return _quantile("nanpercentile", a, q, axis, method, keepdims, weights, 100, True)


@implements(np.nanmedian)
@guarded
def nanmedian(
    a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Tensor:
    """Return the middle of the sorted elements over axes, without those that are NaN.

    Parameters
    ----------
    a : array_like
        Real numbers.
    axis : int or tuple of int, optional
        Axes to reduce; None for all.
    out, overwrite_input
        For NumPy's signature: there is no memory to write to.
    keepdims : bool
        Whether to keep the reduced axes with length one.

    Returns
    -------
    Tensor
        The medians, NaN where there is nothing but NaN. The gradient goes to the elements in the middle.

    Raises
    ------
    ShapeError
        An axis is out of range, or there are no elements.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nanmedian([5.0, float("nan"), 1.0, 2.0])
    Tensor(2.)
    """
    no_out(out, "nanmedian")
    x = convert(a)
    return _quantile(
        "nanmedian", x if is_inexact(x.dtype) else astype(x, float), 0.5, axis, "midpoint", keepdims, None, 1, True
    )
