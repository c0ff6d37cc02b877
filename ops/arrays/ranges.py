"""Ranges: evenly spaced numbers."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from eagerflow.core import ArrayMethods, Draw, Op, Sample, Spec, Tensor, convert, default_dtype, implements
from eagerflow.core.dims import Dim, Symbolic
from eagerflow.core.explain import describe, user_line
from eagerflow.devices import Device
from eagerflow.errors import ArgumentError, DTypeError, ShapeError
from eagerflow.ops.arrays.conversion import check_dtype, stop_gradient
from eagerflow.ops.arrays.creation import NO_INPUT, create
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.arrays.shape import broadcast_arrays, broadcast_to, expand_dims
from eagerflow.ops.axes import one_axis
from eagerflow.ops.checked import guarded
from eagerflow.ops.elementwise.arithmetic import sign
from eagerflow.ops.elementwise.exponential import log10

__all__ = ["arange", "geomspace", "linspace", "logspace"]


def _arange_rule(*, start: Any, stop: Any, step: Any, dtype: Any) -> Spec:
    return Spec((builtins.max(0, math.ceil((stop - start) / step)),), dtype)


def _sample_arange(draw: Draw) -> Sample:
    start, step = draw.integer(-5, 5), draw.choice([1, 2, -1])
    return Sample(
        (), {"start": start, "stop": start + step * draw.integer(0, 5), "step": step, "dtype": np.dtype("int64")}
    )


_arange = Op(
    "arange", lambda xp, *, start, stop, step, dtype: xp.arange(start, stop, step, dtype), inputs="",
    infer=_arange_rule, sample=_sample_arange, no_gradient=NO_INPUT, onnx="Range",
)  # fmt: skip


@implements(np.arange)
def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: str | Device | None = None,
) -> Tensor:
    """Return evenly spaced numbers from `start` up to, but not including, `stop`.

    Parameters
    ----------
    start : float
        First number; with nothing else the end, and the first is 0.
    stop : float, optional
        The end.
    step : float
        The distance.
    dtype : dtype, optional
        The dtype; otherwise int64 for integers, the default dtype for floats.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        A vector.

    Raises
    ------
    ArgumentError
        The step is zero.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.arange(3)
    Tensor([0, 1, 2])
    """
    first, last = (0, start) if stop is None else (start, stop)
    numbers = [_scalar(x) for x in (first, last, step)]
    if numbers[2] == 0:
        raise ArgumentError(f"arange: the step is zero\n  at {user_line()}")
    whole = builtins.all(isinstance(x, int | Dim) for x in numbers)
    wanted = check_dtype(dtype, "arange") if dtype is not None else np.dtype(np.int64) if whole else default_dtype()
    return create(_arange, device, start=numbers[0], stop=numbers[1], step=numbers[2], dtype=wanted)


def positions(count: Any) -> Any:
    """Return the numbers below `count`: an array, or where that is symbolic a Tensor."""
    return np.arange(count) if type(count) is int else arange(count)


def _scalar(x: Any) -> Any:
    """Return an end or the step of a range as a Python number."""
    if isinstance(x, np.ndarray | np.generic | ArrayMethods):
        if x.size != 1 or x.dtype.kind not in "biuf":
            raise DTypeError(f"arange: expected real numbers, got {describe(x)}\n  at {user_line()}")
        return x.item()
    if not isinstance(x, int | float | Symbolic):
        raise DTypeError(f"arange: expected real numbers, got {describe(x)}\n  at {user_line()}")
    return x


def _number(x: Any, device: Any) -> Any:
    """Return an end of a range as a Tensor, of a floating-point dtype."""
    made = convert(x, None, device)
    return made.astype(default_dtype()) if made.dtype.kind in "biu" else made


@guarded
def linspace(
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    *,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    device: str | Device | None = None,
) -> Any:
    """Return evenly spaced numbers over an interval.

    Parameters
    ----------
    start, stop : array_like
        The ends; gradients pass to them.
    num : int
        How many numbers.
    endpoint : bool
        Whether the last number is `stop`.
    retstep : bool
        Whether to return the distance too.
    dtype : dtype, optional
        Dtype of the result.
    axis : int
        Where the new axis goes, if the ends are arrays.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor or tuple of Tensor
        The numbers; with `retstep` and their distance.

    Raises
    ------
    ShapeError
        `num` is negative.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linspace(0.0, 1.0, 5)
    Tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    if num < 0:
        raise ShapeError(f"linspace: expected 0 numbers or more, got {num}\n  at {user_line()}")
    first, last = _number(start, device), _number(stop, device)
    spaces = num - 1 if endpoint else num
    delta = last - first
    step = delta / spaces if spaces > 0 else delta * math.nan
    places = arange(num, dtype=delta.dtype, device=delta.device).reshape((num,) + (1,) * delta.ndim)
    # As NumPy does: by multiplication, and the end exactly.
    result = first + places * (step if spaces > 0 else delta)
    if endpoint and num > 1:
        end = broadcast_to(last.astype(result.dtype), result.shape[1:])
        result = concat([result[:-1], end.reshape((1, *result.shape[1:]))])
    if dtype is not None:
        wanted = check_dtype(dtype, "linspace")
        floored = result.numpy()
        result = convert(np.floor(floored), wanted, result.device) if wanted.kind in "iu" else result.astype(wanted)
    result = _moved(result, axis)
    return (result, step) if retstep else result


