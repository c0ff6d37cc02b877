"""Plans: a graph for concrete lengths as straight-line Python over buffers that are used again and again."""

from eagerflow.capture.plan.plan import Memory, Plan
from eagerflow.capture.plan.replay import Replay

__all__ = ["Memory", "Plan", "Replay"]
