"""Capture: Python functions into static dataflow graphs, and what runs them.

`eagerflow.function` is where it begins; `docs/explanation/graphs-and-plans.md` tells how the parts work together.
"""

from typing import TYPE_CHECKING

from eagerflow.capture.concrete import ConcreteFunction
from eagerflow.capture.graph import Graph, Node, Value
from eagerflow.capture.interpreter import run_graph

if TYPE_CHECKING:
    from eagerflow.capture.passes import PASSES, optimize
    from eagerflow.capture.plan import Memory
    from eagerflow.capture.profile import Profile
    from eagerflow.capture.verifier import verify
else:
    from eagerflow.late import late

    __getattr__, __dir__ = late(
        __name__,
        {
            "eagerflow.capture.passes": ["PASSES", "optimize"],
            "eagerflow.capture.plan": ["Memory"],
            "eagerflow.capture.profile": ["Profile"],
            "eagerflow.capture.verifier": ["verify"],
        },
    )

__all__ = [
    "PASSES",
    "ConcreteFunction",
    "Graph",
    "Memory",
    "Node",
    "Profile",
    "Value",
    "optimize",
    "run_graph",
    "verify",
]
