"""AlexNet in the one-column form, 224×224, batch 16, float32: forward, and forward with backward."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from benchmarks.harness import EAGERFLOW, NUMPY, TORCH, Target, Work, installed

BATCH = 16
# Out channels, in channels, kernel, stride, padding, and whether max pooling (3, stride 2) follows.
CONVS = (
    (64, 3, 11, 4, 2, True),
    (192, 64, 5, 1, 2, True),
    (384, 192, 3, 1, 1, False),
    (256, 384, 3, 1, 1, False),
    (256, 256, 3, 1, 1, True),
)
DENSE = ((9216, 4096), (4096, 4096), (4096, 1000))
_rng = np.random.default_rng(0)
IMAGES = _rng.normal(size=(BATCH, 3, 224, 224)).astype(np.float32)
LABELS = _rng.integers(0, 1000, BATCH)


def parameters() -> tuple[list[Any], list[Any]]:
    """Return the weights of the convolutions (out, in, k, k) and of the dense layers (in, out)."""
    rng = np.random.default_rng(1)
    convs = [
        (rng.standard_normal((o, i, k, k), np.float32) * np.float32((2 / (i * k * k)) ** 0.5), np.zeros(o, np.float32))
        for o, i, k, _, _, _ in CONVS
    ]
    dense = [
        (rng.standard_normal((i, o), np.float32) * np.float32((2 / i) ** 0.5), np.zeros(o, np.float32))
        for i, o in DENSE
    ]
    return convs, dense


def _columns(x: Any, k: int, stride: int, padding: int) -> Any:
    """Im2col: a view of all windows, copied once into (batch, channels * k * k, positions)."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding))) if padding else x
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), (2, 3))[:, :, ::stride, ::stride]
    b, c, h, w = windows.shape[:4]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(b, c * k * k, h * w), h, w


def _pool(x: Any) -> Any:
    """Max pooling 3, stride 2, by nine strided views."""
    h, w = (x.shape[2] - 3) // 2 + 1, (x.shape[3] - 3) // 2 + 1
    out: Any = None
    for i in range(3):
        for j in range(3):
            part = x[:, :, i : i + 2 * h - 1 : 2, j : j + 2 * w - 1 : 2]
            out = part.copy() if out is None else np.maximum(out, part, out=out)
    return out


def _unpool(g: Any, x: Any, out: Any) -> Any:
    """Gradient of `_pool`: to the first window element that is the maximum."""
    h, w = out.shape[2:]
    result = np.zeros_like(x)
    free = np.ones(out.shape, bool)
    for i in range(3):
        for j in range(3):
            where = np.s_[:, :, i : i + 2 * h - 1 : 2, j : j + 2 * w - 1 : 2]
            hit = (x[where] == out) & free
            free &= ~hit
            result[where] += g * hit
    return result


def by_hand(backward: bool) -> Callable[[], object]:
    """Return the pass in NumPy."""
    convs, dense = parameters()
    rows = np.arange(BATCH)

    def run() -> object:
        x = IMAGES
        kept = []
        for (w, b), (o, _, k, stride, padding, pools) in zip(convs, CONVS, strict=True):
            columns, h, width = _columns(x, k, stride, padding)
            y = w.reshape(o, -1) @ columns
            y += b[:, None]
            np.maximum(y, 0, out=y)
            y = y.reshape(BATCH, o, h, width)
            pooled = _pool(y) if pools else y
            kept.append((x.shape, columns, y, pooled))
            x = pooled
        x = x.reshape(BATCH, -1)
        inputs = []
        for index, (w, b) in enumerate(dense):
            inputs.append(x)
            x = x @ w
            x += b
            if index < 2:
                np.maximum(x, 0, out=x)
        logits = x - x.max(axis=1, keepdims=True)
        g = np.exp(logits)
        sums = g.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(sums[:, 0]) - logits[rows, LABELS])
        if not backward:
            return loss
        g /= sums
        g[rows, LABELS] -= 1
        g /= BATCH
        gradients = []
        for index in (2, 1, 0):
            w, _ = dense[index]
            gradients.append((inputs[index].T @ g, g.sum(axis=0)))
            g = g @ w.T
            if index:
                g *= inputs[index] > 0
        for layer in reversed(range(5)):
            o, i, k, stride, padding, pools = CONVS[layer]
            shape, columns, y, pooled = kept[layer]
            g = g.reshape(pooled.shape)
            if pools:
                g = _unpool(g, y, pooled)
            g = g * (y > 0)
            g = g.reshape(BATCH, o, -1)
            gw = np.zeros((o, i * k * k), np.float32)
            for sample in range(BATCH):
                gw += g[sample] @ columns[sample].T
            gradients.append((gw.reshape(o, i, k, k), g.sum(axis=(0, 2))))
            if layer:
                g = _images(convs[layer][0].reshape(o, -1).T @ g, shape, k, stride, padding, y.shape[2:])
        return loss, np.sum(gradients[-1][0] ** 2)

    return run


