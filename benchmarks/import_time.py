"""What `import eagerflow` adds to `import numpy`, each in a fresh interpreter."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

LIMIT = 0.150
_PROGRAM = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def once(modules: str) -> float:
    """Return the seconds of one import in a new process."""
    command = [sys.executable, "-c", _PROGRAM.format(modules)]
    # Installed packages come with their bytecode; this must not be compiled anew each time.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(out.stdout)


def medians(rounds: int = 9) -> tuple[float, float]:
    """Return the median seconds of importing NumPy, and of importing NumPy and eagerflow."""
    once("numpy, eagerflow")  # writes the bytecode
    plain, both = [], []
    for _ in range(rounds):
        plain.append(once("numpy"))
        both.append(once("numpy, eagerflow"))
    return statistics.median(plain), statistics.median(both)


def sentence() -> str:
    """Return what was measured, beside the target."""
    plain, both = medians()
    added = both - plain
    word = "met" if added <= LIMIT else "missed"
    return (
        f"`import eagerflow` adds {added * 1e3:.0f} ms to the {plain * 1e3:.0f} ms of `import numpy` "
        f"(at most {LIMIT * 1e3:.0f} ms: {word})."
    )
