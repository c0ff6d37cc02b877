"""Rates of devices: declared, measured, kept; limits; and the shares of logical devices."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef
import kinds  # noqa: F401 - registers the kind 'far'
import strict  # noqa: F401 - registers the kind 'strict'
from eagerflow.capture.kernels import threads
from eagerflow.devices import Link, Rates, registry
from eagerflow.devices.kind import Kind
from eagerflow.devices.speed import calibration, measuring

POSITIVE = st.floats(1e-9, 1e15)


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep calibrations of a test in a folder of its own, and forget them afterwards."""
    monkeypatch.setenv("EAGERFLOW_CACHE", str(tmp_path))
    monkeypatch.setattr(calibration, "_measured", ({}, {}))
    monkeypatch.setattr(measuring, "SECONDS", 0.002)
    monkeypatch.setattr(measuring, "SIZES", (16, 32))
    monkeypatch.setattr(measuring, "LARGE", 1 << 12)
    yield tmp_path
    calibration._load.cache_clear()


@pytest.fixture
def three() -> Iterator[None]:
    ef.config.set_logical_devices("cpu", 3)
    yield
    ef.config.set_logical_devices("cpu", 1)


def test_kinds_declare_rates_until_something_is_measured(apart: Path, three: None) -> None:
    for name in ef.devices.list():
        device = ef.devices.find(name)
        assert ef.devices.rates(name) == device.kind.rates(device.index)
    assert ef.devices.rates("cpu:2").contraction < 4e10
    assert ef.devices.link("cpu:1", "cpu:1") == Link(0.0, math.inf)
    assert ef.devices.link("cpu:0", "cpu:2") == Link(3e-5, math.inf)
    assert ef.devices.link("far:0", "far:1") == Link(2e-5, 8e9)
    assert ef.devices.link("cpu:0", "far:1") == ef.devices.link("far:1", "cpu:0") == Link(2e-5, 8e9)
    assert ef.devices.link("strict:0", "far:1") == Link(4e-5, 4e9)  # by way of the host
    with pytest.raises(ef.errors.DeviceError, match="cpu:3"):
        ef.devices.rates("cpu:3")


