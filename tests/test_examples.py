"""The NumPy-only examples: what they compute knows NumPy only, and what they find is what is known of it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

# By example: how far the gradient may be from numeric differences, and what it must find, with a tolerance.
FINDS: dict[str, tuple[float, dict[str, tuple[float, float]]]] = {
    # Durbin and Koopman, chapter 2.
    "kalman_filter": (1e-7, {"variance of the noise": (15099, 1), "of the drift": (1469.1, 0.2)}),
    # The noise that was added is 0.2.
    "gaussian_process": (1e-7, {"noise  ": (0.2, 0.02)}),
    # The steps differ a little between the two ends of a difference. Published fits: 0.55, 0.028, 0.80, 0.024.
    "predator_prey": (
        1e-4,
        {
            "birth of hares  ": (0.55, 0.02),
            "hunt by lynxes  ": (0.028, 0.002),
            "death of lynxes ": (0.80, 0.02),
            "feed on hares   ": (0.024, 0.001),
        },
    ),
    # The lightest known design.
    "truss": (1e-7, {"weight": (5060.85, 0.02)}),
}

for needed in ("matplotlib", "scipy"):
    pytest.importorskip(needed)


@pytest.mark.parametrize("name", sorted(FINDS))
def test_gradients_are_right_and_lead_to_what_is_known(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py", "--output", tmp_path / "made"],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    most, finds = FINDS[name]
    assert number("largest relative difference:", done.stdout) < most
    for text, (value, tolerance) in finds.items():
        assert abs(number(text, done.stdout) - value) <= tolerance, text
    assert str(tmp_path / "made" / f"{name}.png") in done.stdout
    assert (tmp_path / "made" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_deep_lstm_learns_the_same_eagerly_captured_and_on_several_devices(tmp_path: Path) -> None:
    found = {}
    for name, options in {
        "one device": ["--devices", "1"],
        "eagerly": ["--devices", "2", "--eager"],
        "captured": ["--devices", "3", "--trace", str(tmp_path / "steps.json")],
    }.items():
        command = [
            sys.executable,
            "-W",
            "error",
            str(EXAMPLES / "deep_lstm.py"),
            "--steps",
            "3",
            "--layers",
            "3",
            "--size",
            "32",
        ]
        done = subprocess.run(
            [*command, *options],
            capture_output=True, text=True, timeout=300, check=False,
            env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found[name] = float(done.stdout.partition(" bits a character after 3 steps")[0].split()[-1])
    assert "3 layers on cpu:0, cpu:1, cpu:2" in done.stdout
    events = json.loads((tmp_path / "steps.json").read_text())["traceEvents"]
    rows = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {"cpu:0", "cpu:1", "cpu:2"} <= rows
    assert (
        found["eagerly"] == pytest.approx(found["one device"], abs=2e-3) == pytest.approx(found["captured"], abs=2e-3)
    )


def number(before: str, text: str) -> float:
    """Return the last number that stands after some text."""
    found = re.findall(re.escape(before) + r" *(-?[\d.]+(?:e[-+]\d+)?)", text)
    assert found, f"{before!r} is not in:\n{text}"
    return float(found[-1])


@pytest.mark.parametrize("name", sorted(FINDS))
def test_only_main_knows_of_eagerflow(name: str) -> None:
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text())
    for part in tree.body:
        if not isinstance(part, ast.Import | ast.ImportFrom) and getattr(part, "name", "") != "main":
            assert not [node for node in ast.walk(part) if isinstance(node, ast.Name) and node.id == "ef"]
