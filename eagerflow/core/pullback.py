"""Pullback: the gradient function of one input, with what it asks to be kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from eagerflow.core.record import Record, attach
from eagerflow.core.tensor import Tensor, alias, wrap, zeros_like
from eagerflow.errors import GradientError

if TYPE_CHECKING:
    from eagerflow.core.op import Op

# Forms of a call on bare arrays; all but the last without another Python frame in between.
UNCHANGED, ALONE, WITH_ONE, WITH_TWO, GENERAL = range(5)


def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's parameters."""
    code = getattr(function, "__code__", None)
    if code is None:  # no plain function: a partial, or an object that can be called
        return tuple(inspect.signature(function).parameters)
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return names


def unchanged(g: Any) -> Any:
    """Return the gradient as it is: the gradient function of both inputs of a sum."""
    return g


class Pullback:
    """A gradient function, and how to call it with the things that its parameters name.

    Parameters
    ----------
    function : callable
        ``function(g, …)``; see the parameter `vjp` of `Op`.
    op : Op
        The op that it belongs to.

    Attributes
    ----------
    plain, tracked : callable
        ``call(g, record, position)`` with what was kept as Tensors, off or on the tapes that follow it.
    arrays : tuple
        How the backward walk calls the function itself with bare arrays: a form (see above), the
        function, and the slots of what it takes; for the form `GENERAL` a function like `plain`.
    """

    __slots__ = ("arrays", "function", "names", "op", "plain", "tracked")

    def __init__(self, function: Callable[..., Any], op: Op) -> None:
        self.function = function
        self.op = op
        names = parameters(function)
        if names[:1] != ("g",):
            raise ValueError(f"{op.name}: the first parameter of a gradient function is g, got {names}")
        self.names = names = names[1:]
        self.plain, self.tracked = self._general(_plain), self._general(restore)
        general = self._general(_array)
        self.arrays: tuple[int, Callable[..., Any], int, int] = (GENERAL, general, 0, 0)
        simple = not op.variadic and op.outputs == 1 and all(name in op.inputs or name == "out" for name in names)
        if not simple or len(names) > 2:
            return
        slots = [op.inputs.index(n) if n in op.inputs else len(op.inputs) for n in names]
        first, second = [*slots, 0, 0][:2]
        if function is unchanged:
            self.arrays = (UNCHANGED, function, 0, 0)
        else:
            self.arrays = ((ALONE, WITH_ONE, WITH_TWO)[len(names)], function, first, second)
        if not names:
            self.plain = self.tracked = lambda g, record, position: function(g)

    def keeps(self, count: int) -> set[int]:
        """Return the slots that are kept: inputs by position, the output at `count`."""
        slots = {count} if "out" in self.names else set()
        if "inputs" in self.names:
            return slots | set(range(count))
        op = self.op
        for name in self.names:
            if name in op.inputs:
                first = op.inputs.index(name)
                slots |= set(range(first, count)) if first == op.fixed else {first}
        return slots

    def _general(self, get: Callable[[Record, int], Any]) -> Callable[[Any, Record, int], Any]:
        function = self.function
        getters = [self._getter(name, get) for name in self.names]
        # Most take one to three things; a list of them costs as much as a small kernel.
        if len(getters) == 1:
            (a,) = getters
            return lambda g, record, position: function(g, a(record, position))
        if len(getters) == 2:
            a, b = getters
            return lambda g, record, position: function(g, a(record, position), b(record, position))
        if len(getters) == 3:
            a, b, c = getters
            return lambda g, record, position: function(
                g, a(record, position), b(record, position), c(record, position)
            )
        return lambda g, record, position: function(g, *[getter(record, position) for getter in getters])

    def _getter(self, name: str, get: Callable[[Record, int], Any]) -> Callable[[Record, int], Any]:
        """Return what finds the thing that a parameter names."""
        op = self.op
        if name == "position":
            return lambda record, position: position
        if name == "inputs":
            return lambda record, position: [get(record, slot) for slot in range(len(record.parents))]
        if name == "out" and op.outputs == 1:
            return lambda record, position: get(record, len(record.parents))
        if name == "out":
            return lambda record, position: tuple(
                [_output_of(record, index, data, get) for index, data in enumerate(record.saved[-1])]
            )
        if name in op.inputs:
            first = op.inputs.index(name)
            if first == op.fixed:
                return lambda record, position: [get(record, slot) for slot in range(first, len(record.parents))]
            if get is _array:
                return lambda record, position: record.saved[first]
            return lambda record, position: get(record, first)
        if name == "shape":
            return lambda record, position: record.parents[position].shape  # type: ignore[union-attr]
        if name in ("dtype", "device"):
            return lambda record, position: getattr(record.parents[position], name)
        return lambda record, position: record.attrs[name]


