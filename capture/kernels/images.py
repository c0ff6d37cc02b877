"""Compiled kernels of single ops: convolutions in tiles, max pooling, LSTM layers.

Plans use them in place of NumPy's. Eager code does not: it would wait for the compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eagerflow.capture.kernels import pools, recurrent
from eagerflow.capture.kernels.kernel import available
from eagerflow.capture.kernels.tiled import Convolution, WeightGradient, share
from eagerflow.core import Op, Spec
from eagerflow.ops.networks import winograd
from eagerflow.ops.networks.scratch import scratch

__all__ = ["accelerated"]

Into = Callable[..., None]

# Elements of a window up to which the loops over it are written out.
_WINDOW = 32


def accelerated(op: Op, specs: Sequence[Any], attrs: dict[str, Any]) -> Into | None:
    """Return a compiled kernel for an op on arrays of known shapes.

    Parameters
    ----------
    op : Op
        The op.
    specs : sequence of Spec or None
        Of its inputs, with lengths that are numbers; None for inputs that are None.
    attrs : dict
        Its attributes.

    Returns
    -------
    callable or None
        ``into(*inputs, out, **attrs)``, as `Op.register_kernel` takes it, for arrays of these shapes only. None where
        there is no such kernel, it does not pay, or Numba is not installed.
    """
    maker = _MAKERS.get(op.name)
    if maker is None or not available():
        return None
    if not all(spec is None or (isinstance(spec, Spec) and spec.size) for spec in specs):
        return None
    return maker(*specs, **attrs)


def _convolution(x: Spec, weight: Spec, bias: Spec | None, *, stride: Any, padding: Any, **attrs: Any) -> Into | None:
    channels = (weight.shape[1], weight.shape[0])
    if not winograd.pays(np, x, weight, channels, weight.shape[2:], stride=stride, padding=padding, **attrs):
        return None
    convolution = Convolution(x.shape, weight.shape[0], weight.shape[2], stride[0], padding)

    def into(x: Any, weight: Any, bias: Any, out: Any, **attrs: Any) -> None:
        convolution(x, weight, bias, out)

    return into


def _input_gradient(y: Spec, weight: Spec, *, size: Any, stride: Any, padding: Any, **attrs: Any) -> Into | None:
    channels, width = weight.shape[:2], weight.shape[2]
    if stride != (1, 1) or not winograd.pays(
        np, y, weight, channels, weight.shape[2:], stride=stride, padding=padding, **attrs
    ):
        return None
    (top, bottom), (left, right) = padding
    around = ((width - 1 - top, width - 1 - bottom), (width - 1 - left, width - 1 - right))
    convolution = Convolution(y.shape, weight.shape[1], width, 1, around)

    def into(y: Any, weight: Any, out: Any, **attrs: Any) -> None:
        convolution(y, weight, None, out, mirrored=True)

    return into


def _weight_gradient(x: Spec, y: Spec, *, kernel: Any, stride: Any, padding: Any, **attrs: Any) -> Into | None:
    channels = (x.shape[1], y.shape[1])
    if not winograd.pays(np, x, y, channels, kernel, stride=stride, padding=padding, **attrs):
        return None
    gradient = WeightGradient(x.shape, y.shape[1], kernel[0], stride[0], padding)

    def into(x: Any, y: Any, out: Any, **attrs: Any) -> None:
        gradient(x, y, out)

    return into


def _images(x: Any) -> Any:
    """Return (N, C, H, W) as (N * C, H, W)."""
    return np.ascontiguousarray(x).reshape(-1, *x.shape[2:])


def _pools(specs: Sequence[Spec], window: Any) -> bool:
    return {spec.dtype for spec in specs} in ({np.dtype(np.float32)}, {np.dtype(np.float64)}) and (
        window[0] * window[1] <= _WINDOW
    )


def _maximum(x: Spec, *, window: Any, stride: Any, padding: Any) -> Into | None:
    if not _pools([x], window):
        return None
    kernel = pools.load("maximum", x.dtype, window, stride)
    (top, _), (left, right) = padding

    def into(x: Any, out: Any, **attrs: Any) -> None:
        images, target = _images(x), _images(out)

        def run(start: int, stop: int) -> None:
            line = scratch("own 0", (left + images.shape[2] + right,), x.dtype)
            line[...] = -np.inf
            kernel(start, stop, top, left, line, images, target)

        share(run, len(images), images.size)

    return into


def _scatter(g: Spec, x: Spec, highest: Spec, *, window: Any, stride: Any, padding: Any) -> Into | None:
    if not _pools([g, x, highest], window):
        return None
    kernel = pools.load("gradient", x.dtype, window, stride)
    (top, _), (left, _) = padding

    def into(g: Any, x: Any, highest: Any, out: Any, **attrs: Any) -> None:
        arrays = [_images(item) for item in (g, x, highest, out)]

        def run(start: int, stop: int) -> None:
            kernel(start, stop, top, left, *arrays)

        share(run, len(arrays[0]), x.size)

    return into


_MAKERS: dict[str, Callable[..., Into | None]] = {
    "conv2d": _convolution,
    "conv2d_input_gradient": _input_gradient,
    "conv2d_weight_gradient": _weight_gradient,
    "max_pool2d": _maximum,
    "max_pool2d_scatter": _scatter,
    "lstm": recurrent.forward,
    "lstm_gradient": recurrent.backward,
}
