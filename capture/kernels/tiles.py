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
LONG = 64
POINTS = 6  # along each axis

_HEAD = """
import numpy as np

def kernel({arguments}):
"""

# Images (N, C, H, W) to points (36, tiles * F), F folded channels. Several images lie side by side in a mosaic, `pitch`
# apart. A part is a row of tiles of one mosaic. Rows of images are kept with the channels last, in a ring.
_IMAGES = """
    channels = x.shape[1]
    folded = channels * stride * stride
    columns = (grid_columns - 1) * {step} + {size}
    line = columns * folded
    ring = np.empty({size} * line, np.float32)
    down_first = np.empty({points} * line, np.float32)
    tile = np.empty({points} * {long}, np.float32)
    filled = 0
    for part in range(start, stop):
        mosaic, i = part // grid_rows, part % grid_rows
        if part == start or i == 0:
            filled = i * {step}
        for row in range(max(filled, i * {step}), i * {step} + {size}):
            begin = row % {size} * line
            ring[begin : begin + line] = 0
            image_row, inside = row // row_pitch, row % row_pitch
            if image_row >= down:
                continue
            for image_column in range(across):
                image = ((first_mosaic + mosaic) * down + image_row) * across + image_column
                if image >= x.shape[0]:
                    break
                for channel in range(folded):
                    source_row = inside * stride + channel // channels // stride - top
                    if source_row < 0 or source_row >= x.shape[2]:
                        continue
                    phase = channel // channels % stride - left
                    source = x[image, channel % channels, source_row]
                    target = begin + image_column * column_pitch * folded + channel
                    least = max(0, -(phase // stride))
                    most = min((x.shape[3] - 1 - phase) // stride + 1, columns - image_column * column_pitch)
                    for column in range(least, most):
                        ring[target + column * folded] = source[column * stride + phase]
        filled = i * {step} + {size}
{offsets}
        for place in range(0, line, {long}):
            place = min(place, line - {long})
            for lane in range({long}):
{down}
            for i in range({points}):
                for lane in range({long}):
                    down_first[i * line + place + lane] = tile[i * {long} + lane]
        for j in range(grid_columns):
            number = (part * grid_columns + j) * folded
            for first in range(0, folded, {lanes}):
                first = min(first, folded - {lanes})
                for i in range({points}):
                    corner = i * line + j * {step} * folded + first
                    for lane in range({lanes}):
{across}
                    for k in range({points}):
                        for lane in range({lanes}):
                            out[i * {points} + k, number + first + lane] = tile[k * {lanes} + lane]
"""

# Products (36, tiles * O) to images (N, O, H, W), plus a bias. A part is a row of tiles.
_RESULTS = """
    outs = out.shape[1]
    line = grid_columns * outs
    half = np.empty({step} * {points} * {long}, np.float32)
    tile = np.empty({step} * {long}, np.float32)
    band = np.empty({step} * {step} * line, np.float32)
    for part in range(start, stop):
        mosaic, i = part // grid_rows, part % grid_rows
        for place in range(0, line, {long}):
            place = min(place, line - {long})
            begin = part * line + place
            for k in range({points}):
                for lane in range({long}):
{down}
            for a in range({step}):
                corner = a * {points} * {long}
                for lane in range({long}):
{across}
                for b in range({step}):
                    target = (a * {step} + b) * line + place
                    for lane in range({long}):
                        band[target + lane] = tile[b * {long} + lane]
        for a in range({step}):
            image_row, row = (i * {step} + a) // row_pitch, (i * {step} + a) % row_pitch
            if image_row >= down or row >= out.shape[2]:
                continue
            for image_column in range(across):
                image = ((first_mosaic + mosaic) * down + image_row) * across + image_column
                if image >= out.shape[0]:
                    break
                for channel in range(outs):
                    target = out[image, channel, row]
                    shift = bias[channel]
                    for column in range(out.shape[3]):
                        place = image_column * column_pitch + column
                        begin = (a * {step} + place % {step}) * line + place // {step} * outs
                        target[column] = band[begin + channel] + shift
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
                    out[point, o * channels + first + lane] = tile[point * {lanes} + lane]
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


def _line(matrix, source, target, indent):
    outs, size = matrix.shape
    lines = [f"x{i} = {source(i)}" for i in range(size)]
    lines += product(matrix, [f"x{i}" for i in range(size)], [f"y{i}" for i in range(outs)], "t")
    lines += [f"{target(i)} = y{i}" for i in range(outs)]
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
    lanes, points, long = LANES, POINTS, LONG
    more, text, types_of = {
        "images": ((*_GEOMETRY, "stride", "top", "left"), _IMAGES, (array(4), array(2, False))),
        "results": ((*_GEOMETRY, "bias"), _RESULTS, (array(2), array(4, False))),
        "weights": (("mirror",), _WEIGHTS, (array(4), array(2, False))),
        "gradients": ((), _GRADIENTS, (array(2), array(4, False))),
    }[kind]
    parts = {}
    if kind == "images":
        parts["offsets"] = "\n".join(f"        r{i} = (part % grid_rows * {step} + {i}) % {size} * line" for i in range(size))
        parts["down"] = _line(square, lambda i: f"ring[r{i} + place + lane]", lambda i: f"tile[{i * long} + lane]", 16)
        parts["across"] = _line(square, lambda i: f"down_first[corner + {i} * folded + lane]", lambda i: f"tile[{i*lanes} + lane]", 24)
    elif kind == "results":
        parts["down"] = _line(square, lambda i: f"x[{i * points} + k, begin + lane]", lambda i: f"half[{i * points * long} + k * {long} + lane]", 20)
        parts["across"] = _line(square, lambda i: f"half[corner + {i * long} + lane]", lambda i: f"tile[{i * long} + lane]", 20)
    elif kind == "weights":
        parts["body"] = _square(square, lambda i, j: f"square[{(i * size + j) * lanes} + lane]", lambda i, j: f"tile[{(i * points + j) * lanes} + lane]", 16)
    else:
        parts["body"] = _square(square, lambda i, j: f"x[{i * points + j}, o * channels + first + lane]", lambda i, j: f"square[{(i * outs + j) * lanes} + lane]", 16)
    head = _HEAD.format(arguments=", ".join(["start", "stop", *more, "x", "out"]))
    size = outs if kind == "gradients" else size
    code = head + text.format(lanes=lanes, points=points, size=size, step=step, long=long, **parts)
    ints = [array(1) if name == "bias" else types.int64 for name in more]
    signature = types.void(types.int64, types.int64, *ints, *types_of)
    return compiled.load(code, "kernel", [signature], noalias=True, fastmath=("contract",))
