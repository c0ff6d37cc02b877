"""Write docs/reference/api.md, the index of public names, from the package itself."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import eagerflow as ef

# Modules for those who extend eagerflow, or whose names are all in `ef` too.
INTERNAL = ("capture", "core", "weights")
PAGE = Path(__file__).resolve().parent / "reference" / "api.md"


def spaces() -> list[ModuleType]:
    """Return eagerflow and its public modules: those that list their names."""
    inner = [
        module
        for name, module in sorted(vars(ef).items())
        if inspect.ismodule(module) and name not in INTERNAL and hasattr(module, "__all__")
    ]
    return [ef, *inner]


def public(module: ModuleType) -> list[tuple[str, Any]]:
    """Return the names of a module with what they stand for, modules aside."""
    listed = getattr(module, "__all__", [name for name in dir(module) if not name.startswith("_")])
    names = sorted(listed, key=lambda name: (name.lower(), name))
    return [(name, value) for name in names if not inspect.ismodule(value := getattr(module, name))]


def line(name: str, value: Any) -> str:
    """Return the row of one name."""
    if isinstance(value, type) and issubclass(value, np.generic):
        return f"| `{name}` | dtype |"
    if isinstance(value, np.dtype):
        return f"| `{name}` | dtype |"
    if not callable(value):
        return f"| `{name}` | constant |"
    summary = (inspect.getdoc(value) or "").strip().split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    return f"| `{name}` | {summary} |"


def index() -> str:
    """Return the page."""
    parts = [
        "# Every public name",
        "",
        "`help(name)` shows parameters, errors, examples and sources. This page is written by `docs/write_index.py`.",
    ]
    for module in spaces():
        rows = [line(name, value) for name, value in public(module)]
        if rows:
            short = "ef" if module is ef else f"ef.{module.__name__.rpartition('.')[2]}"
            parts += ["", f"## `{short}`", "", "| name | |", "| --- | --- |", *rows]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(index())
