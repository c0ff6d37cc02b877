"""Put a graph and the code that draws it into one HTML file."""

from __future__ import annotations

import json
import os
import re
from html import escape
from pathlib import Path

from eagerflow.capture.page.data import GraphView, contents

# In the order in which they build on each other.
SCRIPTS = ("format", "model", "layers", "layout", "graph", "panel", "table", "memory", "timeline", "main")


def write(path: str | os.PathLike[str], view: GraphView) -> None:
    """Write a page that shows a graph.

    Parameters
    ----------
    path : path_like
        File to write; it is replaced if it exists.
    view : GraphView
        The graph, and what else is known of it.

    Examples
    --------
    >>> from eagerflow.capture.graph import PARAMETER, Graph, Node
    >>> from eagerflow.capture.page import GraphView, write
    >>> from eagerflow.core import Spec, registry
    >>> from eagerflow.devices import CPU0
    >>> float32 = Spec((2,), "float32")
    >>> x = Node(PARAMETER, [], {"name": "x"}, [(float32, CPU0)])
    >>> y = Node(registry()["tanh"], x.outputs, {}, [(float32, CPU0)])
    >>> write("tanh.html", GraphView(Graph("f", x.outputs, y.outputs, [x, y])))
    """
    Path(path).write_text(html(view), encoding="utf-8")


def html(view: GraphView) -> str:
    """Return the text of the page.

    Parameters
    ----------
    view : GraphView
        The graph, and what else is known of it.

    Returns
    -------
    str
        An HTML document without references to anything outside it.

    Examples
    --------
    >>> from eagerflow.capture.graph import Graph
    >>> from eagerflow.capture.page import GraphView, html
    >>> "<title>empty" in html(GraphView(Graph("empty", [], [], [])))
    True
    """
    parts = {
        "title": escape(view.graph.name),
        "style": _part("page.css"),
        "script": "\n".join(_part(f"{name}.js") for name in SCRIPTS),
        # Inside <script> only "<" could end it; ASCII survives whatever handles the file next.
        "data": json.dumps(contents(view), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    # One sweep: a graph whose names look like placeholders stays as it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _part("page.html"))


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
