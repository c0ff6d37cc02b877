"""Traced values: Tensors that a transformation follows, and the levels at which transformations nest.

`vmap` and forward mode run a function on stand-ins for its arguments. A stand-in is a Tensor whose
slots hold something else: in place of an array what the transformation keeps (`_held`), in place of
a device the level that made it (`_device`). Operations on it go to that level, the innermost
first, which hands what is inside on to the level below, and so down to plain Tensors.

Having the slots of Tensors lets a handle change between the two: where code assigns a traced
value to a part of a plain Tensor, the handle becomes a traced value (see `tensor.become`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from eagerflow.core.explain import user_line
from eagerflow.core.leaving import own
from eagerflow.core.pullback import output
from eagerflow.core.record import Record, attach, recorders
from eagerflow.core.tensor import Tensor, _new, alias
from eagerflow.devices import Device
from eagerflow.errors import CaptureError

if TYPE_CHECKING:
    from eagerflow.core.op import Op

# The levels that run in this thread or task, outermost first.
levels: ContextVar[tuple[Level, ...]] = ContextVar("levels", default=())

# The capture that runs in this thread or task: what has state (Variables, random generators) asks it first.
capturing: ContextVar[Any] = ContextVar("capturing", default=None)


def depth() -> int:
    """Return how deep the innermost level is that runs here; 0 if none does."""
    running = levels.get()
    return running[-1].depth if running else 0


class Level:
    """One transformation of one call, while it runs.

    Attributes
    ----------
    depth : int
        Larger is further inside.
    alive : bool
        Whether it still runs; a value that outlives its level is an error.
    """

    name = "a transformation"

    def __init__(self) -> None:
        self.depth = depth() + 1
        self.alive = False

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Run in this block."""
        token = levels.set((*levels.get(), self))
        before, self.alive = self.alive, True
        try:
            yield self
        except ValueError as error:
            hidden = own(error)
            if hidden is None:
                raise
            raise hidden from None
        finally:
            self.alive = before
            levels.reset(token)

    def apply(self, op: Op, inputs: list[Any], attrs: dict[str, Any]) -> Any:
        """Run `op` on inputs of which at least one is of this level, and record it on the tapes inside."""
        if not self.alive:
            raise CaptureError(
                f"{op.name}: a value of {self.name} is used after {self.name} has ended; "
                f"return it from the function instead of keeping it elsewhere\n  at {user_line()}"
            )
        made = self.compute(op, [self._below(x) for x in inputs], attrs)
        results = list(made) if op.outputs != 1 else [made]
        self._record(op, inputs, results, attrs)
        return tuple(results) if op.outputs != 1 else results[0]

    def compute(self, op: Op, inputs: list[Any], attrs: dict[str, Any]) -> Any:
        """Return the traced result of `op`, a tuple of several."""
        raise NotImplementedError

    def _below(self, x: Any) -> Any:
        """Return an input without records of tapes that were opened inside this level: they follow the traced value."""
        if not isinstance(x, Tensor) or x._rec is None or (isinstance(x, Traced) and x.level is self):
            return x
        return alias(x) if all(tape.depth >= self.depth for tape in recorders(x._rec.tape)) else x

    def _record(self, op: Op, inputs: list[Any], results: list[Any], attrs: dict[str, Any]) -> None:
        """Record the op on tapes that were opened inside this level; the others see what it is made of."""
        parents = tuple([self.followed(x) for x in inputs])
        mask = sum(1 << i for i, parent in enumerate(parents) if parent is not None)
        if not mask:
            return
        keep = op.keep(mask, len(inputs))
        saved: list[Any] = [
            (alias(x) if isinstance(x, Tensor) else x) if wanted else None
            for x, wanted in zip(inputs, keep, strict=False)
        ]
        device = results[0].device
        if op.outputs == 1:
            saved.append(alias(results[0]) if keep[-1] else None)
            shape, dtype = results[0].shape, results[0].dtype
            results[0]._rec = attach(op.on_tensors, parents, tuple(saved), attrs, shape, dtype, device)
            return
        saved.append(tuple([alias(x) for x in results]) if keep[-1] else None)
        shapes, dtypes = tuple([x.shape for x in results]), tuple([x.dtype for x in results])
        record = attach(op.on_tensors, parents, tuple(saved), attrs, shapes, dtypes, device)
        if record is not None:
            for index, result in enumerate(results):
                result._rec = output(record, index, result)

    def followed(self, x: Any) -> Record | None:
        """Return the record of an input if a tape that was opened inside this level follows it."""
        record = x._rec if isinstance(x, Tensor) else None
        if record is None or not any(tape.depth >= self.depth for tape in recorders(record.tape)):
            return None
        return record


class Traced(Tensor):
    """A value that a level follows. What is inside is for the level to know."""

    __slots__ = ()

    @property
    def level(self) -> Level:
        """The level that made it."""
        made: Any = self._device
        return made

    @property
    def inside(self) -> Tensor:
        """A value of the level below that has this one's dtype and device."""
        raise NotImplementedError

    def concrete(self, what: str) -> Tensor:
        """Return the plain value, without what the transformation adds to it.

        Raises
        ------
        CaptureError
            There is no one value: this one stands for several, and `what` needs one.
        """
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the elements."""
        return self.inside.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.size * self.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def device(self) -> Device:
        """The device that holds the values."""
        return self.inside.device

    def __len__(self) -> int:
        shape = self.shape
        return shape[0] if shape else super().__len__()

    def __copy__(self) -> Tensor:
        return alias(self, self._rec)

    def __deepcopy__(self, memo: object) -> Tensor:
        return alias(self)

    def __reduce__(self) -> tuple[Any, ...]:
        raise CaptureError(f"pickle: a value inside {self.level.name} cannot be pickled\n  at {user_line()}")

    def __dlpack__(self, **options: Any) -> Any:
        raise CaptureError(f"dlpack: a value inside {self.level.name} cannot be exported\n  at {user_line()}")


def traced(kind: type[Traced], data: Any, level: Level) -> Any:
    """Make a traced value, without a check."""
    made: Any = _new(kind)
    made._held = data
    made._device = level
    made._rec = None
    return made


def innermost(inputs: Any) -> Level | None:
    """Return the innermost level among the values, or None if all are plain."""
    found: Level | None = None
    for x in inputs:
        if isinstance(x, Traced) and (found is None or x.level.depth > found.depth):
            found = x.level
    return found
