"""Kernels: compiled functions for groups of ops."""

from collections.abc import Callable
from typing import Any

from eagerflow.capture.graph import Graph
from eagerflow.capture.kernels import cuda
from eagerflow.capture.kernels.kernel import Kernel, available, batched, compile
from eagerflow.devices import Device

__all__ = ["COMPILERS", "Kernel", "available", "batched", "compile", "compile_for", "fusable"]

# Per name of a device kind what compiles a fused group for it: something with ``call(*inputs)``, which gives a tuple
# of new arrays, and ``source``; or None.
COMPILERS: dict[str, Callable[[Graph], Any]] = {"cuda": cuda.compile}


def fusable(device: Device) -> bool:
    """Tell whether groups of operations on a device become kernels, if what compiles them is installed."""
    return device.on_host or device.kind.name in COMPILERS


def compile_for(device: Device, graph: Graph) -> Any:
    """Return a kernel for a fused group on a device; None where its nodes run one by one."""
    if device.on_host:
        return compile(graph)
    compiler = COMPILERS.get(device.kind.name)
    return None if compiler is None else compiler(graph)
