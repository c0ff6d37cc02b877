"""What a program asks for with `ef.device` and `ef.colocate_with`, as captured graphs know it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.capture import optimize
from eagerflow.capture.graph import Node

X = np.array([0.5, -1.0, 2.0])


@pytest.fixture(autouse=True)
def four_devices() -> Iterator[None]:
    ef.config.set_logical_devices("cpu", 4)
    yield
    ef.config.set_logical_devices("cpu", 1)


def nodes(function: Any, *args: Any) -> list[Node]:
    return list(ef.function(function).get_concrete_function(*args).graph.nodes)


def asked(function: Any, *args: Any) -> dict[str, str]:
    """Return per operation where it was asked to be."""
    return {node.op.name: str(node.request.name) for node in nodes(function, *args) if node.request is not None}


def test_operations_of_a_block_are_asked_to_be_on_its_device() -> None:
    def f(x: Any) -> Any:
        with ef.device("cpu:1"):
            y = ef.tanh(x)
            with ef.device("cpu"):
                y = ef.sin(y)
            with ef.device("/job:localhost/task:0/device:cpu:3"):
                y = ef.cos(y)
            with ef.device(None):
                y = ef.exp(y)
        return y

    assert asked(f, X) == {"tanh": "cpu:1", "sin": "cpu", "cos": "cpu:3"}
    (request,) = [node.request for node in nodes(f, X) if node.op.name == "tanh"]
    assert 'with ef.device("cpu:1"):' in request.line and "test_requests.py" in request.line


def test_copies_between_blocks_are_operations_that_go_back_in_gradients() -> None:
    def f(x: Any) -> Any:
        with ef.device("cpu:1"):
            y = ef.tanh(x)
        with ef.device("cpu:2"):
            return ef.sum(ef.sin(y))

    def gradient(x: Any) -> Any:
        return ef.grad(f)(x)

    made = nodes(gradient, X)
    moves = [str(node.attrs["device"]) for node in made if node.op.moves]
    assert moves == ["cpu:1", "cpu:2", "cpu:1", "cpu:0"]
    # What belongs to the gradient of an operation is asked to be where the operation is.
    (cos,) = [node for node in made if node.op.name == "cos"]
    assert str(cos.request.name) == "cpu:2"
    assert all(str(node.request.name) == "cpu:1" for node in made if node.op.name in ("tanh", "subtract"))
    found, expected = ef.function(gradient)(ef.asarray(X)), gradient(ef.asarray(X))
    assert found.device is expected.device is ef.devices.find("cpu:0")
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_results_are_on_the_devices_that_eager_code_gives_them() -> None:
    v = ef.Variable(X, device="cpu:3")

    def f(x: Any) -> Any:
        with ef.device("cpu:1"):
            y = x * 2
        return x + 1, y, v * 2, ef.sum(y), ef.zeros(2)

    for made, expected in zip(ef.function(f)(ef.asarray(X)), f(ef.asarray(X)), strict=True):
        assert made.device is expected.device
        np.testing.assert_array_equal(made.numpy(), expected.numpy())


def test_a_function_that_is_called_in_a_block_runs_there() -> None:
    captured = ef.function(lambda x: ef.tanh(x) * 2)
    with ef.device("cpu:2"):
        assert repr(captured(ef.asarray(X)).device) == "cpu:2"
    with ef.device("cpu:1"):
        assert repr(captured(ef.asarray(X)).device) == "cpu:1"
    assert repr(captured(ef.asarray(X, device="cpu:0")).device) == "cpu:0"


def test_what_is_asked_for_is_part_of_the_key_of_a_trace() -> None:
    captured = ef.function(lambda x: ef.tanh(x))
    x = ef.asarray(X)
    for _ in range(2):
        captured(x)
        with ef.device("cpu:0"):
            captured(x)
    assert len(captured.concrete_functions) == 2


def test_colocation_with_what_has_a_place_asks_for_that_place() -> None:
    v = ef.Variable(X, device="cpu:3")

    def f(x: Any) -> Any:
        with ef.colocate_with(v):
            y = ef.tanh(x)
        with ef.device("cpu:1"):
            z = ef.sin(y)
        with ef.colocate_with(z):
            z = ef.cos(z)
        with ef.colocate_with(x):
            return ef.exp(z)

    assert asked(f, X) == {"tanh": "cpu:3", "sin": "cpu:1", "cos": "cpu:1", "exp": "cpu:0"}
    for g in (f, ef.function(f)):
        assert repr(g(ef.asarray(X)).device) == "cpu:0"


def test_colocation_with_what_has_no_place_yet_makes_a_group() -> None:
    def f(x: Any) -> Any:
        y = ef.tanh(x)
        with ef.colocate_with(y):
            z = ef.sin(x)
        with ef.colocate_with(z):
            return ef.cos(x) + y

    made = {node.op.name: node.request for node in nodes(f, X)}
    assert made["tanh"].group is not None
    assert made["tanh"] == made["sin"] == made["cos"]


def test_colocation_takes_tensors_and_variables() -> None:
    with pytest.raises(ef.errors.DTypeError, match="colocate_with: expected a Tensor or a Variable, got 'cpu:0'"):
        ef.colocate_with("cpu:0").__enter__()


def test_passes_keep_what_was_asked_for_and_do_not_mix_it() -> None:
    def f(x: Any) -> Any:
        with ef.device("cpu:1"):
            y = ef.exp(ef.tanh(x) * 2) ** 2.0
        with ef.device("cpu:2"):
            z = ef.exp(ef.tanh(x) * 2) ** 2.0
        return y, z, ef.exp(ef.tanh(x) * 2) ** 2.0

    graph = ef.function(f).get_concrete_function(X).graph
    for passes in (None, {"fuse": False}, {"lower": False}):
        made = optimize(graph, passes)
        work = [node for node in made.nodes if node.inputs and not node.op.moves]
        names = {str(node.request.name) if node.request else "" for node in work}
        assert names == {"cpu:1", "cpu:2", ""}
        for node in made.nodes:
            inner = node.attrs.get("graph")
            if inner is not None:
                assert {n.request for n in inner.nodes if n.inputs} == {node.request}


def test_soft_placement_takes_the_current_device_and_says_what_was_wanted() -> None:
    def f(x: Any) -> Any:
        with ef.device("cpu:9"):
            return ef.tanh(x)

    with pytest.raises(ef.errors.DeviceError, match="no device 'cpu:9'"):
        ef.function(f)(X)
    ef.config.set_soft_placement(True)
    try:
        assert repr(f(X).device) == "cpu:0"
        (request,) = [node.request for node in nodes(f, X) if node.request is not None]
        assert request.wanted == "cpu:9"
        np.testing.assert_array_equal(ef.function(f)(X).numpy(), np.tanh(X))
    finally:
        ef.config.set_soft_placement(False)


@pytest.mark.parametrize("options", [{"compress": "int8"}, {"timeout": 0}, {"timeout": "1"}, {"timeout": True}])
def test_options_that_do_not_exist_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ef.errors.ArgumentError, match=f"function: {name} is"):
        ef.function(lambda x: x, **options)
    with pytest.raises(ef.errors.DeviceError, match="cannot read the device name 'cpu:x'"):
        ef.function(lambda x: x, devices="cpu:x")
