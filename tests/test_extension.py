"""The C extension does what the Python functions do that it stands in for, and leaks nothing."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef
import kinds  # noqa: F401 - registers the kind 'far'
from eagerflow.core.extension import fast
from other_kernels import other_kernel

TESTS = Path(__file__).parent
needs_extension = pytest.mark.skipif(fast is None, reason="the C extension is not built or left out")

ARRAYS: dict[str, Any] = {
    "float": ef.asarray([1.5, -2.0]),
    "matrix": ef.asarray([[1.0], [2.0], [3.0]]),
    "zero-d": ef.asarray(2.5),
    "empty": ef.zeros((0,)),
    "three": ef.ones(3),
    "float32": ef.asarray([1.0, 2.0], dtype="float32"),
    "int": ef.asarray([1, 2]),
    "bool": ef.asarray([True, False]),
    "complex": ef.asarray([1j, 2.0]),
    "bfloat16": ef.asarray([1.0, 2.0], dtype=ef.bfloat16),
    "far": ef.ones(2, device="far:0"),
    "variable": ef.Variable([3.0, 4.0]),
    "array": np.array([5.0, 6.0]),
    "scalar array": np.float32(1.5),
    "python float": 2.0,
    "python int": 3,
    "python bool": True,
    "python complex": 1j,
    "huge int": 10**40,
    "list": [7.0, 8.0],
    "text": "text",
    "none": None,
    "object": object(),
}
BINARY = [ef.add, ef.multiply, ef.divide, ef.less, ef.bitwise_and, ef.matmul, ef.maximum]
UNARY = [ef.tanh, ef.negative, ef.abs, ef.isnan, ef.logical_not, ef.bitwise_invert]


def outcome(function: Any, *args: Any) -> Any:
    """Return what a call gives, or how it fails."""
    try:
        with np.errstate(all="ignore"):
            result = function(*args)
    except Exception as error:
        return type(error), str(error).split("\n  at ")[0]
    assert type(result) is ef.Tensor
    return result.numpy().tobytes(), result.dtype, result.shape, repr(result.device), result._rec is None


@needs_extension
@given(st.sampled_from(BINARY), st.sampled_from(list(ARRAYS)), st.sampled_from(list(ARRAYS)))
def test_binary_agrees_with_the_python_function(function: Any, x: str, y: str) -> None:
    assert outcome(function, ARRAYS[x], ARRAYS[y]) == outcome(function.__wrapped__, ARRAYS[x], ARRAYS[y])


@needs_extension
@given(st.sampled_from(UNARY), st.sampled_from(list(ARRAYS)))
def test_unary_agrees_with_the_python_function(function: Any, x: str) -> None:
    assert outcome(function, ARRAYS[x]) == outcome(function.__wrapped__, ARRAYS[x])


@needs_extension
@pytest.mark.parametrize("follow", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("function", [ef.add, ef.multiply, ef.divide, ef.pow, ef.less])
def test_records_agree_with_those_of_the_python_function(function: Any, follow: tuple[bool, bool]) -> None:
    x, y = ef.asarray([1.0, 2.0]), ef.asarray([[3.0], [4.0]], dtype="float32")
    with ef.GradientTape() as tape:
        tape.watch([t for t, wanted in zip((x, y), follow, strict=True) if wanted])
        mine, theirs = function(x, y)._rec, function.__wrapped__(x, y)._rec
    for name in ("op", "parents", "attrs", "shape", "dtype", "device", "tape"):
        assert getattr(mine, name) == getattr(theirs, name), name
    for a, b in zip(mine.saved, theirs.saved, strict=True):
        assert (a is None) == (b is None)
        np.testing.assert_array_equal(a, b)
    assert tape._recorder.records == [mine, theirs]


@needs_extension
def test_wrong_numbers_of_arguments_and_keywords_are_refused() -> None:
    for call in (lambda: ef.add(1.0), lambda: ef.tanh(), lambda: ef.add(1.0, 2.0, 3.0), lambda: ef.tanh(x=1.0)):
        with pytest.raises(TypeError):
            call()


@needs_extension
def test_another_kernel_for_the_cpu_is_used_at_once() -> None:
    op = ef.ops.registry()["cbrt"]
    x = ef.asarray([8.0])
    with other_kernel(op, lambda a: a + 1):
        assert ef.cbrt(x).item() == 9.0
    assert ef.cbrt(x).item() == 2.0


@needs_extension
def test_nothing_leaks() -> None:
    x, y, v = ef.asarray([1.0, 2.0]), ef.asarray([3.0, 4.0]), ef.Variable([1.0, 2.0])
    three, whole = ef.ones(3), ef.asarray([1, 2])
    shared = [None, x, y, ef.devices.CPU0, ef.add.op, ef.add, x._held, x.dtype, np.add, 0]

    def work() -> None:
        for _ in range(300):
            with ef.GradientTape() as tape:
                tape.watch([x, y])
                z = ef.sum(ef.tanh(x * y + 1.0) / y - 2 * x + v + three[:2])
            tape.gradient(z, [x, y, v])
            for bad in (lambda: x + three, lambda: x + "text", lambda: whole & x, lambda: ef.tanh("text")):
                with pytest.raises(TypeError if "text" in repr(bad.__code__.co_consts) else (TypeError, ValueError)):
                    bad()

    work()
    gc.collect()
    before = [sys.getrefcount(item) for item in shared[1:-1]]
    tracemalloc.start()
    try:
        start, _ = tracemalloc.get_traced_memory()
        work()
        gc.collect()
        end, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    after = [sys.getrefcount(item) for item in shared[1:-1]]
    assert all(b - a < 50 for a, b in zip(before, after, strict=True)), (before, after)
    assert end - start < 100_000


def test_without_the_extension_everything_is_the_same() -> None:
    names = ["test_tape.py", "test_derivatives.py", "test_value_semantics.py", "test_bad_input.py", "test_tensor.py"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *[str(TESTS / name) for name in names]],
        env={**os.environ, "EAGERFLOW_PURE_PYTHON": "1"},
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]
