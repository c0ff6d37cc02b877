"""The benchmarks measure what they say: contenders in processes of their own, that agree, against targets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contenders import broken, counting, dying, parting, silent

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def benchmarks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Also in the processes that are started, which get this path.
    monkeypatch.syspath_prepend(str(ROOT))
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.partition(".")[0] == "benchmarks":
            del sys.modules[name]


def measured(contenders: dict[str, Any], targets: tuple[Any, ...] = (), rounds: int = 2) -> Any:
    from benchmarks.harness import measure
    from benchmarks.work import Work

    return measure(Work("a work", contenders, list(targets)), seconds=0, least_rounds=rounds)


# --- measuring -----------------------------------------------------------------------------------


def test_who_fails_dies_or_differs_is_left_out_by_name_with_the_reason() -> None:
    result = measured(
        {
            "first": partial(counting, 0.0),
            "second": partial(counting, 0.0),
            "silent": silent,
            "broken": broken,
            "dying": dying,
            "different": partial(counting, 1.0),
            "differs later": partial(parting, 3),
        }
    )
    assert set(result.medians) == {"first", "second", "silent"}
    assert all(median > 0 for median in result.medians.values())
    assert result.left_out["broken"] == "RuntimeError: no such step"
    assert result.left_out["dying"] == "its process ended with exit code 3: the last words"
    assert "differs from the first contender by 3.3e-01" in result.left_out["different"]
    assert "at the end: differs" in result.left_out["differs later"]


def test_a_peer_that_is_not_installed_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import work

    monkeypatch.setitem(work.PEERS, "nowhere", "no_such_package_anywhere")
    result = measured({"first": partial(counting, 0.0), "nowhere": dying})
    assert result.left_out == {"nowhere": "not installed"}


# --- what is said about it -----------------------------------------------------------------------


def made(medians: dict[str, float], *targets: Any, **more: Any) -> Any:
    from benchmarks.work import Result, Work

    return Result(Work("a work", {}, list(targets)), medians, **more)


def test_verdicts() -> None:
    from benchmarks.report import verdicts
    from benchmarks.work import AUTOGRAD, BEST, CAPTURED, COPY, EAGERFLOW, JAX, NUMPY, TORCH, Target

    result = made(
        {NUMPY: 2e-3, EAGERFLOW: 3e-3, CAPTURED: 1e-3, TORCH: 4e-3, JAX: 1.25e-3, COPY: 5e-4},
        Target(NUMPY, 1.0),
        Target(BEST, 1 / 1.3),
        Target(COPY, 1.6),
        Target(COPY, None),
        Target(TORCH, 0.75, of=EAGERFLOW),
        Target(AUTOGRAD, 1.0),
    )
    assert verdicts(result) == [
        "captured 0.50× NumPy by hand (at most 1×: met)",
        "captured 0.80× JAX jit, the best peer (at most 0.769×: **missed**)",
        "captured 2.00× copy by all cores (500 µs) (at most 1.6×: **missed**)",
        "captured 2.00× copy by all cores (500 µs)",
        "eagerflow 0.75× PyTorch (at most 0.75×: met)",
    ]


def test_targets_without_a_measurement_are_no_success() -> None:
    from benchmarks.report import verdicts
    from benchmarks.work import BEST, CAPTURED, NUMPY, TORCH, Target

    lost = made({NUMPY: 1.0, TORCH: 1.0}, Target(NUMPY, 1.0), Target(BEST, 1.0), left_out={CAPTURED: "it broke"})
    assert verdicts(lost) == ["captured: not measured (it broke)"]
    assert verdicts(made({CAPTURED: 1.0}, Target(NUMPY, 1.0), Target(BEST, 1.0))) == []  # nobody to compare with


def test_tables() -> None:
    from benchmarks.report import tables
    from benchmarks.work import AUTOGRAD, CAPTURED, NUMPY, TORCH, TORCH_COMPILED, Target

    first = made(
        {NUMPY: 2e-3, CAPTURED: 1.5e-6, TORCH: 3.0},
        Target(NUMPY, 1.0),
        compiling={CAPTURED: 2.0, TORCH: 0.1},
        left_out={TORCH_COMPILED: "Error: a | b", AUTOGRAD: "not installed"},
    )
    assert tables([first, made({NUMPY: 1.0})]).splitlines() == [
        "| work | NumPy by hand | captured | PyTorch |",
        "| --- | --- | --- | --- |",
        "| a work | 2 ms | 1.5 µs | 3 s |",
        "| a work | 1 s |  |  |",
        "",
        "| work | target | compiling, where above 1 s |",
        "| --- | --- | --- |",
        "| a work | captured 0.00× NumPy by hand (at most 1×: met) | captured 2 s |",
        "",
        "Left out:",
        "",
        "- a work: torch.compile: Error: a | b",
        "",
        "Not installed here: autograd.",
    ]


def test_results_go_between_the_markers(tmp_path: Path) -> None:
    from benchmarks.__main__ import include

    page, other = tmp_path / "page.md", tmp_path / "other.md"
    page.write_text("before\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nafter\n")
    other.write_text("no markers\n")
    include(page, "new\n")
    include(other, "new\n")
    assert page.read_text() == "before\n<!-- benchmarks -->\n\nnew\n\n<!-- /benchmarks -->\nafter\n"
    assert other.read_text() == "no markers\n"


# --- the work itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["small_ops", "fused", "mlp", "lstm", "alexnet", "decoder"])
def test_every_work_can_be_sent_to_a_process_and_has_our_contenders(file: str) -> None:
    import importlib
    import pickle

    from benchmarks.work import CAPTURED, EAGERFLOW, PEERS

    works = list(importlib.import_module(f"benchmarks.{file}").works())
    assert works
    for work in works:
        assert {EAGERFLOW, CAPTURED} <= work.contenders.keys()
        assert work.targets
        # The peers that a target can be missed against are those that a package is known of.
        known = {"NumPy by hand", EAGERFLOW, CAPTURED, "copy by all cores", "copy by one thread", *PEERS}
        assert work.contenders.keys() <= known
        for maker in work.contenders.values():
            pickle.loads(pickle.dumps(maker))


@pytest.mark.parametrize("program", ["chain", "mixed"])
def test_small_ops_agree_with_those_by_hand(program: str) -> None:
    from benchmarks import small_ops

    for backward in (False, True):
        expected = small_ops.numpy_by_hand(program, backward)()
        for captured in (False, True):
            got = small_ops.eagerflow(program, backward, captured)()
            for mine, theirs in zip(_many(got), _many(expected), strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-14)


def test_mlp_agrees_with_the_one_by_hand() -> None:
    from benchmarks import mlp

    expected = mlp.by_hand()
    steps = [mlp.eagerflow(captured=False), mlp.eagerflow(captured=True)]
    for _ in range(3):
        loss = float(np.asarray(expected()))
        for step in steps:
            assert float(np.asarray(step())) == pytest.approx(loss, rel=1e-5)


def _many(value: Any) -> list[np.ndarray]:
    return [np.asarray(one) for one in (value if isinstance(value, tuple) else (value,))]
