"""The example that the README shows first does what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

for needed in ("sklearn", "matplotlib", "tqdm", "safetensors"):
    pytest.importorskip(needed)


def test_digits_reach_98_percent(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "digits.py", "--output", tmp_path / "made"],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.search(r"held-out accuracy ([\d.]+)%", done.stdout)
    assert found is not None and float(found[1]) >= 98
    assert "loss=" in done.stderr and "accuracy=" in done.stderr
    assert str(tmp_path / "made" / "digits.safetensors") in done.stdout
    assert (tmp_path / "made" / "digits.safetensors").stat().st_size > 10_000
    assert (tmp_path / "made" / "digits.png").read_bytes().startswith(b"\x89PNG")


def test_digits_can_be_read_in_two_minutes() -> None:
    assert len((ROOT / "examples" / "digits.py").read_text().splitlines()) <= 80
