"""Devices: names, kinds, the current device, copies and their gradients."""

from __future__ import annotations

import asyncio
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eagerflow as ef
from eagerflow.core import Draw, is_inexact
from eagerflow.devices import DeviceName, Kind, MemoryInfo
from kinds import FAR
from numeric import call, differentiable
from test_other_kinds import HOST_ONLY, OPS, everything, on

NAMES = st.builds(
    DeviceName,
    kind=st.sampled_from(["cpu", "cuda", "my_kind2"]),
    index=st.none() | st.integers(0, 99),
    job=st.none() | st.sampled_from(["worker", "ps"]),
    task=st.none() | st.integers(0, 9),
)


@given(NAMES)
def test_names_survive_being_written_and_read(name: DeviceName) -> None:
    assert DeviceName.parse(str(name)) == name


@given(st.text(max_size=20))
def test_any_text_is_a_name_or_a_device_error(text: str) -> None:
    refusal = None
    try:
        name = DeviceName.parse(text)
    except ef.errors.DeviceError as error:
        refusal = str(error)
    if refusal is None:
        assert DeviceName.parse(str(name)) == name
    else:
        assert repr(text) in refusal


@pytest.mark.parametrize("name", ["cpu:99", "gpu", "tpu:0", "/job:worker/task:1/device:cpu:0", "cpu:x", "", 3])
def test_unknown_devices_are_refused(name: Any) -> None:
    with pytest.raises(ef.errors.DeviceError), ef.device(name):
        pass


def test_cuda_without_cupy_says_what_to_install() -> None:
    if ef.devices.kinds()["cuda"].count():
        pytest.skip("CuPy finds a device here")
    with pytest.raises(ef.errors.DeviceError, match=r"eagerflow\[cuda13\]|NVIDIA driver"):
        ef.zeros(3, device="cuda:0")


def test_device_is_one_object() -> None:
    cpu = ef.zeros(1).device
    assert cpu is ef.devices.find("cpu") is ef.devices.CPU0
    assert pickle.loads(pickle.dumps(cpu)) is cpu
    assert copy.deepcopy(cpu) is cpu
    assert repr(cpu) == "cpu:0"


def test_an_array_belongs_to_the_kind_of_its_own_type() -> None:
    assert ef.devices.of_array(np.zeros(2)) is ef.devices.CPU0
    array = FAR.from_host(np.zeros(2), 0)  # a subclass of NumPy's arrays, which are those of the CPU
    assert repr(ef.devices.of_array(array)) == "far:0"
    nearest = type("Derived", (FAR.array_type,), {})
    assert repr(ef.devices.of_array(array.view(nearest))) == "far:0"
    assert repr(ef.devices.of_array(np.ma.zeros(2))) == "cpu:0"
    assert ef.devices.of_array([1.0]) is None


def test_memory_figures() -> None:
    memory = ef.devices.CPU0.memory()
    assert 0 < memory.free <= memory.total
    assert memory.used == memory.total - memory.free
    assert ef.devices.find("far:1").memory() == MemoryInfo(2**30, 2**29)
    ef.devices.CPU0.synchronize()


def test_context_restores_the_device_after_an_exception() -> None:
    def fail() -> None:
        with ef.device("far:1"):
            assert repr(ef.zeros(2).device) == "far:1"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert ef.zeros(2).device is ef.devices.CPU0


def test_threads_have_their_own_current_device() -> None:
    with ef.device("far:0"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: repr(ef.zeros(1).device)).result() == "cpu:0"
        assert repr(ef.zeros(1).device) == "far:0"


def test_asyncio_tasks_have_their_own_current_device() -> None:
    async def task(name: str) -> None:
        with ef.device(name):
            for _ in range(5):
                await asyncio.sleep(0)
                assert repr(ef.ones(1).device) == name

    async def main() -> None:
        await asyncio.gather(task("far:0"), task("far:1"), task("cpu:0"))

    asyncio.run(main())


def test_operations_run_where_their_inputs_are() -> None:
    x = ef.ones((2, 2), device="far:1")
    for y in (x + 1, ef.tanh(x), ef.sum(x, axis=0), x @ x, x[0], ef.concat([x, x])):
        assert repr(y.device) == "far:1"
        assert isinstance(y._held, FAR.array_type)
    assert ef.sum(x).item() == 4.0


