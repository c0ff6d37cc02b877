"""Graphs as pictures: text that Graphviz draws."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from eagerflow.capture.text import attributes, bodies, devices, names, short_line, variable_names

if TYPE_CHECKING:
    from eagerflow.capture.graph import Graph, Node, Value

_MOST = 12  # operations of a fused node that are listed


def to_dot(graph: Graph) -> str:
    r"""Return a graph in the language of Graphviz.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    str
        A ``digraph``: name scopes are clusters, edges carry dtype and shape, control edges are dashed, fused nodes list
        their operations. Where values are on more than one device, nodes say on which. ``dot -Tsvg`` makes a picture
        of it.

    References
    ----------
    "DOT language", https://graphviz.org/doc/info/lang.html

    Examples
    --------
    >>> import eagerflow as ef
    >>> from eagerflow.capture.graph import PARAMETER, Graph, Node
    >>> x = Node(PARAMETER, (), {"name": "x"}, [(ef.ops.Spec((2,), "float32"), None)])
    >>> print(Graph("same", x.outputs, x.outputs, (x,)).to_dot())
    digraph "same" {
      graph [fontname="sans-serif", fontsize=10]
      node [shape=box, style="rounded,filled", fillcolor="#ffffff", fontname="sans-serif", fontsize=10]
      edge [fontname="sans-serif", fontsize=8]
      n0 [label="x\nfloat32[2]", fillcolor="#dbeafe", shape=ellipse]
      result0 [label="result 0", shape=ellipse, fillcolor="#dcfce7"]
      n0 -> result0 [label="float32[2]"]
    }
    """
    drawing = _Drawing(graph)
    lines = [
        f"digraph {quoted(graph.name)} {{",
        '  graph [fontname="sans-serif", fontsize=10]',
        '  node [shape=box, style="rounded,filled", fillcolor="#ffffff", fontname="sans-serif", fontsize=10]',
        '  edge [fontname="sans-serif", fontsize=8]',
        *drawing.scope(_tree(graph.nodes), "  "),
        *drawing.results(),
        *drawing.edges(),
        "}",
    ]
    return "\n".join(lines)


def quoted(text: str) -> str:
    """Return text as a string of the DOT language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "\\n").replace("\0", "")
    return f'"{escaped}"'


def _tree(nodes: Iterable[Node]) -> dict[str, Any]:
    """Return the nodes as a tree of name scopes: nodes are under ``""``."""
    tree: dict[str, Any] = {}
    for node in nodes:
        at = tree
        for name in filter(None, node.scope.split("/")):
            at = at.setdefault(name, {})
        at.setdefault("", []).append(node)
    return tree


class _Drawing:
    """One graph while it is drawn."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.number = {node: i for i, node in enumerate(graph.nodes)}
        self.called = names(graph)
        self.states = variable_names(graph)
        self.inputs = set(graph.inputs)
        self.devices = devices(graph)
        self.clusters = 0

    def scope(self, tree: dict[str, Any], indent: str) -> list[str]:
        """Return the nodes of one scope, and the scopes in it as clusters."""
        lines = [f"{indent}{self.node(node)}" for node in tree.get("", ())]
        for name, inner in tree.items():
            if name:
                lines += [f"{indent}subgraph cluster_{self.clusters} {{", f"{indent}  label={quoted(name)}"]
                lines += [f'{indent}  style="rounded,filled"', f'{indent}  fillcolor="#00000008"']
                self.clusters += 1
                lines += [*self.scope(inner, indent + "  "), f"{indent}}}"]
        return lines

    def node(self, node: Node) -> str:
        """Return a node."""
        color, more = "#ffffff", ""
        title = [node.op.name]
        if any(value in self.inputs for value in node.outputs):
            title = [*[self.called[value][1:] for value in node.outputs], *[str(v.spec) for v in node.outputs]]
            color, more = "#dbeafe", ", shape=ellipse"
        elif inside := bodies(node):
            color, more = "#fef3c7", ", penwidth=2"
            for body in inside:
                listed = [n.op.name for n in body.nodes if n.outputs[0] not in body.inputs]
                title += listed[:_MOST] + ([f"and {len(listed) - _MOST} more"] if len(listed) > _MOST else [])
        else:
            title += attributes(node, self.states)
            title += [f"input {i}: {x}" for i, x in enumerate(node.inputs) if not hasattr(x, "node") and x is not None]
            color = "#fee2e2" if node.effects != "none" else "#f3f4f6" if not node.inputs else color
        title += dict.fromkeys(self.devices[value][1:] for value in node.outputs if value in self.devices)
        tip = f", tooltip={quoted(short_line(node.line))}" if node.line else ""
        return f"n{self.number[node]} [label={quoted(chr(10).join(title))}, fillcolor={quoted(color)}{more}{tip}]"

    def results(self) -> list[str]:
        """Return the results of the graph as nodes."""
        return [
            f'  result{i} [label="result {i}", shape=ellipse, fillcolor="#dcfce7"]'
            for i in range(len(self.graph.outputs))
        ]

    def edges(self) -> list[str]:
        """Return the edges."""
        lines = []
        for node, number in self.number.items():
            lines += [f"  {self.edge(value)} -> n{number} [label={quoted(str(value.spec))}]" for value in node.values]
            lines += [f"  n{self.number[other]} -> n{number} [style=dashed]" for other in node.control]
        for i, value in enumerate(self.graph.outputs):
            lines.append(f"  {self.edge(value)} -> result{i} [label={quoted(str(value.spec))}]")
        return lines

    def edge(self, value: Value) -> str:
        """Return where the edge of a value starts."""
        return f"n{self.number[value.node]}"
