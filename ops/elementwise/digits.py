"""Numbers taken apart: fraction and whole part, mantissa and exponent, bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, broadcast, convert, implements, is_inexact
from eagerflow.core.dispatch import EXTENSION
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError
from eagerflow.ops.arrays.conversion import astype
from eagerflow.ops.axes import one_axis
from eagerflow.ops.batching import along
from eagerflow.ops.checked import guarded, option
from eagerflow.ops.declare import elementwise, ufunc_rule
from eagerflow.ops.elementwise.rounding import trunc
from eagerflow.ops.elementwise.selection import where

__all__ = ["bitwise_count", "frexp", "ldexp", "modf", "packbits", "spacing", "unpackbits"]

_INTEGER = "its result is an integer"


def _spacing(xp: Any, x: Any) -> Any:
    return xp.nextafter(x, xp.copysign(xp.full_like(x, xp.inf), x)) - x


spacing = elementwise(
    "spacing", _spacing, numpy=["spacing"], infer=ufunc_rule("spacing"),
    no_gradient="it is constant between powers of two",
    doc="The distance from x to the next greater number in size, element-wise.",
    example=("ef.spacing([1.0, 2.0]) == [2**-52, 2**-51]", "Tensor([ True,  True])"),
)  # fmt: skip
spacing.op.register_kernel("cpu", np.spacing, into=np.spacing)  # type: ignore[attr-defined]
bitwise_count = elementwise(
    "bitwise_count", no_gradient=_INTEGER, sample_dtype=np.int64, domain=(-9, 9),
    doc="How many bits of the absolute value of x are one, element-wise.",
    example=("ef.bitwise_count([0, 3, -4])", "Tensor([0, 2, 1], dtype=uint8)"),
)  # fmt: skip


def _ldexp_rule(x: Any, y: Any) -> Spec:
    kinds = [getattr(spec, "dtype", np.dtype(type(spec))) for spec in (x, y)]
    return Spec(broadcast(x, y), np.ldexp.resolve_dtypes((*kinds, None))[-1])


def _sample_ldexp(draw: Draw) -> Sample:
    shape = draw.shape()
    return Sample((draw.array(shape), np.asarray(draw.rng.integers(-3, 4, draw.broadcastable(shape)))))


_ldexp = Op(
    "ldexp", "ldexp", inputs="x y", infer=_ldexp_rule, sample=_sample_ldexp,
    vjp=(lambda g, y: _ldexp(g, y), None), linear="x", fusion="elementwise",
)  # fmt: skip


def _ldexp_on_cuda(x: Any, y: Any) -> Any:
    import cupy

    return cupy.ldexp(x if x.dtype.num < EXTENSION else x.astype(np.float32), y)  # as NumPy has it


_ldexp.register_kernel("cuda", _ldexp_on_cuda)


@implements(np.ldexp)
@guarded
def ldexp(x1: Any, x2: Any) -> Tensor:
    """x1 · 2 ** x2, element-wise.

    Parameters
    ----------
    x1 : array_like
        Real numbers.
    x2 : array_like of int
        Exponents, which have no gradient.

    Returns
    -------
    Tensor
        Of the shape that the inputs broadcast to.

    Raises
    ------
    ShapeError
        The shapes do not broadcast.
    DTypeError
        Exponents that are no integers, complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.ldexp([1.0, 3.0], [2, -1])
    Tensor([4. , 1.5])
    """
    number, exponent = convert(x1), convert(x2)
    if exponent.dtype.kind not in "iub" or number.dtype.kind == "c":
        raise DTypeError(
            f"ldexp: expected real numbers and integer exponents, got {number.dtype} and {exponent.dtype}"
            f"\n  at {user_line()}"
        )
    return _ldexp(number, exponent)


_exponent = Op(
    "exponent", lambda xp, x: xp.frexp(x)[1], inputs="x", infer=lambda x: Spec(x.shape, np.int32),
    sample=lambda draw: Sample((draw.array(draw.shape()),)), no_gradient=_INTEGER, fusion="elementwise",
)  # fmt: skip


@implements(np.frexp)
@guarded
def frexp(x: Any) -> tuple[Tensor, Tensor]:
    """Take numbers apart: ``x == mantissa * 2 ** exponent`` with a mantissa from 0.5 to 1 in size.

    Parameters
    ----------
    x : array_like
        Real numbers.

    Returns
    -------
    tuple of Tensor
        Mantissas, whose gradient is that of x without its power of two, and exponents, which have none.

    Raises
    ------
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.frexp([4.0, 3.0])
    (Tensor([0.5 , 0.75]), Tensor([3, 2], dtype=int32))
    """
    number = _real(x, "frexp")
    exponent = _exponent(number)
    # In two steps, as 2 ** exponent alone can be too large.
    half = exponent // 2
    return ldexp(ldexp(number, -half), half - exponent), exponent


def _real(x: Any, name: str) -> Tensor:
    number = convert(x)
    if number.dtype.kind == "c":
        raise DTypeError(f"{name}: expected real numbers, got {number.dtype}\n  at {user_line()}")
    if is_inexact(number.dtype):
        return number
    return astype(number, np.modf(np.empty(0, number.dtype))[0].dtype)


@implements(np.modf)
@guarded
def modf(x: Any) -> tuple[Tensor, Tensor]:
    """Take numbers apart into fraction and whole part, element-wise.

    Parameters
    ----------
    x : array_like
        Real numbers.

    Returns
    -------
    tuple of Tensor
        Fractions and whole parts. The gradient goes to the fraction, at whole numbers too.

    Raises
    ------
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.modf([1.5, -2.25])
    (Tensor([ 0.5 , -0.25]), Tensor([ 1., -2.]))
    """
    number = _real(x, "modf")
    whole = trunc(number)
    infinite = abs(number) == np.inf
    return where(infinite, 0, number - where(infinite, 0, whole)), whole


def _packed_rule(x: Spec, *, axis: int, bitorder: str) -> Spec:
    return Spec((*x.shape[:axis], -(-x.shape[axis] // 8), *x.shape[axis + 1 :]), np.uint8)


def _sample_bits(draw: Draw) -> tuple[tuple[int, ...], dict[str, Any]]:
    shape = draw.shape(min_dims=1, max_side=9)
    return shape, {"axis": draw.integer(0, len(shape) - 1), "bitorder": draw.choice(["big", "little"])}


def _sample_pack(draw: Draw) -> Sample:
    shape, attrs = _sample_bits(draw)
    return Sample((draw.array(shape, dtype=np.bool_),), attrs)


def _sample_unpack(draw: Draw) -> Sample:
    shape, attrs = _sample_bits(draw)
    count = draw.choice([None, 3, -2, 8 * shape[attrs["axis"]] + 2])
    return Sample((draw.array(shape, 0, 255, np.uint8),), {**attrs, "count": count})


def _unpacked_rule(x: Spec, *, axis: int, count: int | None, bitorder: str) -> Spec:
    bits = 8 * x.shape[axis]
    length = bits if count is None else count if count >= 0 else max(bits + count, 0)
    return Spec((*x.shape[:axis], length, *x.shape[axis + 1 :]), np.uint8)


# CuPy has no axis for these.


def _pack(xp: Any, x: Any, *, axis: int, bitorder: str) -> Any:
    if xp is np:
        return np.packbits(x, axis, bitorder)  # type: ignore[call-overload]
    bits = xp.moveaxis(x != 0, axis, -1)
    missing = -bits.shape[-1] % 8
    if missing:
        bits = xp.concatenate([bits, xp.zeros((*bits.shape[:-1], missing), bool)], -1)
    bits = bits.reshape((*bits.shape[:-1], bits.shape[-1] // 8, 8)).astype(np.uint8)
    return xp.moveaxis((bits << _places(xp, bitorder)).sum(axis=-1, dtype=np.uint8), -1, axis)


def _unpack(xp: Any, x: Any, *, axis: int, count: int | None, bitorder: str) -> Any:
    if xp is np:
        return np.unpackbits(x, axis, count, bitorder)  # type: ignore[call-overload]
    bits = xp.moveaxis(x, axis, -1)[..., None] >> _places(xp, bitorder) & np.uint8(1)
    bits = bits.reshape((*bits.shape[:-2], bits.shape[-2] * 8))
    if count is not None:
        missing = max(0, count - bits.shape[-1])
        kept = bits[..., :count]
        bits = xp.concatenate([kept, xp.zeros((*bits.shape[:-1], missing), np.uint8)], -1) if missing else kept
    return xp.moveaxis(bits, -1, axis)


def _places(xp: Any, bitorder: str) -> Any:
    return xp.arange(7, -1, -1, dtype=np.uint8) if bitorder == "big" else xp.arange(8, dtype=np.uint8)


_packbits = Op(
    "packbits", _pack, inputs="x", infer=_packed_rule,
    sample=_sample_pack, no_gradient=_INTEGER, batch=along("axis"),
)  # fmt: skip
_unpackbits = Op(
    "unpackbits", _unpack, inputs="x",
    infer=_unpacked_rule, sample=_sample_unpack, no_gradient=_INTEGER, batch=along("axis"),
)  # fmt: skip


def _line(x: Tensor, axis: int | None, bitorder: str, name: str) -> tuple[Tensor, int]:
    option(bitorder, ("big", "little"), name, "bitorder")
    if axis is None:
        return x.reshape(-1), 0
    return x, one_axis(axis, x.ndim, name)


@implements(np.packbits)
@guarded
def packbits(a: Any, /, axis: int | None = None, bitorder: str = "big") -> Tensor:
    """Pack booleans into the bits of bytes.

    Parameters
    ----------
    a : array_like of int or bool
        Numbers count as one if they are not zero.
    axis : int, optional
        The axis; without it the array is flattened.
    bitorder : {"big", "little"}
        Whether the first bit is the highest of a byte, or the lowest.

    Returns
    -------
    Tensor
        Of dtype uint8, filled up with zeros; without a gradient.

    Raises
    ------
    ShapeError
        The axis is out of range.
    ArgumentError
        Unknown `bitorder`.
    DTypeError
        Neither integers nor booleans.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.packbits([True, False, True])
    Tensor([160], dtype=uint8)
    """
    x = convert(a)
    if x.dtype.kind not in "iub":
        raise DTypeError(f"packbits: expected integers or booleans, got {x.dtype}\n  at {user_line()}")
    x, axis = _line(x, axis, bitorder, "packbits")
    return _packbits(x, axis=axis, bitorder=bitorder)


@implements(np.unpackbits)
@guarded
def unpackbits(a: Any, /, axis: int | None = None, count: int | None = None, bitorder: str = "big") -> Tensor:
    """Unpack bytes into their bits.

    Parameters
    ----------
    a : array_like of uint8
        The bytes.
    axis : int, optional
        The axis; without it the array is flattened.
    count : int, optional
        How many bits to return, filled up with zeros; how many to leave out at the end, if negative.
    bitorder : {"big", "little"}
        Whether the first bit is the highest of a byte, or the lowest.

    Returns
    -------
    Tensor
        Zeros and ones of dtype uint8, without a gradient.

    Raises
    ------
    ShapeError
        The axis is out of range.
    ArgumentError
        Unknown `bitorder`.
    DTypeError
        Another dtype than uint8.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.unpackbits(ef.asarray([160], dtype=ef.uint8), count=3)
    Tensor([1, 0, 1], dtype=uint8)
    """
    x = convert(a)
    if x.dtype != np.uint8:
        raise DTypeError(f"unpackbits: expected bytes (uint8), got {x.dtype}\n  at {user_line()}")
    x, axis = _line(x, axis, bitorder, "unpackbits")
    return _unpackbits(x, axis=axis, count=count, bitorder=bitorder)
