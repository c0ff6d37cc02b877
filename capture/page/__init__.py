"""A page that shows a captured graph in a browser: one file, which loads nothing."""

from eagerflow.capture.page.data import GraphView, PlanView
from eagerflow.capture.page.document import html, write

__all__ = ["GraphView", "PlanView", "html", "write"]
