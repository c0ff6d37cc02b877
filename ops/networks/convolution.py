"""Convolutions over one and two axes, with their transposes; closed under differentiation.

Images are (N, C, H, W) and weights (O, C / groups, kh, kw), as in PyTorch. As in every network
library the kernel is not mirrored: what is called convolution is a correlation.
"""

from __future__ import annotations

from typing import Any

from eagerflow.core import Tensor, convert
from eagerflow.core.dims import index
from eagerflow.core.explain import describe, user_line
from eagerflow.errors import ArgumentError, DTypeError, ShapeError
from eagerflow.ops.networks.convolution_ops import Pair, convolve2d, input_gradient

__all__ = ["conv1d", "conv1d_transpose", "conv2d", "conv2d_transpose"]

# Arguments as users write them.


def several(value: Any, count: int, what: str, name: str, least: int = 1) -> tuple[int, ...]:
    """Return one integer for each axis, from one integer or one for each."""
    try:
        items = tuple(value) if isinstance(value, tuple | list) else (value,) * count
        numbers = tuple([index(item) for item in items])
    except TypeError:
        raise DTypeError(f"{name}: {what} holds integers, got {value!r}\n  at {user_line()}") from None
    if len(numbers) != count or any(number < least for number in numbers):
        raise ShapeError(
            f"{name}: {what} is an integer or {count} of them, {least} or more, got {value!r}\n  at {user_line()}"
        )
    return numbers


