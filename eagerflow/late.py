"""Late names: what a module offers and few programs need is loaded when it is first asked for, by one thread."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# Held around each import that is not at the top of a file. Threads that import parts of one package at the same time
# can wait for each other, and Python lets one of them fail then.
loading = threading.RLock()


def late(module: str, names: Mapping[str, Iterable[str]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a module that loads some of its names late (PEP 562).

    Type checkers learn of the names by imports under ``if TYPE_CHECKING``; the two belong in its ``else``.

    Parameters
    ----------
    module : str
        Name of the module.
    names : mapping of str to iterable of str
        By the module that defines them: the names.

    Returns
    -------
    tuple of callable
        The two functions.
    """
    homes = {name: home for home, found in names.items() for name in found}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        with loading:
            value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[module], name, value)  # from now on it is found without asking here
        return value

    return get, lambda: sorted({*vars(sys.modules[module]), *homes})
