"""Batching: a function of one example runs on a stack of them, by the rule in each op's declaration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eagerflow.core.dispatch import Eager, Interpreter
from eagerflow.core.explain import user_line
from eagerflow.core.spec import Spec
from eagerflow.core.tensor import Tensor, broadcast, convert, stacked
from eagerflow.core.traced import Level, Traced, traced
from eagerflow.errors import CaptureError, ShapeError

if TYPE_CHECKING:
    from eagerflow.core.op import Op


class Batched(Traced):
    """One example, seen from inside `vmap`: ``_held`` holds all of them along its first axis."""

    __slots__ = ()

    @property
    def inside(self) -> Tensor:
        """All examples."""
        value: Tensor = self._held
        return value

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis of one example."""
        return self.inside.shape[1:]

    def concrete(self, what: str) -> Tensor:
        """Raise: inside `vmap` a value stands for many."""
        raise CaptureError(
            f"{what}, and inside vmap this value differs between examples; return it from the function instead"
            f"\n  at {user_line()}"
        )

    def numpy(self) -> Any:
        """Raise: inside `vmap` a value stands for many."""
        raise CaptureError(
            f"vmap: the function needs the values of a Tensor (for if, float(), np.asarray(), a mask as an index, …), "
            f"but it runs once for all examples; use ef.where, or loop over the examples\n  at {user_line()}"
        )

    def __repr__(self) -> str:
        return f"Tensor(shape={self.shape}, dtype={self.dtype.name}, one of {self.inside.shape[0]} in vmap)"

    __str__ = __repr__


class Batching(Level):
    """One call of `vmap`."""

    name = "vmap"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def batched(self, examples: Tensor) -> Batched:
        """Return the value that stands for each of the examples along the first axis."""
        made: Batched = traced(Batched, examples, self)
        return made

    def examples(self, value: Any) -> Tensor | None:
        """Return the examples of a value, or None if it is the same for all."""
        return value._held if isinstance(value, Batched) and value.level is self else None

    def compute(self, op: Op, inputs: list[Any], attrs: dict[str, Any]) -> Any:
        """Run the op on all examples at once."""
        found = [self.examples(x) for x in inputs]
        batched = [x is not None for x in found]
        values = [x if y is None else y for x, y in zip(inputs, found, strict=True)]
        made = rule(op)(op, self.size, values, batched, attrs)
        if op.outputs == 1:
            return self.batched(made)
        return [self.batched(y) for y in made]


def how(op: Op) -> str:
    """Return what the batching rule of an op is: ``stated``, ``leading``, ``elementwise``, ``loop``."""
    if op.batch is not None:
        return op.batch if isinstance(op.batch, str) else "stated"
    return "elementwise" if op.fusion == "elementwise" else "loop"


def rule(op: Op) -> Any:
    """Return the batching rule of an op."""
    if callable(op.batch):
        return op.batch
    return aligned if op.batch == "leading" or op.fusion == "elementwise" else loop


def aligned(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """Run an op that broadcasts: axes of length one between examples and an example of fewer axes than others."""
    most = max(x.ndim - b for x, b in zip(inputs, batched, strict=True) if isinstance(x, Tensor))
    values = []
    for x, b in zip(inputs, batched, strict=True):
        if b and x.ndim - 1 < most:
            x = x.reshape((size,) + (1,) * (most + 1 - x.ndim) + x.shape[1:])
        values.append(x)
    return op(*values, **attrs)


def repeated(x: Tensor, size: int) -> Tensor:
    """Return what all examples share as a stack of examples."""
    return broadcast(x, (size, *x.shape))


def loop(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """Run an op example by example, and stack the results."""
    specs = results_of(op, inputs, batched, attrs)
    if not size:
        several = [convert(np.zeros((0, *s.shape), s.dtype)) for s in specs]
        return several if op.outputs != 1 else several[0]
    rows = [op(*[x[i] if b else x for x, b in zip(inputs, batched, strict=True)], **attrs) for i in range(size)]
    if op.outputs == 1:
        return stacked(rows)
    return [stacked(list(column)) for column in zip(*rows, strict=True)]


def results_of(op: Op, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    """Return the specs of the results for one example.

    Raises
    ------
    CaptureError
        A shape depends on the values, so that it differs between examples.
    """
    specs = [_spec(x, b) for x, b in zip(inputs, batched, strict=True)]
    reason = ""
    try:
        inferred = op.infer(*specs, **attrs)
        several: tuple[Spec, ...] = inferred if isinstance(inferred, tuple) else (inferred,)
    except ShapeError as error:
        if "depends on" not in str(error):
            raise
        reason, several = f": {error}", ()
    if reason or any(None in spec.shape for spec in several):
        raise CaptureError(
            f"vmap: the shape of what {op.name} returns depends on the values of an example, so that several results "
            f"do not make one array{reason}; use ef.where, or loop over the examples\n  at {user_line()}"
        )
    return several


def _spec(x: Any, batched: bool) -> Any:
    return Spec(x.shape[1:] if batched else x.shape, x.dtype) if isinstance(x, Tensor) else x


class Draws(Eager):
    """Lets every example of `vmap` draw its own random numbers."""

    def __init__(self, level: Batching, outer: Interpreter) -> None:
        self.level = level
        self.outer = outer

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Draw once for each example, from as many counters."""
        if op.effects != "random":
            return self.outer.apply(op, inputs, attrs)
        if "shape" in attrs:
            drawn = self.outer.apply(op, inputs, {**attrs, "shape": (self.level.size, *attrs["shape"])})
        else:
            counters = [attrs["counter"] + (i + 1 << 64) for i in range(self.level.size)]
            drawn = stacked([self.outer.apply(op, inputs, {**attrs, "counter": c}) for c in counters])
        return self.level.batched(drawn)
