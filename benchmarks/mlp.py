"""MLP 784-512-512-10 with relu, batch 128, float32: one step of plain SGD."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.work import (
    AUTOGRAD,
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

SIZES = (784, 512, 512, 10)
RATE = 0.01
_rng = np.random.default_rng(0)
INPUTS = _rng.normal(size=(128, SIZES[0])).astype(np.float32)
LABELS = _rng.integers(0, SIZES[-1], 128)


def parameters() -> list[Any]:
    """Return weights and biases, the same for every contender."""
    rng = np.random.default_rng(1)
    made: list[Any] = []
    for fan_in, fan_out in pairwise(SIZES):
        made.append((rng.normal(size=(fan_in, fan_out)) / np.sqrt(fan_in)).astype(np.float32))
        made.append(np.zeros(fan_out, np.float32))
    return made


def by_hand() -> Step:
    """Return the step in NumPy, in place where that is right."""
    w1, b1, w2, b2, w3, b3 = parameters()
    rows = np.arange(len(LABELS))

    def step() -> object:
        h1 = INPUTS @ w1
        h1 += b1
        np.maximum(h1, 0, out=h1)
        h2 = h1 @ w2
        h2 += b2
        np.maximum(h2, 0, out=h2)
        logits = h2 @ w3
        logits += b3
        logits -= logits.max(axis=1, keepdims=True)
        g3 = np.exp(logits)
        sums = g3.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(sums[:, 0]) - logits[rows, LABELS])
        g3 /= sums
        g3[rows, LABELS] -= 1
        g3 /= len(LABELS)
        g2 = g3 @ w3.T
        g2 *= h2 > 0
        g1 = g2 @ w2.T
        g1 *= h1 > 0
        for w, b, x, g in ((w3, b3, h2, g3), (w2, b2, h1, g2), (w1, b1, INPUTS, g1)):
            gw = x.T @ g
            gw *= RATE
            w -= gw
            b -= RATE * g.sum(axis=0)
        return loss

    return step


def eagerflow(captured: bool, device: str = "cpu:0", dtype: Any = np.float32) -> Step:
    """Return the step in eagerflow, as it stands or captured."""
    import eagerflow as ef

    with ef.device(device):
        layers = [ef.nn.Linear(fan_in, fan_out, dtype=dtype) for fan_in, fan_out in pairwise(SIZES)]
        model = ef.nn.Sequential(layers[0], ef.nn.relu, layers[1], ef.nn.relu, layers[2])
        variables = model.trainable_variables
        for variable, value in zip(variables, parameters(), strict=True):
            variable.assign(value.astype(dtype))
        optimizer = ef.optim.SGD(model, RATE)
        inputs, labels = ef.asarray(INPUTS.astype(dtype)), ef.asarray(LABELS)

    def step() -> object:
        with ef.GradientTape() as tape:
            loss = ef.mean(ef.nn.softmax_cross_entropy(model(inputs), labels))
        optimizer.apply(tape.gradient(loss, variables))
        return loss

    return ef.function(step) if captured else step


def pytorch(compiled: bool, device: str = "cpu", dtype: str = "float32") -> Step:
    """Return the step in PyTorch, as it stands or with model and loss compiled."""
    import torch
    from torch import nn

    linears = [nn.Linear(fan_in, fan_out) for fan_in, fan_out in pairwise(SIZES)]
    model = nn.Sequential(linears[0], nn.ReLU(), linears[1], nn.ReLU(), linears[2])
    values = parameters()
    with torch.no_grad():
        for layer, w, b in zip(linears, values[::2], values[1::2], strict=True):
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(w.T)))
            layer.bias.copy_(torch.from_numpy(b))
    model.to(device, getattr(torch, dtype))
    optimizer = torch.optim.SGD(model.parameters(), RATE, fused=True)
    inputs = torch.from_numpy(INPUTS).to(device, getattr(torch, dtype))
    labels = torch.from_numpy(LABELS).to(device)

    def loss_of(x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(model(x), y)

    if compiled:
        loss_of = torch.compile(loss_of)

    def step() -> object:
        optimizer.zero_grad()
        loss = loss_of(inputs, labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def jax_jit(dtype: str = "float32") -> Step:
    """Return the step in JAX: a function of the parameters, which are donated."""
    import jax
    import jax.numpy as jnp

    inputs, labels = jnp.asarray(INPUTS, dtype), jnp.asarray(LABELS)
    values = [jnp.asarray(value, dtype) for value in parameters()]

    def loss_of(values: Any, x: Any, y: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = values
        h = jax.nn.relu(x @ w1 + b1)
        h = jax.nn.relu(h @ w2 + b2)
        logs = jax.nn.log_softmax(h @ w3 + b3)
        return -jnp.mean(logs[jnp.arange(len(y)), y])

    def update(values: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(values, x, y)
        return loss, [value - RATE * gradient for value, gradient in zip(values, gradients, strict=True)]

    run = jax.jit(update, donate_argnums=0)

    def step() -> object:
        nonlocal values
        loss, values = jax.block_until_ready(run(values, inputs, labels))
        return loss

    return step


def tf_function() -> Step:
    """Return the step in TensorFlow."""
    import tensorflow as tf

    variables = [tf.Variable(value) for value in parameters()]
    inputs, labels = tf.constant(INPUTS), tf.constant(LABELS)

    def update(x: Any, y: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = variables
        with tf.GradientTape() as tape:
            h = tf.nn.relu(x @ w1 + b1)
            h = tf.nn.relu(h @ w2 + b2)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, h @ w3 + b3))
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=RATE, delta=gradient)
        return loss

    run = tf.function(update)
    return lambda: run(inputs, labels).numpy()


def with_autograd() -> Step:
    """Return the step in autograd."""
    import autograd
    import autograd.numpy as anp

    values = parameters()
    rows = np.arange(len(LABELS))

    def loss_of(parts: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = parts
        h = anp.maximum(INPUTS @ w1 + b1, 0)
        h = anp.maximum(h @ w2 + b2, 0)
        logits = h @ w3 + b3
        logits = logits - anp.max(logits, axis=1, keepdims=True)
        return anp.mean(anp.log(anp.sum(anp.exp(logits), axis=1)) - logits[rows, LABELS])

    differentiated = autograd.value_and_grad(loss_of)

    def step() -> object:
        loss, gradients = differentiated(values)
        for value, g in zip(values, gradients, strict=True):
            value -= np.float32(RATE) * g
        return loss

    return step


def works() -> Iterable[Work]:
    """Give the work of this file."""
    yield Work(
        "MLP 784-512-512-10, batch 128, SGD step",
        {
            NUMPY: by_hand,
            EAGERFLOW: partial(eagerflow, captured=False),
            CAPTURED: partial(eagerflow, captured=True),
            TORCH: partial(pytorch, compiled=False),
            TORCH_COMPILED: partial(pytorch, compiled=True),
            JAX: jax_jit,
            TENSORFLOW: tf_function,
            AUTOGRAD: with_autograd,
        },
        [
            Target(NUMPY, 1.0),
            Target(BEST, 1 / 1.3),
            Target(NUMPY, 1.15, of=EAGERFLOW),
            Target(TORCH, 1.0, of=EAGERFLOW),
        ],
        tolerance=1e-3,
    )
