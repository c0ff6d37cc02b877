"""Lives: which memory each value of a plan may see, and until which step that memory is needed."""

from __future__ import annotations

from collections.abc import Sequence

from eagerflow.capture.graph import ASSIGN, CALLBACK, FUSED, RECV, SEND, Value
from eagerflow.capture.plan.steps import Step

_NEVER = -1
_END = 1 << 60


class Lives:
    """Roots and last uses.

    The root of a value is the value whose memory it lies in: itself, or what it is a view of. Kernels that are not
    known to give new memory may return one of their inputs, so their results have several roots.

    Attributes
    ----------
    roots : dict
        Per value its roots.
    last : dict
        Per root the last step that uses it or a view of it.
    escaping : set
        Roots whose memory others see after the run, or while it goes on: of what is returned or sent.
    """

    def __init__(self, steps: Sequence[Step], outputs: Sequence[Value]) -> None:
        self.roots: dict[Value, frozenset[Value]] = {}
        self.last: dict[Value, int] = {}
        self.last_name: dict[Value, int] = {}  # of the value itself: its name is not needed afterwards
        for position, step in enumerate(steps):
            node = step.node
            above: frozenset[Value] = frozenset().union(*[self.roots[x] for x in node.values])
            for x in node.values:
                self.last_name[x] = position
            for root in above:
                self.last[root] = position
            for value in node.outputs:
                self.last_name[value] = position
                if step.form == "view":
                    self.roots[value] = above
                elif step.form == "call" and not _makes_new(step):
                    self.roots[value] = above | {value}
                else:
                    self.roots[value] = frozenset({value})
                for root in self.roots[value]:
                    self.last[root] = max(self.last.get(root, _NEVER), position)
        self.escaping: set[Value] = set()
        for value in outputs:
            self.last_name[value] = _END
        # Whoever gets what was sent reads it when he likes: also after this run.
        for value in (*outputs, *[x for step in steps if step.node.op is SEND for x in step.node.values]):
            for root in self.roots[value]:
                self.last[root] = _END
                self.escaping.add(root)


def _makes_new(step: Step) -> bool:
    op = step.node.op
    return op in (CALLBACK, ASSIGN, FUSED, RECV) or op.fusion in ("contraction", "reduction") or op.effects == "random"
