"""31 small ops on 64 floats: what is measured is everything around the kernels.

Three programs of exactly 31 operations: *mixed*, as NumPy users write (arithmetic, functions,
reductions, products, shapes, indexing); the same through NumPy's own functions, which call
eagerflow by NumPy's protocols; and *chain*, 31 of the cheapest ops there are, the worst case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from benchmarks.harness import AUTOGRAD, EAGERFLOW, NUMPY, TORCH, Target, Work, installed

_rng = np.random.default_rng(0)
X, W, B = (_rng.uniform(0.2, 0.8, 64) for _ in range(3))
M = _rng.normal(size=(8, 8)) / 3
MASK = _rng.random((8, 8)) < 0.5


def chain(xp: Any, x: Any, w: Any, b: Any) -> Any:
    """Ten times ``tanh(x * w + b)``, and a sum."""
    for _ in range(10):
        x = xp.tanh(x * w + b)
    return xp.sum(x)


def chain_by_hand(x: Any, w: Any, b: Any) -> Any:
    """Value and gradients of `chain`."""
    inputs, outputs = [], []
    for _ in range(10):
        inputs.append(x)
        x = np.tanh(x * w + b)
        outputs.append(x)
    value = np.sum(x)
    g: Any = np.ones_like(x)
    gw: Any = 0.0
    gb: Any = 0.0
    for x, out in zip(reversed(inputs), reversed(outputs), strict=True):
        g = g * (1 - out * out)
        gb = gb + g
        gw = gw + g * x
        g = g * w
    return value, g, gw, gb


def mixed(xp: Any, x: Any, w: Any, m: Any, mask: Any) -> Any:
    """31 operations as NumPy users write them; one operation a line."""
    a = x * w
    b = xp.tanh(a)
    c = b + x
    d = xp.reshape(c, (8, 8))
    e = d @ m
    f = xp.square(e)
    g = xp.sum(f, axis=1, keepdims=True)
    h = g + 1.0
    i = xp.sqrt(h)
    j = e / i
    k = j.T
    n = j @ k
    o = xp.max(n, axis=1, keepdims=True)
    p = n - o
    q = xp.exp(p)
    r = xp.sum(q, axis=1, keepdims=True)
    s = q / r
    t = s @ d
    u = xp.maximum(t, 0.0)
    v = xp.sin(t)
    y = xp.cos(u)
    z = v * y
    top = z[:4]
    bottom = z[4:]
    swapped = xp.concatenate([bottom, top])
    logs = xp.log(r)
    shifted = swapped + logs
    squares = shifted**2
    chosen = xp.where(mask, squares, z)
    means = xp.mean(chosen, axis=0)
    return xp.sum(means)


def mixed_torch(torch: Any, x: Any, w: Any, m: Any, mask: Any, zero: Any) -> Any:
    """The same in PyTorch."""
    a = x * w
    b = torch.tanh(a)
    c = b + x
    d = c.reshape(8, 8)
    e = d @ m
    f = torch.square(e)
    g = f.sum(dim=1, keepdim=True)
    h = g + 1.0
    i = torch.sqrt(h)
    j = e / i
    k = j.T
    n = j @ k
    o = n.amax(dim=1, keepdim=True)
    p = n - o
    q = torch.exp(p)
    r = q.sum(dim=1, keepdim=True)
    s = q / r
    t = s @ d
    u = torch.maximum(t, zero)
    v = torch.sin(t)
    y = torch.cos(u)
    z = v * y
    top = z[:4]
    bottom = z[4:]
    swapped = torch.cat([bottom, top])
    logs = torch.log(r)
    shifted = swapped + logs
    squares = shifted**2
    chosen = torch.where(mask, squares, z)
    means = chosen.mean(dim=0)
    return means.sum()


def mixed_by_hand(x: Any, w: Any, m: Any, mask: Any) -> Any:
    """Value and gradients of `mixed`, with what a careful hand keeps and shares."""
    b = np.tanh(x * w)
    d = (b + x).reshape(8, 8)
    e = d @ m
    i = np.sqrt(np.sum(np.square(e), axis=1, keepdims=True) + 1.0)
    j = e / i
    n = j @ j.T
    o = np.max(n, axis=1, keepdims=True)
    q = np.exp(n - o)
    r = np.sum(q, axis=1, keepdims=True)
    s = q / r
    t = s @ d
    u = np.maximum(t, 0.0)
    v = np.sin(t)
    y = np.cos(u)
    z = v * y
    shifted = np.concatenate([z[4:], z[:4]]) + np.log(r)
    value = np.sum(np.mean(np.where(mask, shifted**2, z), axis=0))

    g_shifted = np.where(mask, shifted * 0.25, 0.0)  # 2 / 8: the power and the mean
    g_r = np.sum(g_shifted, axis=1, keepdims=True) / r
    g_z = np.where(mask, 0.0, 0.125)
    g_z[4:] += g_shifted[:4]
    g_z[:4] += g_shifted[4:]
    g_t = g_z * (y * np.cos(t) - (t > 0) * v * np.sin(u))
    g_s = g_t @ d.T
    g_d = s.T @ g_t
    g_q = g_s / r
    g_r -= np.sum(g_q * s, axis=1, keepdims=True)
    g_n = (g_q + g_r) * q
    at_max = n == o
    g_n -= at_max * (np.sum(g_n, axis=1, keepdims=True) / np.sum(at_max, axis=1, keepdims=True))
    g_j = (g_n + g_n.T) @ j
    g_e = (g_j - j * np.sum(g_j * j, axis=1, keepdims=True)) / i
    g_m = d.T @ g_e
    g_c = (g_d + g_e @ m.T).reshape(64)
    g_a = g_c * (1 - b * b)
    return value, g_c + g_a * w, g_a * x, g_m


def works() -> Iterable[Work]:
    """Give the work of this file."""
    yield from _program("chain", lambda xp: chain, (X, W, B), (), chain_by_hand)
    yield from _program("mixed", lambda xp: mixed, (X, W, M), (MASK,), mixed_by_hand)


def _program(
    name: str,
    program: Callable[[Any], Callable[..., Any]],
    arrays: tuple[Any, ...],
    constants: tuple[Any, ...],
    by_hand: Callable[..., Any],
) -> Iterable[Work]:
    import eagerflow as ef

    run = program(np)
    tensors = [ef.asarray(array) for array in arrays]
    fixed = [ef.asarray(array) for array in constants]

    def record(xp: Any) -> Any:
        with ef.GradientTape() as tape:
            tape.watch(tensors)
            value = run(xp, *tensors, *fixed)
        return tape, value

    def gradients(xp: Any) -> Any:
        tape, value = record(xp)
        return (value, *tape.gradient(value, tensors))

    forward: dict[str, Callable[[], object]] = {
        NUMPY: lambda: run(np, *arrays, *constants),
        EAGERFLOW: lambda: record(ef)[1],
    }
    both: dict[str, Callable[[], object]] = {
        NUMPY: lambda: by_hand(*arrays, *constants),
        EAGERFLOW: lambda: gradients(ef),
    }
    through: dict[str, Callable[[], object]] = {NUMPY: both[NUMPY], EAGERFLOW: lambda: gradients(np)}
    if installed("torch"):
        import torch

        leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
        others = [torch.tensor(array) for array in constants]
        zero = torch.zeros((), dtype=torch.float64)

        def torch_forward() -> Any:
            if name == "chain":
                return chain(torch, *leaves)
            x, w, m = leaves
            return mixed_torch(torch, x, w, m, others[0], zero)

        def torch_both() -> Any:
            value = torch_forward()
            return (value.detach(), *torch.autograd.grad(value, leaves))

        forward[TORCH] = lambda: torch_forward().detach()
        both[TORCH] = torch_both
    if installed("autograd"):
        import autograd
        import autograd.numpy

        differentiated = autograd.value_and_grad(
            lambda parts: run(autograd.numpy, *parts, *constants)  # autograd takes a tuple as one argument
        )

        def autograd_both() -> Any:
            value, parts = differentiated(arrays)
            return (value, *parts)

        both[AUTOGRAD] = autograd_both
    yield Work(f"31 small ops ({name}), forward while recording", forward, [Target(NUMPY, 2.0)])
    yield Work(f"31 small ops ({name}), forward and backward", both, [Target(NUMPY, 2.0), Target(TORCH, 0.5)])
    if name == "mixed":
        yield Work(f"31 small ops ({name}) through `np.`, forward and backward", through)
