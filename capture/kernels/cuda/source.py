"""Source: the text of the CUDA kernels that compute a group.

The schedule is that of the CPU's kernels. There are three forms. A flat group is one range of elements. Rows are each
gone over by a team of threads: a part of a warp, or a whole block. Sums over rows without anything a row go down the
columns, a warp for 32 of them. Every thread reads and writes the same columns of a row in all passes, so that what one
pass stores the next may read.

What is added up over several blocks is written to partial results, which a second kernel adds up in their order: the
same numbers in every run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eagerflow.capture.graph import Node, Value
from eagerflow.capture.kernels.cuda.functions import program
from eagerflow.capture.kernels.expression import BOOL, NotFusible, Text, Writer, cast, literal, translate
from eagerflow.capture.kernels.schedule import Schedule, Use
from eagerflow.capture.kernels.space import REDUCTIONS
from eagerflow.core.dims import Symbolic

BAKED = frozenset((-2, -1, -0.5, 0, 0.5, 1, 2))  # numbers that are part of the text; others are arguments
WIDE = 1 << 30  # elements from which on positions take 64 bits

_COMBINE = {
    "sum": "Sum", "mean": "Sum", "count_nonzero": "Sum", "prod": "Product", "max": "Maximum", "min": "Minimum",
    "any": "Or", "all": "And",
}  # fmt: skip
_OF_BOOLEANS = {"Sum": "Or", "Maximum": "Or", "Product": "And", "Minimum": "And"}


class Argument(NamedTuple):
    """One parameter of a kernel.

    Attributes
    ----------
    type, name : str
        As the text declares it.
    role : str
        ``"size"``, ``"number"``, ``"input"``, ``"output"``, ``"scratch"`` (a row for each team) or ``"partial"``.
    item : Any
        The number, the position of the input or output, or the dtype of scratch and partial results.
    """

    type: str
    name: str
    role: str
    item: Any = None


def typename(dtype: np.dtype[Any]) -> str:
    """Return the type in C++."""
    return "bool" if dtype == BOOL else str(dtype)


def number(value: Any, dtype: np.dtype[Any]) -> str:
    """Return a number as C++ source that has the dtype."""
    if dtype == BOOL or not isinstance(value, int | np.integer):
        return literal(value, dtype)
    value = int(value)
    if dtype.kind == "f":
        return literal(float(value), dtype)
    if value == np.iinfo(np.int64).min:
        return f"{dtype}({value + 1}LL - 1)"
    return f"{dtype}({value}{'ULL' if value > np.iinfo(np.int64).max else 'LL'})"


class Source:
    """Writes the kernels of one group.

    Parameters
    ----------
    schedule : Schedule
        What is computed when.
    name : str
        What the kernel is called.

    Attributes
    ----------
    form : str
        ``"flat"``, ``"rows"`` or ``"columns"``.
    kernels : str
        The text of the kernels without what comes before all.
    text : str
        The whole program.
    arguments : list of Argument
        What the kernel takes.
    finish : list of Argument
        What the kernel takes that adds up partial results; empty where there is none.

    Raises
    ------
    NotFusible
        A number among the inputs is not known.
    """

    def __init__(self, schedule: Schedule, name: str = "kernel") -> None:
        self.schedule = schedule
        self.graph = schedule.graph
        self.name = name
        self.form = _form(schedule)
        self.index = "long long" if schedule.rows * schedule.columns >= WIDE else "int"
        self.lines: list[str] = []
        self.depth = 1
        self.numbers: list[float] = []
        self.number_lines: list[str] = []
        self.periods: list[tuple[int, int]] = []
        self.names: dict[Value, str] = {}
        self.scalars: dict[str, str] = {}  # arguments of one element, by what they are read from
        self.row_lines: list[str] = []
        self.temporaries = 0
        self.kept_names = {x: f"s{i}" for i, x in enumerate(schedule.kept)}
        self.stored_as: dict[Value, list[int]] = {}
        for i, x in enumerate(self.graph.outputs):
            self.stored_as.setdefault(self._made(x), []).append(i)
        self.partial = [node for node in schedule.reductions if schedule.layout(node) in ("column", "total")]
        self._write()
        self.arguments = self._arguments()
        self.finish = self._finish_arguments()
        self.kernels = self._kernel(self.name, self.arguments, self.lines)
        if self.finish:
            self.kernels += "\n" + self._kernel(f"{self.name}_finish", self.finish, self._finishing())
        self.text = program(self.kernels)

    def _made(self, x: Value) -> Value:
        """Return what is computed for an output: of a view of accumulated values these."""
        return self.schedule.reduction_of(x) if self.schedule.layout(x.node) in ("column", "total") else x

    # The text around.

    def _arguments(self) -> list[Argument]:
        sizes = ["rows", "columns", *(["team"] if self.form == "rows" else [])]
        sizes += [name for i in range(len(self.periods)) for name in (f"step{i}", f"count{i}")]
        given, made = self.graph.inputs, self.graph.outputs
        return [
            *[Argument("int" if name == "team" else self.index, name, "size") for name in sizes],
            *[Argument("double", f"n{i}", "number", item) for i, item in enumerate(self.numbers)],
            *[
                Argument(f"const {typename(x.dtype)}* __restrict__", f"a{i}", "input", i)
                for i, x in enumerate(given)
            ],
            *[
                _pointer(x.dtype, f"o{i}", "output", i)
                for i, x in enumerate(made)
                if self.schedule.layout(x.node) in ("full", "row")
            ],
            *[_pointer(x.dtype, name, "scratch", x.dtype) for x, name in self.kept_names.items()],
            *self._partials(),
        ]  # fmt: skip

    def _partials(self) -> list[Argument]:
        return [
            _pointer(self._accumulated(node), f"p{self._index(node)}", "partial", node) for node in self.partial
        ]  # fmt: skip

    def _finish_arguments(self) -> list[Argument]:
        if not self.partial:
            return []
        return [
            *[Argument("long long", name, "size") for name in ("rows", "columns", "slots", "blocks")],
            *self._partials(),
            *[
                _pointer(self.graph.outputs[i].dtype, f"o{i}", "output", i)
                for node in self.partial
                for i in self.stored_as[node.outputs[0]]
            ],
        ]

    def _kernel(self, name: str, arguments: list[Argument], lines: list[str]) -> str:
        parameters = ", ".join(f"{item.type} {item.name}" for item in arguments)
        return f'extern "C" __global__ void {name}({parameters}) {{\n' + "\n".join(lines) + "\n}\n"

    def _put(self, *lines: str) -> None:
        self.lines += ["    " * self.depth + line for line in lines]

    def _open(self, line: str) -> None:
        self._put(line + " {")
        self.depth += 1

    def _close(self) -> None:
        self.depth -= 1
        self._put("}")

    def _number(self, value: Any, dtype: np.dtype[Any]) -> str:
        """Return the source of a number among the inputs or attributes of a node."""
        if isinstance(value, Symbolic):
            raise NotFusible("a length that is not known")
        exact = dtype.kind == "f" or abs(value) < 2**53
        if dtype == BOOL or not exact or value in BAKED or not np.isfinite(value):
            return number(value, dtype)
        given = float(value)
        if given not in self.numbers:
            self.numbers.append(given)
        name = f"n{self.numbers.index(given)}_{dtype}"
        line = f"const {dtype} {name} = {dtype}(n{self.numbers.index(given)});"
        if line not in self.number_lines:
            self.number_lines.append(line)
        return name

    # The kernel.

    def _write(self) -> None:
        getattr(self, f"_start_{self.form}")()
        start = len(self.lines)
        for node in self.partial:
            self._start_partial(node)
        inner = {"flat": self._flat, "rows": self._rows, "columns": self._columns}[self.form]
        inner()
        for node in self.partial:
            self._end_partial(node)
        self.depth = 1
        self.lines[start:start] = ["    " + line for line in (*self.number_lines, *self.scalars.values())]

    def _start_flat(self) -> None:
        self._put("const int thread = threadIdx.x;")

    def _flat(self) -> None:
        self._open(
            f"for ({self.index} i = blockIdx.x * ({self.index})blockDim.x + thread; i < columns;"
            f" i += gridDim.x * ({self.index})blockDim.x)"
        )
        self._body(0)
        self._close()

    def _start_columns(self) -> None:
        self._put(
            "const int thread = threadIdx.x, warps = blockDim.x / 32;",
            f"const {self.index} column = blockIdx.x * ({self.index})32 + thread % 32;",
        )

    def _columns(self) -> None:
        self._open(
            f"if (column < columns) for ({self.index} row = blockIdx.y * warps + thread / 32; row < rows;"
            " row += gridDim.y * warps)"
        )
        self._in_row(lambda: self._body(0))
        self._close()

    def _start_rows(self) -> None:
        self._put(
            "const int thread = threadIdx.x, lane = thread % team, teams = blockDim.x / team;",
            "const long long slot = blockIdx.x * (long long)teams + thread / team;",
            *[f"{name} += slot * columns;" for name in self.kept_names.values()],
            *[f"p{self._index(node)} += slot * columns;" for node in self.partial if self.is_column(node)],
        )

    def _rows(self) -> None:
        # Teams without a row go along: threads of a warp exchange numbers together.
        self._open(
            f"for ({self.index} first = blockIdx.x * ({self.index})teams; first < rows;"
            f" first += gridDim.x * ({self.index})teams)"
        )
        self._put(
            f"const bool active = first + thread / team < rows;",
            f"const {self.index} row = active ? first + thread / team : rows - 1, width = active ? columns : 0;",
        )
        self._in_row(self._passes)
        self._close()

    def _in_row(self, write: Any) -> None:
        """Write what is done for a row, after what is read once for it."""
        first = len(self.lines)
        if self.form == "columns":
            for node in self.schedule.rows_at(0):
                self._row_node(node)
        write()
        self.lines[first:first] = ["    " * self.depth + line for line in self.row_lines]

    def _passes(self) -> None:
        schedule = self.schedule
        for level in range(schedule.passes + 1):
            for node in schedule.rows_at(level):
                self._row_node(node)
            if level < schedule.passes:
                self._pass(level)
        once = [(i, x) for i, x in enumerate(self.graph.outputs) if schedule.layout(x.node) == "row"]
        totals = [node for node in self.partial if schedule.space.layout(node.inputs[0]) == "row"]
        if once or totals:
            self._open("if (active && lane == 0)")
            self._put(*[f"o{i}[row] = {self.names[x]};" for i, x in once])
            for node in totals:
                self._accumulate(node, self._row_text(node.inputs[0], node))
            self._close()

    # Reductions.

    def _index(self, node: Node) -> int:
        return self.schedule.reductions.index(node)

    def is_column(self, node: Node) -> bool:
        return self.schedule.layout(node) == "column"

    def _in_memory(self, node: Node) -> bool:
        """Tell whether a team has the partial results of all columns."""
        return self.form == "rows" and self.is_column(node)

    def _accumulated(self, node: Node) -> np.dtype[Any]:
        """Return the dtype in which a reduction goes on."""
        return node.outputs[0].dtype

    def _neutral(self, node: Node) -> str:
        """Return what a reduction starts with."""
        name, dtype = node.op.name, self._accumulated(node)
        if dtype == BOOL:
            return "true" if self._combination(node) == "And" else "false"
        if name in ("max", "min"):
            if dtype.kind == "f":
                return number(-np.inf if name == "max" else np.inf, dtype)
            bounds = np.iinfo(dtype)
            return number(bounds.min if name == "max" else bounds.max, dtype)
        return number(1 if name == "prod" else 0, dtype)

    def _combination(self, node: Node) -> str:
        """Return what combines two numbers."""
        name = _COMBINE[node.op.name]
        return _OF_BOOLEANS.get(name, name) if self._accumulated(node) == BOOL else name

    def _item(self, node: Node, text: Text) -> str:
        """Return one element as a reduction takes it."""
        if node.op.name in ("any", "all", "count_nonzero"):
            text = cast(text, BOOL)
        dtype = self._accumulated(node)
        return f"bool({text.source})" if dtype == text.dtype == BOOL else cast(text, dtype).source

    def _accumulate(self, node: Node, text: Text) -> None:
        """Add an element to what a thread has."""
        self._put(self._accumulation(node, text))

    def _accumulation(self, node: Node, text: Text) -> str:
        i = self._index(node)
        name = f"p{i}[column]" if self._in_memory(node) else f"total{i}"
        return f"{name} = {self._combination(node)}::of({name}, {self._item(node, text)});"

    def _start_partial(self, node: Node) -> None:
        """Start what is accumulated over rows."""
        i, start = self._index(node), self._neutral(node)
        if self._in_memory(node):
            self._put(f"for ({self.index} column = lane; column < columns; column += team) p{i}[column] = {start};")
        else:
            self._put(f"{typename(self._accumulated(node))} total{i} = {start};")

    def _end_partial(self, node: Node) -> None:
        """Write the partial result of a block."""
        i, combine = self._index(node), self._combination(node)
        if self._in_memory(node):
            return
        if self.is_column(node):
            self._put(
                f"total{i} = across<{combine}>(total{i});",
                f"if (thread < 32 && column < columns) p{i}[blockIdx.y * (long long)columns + column] = total{i};",
            )
        else:
            self._put(
                f"total{i} = reduced<{combine}>(total{i}, blockDim.x);",
                f"if (thread == 0) p{i}[blockIdx.y * gridDim.x + blockIdx.x] = total{i};",
            )

    def _finishing(self) -> list[str]:
        """Return the lines of the kernel that adds up partial results."""
        lines = [
            "    const int thread = threadIdx.x, warps = blockDim.x / 32;",
            "    const long long column = blockIdx.x * 32LL + thread % 32;",
        ]
        for node in self.partial:
            i, combine, kind = self._index(node), self._combination(node), typename(self._accumulated(node))
            lines.append(f"    {kind} total{i} = {self._neutral(node)};")
            if self.is_column(node):
                lines += [
                    f"    if (column < columns) for (long long k = thread / 32; k < slots; k += warps)",
                    f"        total{i} = {combine}::of(total{i}, p{i}[k * columns + column]);",
                    f"    total{i} = across<{combine}>(total{i});",
                ]
                place, condition = "column", "thread < 32 && column < columns"
            else:
                lines += [
                    f"    for (long long k = thread; k < blocks; k += blockDim.x)",
                    f"        total{i} = {combine}::of(total{i}, p{i}[k]);",
                    f"    total{i} = reduced<{combine}>(total{i}, blockDim.x);",
                ]
                place, condition = "0", "thread == 0 && blockIdx.x == 0"
            if node.op.name == "mean":
                of_rows = self.is_column(node) or self.schedule.space.layout(node.inputs[0]) == "row"
                lines.append(f"    total{i} = total{i} / {kind}({'rows' if of_rows else 'rows * columns'});")
            stores = " ".join(f"o{j}[{place}] = total{i};" for j in self.stored_as[node.outputs[0]])
            lines.append(f"    if ({condition}) {{ {stores} }}")
        return lines

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
        kind = typename(self.graph.inputs[use.index].dtype)
        if use.role == "scalar":
            name = f"a{use.index}_0"
            self.scalars[name] = f"const {kind} {name} = a{use.index}[0];"
            return name
        name, place = f"a{use.index}_row", "row"
        if use.period is not None:
            i = self._period(use.period)
            name, place = f"a{use.index}_row{i}", f"(row / step{i}) % count{i}"
        self._once_a_row(f"const {kind} {name} = a{use.index}[{place}];")
        return name

    def _once_a_row(self, line: str) -> None:
        if line not in self.row_lines:
            self.row_lines.append(line)

    def _period(self, period: tuple[int, int]) -> int:
        if period not in self.periods:
            self.periods.append(period)
        return self.periods.index(period)

    def _row_node(self, node: Node) -> None:
        """Compute a value with one element a row."""
        writer = _Writer(self)
        texts = [self._row_text(x, node) for x in node.inputs]
        text = translate(node, texts, writer) if self.schedule.space.kind(node) == "elementwise" else texts[0]
        self._put(*writer.lines)
        self._name(node.outputs[0], text.source)

    def _name(self, x: Value, source: str) -> None:
        name = f"v{len(self.names)}"
        self.names[x] = name
        self._put(f"const {typename(x.dtype)} {name} = {source};")

    # Passes over a row.

    def _pass(self, level: int) -> None:
        """Go over the row once."""
        schedule = self.schedule
        nodes = schedule.at(level)
        own = [node for node in nodes if node in schedule.reductions and schedule.layout(node) == "row"]
        for node in own:
            self._put(f"{typename(self._accumulated(node))} total{self._index(node)} = {self._neutral(node)};")
        if nodes:
            self._open(f"for ({self.index} column = lane; column < width; column += team)")
            self._body(level)
            self._close()
        for node in own:
            source = f"reduced<{self._combination(node)}>(total{self._index(node)}, team)"
            if node.op.name == "mean":
                source += f" / {self._accumulated(node)}(columns)"
            self._name(node.outputs[0], source)

    def _body(self, level: int) -> None:
        body = _Body(self, level)
        nodes = self.schedule.at(level)
        if self.form != "flat" and nodes:
            self._put(f"const {self.index} i = row * columns + column;")
        body.write(nodes)
        self._put(*body.writer.lines)


class _Writer(Writer):
    """Takes statements in C++."""

    def __init__(self, source: Source) -> None:
        super().__init__(source._number)
        self.source = source

    def name(self, source: str) -> str:
        if source.isidentifier():
            return source
        self.source.temporaries += 1
        self.lines.append(f"const auto t{self.source.temporaries} = {source};")
        return f"t{self.source.temporaries}"


class _Body:
    """The statements for one column in one pass."""

    def __init__(self, source: Source, level: int) -> None:
        self.source = source
        self.schedule = source.schedule
        self.level = level
        self.writer = _Writer(source)
        self.texts: dict[Any, Text] = {}

    def write(self, nodes: list[Node]) -> None:
        """Write what these nodes need, then what they store."""
        source, stores = self.source, []
        for node in nodes:
            if node in self.schedule.reductions:
                stores.append(source._accumulation(node, self.input(node.inputs[0], node)))
            else:
                x = node.outputs[0]
                text = self.value(x)
                places = [f"o{i}[i]" for i in source.stored_as.get(x, ())] or [f"{source.kept_names[x]}[column]"]
                stores += [f"{place} = {text.source};" for place in places]
        self.writer.lines += stores

    def load(self, name: str, place: str, dtype: np.dtype[Any]) -> Text:
        """Return the name of an element that is read once."""
        if name not in self.texts:
            self.writer.lines.append(f"const {typename(dtype)} {name}_x = {name}[{place}];")
            self.texts[name] = Text(f"{name}_x", dtype)
        return self.texts[name]

    def input(self, x: Any, node: Node) -> Any:
        """Return an input of a node."""
        if not isinstance(x, Value):
            return x
        if self.schedule.given(x):
            return self.read(self.schedule.use(x, node), x)
        return self.value(x)

    def read(self, use: Use, x: Value) -> Text:
        """Return what one column reads of an input of the group."""
        name = f"a{use.index}"
        if use.role == "periodic":
            assert use.period is not None
            i = self.source._period(use.period)
            place = f"((row / step{i}) % count{i}) * columns"
            self.source._once_a_row(f"const {typename(x.dtype)}* __restrict__ {name}_rows{i} = {name} + {place};")
            return self.load(f"{name}_rows{i}", "column", x.dtype)
        if use.role in ("full", "column"):
            if (name, use.role) not in self.texts:
                made = f"{name}_{use.role}"
                place = "i" if use.role == "full" else "column"
                self.writer.lines.append(f"const {typename(x.dtype)} {made} = {name}[{place}];")
                self.texts[name, use.role] = Text(made, x.dtype)
            return self.texts[name, use.role]
        return Text(self.source._scalar(use), x.dtype)

    def value(self, x: Value) -> Text:
        """Return a value of the group: a name, read or computed here."""
        if x in self.texts:
            return self.texts[x]
        source, schedule = self.source, self.schedule
        if schedule.layout(x.node) == "row":
            return Text(source.names[x], x.dtype)
        if schedule.level[x] < self.level and (x in schedule.stored or x in source.kept_names):
            name, place = (f"o{source.stored_as[x][0]}", "i") if x in schedule.stored else (
                source.kept_names[x], "column")  # fmt: skip
            text = self.load(name, place, x.dtype)
        else:
            texts = [self.input(item, x.node) for item in x.node.inputs]
            text = translate(x.node, texts, self.writer) if schedule.space.kind(x.node) == "elementwise" else texts[0]
            if not text.source.isidentifier():
                source.temporaries += 1
                name = f"x{source.temporaries}"
                self.writer.lines.append(f"const {typename(x.dtype)} {name} = {text.source};")
                text = Text(name, x.dtype)
        self.texts[x] = text
        return text


def _pointer(dtype: np.dtype[Any], name: str, role: str, item: Any) -> Argument:
    return Argument(f"{typename(dtype)}* __restrict__", name, role, item)


def _form(schedule: Schedule) -> str:
    """Return how threads go over the elements of a group."""
    if schedule.flat:
        return "flat"
    layouts = {schedule.layout(node) for node in schedule.reductions}
    rows = any(schedule.layout(x.node) == "row" for x in schedule.graph.outputs)
    of_rows = any(schedule.space.layout(node.inputs[0]) == "row" for node in schedule.reductions)
    plain = schedule.passes == 1 and "row" not in layouts and not rows and not of_rows
    return "columns" if plain and "column" in layouts else "rows"
