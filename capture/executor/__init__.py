"""Executor: the parts of a graph run on their devices, a thread each, and hand values to each other."""

from eagerflow.capture.executor.executor import Executor

__all__ = ["Executor"]
