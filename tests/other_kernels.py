"""Another kernel of an op for a while, and everything as it was afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eagerflow.core import Op
from eagerflow.devices import CPU0


@contextmanager
def other_kernel(op: Op, kernel: Callable[..., Any]) -> Iterator[None]:
    """Let `kernel` be that of the op on the CPU in this block."""
    kernels, into = dict(op._kernels), dict(op._into)
    op.register_kernel("cpu", kernel)
    try:
        yield
    finally:
        for mine, before in ((op._kernels, kernels), (op._into, into)):
            mine.clear()
            mine.update(before)
        for rebind in op.rebind:
            rebind(op.kernel_for(CPU0))
