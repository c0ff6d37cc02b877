"""What kernels on CUDA need beside the functions that NumPy and CuPy share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow.core import Op
from eagerflow.errors import DeviceError
from eagerflow.ops.precision import quietly

# What CUDA adds to memory at once, whichever thread comes first.
_ATOMIC = frozenset(np.dtype(name) for name in ("int32", "uint32", "uint64", "float32", "float64"))


def add_at(xp: Any, target: Any, index: Any, values: Any) -> None:
    """Add `values` at the places of an index, also where it names one twice; over CuPy in any dtype.

    Parameters
    ----------
    xp : Any
        Array namespace.
    target : array
        What is added to, in place.
    index : index expression
        Integers, slices and arrays of integers.
    values : array
        What is added, of the dtype of `target`.
    """
    dtype = target.dtype
    if xp is np or dtype in _ATOMIC:
        xp.add.at(target, index, values)
    elif dtype.kind == "c":
        for part, name in ((values.real, "real"), (values.imag, "imag")):
            added = xp.zeros(target.shape, part.dtype)
            add_at(xp, added, index, part)
            target += added if name == "real" else added * 1j
    else:
        # Sums of integers are the same in any width that holds them, negative or not.
        wide = np.dtype(np.uint64 if dtype.kind in "biu" else np.float32)
        added = xp.zeros(target.shape, wide)
        add_at(xp, added, index, values.astype(np.int64).view(wide) if dtype.kind in "biu" else values.astype(wide))
        target += (added != 0) if dtype.kind == "b" else added.astype(dtype)


def solve_stacks(xp: Any, a: Any, b: Any) -> Any:
    """Return ``xp.linalg.solve(a, b)``, for stacks of matrices that broadcast: over CuPy they must be of one shape."""
    if xp is not np and b.ndim > 1 and a.shape[:-2] != b.shape[:-2]:
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (xp.broadcast_to(x, stack + x.shape[-2:]) for x in (a, b))
    return xp.linalg.solve(a, b)


def use_on_cuda(op: Op, name: str) -> None:
    """Let `cupyx.scipy.special` compute an elementwise op on CUDA: one kernel instead of one for each step."""

    def kernel(xp: Any, *inputs: Any) -> Any:
        function = special(xp, name)
        if function is None:
            raise DeviceError(f"{op.name}: this version of CuPy has no cupyx.scipy.special.{name}")
        return function(*inputs)

    computed = quietly(kernel)

    def run(*inputs: Any) -> Any:
        import cupy

        return computed(cupy, *inputs)

    op.register_kernel("cuda", run)


def special(xp: Any, name: str) -> Callable[..., Any] | None:
    """Return the function of that name of `cupyx.scipy.special`; None where `xp` is not CuPy, or where it has none."""
    if getattr(xp, "__name__", "") != "cupy":
        return None
    import cupyx.scipy.special

    found: Callable[..., Any] | None = getattr(cupyx.scipy.special, name, None)
    return found
