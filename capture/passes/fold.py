"""Constant folding: what depends on constants alone is computed once, by the kernels that each run would use."""

from __future__ import annotations

import numpy as np

from eagerflow.capture.attributes import is_symbolic
from eagerflow.capture.graph import CONSTANT, Graph, Node, Rewriter, Special, Value
from eagerflow.capture.passes.constants import constant
from eagerflow.core.dispatch import run as execute
from eagerflow.core.tensor import wrap
from eagerflow.devices import device

# Bytes that the results may take beyond the inputs: what is large and quickly made is made in each run.
GROWTH = 64 * 1024


def run(graph: Graph) -> Graph:
    """Compute what depends on constants alone.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    Graph
        With constants in place of nodes whose inputs are all constant. A node stays if it has effects, moves data
        between devices, makes much data of little (see `GROWTH`), or if its kernel fails or warns: it will do so
        when it runs.
    """
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        made = _folded(node, rewriter.inputs(node))
        if made is None:
            rewriter.keep(node)
        else:
            rewriter.replace(node, [rewriter.add(one).outputs[0] for one in made])
    return rewriter.graph()


def _folded(node: Node, inputs: tuple[object, ...]) -> list[Node] | None:
    """Return a constant per result, or None."""
    op = node.op
    if isinstance(op, Special) or op.effects != "none" or op.moves or node.control or not node.outputs:
        return None
    values = [x for x in inputs if isinstance(x, Value)]
    if any(x.node.op is not CONSTANT for x in values) or is_symbolic(inputs) or is_symbolic(node.attrs):
        return None
    specs = [value.spec for value in node.outputs]
    if is_symbolic(specs) or sum(s.nbytes for s in specs) > GROWTH + sum(x.spec.nbytes for x in values):
        return None
    home = node.outputs[0].device
    arguments = [wrap(x.node.attrs["value"], x.device) if isinstance(x, Value) else x for x in inputs]
    try:
        with device(home), np.errstate(divide="raise", over="raise", invalid="raise"):
            made = execute(op, arguments, dict(node.attrs))
    except Exception:
        return None
    results = [made] if op.outputs == 1 else list(made)
    if any((x.shape, x.dtype, x.device) != (s.shape, s.dtype, home) for x, s in zip(results, specs, strict=True)):
        return None
    return [constant(x._held, home, node) for x in results]
