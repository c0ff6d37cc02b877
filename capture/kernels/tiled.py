"""Convolutions in tiles by compiled loops: what `eagerflow.ops.networks.winograd` computes, with threads.

The points of tiles are 36 matrices with a row for each tile and a column for each channel. Products are one matmul
for each of them; the transforms before and after share their work between threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from eagerflow.capture.kernels import threads, tiles
from eagerflow.capture.kernels.tiles import LANES, POINTS
from eagerflow.ops.networks import winograd
from eagerflow.ops.networks.scratch import scratch

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]

_SINGLE = np.dtype(np.float32)
# Bytes that the points of a block of images should not exceed, and tiles that a block should have at the least.
_CACHE = 8 << 20
_MANY = 128
# Bytes of an image that a thread keeps with the channels last.
_BAND = 256 << 10
# Images that share tiles, at most, along each axis.
_SIDE = 4
# Elements of points from which on work is shared between threads.
_LARGE = 1 << 15


def _planes(name: str, rows: int, columns: int) -> tuple[Any, Any]:
    """Return memory for 36 matrices as kernels take it, (36, chunks, 16), and as matrices (36, rows, columns)."""
    chunks = -(-columns // LANES)
    # An odd number of chunks: matrices a power of two apart would get into each other's way in the cache.
    flat = scratch(name, (POINTS**2, rows * chunks | 1, LANES), _SINGLE)
    return flat, flat[:, : rows * chunks].reshape(POINTS**2, rows, chunks * LANES)[:, :, :columns]


def share(function: Any, count: int, work: int) -> None:
    """Call ``function(start, stop)`` for ranges that make up `count` parts: several at a time, if there is work enough."""
    pieces = min(count, 2 * threads.count()) if work >= _LARGE and threads.count() > 1 else 1
    threads.run(function, [(count * i // pieces, count * (i + 1) // pieces) for i in range(pieces)])


def _run(kernel: Any, count: int, memory: Sequence[tuple[int, ...]], *arguments: Any) -> None:
    """Run all parts of a kernel, which takes memory that each thread has of its own before the last two arguments."""

    def run(start: int, stop: int) -> None:
        own = [scratch(f"own {i}", shape, _SINGLE) for i, shape in enumerate(memory)]
        kernel(start, stop, *arguments[:-2], *own, *arguments[-2:])

    share(run, count, max(arguments[-1].size, arguments[-2].size))


def mosaic(count: int, size: Pair, out: Pair, padding: Pads, step: int) -> tuple[Pair, Pair, Pair]:
    """Decide how images are laid side by side, so that they share tiles, and the padding between them.

    Results of 13 by 13 take 4 by 4 tiles of 4 by 4, but those of four images only 7 by 7.

    Parameters
    ----------
    count : int
        Number of images.
    size, out : pair of int
        Height and width of an image and of its result.
    padding : pair of pair of int
        Zeros before and after, along each axis.
    step : int
        Results that a tile has along each axis.

    Returns
    -------
    images, pitch, grid : pair of int
        For each axis the number of images, their distance, and the number of tiles.
    """
    pitch = (size[0] + max(padding[0]), size[1] + max(padding[1]))
    found: Any = None
    least = 0.0
    for down in range(1, min(count, _SIDE) + 1):
        for across in range(1, min(-(-count // down), _SIDE) + 1):
            images = (down, across)
            grid = tuple(-(-((images[i] - 1) * pitch[i] + out[i]) // step) for i in range(2))
            cells = -(-count // (down * across)) * prod(grid)
            if found is None or cells < 0.95 * least:
                found, least = (images, pitch, grid), cells
    return found


class Tiled:
    """A convolution of known shapes, or its gradient with respect to its weights.

    Parameters
    ----------
    images : tuple of int
        Shape (N, C, H, W).
    outs : int
        Channels of the result.
    width : int
        Of the kernel, which is square.
    stride : int
        Along both axes.
    padding : pair of pair of int
        Zeros before and after, along each axis.
    """

    def __init__(self, images: tuple[int, ...], outs: int, width: int, stride: int, padding: Pads) -> None:
        count, channels, *size = images
        (top, _), (left, _) = padding
        out = tuple((side + sum(pads) - width) // stride + 1 for side, pads in zip(size, padding, strict=True))
        self.outs, self.channels, self.width, self.stride = outs, channels * stride * stride, width, stride
        self.side = -(-width // stride)
        self.step = step = POINTS + 1 - self.side
        if stride == 1:
            beside, pitch, grid = mosaic(count, (size[0], size[1]), (out[0], out[1]), padding, step)
        else:
            beside, grid = (1, 1), (-(-out[0] // step), -(-out[1] // step))
            pitch = (grid[0] * step, grid[1] * step)
        self._rows, self._columns = grid
        self._tiles = prod(grid)
        self._geometry = (*beside, *pitch, *grid)
        self._origin = (stride, top, left)
        mosaics = -(-count // prod(beside))
        block = max(1, _CACHE // (POINTS**2 * 4 * self._tiles * (self.channels + outs)), -(-_MANY // self._tiles))
        self._blocks = [(start, min(block, mosaics - start)) for start in range(0, mosaics, block)]
        inputs, kernels, products = winograd.matrices(self.side)
        self._image_kernel = tiles.load("images", inputs, step)
        self._weight_kernel = tiles.load("weights", kernels)
        self._result_kernel = tiles.load("results", products, step)
        self._g_kernel = tiles.load("images", products.T, step)
        self._gradient_kernel = tiles.load("gradients", kernels.T)

    def _points(self, name: str, block: Pair, x: Any, channels: int, gradient: bool = False) -> tuple[Any, Any]:
        """Return the points of a block of images, or of the gradients of their results."""
        first, count = block
        flat, matrices = _planes(name, count * self._tiles, channels)
        size = self.step if gradient else POINTS
        chunks = -(-channels // LANES)
        rows, columns = (self._rows - 1) * self.step + size, (self._columns - 1) * self.step + size
        rows = max(size, min(rows, _BAND // (columns * chunks * LANES * 4)))
        memory = ((rows, columns, chunks, LANES), (POINTS, columns * chunks, LANES), (POINTS * LANES,))
        kernel, origin = (self._g_kernel, (1, 0, 0)) if gradient else (self._image_kernel, self._origin)
        _run(kernel, count * self._rows, memory, first, *self._geometry, *origin, x, flat)
        return flat, matrices

    def convolve(self, x: Any, weight: Any, bias: Any, out: Any, mirrored: bool = False) -> None:
        """Compute the convolution of x (N, C, H, W) with weights (O, C, k, k), or (C, O, k, k) if they are `mirrored`."""
        x = np.ascontiguousarray(x)
        weight = np.ascontiguousarray(winograd.folded(weight, self.stride))
        shift = np.zeros(self.outs, _SINGLE) if bias is None else np.ascontiguousarray(bias, _SINGLE)
        flat, matrices = _planes("kernel", *weight.shape[:2])
        memory = ((self.side * self.side * LANES,), (POINTS * POINTS * LANES,))
        _run(self._weight_kernel, len(weight), memory, int(mirrored), weight, flat)
        matrices = matrices if mirrored else matrices.swapaxes(1, 2)
        chunks = -(-self.outs // LANES)
        memory = (
            (self.step, self._columns * self.step, chunks, LANES), (self.step * POINTS * LANES,), (self.step * LANES,)
        )  # fmt: skip
        for first, count in self._blocks:
            _, points = self._points("points", (first, count), x, self.channels)
            flat, products = _planes("products", count * self._tiles, self.outs)
            np.matmul(points, matrices, out=products)
            _run(self._result_kernel, count * self._rows, memory, first, *self._geometry, shift, flat, out)

    def weight_gradient(self, x: Any, g: Any, out: Any) -> None:
        """Compute the gradient (O, C, k, k) with respect to the weights."""
        x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
        total: Any = None
        for block in self._blocks:
            _, points = self._points("points", block, x, self.channels)
            _, products = self._points("products", block, g, self.outs, gradient=True)
            flat, summed = _planes("kernel" if total is None else "summand", self.outs, self.channels)
            np.matmul(products.swapaxes(1, 2), points, out=summed)
            total = flat if total is None else np.add(total, flat, out=total)
        direct = self.stride == 1
        result = out if direct else np.empty((self.outs, self.channels, self.side, self.side), _SINGLE)
        _run(self._gradient_kernel, self.outs, ((self.side * self.side * LANES,),), total, result)
        if not direct:
            out[...] = winograd.unfolded(result, self.stride, self.width)
