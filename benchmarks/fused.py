"""Elementwise work on 4 M float32, bound by memory: tanh-GELU, and one update of Adam.

Beside them the time to copy the bytes that they must move. GELU reads and writes 16 MB, as a copy of 16 MB does.
Adam reads gradient, weights, mean and square, and writes the last three: as much as a copy of 56 MB. The target
takes the copy by all cores, since the kernels have them as well; the copy by one thread is told beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks.work import (
    BEST,
    CAPTURED,
    COPY,
    COPY_ALONE,
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

SIZE = 4_000_000
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


def inputs() -> tuple[Any, Any]:
    """Return weights, which are the input of GELU, too, and a gradient."""
    rng = np.random.default_rng(0)
    return 2 * rng.standard_normal(SIZE, np.float32), rng.standard_normal(SIZE, np.float32)


def copy(size: int, threads: int) -> Step:
    """Return a copy of so many floats by so many threads."""
    source, target = np.ones(size, np.float32), np.zeros(size, np.float32)
    if threads == 1:
        return lambda: np.copyto(target, source)
    pool = ThreadPoolExecutor(threads - 1)
    (last_source, last_target), *parts = zip(
        np.array_split(source, threads), np.array_split(target, threads), strict=True
    )

    def step() -> None:
        waiting = [pool.submit(np.copyto, target, source) for source, target in parts]
        np.copyto(last_target, last_source)
        for part in waiting:
            part.result()

    return step


def cores() -> int:
    """Return how many cores there are for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gelu_by_hand() -> Step:
    """Return GELU in NumPy, in place where that is right."""
    x, _ = inputs()

    def step() -> object:
        y = x * x
        y *= x
        y *= np.float32(0.044715)
        y += x
        y *= np.float32((2 / np.pi) ** 0.5)
        np.tanh(y, out=y)
        y += 1
        y *= x
        y *= np.float32(0.5)
        return y

    return step


def gelu_eagerflow(captured: bool) -> Step:
    """Return GELU in eagerflow, as it stands or captured."""
    import eagerflow as ef

    x = ef.asarray(inputs()[0])

    def gelu(x: Any) -> Any:
        return ef.nn.gelu(x, approximate=True)

    run = ef.function(gelu) if captured else gelu
    return lambda: run(x)


def gelu_pytorch(compiled: bool) -> Step:
    """Return GELU in PyTorch, as it stands or compiled."""
    import torch

    x = torch.from_numpy(inputs()[0])

    def gelu(x: Any) -> Any:
        return torch.nn.functional.gelu(x, approximate="tanh")

    run = torch.compile(gelu) if compiled else gelu
    return lambda: run(x)


def gelu_jax() -> Step:
    """Return GELU in JAX."""
    import jax
    import jax.numpy as jnp

    x = jnp.asarray(inputs()[0])
    run = jax.jit(lambda x: jax.nn.gelu(x, approximate=True))
    return lambda: run(x).block_until_ready()


def gelu_tensorflow() -> Step:
    """Return GELU in TensorFlow."""
    import tensorflow as tf

    x = tf.constant(inputs()[0])
    run = tf.function(lambda x: tf.nn.gelu(x, approximate=True))
    return lambda: run(x)


def adam_by_hand() -> Step:
    """Return the update in NumPy, in place."""
    w, g = inputs()
    mean, square = np.zeros_like(w), np.zeros_like(w)
    count = 0

    def step() -> object:
        nonlocal count
        count += 1
        root = (1 - BETA2**count) ** 0.5
        work = g * np.float32(1 - BETA1)
        np.multiply(mean, np.float32(BETA1), out=mean)
        np.add(mean, work, out=mean)
        np.multiply(g, g, out=work)
        work *= np.float32(1 - BETA2)
        np.multiply(square, np.float32(BETA2), out=square)
        np.add(square, work, out=square)
        np.sqrt(square, out=work)
        work += np.float32(EPSILON * root)
        np.divide(mean, work, out=work)
        work *= np.float32(RATE * root / (1 - BETA1**count))
        np.subtract(w, work, out=w)
        return w

    return step


