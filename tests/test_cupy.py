"""Every op over CuPy, without a GPU: arrays of a stand-in for CuPy that NumPy computes, and that is as strict.

Where CuPy is installed, names, arguments and dtypes of functions are compared with its own; no GPU is needed.
"""

from __future__ import annotations

import importlib
import importlib.util
import operator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eagerflow as ef
import fake_cupy
from eagerflow.core import Draw
from eagerflow.ops.indexing.batched_indices import ARRAY
from fake_cuda import synchronized
from fake_cupy import NotInCuPy, pretended
from numeric import call, differentiable
from test_other_kinds import OPS, everything, on

CUPY: Any = None if importlib.util.find_spec("cupy") is None else importlib.import_module("cupy")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("scipy") is None, reason="SciPy, which computes in place of CuPy, is not installed"
)
needs_cupy = pytest.mark.skipif(CUPY is None, reason="CuPy is not installed: pip install 'eagerflow[cuda13]'")

# CuPy has no function for these, and they say so: Bessel functions of any order, Spence's function, expm and the like.
HOST_ONLY = {"iv", "ive", "jv", "kv", "kve", "matrix_function", "spence", "yv"}
# The host waits for these: whether an index is in range, a matrix singular or a threshold passed, the GPU alone knows.
# (CuPy's own functions wait too where the shape of a result depends on values, and in (un)ravel_multi_index, unique.)
WAITING = {
    "checked_labels", "cofactor", "embedding", "gather", "one_hot", "pinv", "setitem", "softmax_cross_entropy",
}  # fmt: skip


@pytest.mark.parametrize("name", OPS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=4)
def test_every_op_has_a_kernel_over_cupy(name: str, seed: int) -> None:
    op = OPS[name]
    if name in HOST_ONLY and CUPY is None:
        pytest.skip("what CuPy does not have is known where it is installed")
    sample = op.sample(Draw(seed))
    moving = differentiable(op, sample)
    if not any(isinstance(x, np.ndarray) for x in sample.inputs):
        return
    near = everything(op, on("cpu:0", sample.inputs), sample.attrs, moving, seed)
    with pretended(CUPY):
        given = on("cuda:1", sample.inputs)
        if name in HOST_ONLY:
            with pytest.raises(ef.errors.DeviceError, match=rf"{name}: .*'cuda' have no kernel: .*x.to\('cpu'\)"):
                op.kernel_for(ef.devices.find("cuda:1"))
            with pytest.raises(ef.errors.DeviceError, match=rf"{name}: .*'cuda' have no kernel"):
                everything(op, given, sample.attrs, moving, seed)
            return
        far = everything(op, given, sample.attrs, moving, seed)
        for here, there in zip(near, far, strict=True):
            assert repr(there.device) == "cuda:1"
            assert type(there._held) is fake_cupy.ndarray
            assert (here.shape, here.dtype) == (there.shape, there.dtype)
            np.testing.assert_allclose(here.numpy(), there.numpy(), rtol=1e-9, atol=1e-9)


@needs_cupy
def test_what_cupy_has_no_function_for_is_known_by_declarations() -> None:
    with pretended(CUPY) as xp:
        assert {name for name, op in OPS.items() if op.lacks is not None and op.lacks(xp)} == HOST_ONLY


