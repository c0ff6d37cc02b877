"""Plans: a graph for concrete lengths as straight-line Python over buffers that are used again and again."""

from eagerflow.capture.plan.plan import Memory, Plan

__all__ = ["Memory", "Plan"]
