"""Graphs as text: one line per node, in the order in which they run.

What is printed is told from its form, not from its class, so that `Graph` itself can print.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from eagerflow.core.variable import Variable

if TYPE_CHECKING:
    from eagerflow.capture.graph import Graph, Node, Value

LONGEST = 60  # characters of an attribute


def names(graph: Graph) -> dict[Value, str]:
    """Name the values of a graph: inputs as the function does, all others by number.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    dict
        A name for each value, with ``%`` in front; no two are the same.
    """
    taken: set[str] = set()
    found: dict[Value, str] = {}
    for value in graph.inputs:
        name = stem = str(value.node.attrs.get("name") or "input")
        if stem.isdigit():
            name = stem = f"input{stem}"
        again = 1
        while name in taken:
            again += 1
            name = f"{stem}_{again}"
        taken.add(name)
        found[value] = f"%{name}"
    number = 0
    for node in graph.nodes:
        for value in node.outputs:
            if value not in found:
                found[value] = f"%{number}"
                number += 1
    return found


def variable_names(graph: Graph) -> dict[int, str]:
    """Name the Variables of a graph by id; those without a name by number."""
    return {id(v): v.name or f"variable{i}" for i, v in enumerate(graph.variables())}


def to_text(graph: Graph) -> str:
    """Return a graph as readable text.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    str
        A header with inputs and results, what has to hold of symbolic lengths, a line for each node, and the results.
        Behind the operation stand its effects and what it waits for in braces, then name scope and source line. Where
        values are on more than one device, theirs stands behind shape and dtype.

    Examples
    --------
    >>> import eagerflow as ef
    >>> from eagerflow.capture.graph import PARAMETER, Graph, Node
    >>> spec = ef.ops.Spec((2,), "float32")
    >>> x = Node(PARAMETER, (), {"name": "x"}, [(spec, None)])
    >>> y = Node(ef.ops.registry()["multiply"], (x.outputs[0], 2.0), {}, [(spec, None)], line="demo.py:3: y = x * 2.0")
    >>> print(Graph("double", x.outputs, y.outputs, (x, y)))
    graph double(x: float32[2]) -> (float32[2])
      %0: float32[2] = multiply(%x, 2.0)  # demo.py:3
      return %0
    """
    return "\n".join(_lines(graph))


def _lines(graph: Graph) -> Iterator[str]:
    called = names(graph)
    states = variable_names(graph)
    marks = node_marks(graph, called)
    on = devices(graph)
    given = ", ".join(f"{called[value][1:]}: {value.spec}{on.get(value, '')}" for value in graph.inputs)
    made = ", ".join(f"{value.spec}{on.get(value, '')}" for value in graph.outputs)
    yield f"graph {graph.name}({given}) -> ({made})"
    for guard in graph.guards:
        yield f"  guard {guard.text}"
    inputs = {value.node for value in graph.inputs}
    for node in graph.nodes:
        if node in inputs:
            continue
        results = ", ".join(f"{called[value]}: {value.spec}{on.get(value, '')}" for value in node.outputs)
        comment = "  ".join(filter(None, [node.scope, short_line(node.line)]))
        yield (
            f"  {results or marks[node]} = {_call(node, called, states)}{_braces(node, marks)}"
            f"{'  # ' + comment if comment else ''}"
        )
        for body in bodies(node):
            yield from (f"    {line}" for line in _lines(body))
    yield f"  return {', '.join(called[value] for value in graph.outputs) or 'nothing'}"


def _call(node: Node, called: Mapping[Value, str], states: Mapping[int, str]) -> str:
    given = [called.get(x, "%?") if hasattr(x, "node") else str(x) for x in node.inputs]
    return f"{node.op.name}({', '.join([*given, *attributes(node, states)])})"


def _braces(node: Node, marks: Mapping[Node, str]) -> str:
    parts = [node.effects] if node.effects != "none" else []
    if node.control:
        parts.append("after " + " ".join(marks.get(other, "?") for other in node.control))
    return f"  {{{', '.join(parts)}}}" if parts else ""


def devices(graph: Graph) -> dict[Value, str]:
    """Return where the values of a graph are, as text with ``@`` in front; nothing where all are on one device."""
    found = {value: value.device for node in graph.nodes for value in node.outputs}
    several = len({id(device) for device in found.values()}) > 1
    return {value: f" @{device}" for value, device in found.items() if device is not None} if several else {}


def node_marks(graph: Graph, called: Mapping[Value, str]) -> dict[Node, str]:
    """Return what control edges call a node: its first result; a number behind ``!`` where it has none."""
    bare = [node for node in graph.nodes if not node.outputs]
    marks = {node: f"!{i}" for i, node in enumerate(bare)}
    return {node: marks.get(node) or called[node.outputs[0]] for node in graph.nodes}


def bodies(node: Node) -> list[Graph]:
    """Return the graphs inside a node."""
    return [value for value in node.attrs.values() if hasattr(value, "nodes")]


def short_line(line: str) -> str:
    """Return file and number of a source line, without its text."""
    return line.partition(": ")[0]


def attributes(node: Node, states: Mapping[int, str]) -> list[str]:
    """Return the attributes of a node as text; Variables by their name, and without graphs inside."""
    found = []
    for key, value in node.attrs.items():
        if isinstance(value, Variable):
            found.append(states[id(value)])
        elif key == "value" and isinstance(value, np.ndarray):  # of a constant
            found.append(array(value))
        elif not hasattr(value, "nodes") and not key.startswith("_"):
            found.append(f"{key}={attribute(value)}")
    return found


def attribute(value: Any) -> str:
    """Return an attribute as short text."""
    if isinstance(value, np.dtype):
        return str(value.name)
    if isinstance(value, np.ndarray):
        return array(value)
    if isinstance(value, slice):
        parts = ["" if part is None else str(part) for part in (value.start, value.stop, value.step)]
        return ":".join(parts[: 3 if parts[2] else 2])
    if value is Ellipsis:
        return "..."
    if type(value) is tuple or type(value) is list:
        inside = ", ".join(attribute(item) for item in value)
        text = f"[{inside}]" if type(value) is list else f"({inside},)" if len(value) == 1 else f"({inside})"
    elif callable(value) and hasattr(value, "__qualname__"):
        text = value.__qualname__
    else:
        text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def array(value: np.ndarray) -> str:
    """Return the first and last elements of an array."""
    text = np.array2string(value, threshold=6, edgeitems=2, precision=4, separator=", ")
    text = " ".join(text.split()).replace("[ ", "[")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
