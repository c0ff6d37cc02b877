"""Kernels of convolutions: patches as rows, by views, and one matmul for a block of images.

Notation: a convolution takes x (N, C, H, W) and weights (O, C / G, kh, kw) in G groups to
(N, O, oh, ow); K = kh * kw * C / G is the length of a patch and P = oh * ow the number of
patches of an image. The patches of some images are a matrix (images * P, K) for each group,
ordered like the weights with the channels last.

Such a matrix is a copy of a view, and fast where what lies side by side is long. With enough
channels that is a row of a window with all its channels, in images with the channels last.
Otherwise the matrix is stored with its axes exchanged, and what lies side by side is a row of
the result. Images are worked on in blocks: the patches of a block fit into the processor's
cache, and one buffer serves all blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.ops.networks.scratch import scratch

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]

# Rows that a matmul should have at the least, and bytes that a block's patches should not exceed.
_TALL = 2048
_CACHE = 12 << 20
# Elements of a window that must lie side by side for patches to be stored as rows.
_LONG = 16


def padded(xp: Any, x: Any, pads: Pads, value: float = 0.0) -> Any:
    """Return `x` with its last two axes padded; `x` itself where there is nothing to pad."""
    (top, bottom), (left, right) = pads
    if not (top or bottom or left or right):
        return x
    *lead, height, width = x.shape
    result = xp.empty((*lead, height + top + bottom, width + left + right), x.dtype)
    result[..., :top, :] = value
    result[..., top + height :, :] = value
    result[..., top : top + height, :left] = value
    result[..., top : top + height, left + width :] = value
    result[..., top : top + height, left : left + width] = x
    return result


def each_block(count: int, patch: int, patches: int, itemsize: int, tall: int = _TALL) -> list[slice]:
    """Divide `count` images into blocks with patches enough for a fast matmul, but not too many bytes."""
    fitting = max(1, _CACHE // max(1, patch * patches * itemsize))
    block = max(1, min(count, fitting, -(-tall // max(1, patches))))
    return [slice(start, min(start + block, count)) for start in range(0, count, block)]


def _is_long(channels: int, kernel: Pair, dilation: Pair) -> bool:
    """Tell whether patches are stored as rows, in images with the channels last."""
    return channels * (kernel[1] if dilation[1] == 1 else 1) >= _LONG


def _empty(xp: Any, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array for intermediate results."""
    return scratch(name, shape, dtype) if xp is np else xp.empty(shape, dtype)


