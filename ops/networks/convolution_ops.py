"""The ops of convolution: each is the gradient of the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor
from eagerflow.ops.networks import columns, winograd
from eagerflow.ops.networks.batched_images import convolutions
from eagerflow.ops.precision import add_up, in_float32

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]


# The three ops: each is the gradient of the others.


@in_float32
def _convolve(xp: Any, x: Any, weight: Any, bias: Any, **attrs: Any) -> Any:
    if winograd.pays(xp, x, weight, weight.shape[1::-1], weight.shape[2:], **attrs):
        return winograd.convolve(x, weight, bias, attrs["stride"][0], attrs["padding"])
    return columns.convolve(xp, x, weight, bias, **attrs)


@in_float32
def _convolve_to_input(xp: Any, g: Any, weight: Any, *, size: Pair, **attrs: Any) -> Any:
    if attrs["stride"] == (1, 1) and winograd.pays(xp, g, weight, weight.shape[:2], weight.shape[2:], **attrs):
        return winograd.input_gradient(g, weight, attrs["padding"])
    return columns.input_gradient(xp, g, weight, size=size, **attrs)


@in_float32
def _convolve_to_weight(xp: Any, x: Any, g: Any, *, kernel: Pair, **attrs: Any) -> Any:
    if winograd.pays(xp, x, g, (x.shape[1], g.shape[1]), kernel, **attrs):
        return winograd.weight_gradient(x, g, kernel[0], attrs["stride"][0], attrs["padding"])
    return columns.weight_gradient(xp, x, g, kernel=kernel, **attrs)


def _conv_rule(
    x: Spec, weight: Spec, bias: Spec | None, *, stride: Pair, padding: Pads, dilation: Pair, groups: int
) -> Spec:
    sides = [
        (side + before + after - step * (width - 1) - 1) // move + 1
        for side, (before, after), step, width, move in zip(
            x.shape[2:], padding, dilation, weight.shape[2:], stride, strict=True
        )
    ]
    return Spec((x.shape[0], weight.shape[0], *sides), _promote(x, weight))


def _conv_flops(x: Spec, weight: Spec, bias: Spec | None, **attrs: Any) -> float:
    out = _conv_rule(x, weight, bias, **attrs)
    return 2.0 * out.size * (weight.size // max(1, weight.shape[0]))


def _input_rule(g: Spec, weight: Spec, *, size: Pair, groups: int, **attrs: Any) -> Spec:
    return Spec((g.shape[0], weight.shape[1] * groups, *size), _promote(g, weight))


def _weight_rule(x: Spec, g: Spec, *, kernel: Pair, groups: int, **attrs: Any) -> Spec:
    return Spec((g.shape[1], x.shape[1] // groups, *kernel), _promote(x, g))


def _promote(*specs: Spec) -> Any:
    return np.result_type(*[spec.dtype for spec in specs])


def _attrs(draw: Draw) -> dict[str, Any]:
    return {
        "stride": (draw.integer(1, 3), draw.integer(1, 2)),
        "padding": ((draw.integer(0, 2), draw.integer(0, 1)), (draw.integer(0, 1), draw.integer(0, 2))),
        "dilation": (draw.integer(1, 2), draw.integer(1, 2)),
        "groups": draw.choice((1, 1, 2)),
    }


def _shapes(draw: Draw, attrs: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    groups = attrs["groups"]
    kernel = (draw.integer(1, 3), draw.integer(1, 3))
    weight = (groups * draw.integer(1, 2), draw.integer(1, 2), *kernel)
    size = tuple(attrs["dilation"][i] * (kernel[i] - 1) + 1 + draw.integer(0, 3) for i in range(2))
    return (draw.integer(1, 3), groups * weight[1], *size), weight


def _sample_conv(draw: Draw) -> Sample:
    attrs = _attrs(draw)
    x, weight = _shapes(draw, attrs)
    bias = draw.array((weight[0],)) if draw.flag() else None
    return Sample((draw.array(x), draw.array(weight), bias), attrs)


def _sample_input_gradient(draw: Draw) -> Sample:
    attrs = _attrs(draw)
    x, weight = _shapes(draw, attrs)
    out = _conv_rule(Spec(x, draw.dtype), Spec(weight, draw.dtype), None, **attrs)
    return Sample((draw.array(out.shape), draw.array(weight)), {**attrs, "size": x[2:]})


def _sample_weight_gradient(draw: Draw) -> Sample:
    attrs = _attrs(draw)
    x, weight = _shapes(draw, attrs)
    out = _conv_rule(Spec(x, draw.dtype), Spec(weight, draw.dtype), None, **attrs)
    return Sample((draw.array(x), draw.array(out.shape)), {**attrs, "kernel": weight[2:]})


def _to_input(
    g: Tensor, weight: Tensor, shape: Any, stride: Pair, padding: Pads, dilation: Pair, groups: int
) -> Tensor:
    return input_gradient(g, weight, size=shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups)


def _to_weight(g: Tensor, x: Tensor, shape: Any, stride: Pair, padding: Pads, dilation: Pair, groups: int) -> Tensor:
    return _weight_gradient(x, g, kernel=shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups)


convolve2d = Op(
    "conv2d",
    _convolve,
    inputs="x weight bias?",
    infer=_conv_rule,
    sample=_sample_conv,
    vjp=(_to_input, _to_weight, lambda g: add_up(g, (0, 2, 3)).reshape(-1)),
    jvp=(
        lambda t, weight, stride, padding, dilation, groups: convolve2d(
            t, weight, None, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
        lambda t, x, stride, padding, dilation, groups: convolve2d(
            x, t, None, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
        lambda t: t.reshape((t.shape[0], 1, 1)),
    ),
    batch=convolutions("x weight y"),
    fusion="contraction",
    flops=_conv_flops,
    onnx="Conv",
    kinds="fc",
)
input_gradient = Op(
    "conv2d_input_gradient",
    _convolve_to_input,
    inputs="y weight",
    infer=_input_rule,
    sample=_sample_input_gradient,
    vjp=(
        lambda g, weight, stride, padding, dilation, groups: convolve2d(
            g, weight, None, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
        lambda g, y, shape, stride, padding, dilation, groups: _weight_gradient(
            g, y, kernel=shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
    ),
    linear="y weight",
    batch=convolutions("y weight x"),
    fusion="contraction",
    flops=lambda y, weight, **attrs: 2.0 * y.size * (weight.size // max(1, weight.shape[0])),
    onnx="ConvTranspose",
    kinds="fc",
)
_weight_gradient = Op(
    "conv2d_weight_gradient",
    _convolve_to_weight,
    inputs="x y",
    infer=_weight_rule,
    sample=_sample_weight_gradient,
    vjp=(
        lambda g, y, shape, stride, padding, dilation, groups: input_gradient(
            y, g, size=shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
        lambda g, x, stride, padding, dilation, groups: convolve2d(
            x, g, None, stride=stride, padding=padding, dilation=dilation, groups=groups
        ),
    ),
    linear="x y",
    batch=convolutions("x y weight"),
    fusion="contraction",
    flops=lambda x, y, *, kernel, groups, **attrs: 2.0 * y.size * kernel[0] * kernel[1] * (x.shape[1] // groups),
    kinds="fc",
)
