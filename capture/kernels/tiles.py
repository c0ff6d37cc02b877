"""Loops of convolutions in tiles: sources of the kernels that transform images, weights and products.

What `eagerflow.ops.networks.winograd` does with matmuls by small constant matrices, these loops do in registers, for 16
channels at a time. Images are copied so that 16 channels lie side by side; a tile of theirs is transformed along
both axes, and stored. Every number of the matrices is written into the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from eagerflow.capture.kernels import cache as compiled

LANES = 16  # channels that are worked on together
POINTS = 6  # along each axis

_HEAD = """
import numpy as np

def kernel({arguments}):
"""

# Images (N, C, H, W) to points (36, tiles, F), F folded channels. Several images lie side by side in a mosaic, `pitch`
# apart. A part is 16 channels of one mosaic.
_IMAGES = """
    channels = x.shape[1]
    folded = channels * stride * stride
    chunks = (folded + {lanes} - 1) // {lanes}
    rows, columns = (grid_rows - 1) * {step} + {size}, (grid_columns - 1) * {step} + {size}
    whole = np.empty(rows * columns * {lanes}, np.float32)
    tile = np.empty({points} * {points} * {lanes}, np.float32)
    for part in range(start, stop):
        mosaic = part // chunks
        first = min(part % chunks * {lanes}, folded - {lanes})
        whole[:] = 0
        for place in range(down * across):
            image = (first_mosaic + mosaic) * down * across + place
            if image >= x.shape[0]:
                break
            row0, column0 = place // across * row_pitch, place % across * column_pitch
            for lane in range({lanes}):
                channel = (first + lane) % channels
                row_phase = (first + lane) // channels // stride - top
                column_phase = (first + lane) // channels % stride - left
                begin = max(0, -(column_phase // stride))
                end = min((x.shape[3] - 1 - column_phase) // stride + 1, columns - column0)
                for row in range(max(0, -(row_phase // stride)),
                                 min((x.shape[2] - 1 - row_phase) // stride + 1, rows - row0)):
                    target = ((row0 + row) * columns + column0) * {lanes} + lane
                    source = x[image, channel, row * stride + row_phase]
                    for column in range(begin, end):
                        whole[target + column * {lanes}] = source[column * stride + column_phase]
        for i in range(grid_rows):
            for j in range(grid_columns):
                corner = (i * columns + j) * {step} * {lanes}
                for lane in range({lanes}):
{body}
                number = (mosaic * grid_rows + i) * grid_columns + j
                for point in range({points} * {points}):
                    for lane in range({lanes}):
                        out[point, number, first + lane] = tile[point * {lanes} + lane]
"""

# Products (36, tiles, O) to images (N, O, H, W), plus a bias.
_RESULTS = """
    outs = x.shape[2]
    chunks = (outs + {lanes} - 1) // {lanes}
    width = grid_columns * {step}
    band = np.empty({step} * width * {lanes}, np.float32)
    tile = np.empty({step} * {step} * {lanes}, np.float32)
    for part in range(start, stop):
        mosaic = part // chunks
        first = min(part % chunks * {lanes}, outs - {lanes})
        for i in range(grid_rows):
            for j in range(grid_columns):
                number = (mosaic * grid_rows + i) * grid_columns + j
                for lane in range({lanes}):
{body}
                for a in range({step}):
                    begin = (a * width + j * {step}) * {lanes}
                    for lane in range({step} * {lanes}):
                        band[begin + lane] = tile[a * {step} * {lanes} + lane]
            for a in range({step}):
                image_row, row = (i * {step} + a) // row_pitch, (i * {step} + a) % row_pitch
                if image_row >= down or row >= out.shape[2]:
                    continue
                for image_column in range(across):
                    image = ((first_mosaic + mosaic) * down + image_row) * across + image_column
                    if image >= out.shape[0]:
                        break
                    begin = (a * width + image_column * column_pitch) * {lanes}
                    for lane in range({lanes}):
                        target = out[image, first + lane, row]
                        shift = bias[first + lane]
                        for column in range(out.shape[3]):
                            target[column] = band[begin + column * {lanes} + lane] + shift
"""

# Weights (O, C, r, r) to points (36, O, C), mirrored if `mirror` is 1. A part is an output channel.
_WEIGHTS = """
    channels = x.shape[1]
    square = np.empty({size} * {size} * {lanes}, np.float32)
    tile = np.empty({points} * {points} * {lanes}, np.float32)
    for o in range(start, stop):
        for first in range(0, channels, {lanes}):
            first = min(first, channels - {lanes})
            for lane in range({lanes}):
                for i in range({size}):
                    for j in range({size}):
                        value = x[o, first + lane, {size} - 1 - i, {size} - 1 - j] if mirror else x[o, first + lane, i, j]
                        square[(i * {size} + j) * {lanes} + lane] = value
            for lane in range({lanes}):
{body}
            for point in range({points} * {points}):
                for lane in range({lanes}):
                    out[point, o, first + lane] = tile[point * {lanes} + lane]
"""

# Points (36, O, C) to gradients of weights (O, C, r, r).
_GRADIENTS = """
    channels = out.shape[1]
    square = np.empty({size} * {size} * {lanes}, np.float32)
    for o in range(start, stop):
        for first in range(0, channels, {lanes}):
            first = min(first, channels - {lanes})
            for lane in range({lanes}):
{body}
            for lane in range({lanes}):
                for i in range({size}):
                    for j in range({size}):
                        out[o, first + lane, i, j] = square[(i * {size} + j) * {lanes} + lane]
"""

_GEOMETRY = ("first_mosaic", "down", "across", "row_pitch", "column_pitch", "grid_rows", "grid_columns")


def _sum(terms: Sequence[tuple[float, str]]) -> str:
    """Return the expression for a sum of products by numbers."""
    text = " + ".join(
        name if factor == 1 else f"-{name}" if factor == -1 else f"np.float32({factor!r}) * {name}"
        for factor, name in terms
        if factor
    )
    return text or "np.float32(0)"


def product(matrix: Any, inputs: Sequence[str], outputs: Sequence[str], name: str) -> list[str]:
    """Return lines that compute ``outputs = matrix @ inputs``, sharing what points of opposite sign have in common.

    Rows 1 and 2, and 3 and 4, of a matrix that evaluates differ in the signs of every second column; in one that
    interpolates, the columns do.
    """
    rows = matrix.tolist()
    lines = []
    if len(outputs) == POINTS:
        lines.append(f"{outputs[0]} = {_sum(list(zip(rows[0], inputs, strict=True)))}")
        for one in (1, 3):
            same, other = f"{name}_s{one}", f"{name}_d{one}"
            pairs = list(zip(rows[one], rows[one + 1], inputs, strict=True))
            lines.append(f"{same} = {_sum([(a, x) for a, b, x in pairs if a == b])}")
            lines.append(f"{other} = {_sum([(a, x) for a, b, x in pairs if a != b])}")
            lines.append(f"{outputs[one]} = {same} + {other}")
            lines.append(f"{outputs[one + 1]} = {same} - {other}")
        lines.append(f"{outputs[5]} = {_sum(list(zip(rows[5], inputs, strict=True)))}")
        return lines
    for one in (1, 3):
        lines.append(f"{name}_s{one} = {inputs[one]} + {inputs[one + 1]}")
        lines.append(f"{name}_d{one} = {inputs[one]} - {inputs[one + 1]}")
    for row, out in zip(rows, outputs, strict=True):
        terms = [(row[0], inputs[0])]
        terms += [(row[one], f"{name}_{'s' if row[one] == row[one + 1] else 'd'}{one}") for one in (1, 3)]
        lines.append(f"{out} = {_sum([*terms, (row[5], inputs[5])])}")
    return lines


def _square(matrix: Any, source: Any, target: Any, indent: int) -> str:
    """Return lines for ``matrix @ X @ matrix.T``: X[i, j] is ``source(i, j)``, results go to ``target(i, j)``."""
    outs, size = matrix.shape
    lines = []
    for j in range(size):
        inputs = [f"x{i}_{j}" for i in range(size)]
        lines += [f"x{i}_{j} = {source(i, j)}" for i in range(size)]
        lines += product(matrix, inputs, [f"y{i}_{j}" for i in range(outs)], "c")
    for i in range(outs):
        outputs = [f"z{i}_{j}" for j in range(outs)]
        lines += product(matrix, [f"y{i}_{j}" for j in range(size)], outputs, "r")
        lines += [f"{target(i, j)} = z{i}_{j}" for j in range(outs)]
    return "\n".join(" " * indent + line for line in lines)


@cache
def load(kind: str, matrix: tuple[tuple[float, ...], ...], step: int = 0) -> Any:
    """Compile the loops of one kind.

    Parameters
    ----------
    kind : str
        ``images``, ``results``, ``weights`` or ``gradients``.
    matrix : tuple of tuple of float
        What transforms along each axis.
    step : int
        Distance of the tiles of images.

    Returns
    -------
    callable
        ``kernel(start, stop, x, …, out)`` for parts from `start` to `stop`.
    """
    from numba import float32, types

    def array(axes: int, readonly: bool = True) -> Any:
        return types.Array(float32, axes, "C", readonly=readonly)

    square = np.array(matrix, np.float64)
    outs, size = square.shape
    lanes, points = LANES, POINTS
    inside: Any = {
        "images": (lambda i, j: f"whole[corner + ({i} * columns + {j}) * {lanes} + lane]", 20),
        "results": (lambda i, j: f"x[{i * points + j}, number, first + lane]", 20),
        "weights": (lambda i, j: f"square[{(i * size + j) * lanes} + lane]", 16),
        "gradients": (lambda i, j: f"x[{i * points + j}, o, first + lane]", 16),
    }
    onto: Any = {
        "images": lambda i, j: f"tile[{(i * points + j) * lanes} + lane]",
        "results": lambda i, j: f"tile[{(i * outs + j) * lanes} + lane]",
        "weights": lambda i, j: f"tile[{(i * points + j) * lanes} + lane]",
        "gradients": lambda i, j: f"square[{(i * outs + j) * lanes} + lane]",
    }
    more, text, types_of = {
        "images": ((*_GEOMETRY, "stride", "top", "left"), _IMAGES, (array(4), array(3, False))),
        "results": ((*_GEOMETRY, "bias"), _RESULTS, (array(3), array(4, False))),
        "weights": (("mirror",), _WEIGHTS, (array(4), array(3, False))),
        "gradients": ((), _GRADIENTS, (array(3), array(4, False))),
    }[kind]
    source, indent = inside[kind]
    body = _square(square, source, onto[kind], indent)
    head = _HEAD.format(arguments=", ".join(["start", "stop", *more, "x", "out"]))
    size = outs if kind == "gradients" else size
    code = head + text.format(lanes=lanes, points=points, size=size, step=step, body=body)
    ints = [array(1) if name == "bias" else types.int64 for name in more]
    signature = types.void(types.int64, types.int64, *ints, *types_of)
    return compiled.load(code, "kernel", [signature], noalias=True, fastmath=("contract",))
