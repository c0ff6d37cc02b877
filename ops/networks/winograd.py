"""Convolutions with fewer multiplications: minimal filtering in tiles of 6 by 6.

A tile of the input gives m by m results of a kernel of r by r, with m + r - 1 = 6: input and
kernel are evaluated at six points along each axis, multiplied point by point, and the results
interpolated. A 3 by 3 kernel so needs 36 multiplications for 16 results instead of 144, and a
5 by 5 one 36 for 4 instead of 100. Summed over channels, the products at each point are one
matmul, and all transforms are matmuls with small constant matrices.

A stride of s becomes one by folding: each square of s by s elements is one element with s * s
times the channels, and a kernel of 11 by 11 with stride 4 so is one of 3 by 3.

The price is rounding errors a few times those of a direct sum (measured at most 5e-6 of the
largest result, against 6e-7), and an infinity or NaN in the input spreads over the tiles that
it is in. Double precision and other devices keep the direct sum.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from eagerflow.ops.networks.columns import padded
from eagerflow.ops.networks.scratch import scratch

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]

_TILE = 6
# Where polynomials are evaluated, besides infinity: small, and far from each other.
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
# Channels on both sides below which transforms cost more than multiplications save.
_CHANNELS = 48
# Bytes that what is kept of a block of images should not exceed, and tiles that it should have at the least.
_CACHE = 8 << 20
_MANY = 256


def pays(
    xp: Any, images: Any, other: Any, channels: Pair, kernel: Pair, *,
    stride: Pair, padding: Pads, dilation: Pair, groups: int,
) -> bool:  # fmt: skip
    """Tell whether a convolution with these channels (in, out), or its gradient, is possible and faster in tiles."""
    step, side = stride[0], -(-kernel[0] // stride[0])
    return (
        xp is np
        and images.dtype == other.dtype == np.float32
        and groups == 1
        and dilation == (1, 1)
        and stride[1] == step
        and kernel[1] == kernel[0]
        and 3 <= side <= 5
        and channels[0] * step * step >= _CHANNELS
        and channels[1] >= _CHANNELS
        and min(images.shape[2:]) >= _TILE * step
        and max(map(max, padding)) < kernel[0]
    )


def matrices(side: int) -> tuple[Any, Any, Any]:
    """Return what transforms input (6, 6), kernel (6, r) and products (m, 6) along one axis, in double precision."""
    points = np.array(_POINTS)
    count = _TILE + 1 - side
    inputs, kernels, products = np.zeros((_TILE, _TILE)), np.zeros((_TILE, side)), np.zeros((count, _TILE))
    for i, point in enumerate(points):
        others = np.delete(points, i)
        # Input times kernel is a polynomial of which the products are values: this is Lagrange's interpolation.
        inputs[i, :-1] = np.poly(others)[::-1] / np.prod(point - others)
        kernels[i] = point ** np.arange(side)
        products[:, i] = point ** np.arange(count)
    inputs[-1] = np.poly(points)[::-1]
    kernels[-1, -1] = products[-1, -1] = 1.0
    return inputs, kernels, products


@cache
def _transforms(side: int) -> tuple[Any, Any, Any]:
    """Return the matrices that transform input (36, 36), kernel (36, r * r) and products (m * m, 36)."""
    one, two, three = (np.kron(matrix, matrix).astype(np.float32) for matrix in matrices(side))
    return one, two, three


def folded(weight: Any, stride: int) -> Any:
    """Return weights (O, C, k, k) for folded images, (O, s * s * C, r, r)."""
    outs, channels, width = weight.shape[:3]
    side = -(-width // stride)
    if stride == 1:
        return weight
    whole = np.zeros((outs, channels, side * stride, side * stride), weight.dtype)
    whole[:, :, :width, :width] = weight
    whole = whole.reshape(outs, channels, side, stride, side, stride).transpose(0, 3, 5, 1, 2, 4)
    return whole.reshape(outs, -1, side, side)


def unfolded(weight: Any, stride: int, width: int) -> Any:
    """Return what `folded` was made of."""
    if stride == 1:
        return weight
    outs, channels, side = weight.shape[:3]
    whole = weight.reshape(outs, stride, stride, -1, side, side).transpose(0, 3, 4, 1, 5, 2)
    whole = whole.reshape(outs, channels // stride**2, side * stride, side * stride)
    return np.ascontiguousarray(whole[:, :, :width, :width])


def _kernel(weight: Any, side: int) -> Any:
    """Return weights (O, C, r, r) transformed, (36, C, O)."""
    outs, channels = weight.shape[:2]
    flat = scratch("weight", (side, side, channels, outs), weight.dtype)
    flat[...] = weight.transpose(2, 3, 1, 0)
    result = scratch("kernel", (_TILE * _TILE, channels * outs), weight.dtype)
    np.matmul(_transforms(side)[1], flat.reshape(side * side, -1), out=result)
    return result.reshape(-1, channels, outs)


class _Tiles:
    """The transformed tiles of one block of images after another."""

    def __init__(self, x: Any, side: int, stride: int, padding: Pads, out: Pair) -> None:
        count, channels = x.shape[:2]
        (top, _), (left, _) = padding
        self.step = _TILE + 1 - side
        self.grid = tuple(-(-length // self.step) for length in out)
        rows, columns = (cells * self.step + side - 1 for cells in self.grid)
        shape = (count, rows, columns, stride, stride, channels)
        # What no window touches is left out, what is missing for whole tiles are zeros.
        x = x[:, :, : rows * stride - top, : columns * stride - left]
        around = ((top, rows * stride - top - x.shape[2]), (left, columns * stride - left - x.shape[3]))
        x = padded(np, x, around).reshape(count, channels, rows, stride, columns, stride)
        images = scratch("images", shape, x.dtype)
        images[...] = x.transpose(0, 2, 4, 3, 5, 1)
        channels *= stride * stride
        images = images.reshape(count, rows, columns, channels)
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
        tiles[...] = view
        flat = tiles.reshape(_TILE * _TILE, -1)
        result = np.matmul(self.matrix, flat, out=scratch("points", flat.shape, flat.dtype))
        return result.reshape(_TILE * _TILE, -1, view.shape[-1])


def _blocks(count: int, tiles: int, channels: int) -> list[slice]:
    block = max(1, _CACHE // (_TILE * _TILE * 4 * tiles * channels), -(-_MANY // tiles))
    return [slice(start, min(start + block, count)) for start in range(0, count, block)]


def convolve(x: Any, weight: Any, bias: Any, stride: int, padding: Pads) -> Any:
    """Return the convolution (N, O, oh, ow)."""
    outs, width = weight.shape[0], weight.shape[-1]
    out = tuple((size + sum(pads) - width) // stride + 1 for size, pads in zip(x.shape[2:], padding, strict=True))
    weight = folded(weight, stride)
    side, channels = weight.shape[-1], weight.shape[1]
    matrix = _kernel(weight, side)
    tiles = _Tiles(x, side, stride, padding, out)
    back, step, grid = _transforms(side)[2], tiles.step, tiles.grid
    result = np.empty((x.shape[0], outs, *out), x.dtype)
    for block in _blocks(x.shape[0], grid[0] * grid[1], channels + outs):
        part = tiles(block)
        products = scratch("products", (*part.shape[:2], outs), x.dtype)
        np.matmul(part, matrix, out=products)
        flat = scratch("tiles", (step * step, part.shape[1] * outs), x.dtype)
        np.matmul(back, products.reshape(_TILE * _TILE, -1), out=flat)
        if bias is not None:
            flat.reshape(-1, outs)[...] += bias
        target = result[block]
        whole = scratch("points", (len(target), outs, grid[0], step, grid[1], step), x.dtype)
        whole[...] = flat.reshape(step, step, -1, *grid, outs).transpose(2, 5, 3, 0, 4, 1)
        whole = whole.reshape(len(target), outs, grid[0] * step, grid[1] * step)
        target[...] = whole[:, :, : out[0], : out[1]]
    return result


def weight_gradient(x: Any, g: Any, width: int, stride: int, padding: Pads) -> Any:
    """Return the gradient (O, C, k, k) of `convolve` with respect to its weights."""
    out = g.shape[2:]
    count, outs = g.shape[:2]
    side = -(-width // stride)
    tiles = _Tiles(x, side, stride, padding, out)
    channels = x.shape[1] * stride * stride
    step, grid = tiles.step, tiles.grid
    _, forth, back = _transforms(side)
    total: Any = None
    for block in _blocks(count, grid[0] * grid[1], channels + outs):
        part = tiles(block)
        whole = scratch("whole", (block.stop - block.start, grid[0] * step, grid[1] * step, outs), g.dtype)
        whole[:, out[0] :] = 0
        whole[:, :, out[1] :] = 0
        whole[:, : out[0], : out[1]] = g[block].transpose(0, 2, 3, 1)
        view = whole.reshape(-1, grid[0], step, grid[1], step, outs).transpose(2, 4, 0, 1, 3, 5)
        flat = scratch("tiles", view.shape, g.dtype)
        flat[...] = view
        products = scratch("products", (_TILE * _TILE, part.shape[1], outs), g.dtype)
        np.matmul(back.T, flat.reshape(step * step, -1), out=products.reshape(_TILE * _TILE, -1))
        summed = scratch("kernel" if total is None else "summand", (_TILE * _TILE, channels, outs), g.dtype)
        np.matmul(part.swapaxes(1, 2), products, out=summed)
        total = summed if total is None else np.add(total, summed, out=total)
    if total is None:
        return np.zeros((outs, x.shape[1], width, width), x.dtype)
    flat = scratch("weight", (side * side, channels * outs), g.dtype)
    np.matmul(forth.T, total.reshape(_TILE * _TILE, -1), out=flat)
    result = np.empty((outs, channels, side, side), g.dtype)
    result[...] = flat.reshape(side, side, channels, outs).transpose(3, 2, 0, 1)
    return unfolded(result, stride, width)


def input_gradient(g: Any, weight: Any, padding: Pads) -> Any:
    """Return the gradient (N, C, H, W) of `convolve` of stride one with respect to its input: a convolution again."""
    side = weight.shape[-1]
    (top, bottom), (left, right) = padding
    around = ((side - 1 - top, side - 1 - bottom), (side - 1 - left, side - 1 - right))
    return convolve(g, weight[:, :, ::-1, ::-1].swapaxes(0, 1), None, 1, around)
