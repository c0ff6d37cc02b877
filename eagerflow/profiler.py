"""Profiler: what captured functions did when, on which device, as a file that trace viewers open."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eagerflow.capture import timeline
from eagerflow.capture.timeline import Timeline
from eagerflow.errors import CaptureError
from eagerflow.late import loading

__all__ = ["trace"]

_lock = threading.Lock()


@contextmanager
def trace(path: str | os.PathLike[str]) -> Iterator[None]:
    """Write what captured functions do in this block, in any thread, to a file for a trace viewer.

    The viewer of https://ui.perfetto.dev and ``chrome://tracing`` open it. There is a row for each device and for each
    pair of devices between which values travel. On the row of a device each run of a function is a slice that holds
    one slice for each node: a click on it tells its shapes, dtypes, bytes, name scope, line and step. Arrows lead from
    where a value is sent over its transfer to where it is received. Operations outside of captured functions are not
    shown.

    Parameters
    ----------
    path : str or path
        Of the file; it is replaced if it exists. If its name ends in ``.gz``, what is written is compressed.

    Raises
    ------
    CaptureError
        Another trace is being written: there is one at a time in a process.
    OSError
        The file cannot be written.

    Notes
    -----
    The file is written at the end of the block, also if an error ends it. A run that fails is not in it. What ran is
    kept in memory until then, some hundred bytes for each node: trace a few steps, not a whole training. The format is
    the JSON object form of [1]_. Times are those at which the host gave work to a device and went on.

    References
    ----------
    .. [1] "Trace Event Format", the Chromium project's document on the format of ``chrome://tracing``.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> import eagerflow as ef
    >>> f = ef.function(lambda x: ef.sum(x @ x))
    >>> x = ef.ones((4, 4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trace.json"
    ...     with ef.profiler.trace(path):
    ...         y = f(x)
    ...     events = json.loads(path.read_text())["traceEvents"]
    >>> [event["args"]["name"] for event in events if event["name"] == "process_name"]
    ['eagerflow']
    """
    path = Path(path)
    noted = Timeline()
    with _lock:
        if timeline.current is not None:
            raise CaptureError("a trace is being written already; end it before another begins: there is one at a time")
        path.write_bytes(b"")  # what cannot be written is an error before the work, not after it
        timeline.current = noted
    began = time.perf_counter()
    try:
        yield
    finally:
        timeline.current = None
        with loading:
            from eagerflow.capture.events import write

        write(path, noted, began)