def _empty_images(xp: Any, last: bool, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array (G, C / G, N, H, W) for images, in memory with the channels last or (N, G, C / G, H, W)."""
    groups, channels, count, height, width = shape
    if last:
        return _empty(xp, "images", (groups, count, height, width, channels), dtype).transpose(0, 4, 1, 2, 3)
    return _empty(xp, "images", (count, groups, channels, height, width), dtype).transpose(1, 2, 0, 3, 4)


class _Patches:
    """The patches of one block of images after another, in one buffer."""

    def __init__(
        self, xp: Any, x: Any, kernel: Pair, stride: Pair, padding: Pads, dilation: Pair, groups: int, dtype: Any
    ) -> None:
        self.xp = xp
        self.count, channels, *size = x.shape
        channels //= groups
        (top, bottom), (left, right) = padding
        height, width = size[0] + top + bottom, size[1] + left + right
        self.last = _is_long(channels, kernel, dilation)
        source = x.reshape(self.count, groups, channels, *size).transpose(1, 2, 0, 3, 4)
        if self.last or top or bottom or left or right or x.dtype != dtype:
            images = _empty_images(xp, self.last, (groups, channels, self.count, height, width), dtype)
            images[:, :, :, :top] = 0
            images[:, :, :, top + size[0] :] = 0
            images[..., :left] = 0
            images[..., left + size[1] :] = 0
            images[:, :, :, top : top + size[0], left : left + size[1]] = source
        else:
            images = source
        down, right_by = images.strides[3:]
        rows = (height - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
        columns = (width - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
        self.out = (max(rows, 0), max(columns, 0))
        self.view = xp.lib.stride_tricks.as_strided(
            images,
            (*images.shape[:3], *kernel, *self.out),
            (
                *images.strides[:3],
                down * dilation[0],
                right_by * dilation[1],
                down * stride[0],
                right_by * stride[1],
            ),
        ).transpose((0, 2, 5, 6, 3, 4, 1) if self.last else (0, 3, 4, 1, 2, 5, 6))
        self.groups = groups
        self.patches = self.out[0] * self.out[1]
        self.patch = channels * kernel[0] * kernel[1]

    def __call__(self, block: slice) -> Any:
        """Return the patches (G, images * P, K) of the images in `block`."""
        part = self.view[:, block] if self.last else self.view[:, :, :, :, block]
        buffer = _empty(self.xp, "patches", part.shape, part.dtype)
        buffer[...] = part
        if self.last:
            return buffer.reshape(self.groups, -1, self.patch)
        return buffer.reshape(self.groups, self.patch, -1).swapaxes(1, 2)


def _gathered(xp: Any, g: Any, groups: int) -> Any:
    """Return g (images, O, oh, ow) as (G, O / G, images * P); a view where it is one image."""
    images, outs = g.shape[:2]
    return g.reshape(images, outs, -1).transpose(1, 0, 2).reshape(groups, outs // groups, -1)


def _matrix(weight: Any, groups: int, dtype: Any) -> Any:
    """Return the weights as (G, O / G, K), in the order of patches."""
    outs, channels, *kernel = weight.shape
    weight = weight.astype(dtype, copy=False).transpose(0, 2, 3, 1)
    return weight.reshape(groups, outs // groups, channels * kernel[0] * kernel[1])


def convolve(
    xp: Any, x: Any, weight: Any, bias: Any, *, stride: Pair, padding: Pads, dilation: Pair, groups: int
) -> Any:
    """Return the convolution (N, O, oh, ow)."""
    dtype = xp.result_type(x.dtype, weight.dtype)
    count, outs, kernel = x.shape[0], weight.shape[0], weight.shape[2:]
    shift = None if bias is None else bias.astype(dtype, copy=False).reshape(groups, outs // groups, 1)
    matrix = _matrix(weight, groups, dtype)
    if kernel == (1, 1) and stride == (1, 1) and not any(map(any, padding)):
        result = xp.matmul(matrix, x.astype(dtype, copy=False).reshape(count, groups, matrix.shape[2], -1))
        if shift is not None:
            result += shift
        return result.reshape(count, outs, *x.shape[2:])
    patches = _Patches(xp, x, kernel, stride, padding, dilation, groups, dtype)
    result = xp.empty((count, groups, outs // groups, patches.patches), dtype)
    for block in each_block(count, patches.patch * groups, patches.patches, dtype.itemsize):
        target = result[block]
        rows = patches(block)
        if not patches.last and target.shape[0] == 1:
            xp.matmul(matrix, rows.swapaxes(1, 2), out=target[0])
            if shift is not None:
                target += shift
            continue
        products = _empty(xp, "products", (groups, rows.shape[1], outs // groups), dtype)
        xp.matmul(rows, matrix.swapaxes(1, 2), out=products)
        if shift is not None:
            products += shift.swapaxes(1, 2)
        target[...] = products.reshape(groups, target.shape[0], patches.patches, -1).transpose(1, 0, 3, 2)
    return result.reshape(count, outs, *patches.out)


def weight_gradient(
    xp: Any, x: Any, g: Any, *, kernel: Pair, stride: Pair, padding: Pads, dilation: Pair, groups: int
) -> Any:
    """Return the gradient (O, C / G, kh, kw) of a convolution with respect to its weights."""
    dtype = xp.result_type(x.dtype, g.dtype)
    count, channels = x.shape[:2]
    outs = g.shape[1]
    patches = _Patches(xp, x, kernel, stride, padding, dilation, groups, dtype)
    result: Any = None
    for block in each_block(count, patches.patch * groups, patches.patches, dtype.itemsize, 1 << 14):
        rows = patches(block)
        part = _gathered(xp, g[block].astype(dtype, copy=False), groups)
        if result is None:
            result = xp.matmul(part, rows)
        else:
            result += xp.matmul(part, rows, out=_empty(xp, "products", result.shape, dtype))
    if result is None:
        return xp.zeros((outs, channels // groups, *kernel), dtype)
    return xp.ascontiguousarray(result.reshape(outs, *kernel, channels // groups).transpose(0, 3, 1, 2))


def input_gradient(
    xp: Any, g: Any, weight: Any, *, size: Pair, stride: Pair, padding: Pads, dilation: Pair, groups: int
) -> Any:
    """Return the gradient (N, C, H, W) of a convolution with respect to its input of `size` (H, W).

    The gradients of the patches are one matmul for each block; they are added up where the
    patches came from in a loop over the kernel's positions.
    """
    dtype = xp.result_type(g.dtype, weight.dtype)
    g = g.astype(dtype, copy=False)
    count = g.shape[0]
    rows, cols = g.shape[2:]
    channels, *kernel = weight.shape[1:]
    (top, bottom), (left, right) = padding
    matrix = _matrix(weight, groups, dtype)
    last = _is_long(channels, kernel, dilation)
    result = xp.empty((count, groups, channels, *size), dtype)
    for block in each_block(count, matrix.shape[2] * groups, rows * cols, dtype.itemsize):
        part = _gathered(xp, g[block], groups)
        images = block.stop - block.start
        shape = (groups, channels, images, size[0] + top + bottom, size[1] + left + right)
        whole = _empty_images(xp, last, shape, dtype)
        sides = (part.shape[2], matrix.shape[2]) if last else (matrix.shape[2], part.shape[2])
        products = _empty(xp, "patches", (groups, *sides), dtype)
        if last:
            xp.matmul(part.swapaxes(1, 2), matrix, out=products)
            patches = products.reshape(groups, images, rows, cols, *kernel, channels).transpose(0, 4, 5, 6, 1, 2, 3)
        else:
            xp.matmul(matrix.swapaxes(1, 2), part, out=products)
            patches = products.reshape(groups, *kernel, channels, images, rows, cols)
        whole[...] = 0
        for i in range(kernel[0]):
            down = i * dilation[0]
            band = whole[:, :, :, down : down + (rows - 1) * stride[0] + 1 : stride[0]]
            for j in range(kernel[1]):
                right_by = j * dilation[1]
                band[..., right_by : right_by + (cols - 1) * stride[1] + 1 : stride[1]] += patches[:, i, j]
        inside = whole[:, :, :, top : top + size[0], left : left + size[1]]
        result[block] = inside.transpose(2, 0, 1, 3, 4)
    return result.reshape(count, groups * channels, *size)
