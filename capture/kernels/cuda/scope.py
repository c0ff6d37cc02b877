"""Scope: what the statements of a kernel under construction can refer to, by the names that it has there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eagerflow.capture.graph import Node, Value
from eagerflow.capture.kernels.expression import BOOL, NotFusible, Text, Writer, cast, literal, translate, widened
from eagerflow.capture.kernels.schedule import Schedule, Use
from eagerflow.core.dims import Symbolic

BAKED = frozenset((-2, -1, -0.5, 0, 0.5, 1, 2))  # numbers that are part of the text; others are arguments
LIMITS = np.iinfo(np.int64)


class Argument(NamedTuple):
    """One parameter of a kernel.

    Attributes
    ----------
    type, name : str
        As the text declares it.
    role : str
        ``"size"``, ``"number"``, ``"input"``, ``"output"``, ``"scratch"`` (a row for each team) or ``"partial"``.
    item : Any
        The number; the position of an input or output; the dtype of scratch; the node with partial results.
    """

    type: str
    name: str
    role: str
    item: Any = None


def typename(dtype: np.dtype[Any]) -> str:
    """Return the type in C++."""
    return "bool" if dtype == BOOL else str(dtype)


def pointer(dtype: np.dtype[Any], name: str, role: str, item: Any) -> Argument:
    """Return an array among the parameters."""
    const = "const " if role == "input" else ""
    return Argument(f"{const}{typename(dtype)}* __restrict__", name, role, item)


def number(value: Any, dtype: np.dtype[Any]) -> str:
    """Return a number as C++ source that has the dtype."""
    if dtype == BOOL or not isinstance(value, int | np.integer):
        return literal(value, dtype)
    value = int(value)
    if dtype.kind == "f":
        return literal(float(value), dtype)
    if value == LIMITS.min:
        return f"{dtype}({value + 1}LL - 1)"
    return f"{dtype}({value}{'ULL' if value > LIMITS.max else 'LL'})"


def translated(node: Node, texts: list[Any], writer: Writer) -> Text:
    """Write what an elementwise node computes of one element; numbers of 16 bits are computed in float32."""
    wide = widened(node)
    if wide is node:
        return translate(node, texts, writer)
    given = [
        cast(text, x.dtype) if isinstance(text, Text) else x for text, x in zip(texts, wide.inputs, strict=True)
    ]  # fmt: skip
    return cast(translate(wide, given, writer), node.outputs[0].dtype)


class Scope:
    """The names of one kernel.

    Parameters
    ----------
    schedule : Schedule
        What is computed when.

    Attributes
    ----------
    numbers : list of float
        Numbers in the group's expressions that are arguments: kernels that differ in them alone are one.
    periods : list of tuple
        Step and count of inputs that repeat.
    first_lines, row_lines : list of str
        What is read once, and once a row.
    values : dict
        Names of values with one element a row.
    kept : dict
        Names of scratch rows.
    stored : dict
        The outputs that are a value.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.numbers: list[float] = []
        self.periods: list[tuple[int, int]] = []
        self.first_lines: list[str] = []
        self.row_lines: list[str] = []
        self.values: dict[Value, str] = {}
        self.kept = {x: f"s{i}" for i, x in enumerate(schedule.kept)}
        self.stored: dict[Value, list[int]] = {}
        for i, x in enumerate(schedule.graph.outputs):
            self.stored.setdefault(self._made(x), []).append(i)
        self._temporaries = 0

    def _made(self, x: Value) -> Value:
        """Return what is computed for an output: of a view of accumulated values these."""
        return self.schedule.reduction_of(x) if self.schedule.layout(x.node) in ("column", "total") else x

    def reduction(self, node: Node) -> int:
        """Return the number of a reduction."""
        return self.schedule.reductions.index(node)

    def temporary(self) -> str:
        """Return a new name."""
        self._temporaries += 1
        return f"x{self._temporaries}"

    def writer(self) -> Writer:
        """Return what takes statements in C++."""
        return _Writer(self)

    def number(self, value: Any, dtype: np.dtype[Any]) -> str:
        """Return the source of a number among the inputs or attributes of a node."""
        if isinstance(value, Symbolic):
            raise NotFusible("a length that is not known")
        exact = dtype.kind == "f" or abs(value) < 2**53
        if dtype == BOOL or not exact or value in BAKED or not np.isfinite(value):
            return number(value, dtype)
        given = float(value)
        if given not in self.numbers:
            self.numbers.append(given)
        i = self.numbers.index(given)
        name = f"n{i}_{dtype}"
        _add(self.first_lines, f"const {dtype} {name} = {dtype}(n{i});")
        return name

    def element(self, use: Use) -> str:
        """Return the name of an input of which each row reads one element."""
        i = use.index
        kind = typename(self.schedule.graph.inputs[i].dtype)
        if use.role == "scalar":
            _add(self.first_lines, f"const {kind} a{i}_0 = a{i}[0];")
            return f"a{i}_0"
        name, place = f"a{i}_row", "row"
        if use.period is not None:
            period = self._period(use.period)
            name, place = f"a{i}_row{period}", f"(row / step{period}) % count{period}"
        _add(self.row_lines, f"const {kind} {name} = a{i}[{place}];")
        return name

    def periodic(self, use: Use) -> str:
        """Return the name of the row that is read of an input whose rows repeat."""
        assert use.period is not None
        i, period = use.index, self._period(use.period)
        kind, name = typename(self.schedule.graph.inputs[i].dtype), f"a{i}_rows{period}"
        place = f"((row / step{period}) % count{period}) * columns"
        _add(self.row_lines, f"const {kind}* __restrict__ {name} = a{i} + {place};")
        return name

    def _period(self, period: tuple[int, int]) -> int:
        if period not in self.periods:
            self.periods.append(period)
        return self.periods.index(period)


class _Writer(Writer):
    """Takes statements in C++."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope.number)
        self.scope = scope

    def name(self, source: str) -> str:
        if source.isidentifier():
            return source
        name = self.scope.temporary()
        self.lines.append(f"const auto {name} = {source};")
        return name


def _add(lines: list[str], line: str) -> None:
    if line not in lines:
        lines.append(line)
