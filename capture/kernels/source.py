"""Source: the text of the function that computes a group, for Numba to compile."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.capture.graph import Node, Value
from eagerflow.capture.kernels.expression import BOOL, Text, Writer, cast, literal, translate
from eagerflow.capture.kernels.schedule import Schedule, Use
from eagerflow.core.dims import Symbolic

BLOCK = 1024  # so many numbers are added up before the sum is added to the total
BAKED = frozenset((-2, -1, -0.5, 0, 0.5, 1, 2))  # numbers that are part of the text; others are arguments

# Adding and multiplying in any order, so that loops of them vectorize.
ANY_ORDER = """

@intrinsic
def {name}(typing, a, b):
    def code(context, builder, signature, values):
        return builder.{llvm}(*values, flags=("reassoc",))

    return a(a, a), code
"""
# A view without the checks and the counting of references that come with slices: it compiles and runs faster.
PART = """

@intrinsic
def part(typing, array, low, length):
    def code(context, builder, signature, values):
        kind = signature.args[0]
        whole = context.make_array(kind)(context, builder, values[0])
        made = context.make_array(kind)(context, builder)
        start = builder.gep(whole.data, [values[1]])
        stride = builder.extract_value(whole.strides, 0)
        populate_array(made, start, [values[2]], [stride], whole.itemsize, None, None)
        return made._getvalue()

    return array(array, types.int64, types.int64), code
"""
EXTREME = """

@intrinsic
def {name}(typing, a, b):
    def code(context, builder, signature, values):
        kind = values[0].type
        function = builder.module.declare_intrinsic("llvm.{llvm}", (kind,), ir.FunctionType(kind, (kind, kind)))
        return builder.call(function, values)

    return a(a, a), code