class Refusal:
    """Stands for the gradient function of an input that has a derivative, but no rule for it.

    A zero in its place would be wrong, so a gradient that would have to pass through it raises.
    """

    __slots__ = ("arrays", "name", "op", "reason")

    def __init__(self, reason: str, op: Op, name: str) -> None:
        self.reason = reason
        self.op = op
        self.name = name
        self.arrays: tuple[int, Callable[..., Any], int, int] = (GENERAL, self.plain, 0, 0)

    def plain(self, g: Any, record: Record, position: int) -> Any:
        """Raise if a gradient would reach a source this way; otherwise give zero."""
        parent = record.parents[position]
        assert parent is not None
        if leads_to_source(parent):
            raise self.error("gradient")
        return zeros_like(parent)

    tracked = plain

    def error(self, what: str) -> GradientError:
        """Return the error for a gradient or a derivative that would be lost."""
        return GradientError(
            f"{self.op.name}: there is no {what} with respect to {self.name}: {self.reason}; "
            f"pass it through ef.stop_gradient if it is meant as a constant"
        )


def leads_to_source(record: Record) -> bool:
    """Tell whether gradients pass from a record to a source: not through ``stop_gradient``, for one."""
    seen: set[Record] = set()
    stack = [record]
    while stack:
        record = stack.pop()
        op: Any = record.op
        if op is None:
            return True
        for position, parent in enumerate(record.parents):
            if parent is not None and parent not in seen and (op is OUTPUT or op.passes(position)):
                seen.add(parent)
                stack.append(parent)
    return False


def _array(record: Record, slot: int) -> Any:
    """Return what was kept in `slot` as it was kept."""
    return record.saved[slot]


def _plain(record: Record, slot: int) -> Any:
    """Return what was kept in `slot` as a Tensor that no tape follows."""
    data = record.saved[slot]
    if data is None or isinstance(data, bool | int | float | complex):
        return data
    return wrap(data, record.device) if type(data) is np.ndarray else _handle(data, record.device, None)


def _handle(data: Any, device: Any, record: Record | None) -> Tensor:
    """Return what was kept as a Tensor: records of traced values keep Tensors, the others arrays."""
    return alias(data, record) if isinstance(data, Tensor) else wrap(data, device, record)


def restore(record: Record, slot: int, tracked: bool = True) -> Any:
    """Return what was kept in `slot` as a Tensor, on its tapes if `tracked`.

    Python scalars, and inputs that the user left out (None), are kept as they are.
    """
    kept = _plain(record, slot)
    if tracked and isinstance(kept, Tensor):
        kept._rec = record.parents[slot] if slot < len(record.parents) else record
    return kept


def _output_of(record: Record, index: int, data: Any, get: Callable[[Record, int], Any]) -> Any:
    if get is _array:
        return data
    return _handle(data, record.device, output(record, index, data) if get is restore else None)


def output(record: Record, index: int, data: Any) -> Record | None:
    """Make the record of output `index` of an op with several."""
    return attach(OUTPUT, (record,), index, None, data.shape, data.dtype, record.device)


class _Output:
    """The op of records that select one of several outputs."""

    name = "output"
    no_gradient = None
    pullbacks = ()


OUTPUT: Any = _Output()
