"""Kernels: compiled functions for groups of ops."""

from eagerflow.capture.kernels.kernel import Kernel, batched, compile

__all__ = ["Kernel", "batched", "compile"]