def _images(columns: Any, shape: tuple[int, ...], k: int, stride: int, padding: int, size: tuple[int, int]) -> Any:
    """Col2im: add every window back where it came from."""
    b, c, height, width = shape
    h, w = size
    columns = columns.reshape(b, c, k, k, h, w)
    padded = np.zeros((b, c, height + 2 * padding, width + 2 * padding), np.float32)
    for i in range(k):
        for j in range(k):
            padded[:, :, i : i + stride * h : stride, j : j + stride * w : stride] += columns[:, :, i, j]
    return padded[:, :, padding : padding + height, padding : padding + width]


def eager(backward: bool) -> Callable[[], object]:
    """Return the pass in eagerflow."""
    import eagerflow as ef

    values_conv, values_dense = parameters()
    layers: list[Any] = []
    variables: list[Any] = []
    for (w, b), (o, i, k, stride, padding, pools) in zip(values_conv, CONVS, strict=True):
        conv = ef.nn.Conv2D(i, o, k, stride=stride, padding=padding, dtype=np.float32)
        variables += _set(conv, w, b)
        layers += [conv, ef.nn.relu]
        if pools:
            layers.append(ef.nn.MaxPool2D(3, stride=2))
    layers.append(ef.nn.Flatten())
    for index, ((w, b), (fan_in, fan_out)) in enumerate(zip(values_dense, DENSE, strict=True)):
        linear = ef.nn.Linear(fan_in, fan_out, dtype=np.float32)
        variables += _set(linear, w, b)
        layers += [linear, ef.nn.relu] if index < 2 else [linear]
    model = ef.nn.Sequential(*layers)
    images, labels = ef.asarray(IMAGES), ef.asarray(LABELS)

    def loss_of() -> Any:
        return ef.mean(ef.nn.softmax_cross_entropy(model(images), labels))

    def run() -> object:
        if not backward:
            return loss_of()
        with ef.GradientTape() as tape:
            loss = loss_of()
        gradients = tape.gradient(loss, variables)
        return loss, np.sum(gradients[0].numpy() ** 2)

    return run


def _set(layer: Any, w: Any, b: Any) -> list[Any]:
    return [layer.weight.assign(w), layer.bias.assign(b)]


def torch_eager(backward: bool) -> Callable[[], object]:
    """Return the pass in PyTorch."""
    import torch
    from torch import nn

    values_conv, values_dense = parameters()
    layers: list[Any] = []
    for (w, b), (o, i, k, stride, padding, pools) in zip(values_conv, CONVS, strict=True):
        conv = nn.Conv2d(i, o, k, stride, padding)
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(w))
            conv.bias.copy_(torch.from_numpy(b))
        layers += [conv, nn.ReLU()]
        if pools:
            layers.append(nn.MaxPool2d(3, 2))
    layers.append(nn.Flatten())
    for index, ((w, b), (fan_in, fan_out)) in enumerate(zip(values_dense, DENSE, strict=True)):
        linear = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w.T))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, nn.ReLU()] if index < 2 else [linear]
    model = nn.Sequential(*layers)
    images, labels = torch.from_numpy(IMAGES), torch.from_numpy(LABELS)

    def run() -> object:
        if not backward:
            with torch.no_grad():
                return nn.functional.cross_entropy(model(images), labels)
        for parameter in model.parameters():
            parameter.grad = None
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        return loss.detach(), float((next(model.parameters()).grad ** 2).sum())

    return run


def works() -> Iterable[Work]:
    """Give the work of this file."""
    for backward in (False, True):
        contenders = {NUMPY: by_hand(backward), EAGERFLOW: eager(backward)}
        if installed("torch"):
            contenders[TORCH] = torch_eager(backward)
        what = "forward and backward" if backward else "forward"
        yield Work(f"AlexNet, batch {BATCH}, {what}", contenders, [Target(TORCH, 1.0)], tolerance=1e-2)
