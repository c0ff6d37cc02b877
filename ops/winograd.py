"""Convolutions of stride one with fewer multiplications: minimal filtering in tiles of 6 by 6.

A tile of the input gives m by m results of a kernel of r by r, with m + r - 1 = 6: input and
kernel are evaluated at six points along each axis, multiplied point by point, and the results
interpolated. A 3 by 3 kernel so needs 36 multiplications for 16 results instead of 144, and a
5 by 5 one 36 for 4 instead of 100. Summed over channels, the products at each point are one
matmul, and all transforms are matmuls with small constant matrices.

The price is rounding errors a few times those of a direct sum, and an infinity or NaN in the
input spreads over the tiles that it is in.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from eagerflow.ops.parallel import copy, scratch

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]

_TILE = 6
# Where polynomials are evaluated, besides infinity: small, and far from each other.
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
# Channels on both sides below which transforms cost more than multiplications save.
_CHANNELS = 48
# Bytes that what is kept of a block of images should not exceed.
_CACHE = 24 << 20


def pays(
    xp: Any, images: Any, other: Any, channels: Pair, kernel: Pair, *,
    stride: Pair, padding: Pads, dilation: Pair, groups: int,
) -> bool:  # fmt: skip
    """Tell whether a convolution with these channels, or its gradient, is possible and faster in tiles."""
    return (
        xp is np
        and images.dtype == other.dtype == np.float32
        and tuple(kernel) in ((3, 3), (5, 5))
        and stride == dilation == (1, 1)
        and groups == 1
        and min(channels) >= _CHANNELS
        and min(images.shape[2:]) >= _TILE
        and max(map(max, padding)) < kernel[0]
    )


@cache
def _transforms(side: int) -> tuple[Any, Any, Any]:
    """Return the matrices that transform input (36, 36), kernel (36, r * r) and products (m * m, 36)."""
    points = np.array(_POINTS)
    count = _TILE + 1 - side
    inputs, kernels, products = np.zeros((_TILE, _TILE)), np.zeros((_TILE, side)), np.zeros((count, _TILE))
    for i, point in enumerate(points):
        others = np.delete(points, i)
        scale = np.prod(point - others)
        # The factor is divided among both, which keeps the numbers of one magnitude.
        inputs[i, :-1] = np.poly(others)[::-1] / scale
        kernels[i] = point ** np.arange(side)
        products[:, i] = point ** np.arange(count)
    inputs[-1] = np.poly(points)[::-1]
    kernels[-1, -1] = products[-1, -1] = 1.0
    return tuple(np.kron(matrix, matrix).astype(np.float32) for matrix in (inputs, kernels, products))  # type: ignore[return-value]


def _kernel(weight: Any, side: int) -> Any:
    """Return weights (O, C, r, r) transformed, (36, C, O)."""
    outs, channels = weight.shape[:2]
    flat = scratch("weight", (side, side, channels, outs), weight.dtype)
    copy(flat, weight.transpose(2, 3, 1, 0))
    result = scratch("kernel", (_TILE * _TILE, channels * outs), weight.dtype)
    np.matmul(_transforms(side)[1], flat.reshape(side * side, -1), out=result)
    return result.reshape(-1, channels, outs)


class _Tiles:
    """The transformed tiles of one block of images after another."""

    def __init__(self, x: Any, side: int, padding: Pads, out: Pair) -> None:
        count, channels, height, width = x.shape
        (top, _), (left, _) = padding
        self.step = _TILE + 1 - side
        self.grid = tuple(-(-length // self.step) for length in out)
        shape = [cells * self.step + side - 1 for cells in self.grid]
        images = scratch("images", (count, *shape, channels), x.dtype)
        bottom, right = top + height, left + width
        images[:, :top] = 0
        images[:, bottom:] = 0
        images[:, :, :left] = 0
        images[:, :, right:] = 0
        copy(images[:, top:bottom, left:right], x.transpose(0, 2, 3, 1))
        each, down, aside, one = images.strides
        self.view = np.lib.stride_tricks.as_strided(
            images,
            (_TILE, _TILE, count, *self.grid, channels),
            (down, aside, each, down * self.step, aside * self.step, one),
        )
        self.matrix = _transforms(side)[0]

    def __call__(self, block: slice) -> Any:
        """Return the tiles (36, images * tiles, C) of the images in `block`."""
        view = self.view[:, :, block]
        tiles = scratch("tiles", view.shape, view.dtype)
        copy(tiles, view)
        flat = tiles.reshape(_TILE * _TILE, -1)
        result = np.matmul(self.matrix, flat, out=scratch("points", flat.shape, flat.dtype))
        return result.reshape(_TILE * _TILE, -1, view.shape[-1])


def _blocks(count: int, tiles: int, channels: int) -> list[slice]:
    block = max(1, _CACHE // (_TILE * _TILE * 4 * tiles * channels))
    block = -(-count // -(-count // block)) if count else 1
    return [slice(start, min(start + block, count)) for start in range(0, count, block)]


def convolve(x: Any, weight: Any, bias: Any, padding: Pads) -> Any:
    """Return the convolution (N, O, oh, ow)."""
    side, outs = weight.shape[-1], weight.shape[0]
    out = (x.shape[2] + sum(padding[0]) + 1 - side, x.shape[3] + sum(padding[1]) + 1 - side)
    matrix = _kernel(weight, side)
    tiles = _Tiles(x, side, padding, out)
    back, step, grid = _transforms(side)[2], tiles.step, tiles.grid
    result = np.empty((x.shape[0], outs, *out), x.dtype)
    for block in _blocks(x.shape[0], grid[0] * grid[1], x.shape[1] + outs):
        part = tiles(block)
        products = scratch("products", (*part.shape[:2], outs), x.dtype)
        np.matmul(part, matrix, out=products)
        flat = scratch("tiles", (step * step, part.shape[1] * outs), x.dtype)
        np.matmul(back, products.reshape(_TILE * _TILE, -1), out=flat)
        if bias is not None:
            flat.reshape(-1, outs)[...] += bias
        target = result[block]
        whole = scratch("points", (len(target), outs, grid[0], step, grid[1], step), x.dtype)
        copy(whole, flat.reshape(step, step, -1, *grid, outs).transpose(2, 5, 3, 0, 4, 1))
        whole = whole.reshape(len(target), outs, grid[0] * step, grid[1] * step)
        copy(target, whole[:, :, : out[0], : out[1]])
    return result


def weight_gradient(x: Any, g: Any, side: int, padding: Pads) -> Any:
    """Return the gradient (O, C, r, r) of `convolve` with respect to its weights."""
    out = g.shape[2:]
    count, outs = g.shape[:2]
    tiles = _Tiles(x, side, padding, out)
    step, grid = tiles.step, tiles.grid
    _, forth, back = _transforms(side)
    total: Any = None
    for block in _blocks(count, grid[0] * grid[1], x.shape[1] + outs):
        part = tiles(block)
        whole = scratch("whole", (block.stop - block.start, grid[0] * step, grid[1] * step, outs), g.dtype)
        whole[:, out[0] :] = 0
        whole[:, :, out[1] :] = 0
        copy(whole[:, : out[0], : out[1]], g[block].transpose(0, 2, 3, 1))
        view = whole.reshape(-1, grid[0], step, grid[1], step, outs).transpose(2, 4, 0, 1, 3, 5)
        flat = scratch("tiles", view.shape, g.dtype)
        copy(flat, view)
        products = scratch("products", (_TILE * _TILE, part.shape[1], outs), g.dtype)
        np.matmul(back.T, flat.reshape(step * step, -1), out=products.reshape(_TILE * _TILE, -1))
        summed = scratch("kernel" if total is None else "summand", (_TILE * _TILE, x.shape[1], outs), g.dtype)
        np.matmul(part.swapaxes(1, 2), products, out=summed)
        total = summed if total is None else np.add(total, summed, out=total)
    channels = x.shape[1]
    if total is None:
        return np.zeros((outs, channels, side, side), x.dtype)
    flat = scratch("weight", (side * side, channels * outs), g.dtype)
    np.matmul(forth.T, total.reshape(_TILE * _TILE, -1), out=flat)
    result = np.empty((outs, channels, side, side), g.dtype)
    copy(result, flat.reshape(side, side, channels, outs).transpose(3, 2, 0, 1))
    return result


def input_gradient(g: Any, weight: Any, padding: Pads) -> Any:
    """Return the gradient (N, C, H, W) of `convolve` with respect to its input: a convolution again."""
    side = weight.shape[-1]
    (top, bottom), (left, right) = padding
    around = ((side - 1 - top, side - 1 - bottom), (side - 1 - left, side - 1 - right))
    return convolve(g, weight[:, :, ::-1, ::-1].swapaxes(0, 1), None, around)
