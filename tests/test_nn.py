"""Modules as pytrees with names, and layers against PyTorch's."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import optree
import pytest

import eagerflow as ef
from eagerflow import nn
from eagerflow.errors import ArgumentError, DTypeError, IndexOutOfBoundsError, ShapeError


class Block(nn.Module):
    def __init__(self) -> None:
        self.scale = 2.0
        self.parts: dict[str, Any] = {"b": nn.Linear(3, 3), "a": [nn.Linear(3, 3), ef.Variable(1.0)]}
        self.count = ef.Variable(0, trainable=False)

    def __call__(self, x: Any) -> Any:
        return self.parts["b"](self.parts["a"][0](x)) * self.scale * self.parts["a"][1]


def test_names_are_attribute_paths() -> None:
    names = [name for name, _ in Block().named_variables()]
    assert names == ["parts.a.0.weight", "parts.a.0.bias", "parts.a.1", "parts.b.weight", "parts.b.bias", "count"]
    assert len(Block().trainable_variables) == 5 and len(Block().variables) == 6


def test_tree_order_is_that_of_variables() -> None:
    block = Block()
    leaves: list[Any] = optree.tree_leaves(block)
    assert [id(v) for v in leaves] == [id(v) for v in block.variables]


def test_a_module_is_a_pytree() -> None:
    block = Block()
    values: Any = optree.tree_map(lambda v: v.value * 1.0, block)
    assert isinstance(values, Block) and values.scale == 2.0
    x = np.ones((2, 3))
    np.testing.assert_array_equal(values(x).numpy(), block(x).numpy())
    emptied = optree.tree_map(lambda v: 0, block)
    assert optree.tree_structure(emptied) == optree.tree_structure(block)
    shapes = optree.tree_map(lambda zero, v: v.shape, emptied, block)
    assert shapes.parts["b"].weight == (3, 3)


def test_gradient_with_respect_to_a_module() -> None:
    model = nn.Sequential(nn.Linear(2, 3), ef.tanh, nn.Linear(3, 1))
    with ef.GradientTape() as tape:
        y = model(np.ones((4, 2))).sum()
    gradients = tape.gradient(y, model)
    assert isinstance(gradients, nn.Sequential)
    np.testing.assert_allclose(gradients.layers[2].bias.numpy(), [4.0])


def test_shared_variables_come_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model.layers[1].weight = model.layers[0].weight
    assert [name for name, _ in model.named_variables()] == ["layers.0.weight", "layers.0.bias", "layers.1.bias"]
    assert nn.count_parameters(model) == 8
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.layers[1].weight is other.layers[0].weight
        assert other.layers[0].weight is not model.layers[0].weight


def test_a_module_that_refers_to_its_holder_ends() -> None:
    outer = nn.Sequential(nn.Linear(2, 2))
    outer.layers[0].holder = outer
    assert len(outer.variables) == 2
    assert outer.train().training


def test_training_mode_reaches_every_module() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    assert model.training
    model.eval()
    np.testing.assert_array_equal(model(np.ones(100)).numpy(), 1)
    model.train()
    assert (model(np.ones(100)).numpy() == 0).any()


def test_repr_counts_parameters() -> None:
    model = nn.Sequential(nn.Conv2D(1, 4, 3, padding="same"), nn.relu, nn.Flatten(), nn.Linear(256, 10, bias=False))
    assert repr(model).splitlines() == [
        "Sequential  # 2,600 parameters",
        "  layers.0: Conv2D(1 -> 4, kernel 3x3, padding='same')  # 40 parameters",
        "  layers.1: relu",
        "  layers.2: Flatten()",
        "  layers.3: Linear(256 -> 10, bias=False)  # 2,560 parameters",
    ]


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Linear(3, 2, dtype="float32"), np.ones((2, 3))),
        (nn.Linear(3, 2, dtype="float32"), np.ones((2, 4, 3), np.uint8)),
        (nn.Conv2D(1, 2, 3, dtype="float32"), np.ones((1, 1, 4, 4))),
        (nn.BatchNorm(3, dtype="float32"), np.ones((2, 3))),
        (nn.LayerNorm(3, dtype="float32"), np.ones((2, 3))),
        (nn.Embedding(3, 2, dtype="float32"), np.array([[0, 2]])),
    ],
)
def test_layers_compute_in_their_own_dtype(layer: Any, x: np.ndarray) -> None:
    assert layer(x).dtype == np.float32


def test_the_default_dtype_is_that_of_layers() -> None:
    assert nn.Linear(1, 1).weight.dtype == np.float64
    ef.set_default_dtype("float32")
    try:
        assert nn.LSTM(1, 1).layers[0].bias.dtype == np.float32
    finally:
        ef.set_default_dtype("float64")


def test_layers_refuse_what_does_not_fit() -> None:
    cases = [
        (nn.Linear(3, 2), np.ones((2, 4)), r"Linear: expected an input of shape \(\.\.\., 3\), got \(2, 4\)"),
        (nn.BatchNorm(3), np.ones((2, 4)), "BatchNorm: expected 3 channels"),
        (nn.LayerNorm((2, 3)), np.ones((3, 2)), "LayerNorm"),
        (nn.LSTM(3, 2), np.ones((3, 2)), "LSTM"),
        (nn.LSTM(3, 2), np.ones((0, 2, 3)), "at least one step"),
        (nn.Conv2D(3, 2, 3), np.ones((1, 2, 5, 5)), "conv2d"),
    ]
    for layer, x, match in cases:
        with pytest.raises(ShapeError, match=match):
            layer(x)
    with pytest.raises(IndexOutOfBoundsError):
        nn.Embedding(3, 2)([3])
    with pytest.raises(ShapeError, match="inputs of 1 or more"):
        nn.Linear(0, 2)
    with pytest.raises(DTypeError, match="integer"):
        nn.Linear(2.5, 2)
    with pytest.raises(ArgumentError, match="rate"):
        nn.Dropout(1.0)
    with pytest.raises(DTypeError, match="called"):
        nn.Sequential(3)


def test_batch_norm_follows_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    mine, theirs = nn.BatchNorm(3), torch.nn.BatchNorm2d(3, dtype=torch.float64)
    for _ in range(3):
        x = rng.normal(2, 3, size=(5, 3, 2, 2))
        np.testing.assert_allclose(mine(x).numpy(), theirs(torch.tensor(x)).detach().numpy())
    np.testing.assert_allclose(mine.mean.numpy(), theirs.running_mean.numpy())
    np.testing.assert_allclose(mine.variance.numpy(), theirs.running_var.numpy())
    mine.eval()
    theirs.eval()
    np.testing.assert_allclose(mine(x).numpy(), theirs(torch.tensor(x)).detach().numpy())


@pytest.mark.parametrize("batch_first", [False, True])
def test_lstm_follows_pytorch(batch_first: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    size = 4
    mine = nn.LSTM(3, size, layers=2, batch_first=batch_first)
    theirs = torch.nn.LSTM(3, size, 2, batch_first=batch_first, dtype=torch.float64)
    # PyTorch's gates lie in the order input, forget, candidate, output.
    order = np.r_[0:size, size : 2 * size, 3 * size : 4 * size, 2 * size : 3 * size]
    for index, layer in enumerate(mine.layers):
        layer.weight.assign(getattr(theirs, f"weight_ih_l{index}").detach().numpy()[order].T)
        layer.recurrent.assign(getattr(theirs, f"weight_hh_l{index}").detach().numpy()[order].T)
        bias = getattr(theirs, f"bias_ih_l{index}") + getattr(theirs, f"bias_hh_l{index}")
        layer.bias.assign(bias.detach().numpy()[order])
    x = rng.normal(size=(5, 2, 3) if not batch_first else (2, 5, 3))
    h0, c0 = rng.normal(size=(2, 2, 2, size))
    with ef.GradientTape() as tape:
        out, state = mine(x, [(h0[0], c0[0]), (h0[1], c0[1])])
        loss = (out**2).sum() + (state[0][1] ** 3).sum()
    gradients = tape.gradient(loss, mine)
    x_torch = torch.tensor(x)
    other, (h, c) = theirs(x_torch, (torch.tensor(h0), torch.tensor(c0)))
    ((other**2).sum() + (c[0] ** 3).sum()).backward()
    np.testing.assert_allclose(out.numpy(), other.detach().numpy())
    np.testing.assert_allclose(state[1][0].numpy(), h[1].detach().numpy())
    np.testing.assert_allclose(state[1][1].numpy(), c[1].detach().numpy())
    for index, layer in enumerate(gradients.layers):
        expected = getattr(theirs, f"weight_hh_l{index}").grad.numpy()[order].T
        np.testing.assert_allclose(layer.recurrent.numpy(), expected)
        np.testing.assert_allclose(layer.weight.numpy(), getattr(theirs, f"weight_ih_l{index}").grad.numpy()[order].T)
        np.testing.assert_allclose(layer.bias.numpy(), getattr(theirs, f"bias_ih_l{index}").grad.numpy()[order])


def test_lstm_goes_on_from_its_state() -> None:
    layer = nn.LSTM(3, 4, layers=2)
    x = np.random.default_rng(0).normal(size=(6, 2, 3))
    whole, _ = layer(x)
    first, state = layer(x[:4])
    second, _ = layer(x[4:], state)
    np.testing.assert_allclose(np.concatenate([first.numpy(), second.numpy()]), whole.numpy())


def test_two_lstm_outputs_with_one_gradient_keep_apart() -> None:
    layer = nn.LSTM(2, 2)
    x, y = np.random.default_rng(0).normal(size=(2, 3, 1, 2))
    with ef.GradientTape(persistent=True) as tape:
        a, b = layer(x)[0].sum(), layer(y)[0].sum()
        both = a + b
    weight = layer.layers[0].recurrent
    apart = tape.gradient(a, weight).numpy() + tape.gradient(b, weight).numpy()
    np.testing.assert_allclose(tape.gradient(both, weight).numpy(), apart)


def test_dropout_keeps_the_mean_and_its_gradient() -> None:
    x = ef.asarray(np.ones(10000))
    with ef.GradientTape() as tape:
        tape.watch(x)
        y = nn.dropout(x, 0.2)
        total = y.sum()
    np.testing.assert_array_equal(tape.gradient(total, x).numpy(), y.numpy())
    assert abs(y.numpy().mean() - 1) < 0.03


def test_initializers() -> None:
    ef.random.seed(0)
    w = nn.initializers.glorot_uniform((200, 300), np.float32, 200, 300).numpy()
    bound = np.sqrt(6 / 500)
    assert w.dtype == np.float32 and abs(w).max() <= bound and abs(w).max() > 0.99 * bound
    w = nn.initializers.he_uniform((100, 50), np.float64, 100, 50).numpy()
    assert abs(w.std() - np.sqrt(2 / 100)) < 0.01
    q = nn.initializers.orthogonal((4, 16), np.float64, 4, 4).numpy().reshape(4, 4, 4)
    for block in q.transpose(1, 0, 2):
        np.testing.assert_allclose(block @ block.T, np.eye(4), atol=1e-12)
