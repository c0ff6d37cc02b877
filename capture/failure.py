"""Errors while a graph runs: the operation, what came, the scope and the user's line that made the node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eagerflow.capture.graph import Node, Special
from eagerflow.core.explain import describe, explain
from eagerflow.devices import CPU0
from eagerflow.errors import EagerflowError


def explained(node: Node, arrays: Sequence[Any], error: Exception, several: bool = False) -> Exception:
    """Return the error to raise for one that a node raised while it ran; `several`: on one of several devices."""
    place = f"\n  the operation was captured at {node.line or 'an unknown line'}"
    if node.scope:
        place += f", in {node.scope}"
    device = next((value.device for value in (*node.outputs, *node.values)), CPU0)
    if several or (device is not CPU0 and device is not None):
        place += f", and ran on {device}"
    if isinstance(node.op, Special):
        # What a callback raises belongs to the user: it passes as it is.
        came = ", ".join(describe(array) for array in arrays)
        error.add_note(f"in {node.op.name}({came}) of a captured function{place}")
        return error
    made = explain(node.op, arrays, dict(node.attrs), error)
    # In the thread of a device no line of the user's is under way.
    message = str(made).removesuffix("\n  at unknown line")
    if isinstance(made, EagerflowError):
        return type(made)(message + place)
    if message != str(made):
        made = type(made)(message)
    made.add_note(place.strip())
    return made
