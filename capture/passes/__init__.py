"""Passes: each makes a better graph of a graph, and changes nothing that can be observed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from eagerflow.capture.graph import Graph
from eagerflow.capture.passes import assemble, cse, dead_state, fold, fuse, lower, prune, simplify
from eagerflow.capture.verifier import verify as check
from eagerflow.errors import ArgumentError, CaptureError

# By name: what takes a graph and returns one.
PASSES: dict[str, Callable[[Graph], Graph]] = {
    "prune": prune.run,
    "dead_state": dead_state.run,
    "fold": fold.run,
    "simplify": simplify.run,
    "cse": cse.run,
    "assemble": assemble.run,
    "lower": lower.run,
    "fuse": fuse.run,
}

# What runs if nothing else is asked for, in this order. What lowering makes can have been there before.
DEFAULT = (
    "prune",
    "dead_state",
    "fold",
    "simplify",
    "cse",
    "assemble",
    "lower",
    "simplify",
    "cse",
    "prune",
    "fuse",
    "prune",
)


# Whether graphs are checked before the first pass and after each, if the caller does not say: in tests they are.
VERIFY = bool(os.environ.get("EAGERFLOW_VERIFY"))


def chosen(passes: Iterable[str] | Mapping[str, bool] | None) -> tuple[str, ...]:
    """Return the names of the passes that `optimize` runs, in their order.

    Raises
    ------
    ArgumentError
        There is no pass of that name.
    """
    names = DEFAULT if passes is None or isinstance(passes, Mapping) else tuple(passes)
    unknown = sorted(set(names if not isinstance(passes, Mapping) else passes) - set(PASSES))
    if unknown:
        raise ArgumentError(
            f"passes: there is no pass {', '.join(map(repr, unknown))}; expected some of {', '.join(PASSES)}"
        )
    if isinstance(passes, Mapping):
        names = tuple([name for name in names if passes.get(name, True)])
    return names


def optimize(
    graph: Graph, passes: Iterable[str] | Mapping[str, bool] | None = None, verify: bool | None = None
) -> Graph:
    """Run passes over a graph.

    Parameters
    ----------
    graph : Graph
        The graph.
    passes : sequence of str or mapping of str to bool, optional
        Names of passes in the order in which they run; or which of the usual ones run: those that the mapping does not
        turn off. All of them if not given.
    verify : bool, optional
        Whether to check the graph before the first pass and after each; if the environment has ``EAGERFLOW_VERIFY``
        set when not given.

    Returns
    -------
    Graph
        The new graph; the old one is as it was.

    Raises
    ------
    ArgumentError
        There is no pass of that name.
    CaptureError
        A pass broke a rule of graphs; only with `verify`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> from eagerflow.capture.graph import PARAMETER, Graph, Node
    >>> from eagerflow.capture.passes import optimize
    >>> spec = ef.ops.Spec((2,), "float32")
    >>> x = Node(PARAMETER, (), {"name": "x"}, [(spec, ef.devices.find("cpu:0"))])
    >>> y = Node(ef.ops.registry()["multiply"], (x.outputs[0], 1.0), {}, [(spec, ef.devices.find("cpu:0"))])
    >>> graph = Graph("f", x.outputs, y.outputs, (x, y))
    >>> len(optimize(graph)), len(optimize(graph, {"simplify": False})), len(optimize(graph, ["cse"]))
    (1, 2, 2)
    """
    names = chosen(passes)
    verify = VERIFY if verify is None else verify
    if verify:
        check(graph)
    for name in names:
        graph = PASSES[name](graph)
        if verify:
            try:
                check(graph)
            except CaptureError as error:
                error.add_note(f"after the pass {name!r}")
                raise
    return graph
