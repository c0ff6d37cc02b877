"""The C extension `_fast`, where it could be built; without it everything works, more slowly.

``EAGERFLOW_PURE_PYTHON=1`` in the environment leaves it out.
"""

from __future__ import annotations

import importlib
import os
from typing import Any


def _load() -> Any:
    if os.environ.get("EAGERFLOW_PURE_PYTHON"):
        return None
    try:
        return importlib.import_module("eagerflow.core._fast")
    except ModuleNotFoundError:  # there was no compiler where eagerflow was installed
        return None


fast: Any = _load()
