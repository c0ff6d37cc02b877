"""Discrete Fourier transforms as ops, from which `fourier` makes its functions.

The transforms are linear. With ``w = exp(-2πi/n)``, the matrix ``w**(j*k)`` is its own transpose, so that its gradient
is the same transform again; those of real arrays lead to each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert
from eagerflow.core.dims import index
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.axes import one_axis
from eagerflow.ops.checked import option
from eagerflow.ops.elementwise.complex import conj
from eagerflow.ops.indexing.indexing import place_part
from eagerflow.ops.linear_algebra.solving import constant, real_dtype

OPPOSITE = {"backward": "forward", "ortho": "ortho", "forward": "backward"}

# Axes of the ops count from the end, so that axes in front of all others change nothing.


def complex_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the complex dtype of a spectrum."""
    if dtype.kind == "c":
        return dtype
    return np.dtype(np.complex64 if dtype.kind == "f" and dtype.itemsize < 8 else np.complex128)


def _flops(x: Spec, **attrs: Any) -> float:
    return 5.0 * x.size * np.log2(max(x.size, 2))


def _dft_kernel(xp: Any, x: Any, *, axes: tuple[int, ...], norm: str, inverse: bool) -> Any:
    if len(axes) == 1:
        return (xp.fft.ifft if inverse else xp.fft.fft)(x, axis=axes[0], norm=norm)
    return (xp.fft.ifftn if inverse else xp.fft.fftn)(x, axes=axes, norm=norm)


def _sample_dft(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1, max_side=5)
    axes = tuple(sorted({axis % len(shape) - len(shape) for axis in draw.axes(len(shape))}))
    attrs = {"axes": axes, "norm": draw.choice(list(OPPOSITE)), "inverse": draw.flag()}
    return Sample((draw.array(shape),), attrs)


dft = Op(
    "dft",
    _dft_kernel,
    inputs="x",
    infer=lambda x, **attrs: Spec(x.shape, complex_dtype(x.dtype)),
    sample=_sample_dft,
    vjp=lambda g, axes, norm, inverse: dft(g, axes=axes, norm=norm, inverse=inverse),
    linear="x",
    batch="leading",
    flops=_flops,
    onnx="DFT",
    kinds="fc",
)


def _ends(g: Tensor, axis: int, n: int, ends: float, middle: float) -> Tensor:
    """Multiply half a spectrum of `n` points: those that stand for themselves, and those that stand for two."""
    weights = np.full(n // 2 + 1, middle)
    weights[0] = ends
    if n % 2 == 0:
        weights[-1] = ends
    return g * constant(weights.reshape((-1,) + (1,) * (-axis - 1)), g)


def _rdft_vjp(g: Tensor, axis: int, norm: str, n: int) -> Tensor:
    # Sums over half the spectrum: an inverse transform, with each middle coefficient counted once, not twice.
    half = _ends(conj(g), axis, n, 1.0, 0.5)
    return irdft(half, axis=axis, norm=OPPOSITE[norm], n=n)


def _half(x: Spec, *, axis: int, norm: str, n: int) -> Spec:
    return Spec(with_side(x.shape, axis, n // 2 + 1), complex_dtype(x.dtype))


def with_side(shape: tuple[int, ...], axis: int, side: int) -> tuple[int, ...]:
    """Return a shape with another length of one axis."""
    at = axis % len(shape)
    return (*shape[:at], side, *shape[at + 1 :])


def _sample_rdft(draw: Draw) -> Sample:
    shape = draw.shape(min_dims=1, max_side=6)
    axis = draw.integer(-len(shape), -1)
    x = draw.array(shape, dtype=np.float64)
    return Sample((x,), {"axis": axis, "norm": draw.choice(list(OPPOSITE)), "n": shape[axis]})


# The transform of a real array, whose other half is the conjugate.
rdft = Op(
    "real_dft",
    lambda xp, x, *, axis, norm, n: xp.fft.rfft(x, axis=axis, norm=norm),
    inputs="x",
    infer=_half,
    sample=_sample_rdft,
    vjp=_rdft_vjp,
    linear="x",
    batch="leading",
    flops=_flops,
)


def _irdft_vjp(g: Tensor, axis: int, norm: str, n: int) -> Tensor:
    # Each middle coefficient stands for itself and its conjugate.
    return conj(_ends(rdft(g, axis=axis, norm=OPPOSITE[norm], n=n), axis, n, 1.0, 2.0))


def _sample_irdft(draw: Draw) -> Sample:
    n = draw.integer(1, 7)
    shape = draw.shape(max_dims=2)
    axis = draw.integer(-len(shape) - 1, -1)
    shape = (*shape[: len(shape) + axis + 1], n // 2 + 1, *shape[len(shape) + axis + 1 :])
    return Sample((draw.array(shape),), {"axis": axis, "norm": draw.choice(list(OPPOSITE)), "n": n})


irdft = Op(
    "inverse_real_dft",
    lambda xp, x, *, axis, norm, n: xp.fft.irfft(x, n, axis=axis, norm=norm),
    inputs="x",
    infer=lambda x, *, axis, norm, n: Spec(with_side(x.shape, axis, n), real_dtype(complex_dtype(x.dtype))),
    sample=_sample_irdft,
    vjp=_irdft_vjp,
    linear="x",
    batch="leading",
    flops=_flops,
    kinds="fc",
)


# --- reading arguments ---------------------------------------------------------------------------


def normalization(norm: Any, name: str) -> str:
    """Return the way in which a transform is divided; None is NumPy's default."""
    if norm is None:
        return "backward"
    option(norm, tuple(OPPOSITE), name, "norm")
    return str(norm)


def points(n: Any, name: str) -> int:
    """Return a number of points, checked."""
    try:
        count = index(n)
    except TypeError:
        raise DTypeError(f"{name}: a number of points is an integer, got {n!r}\n  at {user_line()}") from None
    if count < 1:
        raise ShapeError(f"{name}: expected one point or more, got {count}\n  at {user_line()}")
    return count


def fitted(x: Tensor, axis: int, n: int) -> Tensor:
    """Cut an axis to `n` points, or fill it up with zeros."""
    side, before = x.shape[axis], (slice(None),) * (axis % x.ndim)
    if n < side:
        return x[(*before, slice(0, n))]
    return x if n == side else place_part(x, with_side(x.shape, axis, n), (*before, slice(0, side)))


def ready(x: Any, axis: Any, norm: Any, name: str) -> tuple[Tensor, int, str]:
    """Return the input, the axis counted from the end, and the normalization."""
    x = convert(x)
    return x, one_axis(axis, x.ndim, name) - x.ndim, normalization(norm, name)


def refuse_complex(x: Tensor, name: str, other: str) -> None:
    """Raise for complex numbers."""
    if x.dtype.kind == "c":
        raise DTypeError(f"{name}: expected real numbers, got {x.dtype}; see {other}\n  at {user_line()}")