"""


class Source:
    """Writes the function of one group.

    Parameters
    ----------
    schedule : Schedule
        What is computed when.

    Attributes
    ----------
    text : str
        A module with the function ``kernel``.
    numbers : list of float
        Numbers in the group's expressions that are arguments: kernels that differ in them alone are one.
    periods : list of tuple
        Step and count of inputs that repeat.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.graph = schedule.graph
        self.lines: list[str] = []
        self.depth = 1
        self.numbers: list[float] = []
        self.number_lines: list[str] = []
        self.periods: list[tuple[int, int]] = []
        self.functions: set[str] = set()
        self.helpers: set[str] = set()
        self.names: dict[Value, str] = {}
        self.scalars: dict[str, str] = {}  # arguments of one element, by what they are read from
        self.row_lines: list[str] = []
        self.temporaries = 0
        self.kept_names = {x: f"s{i}" for i, x in enumerate(schedule.kept)}
        self.output_names: dict[Value, str] = {}
        for i, x in enumerate(self.graph.outputs):
            self.output_names.setdefault(self._made(x), f"o{i}")
        self._write()
        self.text = self._module()

    # The text around.

    def _module(self) -> str:
        lines = [
            "import numpy as np",
            "from llvmlite import ir",
            "from numba import types",
            "from numba.extending import intrinsic",
            "from numba.np.arrayobj import populate_array",
        ]
        if self.functions:
            lines.append(f"from eagerflow.capture.kernels.scalar_math import {', '.join(sorted(self.functions))}")
        body = "\n".join(self.lines)
        dtypes = sorted({name for name in _DTYPES if f"{name}(" in body})
        lines += [f"{name} = np.{name}" for name in dtypes]
        text = "\n".join(lines) + "\n" + PART
        for name, llvm in (("plus", "fadd"), ("times", "fmul")):
            if f"{name}(" in body:
                text += ANY_ORDER.format(name=name, llvm=llvm)
        for name, llvm in (("greatest", "maximum"), ("least", "minimum")):
            if f"{name}(" in body:
                text += EXTREME.format(name=name, llvm=llvm)
        return f"{text}\n\ndef kernel({', '.join(self.arguments())}):\n{body}\n"

    def arguments(self) -> list[str]:
        """Return the names of the arguments."""
        sizes = [] if self.schedule.flat else ["columns"]
        sizes += [name for i in range(len(self.periods)) for name in (f"step{i}", f"count{i}")]
        given = [f"a{i}" for i in range(len(self.graph.inputs))]
        made = [f"o{i}" for i in range(len(self.graph.outputs))]
        return ["start", "stop", *sizes, *(["numbers"] if self.numbers else []), *given, *made]

    def _put(self, *lines: str) -> None:
        self.lines += ["    " * self.depth + line for line in lines]

    def _number(self, value: Any, dtype: np.dtype[Any]) -> str:
        """Return the source of a number among the inputs or attributes of a node."""
        exact = not isinstance(value, Symbolic) and (dtype.kind == "f" or abs(value) < 2**53)
        if dtype == BOOL or not exact or value in BAKED or not np.isfinite(value):
            return literal(value, dtype)
        number = float(value)
        if number not in self.numbers:
            self.numbers.append(number)
        name = f"n{self.numbers.index(number)}_{dtype}"
        line = f"{name} = {dtype}(numbers[{self.numbers.index(number)}])"
        if line not in self.number_lines:
            self.number_lines.append(line)
        return name

    # The function.

    def _write(self) -> None:
        schedule = self.schedule
        self._start_accumulators()
        for x, name in self.kept_names.items():
            self._put(f"{name} = np.empty({'stop - start' if schedule.flat else 'columns'}, {_array_dtype(x.dtype)})")
        before = len(self.lines)
        if not schedule.flat:
            self._put("for row in range(start, stop):")
            self.depth += 1
        first = len(self.lines)
        for level in range(schedule.passes + 1):
            for node in schedule.rows_at(level):
                self._row_node(node)
            if level < schedule.passes:
                self._pass(level)
        for i, x in enumerate(self.graph.outputs):
            if schedule.layout(x.node) == "row":
                self._put(f"o{i}[{'row'}] = {self.names[x]}")
        for node in schedule.reductions:
            if schedule.layout(node) == "total" and schedule.space.layout(node.inputs[0]) == "row":
                self._accumulate_row_value(node)
        self.lines[first:first] = ["    " * self.depth + line for line in self.row_lines]
        self.depth = 1
        self.lines[before:before] = ["    " + line for line in (*self.number_lines, *self.scalars.values())]
        self._finish_totals()
        for i, x in enumerate(self.graph.outputs):  # a value that is returned twice
            if self.output_names[self._made(x)] != f"o{i}" and schedule.layout(x.node) != "row":
                self._copy(self.output_names[self._made(x)], f"o{i}", schedule.layout(x.node))

    def _made(self, x: Value) -> Value:
        """Return what is computed for an output: of a view of accumulated values these."""
        return self.schedule.reduction_of(x) if self.schedule.layout(x.node) in ("column", "total") else x

    def _copy(self, source: str, target: str, layout: str) -> None:
        bounds = "1" if layout == "total" else "columns" if layout == "column" else None
        low, high = ("0", bounds) if bounds else ("start", "stop") if self.schedule.flat else (
            "start * columns", "stop * columns")  # fmt: skip
        self._put(f"{target}[{low}:{high}] = {source}[{low}:{high}]")

    # Reductions.

    def _index(self, node: Node) -> int:
        return self.schedule.reductions.index(node)

    def _accumulated(self, node: Node) -> np.dtype[Any]:
        """Return the dtype in which a reduction goes on."""
        return node.outputs[0].dtype

    def _neutral(self, node: Node) -> str:
        """Return what a reduction starts with."""
        name, dtype = node.op.name, self._accumulated(node)
        if dtype == BOOL:
            return "True" if name in ("all", "min") else "False"
        if name in ("max", "min"):
            if dtype.kind == "f":
                return literal(-np.inf if name == "max" else np.inf, dtype)
            bounds = np.iinfo(dtype)
            return literal(bounds.min if name == "max" else bounds.max, dtype)
        return literal(1 if name == "prod" else 0, dtype)

    def _item(self, node: Node, text: Text) -> str:
        """Return one element as a reduction takes it."""
        if node.op.name in ("any", "all"):
            return cast(text, BOOL).source
        if node.op.name == "count_nonzero":
            text = cast(text, BOOL)
        return cast(text, self._accumulated(node)).source

    def _combined(self, node: Node, total: str, item: str, own_row: bool) -> str:
        """Return the source of the total with one more element; `own_row`: elements come along the row."""
        name, dtype = node.op.name, self._accumulated(node)
        if dtype == BOOL:
            return f"{total} & {item}" if name in ("all", "min", "prod") else f"{total} | {item}"
        if name in ("max", "min"):
            if own_row and dtype.kind == "f":
                return f"{'greatest' if name == 'max' else 'least'}({total}, {item})"
            function = "maximum" if name == "max" else "minimum"
            self.functions.add(function)
            return f"{function}({total}, {item})"
        sign = "*" if name == "prod" else "+"
        if own_row and dtype.kind == "f":
            return f"{'times' if sign == '*' else 'plus'}({total}, {item})"
        return f"{total} {sign} {item}" if dtype.kind == "f" else f"{dtype}({total} {sign} {item})"

    def _is_sum(self, node: Node) -> bool:
        return node.op.name in ("sum", "mean") and self._accumulated(node).kind == "f"

    def _start_accumulators(self) -> None:
        """Start what is accumulated over rows."""
        for node in self.schedule.reductions:
            i, layout, start = self._index(node), self.schedule.layout(node), self._neutral(node)
            if layout == "column":
                self._put(f"{self.output_names[node.outputs[0]]}[:] = {start}")
            elif layout == "total":
                self._put(f"total{i} = {start}")
                if self._is_sum(node):
                    self._put(f"lost{i} = {start}")

    def _carry(self, i: int, item: str) -> None:
        """Add to a total, and what rounding loses to what was lost."""
        self._put(
            f"next{i} = total{i} + {item}",
            f"part{i} = next{i} - total{i}",
            f"lost{i} += (total{i} - (next{i} - part{i})) + ({item} - part{i})",
            f"total{i} = next{i}",
        )

    def _settled(self, node: Node) -> str:
        """Return the source of a finished total."""
        i = self._index(node)
        if not self._is_sum(node):
            return f"total{i}"
        # Not a number beside a total that is one, or infinite: there was an overflow or infinity.
        self._put(f"lost{i} += total{i}")
        self.functions.add("where")
        return f"where(lost{i} == lost{i}, lost{i}, total{i})"

    def _accumulate_row_value(self, node: Node) -> None:
        i, item = self._index(node), self._item(node, self._row_text(node.inputs[0], node))
        if self._is_sum(node):
            self._put(f"item{i} = {item}")
            self._carry(i, f"item{i}")
        else:
            self._put(f"total{i} = {self._combined(node, f'total{i}', item, False)}")

    def _finish_totals(self) -> None:
        for node in self.schedule.reductions:
            if self.schedule.layout(node) == "total":
                self._put(f"{self.output_names[node.outputs[0]]}[0] = {self._settled(node)}")

    # Once a row.

    def _row_text(self, x: Any, node: Node) -> Any:
        """Return an input of a node that is computed once a row, or what a column sees of a row's value."""
        if not isinstance(x, Value):
            return x
        if self.schedule.given(x):
            return Text(self._scalar(self.schedule.use(x, node)), x.dtype)
        return Text(self.names[x], x.dtype)

    def _scalar(self, use: Use) -> str:
        """Return the name of an input of which each row reads one element."""
        if use.role == "scalar":
            name = f"a{use.index}_0"
            self.scalars[name] = f"{name} = a{use.index}[0]"
            return name
        name, line = f"a{use.index}_row", f"a{use.index}_row = a{use.index}[row]"
        if use.period is not None:
            i = self._period(use.period)
            name = f"a{use.index}_row{i}"
            line = f"{name} = a{use.index}[(row // step{i}) % count{i}]"
        if line not in self.row_lines:
            self.row_lines.append(line)
        return name

    def _period(self, period: tuple[int, int]) -> int:
        if period not in self.periods:
            self.periods.append(period)
        return self.periods.index(period)

    def _row_node(self, node: Node) -> None:
        """Compute a value with one element a row."""
        writer = Writer(self._number)
        writer.count = self.temporaries
        texts = [self._row_text(x, node) for x in node.inputs]
        text = translate(node, texts, writer) if self.schedule.space.kind(node) == "elementwise" else texts[0]
        self._use(writer)
        self._name(node.outputs[0], text.source)

    def _use(self, writer: Writer) -> None:
        self.temporaries = writer.count
        self.functions |= writer.functions
        self._put(*writer.lines)

    def _name(self, x: Value, source: str) -> None:
        name = f"v{len(self.names)}"
        self.names[x] = name
        self._put(f"{name} = {source}")

    # Passes over a row.

    def _pass(self, level: int) -> None:
        """Go over the row once."""
        schedule = self.schedule
        nodes = schedule.at(level)
        if not nodes:
            return
        reductions = [node for node in nodes if node in schedule.reductions]
        over_row = [node for node in reductions if schedule.layout(node) in ("row", "total")]
        sums = [node for node in over_row if self._is_sum(node)]
        for node in over_row:
            if schedule.layout(node) == "row":
                self._put(f"total{self._index(node)} = {self._neutral(node)}")
                if node in sums:
                    self._put(f"lost{self._index(node)} = {self._neutral(node)}")
        length = "stop - start" if schedule.flat else "columns"
        outer = self.depth
        if sums:
            self._put(f"for block in range(0, {length}, {BLOCK}):")
            self.depth += 1
            self._put(f"length = min({BLOCK}, {length} - block)")
            self._put(*[f"sum{self._index(node)} = {self._neutral(node)}" for node in sums])
        else:
            self._put("block = 0", f"length = {length}")
        self._put(f"low = {'start' if schedule.flat else 'row * columns'} + block")
        body = _Body(self, level)
        body.write(nodes)
        self._put(*body.slices, "for column in range(length):")
        self.depth += 1
        self._put(*body.writer.lines)
        self.depth -= 1
        for node in sums:
            self._carry(self._index(node), f"sum{self._index(node)}")
        self.depth = outer
        for node in over_row:
            if schedule.layout(node) == "row":
                source = self._settled(node)
                if node.op.name == "mean":
                    dtype = self._accumulated(node)
                    source = f"{source} / {dtype}(columns)"
                self._name(node.outputs[0], source)


