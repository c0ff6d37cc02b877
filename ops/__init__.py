"""Every operation, one family a file: kernel, shape rule, gradient, cost."""

from eagerflow.core import Draw, Op, Sample, Spec, broadcast, implements, registry, same
from eagerflow.ops import linalg, methods, protocol  # what they bind makes Tensors arrays
from eagerflow.ops.declare import elementwise

__all__ = [
    "Draw",
    "Op",
    "Sample",
    "Spec",
    "broadcast",
    "elementwise",
    "implements",
    "linalg",
    "methods",
    "protocol",
    "registry",
    "same",
]
