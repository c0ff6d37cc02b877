"""Usage: how much memory the steps of a plan take that make their results anew, as those on GPUs do.

There a pool gives memory that was let go of to who asks next, so that values need none of their own beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence

from eagerflow.capture.graph import Value
from eagerflow.capture.plan.lives import Lives
from eagerflow.capture.plan.steps import Step, device_of


def allocated(steps: Sequence[Step], lives: Lives) -> tuple[int, int, int]:
    """Return the bytes that are taken at a time, at most, by what no step needs later; of all of it; and of results."""
    now = peak = whole = results = 0
    taken: dict[Value, int] = {}
    for position, step in enumerate(steps):
        node = step.node
        if step.form == "call" and not device_of(node).on_host:
            for value, spec in zip(node.outputs, step.specs, strict=True):
                whole += spec.nbytes
                if value in lives.escaping:
                    results += spec.nbytes
                else:
                    taken[value] = spec.nbytes
                    now += spec.nbytes
            peak = max(peak, now)
        for value in (*node.values, *node.outputs):
            for root in lives.roots[value]:
                if lives.last[root] <= position:
                    now -= taken.pop(root, 0)
    return peak, whole, results
