"""Pullback: the gradient function of one input, with what it asks to be kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from eagerflow.core.record import Record, attach
from eagerflow.core.tensor import Tensor, _new, wrap

if TYPE_CHECKING:
    from eagerflow.core.op import Op

_ndarray = np.ndarray

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
        ``call(g, record, position)`` with what was kept off or on the tapes that follow it.
    """

    __slots__ = ("function", "names", "op", "plain", "tracked")

    def __init__(self, function: Callable[..., Any], op: Op) -> None:
        self.function = function
        self.op = op
        first, *rest = inspect.signature(function).parameters
        if first != "g":
            raise ValueError(f"{op.name}: the first parameter of a gradient function is g, not {first!r}")
        self.names = tuple(rest)
        kept = [op.inputs.index(name) if name in op.inputs else len(op.inputs) for name in self.names]
        simple = not op.variadic and op.outputs == 1 and all(name in op.inputs or name == "out" for name in rest)
        self.tracked = self._general(True)
        if function is unchanged:
            self.plain = self.tracked = lambda g, record, position: g
        elif not rest:
            self.plain = self.tracked = lambda g, record, position: function(g)
        elif simple and len(rest) == 1:
            self.plain = _one(function, kept[0])
        elif simple and len(rest) == 2:
            self.plain = _two(function, kept[0], kept[1])
        else:
            self.plain = self._general(False)

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

    def _general(self, tracked: bool) -> Callable[[Any, Record, int], Any]:
        function, names = self.function, self.names
        return lambda g, record, position: function(
            g, *[self._find(name, record, position, tracked) for name in names]
        )

    def _find(self, name: str, record: Record, position: int, tracked: bool) -> Any:
        op = self.op
        if name == "position":
            return position
        if name == "inputs":
            return [restore(record, slot, tracked) for slot in range(len(record.parents))]
        if name == "out":
            slot = len(record.parents)
            if op.outputs == 1:
                return restore(record, slot, tracked)
            return tuple(
                wrap(data, record.device, output(record, index, data) if tracked else None)
                for index, data in enumerate(record.saved[slot])
            )
        if name in op.inputs:
            first = op.inputs.index(name)
            if first == op.fixed:
                return [restore(record, slot, tracked) for slot in range(first, len(record.parents))]
            return restore(record, first, tracked)
        if name == "shape" or name == "dtype" or name == "device":
            return getattr(record.parents[position], name)
        return record.attrs[name]


def _one(function: Callable[..., Any], slot: int) -> Callable[[Any, Record, int], Any]:
    def call(g: Any, record: Record, position: int) -> Any:
        data = record.saved[slot]
        if type(data) is not _ndarray:
            return function(g, restore(record, slot, False))
        kept: Tensor = _new(Tensor)
        kept._data = data
        kept._device = record.device
        kept._rec = None
        return function(g, kept)

    return call


def _two(function: Callable[..., Any], first: int, second: int) -> Callable[[Any, Record, int], Any]:
    def call(g: Any, record: Record, position: int) -> Any:
        return function(g, restore(record, first, False), restore(record, second, False))

    return call


def restore(record: Record, slot: int, tracked: bool) -> Any:
    """Return what was kept in `slot` as a Tensor, on its tapes if `tracked`.

    Python scalars, and inputs that the user left out (None), are kept as they are.
    """
    data = record.saved[slot]
    if data is None or isinstance(data, bool | int | float | complex):
        return data
    tensor: Tensor = _new(Tensor)
    tensor._data = data
    tensor._device = record.device
    tensor._rec = (record.parents[slot] if slot < len(record.parents) else record) if tracked else None
    return tensor


def output(record: Record, index: int, data: Any) -> Record | None:
    """Make the record of output `index` of an op with several."""
    return attach(OUTPUT, (record,), index, None, data.shape, data.dtype, record.device)


class _Output:
    """The op of records that select one of several outputs."""

    name = "output"
    no_gradient = None
    pullbacks = ()


OUTPUT: Any = _Output()