@pytest.mark.parametrize("dtype", ["float32", "complex64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", sorted(set(OPS) - HOST_ONLY))
def test_every_op_that_works_in_a_dtype_does_so_over_cupy(name: str, dtype: str) -> None:
    in_dtype(name, dtype, lambda: pretended(CUPY))


def in_dtype(name: str, dtype: str, gpus: Any) -> None:
    """Compare an op in a dtype with the CPU."""
    op = OPS[name]
    if dtype == "complex64" and "c" not in op.kinds:
        return
    made = np.dtype(getattr(ml_dtypes, dtype, dtype))
    sample = op.sample(Draw(0))
    cast = [x.astype(made) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x for x in sample.inputs]
    try:
        near = call(op, on("cpu:0", cast), sample.attrs)
    except (ef.errors.EagerflowError, np.exceptions.ComplexWarning, TypeError, ValueError):
        return  # not on the CPU either
    if not any(isinstance(x, np.ndarray) for x in cast):
        return
    tolerance = 2e-2 if made.itemsize == 2 else 1e-4
    with gpus():
        far = call(op, on("cuda:0", cast), sample.attrs)
        for here, there in zip(near, far, strict=True):
            assert (here.shape, here.dtype) == (there.shape, there.dtype)
            wide = np.complex128 if here.dtype.kind == "c" else np.float64
            expected, got = here.numpy().astype(wide), there.numpy().astype(wide)
            np.testing.assert_allclose(expected, got, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", sorted(set(OPS) - HOST_ONLY - {"root"}))  # root runs what its user writes
def test_the_host_waits_for_few_kernels(name: str) -> None:
    waited = False
    with pretended(CUPY):
        for seed in range(4):
            sample = OPS[name].sample(Draw(seed))
            if not any(isinstance(x, np.ndarray) for x in sample.inputs):
                continue
            given = on("cuda:0", sample.inputs)
            synchronized.clear()
            call(OPS[name], given, sample.attrs)
            waited |= bool(synchronized)
    assert waited == (name in WAITING)


@pytest.mark.parametrize(
    "make",
    [
        lambda d: ef.zeros((2, 3), device=d),
        lambda d: ef.full((2,), 3.0, device=d),
        lambda d: ef.arange(5, device=d),
        lambda d: ef.linspace(0.0, 1.0, 5, device=d),
        lambda d: ef.eye(3, device=d),
        lambda d: ef.ones_like(ef.asarray([1.0], device=d)),
    ],
)
def test_arrays_come_to_be_on_a_gpu(make: Any) -> None:
    expected = make("cpu:0")
    with pretended(CUPY):
        made = make("cuda:1")
        assert repr(made.device) == "cuda:1"
        assert type(made._held) is fake_cupy.ndarray
        np.testing.assert_array_equal(made.numpy(), expected.numpy())


def test_random_numbers_are_those_of_the_cpu() -> None:
    expected = ef.random.Generator(7).normal(size=(3, 2)).numpy()
    with pretended(CUPY), ef.device("cuda:1"):
        made = ef.random.Generator(7).normal(size=(3, 2))
        assert repr(made.device) == "cuda:1"
        np.testing.assert_array_equal(made.numpy(), expected)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "complex64", "complex128"]
)
def test_sums_at_repeated_places_are_those_of_numpy_in_every_dtype(dtype: str) -> None:
    values = np.array([1, 0, 1, 5, 7]).astype(dtype)
    if np.dtype(dtype).kind in "if":
        values = -values
    places = np.array([1, 0, 1, 1, 2])
    expected = ef.take(ef.asarray(values), ef.asarray(places)).numpy()
    op = ef.ops.registry()["scatter_add"]
    attrs = {"shape": (3,), "index": (ARRAY,)}
    near = op(ef.asarray(values), ef.asarray(places), **attrs).numpy()
    with pretended(CUPY):
        far = op(ef.asarray(values, device="cuda:0"), ef.asarray(places, device="cuda:0"), **attrs)
        assert far.dtype == near.dtype
        np.testing.assert_array_equal(far.numpy(), near)
        read = ef.take(ef.asarray(values, device="cuda:0"), ef.asarray(places, device="cuda:0"))
        np.testing.assert_array_equal(read.numpy(), expected)


# --- the stand-in is as strict as CuPy --------------------------------------------------------------


def test_arrays_of_the_stand_in_do_not_mix_with_those_of_numpy() -> None:
    with pretended() as xp:
        array = xp.array(np.ones(3))
        for mixed in (
            lambda: array + np.ones(3),
            lambda: np.ones(3) + array,
            lambda: xp.add(array, np.ones(3)),
            lambda: xp.concatenate([array, np.ones(3)]),
            lambda: np.asarray(array),
            lambda: xp.maximum.reduce(array),
            lambda: array[np.array([0])],
            lambda: xp.add.at(array.astype(np.complex128), xp.array(np.array([0])), 1.0),
        ):
            with pytest.raises(NotInCuPy):
                mixed()
        assert type(array.sum()) is fake_cupy.ndarray
        assert (array + np.float64(1)).tolist() == [2.0, 2.0, 2.0]


def test_arrays_of_two_gpus_do_not_meet() -> None:
    with pretended() as xp:
        here = xp.array(np.ones(3))
        with xp.cuda.Device(1), pytest.raises(ValueError, match="on device 0, the current device is 1"):
            here + 1.0


@needs_cupy
def test_cupy_has_the_parts_that_the_kind_uses() -> None:
    for name in (
        "cuda.Device", "cuda.Stream", "cuda.Event", "cuda.MemoryPool", "cuda.using_allocator",
        "cuda.get_current_stream", "cuda.set_pinned_memory_allocator", "get_default_pinned_memory_pool",
        "get_default_memory_pool", "RawModule", "cuda.Stream.begin_capture", "cuda.Stream.end_capture",
        "cuda.Stream.wait_event", "cuda.Graph.launch",
        "cuda.runtime.getDeviceCount", "cuda.runtime.memGetInfo", "cuda.runtime.deviceSynchronize",
        "cuda.runtime.getDeviceProperties", "may_share_memory", "asnumpy",
    ):  # fmt: skip
        operator.attrgetter(name)(CUPY)


@needs_cupy
def test_what_cupy_does_not_have_is_not_there() -> None:
    with pretended(CUPY) as xp:
        array = xp.array(np.ones(3))
        for wrong in (
            lambda: xp.sum(array, where=array > 0),
            lambda: xp.sort(array, kind="quicksort"),
            lambda: array.sort(order="x"),
        ):
            with pytest.raises(NotInCuPy):
                wrong()
        for missing in ("geomspace", "block"):
            with pytest.raises(AttributeError):
                getattr(xp, missing)
        with pytest.raises(AttributeError):
            array.itemset  # noqa: B018
