"""Constants in graphs: made, and looked into."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.capture.graph import CONSTANT, Node, Value
from eagerflow.core.spec import Spec

_NUMBERS = (bool, int, float, complex)
_FEW = 4096  # elements of constants that are looked into


def constant(array: Any, device: Any, like: Node) -> Node:
    """Return a node that gives an array, at the place of another node."""
    spec = Spec(array.shape, array.dtype)
    return Node(CONSTANT, (), {"value": array}, [(spec, device)], (), like.scope, like.line, like.request)


def array_of(x: Any) -> np.ndarray | None:
    """Return the array of a small constant in host memory, or None."""
    if not isinstance(x, Value) or x.node.op is not CONSTANT:
        return None
    array = x.node.attrs["value"]
    return array if isinstance(array, np.ndarray) and array.size <= _FEW else None


def number_of(x: Any) -> Any:
    """Return the Python number that an input is, or that all elements of a constant are; None if there is none."""
    if type(x) in _NUMBERS:
        return x
    array = array_of(x)
    if array is None or not array.size or array.dtype.kind not in "biufc":
        return None
    first = array.flat[0]
    # By their bytes: 0.0 and -0.0 are not the same number.
    if array.size > 1 and array.tobytes() != np.broadcast_to(first, array.shape).tobytes():
        return None
    return first.item()
