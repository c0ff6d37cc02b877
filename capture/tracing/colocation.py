"""Colocation: operations that go where another one is, wherever that will be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eagerflow.capture.graph import PARAMETER, READ
from eagerflow.capture.tracing.symbol import Symbol
from eagerflow.core import ArrayMethods
from eagerflow.core.explain import describe, user_line
from eagerflow.devices import DeviceName, device
from eagerflow.devices.request import Request, request
from eagerflow.errors import DTypeError


@contextmanager
def colocate_with(x: Any) -> Iterator[None]:
    """Run the operations of this block on the device of a Tensor or Variable.

    In eager code it is ``ef.device(x.device)``. In a captured function, where the placer may not have decided on the
    place of `x` yet, the operations go where `x` goes.

    Parameters
    ----------
    x : Tensor or Variable
        What they go with.

    Raises
    ------
    DTypeError
        It is neither Tensor nor Variable.

    Examples
    --------
    >>> import eagerflow as ef
    >>> v = ef.Variable([1.0, 2.0])
    >>> with ef.colocate_with(v):
    ...     print(ef.zeros(2).device)
    cpu:0
    """
    if not isinstance(x, ArrayMethods):
        raise DTypeError(f"colocate_with: expected a Tensor or a Variable, got {describe(x)}\n  at {user_line()}")
    node = x._held.node if isinstance(x, Symbol) else None
    if node is None or node.op is PARAMETER or node.op is READ or node.op.moves:
        with device(x.device):
            yield
        return
    frame = sys._getframe(2)
    where = frame.f_code.co_filename, frame.f_lineno
    asked = node.request
    if asked is None:
        # While a function is captured a node learns with whom it goes; afterwards it stays as it is.
        asked = node.request = Request(DeviceName(), None, where, group=object())
    with request(Request(asked.name, asked.device, where, asked.group, asked.wanted, asked.soft)):
        yield
