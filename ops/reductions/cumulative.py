"""Cumulative sums and products, differences, and the linear recurrence that their gradients need."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, ShapeError
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.arrays.shape import broadcast_to
from eagerflow.ops.axes import one_axis
from eagerflow.ops.batching import along
from eagerflow.ops.checked import flag, guarded, integer
from eagerflow.ops.precision import in_float32, is_low

__all__ = ["cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "diff"]


def total_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of a sum: small integers and booleans are added up in 64 bits."""
    return np.add.reduce(np.empty(0, dtype)).dtype


def _along(axis: int, ndim: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, part, *(slice(None),) * (ndim - axis - 1))


def _sample(draw: Draw, **attrs: Any) -> Sample:
    shape = draw.shape(min_dims=1)
    return Sample((draw.array(shape),), {"axis": draw.axis(len(shape)) % len(shape), **attrs})


def _accumulator(name: str) -> Any:
    def kernel(xp: Any, x: Any, *, axis: int, reverse: bool) -> Any:
        if not reverse:
            return getattr(xp, name)(x, axis=axis)
        backwards = _along(axis, x.ndim, slice(None, None, -1))
        return getattr(xp, name)(x[backwards], axis=axis)[backwards]

    return kernel


def _cpu_accumulator(accumulate: Any) -> Any:
    def kernel(x: Any, *, axis: int, reverse: bool) -> Any:
        if x.itemsize < 4 and is_low(x.dtype):
            return kernel(x.astype(np.float32), axis=axis, reverse=reverse).astype(x.dtype)
        if not reverse:
            return accumulate(x, axis)
        backwards = _along(axis, x.ndim, slice(None, None, -1))
        return accumulate(x[backwards], axis)[backwards]

    return kernel


def _accumulated(x: Spec, *, axis: int, reverse: bool) -> Spec:
    return Spec(x.shape, total_dtype(x.dtype))


# shift: each element takes the place of the next one (of the one before, if reverse).


def _shift_kernel(xp: Any, x: Any, *, axis: int, fill: float, reverse: bool) -> Any:
    out = xp.empty_like(x)
    if x.size:
        first, most = (slice(-1, None), slice(None, -1)) if reverse else (slice(0, 1), slice(1, None))
        rest = slice(1, None) if reverse else slice(None, -1)
        out[_along(axis, x.ndim, first)] = fill
        out[_along(axis, x.ndim, most)] = x[_along(axis, x.ndim, rest)]
    return out


_shift = Op(
    "shift",
    _shift_kernel,
    inputs="x",
    infer=lambda x, **attrs: x,
    sample=lambda draw: _sample(draw, fill=draw.choice([0.0, 1.0]), reverse=draw.flag()),
    vjp=lambda g, axis, reverse: _shift(g, axis=axis, fill=0.0, reverse=not reverse),
    jvp=lambda t, axis, reverse: _shift(t, axis=axis, fill=0.0, reverse=reverse),
    batch=along("axis"),
    flops=0,
    kinds="fc",
)


# linear_scan: h[i] = factor[i] * h[i - 1] + term[i], from the end to the start if reverse.


@in_float32
def _scan_kernel(xp: Any, factor: Any, term: Any, *, axis: int, reverse: bool) -> Any:
    """Double the reach of every element until it covers the axis: log2(n) vectorized steps."""
    ndim, length = term.ndim, term.shape[axis]
    if reverse:
        backwards = _along(axis, ndim, slice(None, None, -1))
        return _scan_kernel(xp, factor[backwards], term[backwards], axis=axis, reverse=False)[backwards]
    factor, total = factor.copy(), term.copy()
    reach = 1
    while reach < length:
        late, early = _along(axis, ndim, slice(reach, None)), _along(axis, ndim, slice(None, -reach))
        total[late] += factor[late] * total[early]
        factor[late] = factor[late] * factor[early]
        reach *= 2
    return total


def _scan_adjoint(g: Tensor, factor: Tensor, axis: int, reverse: bool) -> Tensor:
    """Return what each h contributes: the same recurrence, run the other way."""
    return scan(_shift(factor, axis=axis, fill=0.0, reverse=not reverse), g, axis=axis, reverse=not reverse)


def _scan_factor(g: Tensor, factor: Tensor, out: Tensor, axis: int, reverse: bool) -> Tensor:
    before = _shift(out, axis=axis, fill=0.0, reverse=reverse)
    return _scan_adjoint(g, factor, axis, reverse) * before


def _scan_factor_jvp(t: Tensor, factor: Tensor, out: Tensor, axis: int, reverse: bool) -> Tensor:
    return scan(factor, t * _shift(out, axis=axis, fill=0.0, reverse=reverse), axis=axis, reverse=reverse)


def _sample_scan(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1, max_side=6)
    return Sample(
        (draw.array(shape), draw.array(shape)),
        {"axis": draw.axis(len(shape)) % len(shape), "reverse": draw.flag()},
    )