def test_python_scalars_meet_tensors_on_their_device() -> None:
    x = ef.ones(3, device="far:0")
    for y in (ef.searchsorted(x, 0.5), ef.multiply(x, 2.0), 1 - x, ef.where(x > 0, x, 0.0)):
        assert repr(y.device) == "far:0"


def test_tensors_on_two_devices_are_refused() -> None:
    x, y = ef.ones(3), ef.ones(3, device="far:0")
    for f in (lambda: x + y, lambda: ef.concat([x, y]), lambda: x @ y, lambda: ef.where(x > 0, x, y)):
        with pytest.raises(ef.errors.DeviceError, match=r"cpu:0.*far:0.*\.to\(device\)"):
            f()


def test_copy_between_devices_and_its_gradient() -> None:
    x = ef.asarray([1.0, 2.0])
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = x.to("far:1") * 3
        z = ef.sum(y.to("cpu:0") * x)
    assert repr(y.device) == "far:1" and repr(z.device) == "cpu:0"
    g = tape.gradient(z, x)
    assert g.device is x.device
    np.testing.assert_array_equal(g.numpy(), [6.0, 12.0])
    assert x.to("cpu:0").device is x.device


def test_gradient_on_a_device_stays_there() -> None:
    v = ef.Variable([1.0, 2.0], device="far:0")
    with ef.GradientTape() as tape:
        y = ef.sum(ef.exp(v) * v)
    g = tape.gradient(y, v)
    assert repr(g.device) == "far:0"
    v.assign_sub(0.1 * g)
    assert repr(v.device) == "far:0"


def test_logical_devices() -> None:
    ef.config.set_logical_devices("cpu", 3)
    try:
        assert [name for name in ef.devices.list() if name.startswith("cpu")] == ["cpu:0", "cpu:1", "cpu:2"]
        x = ef.ones(2, device="cpu:2")
        with ef.GradientTape() as tape:
            tape.watch(x)
            y = ef.sum(ef.sin(x) ** 2)
        g = tape.gradient(y, x)
        assert g.device is x.device is not ef.devices.CPU0
        with pytest.raises(ef.errors.DeviceError):
            x + ef.ones(2)
    finally:
        ef.config.set_logical_devices("cpu", 1)
    for kind, count in (("cuda", 2), ("cpu", 0)):
        with pytest.raises(ef.errors.DeviceError):
            ef.config.set_logical_devices(kind, count)


def test_a_kind_of_your_own_and_a_kernel_for_it() -> None:
    calls = []
    op = ef.ops.registry()["cbrt"]

    def kernel(x: Any) -> Any:
        calls.append(x.shape)
        return np.cbrt(x)

    op.register_kernel("far", kernel)
    assert ef.cbrt(ef.asarray([8.0], device="far:0")).item() == 2.0
    assert calls == [(1,)]
    assert ef.cbrt(8.0).item() == 2.0
    assert calls == [(1,)]
    with pytest.raises(ef.errors.DeviceError, match="already"):
        ef.devices.register(type("Other", (Kind,), {"name": "far"})())


BLOCK_OPS = {name: op for name, op in OPS.items() if name not in HOST_ONLY}


@pytest.mark.parametrize("name", BLOCK_OPS)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_blocks_run_every_op_where_they_ask(name: str, seed: int) -> None:
    """Values, gradients, tangents and stacks are those of the CPU; gradients come back to where the inputs are."""
    op = BLOCK_OPS[name]
    sample = op.sample(Draw(seed))
    if not any(isinstance(x, np.ndarray) for x in sample.inputs):
        return
    moving = differentiable(op, sample)
    inputs = on("cpu:0", sample.inputs)
    near = everything(op, inputs, sample.attrs, moving, seed)
    with ef.device("far:1"):
        far = everything(op, inputs, sample.attrs, moving, seed)
    for here, there in zip(near, far, strict=True):
        assert (here.shape, here.dtype) == (there.shape, there.dtype)
        np.testing.assert_allclose(here.numpy(), there.numpy(), rtol=1e-9, atol=1e-9)
    with ef.device("far:1"):
        results = call(op, inputs, sample.attrs)
        assert all(repr(result.device) == "far:1" for result in results)
    if not moving:
        return
    with ef.GradientTape() as tape:
        watched = [ef.copy(inputs[p]) for p in moving]
        tape.watch(watched)
        given_ = list(inputs)
        for position, x in zip(moving, watched, strict=True):
            given_[position] = x
        with ef.device("far:1"):
            targets = [r for r in call(op, given_, sample.attrs) if is_inexact(r.dtype)]
    for gradient in tape.gradient(targets, watched, unconnected="zero"):
        assert gradient.device is ef.devices.CPU0