def _moved(x: Tensor, axis: int) -> Tensor:
    place = one_axis(axis, x.ndim, "linspace")
    order = list(range(1, x.ndim))
    order.insert(place, 0)
    return x.transpose(order) if place else x


@implements(np.linspace)
def _numpy_linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    return linspace(start, stop, num, endpoint=endpoint, retstep=retstep, dtype=dtype, axis=axis, device=device)


@implements(np.logspace)
@guarded
def logspace(
    start: Any, stop: Any, /, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Tensor:
    """Return numbers from ``base ** start`` to ``base ** stop``, evenly spaced on a logarithmic scale.

    Parameters
    ----------
    start, stop : array_like
        Exponents of the ends; gradients pass to them.
    num : int
        How many numbers.
    endpoint : bool
        Whether the last number belongs to `stop`.
    base : array_like
        The base; if an array, it broadcasts with the ends.
    dtype : dtype, optional
        Dtype of the result.
    axis : int
        Where the new axis goes, if the ends are arrays.

    Returns
    -------
    Tensor
        The numbers.

    Raises
    ------
    ShapeError
        `num` is negative.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.logspace(0, 2, 3)
    Tensor([  1.,  10., 100.])
    """
    if not isinstance(base, int | float | complex):
        start, stop, base = convert(start), convert(stop), convert(base)
        ndim = builtins.max(start.ndim, stop.ndim, base.ndim)
        start, stop, base = (x.reshape((1,) * (ndim - x.ndim) + x.shape) for x in (start, stop, base))
        base = expand_dims(base, axis)
    result = base ** linspace(start, stop, num, endpoint=endpoint, axis=axis)
    return result if dtype is None else result.astype(dtype)


def geomspace(
    start: Any, stop: Any, /, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Tensor:
    """Return numbers from `start` to `stop`, each the same multiple of the one before.

    Parameters
    ----------
    start, stop : array_like
        The ends, both positive, both negative, or complex; gradients pass to them.
    num : int
        How many numbers.
    endpoint : bool
        Whether the last number is `stop`.
    dtype : dtype, optional
        Dtype of the result.
    axis : int
        Where the new axis goes, if the ends are arrays.

    Returns
    -------
    Tensor
        The numbers.

    Raises
    ------
    ShapeError
        `num` is negative.
    ArgumentError
        An end is zero, or they have unlike signs.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.geomspace(1.0, 8.0, 4)
    Tensor([1., 2., 4., 8.])
    """
    first, last = _number(start, None), _number(stop, None)
    kind = np.result_type(first.dtype, last.dtype)
    first, last = broadcast_arrays(first.astype(kind), last.astype(kind))
    turn = stop_gradient(first / abs(first)) if kind.kind == "c" else stop_gradient(sign(first))
    for end in (first, last):
        if type(end) is Tensor and not np.all(end.numpy()):
            raise ArgumentError(f"geomspace: the ends are not zero, got {start!r} and {stop!r}\n  at {user_line()}")
    if (
        kind.kind != "c"
        and type(turn) is Tensor
        and type(last) is Tensor
        and np.any(np.sign(last.numpy()) != turn.numpy())
    ):
        raise ArgumentError(f"geomspace: the ends have one sign, got {start!r} and {stop!r}\n  at {user_line()}")
    result = turn * 10.0 ** linspace(log10(first / turn), log10(last / turn), num, endpoint=endpoint)
    # The ends exactly.
    if num:
        parts = [first.reshape((1, *result.shape[1:])), result[1:]]
        if num > 1 and endpoint:
            parts[1:] = [result[1:-1], last.reshape((1, *result.shape[1:]))]
        result = concat(parts)
    result = _moved(result, axis)
    return result if dtype is None else result.astype(check_dtype(dtype, "geomspace"))


@implements(np.geomspace)
def _numpy_geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Tensor:
    return geomspace(start, stop, num, endpoint, dtype, axis)
