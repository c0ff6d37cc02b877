"""The folder that survives the process: compiled kernels and measured rates are kept there."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def folder(name: str) -> Path:
    """Return where things of one sort are kept: in ``$EAGERFLOW_CACHE``, or in the user's cache folder."""
    chosen = os.environ.get("EAGERFLOW_CACHE")
    if chosen:
        return Path(chosen, name)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "eagerflow" / name


def write(path: Path, data: bytes) -> bool:
    """Write a file that others may read or write at the same time; tell whether it worked."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError:
        return False
    return True
