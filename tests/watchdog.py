"""A watchdog: what should end ends, or the test fails and says where every thread is."""

from __future__ import annotations

import faulthandler
import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

SECONDS = 60.0


def ends(function: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Return what a function returns; fail if that takes too long."""
    found: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(function())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="watched", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        faulthandler.dump_traceback(sys.__stderr__)
        pytest.fail(f"it did not end within {seconds:g} s")
    if raised:
        raise raised[0]
    return found[0]


def watched(test: Callable[..., Any]) -> Any:
    """Let a test fail instead of hanging."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        ends(lambda: test(*args, **kwargs))

    return run
