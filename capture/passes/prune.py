"""Prune: nodes that neither a result nor an effect needs are left out."""

from __future__ import annotations

from eagerflow.capture.graph import PARAMETER, Graph, needed_for, only

_SILENT = ("none", "reads state", "random")  # effects that nobody notices if nothing uses the result


def run(graph: Graph) -> Graph:
    """Leave out what nothing needs.

    Parameters
    ----------
    graph : Graph
        The graph.

    Returns
    -------
    Graph
        With all parameters, what the results need, assignments, callbacks, and what those need.

    Notes
    -----
    A node that nothing needs goes even if it could fail. Draws have their numbers from the trace: those that stay
    draw what they drew before.
    """
    acting = [node for node in graph.nodes if node.op is PARAMETER or node.effects not in _SILENT]
    needed = needed_for(graph.outputs, acting)
    return graph if len(needed) == len(graph.nodes) else only(graph, needed)