def test_blocks_in_blocks() -> None:
    x = ef.ones(2)
    with ef.device("far:0"):
        assert repr((x + 1).device) == "far:0"
        with ef.device("far:1"):
            assert repr((x + 1).device) == "far:1"
        with ef.device(None):  # as outside of all blocks
            assert (x + 1).device is ef.devices.CPU0 is ef.zeros(2).device
        with ef.device("cpu:0"):
            assert (x.to("far:1") + 1).device is ef.devices.CPU0
        assert repr((x + 1).device) == repr(ef.zeros(2).device) == "far:0"
    assert (x + 1).device is ef.devices.CPU0


def test_blocks_move_what_meets_there() -> None:
    x, y = ef.ones(2), ef.ones(2, device="far:0")
    v = ef.Variable([1.0, 2.0])
    with ef.device("far:1"):
        for z in (x + y, ef.concat([x, y]), v * y, 2.0 * x, np.ones(2) + x, ef.where(x > 0, x, y)):
            assert repr(z.device) == "far:1"
        v.assign_add(ef.ones(2).to("cpu:0"))
    assert v.device is ef.devices.CPU0
    assert v.value.tolist() == [2.0, 3.0]


def test_threads_and_tasks_have_blocks_of_their_own() -> None:
    x = ef.ones(2)

    def there() -> str:
        with ef.device("far:0"):
            return repr((x + 1).device)

    async def task(name: str) -> None:
        with ef.device(name):
            for _ in range(5):
                await asyncio.sleep(0)
                assert repr((x + 1).device) == name

    async def main() -> None:
        await asyncio.gather(task("far:0"), task("far:1"), task("cpu:0"))

    with ef.device("far:1"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: repr((x + 1).device)).result() == "cpu:0"
        assert pool.submit(there).result() == "far:0"
        assert repr((x + 1).device) == "far:1"
    asyncio.run(main())


def test_soft_placement_takes_what_is_here() -> None:
    x = ef.ones(2)
    with pytest.raises(ef.errors.DeviceError, match="far:7"), ef.device("far:7"):
        pass
    ef.config.set_soft_placement(True)
    try:
        with ef.device("far:7"):
            assert (x + 1).device is ef.devices.CPU0
        with ef.device("far:1"), ef.device("nowhere:0"):
            assert repr((x + 1).device) == "far:1"
    finally:
        ef.config.set_soft_placement(False)


def test_together_with_a_value() -> None:
    x = ef.ones(2)
    for there in (ef.ones(2, device="far:1"), ef.Variable([1.0, 2.0], device="far:1")):
        with ef.colocate_with(there):
            assert repr((x + 1).device) == repr(ef.zeros(2).device) == "far:1"
            with ef.device("far:0"):
                assert repr((x + 1).device) == "far:0"
        assert (x + 1).device is ef.devices.CPU0


@pytest.mark.cuda
def test_cuda_round_trip_and_gradient() -> None:
    x = ef.asarray([1.0, 2.0], device="cuda:0")
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = ef.sum(ef.exp(x) @ ef.sin(x))
    g = tape.gradient(y, x)
    assert repr(g.device) == "cuda:0"
    values = np.array([1.0, 2.0])
    np.testing.assert_allclose(g.numpy(), np.exp(values) * (np.sin(values) + np.cos(values)))
    memory = x.device.memory()
    assert 0 < memory.free <= memory.total
