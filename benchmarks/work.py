"""What is measured: pieces of work, who does them, and what is aimed at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

NUMPY, EAGERFLOW, CAPTURED = "NumPy by hand", "eagerflow", "captured"
TORCH, TORCH_COMPILED, JAX, TENSORFLOW, AUTOGRAD = "PyTorch", "torch.compile", "JAX jit", "tf.function", "autograd"
COPY, COPY_ALONE = "copy by all cores", "copy by one thread"

# The package that a contender needs; ours need nothing.
PEERS = {
    TORCH: "torch",
    TORCH_COMPILED: "torch",
    JAX: "jax",
    TENSORFLOW: "tensorflow",
    AUTOGRAD: "autograd",
}
# Who spends time on compiling; in the first steps of the others there is only noise.
COMPILERS = (CAPTURED, TORCH_COMPILED, JAX, TENSORFLOW)
# What a target is relative to: the fastest of the peers that were measured.
BEST = "best peer"

# One step of the work, complete when it returns. What it returns can be compared with the others'.
Step = Callable[[], object]
# Makes the step, in a process of its own: a function of a module, or `functools.partial` of one.
Maker = Callable[[], Step]


@dataclass
class Target:
    """At most `ratio` times the median of contender `to`; without a ratio it is only told."""

    to: str
    ratio: float | None
    of: str = CAPTURED


@dataclass
class Work:
    """One piece of work, as each contender does it.

    Contenders start from the same state and do the same number of steps. What each step returns is
    comparable numbers, or None: after the first steps and after the last, results must agree within
    `tolerance` of the first contender's first result.
    """

    name: str
    contenders: dict[str, Maker]
    targets: list[Target] = field(default_factory=list)
    tolerance: float = 1e-6


@dataclass
class Result:
    """Medians in seconds, seconds of compiling, and why somebody is missing, by contender."""

    work: Work
    medians: dict[str, float]
    compiling: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
