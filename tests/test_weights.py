"""Weights files: what goes in comes out, and what does not fit changes nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import eagerflow as ef
from eagerflow.errors import CheckpointError, DTypeError, MissingExtraError

pytest.importorskip("safetensors")


def model(seed: int, hidden: int = 5, dtype: Any = "float32") -> ef.nn.Sequential:
    ef.random.seed(seed)
    return ef.nn.Sequential(ef.nn.Linear(3, hidden, dtype=dtype), ef.nn.BatchNorm(hidden), ef.nn.Linear(hidden, 2))


def values(tree: Any) -> list[np.ndarray]:
    return [v.numpy().copy() for v in tree.variables]


def test_a_model_and_its_optimizer_come_back(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    a, b = model(0), model(1)
    opt_a, opt_b = ef.optim.Adam(a, 0.25), ef.optim.Adam(b, 0.5)
    for _ in range(3):
        opt_a.apply([ef.ones(v.shape, dtype=v.dtype) for v in a.trainable_variables])
    ef.save_weights(path, {"model": a, "optimizer": opt_a})
    ef.load_weights(path, {"model": b, "optimizer": opt_b})
    for x, y in zip(values(a), values(b), strict=True):
        np.testing.assert_array_equal(x, y)
    assert opt_b.iterations == 3 and opt_b.learning_rate == 0.25
    gradients = [ef.ones(v.shape, dtype=v.dtype) for v in a.trainable_variables]
    opt_a.apply(gradients)
    opt_b.apply(gradients)
    for x, y in zip(values(a), values(b), strict=True):
        np.testing.assert_array_equal(x, y)
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint16", "int64", "float16", "bfloat16", "float32", "float64", "complex64"]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_dtypes_and_shapes(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    value = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(np.dtype(dtype))
    path = tmp_path / "w"
    ef.save_weights(path, [ef.Variable(value)])
    other = ef.Variable(np.zeros(shape, np.dtype(dtype)))
    ef.load_weights(path, [other])
    assert other.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(other.numpy(), value)


def test_the_file_is_read_by_safetensors(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    ef.save_weights(tmp_path / "w", model(0))
    found = load_file(tmp_path / "w")
    assert sorted(found) == sorted(name for name, _ in model(0).named_variables())
    assert found["layers.0.weight"].shape == (3, 5)


def test_loaded_values_are_ours_to_write(tmp_path: Path) -> None:
    v = ef.Variable([1.0, 2.0])
    ef.save_weights(tmp_path / "w", [v])
    ef.load_weights(tmp_path / "w", [v])
    v.assign_add([1.0, 1.0])
    assert v.tolist() == [2.0, 3.0]


def refused(path: Path, tree: Any, match: str) -> None:
    before = values(tree)
    with pytest.raises(CheckpointError, match=match) as error:
        ef.load_weights(path, tree)
    assert str(path) in str(error.value)
    for x, y in zip(values(tree), before, strict=True):
        np.testing.assert_array_equal(x, y)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w"
    ef.save_weights(path, model(0))
    refused(path, model(1, hidden=6), r"layers.0.weight: expected float32\[3, 6\], got float32\[3, 5\]")
    refused(path, model(1, dtype="float64"), r"layers.0.weight: expected float64\[3, 5\], got float32")
    refused(
        path, ef.nn.Linear(3, 5), r"missing in the file: weight, bias\n  not expected: layers.0.bias, layers.0.weight"
    )


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w"
    ef.save_weights(path, model(0))
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[:4],
        whole[:40],
        whole[:-7],
        whole + b"more",
        b"\xff" * 8 + whole[8:],
        b"not a file" * 9,
    ):
        path.write_bytes(damaged)
        refused(path, model(1), "damaged")
    with pytest.raises(FileNotFoundError):
        ef.load_weights(tmp_path / "absent", model(1))


def test_an_old_file_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w"
    ef.save_weights(path, model(0))
    before = path.read_bytes()

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(CheckpointError, match="disk full"):
        ef.save_weights(path, model(1))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


def test_what_cannot_be_saved_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match="expected Variables"):
        ef.save_weights(tmp_path / "w", {"x": 3})
    with pytest.raises(CheckpointError, match="no Variable"):
        ef.save_weights(tmp_path / "w", [])
    with pytest.raises(CheckpointError, match=r"two Variables have the name 'a\.b'"):
        ef.save_weights(tmp_path / "w", {"a.b": ef.Variable(1.0), "a": {"b": ef.Variable(2.0)}})
    with pytest.raises(DTypeError, match="float8_e3m4"):
        ef.save_weights(tmp_path / "w", [ef.Variable(np.zeros(2, ml_dtypes.float8_e3m4))])
    with pytest.raises(CheckpointError, match="cannot write"):
        ef.save_weights(tmp_path / "no" / "w", [ef.Variable(1.0)])


def test_a_missing_extra_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'eagerflow\[io\]'"):
        ef.save_weights(tmp_path / "w", [ef.Variable(1.0)])
