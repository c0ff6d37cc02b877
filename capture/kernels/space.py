"""Iteration space: how the shapes of a group of nodes map to rows and columns.

The axes of length one left out, all large values of a group have one shape. It is split at one place: the axes before
make the rows, those behind the columns. Every value of the group then is full (rows x columns), has one element
a row, or is what a reduction over rows or over everything leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from eagerflow.capture.graph import Node, Value
from eagerflow.capture.kernels.expression import fits
from eagerflow.core.dims import Symbolic
from eagerflow.core.spec import Spec
from eagerflow.ops.axes import reduced_shape

REDUCTIONS = frozenset({"sum", "mean", "max", "min", "prod", "any", "all", "count_nonzero"})
RESHAPES = frozenset({"reshape", "expand_dims", "squeeze", "stop_gradient", "identity"})
BROADCASTS = frozenset({"broadcast_to", "spread"})


def key(shape: Iterable[Any]) -> tuple[Any, ...]:
    """Return a shape whose symbolic lengths compare by what they are written as, not by a guarded guess."""
    return tuple([str(side) if isinstance(side, Symbolic | str) else int(side) for side in shape])


def long(shape: Iterable[Any]) -> tuple[Any, ...]:
    """Return the lengths that are not one."""
    return tuple([side for side in key(shape) if side != 1])


def kind(node: Node) -> str | None:
    """Tell how a node can be part of a fused group.

    Parameters
    ----------
    node : Node
        Any node.

    Returns
    -------
    str or None
        ``"elementwise"``, ``"reduction"``, ``"broadcast"``, ``"view"`` (the same elements along other axes of
        length one), or None: not at all.
    """
    name = node.op.name
    if node.control or node.op.effects != "none" or len(node.outputs) != 1:
        return None
    if name in REDUCTIONS:
        found = "reduction" if _plain_reduction(node) else None
    elif name in RESHAPES:
        found = "view" if long(node.inputs[0].shape) == long(node.outputs[0].shape) else None
    elif name in BROADCASTS:
        found = "broadcast" if isinstance(node.inputs[0], Value) else None
    else:
        found = "elementwise" if node.op.scalar is not None and any(True for _ in node.values) else None
    return found if found is not None and fits(node, found) else None


def _plain_reduction(node: Node) -> bool:
    """Tell whether a reduction has something to reduce."""
    x = node.inputs[0]
    return isinstance(x, Value) and any(key(x.shape)[axis] != 1 for axis in node.attrs["axis"])


class Space:
    """Rows and columns of a group, found node by node.

    Parameters
    ----------
    single_row : bool
        Whether what is reduced over everything may be used again in the group, which then is one row.
    kinds : dict, optional
        What `kind` said of nodes before.

    Attributes
    ----------
    shape : tuple or None
        Lengths of the full values, those of length one left out.
    splits : set of int
        Number of axes that may be rows.
    layouts : dict
        Per value that the group makes: ``"full"``, ``"row"``, ``"column"`` (one element a column: reduced over the
        rows), ``"total"`` (reduced over everything), or ``"outside"``: a view of what the group is given.
    """

    def __init__(self, single_row: bool = True, kinds: dict[Node, str | None] | None = None) -> None:
        self.single_row = single_row
        self.kinds: dict[Node, str | None] = {} if kinds is None else kinds
        self.shape: tuple[Any, ...] | None = None
        self.splits: set[int] = set()
        self.layouts: dict[Value, str] = {}
        self.totals_are_rows = False

    def fill(self, nodes: Sequence[Node]) -> bool:
        """Add nodes in their order, the shape taken from the largest; tell whether all fit."""
        self.shape = max((full_shape(node) for node in nodes), key=extent)
        self.splits = set(range(len(self.shape) + 1))
        return all(self.add(node) for node in nodes)

    def copy(self) -> Space:
        """Return the same, to add nodes to."""
        made = Space(self.single_row, self.kinds)
        made.shape, made.totals_are_rows = self.shape, self.totals_are_rows
        made.splits, made.layouts = set(self.splits), dict(self.layouts)
        return made

    def kind(self, node: Node) -> str | None:
        """Return the kind of a node."""
        if node not in self.kinds:
            self.kinds[node] = kind(node)
        return self.kinds[node]

    def add(self, node: Node) -> bool:
        """Add a node whose producers in the group were added before; False, and no change, if it does not fit."""
        found = self.kind(node)
        if found is None:
            return False
        if self.shape is None:
            self.shape = full_shape(node)
            self.splits = set(range(len(self.shape) + 1))
        totals, splits = self.totals_are_rows, set(self.splits)
        layout = getattr(self, f"_{found}")(node)
        if layout is None or not self.splits:
            self.totals_are_rows, self.splits = totals, splits
            return False
        self.layouts[node.outputs[0]] = layout
        return True

    def layout(self, x: Any) -> str | None:
        """Return the layout of a value that the group makes; None for what it is given."""
        found = self.layouts.get(x) if isinstance(x, Value) else None
        return None if found == "outside" else found

    def _view(self, node: Node) -> str | None:
        return self.layouts.get(node.inputs[0], "outside")

    def _elementwise(self, node: Node) -> str | None:
        return self._spread_out(node, [(x, key(x.shape)) for x in node.values])

    def _broadcast(self, node: Node) -> str | None:
        return self._spread_out(node, [(node.inputs[0], source_shape(node))])

    def _spread_out(self, node: Node, inputs: list[tuple[Value, tuple[Any, ...]]]) -> str | None:
        """Return the layout of a node whose inputs broadcast to its result."""
        shape = key(node.outputs[0].shape)
        covers = [(x, covered(given, shape)) for x, given in inputs]
        if any(cover is None for _, cover in covers):
            return None
        if long(shape) == self.shape:
            return self._full_result([(x, cover) for x, cover in covers if cover is not None])
        return self._row_result(long(shape), [(x, cover) for x, cover in covers if cover is not None])

    def _full_result(self, covers: list[tuple[Value, tuple[int, ...]]]) -> str | None:
        assert self.shape is not None
        n = len(self.shape)
        for x, cover in covers:
            layout = self.layout(x)
            if layout == "column":
                return None
            if layout == "total" and not self._one_row():
                return None
            self.splits &= {split for split in self.splits if _readable(cover, split, n)}
            if layout == "full" and len(cover) != n:
                return None
            if layout == "row":
                self.splits &= {len(cover)} if cover == tuple(range(len(cover))) else set()
        return "full"

    def _row_result(self, rows: tuple[Any, ...], covers: list[tuple[Value, tuple[int, ...]]]) -> str | None:
        """Elementwise on values that have one element a row."""
        assert self.shape is not None
        layouts = [self.layout(x) for x, _ in covers]
        if "row" in layouts or (rows and not any(layouts)):
            self.splits &= {len(rows)} if self.shape[: len(rows)] == rows else set()
        elif "total" not in layouts:
            return None
        if "total" in layouts and (rows or not self._one_row()):
            return None
        for layout, (_, cover) in zip(layouts, covers, strict=True):
            if layout in ("full", "column") or (cover and len(cover) != len(rows)):
                return None
        return "row"

    def _one_row(self) -> bool:
        """Make everything one row, if that is allowed."""
        self.totals_are_rows = self.single_row
        self.splits &= {0}
        return self.single_row

    def _reduction(self, node: Node) -> str | None:
        assert self.shape is not None
        x = node.inputs[0]
        shape = key(x.shape)
        axes = [axis for axis, side in enumerate(shape) if side != 1]
        reduced = [i for i, axis in enumerate(axes) if axis in node.attrs["axis"]]
        layout, n = self.layout(x), len(axes)
        if layout == "row":
            return "total" if len(reduced) == n else None
        if layout not in (None, "full") or long(shape) != self.shape:
            return None
        if len(reduced) == n:
            return "total"
        if reduced == list(range(n - len(reduced), n)):
            self.splits &= {n - len(reduced)}
            return "row"
        if reduced == list(range(len(reduced))):
            self.splits &= {len(reduced)}
            return "column"
        return None

    def split(self) -> int:
        """Return the number of axes that are rows: as few as possible, so that rows are long."""
        return min(self.splits)


def source_shape(node: Node) -> tuple[Any, ...]:
    """Return the shape that the input of a broadcast has beside its result, reduced axes put back."""
    x = node.inputs[0]
    if node.op.name == "spread" and len(x.shape) != len(node.attrs["to"]):
        return key(reduced_shape(node.attrs["to"], node.attrs["axis"], True))
    return key(x.shape)


def covered(given: tuple[Any, ...], shape: tuple[Any, ...]) -> tuple[int, ...] | None:
    """Return along which axes of `shape` (those of length one not counted) an input of shape `given` extends."""
    given = (1,) * (len(shape) - len(given)) + given
    found, position = [], 0
    for side, whole in zip(given, shape, strict=True):
        if whole != 1:
            if side == whole:
                found.append(position)
            elif side != 1:
                return None
            position += 1
        elif side != 1:
            return None
    return tuple(found)


def _readable(cover: tuple[int, ...], split: int, n: int) -> bool:
    """Tell whether rows can be read of an input that extends along these axes."""
    rows = [axis for axis in cover if axis < split]
    columns = len(cover) - len(rows)
    return columns in (0, n - split) and (not rows or rows[-1] - rows[0] + 1 == len(rows))


def full_shape(node: Node) -> tuple[Any, ...]:
    """Return the lengths, without ones, of the largest that a node reads or makes."""
    return long(node.inputs[0].shape if node.op.name in REDUCTIONS else node.outputs[0].shape)


def extent(shape: tuple[Any, ...]) -> tuple[int, int]:
    """Return what orders shapes by size; what is symbolic counts as small."""
    return len(shape), prod(side for side in shape if type(side) is int)


def unit_cost(node: Node) -> float:
    """Return the operations of an elementwise node per element."""
    specs = [Spec((), x.dtype) if isinstance(x, Value) else x for x in node.inputs]
    return node.op.cost(*specs, **node.attrs)[0]
