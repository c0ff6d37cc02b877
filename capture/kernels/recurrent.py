"""Compiled kernels of a whole LSTM layer: what stands between the products of a step in time is one loop.

`ops/networks/lstm.py` has the equations, and the same in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from eagerflow.capture.kernels import cache as compiled
from eagerflow.core import Spec

Into = Callable[..., None]

_FORWARD = """
from eagerflow.capture.kernels.scalar_math import sigmoid, tanh


def kernel(gates, x, before, c, h):
    size = c.shape[1]
    for row in range(c.shape[0]):
        a, b, old, now, out = gates[row], x[row], before[row], c[row], h[row]
        for j in range(size):
            i = sigmoid(a[j] + b[j])
            f = sigmoid(a[size + j] + b[size + j])
            u = tanh(a[3 * size + j] + b[3 * size + j])
            a[j], a[size + j], a[3 * size + j] = i, f, u
            now[j] = f * old[j] + i * u
        for j in range(size):
            o = sigmoid(a[2 * size + j] + b[2 * size + j])
            a[2 * size + j] = o
            out[j] = o * tanh(now[j])
"""

# `dc` and `dh` are the gradients of cell and output that come from the step after, and then those for the step before.
_BACKWARD = """
from eagerflow.capture.kernels.scalar_math import tanh


def kernel(g, c, gates, before, dh, dc, z):
    size = c.shape[1]
    one = c[0, 0] * 0 + 1
    for row in range(c.shape[0]):
        a, old, now, given, to_h, to_c, out = gates[row], before[row], c[row], g[row], dh[row], dc[row], z[row]
        for j in range(size):
            i, f, o, u = a[j], a[size + j], a[2 * size + j], a[3 * size + j]
            t = tanh(now[j])
            through = to_h[j] + given[j]
            cell = to_c[j] + through * o * (one - t * t)
            out[j] = cell * u * i * (one - i)
            out[size + j] = cell * old[j] * f * (one - f)
            out[2 * size + j] = through * t * o * (one - o)
            out[3 * size + j] = cell * i * (one - u * u)
            to_c[j] = cell * f
"""


@cache
def _load(source: str, dtype: Any, readonly: tuple[bool, ...]) -> Any:
    from numba import from_dtype, types

    arrays = [types.Array(from_dtype(dtype), 2, "C", readonly=item) for item in readonly]
    return compiled.load(source, "kernel", [types.void(*arrays)], noalias=True)


def _fits(*specs: Spec | None) -> bool:
    return {spec.dtype for spec in specs if spec is not None} in ({np.dtype(np.float32)}, {np.dtype(np.float64)})


def forward(x: Spec, h0: Spec, c0: Spec, w: Spec) -> Into | None:
    """Return the kernel of the op `lstm` for these inputs: it fills h, c and the gates."""
    if not _fits(x, h0, c0, w):
        return None
    kernel = _load(_FORWARD, x.dtype, (False, True, True, False, False))

    def into(x: Any, h0: Any, c0: Any, w: Any, h: Any, c: Any, gates: Any) -> None:
        x = np.ascontiguousarray(x)
        before_h, before_c = h0, np.ascontiguousarray(c0)
        for t in range(len(x)):
            np.matmul(before_h, w, gates[t])
            kernel(gates[t], x[t], before_c, c[t], h[t])
            before_h, before_c = h[t], c[t]

    return into


def backward(gh: Spec | None, gc: Spec | None, gg: Spec | None, c: Spec, gates: Spec, c0: Spec, w: Spec) -> Into | None:
    """Return the kernel of the op `lstm_gradient`: it fills the gradients of the gates, h0 and c0.

    There is one for what training needs: only the outputs h have a gradient.
    """
    if gh is None or gc is not None or gg is not None or not _fits(gh, c, gates, c0, w):
        return None
    kernel = _load(_BACKWARD, c.dtype, (True, True, True, True, False, False, False))

    def into(gh: Any, gc: Any, gg: Any, c: Any, gates: Any, c0: Any, w: Any, z: Any, dh: Any, dc: Any) -> None:
        gh, c, gates, c0 = (np.ascontiguousarray(item) for item in (gh, c, gates, c0))
        dh[...] = 0
        dc[...] = 0
        transposed = w.T
        for t in range(len(c) - 1, -1, -1):
            kernel(gh[t], c[t], gates[t], c[t - 1] if t else c0, dh, dc, z[t])
            np.matmul(z[t], transposed, dh)

    return into
