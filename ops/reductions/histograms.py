"""Histograms: how many elements, or how much weight, fall into each bin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements, is_inexact
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, DTypeError, ShapeError
from eagerflow.ops.arrays.conversion import astype
from eagerflow.ops.arrays.ranges import arange, linspace
from eagerflow.ops.arrays.shape import broadcast_to, ravel
from eagerflow.ops.arrays.transposition import transpose
from eagerflow.ops.checked import guarded, known, numpy_checks, option, plain, real, real_vector
from eagerflow.ops.cupy_functions import add_at
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.reductions.cumulative import diff
from eagerflow.ops.reductions.extremes import max, min
from eagerflow.ops.reductions.reduction import sum
from eagerflow.ops.sorting.sorting import searchsorted

__all__ = ["bincount", "digitize", "histogram", "histogram2d", "histogram_bin_edges", "histogramdd"]

_COUNTS = "its result is a count, which changes in steps; give weights to differentiate with respect to these"


# bincount: the sum of the weights of each number.


def _sample_bins(draw: Draw) -> tuple[Any, int]:
    return draw.array((draw.integer(1, 6),), 0, 4, np.int64), 5


def _sample_counts(draw: Draw) -> Sample:
    places, length = _sample_bins(draw)
    return Sample((places,), {"length": length})


def _sample_sums(draw: Draw) -> Sample:
    places, length = _sample_bins(draw)
    return Sample((places, draw.array(places.shape)), {"length": length})


def _apart(places: Tensor, size: int, length: int) -> Tensor:
    """Give each example of a stack bins of its own."""
    return ravel(places + (arange(size, device=places.device) * length)[:, None])


def _batch_counts(op: Op, size: int, inputs: Any, batched: Any, attrs: dict[str, Any]) -> Any:
    length = attrs["length"]
    return op(_apart(inputs[0], size, length), length=size * length).reshape((size, length))


def _batch_sums(op: Op, size: int, inputs: Any, batched: Any, attrs: dict[str, Any]) -> Any:
    length = attrs["length"]
    places, weights = [
        x if stacked else broadcast_to(x, (size, *x.shape)) for x, stacked in zip(inputs, batched, strict=True)
    ]
    return op(_apart(places, size, length), ravel(weights), length=size * length).reshape((size, length))


_counts = Op(
    "bin_counts", lambda xp, x, *, length: xp.bincount(x, minlength=length), inputs="x",
    infer=lambda x, *, length: Spec((length,), np.intp), sample=_sample_counts, no_gradient=_COUNTS,
    batch=_batch_counts,
)  # fmt: skip


def _sums_kernel(xp: Any, x: Any, weights: Any, *, length: int) -> Any:
    if weights.dtype.kind == "c":
        total = xp.zeros(length, weights.dtype)
        add_at(xp, total, x, weights)
        return total
    return xp.bincount(x, weights, length)


_sums = Op(
    "bin_sums", _sums_kernel, inputs="x weights",
    infer=lambda x, weights, *, length: Spec((length,), weights.dtype if weights.dtype.kind == "c" else np.float64),
    sample=_sample_sums, vjp=(None, lambda g, x: g[x]), linear="weights", batch=_batch_sums, kinds="fc",
)  # fmt: skip


@implements(np.bincount)
@guarded
def bincount(x: Any, /, weights: Any = None, minlength: int = 0, *, length: int | None = None) -> Tensor:
    """Count how often each number occurs, or add up the weights of each.

    Parameters
    ----------
    x : array_like of int
        A vector of numbers, none negative.
    weights : array_like, optional
        One for each number; gradients pass to them.
    minlength : int
        Least length of the result.
    length : int, optional
        Length of the result, where it is known: `x` is then not looked at to find it, and must be below it.

    Returns
    -------
    Tensor
        For 0, 1, … the counts, or the sums of weights in float64.

    Raises
    ------
    ShapeError
        Not a vector, or weights of another shape; `minlength` is negative.
    ArgumentError
        A negative number in `x`.
    DTypeError
        `x` does not hold integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.bincount([1, 1, 3]), ef.bincount([1, 1, 3], weights=[0.5, 1.0, 2.0])
    (Tensor([0, 2, 0, 1]), Tensor([0. , 1.5, 0. , 2. ]))
    """
    places = real_vector(x, "bincount", "x")
    if not places.size and not isinstance(x, np.ndarray | Tensor):
        places = astype(places, np.int64)
    if places.dtype.kind not in "iub":
        raise DTypeError(f"bincount: x holds integers, got dtype {places.dtype}\n  at {user_line()}")
    places = astype(places, np.intp)
    if minlength < 0:
        raise ShapeError(f"bincount: minlength is not negative, got {minlength}\n  at {user_line()}")
    if length is None:
        values = places.numpy()
        if values.size and values.min() < 0:
            raise ArgumentError(f"bincount: numbers are not negative, got {values.min()}\n  at {user_line()}")
        length = np.maximum(minlength, values.max(initial=-1) + 1).item()
    if weights is None:
        return _counts(places, length=length)
    made = convert(weights)
    if made.shape != places.shape:
        raise ShapeError(
            f"bincount: expected a weight for each number, got shapes {places.shape} and {made.shape}"
            f"\n  at {user_line()}"
        )
    return _sums(places, made if made.dtype.kind == "c" else astype(made, np.float64), length=length)


@implements(np.digitize)
@guarded
def digitize(x: Any, bins: Any, right: bool = False) -> Tensor:
    """Return for each element the number of the bin that it falls into.

    Parameters
    ----------
    x : array_like
        Real numbers.
    bins : array_like
        Edges, in ascending or descending order; where `vmap` hides their values, ascending.
    right : bool
        Whether an edge belongs to the bin before it.

    Returns
    -------
    Tensor
        Integers of the shape of `x`, without a gradient; 0 and ``len(bins)`` are outside the edges.

    Raises
    ------
    ShapeError
        The edges are no vector.
    ArgumentError
        They are in no order.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.digitize([0.5, 1.0, 9.0], [0.0, 1.0, 2.0])
    Tensor([1, 2, 3])
    """
    values, edges = real(x, "digitize", "x"), real_vector(bins, "digitize", "bins")
    line = known(edges)
    steps = np.diff(np.zeros(1) if line is None else line.astype(np.float64))
    side = "left" if right else "right"
    if np.all(steps >= 0):
        return searchsorted(edges, values, side=side)
    if np.all(steps <= 0):
        return len(edges) - searchsorted(edges[::-1], values, side=side)
    raise ArgumentError(f"digitize: the edges are neither ascending nor descending: {bins!r}\n  at {user_line()}")


# Edges.
_RULES = ("auto", "doane", "fd", "rice", "scott", "sqrt", "stone", "sturges")


def _outer(x: Tensor, limits: Any, name: str) -> tuple[Tensor, Tensor]:
    """Return the first and the last edge of even bins."""
    kind = x.dtype if is_inexact(x.dtype) else np.dtype(np.float64)
    if limits is not None:
        low, high = (astype(real(end, name, "range"), np.float64) for end in limits)
        if not (np.isfinite(low.numpy()) & np.isfinite(high.numpy())) or low.numpy() > high.numpy():
            raise ArgumentError(f"{name}: the range is finite and ascends, got {limits!r}\n  at {user_line()}")
    elif x.size:
        low, high = astype(min(x), kind), astype(max(x), kind)
        if type(low) is Tensor and not (np.isfinite(low.numpy()) and np.isfinite(high.numpy())):
            raise ArgumentError(f"{name}: the values are not all finite; give a range\n  at {user_line()}")
    else:
        low, high = convert(0.0, kind), convert(1.0, kind)
    flat = low == high
    return where(flat, low - 0.5, low), where(flat, high + 0.5, high)


def _edges(x: Tensor, bins: Any, limits: Any, name: str, weights: Any = None) -> Tensor:
    if isinstance(bins, str):
        if weights is not None:
            raise DTypeError(f"{name}: bins={bins!r} is not for weighted values; give a number\n  at {user_line()}")
        option(bins, _RULES, name, "bins")
        _outer(x, limits, name)
        ends: Any = None if limits is None else tuple(float(end) for end in limits)
        with numpy_checks(name):
            number = len(np.histogram_bin_edges(x.numpy(), bins, ends)) - 1
        return _edges(x, number, limits, name)
    if np.ndim(bins) == 0:
        try:
            number = int(plain(bins).astype(np.intp, casting="same_kind"))
        except TypeError:
            raise DTypeError(
                f"{name}: bins is an integer, a vector or a word, got {bins!r}\n  at {user_line()}"
            ) from None
        if number < 1:
            raise ShapeError(f"{name}: expected one bin or more, got {number}\n  at {user_line()}")
        low, high = _outer(x, limits, name)
        return linspace(low, high, number + 1)
    edges = real_vector(bins, name, "bins")
    if len(edges) < 2:
        raise ShapeError(f"{name}: edges are two or more, got {bins!r}\n  at {user_line()}")
    if np.any(np.diff(edges.numpy()) < 0):
        raise ArgumentError(f"{name}: edges are in ascending order, got {bins!r}\n  at {user_line()}")
    return edges


@implements(np.histogram_bin_edges)
@guarded
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Tensor:
    """Return the edges of the bins that `histogram` uses.

    Parameters
    ----------
    a : array_like
        Real numbers, read as flat.
    bins : int, array_like or str
        How many bins of the same width, or their edges, or one of NumPy's words for a rule (``"auto"``, …).
    range : pair of float, optional
        The outer edges; otherwise the smallest and the greatest element.
    weights : array_like, optional
        For NumPy's signature: edges do not depend on them.

    Returns
    -------
    Tensor
        The edges; gradients pass from even bins to the extremes of `a`, or to `range`.

    Raises
    ------
    ShapeError
        No bins; fewer than two edges.
    ArgumentError
        Edges out of order; a range that does not ascend; an unknown word for `bins`.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.histogram_bin_edges([1.0, 2.0, 5.0], bins=2)
    Tensor([1., 3., 5.])
    """
    return _edges(ravel(real(a, "histogram_bin_edges", "a")), bins, range, "histogram_bin_edges", weights)


def _bins_of(x: Tensor, edges: Tensor) -> Tensor:
    """Return the bin of each value: those outside get the number -1 or one too many."""
    count = len(edges) - 1
    place = searchsorted(edges, x, side="right") - 1
    return where(x == edges[-1], count - 1, place)  # the last bin has its end, too


def _binned(
    columns: Sequence[Tensor], edges: Sequence[Tensor], density: bool | None, weights: Any, name: str
) -> Tensor:
    shape = tuple(len(edge) - 1 for edge in edges)
    flat: Any = 0
    inside: Any = True
    for column, edge in zip(columns, edges, strict=True):
        place = _bins_of(column, edge)
        inside = (place >= 0) & (place < len(edge) - 1) & inside
        flat = flat * (len(edge) - 1) + place
    length = int(np.prod(shape))
    places = where(inside, flat, length)  # one more bin, for what is outside
    if weights is None:
        total = bincount(places, length=length + 1)[:-1]
    else:
        made = convert(weights)
        if made.shape != columns[0].shape:
            raise ShapeError(
                f"{name}: expected a weight for each value, got shapes {columns[0].shape} and {made.shape}"
                f"\n  at {user_line()}"
            )
        total = bincount(places, made, length=length + 1)[:-1]
        # As NumPy: float32 and integers keep their dtype.
        total = total if made.dtype.kind in "fcb" and made.dtype.itemsize >= 8 else total.astype(_kept(made.dtype))
    total = total.reshape(shape)
    if density:
        total = total / sum(total)
        for axis, edge in enumerate(edges):
            total = total / diff(edge).reshape((-1,) + (1,) * (len(shape) - axis - 1))
    return total


def _kept(dtype: np.dtype[Any]) -> Any:
    return dtype if dtype.kind in "iufc" else np.int64


@implements(np.histogram)
@guarded
def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Tensor, Tensor]:
    """Count the elements in each bin, or add up their weights.

    Parameters
    ----------
    a : array_like
        Real numbers, read as flat.
    bins : int, array_like or str
        As for `histogram_bin_edges`.
    range : pair of float, optional
        The outer edges of even bins. What is outside is left out.
    density : bool, optional
        Whether to divide by the sum and by the widths of the bins, so that the integral is 1.
    weights : array_like, optional
        Of the shape of `a`.

    Returns
    -------
    tuple of Tensor
        The counts or sums, and the edges. Sums have a gradient with respect to the weights; in which bin an
        element is changes in steps, so that `a` has none but through the edges.

    Raises
    ------
    ShapeError
        Weights of another shape; no bins.
    ArgumentError
        As `histogram_bin_edges`.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.histogram([1.0, 2.0, 2.5, 5.0], bins=2)
    (Tensor([3, 1]), Tensor([1., 3., 5.]))
    """
    x = real(a, "histogram", "a")
    parts = None if weights is None else convert(weights)
    if parts is not None:
        if parts.shape != x.shape:
            raise ShapeError(
                f"histogram: expected weights of the shape {x.shape} of a, got {parts.shape}\n  at {user_line()}"
            )
        parts = ravel(parts)
    x = ravel(x)
    edges = _edges(x, bins, range, "histogram", weights)
    return _binned([x], [edges], density, parts, "histogram"), edges


@implements(np.histogramdd)
@guarded
def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Tensor, list[Tensor]]:
    """Count points in the cells of a grid, or add up their weights.

    Parameters
    ----------
    sample : array or sequence of array_like
        An array with one point a row; or a list of the coordinates of all points, one vector for each axis.
    bins : int or sequence
        For all axes, or for each: how many, or their edges.
    range : sequence, optional
        For each axis None or a pair of outer edges.
    density : bool, optional
        Whether to divide by the sum and by the volumes of the cells.
    weights : array_like, optional
        One for each point; gradients pass to them.

    Returns
    -------
    tuple
        The counts or sums, and the list of edges.

    Raises
    ------
    ShapeError
        `bins`, `range` or `weights` do not fit the points.
    ArgumentError
        As `histogram_bin_edges`.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> counts, edges = ef.histogramdd(ef.asarray([[0.0, 0.0], [1.0, 1.0], [1.0, 0.9]]), bins=2)
    >>> counts
    Tensor([[1., 0.],
            [0., 2.]])
    """
    name = "histogramdd"
    points = real(sample, name, "sample")
    if points.ndim != 2 or not hasattr(sample, "shape"):
        # As NumPy: sequences hold the coordinates along each axis.
        points = transpose(points.reshape((1, -1)) if points.ndim < 2 else points)
    if points.ndim != 2:
        raise ShapeError(f"{name}: expected one point a row, got shape {points.shape}\n  at {user_line()}")
    return _grid([points[:, i] for i in np.arange(points.shape[1]).tolist()], bins, range, density, weights, name)


def _grid(
    columns: list[Tensor], bins: Any, limits: Any, density: bool | None, weights: Any, name: str
) -> tuple[Tensor, list[Tensor]]:
    dimensions = len(columns)
    each = [bins] * dimensions if np.ndim(bins if not isinstance(bins, list | tuple) else [0]) == 0 else list(bins)
    ranges = [None] * dimensions if limits is None else list(limits)
    if len(each) != dimensions or len(ranges) != dimensions:
        raise ShapeError(
            f"{name}: expected bins and range for {dimensions} axes, got {len(each)} and {len(ranges)}"
            f"\n  at {user_line()}"
        )
    edges = [_edges(x, number, limit, name) for x, number, limit in zip(columns, each, ranges, strict=True)]
    counted = _binned(columns, edges, density, weights, name)
    return counted if density else astype(counted, np.float64), edges


@implements(np.histogram2d)
@guarded
def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Count points of a plane in the cells of a grid, or add up their weights.

    Parameters
    ----------
    x, y : array_like
        Coordinates: vectors.
    bins : int, array_like or pair of these
        How many bins, or their edges; for both axes or for each.
    range : pair of pairs, optional
        The outer edges along each axis.
    density : bool, optional
        Whether to divide by the sum and by the areas of the cells.
    weights : array_like, optional
        One for each point; gradients pass to them.

    Returns
    -------
    tuple of Tensor
        The counts or sums, the edges along `x` and those along `y`.

    Raises
    ------
    ShapeError
        Vectors of two lengths; `bins`, `range` or `weights` that do not fit.
    ArgumentError
        As `histogram_bin_edges`.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.histogram2d([0.0, 1.0, 1.0], [0.0, 1.0, 0.9], bins=2)[0]
    Tensor([[1., 0.],
            [0., 2.]])
    """
    columns = [real_vector(x, "histogram2d", "x"), real_vector(y, "histogram2d", "y")]
    if columns[0].shape != columns[1].shape:
        raise ShapeError(
            f"histogram2d: x and y are as long as each other, got {columns[0].shape} and {columns[1].shape}"
            f"\n  at {user_line()}"
        )
    both = (
        bins if np.ndim(bins if not isinstance(bins, list | tuple) else [0]) == 0 or len(bins) in (1, 2) else [bins] * 2
    )
    counted, edges = _grid(columns, both, range, density, weights, "histogram2d")
    return counted, edges[0], edges[1]
