"""31 small ops on 64 floats: what is measured is everything around the kernels.

Three programs of exactly 31 operations: *mixed*, as NumPy users write (arithmetic, functions,
reductions, products, shapes, indexing); the same through NumPy's own functions, which call
eagerflow by NumPy's protocols; and *chain*, 31 of the cheapest ops there are, the worst case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks.work import (
    AUTOGRAD,
    CAPTURED,
    EAGERFLOW,
    JAX,
    NUMPY,
    TENSORFLOW,
    TORCH,
    TORCH_COMPILED,
    Maker,
    Step,
    Target,
    Work,
)

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


def mixed_torch(torch: Any, x: Any, w: Any, m: Any, mask: Any) -> Any:
    """`mixed` in PyTorch."""
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
    u = torch.clamp_min(t, 0.0)
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


def chain_tensorflow(tf: Any, x: Any, w: Any, b: Any) -> Any:
    """`chain` in TensorFlow."""
    for _ in range(10):
        x = tf.tanh(x * w + b)
    return tf.reduce_sum(x)


def mixed_tensorflow(tf: Any, x: Any, w: Any, m: Any, mask: Any) -> Any:
    """`mixed` in TensorFlow."""
    a = x * w
    b = tf.tanh(a)
    c = b + x
    d = tf.reshape(c, (8, 8))
    e = d @ m
    f = tf.square(e)
    g = tf.reduce_sum(f, axis=1, keepdims=True)
    h = g + 1.0
    i = tf.sqrt(h)
    j = e / i
    k = tf.transpose(j)
    n = j @ k
    o = tf.reduce_max(n, axis=1, keepdims=True)
    p = n - o
    q = tf.exp(p)
    r = tf.reduce_sum(q, axis=1, keepdims=True)
    s = q / r
    t = s @ d
    u = tf.maximum(t, 0.0)
    v = tf.sin(t)
    y = tf.cos(u)
    z = v * y
    top = z[:4]
    bottom = z[4:]
    swapped = tf.concat([bottom, top], axis=0)
    logs = tf.math.log(r)
    shifted = swapped + logs
    squares = shifted**2
    chosen = tf.where(mask, squares, z)
    means = tf.reduce_mean(chosen, axis=0)
    return tf.reduce_sum(means)


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


class Program(NamedTuple):
    """One of the programs, as each library writes it."""

    run: Callable[..., Any]  # takes the namespace, then arrays and constants
    by_hand: Callable[..., Any]
    torch: Callable[..., Any]
    tensorflow: Callable[..., Any]
    arrays: tuple[Any, ...]
    constants: tuple[Any, ...]


PROGRAMS = {
    "chain": Program(chain, chain_by_hand, chain, chain_tensorflow, (X, W, B), ()),
    "mixed": Program(mixed, mixed_by_hand, mixed_torch, mixed_tensorflow, (X, W, M), (MASK,)),
}


def numpy_by_hand(name: str, backward: bool) -> Step:
    """Return the program in NumPy, with its gradients by hand."""
    program = PROGRAMS[name]
    if backward:
        return lambda: program.by_hand(*program.arrays, *program.constants)
    return lambda: program.run(np, *program.arrays, *program.constants)


def eagerflow(name: str, backward: bool, captured: bool, through_numpy: bool = False) -> Step:
    """Return the program in eagerflow: `ef` names in it, or NumPy's own; as it stands or captured."""
    import eagerflow as ef

    program = PROGRAMS[name]
    xp: Any = np if through_numpy else ef
    tensors = [ef.asarray(array) for array in program.arrays]
    fixed = [ef.asarray(array) for array in program.constants]

    def forward(*tensors: Any) -> Any:
        # Eager code records; what is captured without a gradient has nothing to record.
        with ef.GradientTape() as tape:
            tape.watch(tensors)
            return program.run(xp, *tensors, *fixed)

    def both(*tensors: Any) -> Any:
        with ef.GradientTape() as tape:
            tape.watch(tensors)
            value = program.run(xp, *tensors, *fixed)
        return (value, *tape.gradient(value, tensors))

    run = both if backward else forward
    if captured:
        run = ef.function(run)
    return lambda: run(*tensors)


