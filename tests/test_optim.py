"""Optimizers: their steps are PyTorch's, their state saves, and bad gradients change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.errors import ArgumentError, DTypeError, ShapeError

CASES = [
    ("SGD", {"momentum": 0.0}, "SGD", {}),
    ("SGD", {"momentum": 0.9}, "SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}, "SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"momentum": 0.5, "weight_decay": 0.1}, "SGD", {"momentum": 0.5, "weight_decay": 0.1}),
    ("Adam", {}, "Adam", {}),
    ("Adam", {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}, "Adam", {"betas": (0.8, 0.95), "eps": 1e-3}),
    ("AdamW", {"weight_decay": 0.3}, "AdamW", {"weight_decay": 0.3}),
]


@pytest.mark.parametrize(("name", "options", "theirs", "their_options"), CASES)
@pytest.mark.parametrize("shape", [(), (3, 4), (300, 300)])
def test_steps_are_those_of_pytorch(
    name: str, options: dict[str, Any], theirs: str, their_options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = rng.normal(size=shape)
    variable = ef.Variable(start)
    parameter = torch.nn.Parameter(torch.tensor(start))
    mine = getattr(ef.optim, name)([variable], learning_rate=0.05, **options)
    other = getattr(torch.optim, theirs)([parameter], lr=0.05, **their_options)
    for _ in range(5):
        g = rng.normal(size=shape)
        mine.apply([ef.asarray(g)])
        parameter.grad = torch.tensor(g)
        other.step()
    np.testing.assert_allclose(variable.numpy(), parameter.detach().numpy(), rtol=1e-9, atol=1e-12)
    assert mine.iterations == 5


def test_values_and_arrays_held_by_others_do_not_change() -> None:
    array = np.ones(3)
    variable = ef.Variable(array)
    before, view = variable.value, variable.numpy()
    g = ef.asarray([1.0, 1.0, 1.0])
    opt = ef.optim.SGD([variable], 0.5, momentum=0.9)
    opt.apply([g])
    opt.apply([g])
    np.testing.assert_array_equal(array, 1)
    np.testing.assert_array_equal(before.numpy(), 1)
    np.testing.assert_array_equal(view, 1)
    np.testing.assert_array_equal(g.numpy(), 1)


def test_recorded_values_do_not_change() -> None:
    variable = ef.Variable([3.0])
    opt = ef.optim.SGD([variable], 1.0)
    with ef.GradientTape(persistent=True) as tape:
        y = variable * variable
    opt.apply([tape.gradient(y, variable)])
    np.testing.assert_array_equal(tape.gradient(y, variable).numpy(), [6.0])
    np.testing.assert_array_equal(variable.numpy(), [-3.0])


def test_updates_are_in_place_where_nobody_looks() -> None:
    variable = ef.Variable(np.zeros(1000))
    opt = ef.optim.Adam([variable])
    opt.apply([ef.ones(1000)])
    address = variable.numpy().__array_interface__["data"][0]
    opt.apply([ef.ones(1000)])
    assert variable.numpy().__array_interface__["data"][0] == address


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_bad_gradients_change_nothing(kind: str) -> None:
    model = ef.nn.Linear(2, 3)
    opt = getattr(ef.optim, kind)(model, 0.1)
    state = [(v, v.numpy()) for v in (*model.variables, *(v for _, v in opt.named_variables()))]
    good = ef.ones((2, 3))
    with pytest.raises(ShapeError, match=r"bias.*expected \(3,\)"):
        opt.apply([good, ef.ones(4)])
    with pytest.raises(ShapeError, match="expected 2 gradients, got 1"):
        opt.apply([good])
    with pytest.raises(DTypeError, match="complex"):
        opt.apply([good, ef.ones(3) * 1j])
    for variable, before in state:
        np.testing.assert_array_equal(variable.numpy(), before)


def test_none_leaves_a_variable_as_it_is() -> None:
    a, b = ef.Variable([1.0]), ef.Variable([1.0])
    ef.optim.SGD([a, b], 0.5).apply([None, ef.asarray([1.0])])
    assert a.tolist() == [1.0] and b.tolist() == [0.5]


def test_gradients_may_come_in_the_structure_of_the_variables() -> None:
    tree = {"b": ef.Variable(1.0), "a": ef.Variable(2.0)}
    opt = ef.optim.SGD(tree, 1.0)
    with ef.GradientTape() as tape:
        y = 3.0 * tree["a"] + 5.0 * tree["b"]
    opt.apply(tape.gradient(y, tree))
    assert float(tree["a"]) == -1 and float(tree["b"]) == -4


def test_gradients_may_come_as_a_module() -> None:
    model = ef.nn.Sequential(ef.nn.Linear(2, 3), ef.nn.BatchNorm(3))
    opt = ef.optim.SGD(model, 1.0)
    before = [v.numpy() for v in model.variables]
    with ef.GradientTape() as tape:
        y = (model([[1.0, 2.0], [0.0, 5.0], [3.0, 1.0]]) ** 3).sum()
    opt.apply(tape.gradient(y, model, unconnected="zero"))
    changed = [bool((v.numpy() != b).any()) for v, b in zip(model.variables, before, strict=True)]
    assert [c for c, v in zip(changed, model.variables, strict=True) if v.trainable][2:] == [True, True]


def test_learning_rate_is_set_and_scheduled() -> None:
    variable = ef.Variable(0.0)
    opt = ef.optim.SGD([variable], 1.0)
    opt.apply([1.0])
    opt.learning_rate = 0.5
    opt.apply([1.0])
    assert float(variable) == -1.5 and opt.learning_rate == 0.5
    opt.learning_rate = lambda step: 1.0 / (step + 1)
    assert opt.learning_rate == pytest.approx(1 / 3)
    opt.apply([1.0])
    assert float(variable) == pytest.approx(-1.5 - 1 / 3)


def test_what_cannot_be_optimized_is_refused() -> None:
    with pytest.raises(DTypeError, match="no trainable"):
        ef.optim.SGD([], 0.1)
    with pytest.raises(DTypeError, match="trainable Variables"):
        ef.optim.SGD([ef.Variable(1.0, trainable=False)], 0.1)
    with pytest.raises(DTypeError, match="floating-point"):
        ef.optim.SGD([ef.Variable(1)], 0.1)
    shared = ef.Variable(1.0)
    with pytest.raises(DTypeError, match="twice"):
        ef.optim.SGD([shared, shared], 0.1)
    with pytest.raises(ArgumentError, match="nesterov"):
        ef.optim.SGD([shared], 0.1, nesterov=True)
    with pytest.raises(ArgumentError, match="learning_rate"):
        ef.optim.SGD([shared], -0.1)


def test_clip_by_global_norm() -> None:
    tree = {"a": ef.asarray([3.0], dtype="float32"), "b": [ef.asarray([[4.0]]), None]}
    clipped, norm = ef.optim.clip_by_global_norm(tree, 1.0)
    assert norm.item() == pytest.approx(5)
    assert clipped["a"].dtype == np.float32 and clipped["b"][1] is None
    np.testing.assert_allclose(clipped["a"].numpy(), [0.6])
    np.testing.assert_allclose(clipped["b"][0].numpy(), [[0.8]])
    same, _ = ef.optim.clip_by_global_norm(tree, 10.0)
    np.testing.assert_array_equal(same["b"][0].numpy(), [[4.0]])
    with pytest.raises(ArgumentError, match="max_norm"):
        ef.optim.clip_by_global_norm(tree, 0.0)
