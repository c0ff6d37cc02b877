"""Kernels: compiled functions for groups of ops."""

from eagerflow.capture.kernels.kernel import Kernel, available, batched, compile

__all__ = ["Kernel", "available", "batched", "compile"]
