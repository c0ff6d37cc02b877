"""LSTM language models, float32, one step of SGD: 1×200 (20 steps of a batch of 20) and 2×650 (35 of 20).

Vocabulary 10,000; Zaremba et al., "Recurrent neural network regularization", 2014, without dropout and clipping.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

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

WORDS, RATE = 10_000, 0.1


class Size(NamedTuple):
    """How large a model and its batches are."""

    layers: int
    width: int
    steps: int
    batch: int

    def text(self) -> tuple[Any, Any]:
        """Return words and those that follow them, shape (steps, batch)."""
        words = np.random.default_rng(0).integers(0, WORDS, (self.steps + 1, self.batch), np.int32)
        return words[:-1], words[1:]

    def parameters(self) -> tuple[Any, list[tuple[Any, Any, Any]], Any, Any]:
        """Return embedding, per layer (wx, wh, b) with gates in the order i, f, g, o, and the head."""
        rng, n = np.random.default_rng(1), self.width

        def uniform(*shape: int) -> Any:
            return rng.uniform(-0.05, 0.05, shape).astype(np.float32)

        layers = [(uniform(n, 4 * n), uniform(n, 4 * n), uniform(4 * n)) for _ in range(self.layers)]
        return uniform(WORDS, n), layers, uniform(n, WORDS), uniform(WORDS)


SMALL, LARGE = Size(1, 200, 20, 20), Size(2, 650, 35, 20)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def by_hand(size: Size) -> Step:
    """Return the step in NumPy: the products over all time steps at once wherever time allows."""
    embedding, layers, w, c = size.parameters()
    words, labels = (text.ravel() for text in size.text())
    rows = np.arange(labels.size)
    steps, batch, n = size.steps, size.batch, size.width

    def forward(x: Any, layer: Any) -> Any:
        """Return the outputs, flat over time, and what `backward` needs."""
        wx, wh, b = layer
        z = (x @ wx + b).reshape(steps, batch, 4 * n)
        hs = np.zeros((steps + 1, batch, n), np.float32)
        cs = np.zeros((steps + 1, batch, n), np.float32)
        tanhs = np.empty((steps, batch, n), np.float32)
        for t in range(steps):
            gates = z[t]
            gates += hs[t] @ wh
            gates[:, : 2 * n] = _sigmoid(gates[:, : 2 * n])
            gates[:, 2 * n : 3 * n] = np.tanh(gates[:, 2 * n : 3 * n])
            gates[:, 3 * n :] = _sigmoid(gates[:, 3 * n :])
            cs[t + 1] = gates[:, n : 2 * n] * cs[t] + gates[:, :n] * gates[:, 2 * n : 3 * n]
            np.tanh(cs[t + 1], out=tanhs[t])
            hs[t + 1] = gates[:, 3 * n :] * tanhs[t]
        return hs[1:].reshape(-1, n), (x, z, hs, cs, tanhs)

    def backward(g: Any, layer: Any, kept: Any) -> Any:
        """Update the layer, and return the gradient of its input."""
        wx, wh, b = layer
        x, z, hs, cs, tanhs = kept
        g = g.reshape(steps, batch, n)
        gz = np.empty((steps, batch, 4 * n), np.float32)
        gh = np.zeros((batch, n), np.float32)
        gc = np.zeros((batch, n), np.float32)
        for t in reversed(range(steps)):
            i, f, a, o = (z[t][:, k * n : (k + 1) * n] for k in range(4))
            gh = gh + g[t]
            gc = gc + gh * o * (1 - tanhs[t] * tanhs[t])
            gz[t, :, :n] = gc * a * i * (1 - i)
            gz[t, :, n : 2 * n] = gc * cs[t] * f * (1 - f)
            gz[t, :, 2 * n : 3 * n] = gc * i * (1 - a * a)
            gz[t, :, 3 * n :] = gh * tanhs[t] * o * (1 - o)
            gh = gz[t] @ wh.T
            gc = gc * f
        flat = gz.reshape(-1, 4 * n)
        gx = flat @ wx.T
        wx -= RATE * (x.T @ flat)
        wh -= RATE * (hs[:-1].reshape(-1, n).T @ flat)
        b -= RATE * flat.sum(axis=0)
        return gx

    def step() -> object:
        x = embedding[words]
        kept = []
        for layer in layers:
            x, more = forward(x, layer)
            kept.append(more)
        logits = x @ w
        logits += c
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[rows, labels]
        g = np.exp(logits, out=logits)
        sums = g.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(sums[:, 0]) - chosen)
        g /= sums
        g[rows, labels] -= 1
        g /= labels.size
        gx, gw, gc = g @ w.T, x.T @ g, g.sum(axis=0)
        gw *= RATE
        np.subtract(w, gw, out=w)
        np.subtract(c, RATE * gc, out=c)
        for layer, more in zip(reversed(layers), reversed(kept), strict=True):
            gx = backward(gx, layer, more)
        np.subtract.at(embedding, words, RATE * gx)
        return loss

    return step


def eagerflow(size: Size, captured: bool, device: str = "cpu:0", dtype: Any = np.float32) -> Step:
    """Return the step in eagerflow, as it stands or captured."""
    import eagerflow as ef

    with ef.device(device):
        embedding = ef.nn.Embedding(WORDS, size.width, dtype=dtype)
        lstm = ef.nn.LSTM(size.width, size.width, layers=size.layers, dtype=dtype)
        head = ef.nn.Linear(size.width, WORDS, dtype=dtype)
    embedded, layers, w, c = size.parameters()
    for variable, value in zip(lstm.trainable_variables, (part for layer in layers for part in layer), strict=True):
        i, f, g, o = np.split(value, 4, axis=-1)
        variable.assign(np.concatenate([i, f, o, g], axis=-1).astype(dtype))  # the order of gates in eagerflow
    embedding.weight.assign(embedded.astype(dtype))
    head.weight.assign(w.astype(dtype))
    assert head.bias is not None
    head.bias.assign(c.astype(dtype))
    variables = [variable for module in (embedding, lstm, head) for variable in module.trainable_variables]
    optimizer = ef.optim.SGD(variables, RATE)
    inputs, labels = (ef.asarray(text, device=device) for text in size.text())

    def step() -> object:
        with ef.GradientTape() as tape:
            hidden, _ = lstm(embedding(inputs))
            loss = ef.mean(ef.nn.softmax_cross_entropy(head(hidden), labels))
        optimizer.apply(tape.gradient(loss, variables))
        return loss

    return ef.function(step) if captured else step


def pytorch(size: Size, compiled: bool, device: str = "cpu", dtype: str = "float32") -> Step:
    """Return the step in PyTorch, as it stands or with model and loss compiled."""
    import torch
    from torch import nn

    embedding, head = nn.Embedding(WORDS, size.width), nn.Linear(size.width, WORDS)
    lstm = nn.LSTM(size.width, size.width, size.layers)
    embedded, layers, w, c = size.parameters()
    with torch.no_grad():
        embedding.weight.copy_(torch.from_numpy(embedded))
        for number, (wx, wh, b) in enumerate(layers):
            getattr(lstm, f"weight_ih_l{number}").copy_(torch.from_numpy(wx.T))
            getattr(lstm, f"weight_hh_l{number}").copy_(torch.from_numpy(wh.T))
            getattr(lstm, f"bias_ih_l{number}").copy_(torch.from_numpy(b))
            second = getattr(lstm, f"bias_hh_l{number}")
            second.zero_()
            second.requires_grad = False  # the others have one bias
        head.weight.copy_(torch.from_numpy(w.T))
        head.bias.copy_(torch.from_numpy(c))
    for module in (embedding, lstm, head):
        module.to(device, getattr(torch, dtype))
    weights = [p for module in (embedding, lstm, head) for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, RATE, fused=True)
    inputs, labels = (torch.from_numpy(text).long().to(device) for text in size.text())

    def loss_of(x: Any, y: Any) -> Any:
        hidden, _ = lstm(embedding(x))
        return nn.functional.cross_entropy(head(hidden).reshape(-1, WORDS), y.reshape(-1))

    if compiled:
        loss_of = torch.compile(loss_of)  # nn.LSTM itself is not compiled, but called

    def step() -> object:
        optimizer.zero_grad()
        loss = loss_of(inputs, labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def jax_jit(size: Size, dtype: str = "float32") -> Step:
    """Return the step in JAX: a scan over time in each layer; the parameters are donated."""
    import jax
    import jax.numpy as jnp

    inputs, labels = (jnp.asarray(text) for text in size.text())
    values = jax.tree.map(lambda value: jnp.asarray(value, dtype), size.parameters())
    zeros = jnp.zeros((size.batch, size.width), dtype)

    def loss_of(values: Any, x: Any, y: Any) -> Any:
        embedded, layers, w, c = values
        x = embedded[x]
        for wx, wh, b in layers:

            def cell(state: Any, z: Any, wh: Any = wh) -> Any:
                h, c = state
                i, f, g, o = jnp.split(z + h @ wh, 4, axis=-1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
                return (h, c), h

            _, x = jax.lax.scan(cell, (zeros, zeros), x @ wx + b)
        logs = jax.nn.log_softmax(x @ w + c)
        return -jnp.mean(jnp.take_along_axis(logs, y[..., None], axis=-1))

    def update(values: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(values, x, y)
        return loss, jax.tree.map(lambda value, gradient: value - RATE * gradient, values, gradients)

    run = jax.jit(update, donate_argnums=0)

    def step() -> object:
        nonlocal values
        loss, values = jax.block_until_ready(run(values, inputs, labels))
        return loss

    return step


def tf_function(size: Size) -> Step:
    """Return the step in TensorFlow: the time steps are unrolled, and the embedding is updated where it was used."""
    import tensorflow as tf

    embedded, layers, w, c = size.parameters()
    embedding, head, bias = tf.Variable(embedded), tf.Variable(w), tf.Variable(c)
    cells = [tuple(tf.Variable(part) for part in layer) for layer in layers]
    dense = [part for cell in cells for part in cell] + [head, bias]
    inputs, labels = (tf.constant(text) for text in size.text())
    zeros = tf.zeros((size.batch, size.width))

    def update(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            x = tf.nn.embedding_lookup(embedding, x)
            for wx, wh, b in cells:
                z = tf.reshape(tf.reshape(x, (-1, size.width)) @ wx + b, (size.steps, size.batch, -1))
                h = s = zeros
                outputs = []
                for part in tf.unstack(z):
                    i, f, g, o = tf.split(part + h @ wh, 4, axis=-1)
                    s = tf.sigmoid(f) * s + tf.sigmoid(i) * tf.tanh(g)
                    h = tf.sigmoid(o) * tf.tanh(s)
                    outputs.append(h)
                x = tf.stack(outputs)
            logits = tf.reshape(x, (-1, size.width)) @ head + bias
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.reshape(y, (-1,)), logits)
            loss = tf.reduce_mean(losses)
        g, *gradients = tape.gradient(loss, [embedding, *dense])
        embedding.scatter_sub(tf.IndexedSlices(RATE * g.values, g.indices))
        for variable, gradient in zip(dense, gradients, strict=True):
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=RATE, delta=gradient)
        return loss

    run = tf.function(update)
    return lambda: run(inputs, labels).numpy()


def works() -> Iterable[Work]:
    """Give the work of this file."""
    for size in (SMALL, LARGE):
        targets = [Target(BEST, 1.0)]
        if size == SMALL:
            targets.append(Target(TORCH, 1.2, of=EAGERFLOW))
        yield Work(
            f"LSTM language model {size.layers}×{size.width} ({size.steps}×{size.batch}, vocabulary 10,000), SGD step",
            {
                NUMPY: partial(by_hand, size),
                EAGERFLOW: partial(eagerflow, size, captured=False),
                CAPTURED: partial(eagerflow, size, captured=True),
                TORCH: partial(pytorch, size, compiled=False),
                TORCH_COMPILED: partial(pytorch, size, compiled=True),
                JAX: partial(jax_jit, size),
                TENSORFLOW: partial(tf_function, size),
            },
            targets,
            tolerance=1e-3,
        )
