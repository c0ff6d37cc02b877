"""Kernels of convolutions: patches as columns, by views, and one matmul for a block of images.

Notation: a convolution takes x (N, C, H, W) and weights (O, C / G, kh, kw) in G groups to
(N, O, oh, ow); K = C / G * kh * kw is the length of a patch and P = oh * ow the number of
patches of an image. The columns of some images are a matrix (K, images * P) for each group.

Images are worked on in blocks: the columns of a block fit into the processor's cache, and one
buffer serves all blocks.
"""

from __future__ import annotations

from typing import Any

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]

# Columns that a matmul should have at the least, and bytes that a block's columns should not exceed.
_WIDE = 1024
_CACHE = 12 << 20


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


def windows(xp: Any, x: Any, kernel: Pair, stride: Pair, dilation: Pair) -> Any:
    """Return the view (…, kh, kw, oh, ow) of the windows of `x` (…, H, W), which is padded already."""
    *lead, height, width = x.shape
    rows = (height - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    columns = (width - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    *steps, down, right = x.strides
    return xp.lib.stride_tricks.as_strided(
        x,
        (*lead, *kernel, max(rows, 0), max(columns, 0)),
        (*steps, down * dilation[0], right * dilation[1], down * stride[0], right * stride[1]),
    )


def each_block(count: int, patch: int, patches: int, itemsize: int, wide: int = _WIDE) -> list[slice]:
    """Divide `count` images into blocks with columns enough for a fast matmul, but not too many bytes."""
    fitting = max(1, _CACHE // max(1, patch * patches * itemsize))
    block = max(1, min(count, fitting, -(-wide // max(1, patches))))
    return [slice(start, min(start + block, count)) for start in range(0, count, block)]


class _Blocks:
    """The columns of one block of images after another, in one buffer."""

    def __init__(self, xp: Any, x: Any, kernel: Pair, stride: Pair, dilation: Pair, groups: int) -> None:
        self.xp = xp
        self.groups = groups
        self.view = windows(xp, x, kernel, stride, dilation)
        self.count, channels = x.shape[:2]
        self.out = self.view.shape[4:]
        self.patches = self.out[0] * self.out[1]
        self.patch = channels // groups * kernel[0] * kernel[1]
        self.buffer: Any = None

    def __call__(self, block: slice) -> Any:
        """Return the columns (G, K, images * P) of the images in `block`."""
        part = self.view[block].transpose(1, 2, 3, 0, 4, 5)
        if self.buffer is None or self.buffer.shape != part.shape:
            self.buffer = self.xp.empty(part.shape, part.dtype)
        self.buffer[...] = part
        return self.buffer.reshape(self.groups, self.patch, -1)


def _gathered(xp: Any, g: Any, groups: int) -> Any:
    """Return g (images, O, oh, ow) as (G, O / G, images * P); a view where it is one image."""
    images, outs = g.shape[:2]
    return g.reshape(images, outs, -1).transpose(1, 0, 2).reshape(groups, outs // groups, -1)


def convolve(
    xp: Any, x: Any, weight: Any, bias: Any, *, stride: Pair, padding: Pads, dilation: Pair, groups: int
) -> Any:
    """Return the convolution (N, O, oh, ow)."""
    dtype = xp.result_type(x.dtype, weight.dtype)
    x = padded(xp, x.astype(dtype, copy=False), padding)
    (count, channels), outs, kernel = x.shape[:2], weight.shape[0], weight.shape[2:]
    matrix = weight.astype(dtype, copy=False).reshape(
        groups, outs // groups, channels // groups * kernel[0] * kernel[1]
    )
    columns = _Blocks(xp, x, kernel, stride, dilation, groups)
    result = xp.empty((count, outs, *columns.out), dtype)
    flat = result.reshape(count, groups, outs // groups, columns.patches)
    shift = None if bias is None else bias.astype(dtype, copy=False).reshape(groups, outs // groups, 1)
    if kernel == (1, 1) and stride == (1, 1):
        xp.matmul(matrix, x.reshape(count, groups, columns.patch, columns.patches), out=flat)
        if shift is not None:
            flat += shift
        return result
    scratch: Any = None
    for block in each_block(count, columns.patch * groups, columns.patches, dtype.itemsize):
        images = block.stop - block.start
        cols = columns(block)
        if images == 1:
            target = flat[block.start]
            xp.matmul(matrix, cols, out=target)
            if shift is not None:
                target += shift
            continue
        if scratch is None or scratch.shape[2] != cols.shape[2]:
            scratch = xp.empty((groups, outs // groups, cols.shape[2]), dtype)
        xp.matmul(matrix, cols, out=scratch)
        if shift is not None:
            scratch += shift
        # From (O, images, P), as the matmul gives it, to (images, O, P).
        flat[block] = scratch.reshape(groups, outs // groups, images, -1).transpose(2, 0, 1, 3)
    return result


def weight_gradient(
    xp: Any, x: Any, g: Any, *, kernel: Pair, stride: Pair, padding: Pads, dilation: Pair, groups: int
) -> Any:
    """Return the gradient (O, C / G, kh, kw) of a convolution with respect to its weights."""
    dtype = xp.result_type(x.dtype, g.dtype)
    x = padded(xp, x.astype(dtype, copy=False), padding)
    count, channels = x.shape[:2]
    outs = g.shape[1]
    # A stride may leave rows at the end that no window touches; g says how many windows there are.
    x = x[
        :,
        :,
        : (g.shape[2] - 1) * stride[0] + dilation[0] * (kernel[0] - 1) + 1,
        : (g.shape[3] - 1) * stride[1] + dilation[1] * (kernel[1] - 1) + 1,
    ]
    columns = _Blocks(xp, x, kernel, stride, dilation, groups)
    result: Any = None
    scratch: Any = None
    for block in each_block(count, columns.patch * groups, columns.patches, dtype.itemsize, 1 << 14):
        cols = columns(block).swapaxes(1, 2)
        part = _gathered(xp, g[block].astype(dtype, copy=False), groups)
        if result is None:
            result = xp.matmul(part, cols)
        else:
            scratch = xp.matmul(part, cols, out=scratch)
            result += scratch
    shape = (outs, channels // groups, *kernel)
    return xp.zeros(shape, dtype) if result is None else result.reshape(shape)


def input_gradient(
    xp: Any, g: Any, weight: Any, *, size: Pair, stride: Pair, padding: Pads, dilation: Pair, groups: int
) -> Any:
    """Return the gradient (N, C, H, W) of a convolution with respect to its input of `size` (H, W).

    The gradients of the patches are one matmul for each block; they are added up where the
    patches came from in a loop over the kernel's positions.
    """
    dtype = xp.result_type(g.dtype, weight.dtype)
    g = g.astype(dtype, copy=False)
    weight = weight.astype(dtype, copy=False)
    count, outs = g.shape[:2]
    rows, cols = g.shape[2:]
    channels = weight.shape[1] * groups
    kernel = weight.shape[2:]
    (top, bottom), (left, right) = padding
    matrix = weight.reshape(groups, outs // groups, -1).swapaxes(1, 2)
    whole = xp.zeros((count, channels, size[0] + top + bottom, size[1] + left + right), g.dtype)
    scratch: Any = None
    for block in each_block(count, matrix.shape[1] * groups, rows * cols, g.dtype.itemsize):
        part = _gathered(xp, g[block], groups)
        if scratch is not None and scratch.shape[2] != part.shape[2]:
            scratch = None
        scratch = xp.matmul(matrix, part, out=scratch)
        patches = scratch.reshape(channels, *kernel, -1, rows, cols)
        target = whole[block].transpose(1, 0, 2, 3)
        for i in range(kernel[0]):
            down = i * dilation[0]
            band = target[:, :, down : down + (rows - 1) * stride[0] + 1 : stride[0]]
            for j in range(kernel[1]):
                right_by = j * dilation[1]
                band[..., right_by : right_by + (cols - 1) * stride[1] + 1 : stride[1]] += patches[:, i, j]
    return whole[:, :, top : top + size[0], left : left + size[1]]