def pads(
    padding: Any,
    sizes: tuple[int, ...],
    extents: tuple[int, ...],
    stride: tuple[int, ...],
    name: str,
) -> tuple[Pair, ...]:
    """Return (before, after) for each axis.

    `padding` is an integer, one for each axis, a pair for each axis, ``"valid"`` for none, or
    ``"same"`` for as much as makes the result ``ceil(size / stride)`` long, the odd one at the end.
    `extents` are the lengths of the dilated kernel.
    """
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * len(sizes)
        if padding != "same":
            raise ArgumentError(f"{name}: padding is numbers, 'same' or 'valid', got {padding!r}\n  at {user_line()}")
        total = [
            max((-(-size // step) - 1) * step + extent - size, 0)
            for size, extent, step in zip(sizes, extents, stride, strict=True)
        ]
        return tuple((item // 2, item - item // 2) for item in total)
    if isinstance(padding, tuple | list) and any(isinstance(item, tuple | list) for item in padding):
        if len(padding) != len(sizes):
            raise ShapeError(
                f"{name}: padding has a pair for each of {len(sizes)} axes, got {padding!r}\n  at {user_line()}"
            )
        return tuple(several(item, 2, "padding", name, 0) for item in padding)  # type: ignore[misc]
    return tuple((item, item) for item in several(padding, len(sizes), "padding", name, 0))


def _extents(kernel: Any, dilation: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(step * (width - 1) + 1 for width, step in zip(kernel, dilation, strict=True))


def _check(name: str, x: Tensor, weight: Tensor, axes: int, groups: Any, channels_axis: int) -> int:
    """Check ranks and channels, and return the number of groups."""
    letters = "HW"[-axes:] if axes == 2 else "L"
    if x.ndim != axes + 2 or weight.ndim != axes + 2:
        raise ShapeError(
            f"{name}: expected x (N, C, {', '.join(letters)}) and weight of {axes + 2} axes, "
            f"got x: {describe(x)}, weight: {describe(weight)}\n  at {user_line()}"
        )
    (count,) = several(groups, 1, "groups", name)
    channels = weight.shape[1] * count if channels_axis == 1 else weight.shape[0]
    if x.shape[1] != channels or weight.shape[0] % count:
        raise ShapeError(
            f"{name}: x has {x.shape[1]} channels, but the weight is for {channels} in {count} groups; "
            f"got x: {describe(x)}, weight: {describe(weight)}\n  at {user_line()}"
        )
    return count


def _bias(name: str, bias: Any, outs: int) -> Any:
    if bias is None:
        return None
    bias = convert(bias)
    if bias.shape != (outs,):
        raise ShapeError(
            f"{name}: bias has shape ({outs},), one for each output, got {describe(bias)}\n  at {user_line()}"
        )
    return bias


def _convolution(
    name: str, axes: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Tensor:
    x, weight = convert(x), convert(weight)
    count = _check(name, x, weight, axes, groups, 1)
    bias = _bias(name, bias, weight.shape[0])
    stride = several(stride, axes, "stride", name)
    dilation = several(dilation, axes, "dilation", name)
    extents = _extents(weight.shape[2:], dilation)
    padding = pads(padding, x.shape[2:], extents, stride, name)
    for side, (before, after), extent in zip(x.shape[2:], padding, extents, strict=True):
        if side + before + after < extent:
            raise ShapeError(
                f"{name}: a kernel that covers {extents} is larger than the padded input: "
                f"got x: {describe(x)}, padding {padding}\n  at {user_line()}"
            )
    if axes == 2:
        result: Tensor = convolve2d(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=count)
        return result
    flat = convolve2d(
        x.reshape(*x.shape[:2], 1, x.shape[2]), weight.reshape(*weight.shape[:2], 1, weight.shape[2]), bias,
        stride=(1, *stride), padding=((0, 0), *padding), dilation=(1, *dilation), groups=count,
    )  # fmt: skip
    return flat.reshape(*flat.shape[:2], flat.shape[3])


def conv2d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Convolve images with learned kernels.

    Parameters
    ----------
    x : array_like
        Images, shape (N, C, H, W).
    weight : array_like
        Kernels, shape (O, C / groups, kh, kw). They are not mirrored (a correlation).
    bias : array_like, optional
        Added to each output channel, shape (O,).
    stride : int or pair of int
        Step of the kernel, in elements.
    padding : int, pair of int, pair of pairs, "same" or "valid"
        Zeros around the image: on all sides; by axis; by axis before and after; as many as
        make the result ``ceil(size / stride)`` large, the odd one at the end; or none.
    dilation : int or pair of int
        Distance of the kernel's elements.
    groups : int
        Number of groups of channels that are convolved apart from each other.

    Returns
    -------
    Tensor
        Shape (N, O, oh, ow) with oh = (H + padding - dilation * (kh - 1) - 1) // stride + 1.

    Raises
    ------
    ShapeError
        Ranks, channels or groups do not fit, or the kernel is larger than the padded image.
    ArgumentError
        An unknown word for `padding`.
    DTypeError
        Stride, padding, dilation or groups are no integers.

    Notes
    -----
    On the CPU, convolutions in float32 of 48 channels and more with square kernels, three to five times as
    wide as the stride, are computed in tiles with fewer multiplications (Winograd's minimal filtering).
    Rounding errors are a few times those of a plain sum, below 1e-5 of the largest result; infinities and NaN
    spread over a tile. Convolutions in float64 are plain sums.

    References
    ----------
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016.
    A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", 2016.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.ones((1, 1, 3, 3))
    >>> ef.nn.conv2d(x, ef.ones((1, 1, 2, 2)))
    Tensor([[[[4., 4.],
              [4., 4.]]]])
    >>> ef.nn.conv2d(x, ef.ones((8, 1, 3, 3)), padding="same", stride=2).shape
    (1, 8, 2, 2)
    """
    return _convolution("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


def conv1d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Convolve sequences with learned kernels.

    Parameters
    ----------
    x : array_like
        Sequences, shape (N, C, L).
    weight : array_like
        Kernels, shape (O, C / groups, k). They are not mirrored (a correlation).
    bias : array_like, optional
        Added to each output channel, shape (O,).
    stride : int
        Step of the kernel, in elements.
    padding : int, pair in a sequence, "same" or "valid"
        Zeros at the ends: at both; ``[(before, after)]``; see `conv2d` for the names.
    dilation : int
        Distance of the kernel's elements.
    groups : int
        Number of groups of channels that are convolved apart from each other.

    Returns
    -------
    Tensor
        Shape (N, O, ol) with ol = (L + padding - dilation * (k - 1) - 1) // stride + 1.

    Raises
    ------
    ShapeError
        Ranks, channels or groups do not fit, or the kernel is longer than the padded sequence.
    ArgumentError
        An unknown word for `padding`.
    DTypeError
        Stride, padding, dilation or groups are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.conv1d([[[1.0, 2.0, 3.0]]], [[[1.0, -1.0]]])
    Tensor([[[-1., -1.]]])
    """
    return _convolution("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


def _transposed(
    name: str,
    axes: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    dilation: Any,
    groups: Any,
) -> Tensor:
    x, weight = convert(x), convert(weight)
    count = _check(name, x, weight, axes, groups, 0)
    bias = _bias(name, bias, weight.shape[1] * count)
    stride = several(stride, axes, "stride", name)
    dilation = several(dilation, axes, "dilation", name)
    extra = several(output_padding, axes, "output_padding", name, 0)
    extents = _extents(weight.shape[2:], dilation)
    sides = x.shape[2:]
    if isinstance(padding, str) and padding == "same":
        size = tuple(side * step for side, step in zip(sides, stride, strict=True))
        padding = pads("same", size, extents, stride, name)
    else:
        padding = pads(padding, sides, extents, stride, name)
        size = tuple(
            (side - 1) * step - before - after + extent + more
            for side, step, (before, after), extent, more in zip(sides, stride, padding, extents, extra, strict=True)
        )
    if any(more >= max(step, spread) for more, step, spread in zip(extra, stride, dilation, strict=True)):
        raise ShapeError(
            f"{name}: output_padding is smaller than the stride or the dilation, got {extra}\n  at {user_line()}"
        )
    if any(side < 0 for side in size):
        raise ShapeError(f"{name}: the padding {padding} leaves nothing of the result\n  at {user_line()}")
    if axes == 1:
        x = x.reshape(*x.shape[:2], 1, x.shape[2])
        weight = weight.reshape(*weight.shape[:2], 1, weight.shape[2])
        size, stride, dilation = (1, *size), (1, *stride), (1, *dilation)
        padding = ((0, 0), *padding)
    result: Tensor = input_gradient(
        x, weight, size=size, stride=stride, padding=padding, dilation=dilation, groups=count
    )
    if bias is not None:
        result = result + bias.reshape(-1, 1, 1)
    return result if axes == 2 else result.reshape(*result.shape[:2], result.shape[3])


def conv2d_transpose(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Apply the transpose of `conv2d`, which enlarges images by its stride.

    Parameters
    ----------
    x : array_like
        Images, shape (N, C, H, W).
    weight : array_like
        Kernels, shape (C, O / groups, kh, kw): those of the convolution from O to C channels.
    bias : array_like, optional
        Added to each output channel, shape (O,).
    stride, padding, dilation, groups
        Those of the convolution that this is the transpose of: padding makes the result
        smaller, and with "same" it is ``size * stride`` large.
    output_padding : int or pair of int
        How much larger the result is at the end, among the sizes that the convolution takes
        to the size of `x`.

    Returns
    -------
    Tensor
        Shape (N, O, oh, ow) with oh = (H - 1) * stride - padding + dilation * (kh - 1) + 1 + output_padding.

    Raises
    ------
    ShapeError
        Ranks, channels, groups or paddings do not fit.
    ArgumentError
        An unknown word for `padding`.
    DTypeError
        Stride, padding, dilation or groups are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.conv2d_transpose([[[[1.0, 2.0]]]], ef.ones((1, 1, 1, 2)), stride=2)
    Tensor([[[[1., 1., 2., 2.]]]])
    """
    return _transposed("conv2d_transpose", 2, x, weight, bias, stride, padding, output_padding, dilation, groups)


def conv1d_transpose(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Apply the transpose of `conv1d`, which lengthens sequences by its stride.

    Parameters
    ----------
    x : array_like
        Sequences, shape (N, C, L).
    weight : array_like
        Kernels, shape (C, O / groups, k).
    bias : array_like, optional
        Added to each output channel, shape (O,).
    stride, padding, output_padding, dilation, groups
        As for `conv2d_transpose`.

    Returns
    -------
    Tensor
        Shape (N, O, ol) with ol = (L - 1) * stride - padding + dilation * (k - 1) + 1 + output_padding.

    Raises
    ------
    ShapeError
        Ranks, channels, groups or paddings do not fit.
    ArgumentError
        An unknown word for `padding`.
    DTypeError
        Stride, padding, dilation or groups are no integers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.conv1d_transpose([[[1.0, 2.0]]], ef.ones((1, 1, 3)))
    Tensor([[[1., 3., 3., 2.]]])
    """
    return _transposed("conv1d_transpose", 1, x, weight, bias, stride, padding, output_padding, dilation, groups)