def pytorch(name: str, backward: bool, compiled: bool) -> Step:
    """Return the program in PyTorch, as it stands or compiled."""
    import torch

    program = PROGRAMS[name]
    leaves = [torch.tensor(array, requires_grad=True) for array in program.arrays]
    others = [torch.tensor(array) for array in program.constants]

    def run(*leaves: Any) -> Any:
        return program.torch(torch, *leaves, *others)

    if compiled:
        run = torch.compile(run)
    if not backward:
        return lambda: run(*leaves).detach()

    def both() -> Any:
        value = run(*leaves)
        return (value.detach(), *torch.autograd.grad(value, leaves))

    return both


def jax_jit(name: str, backward: bool) -> Step:
    """Return the program in JAX."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    program = PROGRAMS[name]
    arrays = [jnp.asarray(array) for array in program.arrays]
    fixed = [jnp.asarray(array) for array in program.constants]

    def forward(*arrays: Any) -> Any:
        return program.run(jnp, *arrays, *fixed)

    def both(*arrays: Any) -> Any:
        value, gradients = jax.value_and_grad(forward, argnums=tuple(range(len(arrays))))(*arrays)
        return (value, *gradients)

    run = jax.jit(both if backward else forward)
    return lambda: jax.block_until_ready(run(*arrays))


def tf_function(name: str, backward: bool) -> Step:
    """Return the program in TensorFlow."""
    import tensorflow as tf

    program = PROGRAMS[name]
    arrays = [tf.constant(array) for array in program.arrays]
    fixed = [tf.constant(array) for array in program.constants]

    def forward(*arrays: Any) -> Any:
        return program.tensorflow(tf, *arrays, *fixed)

    def both(*arrays: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            value = forward(*arrays)
        return (value, *tape.gradient(value, arrays))

    run = tf.function(both if backward else forward)
    return lambda: run(*arrays)


def with_autograd(name: str) -> Step:
    """Return the program and its gradients in autograd."""
    import autograd
    import autograd.numpy

    program = PROGRAMS[name]
    differentiated = autograd.value_and_grad(
        lambda parts: program.run(autograd.numpy, *parts, *program.constants)  # autograd takes a tuple as one argument
    )

    def both() -> Any:
        value, parts = differentiated(program.arrays)
        return (value, *parts)

    return both


def works() -> Iterable[Work]:
    """Give the work of this file."""
    for name in PROGRAMS:
        for backward in (False, True):
            contenders: dict[str, Maker] = {
                NUMPY: partial(numpy_by_hand, name, backward),
                EAGERFLOW: partial(eagerflow, name, backward, captured=False),
                CAPTURED: partial(eagerflow, name, backward, captured=True),
                TORCH: partial(pytorch, name, backward, compiled=False),
                TORCH_COMPILED: partial(pytorch, name, backward, compiled=True),
                JAX: partial(jax_jit, name, backward),
                TENSORFLOW: partial(tf_function, name, backward),
            }
            targets = [Target(NUMPY, 2.0, of=EAGERFLOW)]
            if backward:
                contenders[AUTOGRAD] = partial(with_autograd, name)
                targets = [Target(NUMPY, 1.2), *targets, Target(TORCH, 0.5, of=EAGERFLOW)]
            what = "forward and backward" if backward else "forward while recording"
            yield Work(f"31 small ops ({name}), {what}", contenders, targets)
    yield Work(
        "31 small ops (mixed) through `np.`, forward and backward",
        {
            NUMPY: partial(numpy_by_hand, "mixed", True),
            EAGERFLOW: partial(eagerflow, "mixed", True, captured=False, through_numpy=True),
            CAPTURED: partial(eagerflow, "mixed", True, captured=True, through_numpy=True),
        },
        [Target(NUMPY, None)],
    )