class _Body:
    """The statements for one column in one pass."""

    def __init__(self, source: Source, level: int) -> None:
        self.source = source
        self.schedule = source.schedule
        self.level = level
        self.slices: list[str] = []
        self.writer = Writer(source._number)
        self.texts: dict[Any, Text] = {}

    def write(self, nodes: list[Node]) -> None:
        """Write what these nodes need, then what they store: what is read may be overwritten by it."""
        source, stores = self.source, []
        for node in nodes:
            if node in self.schedule.reductions:
                text = self.input(node.inputs[0], node)
                stores.append(self.accumulate(node, text))
            else:
                x = node.outputs[0]
                text = self.value(x)
                name = source.output_names[x] if x in self.schedule.stored else source.kept_names[x]
                stores.append(f"{self.slice(name, name in source.kept_names.values())}[column] = {text.source}")
        self.writer.lines += stores
        source.functions |= self.writer.functions

    def accumulate(self, node: Node, text: Text) -> str:
        source, i = self.source, self.source._index(node)
        item = source._item(node, text)
        if self.schedule.layout(node) == "column":
            name = f"{self.slice(source.output_names[node.outputs[0]], True)}[column]"
            return f"{name} = {source._combined(node, name, item, False)}"
        name = f"{'sum' if source._is_sum(node) else 'total'}{i}"
        return f"{name} = {source._combined(node, name, item, True)}"

    def slice(self, name: str, every_row: bool, base: str = "low") -> str:
        """Return the name of the part of an array that the loop goes over."""
        part = f"{name}_part"
        low = "block" if every_row else base
        line = f"{part} = part({name}, {low}, length)"
        if line not in self.slices:
            self.slices.append(line)
        return part

    def load(self, part: str, dtype: np.dtype[Any]) -> Text:
        if part not in self.texts:
            self.writer.lines.append(f"{part}_x = {part}[column]")
            self.texts[part] = Text(f"{part}_x", dtype)
        return self.texts[part]

    def input(self, x: Any, node: Node) -> Any:
        """Return an input of a node."""
        if not isinstance(x, Value):
            return x
        if self.schedule.given(x):
            return self.read(self.schedule.use(x, node), x)
        return self.value(x)

    def read(self, use: Use, x: Value) -> Text:
        """Return what one column reads of an input of the group."""
        if use.role in ("scalar", "row", "periodic row"):
            return Text(self.source._scalar(use), x.dtype)
        name = f"a{use.index}"
        if use.role == "periodic":
            assert use.period is not None
            i = self.source._period(use.period)
            line = f"{name}_low{i} = ((row // step{i}) % count{i}) * columns + block"
            if line not in self.slices:
                self.slices.append(line)
                self.slices.append(f"{name}_rows{i} = part({name}, {name}_low{i}, length)")
            return self.load(f"{name}_rows{i}", x.dtype)
        if use.role == "column":
            self.slices.append(f"{name}_all = part({name}, block, length)")
            self.slices = list(dict.fromkeys(self.slices))
            return self.load(f"{name}_all", x.dtype)
        return self.load(self.slice(name, False), x.dtype)

    def value(self, x: Value) -> Text:
        """Return a value of the group: a name, read or computed here."""
        if x in self.texts:
            return self.texts[x]
        source, schedule = self.source, self.schedule
        if schedule.layout(x.node) == "row":
            return Text(source.names[x], x.dtype)
        if schedule.level[x] < self.level and (x in schedule.stored or x in source.kept_names):
            name = source.output_names[x] if x in schedule.stored else source.kept_names[x]
            text = self.load(self.slice(name, name in source.kept_names.values()), x.dtype)
        else:
            texts = [self.input(item, x.node) for item in x.node.inputs]
            text = translate(x.node, texts, self.writer) if schedule.space.kind(x.node) == "elementwise" else texts[0]
            if not text.source.isidentifier():
                source.temporaries += 1
                name = f"x{source.temporaries}"
                self.writer.lines.append(f"{name} = {text.source}")
                text = Text(name, x.dtype)
        self.texts[x] = text
        return text


_DTYPES = (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
)  # fmt: skip


def _array_dtype(dtype: np.dtype[Any]) -> str:
    return "np.bool_" if dtype == BOOL else f"np.{dtype}"
