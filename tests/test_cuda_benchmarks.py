"""The benchmarks for GPUs: without one they say so; our contenders run on a stand-in for CuPy, the peers on the CPU."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuda_on_host
import eagerflow as ef
import fake_cupy

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("mlp", "lstm", "alexnet", "decoder")


@pytest.fixture(autouse=True)
def benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT))
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.partition(".")[0] == "benchmarks":
            del sys.modules[name]


def little(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, tuple[Any, ...]]:
    """Return a module and arguments of its contenders; the work is made small."""
    module = importlib.import_module(f"benchmarks.{name}")
    rng = np.random.default_rng(0)
    small: dict[str, dict[str, Any]] = {
        "mlp": {"SIZES": (784, 16, 16, 10)},
        "lstm": {"WORDS": 50},
        "alexnet": {
            "BATCH": 1,
            "IMAGES": module.IMAGES[:1] if name == "alexnet" else None,
            "LABELS": rng.integers(0, 10, 1),
            "DENSE": ((9216, 16), (16, 16), (16, 10)),
            "CONVS": ((8, 3, 11, 4, 2, True), (256, 8, 5, 1, 2, True), (8, 256, 3, 1, 1, False),
                      (8, 8, 3, 1, 1, False), (256, 8, 3, 1, 1, True)),
        },
        "decoder": {
            "LAYERS": 1,
            "BATCH": 2,
            "LENGTH": 16,
            "INPUTS": module.INPUTS[:2, :16] if name == "decoder" else None,
            "LABELS": module.LABELS[:2, :16] if name == "decoder" else None,
        },
    }  # fmt: skip
    for key, value in small[name].items():
        monkeypatch.setattr(module, key, value)
    return module, {"lstm": (module.Size(1, 8, 3, 2),) if name == "lstm" else (), "alexnet": (True,)}.get(name, ())


def first(value: Any) -> float:
    return float(np.asarray(value[0] if isinstance(value, tuple) else value, np.float64))


def test_without_a_gpu_there_is_nothing_to_measure(capsys: pytest.CaptureFixture[str]) -> None:
    if "cuda:0" in ef.devices.list():
        pytest.skip("there is a GPU: it would be measured")
    cuda = importlib.import_module("benchmarks.__main__")
    assert cuda.main(["cuda"]) == 0
    assert capsys.readouterr().out.startswith("no GPU: nothing to measure (CuPy ")


def test_works_can_be_sent_to_processes() -> None:
    cuda = importlib.import_module("benchmarks.cuda")
    works = list(cuda.works())
    assert len(works) == 15
    assert len({work.name for work in works}) == 15
    for work in works:
        assert list(work.contenders) == ["captured", "PyTorch", "torch.compile", "JAX jit"]
        for maker in work.contenders.values():
            pickle.loads(pickle.dumps(maker))


@pytest.mark.skipif(cuda_on_host.why_missing() is not None, reason=str(cuda_on_host.why_missing()))
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_our_contenders_run_on_a_stand_in(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy", reason="the stand-in for CuPy needs SciPy")
    cuda = importlib.import_module("benchmarks.cuda")
    module, given = little(name, monkeypatch)
    make = lambda **options: module.eagerflow(*given, **options)  # noqa: E731
    try:
        expected = make(captured=True)
        with fake_cupy.pretended() as fake:
            fake.cuda.runtime.memGetInfo = lambda: (1 << 34, 1 << 34)
            step = cuda.eagerflow(make, precision)
            for _ in range(3):
                wanted = first(expected())
                assert first(step()) == pytest.approx(wanted, rel=1e-4 if precision == "float32" else 5e-2)
    finally:
        ef.set_default_dtype("float64")


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_peers_take_dtypes(name: str, peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed")
    module, given = little(name, monkeypatch)
    losses = []
    for dtype in ("float32", "bfloat16"):
        step = module.jax_jit(*given, dtype=dtype) if peer == "jax" else module.pytorch(*given, False, dtype=dtype)
        losses.append([float(np.asarray(first_of(step()), np.float64)) for _ in range(2)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=5e-2)


def first_of(value: Any) -> Any:
    value = value[0] if isinstance(value, tuple) else value
    return value.float() if hasattr(value, "float") else value


def test_peers_without_a_gpu_are_left_out_by_reason() -> None:
    cuda = importlib.import_module("benchmarks.cuda")
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    import torch

    if torch.cuda.is_available():
        pytest.skip("PyTorch sees a GPU")
    with pytest.raises(RuntimeError, match="this PyTorch sees no GPU"):
        cuda.pytorch(lambda **_: None, "float32", False)
