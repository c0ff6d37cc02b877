"""Convolutions in tiles by compiled loops: what `eagerflow.ops.networks.winograd` computes, with threads.

The points of tiles are 36 matrices with a row for each tile and a column for each channel. They are multiplied one by
one; threads share them, and the work of the transforms before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from eagerflow.capture.kernels import products, threads, tiles
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


def _chunks(columns: int) -> int:
    return -(-columns // LANES)


def _planes(name: str, rows: int, columns: int) -> Any:
    """Return memory for 36 matrices, as kernels take it: (36, chunks, 16)."""
    # An odd number of chunks: matrices a power of two apart would get into each other's way in the cache.
    return scratch(name, (POINTS**2, rows * _chunks(columns) | 1, LANES), _SINGLE)


def share(function: Any, count: int, work: int) -> None:
    """Call ``function(start, stop)`` for ranges that make up `count` parts, several at a time if that pays."""
    pieces = min(count, 2 * threads.count()) if work >= _LARGE and threads.count() > 1 else 1
    threads.run(function, [(count * i // pieces, count * (i + 1) // pieces) for i in range(pieces)])


def _run(kernel: Any, count: int, memory: Sequence[tuple[int, ...]], *arguments: Any, arrays: int = 2) -> None:
    """Run all parts of a kernel, which takes memory that each thread has of its own before the last few arrays."""

    def run(start: int, stop: int) -> None:
        own = [scratch(f"own {i}", shape, _SINGLE) for i, shape in enumerate(memory)]
        kernel(start, stop, *arguments[:-arrays], *own, *arguments[-arrays:])

    share(run, count, max(arguments[-1].size, arguments[-2].size))


def _multiply(a: Any, strides: Pair, rows: int, b: Any, depth: int, columns: int, out: Any, add: bool = False) -> None:
    """Multiply 36 matrices: `a` has `rows` by `depth` elements with these strides, `b` has `depth` by `columns`."""
    chunks = _chunks(columns)
    _run(products.load(), POINTS**2, [(products.DEEP, LANES)], rows, *strides, depth, chunks, add, a, b, out, arrays=3)


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
    """What convolutions of known shapes, and their gradients with respect to weights, have in common.

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
        self._matrices = winograd.matrices(self.side)
        self._cut = tiles.load("images", self._matrices[0], step)

    def _points(self, first: int, count: int, x: Any) -> Any:
        """Return the points of a block of images."""
        return self._transformed("points", self._cut, POINTS, self._origin, first, count, x, self.channels)

    def _transformed(
        self, name: str, kernel: Any, size: int, origin: tuple[int, ...], first: int, count: int, x: Any, channels: int
    ) -> Any:
        """Return the points of a block of images, cut into tiles of `size`."""
        points = _planes(name, count * self._tiles, channels)
        chunks = _chunks(channels)
        rows, columns = (self._rows - 1) * self.step + size, (self._columns - 1) * self.step + size
        rows = max(size, min(rows, _BAND // (columns * chunks * LANES * 4)))
        memory = ((rows, columns, chunks, LANES), (POINTS, columns * chunks, LANES), (POINTS * LANES,))
        _run(kernel, count * self._rows, memory, first, *self._geometry, *origin, x, points)
        return points


class Convolution(Tiled):
    """A convolution; see `Tiled` for the parameters."""

    def __init__(self, *shapes: Any) -> None:
        super().__init__(*shapes)
        products.load()
        _, kernels, results = self._matrices
        self._weights = tiles.load("weights", kernels)
        self._join = tiles.load("results", results, self.step)

    def __call__(self, x: Any, weight: Any, bias: Any, out: Any, mirrored: bool = False) -> None:
        """Convolve x (N, C, H, W) with weights (O, C, k, k), or `mirrored` ones (C, O, k, k)."""
        x = np.ascontiguousarray(x)
        weight = weight if mirrored else winograd.folded(weight, self.stride).swapaxes(0, 1)
        shift = np.zeros(self.outs, _SINGLE) if bias is None else np.ascontiguousarray(bias, _SINGLE)
        matrices = _planes("kernel", self.channels, self.outs)
        memory: list[tuple[int, ...]] = [(self.side * self.side * LANES,), (POINTS * POINTS * LANES,)]
        _run(self._weights, self.channels, memory, int(mirrored), weight, matrices)
        band = (self.step, self._columns * self.step, _chunks(self.outs), LANES)
        memory = [band, (self.step * POINTS * LANES,), (self.step * LANES,)]
        strides = (_chunks(self.channels) * LANES, 1)
        for first, count in self._blocks:
            points = self._points(first, count, x)
            result = _planes("products", count * self._tiles, self.outs)
            _multiply(points, strides, count * self._tiles, matrices, self.channels, self.outs, result)
            _run(self._join, count * self._rows, memory, first, *self._geometry, shift, result, out)


class WeightGradient(Tiled):
    """The gradient of a convolution with respect to its weights; see `Tiled` for the parameters."""

    def __init__(self, *shapes: Any) -> None:
        super().__init__(*shapes)
        products.load()
        _, kernels, results = self._matrices
        self._cut_gradient = tiles.load("images", results.T, self.step)
        self._join = tiles.load("gradients", kernels.T)

    def __call__(self, x: Any, g: Any, out: Any) -> None:
        """Compute the gradient (O, C, k, k) from x (N, C, H, W) and the gradient of the result."""
        x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
        total = _planes("kernel", self.outs, self.channels)
        strides = (1, _chunks(self.outs) * LANES)
        for i, (first, count) in enumerate(self._blocks):
            points = self._points(first, count, x)
            of_g = self._transformed("products", self._cut_gradient, self.step, (1, 0, 0), first, count, g, self.outs)
            _multiply(of_g, strides, self.outs, points, count * self._tiles, self.channels, total, add=i > 0)
        direct = self.stride == 1
        result = out if direct else np.empty((self.outs, self.channels, self.side, self.side), _SINGLE)
        _run(self._join, self.outs, [(self.side * self.side * LANES,)], total, result)
        if not direct:
            out[...] = winograd.unfolded(result, self.stride, self.width)
