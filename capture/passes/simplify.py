"""Simplification: operations that change nothing are left out, and chains of views become one.

Every rule keeps the elements of the result as they are, bit by bit: ``x * 1`` is `x`, but ``x + 0`` is not where `x` is
-0.0. Products of transposed matrices are left as they are: a transpose is a view, which BLAS takes as it is, and
the product of the transposed operands in the other order would round otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from eagerflow import ops
from eagerflow.capture.attributes import key, same
from eagerflow.capture.graph import Graph, Node, Rewriter, Special, Value
from eagerflow.capture.passes.constants import number_of
from eagerflow.core import is_inexact

_OPS = ops.registry()

# What stands for the only result of a node on these inputs: a value, a simpler node, or None where it does not apply.
Rule = Callable[[Node, tuple[Any, ...]], Value | Node | None]


def run(graph: Graph) -> Graph:
    """Simplify a graph.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    Graph
        That computes the same values, bit by bit. Their layout in memory may differ.

    Notes
    -----
    What only gradients look at (`eagerflow.stop_gradient`) goes, too: gradients are taken before.
    """
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        made = _simplest(node, rewriter.inputs(node))
        if made is None:
            rewriter.keep(node)
        elif isinstance(made, Value):
            rewriter.replace(node, [made])
        else:
            rewriter.replace(node, rewriter.add(made).outputs, made)
    return rewriter.graph()


def _simplest(node: Node, inputs: tuple[Any, ...]) -> Value | Node | None:
    found: Value | Node | None = None
    while not isinstance(node.op, Special) and not node.control and len(node.outputs) == 1:
        rules = RULES.get(node.op.name, ())
        if node.op.fusion == "elementwise" and len(inputs) > 1:
            rules = (*rules, _without_broadcast)
        made = next((made for rule in rules if (made := rule(node, inputs)) is not None), None)
        if made is None:
            return found
        if isinstance(made, Value):
            return made
        found = node = made
        inputs = made.inputs
    return found


def _node(name: str, x: Value, attrs: dict[str, Any], like: Node) -> Node:
    """Return an op on one value that gives what `like` gives, at its place."""
    result = like.outputs[0]
    return Node(_OPS[name], (x,), attrs, [(result.spec, result.device)], (), like.scope, like.line, like.request)


def _fits(x: Any, node: Node) -> bool:
    """Tell whether an input can stand for the result of a node."""
    result = node.outputs[0]
    return isinstance(x, Value) and x.device is result.device and same(x.spec, result.spec)


def _made_by(x: Any, names: frozenset[str]) -> Value | None:
    """Return what `x` was made of by one of some ops."""
    if isinstance(x, Value) and x.node.op.name in names and not isinstance(x.node.op, Special):
        source = x.node.inputs[0]
        return source if isinstance(source, Value) else None
    return None


# --- operations that change nothing ---------------------------------------------------------------


def _first(node: Node, inputs: tuple[Any, ...]) -> Value | None:
    """Return the only input, if it has shape and dtype of the result."""
    given = [x for x in inputs if x is not None]
    return given[0] if len(given) == 1 and _fits(given[0], node) else None


def _first_if_real(node: Node, inputs: tuple[Any, ...]) -> Value | None:
    return _first(node, inputs) if node.outputs[0].dtype.kind != "c" else None


def _twice(node: Node, inputs: tuple[Any, ...]) -> Value | None:
    """Undo what was done before."""
    source = _made_by(inputs[0], frozenset([node.op.name]))
    if source is not None and _fits(source, node) and same(node.attrs, inputs[0].node.attrs):
        return source
    return None


def _there_and_back(node: Node, inputs: tuple[Any, ...]) -> Value | None:
    """Leave out a cast to a wider dtype of the same kind, and back."""
    source = _made_by(inputs[0], _CASTS)
    if source is None or not _fits(source, node):
        return None
    narrow, wide = source.dtype, inputs[0].dtype
    kind = "f" if is_inexact(narrow) and narrow.kind != "c" else narrow.kind
    wider = wide.itemsize > narrow.itemsize and (kind != "f" or wide.itemsize >= 4)
    return source if wide.kind == kind and kind in "fiuc" and wider else None


def _neutral(node: Node, inputs: tuple[Any, ...]) -> Value | None:
    """Return the input beside a number that changes nothing."""
    x, y = inputs
    name = node.op.name
    if _is_neutral(name, y, node) and _fits(x, node):
        made: Value = x
        return made
    if name in ("add", "multiply") and _is_neutral(name, x, node) and _fits(y, node):
        other: Value = y
        return other
    return None


def _is_neutral(name: str, x: Any, node: Node) -> bool:
    kind = node.outputs[0].dtype.kind
    number = number_of(x)
    if number is None or isinstance(number, complex) or kind not in "iuf":
        return False
    if name in ("multiply", "divide"):
        return bool(number == 1)
    if number != 0:
        return False
    # x + 0.0 is 0.0 where x is -0.0; so is x - -0.0.
    negative = math.copysign(1.0, number) < 0
    return kind != "f" or negative == (name == "add")


# What NumPy's operator computes these powers with, where the exponent is a Python number.
_POWERS = {2: "square", 0.5: "sqrt", -1: "reciprocal"}


def _power(node: Node, inputs: tuple[Any, ...]) -> Value | Node | None:
    x, exponent = inputs
    result = node.outputs[0]
    # Bits are known of NumPy only.
    if type(exponent) not in (int, float) or not _fits(x, node) or result.device.kind.name != "cpu":
        return None
    if exponent == 1 and result.dtype.kind in "iuf":
        made: Value = x
        return made
    if exponent in _POWERS and result.dtype.kind == "f":
        return _node(_POWERS[exponent], x, {}, node)
    return None


def _chosen(node: Node, inputs: tuple[Any, ...]) -> Value | Node | None:
    """Choose where the condition is constant, or does not matter."""
    condition, x, y = inputs
    number = number_of(condition)
    if number is None and x is not y:
        return None
    made = y if number is not None and not number else x
    if _fits(made, node):
        chosen: Value = made
        return chosen
    result = node.outputs[0]
    if isinstance(made, Value) and made.dtype == result.dtype and made.device is result.device:
        return _node("broadcast_to", made, {"shape": result.shape}, node)
    return None


def _over_no_axes(node: Node, inputs: tuple[Any, ...]) -> Value | None:
    """Leave out a reduction over no axes, but not a sum of floats, which makes 0.0 of -0.0."""
    if node.attrs["axis"] != () or (node.op.name == "sum" and node.outputs[0].dtype.kind not in "iu"):
        return None
    return _first(node, inputs)


def _stack_of_one(node: Node, inputs: tuple[Any, ...]) -> Node | None:
    if len(inputs) != 1 or not isinstance(inputs[0], Value) or inputs[0].dtype != node.outputs[0].dtype:
        return None
    return _node("expand_dims", inputs[0], {"axis": (node.attrs["axis"] % len(node.outputs[0].shape),)}, node)


# --- views ----------------------------------------------------------------------------------------

_CASTS = frozenset(["cast", "to_integer", "from_integer"])
_TRANSPOSE = frozenset(["permute_dims"])
_RESHAPES = frozenset(["reshape", "expand_dims", "squeeze"])
_BROADCAST = frozenset(["broadcast_to"])
_PART = frozenset(["getitem"])


def _transposed(node: Node, inputs: tuple[Any, ...]) -> Value | Node | None:
    """Make one transpose of two, and none of one that leaves the axes in their order."""
    x = inputs[0]
    axes = [axis % len(node.outputs[0].shape) for axis in node.attrs["axes"]]
    if axes == sorted(axes):
        return _first(node, inputs)
    source = _made_by(x, _TRANSPOSE)
    if source is None:
        return None
    inner = [axis % len(axes) for axis in x.node.attrs["axes"]]
    return _node("permute_dims", source, {"axes": tuple([inner[axis] for axis in axes])}, node)


def _reshaped(node: Node, inputs: tuple[Any, ...]) -> Value | Node | None:
    """Go from the first shape to the last: the elements keep their order all the way."""
    source = _made_by(inputs[0], _RESHAPES)
    if source is None:
        return _first(node, inputs)
    return source if _fits(source, node) else _node("reshape", source, {"shape": node.outputs[0].shape}, node)


def _broadcasted(node: Node, inputs: tuple[Any, ...]) -> Value | Node | None:
    source = _made_by(inputs[0], _BROADCAST)
    if source is None:
        return _first(node, inputs)
    return _node("broadcast_to", source, {"shape": node.outputs[0].shape}, node)


def _without_broadcast(node: Node, inputs: tuple[Any, ...]) -> Node | None:
    """Leave broadcasting to the operation, where another input has the length."""
    shape = node.outputs[0].shape
    given = list(inputs)
    for i, x in enumerate(inputs):
        source = _made_by(x, _BROADCAST)
        if source is not None and _covered(shape, [*given[:i], source, *given[i + 1 :]]):
            given[i] = source
    if all(x is y for x, y in zip(given, inputs, strict=True)):
        return None
    return node.replaced(given)


def _covered(shape: tuple[Any, ...], inputs: list[Any]) -> bool:
    """Tell whether every length of a shape is that of one of the inputs."""
    lengths = [[key(side) for side in x.shape] for x in inputs if isinstance(x, Value)]
    return all(
        any(len(sides) >= i and sides[-i] == key(shape[-i]) for sides in lengths) for i in range(1, len(shape) + 1)
    )


def _part(node: Node, inputs: tuple[Any, ...]) -> Value | Node | None:
    """Take a part of a part at once, and the whole as it is."""
    x = inputs[0]
    outer = _selections(node.attrs["index"], len(x.shape))
    if outer is None:
        return None
    if all(_is_whole(item, side) for item, side in zip(outer, x.shape, strict=True)):
        return _first(node, inputs)
    source = _made_by(x, _PART)
    if source is None:
        return None
    inner = _selections(x.node.attrs["index"], len(source.shape))
    if inner is None:
        return None
    rest = iter(outer)
    index = [_composed(item, next(rest) if type(item) is slice else None, side)
             for item, side in zip(inner, source.shape, strict=True)]  # fmt: skip
    return None if None in index else _node("getitem", source, {"index": tuple(index)}, node)


def _selections(index: tuple[Any, ...], ndim: int) -> list[Any] | None:
    """Return an integer or a slice for each axis; None where the index makes axes."""
    items = list(index)
    if any(item is None or not (item is Ellipsis or type(item) in (int, slice)) for item in items):
        return None
    if Ellipsis not in items:
        items.append(Ellipsis)
    at = items.index(Ellipsis)
    items[at : at + 1] = [slice(None)] * (ndim - len(items) + 1)
    return items


def _is_whole(item: Any, side: Any) -> bool:
    if type(item) is not slice:
        return False
    return _is_full(item) or (type(side) is int and _is_plain(item) and range(side)[item] == range(side))


def _is_full(item: slice) -> bool:
    return item.start is None and item.stop is None and item.step is None


def _is_plain(item: slice) -> bool:
    return all(part is None or type(part) is int for part in (item.start, item.stop, item.step))


def _composed(first: Any, second: Any, side: Any) -> Any:
    """Return what selects along an axis what `second` selects of what `first` does; None if lengths are unknown."""
    if second is None or (type(second) is slice and _is_full(second)):
        return first
    if _is_full(first):
        return second
    if type(side) is not int or not _is_plain(first) or (type(second) is slice and not _is_plain(second)):
        return None
    left = range(side)[first]
    if type(second) is int:
        return left[second] if -len(left) <= second < len(left) else None
    left = left[second]
    if not left:
        return slice(0, 0, None)
    return slice(left.start, left.stop if left.stop >= 0 else None, left.step)


RULES: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(["identity", "stop_gradient", "positive", "clip", "concat"], (_first,)),
    **dict.fromkeys(["cast", "to_integer", "from_integer"], (_first, _there_and_back)),
    **dict.fromkeys(["negative", "logical_not", "bitwise_invert", "flip"], (_twice,)),
    **dict.fromkeys(["conj", "real"], (_first_if_real,)),
    **dict.fromkeys(["add", "subtract", "multiply", "divide"], (_neutral,)),
    **dict.fromkeys(["sum", "prod", "max", "min", "all", "any"], (_over_no_axes,)),
    **dict.fromkeys(_RESHAPES, (_reshaped,)),
    "pow": (_power,),
    "where": (_chosen,),
    "permute_dims": (_transposed,),
    "broadcast_to": (_broadcasted,),
    "getitem": (_part,),
    "stack": (_stack_of_one,),
}
RULES["conj"] = (_first_if_real, _twice)
