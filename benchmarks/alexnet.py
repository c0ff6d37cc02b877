"""AlexNet in the one-column form, 224×224, batch 16, float32: forward, and forward with backward."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.work import (
    BEST,
    CAPTURED,
    EAGERFLOW,
    JAX,
    NUMPY,
    TENSORFLOW,
    TORCH,
    TORCH_COMPILED,
    Step,
    Target,
    Work,
)

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


def by_hand(backward: bool) -> Step:
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


def eagerflow(backward: bool, captured: bool, device: str = "cpu:0", dtype: Any = np.float32) -> Step:
    """Return the pass in eagerflow, as it stands or captured."""
    import eagerflow as ef

    values_conv, values_dense = parameters()
    layers: list[Any] = []
    variables: list[Any] = []
    for (w, b), (o, i, k, stride, padding, pools) in zip(values_conv, CONVS, strict=True):
        with ef.device(device):
            conv = ef.nn.Conv2D(i, o, k, stride=stride, padding=padding, dtype=dtype)
        variables += _set(conv, w.astype(dtype), b.astype(dtype))
        layers += [conv, ef.nn.relu]
        if pools:
            layers.append(ef.nn.MaxPool2D(3, stride=2))
    layers.append(ef.nn.Flatten())
    for index, ((w, b), (fan_in, fan_out)) in enumerate(zip(values_dense, DENSE, strict=True)):
        with ef.device(device):
            linear = ef.nn.Linear(fan_in, fan_out, dtype=dtype)
        variables += _set(linear, w.astype(dtype), b.astype(dtype))
        layers += [linear, ef.nn.relu] if index < 2 else [linear]
    model = ef.nn.Sequential(*layers)
    images, labels = ef.asarray(IMAGES.astype(dtype), device=device), ef.asarray(LABELS, device=device)

    def forward(x: Any, y: Any) -> Any:
        return ef.mean(ef.nn.softmax_cross_entropy(model(x), y))

    def both(x: Any, y: Any) -> Any:
        with ef.GradientTape() as tape:
            loss = forward(x, y)
        return loss, tape.gradient(loss, variables)

    run: Any = both if backward else forward
    if captured:
        run = ef.function(run)

    def step() -> object:
        if not backward:
            return run(images, labels)
        loss, gradients = run(images, labels)
        return loss, np.sum(gradients[0].numpy().astype(np.float32) ** 2)

    return step


def _set(layer: Any, w: Any, b: Any) -> list[Any]:
    return [layer.weight.assign(w), layer.bias.assign(b)]


def pytorch(backward: bool, compiled: bool, device: str = "cpu", dtype: str = "float32") -> Step:
    """Return the pass in PyTorch, as it stands or compiled."""
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
    model.to(device, getattr(torch, dtype))
    images = torch.from_numpy(IMAGES).to(device, getattr(torch, dtype))
    labels = torch.from_numpy(LABELS).to(device)

    def loss_of(x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(model(x), y)

    if compiled:
        loss_of = torch.compile(loss_of)

    def step() -> object:
        if not backward:
            with torch.no_grad():
                return loss_of(images, labels)
        for parameter in model.parameters():
            parameter.grad = None
        loss = loss_of(images, labels)
        loss.backward()
        return loss.detach(), float((next(model.parameters()).grad.float() ** 2).sum())

    return step


def _channels_last() -> tuple[Any, Any]:
    """Return images with the channels last, and weights as convolutions of such images take them."""
    convs, dense = parameters()
    convs = [(w.transpose(2, 3, 1, 0).copy(), b) for w, b in convs]
    first, b = dense[0]
    # The first dense layer reads what the others flatten channels first.
    dense[0] = first.reshape(256, 6, 6, -1).transpose(1, 2, 0, 3).reshape(first.shape), b
    return IMAGES.transpose(0, 2, 3, 1).copy(), [*convs, *dense]


def jax_jit(backward: bool, dtype: str = "float32") -> Step:
    """Return the pass in JAX, channels last: so its convolutions are fastest on the CPU."""
    import jax
    import jax.numpy as jnp

    images, values = _channels_last()
    images, labels = jnp.asarray(images, dtype), jnp.asarray(LABELS)
    values = jax.tree.map(lambda value: jnp.asarray(value, dtype), values)

    def forward(values: Any, x: Any, y: Any) -> Any:
        for (w, b), (_, _, _, stride, padding, pools) in zip(values[:5], CONVS, strict=True):
            sides = ((padding, padding), (padding, padding))
            x = jax.lax.conv_general_dilated(x, w, (stride, stride), sides, dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = jax.nn.relu(x + b)
            if pools:
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
        x = x.reshape(BATCH, -1)
        for index, (w, b) in enumerate(values[5:]):
            x = x @ w + b
            x = jax.nn.relu(x) if index < 2 else x
        return -jnp.mean(jax.nn.log_softmax(x)[jnp.arange(BATCH), y])

    run = jax.jit(jax.value_and_grad(forward) if backward else forward)

    def step() -> object:
        out = jax.block_until_ready(run(values, images, labels))
        return (out[0], np.sum(np.asarray(out[1][0][0], np.float32) ** 2)) if backward else out

    return step


def tf_function(backward: bool) -> Step:
    """Return the pass in TensorFlow, channels last: it has no other convolutions on the CPU."""
    import tensorflow as tf

    numbers, values = _channels_last()
    images, labels = tf.constant(numbers), tf.constant(LABELS)
    layers = [(tf.Variable(w), tf.Variable(b)) for w, b in values]

    def forward(x: Any, y: Any) -> Any:
        for (w, b), (_, _, _, stride, padding, pools) in zip(layers[:5], CONVS, strict=True):
            sides = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
            x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, w, stride, sides), b))
            if pools:
                x = tf.nn.max_pool2d(x, 3, 2, "VALID")
        x = tf.reshape(x, (BATCH, -1))
        for index, (w, b) in enumerate(layers[5:]):
            x = tf.nn.bias_add(x @ w, b)
            x = tf.nn.relu(x) if index < 2 else x
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, x))

    def both(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = forward(x, y)
        return loss, tape.gradient(loss, layers)

    run = tf.function(both if backward else forward)

    def step() -> object:
        out = run(images, labels)
        return (out[0], np.sum(out[1][0][0].numpy() ** 2)) if backward else out.numpy()

    return step


def works() -> Iterable[Work]:
    """Give the work of this file."""
    for backward in (False, True):
        what = "forward and backward" if backward else "forward"
        yield Work(
            f"AlexNet, batch {BATCH}, {what}",
            {
                NUMPY: partial(by_hand, backward),
                EAGERFLOW: partial(eagerflow, backward, captured=False),
                CAPTURED: partial(eagerflow, backward, captured=True),
                TORCH: partial(pytorch, backward, compiled=False),
                TORCH_COMPILED: partial(pytorch, backward, compiled=True),
                JAX: partial(jax_jit, backward),
                TENSORFLOW: partial(tf_function, backward),
            },
            [Target(BEST, 1.0), Target(TORCH, 1.0, of=EAGERFLOW)],
            tolerance=1e-2,
        )
