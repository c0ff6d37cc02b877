"""Loops of convolutions in tiles: sources of the kernels that transform images, weights and products.

What `eagerflow.ops.networks.winograd` does with matmuls by small constant matrices, these loops do in registers, for 16
channels at a time. Arrays of points are (36, rows, 16): for each of the six by six points a matrix with the channels
last, filled up to a multiple of 16, and cut into chunks of 16. The numbers of the matrices are written into the source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from eagerflow.capture.kernels import cache as compiled

LANES = 16  # channels that are worked on together
POINTS = 6  # along each axis

# Images (N, C, H, W) to points of tiles. With a stride, each square of stride by stride elements is one element with
# more channels. Several images lie side by side in a mosaic, `pitch` apart. A part is a row of tiles of one mosaic.
# `band` holds what some rows of tiles cover, with the channels last; it is transformed along columns to `half`, then
# along rows.
_IMAGES = """
    channels = x.shape[1]
    folded = channels * stride * stride
    chunks = band.shape[2]
    columns = band.shape[1]
    flat = band.reshape(band.shape[0], columns * chunks, {lanes})
    most = (band.shape[0] - {size}) // {step} + 1
    part = start
    while part < stop:
        mosaic, first = part // grid_rows, part % grid_rows
        count = min(most, stop - part, grid_rows - first)
        rows = (count - 1) * {step} + {size}
        for row in range(rows):
            for place in range(columns * chunks):
                for lane in range({lanes}):
                    flat[row, place, lane] = 0
        for place in range(down * across):
            image = (first_mosaic + mosaic) * down * across + place
            if image >= x.shape[0]:
                break
            above = first * {step} - place // across * row_pitch
            shift = place % across * column_pitch
            for channel in range(folded):
                row_phase = channel // channels // stride - top
                phase = channel // channels % stride - left
                source = x[image, channel % channels]
                target = band[:, :, channel // {lanes}, channel % {lanes}]
                begin = max(0, -(phase // stride))
                end = min((x.shape[3] - 1 - phase) // stride + 1, columns - shift)
                for row in range(max(above, -(row_phase // stride), 0),
                                 min(above + rows, (x.shape[2] - 1 - row_phase) // stride + 1)):
                    line, onto = source[row * stride + row_phase], target[row - above]
                    for column in range(begin, end):
                        onto[column + shift] = line[column * stride + phase]
        for i in range(count):
            for place in range(columns * chunks):
{down}
            for j in range(grid_columns):
                for chunk in range(chunks):
                    place = j * {step} * chunks + chunk
                    number = ((part + i) * grid_columns + j) * chunks + chunk
                    for a in range({points}):
{across}
        part += count
"""

# Products to images (N, O, H, W), plus a bias. A part is a row of tiles.
_RESULTS = """
    outs = out.shape[1]
    chunks = (outs + {lanes} - 1) // {lanes}
    for part in range(start, stop):
        mosaic, i = part // grid_rows, part % grid_rows
        for j in range(grid_columns):
            for chunk in range(chunks):
                number = (part * grid_columns + j) * chunks + chunk
                for lane in range({lanes}):
{down}
                for a in range({step}):
                    for lane in range({lanes}):
{across}
{store}
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
                    source = band[a, image_column * column_pitch :, channel // {lanes}, channel % {lanes}]
                    shift = bias[channel]
                    for column in range(out.shape[3]):
                        target[column] = source[column] + shift
"""

# Weights (I, O, r, r) to points of I by O matrices, mirrored if `mirror` is 1. A part is an input channel.
_WEIGHTS = """
    channels = x.shape[1]
    chunks = (channels + {lanes} - 1) // {lanes}
    for place in range(square.size):
        square[place] = 0
    for part in range(start, stop):
        for chunk in range(chunks):
            number = part * chunks + chunk
            for lane in range(min({lanes}, channels - chunk * {lanes})):
                source = x[part, chunk * {lanes} + lane]
                for i in range({size}):
                    for j in range({size}):
                        value = source[{size} - 1 - i, {size} - 1 - j] if mirror else source[i, j]
                        square[(i * {size} + j) * {lanes} + lane] = value
            for lane in range({lanes}):
{whole}
            for point in range({points} * {points}):
                for lane in range({lanes}):
                    out[point, number, lane] = tile[point * {lanes} + lane]
"""

# Points of O by C matrices to gradients of weights (O, C, r, r).
_GRADIENTS = """
    channels = out.shape[1]
    chunks = (channels + {lanes} - 1) // {lanes}
    for part in range(start, stop):
        for chunk in range(chunks):
            number = part * chunks + chunk
            for lane in range({lanes}):
{whole}
            for lane in range(min({lanes}, channels - chunk * {lanes})):
                target = out[part, chunk * {lanes} + lane]
                for i in range({size}):
                    for j in range({size}):
                        target[i, j] = square[(i * {size} + j) * {lanes} + lane]
"""

_GEOMETRY = ("first_mosaic", "down", "across", "row_pitch", "column_pitch", "grid_rows", "grid_columns")
_KINDS = {
    "images": (_IMAGES, (*_GEOMETRY, "stride", "top", "left"), {"band": 4, "half": 3, "tile": 1}),
    "results": (_RESULTS, (*_GEOMETRY, "bias"), {"band": 4, "half": 1, "tile": 1}),
    "weights": (_WEIGHTS, ("mirror",), {"square": 1, "tile": 1}),
    "gradients": (_GRADIENTS, (), {"square": 1}),
}

Place = Callable[..., str]


def _sum(terms: Sequence[tuple[float, str]]) -> str:
    """Return the expression for a sum of products by numbers."""
    text = " + ".join(name if factor == 1 else f"np.float32({factor!r}) * {name}" for factor, name in terms if factor)
    return text or "np.float32(0)"


def product(matrix: Any, inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """Return lines that compute ``outputs = matrix @ inputs``, sharing what points of opposite sign have in common.

    Rows 1 and 2, and 3 and 4, of a matrix with a row for each point differ only in the signs of some columns; in one
    with a column for each point, these columns differ only in the signs of some rows.
    """
    rows = matrix.tolist()
    lines = []
    if len(outputs) == POINTS:
        for one in (0, 5):
            lines.append(f"{outputs[one]} = {_sum(list(zip(rows[one], inputs, strict=True)))}")
        for one in (1, 3):
            pairs = list(zip(rows[one], rows[one + 1], inputs, strict=True))
            lines.append(f"same = {_sum([(a, x) for a, b, x in pairs if a == b])}")
            lines.append(f"other = {_sum([(a, x) for a, b, x in pairs if a != b])}")
            lines.append(f"{outputs[one]} = same + other")
            lines.append(f"{outputs[one + 1]} = same - other")
        return lines
    for one in (1, 3):
        lines.append(f"s{one} = {inputs[one]} + {inputs[one + 1]}")
        lines.append(f"d{one} = {inputs[one]} - {inputs[one + 1]}")
    for row, out in zip(rows, outputs, strict=True):
        pairs_of = [(row[one], f"{'s' if row[one] == row[one + 1] else 'd'}{one}") for one in (1, 3)]
        lines.append(f"{out} = {_sum([(row[0], inputs[0]), *pairs_of, (row[5], inputs[5])])}")
    return lines


def _line(matrix: Any, source: Place, target: Place) -> list[str]:
    """Return lines for ``matrix @ x``."""
    outs, size = matrix.shape
    lines = [f"x{i} = {source(i)}" for i in range(size)]
    lines += product(matrix, [f"x{i}" for i in range(size)], [f"y{i}" for i in range(outs)])
    return [*lines, *[f"{target(i)} = y{i}" for i in range(outs)]]


def _square(matrix: Any, source: Place, target: Place) -> list[str]:
    """Return lines for ``matrix @ X @ matrix.T``."""
    outs, size = matrix.shape
    lines = []
    for j in range(size):
        lines += _line(matrix, lambda i, j=j: source(i, j), lambda i, j=j: f"h{i}_{j}")
    for i in range(outs):
        lines += _line(matrix, lambda j, i=i: f"h{i}_{j}", lambda j, i=i: target(i, j))
    return lines


def _loop(count: int, target: Place, source: Place) -> list[str]:
    """Return lines that copy all lanes `count` times: a loop with several stores would not vectorize."""
    lines = []
    for i in range(count):
        lines += [f"for lane in range({LANES}):", f"    {target(i)} = {source(i)}"]
    return lines


def _lanes(matrix: Any, source: Place, target: Place) -> list[str]:
    """Return lines for ``matrix @ x`` in all lanes."""
    size = matrix.shape[1]
    if size < 4:
        lines = []
        for i, row in enumerate(matrix.tolist()):
            text = _sum([(factor, source(k)) for k, factor in enumerate(row)])
            lines += [f"for lane in range({LANES}):", f"    {target(i)} = {text}"]
        return lines
    compute = _line(matrix, source, lambda i: f"tile[{i * LANES} + lane]")
    return [
        f"for lane in range({LANES}):",
        *["    " + line for line in compute],
        *_loop(matrix.shape[0], target, lambda i: f"tile[{i * LANES} + lane]"),
    ]


def _body(kind: str, matrix: Any, step: int) -> dict[str, tuple[int, list[str]]]:
    """Return what is written out in the source of one kind, and how far it is indented."""
    outs, size = matrix.shape

    def tile(i: int, j: int = 0, across: int = 1) -> str:
        return f"tile[{(i * across + j) * LANES} + lane]"

    if kind == "images":
        return {
            "down": (
                16,
                _lanes(matrix, lambda k: f"flat[i * {step} + {k}, place, lane]", lambda k: f"half[{k}, place, lane]"),
            ),
            "across": (
                24,
                _lanes(
                    matrix,
                    lambda k: f"half[a, place + {k} * chunks, lane]",
                    lambda k: f"out[a * {POINTS} + {k}, number, lane]",
                ),
            ),
        }
    if kind == "results":
        down = []
        for j in range(POINTS):
            down += _line(
                matrix,
                lambda i, j=j: f"x[{i * POINTS + j}, number, lane]",
                lambda i, j=j: f"half[{(i * POINTS + j) * LANES} + lane]",
            )
        return {
            "down": (20, down),
            "across": (24, _line(matrix, lambda j: f"half[(a * {POINTS} + {j}) * {LANES} + lane]", tile)),
            "store": (20, _loop(step, lambda b: f"band[a, j * {step} + {b}, chunk, lane]", tile)),
        }
    if kind == "weights":
        lines = _square(
            matrix, lambda i, j: f"square[{(i * size + j) * LANES} + lane]", lambda i, j: tile(i, j, POINTS)
        )
    else:
        lines = _square(
            matrix,
            lambda i, j: f"x[{i * POINTS + j}, number, lane]",
            lambda i, j: f"square[{(i * outs + j) * LANES} + lane]",
        )
    return {"whole": (16, lines)}


def load(kind: str, matrix: Any, step: int = 0) -> Any:
    """Compile the loops of one kind.

    Parameters
    ----------
    kind : str
        ``images``, ``results``, ``weights`` or ``gradients``.
    matrix : array
        What transforms along each axis.
    step : int
        Distance of the tiles of images.

    Returns
    -------
    callable
        ``kernel(start, stop, …, x, out)`` for parts from `start` to `stop`. What it takes between says the source;
        last among it is memory of which the content does not matter.
    """
    return _load(kind, tuple(map(tuple, matrix.tolist())), step)


@cache
def _load(kind: str, rows: tuple[tuple[float, ...], ...], step: int) -> Any:
    from numba import float32, types

    def array(axes: int, readonly: bool = True, layout: Any = "C") -> Any:
        return types.Array(float32, axes, layout, readonly=readonly)

    matrix = np.array(rows)
    text, names, memory = _KINDS[kind]
    written = {
        name: "\n".join(" " * indent + line for line in lines)
        for name, (indent, lines) in _body(kind, matrix, step).items()
    }
    size = matrix.shape[0 if kind == "gradients" else 1]
    source = "import numpy as np\n\n\ndef kernel({}):{}".format(
        ", ".join(["start", "stop", *names, *memory, "x", "out"]),
        text.format(lanes=LANES, points=POINTS, size=size, step=step, **written),
    )
    axes = (4, 3) if kind in ("images", "weights") else (3, 4)
    more = [array(1) if name == "bias" else types.int64 for name in names]
    own = [array(n, False) for n in memory.values()]
    given = array(axes[0], layout="A" if kind == "weights" else "C")
    signature = types.void(types.int64, types.int64, *more, *own, given, array(axes[1], False))
    return compiled.load(source, "kernel", [signature], noalias=True, fastmath=("contract",))
