"""The hot path: Op, Tensor, Variable, tape and dispatch. Depends on devices only."""

from eagerflow.core.array_methods import ArrayMethods
from eagerflow.core.callers import binary, operand, reflected, unary
from eagerflow.core.dispatch import EAGER, Eager, Interpreter, apply, interpret
from eagerflow.core.op import EFFECTS, FUSION_CLASSES, Op, broadcast, implements, numpy_functions, registry, same
from eagerflow.core.pullback import unchanged
from eagerflow.core.sampling import Draw, Sample
from eagerflow.core.spec import Spec
from eagerflow.core.tape import GradientTape
from eagerflow.core.tensor import (
    Tensor,
    alias,
    become,
    bind,
    convert,
    default_dtype,
    is_exclusive,
    is_inexact,
    set_default_dtype,
    wrap,
    zeros_like,
)
from eagerflow.core.variable import Variable

__all__ = [
    "EAGER",
    "EFFECTS",
    "FUSION_CLASSES",
    "ArrayMethods",
    "Draw",
    "Eager",
    "GradientTape",
    "Interpreter",
    "Op",
    "Sample",
    "Spec",
    "Tensor",
    "Variable",
    "alias",
    "apply",
    "become",
    "binary",
    "bind",
    "broadcast",
    "convert",
    "default_dtype",
    "implements",
    "interpret",
    "is_exclusive",
    "is_inexact",
    "numpy_functions",
    "operand",
    "reflected",
    "registry",
    "same",
    "set_default_dtype",
    "unary",
    "unchanged",
    "wrap",
    "zeros_like",
]
