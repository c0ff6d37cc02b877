"""Fourier transforms over several axes: made of those along one."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.axes import some_axes
from eagerflow.ops.checked import guarded
from eagerflow.ops.fourier.dft import complex_dtype, dft, fitted, normalization, points
from eagerflow.ops.fourier.one_axis import irfft, rfft

__all__ = [
    "fft2",
    "fftn",
    "ifft2",
    "ifftn",
    "irfft2",
    "irfftn",
    "rfft2",
    "rfftn",
]


def _listed(value: Any) -> tuple[Any, ...]:
    """Return a list, a tuple or a vector as a tuple; a single item as one of its own."""
    return tuple(value) if isinstance(value, list | tuple) or np.ndim(value) == 1 else (value,)


def _several(x: Any, s: Any, axes: Any, name: str) -> tuple[Tensor, tuple[int, ...], tuple[int | None, ...]]:
    """Return the axes of a transform over several, from the end, and the number of points asked for along each."""
    x = convert(x)
    sizes = None if s is None else _listed(s)
    if axes is None:
        count = x.ndim if sizes is None else len(sizes)
        axes = tuple(range(-count, 0))
    else:
        axes = _listed(axes)
    if x.ndim < len(axes):
        raise ShapeError(f"{name}: {len(axes)} axes of an array of shape {x.shape}\n  at {user_line()}")
    chosen = tuple(axis - x.ndim for axis in some_axes(axes, x.ndim, name))
    if sizes is None:
        return x, chosen, (None,) * len(chosen)
    if len(sizes) != len(chosen):
        raise ShapeError(f"{name}: {len(sizes)} lengths in s, but {len(chosen)} axes\n  at {user_line()}")
    return x, chosen, tuple(None if n is None or n == -1 else points(n, name) for n in sizes)


def _many(x: Any, s: Any, axes: Any, norm: Any, name: str, inverse: bool) -> Tensor:
    norm = normalization(norm, name)
    x, chosen, sizes = _several(x, s, axes, name)
    for axis, n in zip(chosen, sizes, strict=True):
        x = fitted(x, axis, points(x.shape[axis], name) if n is None else n)
    if not chosen:
        return x.astype(complex_dtype(x.dtype))
    result: Tensor = dft(x, axes=chosen, norm=norm, inverse=inverse)
    return result


@implements(np.fft.fftn)
@guarded
def fftn(x: Any, /, s: Any = None, axes: Any = None, norm: str | None = "backward") -> Tensor:
    """Return the discrete Fourier transform over several axes.

    Parameters
    ----------
    x : array_like
        Input, real or complex.
    s : sequence of int, optional
        Numbers of points along the axes, which are cut or filled up with zeros; -1 as they are.
    axes : sequence of int, optional
        The axes; all if not given, or as many of the last as there are in `s`.
    norm : {"backward", "ortho", "forward"}
        As for `fft`.

    Returns
    -------
    Tensor
        The spectrum, complex.

    Raises
    ------
    ShapeError
        An axis out of range, repeated or empty; `s` does not fit.
    ArgumentError
        Unknown `norm`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.fftn([[1.0, 0.0], [0.0, 0.0]])
    Tensor([[1.+0.j, 1.+0.j],
            [1.+0.j, 1.+0.j]])
    """
    return _many(x, s, axes, norm, "fftn", False)


@implements(np.fft.ifftn)
@guarded
def ifftn(x: Any, /, s: Any = None, axes: Any = None, norm: str | None = "backward") -> Tensor:
    """Return the inverse of `fftn`.

    Parameters
    ----------
    x : array_like
        A spectrum.
    s, axes, norm
        As for `fftn`.

    Returns
    -------
    Tensor
        Complex.

    Raises
    ------
    ShapeError, ArgumentError
        As `fftn`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.ifftn([[4.0, 0.0], [0.0, 0.0]]).real
    Tensor([[1., 1.],
            [1., 1.]])
    """
    return _many(x, s, axes, norm, "ifftn", True)


@implements(np.fft.rfftn)
@guarded
def rfftn(x: Any, /, s: Any = None, axes: Any = None, norm: str | None = "backward") -> Tensor:
    """Return half the Fourier transform of real numbers over several axes: `rfft` along the last, `fft` along others.

    Parameters
    ----------
    x : array_like
        Real numbers.
    s, axes, norm
        As for `fftn`.

    Returns
    -------
    Tensor
        Complex.

    Raises
    ------
    ShapeError, ArgumentError
        As `fftn`; or there are no axes.
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.rfftn(ef.ones((2, 2))).real
    Tensor([[4., 0.],
            [0., 0.]])
    """
    x, chosen, sizes = _several(x, s, axes, "rfftn")
    _need_axes(chosen, "rfftn")
    half = rfft(x, sizes[-1], chosen[-1], norm)
    return half if len(chosen) == 1 else _many(half, _or_all(sizes[:-1]), chosen[:-1], norm, "rfftn", False)


@implements(np.fft.irfftn)
@guarded
def irfftn(x: Any, /, s: Any = None, axes: Any = None, norm: str | None = "backward") -> Tensor:
    """Return the inverse of `rfftn`.

    Parameters
    ----------
    x : array_like
        Half a spectrum.
    s : sequence of int, optional
        Numbers of points of the result along the axes; the last is ``2 * (m - 1)`` for m points of `x` if not given.
    axes, norm
        As for `fftn`.

    Returns
    -------
    Tensor
        Real.

    Raises
    ------
    ShapeError, ArgumentError
        As `fftn`; or there are no axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.irfftn([[4.0, 0.0], [0.0, 0.0]])
    Tensor([[1., 1.],
            [1., 1.]])
    """
    x, chosen, sizes = _several(x, s, axes, "irfftn")
    _need_axes(chosen, "irfftn")
    if len(chosen) > 1:
        x = _many(x, _or_all(sizes[:-1]), chosen[:-1], norm, "irfftn", True)
    return irfft(x, sizes[-1], chosen[-1], norm)


def _or_all(sizes: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(-1 if n is None else n for n in sizes)


def _need_axes(axes: tuple[int, ...], name: str) -> None:
    if not axes:
        raise ShapeError(f"{name}: expected one axis or more\n  at {user_line()}")


_TWO = """Return `{of}` over two axes, by default the last.

    Parameters
    ----------
    x : array_like
        Input.
    s : pair of int, optional
        Numbers of points along the axes.
    axes : pair of int
        The axes.
    norm : {{"backward", "ortho", "forward"}}
        As for `fft`.

    Returns
    -------
    Tensor
        As of `{of}`.

    Raises
    ------
    ShapeError, ArgumentError
        As `{of}`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.fft.{name}(ef.ones((1, 2))).shape
    {shape}
    """


@implements(np.fft.fft2)
def fft2(x: Any, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = "backward") -> Tensor:  # noqa: D103
    return fftn(x, s, axes, norm)


@implements(np.fft.ifft2)
def ifft2(x: Any, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = "backward") -> Tensor:  # noqa: D103
    return ifftn(x, s, axes, norm)


@implements(np.fft.rfft2)
def rfft2(x: Any, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = "backward") -> Tensor:  # noqa: D103
    return rfftn(x, s, axes, norm)


@implements(np.fft.irfft2)
def irfft2(x: Any, /, s: Any = None, axes: Any = (-2, -1), norm: str | None = "backward") -> Tensor:  # noqa: D103
    return irfftn(x, s, axes, norm)


for _function, _of in ((fft2, "fftn"), (ifft2, "ifftn"), (rfft2, "rfftn"), (irfft2, "irfftn")):
    _function.__doc__ = _TWO.format(of=_of, name=_function.__name__, shape="(1, 2)")