scan = Op(
    "linear_scan",
    _scan_kernel,
    inputs="factor term",
    infer=lambda factor, term, **attrs: term,
    sample=_sample_scan,
    vjp=(_scan_factor, _scan_adjoint),
    jvp=(_scan_factor_jvp, lambda t, factor, axis, reverse: scan(factor, t, axis=axis, reverse=reverse)),
    batch=along("axis"),
    flops=4,
    kinds="fc",
)


_cumsum = Op(
    "cumsum",
    _accumulator("cumsum"),
    inputs="x",
    infer=_accumulated,
    sample=lambda draw: _sample(draw, reverse=draw.flag()),
    vjp=lambda g, axis, reverse: _cumsum(g, axis=axis, reverse=not reverse),
    linear="x",
    batch=along("axis"),
    onnx="CumSum",
    kinds="fc",
)
_cumsum.register_kernel("cpu", _cpu_accumulator(np.add.accumulate))


def _cumprod_gradient(g: Tensor, x: Tensor, axis: int, reverse: bool) -> Tensor:
    """Return ``Σ g[j] ∏ x[k]`` over j behind i and k up to j without i, by a recurrence.

    Nothing is divided, so zeros are no exception, to any order.
    """
    before = products_before(x, axis, reverse)
    return before * scan(_shift(x, axis=axis, fill=0.0, reverse=not reverse), g, axis=axis, reverse=not reverse)


def _cumprod_jvp(t: Tensor, x: Tensor, axis: int, reverse: bool) -> Tensor:
    return scan(x, t * products_before(x, axis, reverse), axis=axis, reverse=reverse)


def _sample_products(draw: Draw) -> Sample:
    sample = _sample(draw, reverse=draw.flag())
    x = np.array(sample.inputs[0])
    if x.size and draw.flag():
        x.flat[draw.integer(0, x.size - 1)] = 0  # the case in which a quotient of products fails
    return Sample((x,), sample.attrs)


_cumprod = Op(
    "cumprod",
    _accumulator("cumprod"),
    inputs="x",
    infer=_accumulated,
    sample=_sample_products,
    vjp=_cumprod_gradient,
    jvp=_cumprod_jvp,
    batch=along("axis"),
    kinds="fc",
)
_cumprod.register_kernel("cpu", _cpu_accumulator(np.multiply.accumulate))


