"""Threads and asyncio; memory that stays flat."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import eagerflow as ef


def test_gradient_from_another_thread_is_refused() -> None:
    x = ef.asarray(1.0)
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    with ThreadPoolExecutor(1) as pool, pytest.raises(ef.errors.GradientError, match="thread that made it"):
        pool.submit(tape.gradient, y, x).result()
    assert tape.gradient(y, x).item() == 2.0


def test_threads_train_on_shared_variables_without_meeting() -> None:
    v = ef.Variable(np.arange(4.0))
    barrier = threading.Barrier(4)

    def work(k: int) -> list[Any]:
        barrier.wait()
        results = []
        for _ in range(200):
            with ef.GradientTape() as tape:
                y = ef.sum(v * v * float(k))
            results.append(tape.gradient(y, v).numpy())
        return results

    with ThreadPoolExecutor(4) as pool:
        for k, results in enumerate(pool.map(work, range(4))):
            for g in results:
                np.testing.assert_array_equal(g, 2.0 * k * np.arange(4.0))


def test_work_given_to_threads_inside_a_tape_is_recorded() -> None:
    x = ef.asarray(np.arange(8.0))
    with ef.GradientTape() as tape, ThreadPoolExecutor(4) as pool:
        tape.watch(x)
        parts = list(pool.map(lambda i: ef.sum(ef.sin(x * float(i))), range(16)))
        y = ef.sum(ef.stack(parts))
    expected = sum(i * np.cos(np.arange(8.0) * i) for i in range(16))
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), expected)


def test_tapes_of_asyncio_tasks_do_not_meet() -> None:
    v = ef.Variable(2.0)

    async def task(k: float) -> None:
        for _ in range(20):
            with ef.GradientTape() as tape:
                y = v * k
                await asyncio.sleep(0)
                y = y * v
            assert len(tape.watched_variables) == 1
            assert tape.gradient(y, v).item() == 4.0 * k
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*[task(float(k)) for k in range(8)])

    asyncio.run(main())


def test_memory_stays_flat_over_ten_thousand_steps() -> None:
    v = ef.Variable(np.ones(32))
    losses = []

    def steps(count: int) -> None:
        for _ in range(count):
            with ef.GradientTape() as tape:
                loss = ef.sum(ef.tanh(v * v) + ef.exp(-v))
            v.assign_sub(0.01 * tape.gradient(loss, v))
            losses.append(loss)
            del losses[:-100]  # a user keeps the last losses: they must not keep their graphs

    steps(200)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        steps(10_000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200_000


def test_memory_stays_flat_without_the_cycle_collector() -> None:
    v = ef.Variable(np.ones(1000))
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        for step in range(300):
            with ef.GradientTape() as tape:
                y = ef.sum(ef.exp(v) * v)
            tape.gradient(y, v)
            with ef.GradientTape() as tape:  # its gradient is never asked for
                y = ef.sum(ef.exp(v) * v)
            if step == 50:
                before, _ = tracemalloc.get_traced_memory()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 100_000
