"""Plans without compiled kernels, as where Numba is not installed: fused groups run operation by operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from eagerflow.capture.passes import lower
from eagerflow.capture.plan import steps


@contextmanager
def kernels_off() -> Iterator[None]:
    """Compile no kernels in this block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "compile_for", lambda device, graph: None)
        patch.setattr(steps, "accelerated", lambda op, inputs, attrs: None)
        patch.setattr(lower, "available", lambda: False)
        yield
