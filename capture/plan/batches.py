"""Batches: fused groups that follow each other and do not depend on each other run as one call, shared between threads.

The update of all parameters by an optimizer is such a batch: many small groups, of the same kernel mostly.
"""

from __future__ import annotations

from collections.abc import Sequence

from eagerflow.capture.graph import ASSIGN, CONSTANT, LENGTH, PARAMETER, READ, Node, Special, Value
from eagerflow.capture.kernels import batched
from eagerflow.capture.plan.steps import Step

# attrs: groups (their nodes). Several fused groups at once: their inputs and results one after the other.
BATCH = Special("fused_batch", outputs=-1)
_SOURCES = (PARAMETER, CONSTANT, LENGTH, READ)


def joined(steps: Sequence[Step], outputs: Sequence[Value]) -> tuple[list[Step], list[Value]]:
    """Return the steps with a single one for each batch, and the values that are the outputs then."""
    joiner = _Joiner()
    for step in steps:
        joiner.add(step)
    joiner.flush()
    return joiner.steps, [joiner.now.get(value, value) for value in outputs]


class _Joiner:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.now: dict[Value, Value] = {}
        self.waiting: list[Step] = []  # groups
        self.made: set[Value] = set()  # by them
        self.assignments: list[Step] = []  # of what they make

    def add(self, step: Step) -> None:
        node = step.node
        needs = any(x in self.made for x in node.values)
        if step.kernel is not None and step.form == "out" and step.kernel.flat and step.kernel.plain:
            if needs:
                self.flush()
            self.waiting.append(step)
            self.made.update(node.outputs)
        elif node.op is ASSIGN and needs:
            self.assignments.append(step)
        elif node.op is READ and any(node.attrs["variable"] is a.node.attrs["variable"] for a in self.assignments):
            self.flush()
            self.steps.append(step)
        elif node.op in _SOURCES:
            self.steps.append(step)
        else:
            self.flush()
            self.steps.append(self._moved(step))

    def flush(self) -> None:
        waiting, assignments = self.waiting, self.assignments
        self.waiting, self.assignments = [], []
        self.made.clear()
        if len(waiting) > 1:
            self.steps.append(self._batch(waiting))
        else:
            self.steps.extend([self._moved(step) for step in waiting])
        self.steps.extend([self._moved(step) for step in assignments])

    def _moved(self, step: Step) -> Step:
        """Let a step read what batches make."""
        node = step.node
        if any(x in self.now for x in node.values):
            step.node = node.replaced([self.now.get(x, x) if isinstance(x, Value) else x for x in node.inputs])
            self.now.update(zip(node.outputs, step.node.outputs, strict=True))
        return step

    def _batch(self, steps: list[Step]) -> Step:
        before = [value for step in steps for value in step.node.outputs]
        nodes = [self._moved(step).node for step in steps]
        inputs = [x for node in nodes for x in node.inputs]
        results = [(value.spec, value.device) for node in nodes for value in node.outputs]
        node = Node(BATCH, inputs, {"groups": nodes}, results, (), nodes[0].scope, nodes[0].line, nodes[0].request)
        self.now.update(zip([value for one in nodes for value in one.outputs], node.outputs, strict=True))
        self.now.update(zip(before, node.outputs, strict=True))
        made = Step.__new__(Step)
        made.node, made.form, made.attrs = node, "out", {}
        made.specs = [spec for step in steps for spec in step.specs]
        made.kernel = steps[0].kernel
        made.call = batched([step.kernel for step in steps])
        made.parts = [(len(one.inputs), len(one.outputs)) for one in nodes]
        overwrite = []
        first = 0
        for step in steps:
            for allowed in step.may_overwrite:
                # Groups run at the same time: what two of them read, none may write to.
                mine = [first + i for i in allowed if sum(x is step.node.inputs[i] for x in inputs) == 1]
                overwrite.append(frozenset(mine))
            first += len(step.node.inputs)
        made.may_overwrite = tuple(overwrite)
        return made
