"""Body: the statements for one column of a row in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eagerflow.capture.graph import Node, Value
from eagerflow.capture.kernels.cuda.scope import Scope, translated, typename
from eagerflow.capture.kernels.expression import Text
from eagerflow.capture.kernels.schedule import Use


class Body:
    """Writes what one column reads, computes and stores.

    Parameters
    ----------
    scope : Scope
        The names of the kernel.
    level : int
        The pass.
    accumulate : callable
        ``accumulate(node, text)`` returns the statement that adds an element to a reduction.
    """

    def __init__(self, scope: Scope, level: int, accumulate: Callable[[Node, Text], str]) -> None:
        self.scope = scope
        self.schedule = scope.schedule
        self.level = level
        self.accumulate = accumulate
        self.writer = scope.writer()
        self.texts: dict[Any, Text] = {}

    def lines(self) -> list[str]:
        """Return the statements: what is needed, then what is stored."""
        stores = []
        for node in self.schedule.at(self.level):
            x = node.outputs[0]
            if node in self.schedule.reductions:
                stores.append(self.accumulate(node, self._input(node.inputs[0], node)))
            else:
                text = self._value(x)
                places = [f"o{i}[i]" for i in self.scope.stored.get(x, ())] or [f"{self.scope.kept[x]}[column]"]
                stores += [f"{place} = {text.source};" for place in places]
        return [*self.writer.lines, *stores]

    def _input(self, x: Any, node: Node) -> Any:
        """Return an input of a node."""
        if not isinstance(x, Value):
            return x
        if self.schedule.given(x):
            return self._read(self.schedule.use(x, node), x)
        return self._value(x)

    def _read(self, use: Use, x: Value) -> Text:
        """Return what one column reads of an input of the group."""
        name = f"a{use.index}"
        if use.role == "periodic":
            return self._loaded(self.scope.periodic(use), "column", x)
        if use.role == "full":
            return self._loaded(name, "i", x)
        if use.role == "column":
            return self._loaded(name, "column", x)
        return Text(self.scope.element(use), x.dtype)

    def _loaded(self, array: str, place: str, x: Value) -> Text:
        """Return the name of an element, which is read once."""
        if (array, place) not in self.texts:
            name = f"{array}_{place}"
            self.writer.lines.append(f"const {typename(x.dtype)} {name} = {array}[{place}];")
            self.texts[array, place] = Text(name, x.dtype)
        return self.texts[array, place]

    def _value(self, x: Value) -> Text:
        """Return a value of the group: a name, read or computed here."""
        if x in self.texts:
            return self.texts[x]
        scope, schedule = self.scope, self.schedule
        if schedule.layout(x.node) == "row":
            return Text(scope.values[x], x.dtype)
        before = schedule.level[x] < self.level
        if before and x in schedule.stored:
            text = self._loaded(f"o{scope.stored[x][0]}", "i", x)
        elif before and x in scope.kept:
            text = self._loaded(scope.kept[x], "column", x)
        else:
            texts = [self._input(item, x.node) for item in x.node.inputs]
            text = translated(x.node, texts, self.writer) if schedule.space.kind(x.node) == "elementwise" else texts[0]
            if not text.source.isidentifier():
                name = scope.temporary()
                self.writer.lines.append(f"const {typename(x.dtype)} {name} = {text.source};")
                text = Text(name, x.dtype)
        self.texts[x] = text
        return text
