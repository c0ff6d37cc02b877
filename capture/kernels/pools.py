"""Loops of max pooling: the maximum of each window, and its gradient."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from eagerflow.capture.kernels import cache as compiled

Pair = tuple[int, int]

# A part is an image of one channel. `line` holds the maxima along columns of what a row of windows covers, with the
# lowest number where the padding is. A NaN is the maximum of its window.
_MAXIMUM = """
def kernel(start, stop, top, left, line, x, out):
    inner = line[left : left + x.shape[2]]
    for part in range(start, stop):
        for i in range(out.shape[1]):
            first, last = max(i * {down} - top, 0), min(i * {down} - top + {height}, x.shape[1])
            source = x[part, first]
            for j in range(x.shape[2]):
                inner[j] = source[j]
            for row in range(first + 1, last):
                source = x[part, row]
                for j in range(x.shape[2]):
                    value, highest = source[j], inner[j]
                    inner[j] = value if (value > highest) | (value != value) else highest
            target = out[part, i]
            for j in range(out.shape[2]):
                highest = line[j * {across}]
                for k in range(1, {width}):
                    value = line[j * {across} + k]
                    highest = value if (value > highest) | (value != value) else highest
                target[j] = highest
"""

# The gradient goes to the first element of a window that is its maximum: in a loop without branches, backwards, the
# last one found.
_GRADIENT = """
def kernel(start, stop, top, left, g, x, highest, out):
    for part in range(start, stop):
        target = out[part].reshape(-1)
        for place in range(target.size):
            target[place] = 0
        for i in range(g.shape[1]):
            above = i * {down} - top
            for j in range(g.shape[2]):
                aside = j * {across} - left
                value = highest[part, i, j]
                if above >= 0 and aside >= 0 and above + {height} <= x.shape[1] and aside + {width} <= x.shape[2]:
                    place = (above + {height} - 1) * x.shape[2] + aside + {width} - 1
{inside}
                else:
                    bottom, right = min(above + {height}, x.shape[1]) - 1, min(aside + {width}, x.shape[2]) - 1
                    place = bottom * x.shape[2] + right
                    for row in range(bottom, max(above, 0) - 1, -1):
                        for column in range(right, max(aside, 0) - 1, -1):
                            place = row * x.shape[2] + column if x[part, row, column] == value else place
                target[place] += g[part, i, j]
"""


@cache
def load(kind: str, dtype: np.dtype[Any], window: Pair, stride: Pair) -> Any:
    """Compile the loops of one kind.

    Parameters
    ----------
    kind : str
        ``maximum`` or ``gradient``.
    dtype : numpy.dtype
        Of all arrays.
    window, stride : pair of int
        Height and width of the window, and its steps.

    Returns
    -------
    callable
        ``kernel(start, stop, top, left, line, x, out)`` and ``kernel(start, stop, top, left, g, x, highest, out)`` for
        arrays (images, height, width).
    """
    from numba import from_dtype, types

    def array(axes: int, readonly: bool) -> Any:
        return types.Array(from_dtype(dtype), axes, "C", readonly=readonly)

    (height, width), (down, across) = window, stride
    lines = []
    for a in reversed(range(height)):
        lines.append(f"source = x[part, above + {a}]")
        for b in reversed(range(width)):
            lines.append(f"here = (above + {a}) * x.shape[2] + aside + {b}")
            lines.append(f"place = here if source[aside + {b}] == value else place")
    source = (_MAXIMUM if kind == "maximum" else _GRADIENT).format(
        height=height, width=width, down=down, across=across, inside="\n".join(" " * 20 + line for line in lines)
    )
    arrays = [array(1, False), array(3, True)] if kind == "maximum" else [array(3, True)] * 3
    signature = types.void(*[types.int64] * 4, *arrays, array(3, False))
    return compiled.load(source, "kernel", [signature], noalias=True)
