"""Tracing: from a Python function and its arguments to a graph, and when a trace serves another call."""