def adam_eagerflow(captured: bool) -> Step:
    """Return the update in eagerflow, as it stands or captured."""
    import eagerflow as ef

    w, g = inputs()
    variable, gradient = ef.Variable(w), ef.asarray(g)
    optimizer = ef.optim.Adam([variable], RATE, BETA1, BETA2, EPSILON)

    def update(gradient: Any) -> None:
        optimizer.apply([gradient])

    run = ef.function(update) if captured else update

    def step() -> object:
        run(gradient)
        return variable

    return step


def adam_pytorch(compiled: bool) -> Step:
    """Return the update in PyTorch: its one kernel for it, or the one that is compiled."""
    import torch

    w, g = inputs()
    variable = torch.nn.Parameter(torch.from_numpy(w))
    variable.grad = torch.from_numpy(g)
    # A compiled update asks for a rate that is no constant, or it is compiled anew at each step.
    rate: Any = torch.tensor(RATE) if compiled else RATE
    optimizer = torch.optim.Adam([variable], rate, (BETA1, BETA2), EPSILON, fused=not compiled)
    run: Any = torch.compile(optimizer.step) if compiled else optimizer.step

    def step() -> object:
        run()
        return variable.detach()

    return step


def adam_jax() -> Step:
    """Return the update in JAX: weights and state are donated."""
    import jax
    import jax.numpy as jnp

    w, g = (jnp.asarray(array) for array in inputs())
    state = w, jnp.zeros_like(w), jnp.zeros_like(w), jnp.zeros((), jnp.int32)

    def update(state: Any, g: Any) -> Any:
        w, mean, square, count = state
        count = count + 1
        root = jnp.sqrt(1 - BETA2**count)
        mean = BETA1 * mean + (1 - BETA1) * g
        square = BETA2 * square + (1 - BETA2) * g * g
        w = w - RATE * root / (1 - BETA1**count) * mean / (jnp.sqrt(square) + EPSILON * root)
        return w, mean, square, count

    run = jax.jit(update, donate_argnums=0)

    def step() -> object:
        nonlocal state
        state = jax.block_until_ready(run(state, g))
        return state[0]

    return step


def adam_tensorflow() -> Step:
    """Return the update in TensorFlow: its one kernel for it."""
    import tensorflow as tf

    w, g = inputs()
    variable, gradient = tf.Variable(w), tf.constant(g)
    mean, square = tf.Variable(tf.zeros_like(variable)), tf.Variable(tf.zeros_like(variable))
    power1, power2 = tf.Variable(1.0), tf.Variable(1.0)

    def update(gradient: Any) -> None:
        power1.assign(power1 * BETA1)
        power2.assign(power2 * BETA2)
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
            grad=gradient,
        )

    run = tf.function(update)

    def step() -> object:
        run(gradient)
        return variable

    return step


def works() -> Iterable[Work]:
    """Give the work of this file."""
    targets = [Target(COPY, 1.6), Target(COPY_ALONE, None), Target(BEST, None)]
    yield Work(
        "tanh-GELU on 4 M float32",
        {
            NUMPY: gelu_by_hand,
            EAGERFLOW: partial(gelu_eagerflow, captured=False),
            CAPTURED: partial(gelu_eagerflow, captured=True),
            TORCH: partial(gelu_pytorch, compiled=False),
            TORCH_COMPILED: partial(gelu_pytorch, compiled=True),
            JAX: gelu_jax,
            TENSORFLOW: gelu_tensorflow,
            COPY: partial(copy, SIZE, cores()),
            COPY_ALONE: partial(copy, SIZE, 1),
        },
        targets,
    )
    yield Work(
        "Adam update of 4 M float32",
        {
            NUMPY: adam_by_hand,
            EAGERFLOW: partial(adam_eagerflow, captured=False),
            CAPTURED: partial(adam_eagerflow, captured=True),
            TORCH: partial(adam_pytorch, compiled=False),
            TORCH_COMPILED: partial(adam_pytorch, compiled=True),
            JAX: adam_jax,
            TENSORFLOW: adam_tensorflow,
            COPY: partial(copy, SIZE * 7 // 2, cores()),
            COPY_ALONE: partial(copy, SIZE * 7 // 2, 1),
        },
        targets,
        tolerance=1e-5,
    )