def products_before(x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """Return for each element the product of those before it (behind it, if reverse); 1 for the first."""
    return _cumprod(_shift(x, axis=axis, fill=1.0, reverse=reverse), axis=axis, reverse=reverse)


def _accumulate(op: Op, x: Any, axis: int | None, dtype: Any) -> Tensor:
    x = convert(x) if dtype is None else convert(x, dtype)
    if axis is None:
        x, axis = x if x.ndim == 1 else x.reshape(-1), 0
    return _in_dtype(op(x, axis=one_axis(axis, x.ndim, op.name), reverse=False), dtype)


def _in_dtype(total: Tensor, dtype: Any) -> Tensor:
    # In small integers NumPy computes modulo their size; so does a cast of the larger result.
    return total if dtype is None else convert(total, dtype)


@implements(np.cumsum)
def cumsum(x: Any, /, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Add up the elements along an axis.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int, optional
        The axis; None for the flattened array.
    dtype : dtype, optional
        Dtype to convert `x` to before.

    Returns
    -------
    Tensor
        Of the shape of `x`, or one-dimensional.

    Raises
    ------
    ShapeError
        The axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.cumsum([1.0, 2.0, 3.0])
    Tensor([1., 3., 6.])
    """
    return _accumulate(_cumsum, x, axis, dtype)


@implements(np.cumprod)
def cumprod(x: Any, /, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Multiply up the elements along an axis.

    The gradient is exact where elements are zero, too.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int, optional
        The axis; None for the flattened array.
    dtype : dtype, optional
        Dtype to convert `x` to before.

    Returns
    -------
    Tensor
        Of the shape of `x`, or one-dimensional.

    Raises
    ------
    ShapeError
        The axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.cumprod([1.0, 2.0, 3.0])
    Tensor([1., 2., 6.])
    """
    return _accumulate(_cumprod, x, axis, dtype)


def _cumulative(op: Op, name: str, x: Any, axis: int | None, dtype: Any, initial: float | None) -> Tensor:
    x = convert(x) if dtype is None else convert(x, dtype)
    if axis is None:
        if x.ndim != 1:
            raise ShapeError(f"{name}: an array of shape {x.shape} needs an axis\n  at {user_line()}")
        axis = 0
    axis = one_axis(axis, x.ndim, name)
    total = _in_dtype(op(x, axis=axis, reverse=False), dtype)
    return total if initial is None else _prepend(total, axis=axis, value=initial)


@implements(np.cumulative_sum)
def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """Add up the elements along an axis, as the array API standard has it.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int, optional
        The axis; may be left out for one-dimensional arrays.
    dtype : dtype, optional
        Dtype to convert `x` to before.
    include_initial : bool
        Whether to start with a 0, so that the result is longer by one.

    Returns
    -------
    Tensor
        The sums.

    Raises
    ------
    ShapeError
        The axis is out of range, or missing.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.cumulative_sum([1.0, 2.0], include_initial=True)
    Tensor([0., 1., 3.])
    """
    start = 0.0 if flag(include_initial, "cumulative_sum", "include_initial") else None
    return _cumulative(_cumsum, "cumulative_sum", x, axis, dtype, start)


@implements(np.cumulative_prod)
def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """Multiply up the elements along an axis, as the array API standard has it.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int, optional
        The axis; may be left out for one-dimensional arrays.
    dtype : dtype, optional
        Dtype to convert `x` to before.
    include_initial : bool
        Whether to start with a 1, so that the result is longer by one.

    Returns
    -------
    Tensor
        The products.

    Raises
    ------
    ShapeError
        The axis is out of range, or missing.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.cumulative_prod([2.0, 3.0], include_initial=True)
    Tensor([1., 2., 6.])
    """
    start = 1.0 if flag(include_initial, "cumulative_prod", "include_initial") else None
    return _cumulative(_cumprod, "cumulative_prod", x, axis, dtype, start)


# prepend: a constant before the first element; differences and their transpose.


def _prepend_kernel(xp: Any, x: Any, *, axis: int, value: float) -> Any:
    out = xp.empty((*x.shape[:axis], x.shape[axis] + 1, *x.shape[axis + 1 :]), x.dtype)
    out[_along(axis, x.ndim, slice(0, 1))] = value
    out[_along(axis, x.ndim, slice(1, None))] = x
    return out


def _longer(x: Spec, *, axis: int, by: int = 1, **attrs: Any) -> Spec:
    return Spec((*x.shape[:axis], max(x.shape[axis] + by, 0), *x.shape[axis + 1 :]), x.dtype)


def _cut(g: Tensor, axis: int) -> Tensor:
    return g[_along(axis, g.ndim, slice(1, None))]


_prepend = Op(
    "prepend",
    _prepend_kernel,
    inputs="x",
    infer=_longer,
    sample=lambda draw: _sample(draw, value=1.0),
    vjp=_cut,
    jvp=lambda t, axis: _prepend(t, axis=axis, value=0.0),
    batch=along("axis"),
    flops=0,
    kinds="fc",
)


def _diff_kernel(xp: Any, x: Any, *, axis: int) -> Any:
    after, before = x[_along(axis, x.ndim, slice(1, None))], x[_along(axis, x.ndim, slice(None, -1))]
    return xp.not_equal(after, before) if x.dtype.kind == "b" else xp.subtract(after, before)


def _undiff_kernel(xp: Any, x: Any, *, axis: int) -> Any:
    out = xp.zeros((*x.shape[:axis], x.shape[axis] + 1, *x.shape[axis + 1 :]), x.dtype)
    out[_along(axis, x.ndim, slice(1, None))] = x
    out[_along(axis, x.ndim, slice(None, -1))] -= x
    return out


_diff = Op(
    "diff",
    _diff_kernel,
    inputs="x",
    infer=lambda x, *, axis: _longer(x, axis=axis, by=-1),
    sample=_sample,
    vjp=lambda g, shape, axis: g[_none(axis)] if not shape[axis] else _undiff(g, axis=axis),
    linear="x",
    batch=along("axis"),
    kinds="fc",
)
_undiff = Op(
    "diff_transposed",
    _undiff_kernel,
    inputs="x",
    infer=_longer,
    sample=_sample,
    vjp=lambda g, axis: _diff(g, axis=axis),
    linear="x",
    batch=along("axis"),
    kinds="fc",
)


def _none(axis: int) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(0, 0))


@implements(np.diff)
@guarded
def diff(x: Any, /, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Return the differences of neighbours along an axis.

    Parameters
    ----------
    x : array_like
        Input.
    n : int
        How many times to take differences.
    axis : int
        The axis.
    prepend, append : array_like, optional
        Values to put before and behind `x` along the axis first.

    Returns
    -------
    Tensor
        Shorter by `n` along the axis; of booleans whether neighbours differ.

    Raises
    ------
    ShapeError
        The axis is out of range.
    ArgumentError
        `n` is negative.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.diff([1.0, 2.0, 4.0, 7.0]), ef.diff([1.0, 2.0, 4.0, 7.0], n=2)
    (Tensor([1., 2., 3.]), Tensor([1., 1.]))
    """
    x = convert(x)
    axis = one_axis(axis, x.ndim, "diff")
    n = integer(n, "diff", "n")
    if n < 0:
        raise ArgumentError(f"diff: n is not negative, got {n}\n  at {user_line()}")
    if not n:
        return x
    ends = [_end(item, x, axis) for item in (prepend, append)]
    parts = [part for part in (ends[0], x, ends[1]) if part is not None]
    if len(parts) > 1:
        x = concat(parts, axis=axis)
    for _ in range(min(n, x.shape[axis])):  # then nothing is left
        x = _diff(x, axis=axis)
    return x


def _end(value: Any, x: Tensor, axis: int) -> Tensor | None:
    if value is None:
        return None
    value = convert(value)
    return value if value.ndim else broadcast_to(value, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
