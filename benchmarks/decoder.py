"""A training step of a decoder as language models have it, float32.

4 pre-norm layers, 256 wide, 8 heads, causal attention, tanh-GELU within a dense part of 4 × 256, learned positions,
a head of its own without bias, vocabulary 4,096; 8 texts of 128 tokens; Adam.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.work import BEST, CAPTURED, EAGERFLOW, JAX, TENSORFLOW, TORCH, TORCH_COMPILED, Step, Target, Work

LAYERS, WIDTH, HEADS, LENGTH, BATCH, WORDS = 4, 256, 8, 128, 8, 4096
RATE, BETA1, BETA2, EPSILON = 3e-4, 0.9, 0.999, 1e-8
NORM_EPSILON = 1e-5
TEXT = np.random.default_rng(0).integers(0, WORDS, (BATCH, LENGTH + 1), np.int32)
INPUTS, LABELS = np.ascontiguousarray(TEXT[:, :-1]), np.ascontiguousarray(TEXT[:, 1:])

# The parameters of a layer, in the order of use; weights are (inputs, outputs).
LAYER = {
    "norm1": (WIDTH,),
    "shift1": (WIDTH,),
    "qkv": (WIDTH, 3 * WIDTH),
    "qkv_bias": (3 * WIDTH,),
    "mix": (WIDTH, WIDTH),
    "mix_bias": (WIDTH,),
    "norm2": (WIDTH,),
    "shift2": (WIDTH,),
    "up": (WIDTH, 4 * WIDTH),
    "up_bias": (4 * WIDTH,),
    "down": (4 * WIDTH, WIDTH),
    "down_bias": (WIDTH,),
}


def parameters() -> dict[str, Any]:
    """Return the weights, the same for every contender; those of the layers as a list of dicts."""
    rng = np.random.default_rng(1)

    def draw(name: str, shape: tuple[int, ...]) -> Any:
        if len(shape) == 2:
            return rng.standard_normal(shape, np.float32) * np.float32(0.02)
        return np.ones(shape, np.float32) if name.startswith("norm") else np.zeros(shape, np.float32)

    return {
        "tokens": draw("tokens", (WORDS, WIDTH)),
        "positions": draw("positions", (LENGTH, WIDTH)),
        "layers": [{name: draw(name, shape) for name, shape in LAYER.items()} for _ in range(LAYERS)],
        "norm": np.ones(WIDTH, np.float32),
        "shift": np.zeros(WIDTH, np.float32),
        "head": draw("head", (WIDTH, WORDS)),
    }


def eagerflow(captured: bool, device: str = "cpu:0", dtype: Any = np.float32) -> Step:
    """Return the step in eagerflow, as it stands or captured."""
    import eagerflow as ef
    from eagerflow import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            self.norm1, self.qkv = nn.LayerNorm(WIDTH, NORM_EPSILON), nn.Linear(WIDTH, 3 * WIDTH)
            self.mix, self.norm2 = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH, NORM_EPSILON)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def __call__(self, x: Any) -> Any:
            parts = self.qkv(self.norm1(x)).reshape(BATCH, LENGTH, 3, HEADS, WIDTH // HEADS)
            q, k, v = (parts[:, :, i].swapaxes(1, 2) for i in range(3))
            attended = nn.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.mix(attended.swapaxes(1, 2).reshape(BATCH, LENGTH, WIDTH))
            return x + self.down(nn.gelu(self.up(self.norm2(x)), approximate=True))

    class Decoder(nn.Module):
        def __init__(self) -> None:
            self.tokens, self.positions = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
            self.layers = [Block() for _ in range(LAYERS)]
            self.norm, self.head = nn.LayerNorm(WIDTH, NORM_EPSILON), nn.Linear(WIDTH, WORDS, bias=False)

        def __call__(self, ids: Any) -> Any:
            x = self.tokens(ids) + self.positions.weight
            for layer in self.layers:
                x = layer(x)
            return self.head(self.norm(x))

    ef.set_default_dtype(dtype)
    with ef.device(device):
        model, values = Decoder(), parameters()
    flat = [values["tokens"], values["positions"]]
    flat += [value for layer in values["layers"] for value in layer.values()]
    flat += [values["norm"], values["shift"], values["head"]]
    variables = model.trainable_variables
    for variable, value in zip(variables, flat, strict=True):
        variable.assign(value.astype(dtype))
    optimizer = ef.optim.Adam(model, RATE, BETA1, BETA2, EPSILON)
    inputs, labels = ef.asarray(INPUTS, device=device), ef.asarray(LABELS, device=device)

    def step(x: Any, y: Any) -> Any:
        with ef.GradientTape() as tape:
            loss = ef.mean(nn.softmax_cross_entropy(model(x), y))
        optimizer.apply(tape.gradient(loss, variables))
        return loss

    run = ef.function(step) if captured else step
    return lambda: run(inputs, labels)


def pytorch(compiled: bool, device: str = "cpu", dtype: str = "float32") -> Step:
    """Return the step in PyTorch, as it stands or with model and loss compiled."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.qkv = nn.LayerNorm(WIDTH, NORM_EPSILON), nn.Linear(WIDTH, 3 * WIDTH)
            self.mix, self.norm2 = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH, NORM_EPSILON)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            q, k, v = self.qkv(self.norm1(x)).view(BATCH, LENGTH, 3, HEADS, WIDTH // HEADS).unbind(2)
            q, k, v = (part.transpose(1, 2) for part in (q, k, v))
            attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.mix(attended.transpose(1, 2).reshape(BATCH, LENGTH, WIDTH))
            return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class Decoder(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
            self.layers = nn.ModuleList([Block() for _ in range(LAYERS)])
            self.norm, self.head = nn.LayerNorm(WIDTH, NORM_EPSILON), nn.Linear(WIDTH, WORDS, bias=False)

        def forward(self, ids: Any) -> Any:
            x = self.tokens(ids) + self.positions.weight
            for layer in self.layers:
                x = layer(x)
            return self.head(self.norm(x))

    model, values = Decoder(), parameters()
    with torch.no_grad():
        model.tokens.weight.copy_(torch.from_numpy(values["tokens"]))
        model.positions.weight.copy_(torch.from_numpy(values["positions"]))
        for layer, given in zip(model.layers, values["layers"], strict=True):
            # In the order of `LAYER`; dense weights are (outputs, inputs) here.
            for parameter, value in zip(layer.parameters(), given.values(), strict=True):
                parameter.copy_(torch.from_numpy(value.T))
        model.head.weight.copy_(torch.from_numpy(values["head"].T))
    model.to(device, getattr(torch, dtype))
    optimizer = torch.optim.Adam(model.parameters(), RATE, (BETA1, BETA2), EPSILON, fused=True)
    inputs, labels = (torch.from_numpy(ids).long().to(device) for ids in (INPUTS, LABELS))

    def loss_of(x: Any, y: Any) -> Any:
        return functional.cross_entropy(model(x).view(-1, WORDS), y.view(-1))

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
    """Return the step in JAX: parameters and state are donated."""
    import jax
    import jax.numpy as jnp

    inputs, labels = jnp.asarray(INPUTS), jnp.asarray(LABELS)
    values = jax.tree.map(lambda value: jnp.asarray(value, dtype), parameters())
    state = values, jax.tree.map(jnp.zeros_like, values), jax.tree.map(jnp.zeros_like, values), jnp.zeros((), jnp.int32)

    def norm(x: Any, weight: Any, bias: Any) -> Any:
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + NORM_EPSILON) * weight + bias

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        x = p["tokens"][x] + p["positions"]
        for w in p["layers"]:
            parts = norm(x, w["norm1"], w["shift1"]) @ w["qkv"] + w["qkv_bias"]
            q, k, v = jnp.moveaxis(parts.reshape(BATCH, LENGTH, 3, HEADS, WIDTH // HEADS), 2, 0)
            attended = jax.nn.dot_product_attention(q, k, v, is_causal=True)
            x = x + attended.reshape(BATCH, LENGTH, WIDTH) @ w["mix"] + w["mix_bias"]
            inner = jax.nn.gelu(norm(x, w["norm2"], w["shift2"]) @ w["up"] + w["up_bias"], approximate=True)
            x = x + inner @ w["down"] + w["down_bias"]
        logs = jax.nn.log_softmax(norm(x, p["norm"], p["shift"]) @ p["head"])
        return -jnp.mean(jnp.take_along_axis(logs, y[..., None], axis=-1))

    def update(state: Any, x: Any, y: Any) -> Any:
        values, means, squares, count = state
        loss, gradients = jax.value_and_grad(loss_of)(values, x, y)
        count = count + 1
        root = jnp.sqrt(1 - BETA2**count)
        rate = RATE * root / (1 - BETA1**count)
        means = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, means, gradients)
        squares = jax.tree.map(lambda s, g: BETA2 * s + (1 - BETA2) * g * g, squares, gradients)
        values = jax.tree.map(
            lambda w, m, s: w - rate * m / (jnp.sqrt(s) + EPSILON * root),
            values, means, squares,
        )  # fmt: skip
        return loss, (values, means, squares, count)

    run = jax.jit(update, donate_argnums=0)

    def step() -> object:
        nonlocal state
        loss, state = jax.block_until_ready(run(state, inputs, labels))
        return loss

    return step


def tf_function() -> Step:
    """Return the step in TensorFlow; Adam is its one kernel for it."""
    import tensorflow as tf

    inputs, labels = tf.constant(INPUTS), tf.constant(LABELS)
    p = tf.nest.map_structure(tf.Variable, parameters())
    variables = tf.nest.flatten(p)
    state = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in variables]
    power1, power2 = tf.Variable(1.0), tf.Variable(1.0)
    hidden = tf.constant(np.triu(np.full((LENGTH, LENGTH), -1e9, np.float32), 1))

    def dense(x: Any, w: Any, b: Any = None) -> Any:
        y = tf.reshape(x, (-1, w.shape[0])) @ w
        y = y if b is None else tf.nn.bias_add(y, b)
        return tf.reshape(y, (BATCH, LENGTH, w.shape[1]))

    def norm(x: Any, weight: Any, bias: Any) -> Any:
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, bias, weight, NORM_EPSILON)

    def loss_of(x: Any, y: Any) -> Any:
        x = tf.nn.embedding_lookup(p["tokens"], x) + p["positions"]
        for w in p["layers"]:
            parts = dense(norm(x, w["norm1"], w["shift1"]), w["qkv"], w["qkv_bias"])
            parts = tf.reshape(parts, (BATCH, LENGTH, 3, HEADS, WIDTH // HEADS))
            q, k, v = tf.unstack(tf.transpose(parts, (2, 0, 3, 1, 4)))
            scores = tf.matmul(q, k, transpose_b=True) * (WIDTH // HEADS) ** -0.5 + hidden
            attended = tf.transpose(tf.nn.softmax(scores) @ v, (0, 2, 1, 3))
            x = x + dense(tf.reshape(attended, (BATCH, LENGTH, WIDTH)), w["mix"], w["mix_bias"])
            inner = tf.nn.gelu(dense(norm(x, w["norm2"], w["shift2"]), w["up"], w["up_bias"]), approximate=True)
            x = x + dense(inner, w["down"], w["down_bias"])
        logits = dense(norm(x, p["norm"], p["shift"]), p["head"])
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))

    def update(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(x, y)
        power1.assign(power1 * BETA1)
        power2.assign(power2 * BETA2)
        for variable, gradient, (mean, square) in zip(variables, tape.gradient(loss, variables), state, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=mean.handle,
                v=square.handle,
                beta1_power=power1,
                beta2_power=power2,
                lr=RATE,
                beta1=BETA1,
                beta2=BETA2,
                epsilon=EPSILON * tf.sqrt(1 - power2),
                grad=tf.convert_to_tensor(gradient),
            )
        return loss

    run = tf.function(update)
    return lambda: run(inputs, labels).numpy()


def works() -> Iterable[Work]:
    """Give the work of this file."""
    yield Work(
        f"Decoder {LAYERS}×{WIDTH} ({BATCH}×{LENGTH}, vocabulary 4,096), Adam step",
        {
            EAGERFLOW: partial(eagerflow, captured=False),
            CAPTURED: partial(eagerflow, captured=True),
            TORCH: partial(pytorch, compiled=False),
            TORCH_COMPILED: partial(pytorch, compiled=True),
            JAX: jax_jit,
            TENSORFLOW: tf_function,
        },
        [Target(BEST, 1.0)],
        tolerance=1e-3,
    )
