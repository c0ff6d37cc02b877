"""State in a captured function: Variables that it reads and assigns, random draws, callbacks, in their order."""

from __future__ import annotations

from typing import Any

from eagerflow.capture.graph import Node


class Key:
    """The key of a generator, as an attribute of a draw in a graph."""

    __slots__ = ("generator",)

    def __init__(self, generator: Any) -> None:
        self.generator = generator

    def __repr__(self) -> str:
        return "key"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.generator is self.generator

    def __hash__(self) -> int:
        return hash(("key", id(self.generator)))


class Counter:
    """The number of a draw in a graph: how many draws of the generator come before it in the same run.

    `offset` is what batching rules add, to draw for each example.
    """

    __slots__ = ("generator", "index", "offset")

    def __init__(self, generator: Any, index: int, offset: int = 0) -> None:
        self.generator = generator
        self.index = index
        self.offset = offset

    def __add__(self, offset: int) -> Counter:
        return Counter(self.generator, self.index, self.offset + offset)

    def __repr__(self) -> str:
        return f"#{self.index}" + (f"+{self.offset}" if self.offset else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counter) and (other.generator is self.generator) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash((id(self.generator), self._parts))

    @property
    def _parts(self) -> tuple[int, int]:
        return self.index, self.offset


class Draws:
    """The draws of one run: every generator gives out all counters of the run at once.

    So two threads that run a function never share a draw, and a run draws what eager code would.
    """

    __slots__ = ("_taken",)

    def __init__(self, counts: Any) -> None:
        self._taken = {id(generator): generator.take(count) for generator, count in counts}

    def resolve(self, attrs: Any) -> dict[str, Any]:
        """Return the attributes of a draw with numbers for key and counter."""
        counter = attrs["counter"]
        if not isinstance(counter, Counter):
            return dict(attrs)
        key, first = self._taken[id(counter.generator)]
        return {**attrs, "key": key, "counter": first + counter.index + counter.offset}


class Order:
    """Which nodes have to wait for which, per Variable and for callbacks."""

    def __init__(self) -> None:
        self._written: dict[int, Node] = {}
        self._read: dict[int, list[Node]] = {}
        self._callback: tuple[Node, ...] = ()
        self._since: list[Node] = []  # nodes with effects since the last callback

    def before_read(self, variable: Any) -> tuple[Node, ...]:
        """Return what a read of the Variable has to wait for."""
        written = self._written.get(id(variable))
        return self._callback if written is None else (written,)

    def read(self, variable: Any, node: Node) -> None:
        """Note a read."""
        self._read.setdefault(id(variable), []).append(node)
        self._since.append(node)

    def before_write(self, variable: Any) -> tuple[Node, ...]:
        """Return what an assignment to the Variable has to wait for."""
        return (*self.before_read(variable), *self._read.get(id(variable), ()))

    def wrote(self, variable: Any, node: Node) -> None:
        """Note an assignment."""
        self._written[id(variable)] = node
        self._read[id(variable)] = []
        self._since.append(node)

    def before_callback(self) -> tuple[Node, ...]:
        """Return what a callback has to wait for: it may read and write everything."""
        return (*self._callback, *self._since)

    def called(self, node: Node) -> None:
        """Note a callback."""
        self._callback = (node,)
        self._since = []
        self._written.clear()
        self._read.clear()
