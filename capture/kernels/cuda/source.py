"""Source: the text of the CUDA kernels that compute a group.

The schedule is that of the CPU's kernels. There are three forms. A flat group is one range of elements. Rows are each
gone over by a team of threads: a part of a warp, or a whole block. Sums over rows without anything a row go down the
columns, a warp for 32 of them. Every thread reads and writes the same columns of a row in all passes, so that what one
pass stores the next may read.

What is added up over several blocks is written to partial results, which a second kernel adds up in their order: the
same numbers in every run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eagerflow.capture.graph import Node, Value
from eagerflow.capture.kernels.cuda.body import Body
from eagerflow.capture.kernels.cuda.functions import program
from eagerflow.capture.kernels.cuda.reductions import (
    accumulated,
    accumulation,
    combination,
    finishing,
    neutral,
    settled,
    start,
)
from eagerflow.capture.kernels.cuda.scope import Argument, Scope, pointer, translated, typename
from eagerflow.capture.kernels.expression import Text
from eagerflow.capture.kernels.schedule import Schedule

WIDE = 1 << 30  # elements from which on positions take 64 bits


class Source:
    """Writes the kernels of one group.

    Parameters
    ----------
    schedule : Schedule
        What is computed when.
    name : str
        What the kernel is called; ``_finish`` behind it, the one that adds up partial results.

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
        What the second kernel takes; empty where there is none.
    partial : list of Node
        Reductions over several blocks.

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
        self.scope = Scope(schedule)
        self.partial = [node for node in schedule.reductions if schedule.layout(node) in ("column", "total")]
        self._index = "long long" if schedule.rows * schedule.columns >= WIDE else "int"
        self._lines: list[str] = []
        self._depth = 1
        self._write()
        self.arguments = self._arguments()
        self.finish = self._finish_arguments()
        self.kernels = _kernel(name, self.arguments, self._lines)
        if self.finish:
            lines = ["    " + line for line in finishing(self.scope, self.partial)]
            self.kernels += "\n" + _kernel(f"{name}_finish", self.finish, lines)
        self.text = program(self.kernels)

    def is_column(self, node: Node) -> bool:
        """Tell whether a reduction leaves one element a column."""
        return self.schedule.layout(node) == "column"

    # What kernels take.

    def _arguments(self) -> list[Argument]:
        graph, scope = self.graph, self.scope
        sizes = ["rows", "columns", *(["team"] if self.form == "rows" else [])]
        sizes += [name for i in range(len(scope.periods)) for name in (f"step{i}", f"count{i}")]
        whole = [i for i, x in enumerate(graph.outputs) if self.schedule.layout(x.node) in ("full", "row")]
        return [
            *[Argument("int" if name == "team" else self._index, name, "size") for name in sizes],
            *[Argument("double", f"n{i}", "number", item) for i, item in enumerate(scope.numbers)],
            *[pointer(x.dtype, f"a{i}", "input", i) for i, x in enumerate(graph.inputs)],
            *[pointer(graph.outputs[i].dtype, f"o{i}", "output", i) for i in whole],
            *[pointer(x.dtype, name, "scratch", x.dtype) for x, name in scope.kept.items()],
            *self._partial_arguments(),
        ]

    def _partial_arguments(self) -> list[Argument]:
        return [pointer(accumulated(node), self._partial(node), "partial", node) for node in self.partial]

    def _finish_arguments(self) -> list[Argument]:
        if not self.partial:
            return []
        made = [i for node in self.partial for i in self.scope.stored[node.outputs[0]]]
        return [
            *[Argument("long long", name, "size") for name in ("rows", "columns", "slots", "blocks")],
            *self._partial_arguments(),
            *[pointer(self.graph.outputs[i].dtype, f"o{i}", "output", i) for i in made],
        ]

    # The kernel, line by line.

    def _put(self, *lines: str) -> None:
        self._lines += ["    " * self._depth + line for line in lines]

    def _open(self, line: str) -> None:
        self._put(line + " {")
        self._depth += 1

    def _close(self) -> None:
        self._depth -= 1
        self._put("}")

    def _write(self) -> None:
        getattr(self, f"_start_{self.form}")()
        first = len(self._lines)
        for node in self.partial:
            self._start_partial(node)
        getattr(self, f"_{self.form}")()
        for node in self.partial:
            self._end_partial(node)
        self._lines[first:first] = ["    " + line for line in self.scope.first_lines]

    def _start_flat(self) -> None:
        self._put("const int thread = threadIdx.x;")

    def _flat(self) -> None:
        step = f"({self._index})blockDim.x"
        self._open(
            f"for ({self._index} i = blockIdx.x * {step} + thread; i < columns; i += gridDim.x * {step})"
        )  # fmt: skip
        self._body(0)
        self._close()

    def _start_columns(self) -> None:
        self._put(
            "const int thread = threadIdx.x, warps = blockDim.x / 32;",
            f"const {self._index} column = blockIdx.x * ({self._index})32 + thread % 32;",
        )

    def _columns(self) -> None:
        self._open(
            f"if (column < columns) for ({self._index} row = blockIdx.y * warps + thread / 32; row < rows;"
            " row += gridDim.y * warps)"
        )
        self._in_row(self._one_pass)
        self._close()

    def _one_pass(self) -> None:
        for node in self.schedule.rows_at(0):
            self._row_node(node)
        self._body(0)

    def _start_rows(self) -> None:
        columns = [node for node in self.partial if self.is_column(node)]
        self._put(
            "const int thread = threadIdx.x, lane = thread % team, teams = blockDim.x / team;",
            "const long long slot = blockIdx.x * (long long)teams + thread / team;",
            *[f"{name} += slot * columns;" for name in self.scope.kept.values()],
            *[f"{self._partial(node)} += slot * columns;" for node in columns],
        )

    def _rows(self) -> None:
        # Teams without a row go along: the threads of a warp exchange numbers together.
        step = f"({self._index})teams"
        self._open(
            f"for ({self._index} first = blockIdx.x * {step}; first < rows; first += gridDim.x * {step})"
        )  # fmt: skip
        self._put(
            "const bool active = first + thread / team < rows;",
            f"const {self._index} row = active ? first + thread / team : rows - 1, width = active ? columns : 0;",
        )
        self._in_row(self._passes)
        self._close()

    def _in_row(self, write: Callable[[], None]) -> None:
        """Write what is done for a row, after what is read once for it."""
        first = len(self._lines)
        write()
        self._lines[first:first] = ["    " * self._depth + line for line in self.scope.row_lines]

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
            self._put(*[f"o{i}[row] = {self.scope.values[x]};" for i, x in once])
            self._put(*[self._accumulation(node, self._row_text(node.inputs[0], node)) for node in totals])
            self._close()

    def _pass(self, level: int) -> None:
        """Go over the row once."""
        schedule = self.schedule
        nodes = schedule.at(level)
        own = [node for node in nodes if node in schedule.reductions and schedule.layout(node) == "row"]
        self._put(*[start(self.scope, node) for node in own])
        if nodes:
            self._open(f"for ({self._index} column = lane; column < width; column += team)")
            self._body(level)
            self._close()
        for node in own:
            source = f"reduced<{combination(node)}>({self._total(node)}, team)"
            self._name(node.outputs[0], settled(node, source, "columns"))

    def _body(self, level: int) -> None:
        if self.form != "flat":
            self._put(f"const {self._index} i = row * columns + column;")
        self._put(*Body(self.scope, level, self._accumulation).lines())

    # Once a row.

    def _row_node(self, node: Node) -> None:
        """Compute a value with one element a row."""
        writer = self.scope.writer()
        texts = [self._row_text(x, node) for x in node.inputs]
        text = translated(node, texts, writer) if self.schedule.space.kind(node) == "elementwise" else texts[0]
        self._put(*writer.lines)
        self._name(node.outputs[0], text.source)

    def _row_text(self, x: Any, node: Node) -> Any:
        """Return an input of a node that is computed once a row."""
        if not isinstance(x, Value):
            return x
        if self.schedule.given(x):
            return Text(self.scope.element(self.schedule.use(x, node)), x.dtype)
        return Text(self.scope.values[x], x.dtype)

    def _name(self, x: Value, source: str) -> None:
        name = self.scope.values[x] = f"v{len(self.scope.values)}"
        self._put(f"const {typename(x.dtype)} {name} = {source};")

    # What is added up over several blocks.

    def _total(self, node: Node) -> str:
        return f"total{self.scope.reduction(node)}"

    def _partial(self, node: Node) -> str:
        return f"p{self.scope.reduction(node)}"

    def _in_memory(self, node: Node) -> bool:
        """Tell whether a team has the partial results of all columns."""
        return self.form == "rows" and self.is_column(node)

    def _accumulation(self, node: Node, text: Text) -> str:
        total = f"{self._partial(node)}[column]" if self._in_memory(node) else self._total(node)
        return accumulation(node, text, total)

    def _start_partial(self, node: Node) -> None:
        if self._in_memory(node):
            loop = f"for ({self._index} column = lane; column < columns; column += team)"
            self._put(f"{loop} {self._partial(node)}[column] = {neutral(node)};")
        else:
            self._put(start(self.scope, node))

    def _end_partial(self, node: Node) -> None:
        """Write the partial result of a block."""
        total, partial, combine = self._total(node), self._partial(node), combination(node)
        if self._in_memory(node):
            return
        if self.is_column(node):
            self._put(
                f"{total} = across<{combine}>({total});",
                f"if (thread < 32 && column < columns) {partial}[blockIdx.y * (long long)columns + column] = {total};",
            )
        else:
            self._put(
                f"{total} = reduced<{combine}>({total}, blockDim.x);",
                f"if (thread == 0) {partial}[blockIdx.y * gridDim.x + blockIdx.x] = {total};",
            )


def _kernel(name: str, arguments: list[Argument], lines: list[str]) -> str:
    parameters = ", ".join(f"{item.type} {item.name}" for item in arguments)
    return f'extern "C" __global__ void {name}({parameters}) {{\n' + "\n".join(lines) + "\n}\n"


def _form(schedule: Schedule) -> str:
    """Return how threads go over the elements of a group."""
    if schedule.flat:
        return "flat"
    layouts = {schedule.layout(node) for node in schedule.reductions}
    rows = any(schedule.layout(x.node) == "row" for x in schedule.graph.outputs)
    of_rows = any(schedule.space.layout(node.inputs[0]) == "row" for node in schedule.reductions)
    plain = schedule.passes == 1 and "row" not in layouts and not rows and not of_rows
    return "columns" if plain and "column" in layouts else "rows"