def test_what_is_measured_is_used_and_kept(apart: Path, three: None, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["cpu:0", "cpu:2", "far:1", "strict:0"]
    before = ef.devices.generation()
    found = ef.devices.calibrate(names)
    assert ef.devices.generation() > before
    devices = [ef.devices.find(name) for name in names]
    assert list(found.rates) == devices
    assert set(found.links) == {(a, b) for a in devices for b in devices if a is not b}
    assert not found.notes

    def seen() -> list[Any]:
        return [ef.devices.rates(d) for d in devices] + [ef.devices.link(*pair) for pair in found.links]

    expected = [*found.rates.values(), *found.links.values()]
    assert seen() == expected
    assert all(x > 0 for r in found.rates.values() for x in (r.contraction, r.arithmetic, r.bandwidth, r.launch))
    assert math.isinf(found.links[devices[0], devices[1]].bandwidth)
    # The parts of the host are alike, whatever else the machine did while one of them was measured.
    assert found.rates[devices[0]] == found.rates[devices[1]] == ef.devices.rates("cpu:1")
    assert found.links[devices[0], devices[2]] == found.links[devices[1], devices[2]]
    assert all(join.latency > 0 and join.bandwidth > 0 for join in found.links.values())
    for name in names:
        assert f"\n{name} " in str(found)
    assert "one memory" in repr(found)
    monkeypatch.setattr(calibration, "_measured", ({}, {}))  # as in another process
    assert seen() == expected
    # Others that are calibrated later do not take them away, and another number of devices is another machine.
    ef.devices.calibrate(["far:0"])
    monkeypatch.setattr(calibration, "_measured", ({}, {}))
    assert seen() == expected
    ef.config.set_logical_devices("cpu", 2)
    assert ef.devices.rates("cpu:0") == devices[0].kind.rates(0)


def test_what_takes_long_is_said(
    apart: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ef.devices.calibrate(["cpu:0", "far:0"], keep=False)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(calibration, "PATIENCE", -1.0)
    ef.devices.calibrate(["cpu:0", "far:0"], keep=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "calibrating: cpu:0",
        "calibrating: far:0",
        "calibrating: cpu:0 to far:0",
        "calibrating: far:0 to cpu:0",
    ]


def test_a_calibration_that_is_not_to_be_kept_leaves_no_file(apart: Path) -> None:
    found = ef.devices.calibrate(["cpu:0"], keep=False)
    assert ef.devices.rates("cpu:0") is found.rates[ef.devices.CPU0]
    assert not list(apart.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path, apart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EAGERFLOW_CACHE", str(tmp_path / "file"))
    found = ef.devices.calibrate(["cpu:0"])
    assert "cannot be written" in "".join(found.notes)
    assert ef.devices.rates("cpu:0") is found.rates[ef.devices.CPU0]


def damaged(text: str) -> list[bytes]:
    kept = json.loads(text)
    key = next(iter(kept["rates"]))
    return [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        text[: len(text) // 2].encode(),
        json.dumps({**kept, "surroundings": "another machine"}).encode(),
        json.dumps({**kept, "rates": {key: [1, 2, 3]}}).encode(),
        json.dumps({**kept, "rates": {key: [1, 2, 3, "x"]}}).encode(),
        json.dumps({**kept, "rates": {key: [1, 2, 3, math.nan]}}).encode(),
        json.dumps({**kept, "rates": {key: [0, 2, 3, 4]}}).encode(),
        json.dumps({**kept, "rates": 7}).encode(),
        json.dumps({**kept, "links": {key: []}}).encode(),
    ]


def test_damaged_files_are_named_and_not_used(apart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ef.devices.calibrate(["cpu:0"])
    (file,) = (apart / "rates").iterdir()
    monkeypatch.setattr(calibration, "_measured", ({}, {}))
    for data in damaged(file.read_text()):
        file.write_bytes(data)
        calibration._load.cache_clear()
        with pytest.warns(RuntimeWarning, match=file.name):
            assert ef.devices.rates("cpu:0") == ef.devices.CPU0.kind.rates(0)
    calibration._load.cache_clear()
    with pytest.warns(RuntimeWarning, match=file.name):
        found = ef.devices.calibrate(["cpu:0"])
    monkeypatch.setattr(calibration, "_measured", ({}, {}))
    assert ef.devices.rates("cpu:0") == found.rates[ef.devices.CPU0]


@given(st.lists(POSITIVE, min_size=4, max_size=4), POSITIVE, st.sampled_from([None, 1.0, 1e9]))
def test_figures_survive_being_written_and_read(figures: list[float], latency: float, bandwidth: float | None) -> None:
    found = {"a": Rates(*figures)}, {"a > b": Link(latency, bandwidth or math.inf)}
    kept = json.loads(calibration._write(*found))
    assert json.dumps(kept, allow_nan=False)
    assert Rates(*kept["rates"]["a"]) == found[0]["a"]
    assert Link(kept["links"]["a > b"][0], kept["links"]["a > b"][1] or math.inf) == found[1]["a > b"]


class Poor(Kind):
    """A kind with next to nothing."""

    name = "poor"
    array_type = type("PoorArray", (np.ndarray,), {})
    namespace = type("Nothing", (), {"add": staticmethod(np.add)})()

    def count(self) -> int:
        return 2

    def from_host(self, array: np.ndarray, index: int) -> Any:
        if index:
            raise MemoryError("no room")
        return np.array(array).view(self.array_type)

    def to_host(self, array: Any) -> np.ndarray:
        return np.array(array, subok=False)

    def __init__(self) -> None:
        self.told: list[tuple[int, int | None]] = []

    def limit_memory(self, index: int, limit: int | None) -> None:
        self.told.append((index, limit))


@pytest.fixture
def poor(monkeypatch: pytest.MonkeyPatch) -> Poor:
    monkeypatch.setattr(registry, "_kinds", dict(registry._kinds))
    kind = Poor()
    ef.devices.register(kind)
    return kind


def test_what_cannot_be_measured_is_as_declared_and_said(apart: Path, poor: Poor) -> None:
    found = ef.devices.calibrate(["cpu:0", "poor:0", "poor:1"])
    first, second = (found.rates[ef.devices.find(f"poor:{i}")] for i in (0, 1))
    declared = poor.rates(0)
    assert (first.contraction, first.arithmetic) == (declared.contraction, declared.arithmetic)
    assert first.launch != declared.launch
    assert second == declared
    text = str(found)
    assert "poor:0: contraction is as declared: AttributeError" in text and "matmul" in text
    assert "poor:1: launch is as declared: MemoryError: no room" in text
    assert "cpu:0 to poor:1 is as declared: MemoryError" in text


def test_memory_limits(poor: Poor) -> None:
    assert ef.devices.memory_limit("cpu:0") is None  # the host's memory has other uses
    assert ef.devices.memory_limit("far:1") == 2**30
    assert ef.devices.memory_limit("poor:0") is None  # it does not tell
    for name in ("cpu:0", "far:1", "poor:1"):
        default, before = ef.devices.memory_limit(name), ef.devices.generation()
        ef.config.set_memory_limit(name, 1000)
        assert ef.devices.memory_limit(name) == ef.devices.memory_limit(ef.devices.find(name)) == 1000
        assert ef.devices.generation() > before
        ef.config.set_memory_limit(name, None)
        assert ef.devices.memory_limit(name) == default
    assert poor.told == [(1, 1000), (1, None)]
    for wrong in (0, -1, 2.5, True, "1 GB"):
        with pytest.raises(ef.errors.ArgumentError, match="positive number of bytes"):
            ef.config.set_memory_limit("cpu:0", wrong)
    with pytest.raises(ef.errors.DeviceError):
        ef.config.set_memory_limit("cpu:9", 1)


def blas() -> list[int]:
    return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


SHARES = [(8, 2, 4), (8, 3, 2), (8, 8, 1), (8, 20, 1), (3, 2, 3), (1, 2, 1)]


@pytest.mark.parametrize(("had", "count", "expected"), SHARES)
def test_logical_devices_have_shares_of_blas(
    had: int, count: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eagerflow.devices.shares.cores", lambda: 8)
    assert blas(), "NumPy's BLAS is one that threadpoolctl knows"
    with threadpoolctl.threadpool_limits(had, user_api="blas"):
        before = blas()
        if had not in before:
            pytest.skip(f"BLAS was built for fewer than {had} threads")
        try:
            for _ in range(2):  # dividing anew does not divide what is divided
                ef.config.set_logical_devices("cpu", count)
                assert set(blas()) == {min(expected, *before)}
        finally:
            ef.config.set_logical_devices("cpu", 1)
        assert blas() == before


def test_logical_devices_have_shares_of_kernel_threads() -> None:
    threads.set_num_threads(8)
    try:
        for count, expected in ((2, 4), (3, 2), (20, 1), (1, 8)):
            ef.config.set_logical_devices("cpu", count)
            assert threads.count() == expected
    finally:
        ef.config.set_logical_devices("cpu", 1)
        threads.set_num_threads(None)


def test_without_threadpoolctl_a_warning_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    try:
        with pytest.warns(RuntimeWarning, match="pip install threadpoolctl") as caught:
            ef.config.set_logical_devices("cpu", 2)
        assert caught[0].filename == __file__
        assert ef.ones(2, device="cpu:1").tolist() == [1.0, 1.0]
    finally:
        ef.config.set_logical_devices("cpu", 1)


def test_the_generation_changes_with_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_kinds", dict(registry._kinds))
    seen = [ef.devices.generation()]
    ef.devices.register(Poor())
    seen.append(ef.devices.generation())
    ef.config.set_logical_devices("cpu", 2)
    seen.append(ef.devices.generation())
    ef.config.set_logical_devices("cpu", 1)
    seen.append(ef.devices.generation())
    assert seen == sorted(set(seen))
