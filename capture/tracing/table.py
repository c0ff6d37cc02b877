"""Table: the traces of a function for the same values outside, and which of them serves a call."""

from __future__ import annotations

from typing import Any, NamedTuple

from eagerflow.capture.concrete import ConcreteFunction
from eagerflow.capture.tracing.signature import Call, TensorKey


class Trace(NamedTuple):
    """One trace: what arguments have to be for it to serve them, and what was captured."""

    form: tuple[Any, ...]
    keys: tuple[Any, ...]
    concrete: ConcreteFunction

    def serves(self, call: Call) -> bool:
        """Tell whether it may serve a call; what it took for granted of lengths is another question."""
        return self.form == call.form() and all(
            mine.serves(theirs) if type(mine) is TensorKey else mine == theirs
            for mine, theirs in zip(self.keys, call.keys, strict=True)
        )


class Table:
    """Traces.

    Attributes
    ----------
    traces : list of Trace
        Oldest first.
    quick : dict
        What serves calls with simple arguments: see `quick_key`.
    """

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.quick: dict[Any, ConcreteFunction] = {}
        self._served: dict[Any, ConcreteFunction] = {}

    def add(self, trace: Trace, call: Call) -> None:
        """Add the trace that was made for a call."""
        self.traces.append(trace)
        self._served[call.key()] = trace.concrete

    def find(self, call: Call) -> tuple[ConcreteFunction | None, str | None]:
        """Return what serves a call, or why a trace with symbolic lengths does not."""
        key = call.key()
        known = self._served.get(key)
        if known is not None:
            return known, None
        refused = None
        for trace in reversed(self.traces):
            if trace.serves(call):
                refused = trace.concrete.refuses(call.arrays())
                if refused is None:
                    self._served[key] = trace.concrete
                    return trace.concrete, None
        return None, refused

    def same(self, call: Call) -> ConcreteFunction | None:
        """Return the trace that was made for these very specs."""
        form = call.form()
        return next((t.concrete for t in self.traces if t.form == form and t.keys == call.keys), None)

    def widened(self, call: Call) -> tuple[Any, ...] | None:
        """Return keys with None for lengths that differ from those of an earlier trace, if nothing else does."""
        form = call.form()
        for trace in reversed(self.traces):
            if trace.form != form:
                continue
            keys: list[Any] = []
            for mine, theirs in zip(trace.keys, call.keys, strict=True):
                if type(mine) is TensorKey and type(theirs) is TensorKey:
                    keys.append(mine.widened(theirs))
                else:
                    keys.append(mine if mine == theirs else None)
            if None not in keys:
                return tuple(keys)
        return None
