"""Shares: how many threads of BLAS each logical device of the host has."""

from __future__ import annotations

import warnings
from typing import Any

from eagerflow.devices.cpu import cores

_limits: Any = None  # in force, until it is told to restore what was before


def share_blas(count: int) -> None:
    """Limit BLAS to one of `count` shares of the cores; for 1 give back what it had."""
    global _limits
    if _limits is not None:
        _limits.restore_original_limits()
        _limits = None
    if count == 1:
        return
    try:
        from threadpoolctl import threadpool_info, threadpool_limits
    except ImportError:
        message = (
            f"threadpoolctl is not installed, so that BLAS uses all cores for each of {count} logical devices; "
            "install it with: pip install threadpoolctl"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=3)
        return
    had = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    # Never more than the user gave it.
    _limits = threadpool_limits(min([max(1, cores() // count), *had]), user_api="blas")
