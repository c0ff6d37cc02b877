"""LSTM language model 1×200, 20 steps of a batch of 20, vocabulary 10,000, float32: one step of SGD."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from benchmarks.harness import EAGERFLOW, NUMPY, TORCH, Target, Work, installed

STEPS, BATCH, WORDS, WIDTH = 20, 20, 10_000, 200
RATE = 0.1
_rng = np.random.default_rng(0)
TEXT = _rng.integers(0, WORDS, (STEPS + 1, BATCH))
INPUTS, LABELS = TEXT[:-1], TEXT[1:]


def parameters() -> dict[str, Any]:
    """Return the weights, the same for every contender; gates in the order i, f, g, o."""
    rng = np.random.default_rng(1)

    def uniform(*shape: int) -> Any:
        return rng.uniform(-0.05, 0.05, shape).astype(np.float32)

    return {
        "embedding": uniform(WORDS, WIDTH),
        "wx": uniform(WIDTH, 4 * WIDTH),
        "wh": uniform(WIDTH, 4 * WIDTH),
        "b": uniform(4 * WIDTH),
        "w": uniform(WIDTH, WORDS),
        "c": uniform(WORDS),
    }


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def by_hand() -> Callable[[], object]:
    """Return the step in NumPy: the products over all time steps at once wherever time allows."""
    values = parameters()
    embedding, wx, wh, b, w, c = values.values()
    tokens, labels = INPUTS.ravel(), LABELS.ravel()
    rows = np.arange(labels.size)
    n = WIDTH

    def step() -> object:
        x = embedding[tokens]
        z = (x @ wx + b).reshape(STEPS, BATCH, 4 * n)
        hs = np.zeros((STEPS + 1, BATCH, n), np.float32)
        cs = np.zeros((STEPS + 1, BATCH, n), np.float32)
        tanhs = np.empty((STEPS, BATCH, n), np.float32)
        for t in range(STEPS):
            gates = z[t]
            gates += hs[t] @ wh
            gates[:, : 2 * n] = _sigmoid(gates[:, : 2 * n])
            gates[:, 2 * n : 3 * n] = np.tanh(gates[:, 2 * n : 3 * n])
            gates[:, 3 * n :] = _sigmoid(gates[:, 3 * n :])
            cs[t + 1] = gates[:, n : 2 * n] * cs[t] + gates[:, :n] * gates[:, 2 * n : 3 * n]
            np.tanh(cs[t + 1], out=tanhs[t])
            hs[t + 1] = gates[:, 3 * n :] * tanhs[t]
        flat = hs[1:].reshape(-1, n)
        logits = flat @ w
        logits += c
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[rows, labels]
        g = np.exp(logits, out=logits)
        sums = g.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(sums[:, 0]) - chosen)
        g /= sums
        g[rows, labels] -= 1
        g /= labels.size
        gh_all = (g @ w.T).reshape(STEPS, BATCH, n)
        gw, gc_out = flat.T @ g, g.sum(axis=0)

        gz = np.empty((STEPS, BATCH, 4 * n), np.float32)
        gh = np.zeros((BATCH, n), np.float32)
        gc = np.zeros((BATCH, n), np.float32)
        for t in reversed(range(STEPS)):
            i, f, a, o = (z[t][:, k * n : (k + 1) * n] for k in range(4))
            gh = gh + gh_all[t]
            gc = gc + gh * o * (1 - tanhs[t] * tanhs[t])
            gz[t, :, :n] = gc * a * i * (1 - i)
            gz[t, :, n : 2 * n] = gc * cs[t] * f * (1 - f)
            gz[t, :, 2 * n : 3 * n] = gc * i * (1 - a * a)
            gz[t, :, 3 * n :] = gh * tanhs[t] * o * (1 - o)
            gh = gz[t] @ wh.T
            gc = gc * f
        flat_gz = gz.reshape(-1, 4 * n)
        gwx = x.T @ flat_gz
        gwh = hs[:-1].reshape(-1, n).T @ flat_gz
        gx = flat_gz @ wx.T
        np.subtract.at(embedding, tokens, RATE * gx)
        gw *= RATE
        for value, gradient in ((w, gw), (c, RATE * gc_out), (wx, RATE * gwx), (wh, RATE * gwh)):
            value -= gradient
        b[:] -= RATE * flat_gz.sum(axis=0)
        return loss

    return step


def eager() -> Callable[[], object]:
    """Return the step in eagerflow."""
    import eagerflow as ef

    embedding = ef.nn.Embedding(WORDS, WIDTH, dtype=np.float32)
    lstm = ef.nn.LSTM(WIDTH, WIDTH, dtype=np.float32)
    head = ef.nn.Linear(WIDTH, WORDS, dtype=np.float32)
    values = parameters()
    for variable, value in zip(lstm.trainable_variables, (values["wx"], values["wh"], values["b"]), strict=True):
        i, f, g, o = np.split(value, 4, axis=-1)
        variable.assign(np.concatenate([i, f, o, g], axis=-1))  # the order of gates in eagerflow
    embedding.weight.assign(values["embedding"])
    head.weight.assign(values["w"])
    assert head.bias is not None
    head.bias.assign(values["c"])
    model = [embedding, lstm, head]
    variables = [variable for module in model for variable in module.trainable_variables]
    optimizer = ef.optim.SGD(variables, RATE)
    inputs, labels = ef.asarray(INPUTS), ef.asarray(LABELS)

    def step() -> object:
        with ef.GradientTape() as tape:
            hidden, _ = lstm(embedding(inputs))
            loss = ef.mean(ef.nn.softmax_cross_entropy(head(hidden), labels))
        optimizer.apply(tape.gradient(loss, variables))
        return loss

    return step


def torch_eager() -> Callable[[], object]:
    """Return the step in PyTorch."""
    import torch
    from torch import nn

    embedding, lstm, head = nn.Embedding(WORDS, WIDTH), nn.LSTM(WIDTH, WIDTH), nn.Linear(WIDTH, WORDS)
    values = {name: torch.from_numpy(value) for name, value in parameters().items()}
    with torch.no_grad():
        embedding.weight.copy_(values["embedding"])
        lstm.weight_ih_l0.copy_(values["wx"].T)
        lstm.weight_hh_l0.copy_(values["wh"].T)
        lstm.bias_ih_l0.copy_(values["b"])
        lstm.bias_hh_l0.zero_()
        lstm.bias_hh_l0.requires_grad = False  # the others have one bias
        head.weight.copy_(values["w"].T)
        head.bias.copy_(values["c"])
    weights = [p for module in (embedding, lstm, head) for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, RATE)
    inputs, labels = torch.from_numpy(INPUTS), torch.from_numpy(LABELS)

    def step() -> object:
        optimizer.zero_grad()
        hidden, _ = lstm(embedding(inputs))
        loss = nn.functional.cross_entropy(head(hidden).reshape(-1, WORDS), labels.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def works() -> Iterable[Work]:
    """Give the work of this file."""
    contenders = {NUMPY: by_hand(), EAGERFLOW: eager()}
    if installed("torch"):
        contenders[TORCH] = torch_eager()
    yield Work(
        "LSTM language model 1×200 (20×20, vocabulary 10,000), SGD step",
        contenders,
        [Target(TORCH, 1.2)],
        tolerance=1e-3,
    )
