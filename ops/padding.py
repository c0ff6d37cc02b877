"""Padding: more elements at the ends of axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.along_axis import take
from eagerflow.ops.indexing import read_part

__all__ = ["pad"]

_BY_INDEX = ("edge", "reflect", "symmetric", "wrap")


def _pad_kernel(xp: Any, x: Any, *, width: tuple[tuple[int, int], ...], values: tuple[tuple[Any, Any], ...]) -> Any:
    return xp.pad(x, width, mode="constant", constant_values=values)


def _pad_gradient(g: Tensor, shape: tuple[int, ...], width: tuple[tuple[int, int], ...]) -> Tensor:
    return read_part(g, tuple([slice(before, before + n) for (before, _), n in zip(width, shape, strict=True)]))


def _sample_pad(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1)
    width = tuple((draw.integer(0, 2), draw.integer(0, 2)) for _ in shape)
    return Sample((draw.array(shape),), {"width": width, "values": tuple((1.0, -2.0) for _ in shape)})


_pad = Op(
    "pad", _pad_kernel, inputs="x",
    infer=lambda x, *, width, values: Spec(tuple(a + n + b for n, (a, b) in zip(x.shape, width, strict=True)), x.dtype),
    sample=_sample_pad, vjp=_pad_gradient, onnx="Pad", flops=0, kinds="fc",
)  # fmt: skip


def _pairs(value: Any, ndim: int, name: str) -> tuple[tuple[Any, Any], ...]:
    """Return one (before, after) for each axis, however briefly it was written."""
    if isinstance(value, dict):
        pairs = [(0, 0)] * ndim
        for axis, pair in value.items():
            pairs[axis] = pair if isinstance(pair, tuple | list) else (pair, pair)
        value = pairs
    try:
        spread = np.broadcast_to(np.asarray(value), (ndim, 2))
    except ValueError:
        raise ShapeError(
            f"pad: {name} is a number, a pair, or a pair for each of the {ndim} axes, got {value!r}\n  at {user_line()}"
        ) from None
    return tuple((before.item(), after.item()) for before, after in spread)


@implements(np.pad)
def pad(x: Any, pad_width: Any, /, mode: str = "constant", *, constant_values: Any = 0) -> Tensor:
    """Return an array with more elements at the ends of its axes.

    Parameters
    ----------
    x : array_like
        Input.
    pad_width : int, pair of int, sequence of pairs or dict
        How many before and after; for all axes, for each, or by axis.
    mode : {"constant", "edge", "reflect", "symmetric", "wrap"}
        With what: a constant, the element at the end, the array mirrored at its last element or
        behind it, or the array from its other end.
    constant_values : float, pair or sequence of pairs
        The constants, before and after.

    Returns
    -------
    Tensor
        The longer array.

    Raises
    ------
    ShapeError
        A negative width, or widths that do not fit the axes; an empty axis has no elements to repeat.
    DTypeError
        Widths that are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.pad([1.0, 2.0], (1, 0))
    Tensor([0., 1., 2.])
    """
    source = convert(x)
    width = _pairs(pad_width, source.ndim, "pad_width")
    for pair in width:
        if not all(isinstance(n, int) for n in pair):
            raise DTypeError(f"pad: widths are integers, got {pad_width!r}\n  at {user_line()}")
        if min(pair) < 0:
            raise ShapeError(f"pad: widths are not negative, got {pad_width!r}\n  at {user_line()}")
    if mode == "constant":
        return _pad(source, width=width, values=_pairs(constant_values, source.ndim, "constant_values"))
    if mode not in _BY_INDEX:
        raise ShapeError(f"pad: mode is 'constant' or one of {', '.join(_BY_INDEX)}, got {mode!r}\n  at {user_line()}")
    for axis, pair in enumerate(width):
        if any(pair):
            if not source.shape[axis]:
                raise ShapeError(f"pad: axis {axis} is empty: there is nothing to repeat\n  at {user_line()}")
            # NumPy pads the positions; the elements, and their gradients, follow by them.
            places: Any = np.pad(np.arange(source.shape[axis]), pair, mode=mode)  # type: ignore[call-overload]
            source = take(source, places, axis)
    return source
