"""A device kind over the array API standard works everywhere, and says where it does not."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

import eagerflow as ef
import strict
from eagerflow.core import Draw
from eagerflow.devices import registry as devices_registry
from numeric import call, differentiable
from test_other_kinds import HOST_ONLY, OPS, everything, on

# What these kernels need, the standard has not.
LACKING = {
    "bitwise_count": "a count of bits",
    "convolve": "a convolution",
    "exponent": "the parts of a floating-point number (frexp)",
    "gcd": "common divisors",
    "lcm": "common multiples",
    "nanargmax": "a search that passes over NaN",
    "nanargmin": "a search that passes over NaN",
    "ravel_multi_index": "numbers of places",
    "unique": "inverse and counts in NumPy's form",
    "unravel_index": "numbers of places",
}


@pytest.mark.parametrize("name", OPS)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_op_on_strict_arrays(name: str, seed: int) -> None:
    op = OPS[name]
    sample = op.sample(Draw(seed))
    moving = differentiable(op, sample)
    if not any(isinstance(x, np.ndarray) for x in sample.inputs):
        return
    if name in LACKING or name in HOST_ONLY:
        with pytest.raises(ef.errors.DeviceError, match=rf"{name}: .*('strict' have no kernel|no kernel for|CPU only)"):
            op.kernel_for(ef.devices.find("strict:1"))
        return
    near = everything(op, on("cpu:0", sample.inputs), sample.attrs, moving, seed)
    far = everything(op, on("strict:1", sample.inputs), sample.attrs, moving, seed)
    for here, there in zip(near, far, strict=True):
        assert repr(there.device) == "strict:1"
        assert type(there._held) is strict.STRICT.array_type
        assert there._held.place == strict.Strict.places[1]
        assert (here.shape, here.dtype) == (there.shape, there.dtype)
        np.testing.assert_allclose(here.numpy(), there.numpy(), rtol=1e-9, atol=1e-9)


DEPENDS_ON_VALUES = {"argwhere", "nonzero"}  # eager only: see the pages on capture


@pytest.mark.parametrize("name", sorted(set(OPS) - set(LACKING) - HOST_ONLY - DEPENDS_ON_VALUES))
@settings(max_examples=2)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_op_captured_on_strict_arrays(name: str, seed: int) -> None:
    op = OPS[name]
    sample = op.sample(Draw(seed))
    inputs = on("strict:1", sample.inputs)

    def function(*tensors: Any) -> Any:
        left = iter(tensors)
        return call(op, [next(left) if isinstance(x, ef.Tensor) else x for x in inputs], sample.attrs)

    tensors = [x for x in inputs if isinstance(x, ef.Tensor)]
    if not tensors:
        return
    for eager, captured in zip(function(*tensors), ef.function(function)(*tensors), strict=True):
        assert captured.device is eager.device
        assert (captured.shape, captured.dtype) == (eager.shape, eager.dtype)
        np.testing.assert_allclose(captured.numpy(), eager.numpy(), rtol=1e-9, atol=1e-12)


MAKERS = {name: op for name, op in sorted(ef.ops.registry().items()) if not op.inputs or op.effects == "random"}


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_arrays_and_random_numbers_are_made_where_they_are_asked_for(name: str, seed: int) -> None:
    op = MAKERS[name]
    sample = op.sample(Draw(seed))
    here = op(*sample.inputs, **sample.attrs)
    with ef.device("strict:1"):
        if here.dtype not in strict.STRICT.namespace.from_numpy:
            with pytest.raises(ef.errors.DTypeError, match=f"'strict' have no dtype {here.dtype}"):
                op(*sample.inputs, **sample.attrs)
            return
        there = op(*sample.inputs, **sample.attrs)
    assert repr(there.device) == "strict:1" and there._held.place == strict.Strict.places[1]
    assert (here.shape, here.dtype) == (there.shape, there.dtype)
    np.testing.assert_allclose(here.numpy(), there.numpy(), rtol=1e-12)


@pytest.fixture
def x() -> ef.Tensor:
    return ef.asarray([[1.0, 2.0], [3.0, 4.0]], device="strict:1")


def test_its_arrays_refuse_to_meet_those_of_numpy(x: ef.Tensor) -> None:
    array, host = x._held, np.ones((2, 2))
    for mix in (
        lambda: array + host,
        lambda: host + array,
        lambda: np.add(array, 1.0),
        lambda: np.asarray(array),
        lambda: array.bare + host,
    ):
        with pytest.raises((TypeError, RuntimeError)):
            mix()
    with pytest.raises(ef.errors.DeviceError, match=r"strict:1.*strict:0.*\.to\(device\)"):
        x + x.to("strict:0")


def test_tensor_methods(x: ef.Tensor) -> None:
    np.testing.assert_array_equal(x.numpy(), [[1, 2], [3, 4]])
    assert type(x.numpy()) is np.ndarray
    assert (x.sum().item(), x[0].tolist(), len(x), x.nbytes, x.itemsize, x.size) == (10.0, [1.0, 2.0], 2, 32, 8, 4)
    assert (x.shape, x.ndim, x.dtype) == ((2, 2), 2, np.dtype(np.float64))
    assert repr(x[0]) == "Tensor([1., 2.], device=strict:1)"
    assert float(x[1, 0]) == 3.0 and bool(x[0, 0] > 0) and int(x[1, 1]) == 4
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), ef.asarray(x._held), x.to("cpu:0").to("strict:1")):
        assert y.device is x.device
        np.testing.assert_array_equal(y.numpy(), x.numpy())
    y = ef.copy(x)
    y[0] = 5.0
    y[1, 1] = ef.asarray(2.0, device="strict:1")
    y[y > 4] = 0
    y += 1
    assert y.tolist() == [[1.0, 1.0], [4.0, 3.0]]
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert x.to("strict:0")._held.place == strict.Strict.places[0]


def test_variables(x: ef.Tensor) -> None:
    v = ef.Variable([1.0, 2.0], device="strict:1", name="v")
    v.assign([2.0, 3.0])
    v.assign_add([1.0, 1.0])
    v.assign_sub(1.0)
    v += 1
    v[0] = 7.0
    v.assign_add(np.ones(2, np.float32))
    assert v.value.tolist() == [8.0, 5.0]
    with ef.GradientTape() as tape:
        y = ef.sum(v * v)
    gradient = tape.gradient(y, v)
    assert repr(gradient.device) == "strict:1"
    assert gradient.tolist() == [16.0, 10.0]
    with pytest.raises(ef.errors.DeviceError, match="strict:1"):
        v.assign(ef.ones(2))


def test_second_derivatives(x: ef.Tensor) -> None:
    def energy(t: Any) -> Any:
        return ef.sum(ef.tanh(t) ** 2)

    near, far = (ef.hessian(energy)(t) for t in (x.to("cpu:0"), x))
    assert repr(far.device) == "strict:1"
    np.testing.assert_allclose(near.numpy(), far.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("optimizer", [lambda v: ef.optim.SGD(v, 0.1, momentum=0.9), lambda v: ef.optim.Adam(v, 0.1)])
def test_a_network_learns_the_same_as_on_the_cpu(optimizer: Any) -> None:
    found = []
    for device in ("cpu:0", "strict:1"):
        ef.random.seed(3)
        with ef.device(device):
            model = ef.nn.Sequential(ef.nn.Linear(4, 8), ef.tanh, ef.nn.LayerNorm(8), ef.nn.Linear(8, 3))
            inputs, labels = ef.random.normal(size=(6, 4)), ef.asarray([0, 1, 2, 1, 1, 0])
            learner = optimizer(model.trainable_variables)
            for _ in range(3):
                with ef.GradientTape() as tape:
                    loss = ef.mean(ef.nn.softmax_cross_entropy(model(inputs), labels))
                learner.apply(tape.gradient(loss, learner.variables))
        assert all(repr(v.device) == device for v in learner.variables)
        found.append([loss.numpy(), *[v.numpy() for v in learner.variables]])
    for near, far in zip(*found, strict=True):
        np.testing.assert_allclose(near, far, rtol=1e-9, atol=1e-12)


def test_captured_functions(x: ef.Tensor) -> None:
    weight = ef.Variable(np.full((2, 2), 0.1), device="strict:1")

    def step(a: Any) -> Any:
        weight.assign_add(ef.full((2, 2), 0.1, device="strict:1"))
        return ef.sum(ef.tanh(a @ weight))

    eager = [step(x).item(), step(x).item()]
    weight.assign(np.full((2, 2), 0.1))
    captured = ef.function(step)
    results = [captured(x), captured(x)]
    assert all(repr(r.device) == "strict:1" for r in results)
    np.testing.assert_allclose([r.item() for r in results], eager, rtol=1e-12)
    slope = ef.function(ef.grad(lambda a: ef.sum(ef.tanh(a @ a))))
    np.testing.assert_allclose(
        slope(x).numpy(), ef.grad(lambda a: ef.sum(ef.tanh(a @ a)))(x.to("cpu:0")).numpy(), rtol=1e-9
    )


def test_a_captured_function_with_parts_on_the_host() -> None:
    def model(a: Any) -> Any:
        with ef.device("strict:1"):
            hidden = ef.tanh(a) @ ef.ones((2, 2))
        return ef.sum(hidden.to("cpu:0") * a)

    a = ef.asarray([[1.0, 2.0], [3.0, 4.0]])
    captured = ef.function(model)
    assert repr(captured(a).device) == "cpu:0"
    np.testing.assert_allclose(captured(a).item(), model(a).item(), rtol=1e-12)
    np.testing.assert_allclose(ef.grad(captured)(a).numpy(), ef.grad(model)(a).numpy(), rtol=1e-12)


class Patient(strict.Strict):
    """The same, but what it lacks is computed on the host."""

    name = "patient"
    host_fallback = True


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_registry, "_kinds", dict(devices_registry._kinds))
    ef.devices.register(Patient())


@pytest.mark.usefixtures("patient")
def test_the_host_computes_what_is_lacking_where_the_kind_says_so() -> None:
    for name in sorted(set(LACKING) | (HOST_ONLY & set(OPS))):
        op = OPS[name]
        sample = op.sample(Draw(0))
        near = op(*on("cpu:0", sample.inputs), **sample.attrs)
        far = op(*on("patient:1", sample.inputs), **sample.attrs)
        for here, there in zip(*[r if isinstance(r, tuple) else (r,) for r in (near, far)], strict=True):
            assert repr(there.device) == "patient:1" and there._held.place == Patient.places[1]
            np.testing.assert_allclose(here.numpy(), there.numpy(), rtol=1e-12)
    with ef.device("patient:0"):
        assert ef.tanh(ef.zeros(2)).tolist() == [0.0, 0.0]


def test_a_kernel_of_its_own_is_the_other_remedy() -> None:
    op = ef.ops.registry()["gcd"]
    x, y = (ef.asarray(values, device="strict:0") for values in ([12, 18], [8, 27]))
    with pytest.raises(ef.errors.DeviceError, match=r"gcd: devices of kind 'strict' have no kernel.*'gcd'"):
        ef.gcd(x, y)

    def euclid(a: Any, b: Any) -> Any:
        xp = strict.STRICT.namespace
        while bool(xp.any(b != 0)):
            a, b = xp.where(b != 0, b, a), xp.where(b != 0, a % xp.where(b != 0, b, 1), 0)
        return a

    kernels, into = dict(op._kernels), dict(op._into)
    try:
        op.register_kernel("strict", euclid)
        assert ef.gcd(x, y).tolist() == [4, 9]
    finally:
        for mine, before in ((op._kernels, kernels), (op._into, into)):
            mine.clear()
            mine.update(before)


@given(st.data())
def test_views_and_indices_are_those_of_numpy(data: st.DataObject) -> None:
    """Kernels write through views; the standard has neither the views nor most of the indices."""
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    host = rng.normal(size=shape)
    kind = strict.STRICT
    array = kind.from_host(host, 1)
    steps = data.draw(st.lists(st.sampled_from(["index", "transpose", "reshape", "write", "add", "swap"]), max_size=5))
    mine, theirs = host, array
    with kind.activate(1):  # as kernels are run
        for step in steps:
            if step == "index":
                index = data.draw(basic_indices(mine.shape, allow_newaxis=True))
                mine, theirs = mine[index], theirs[index]
            elif step == "transpose":
                mine, theirs = mine.transpose(), theirs.transpose()
            elif step == "reshape":
                mine, theirs = mine.reshape(-1), theirs.reshape(-1)
            elif step == "swap" and mine.ndim > 1:
                mine, theirs = np.swapaxes(mine, 0, -1), kind.namespace.swapaxes(theirs, 0, -1)
            elif step == "write" and mine.size and mine.ndim:
                places = rng.integers(0, mine.shape[0], size=3)
                number = rng.normal()
                mine[places] = number
                theirs[places] = number
            elif mine.ndim:
                mine += 1.0
                theirs += 1.0
    np.testing.assert_array_equal(theirs.to_host(), mine)
    np.testing.assert_array_equal(array.to_host(), host)
