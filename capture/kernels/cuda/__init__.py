"""CUDA: fused groups as kernels for NVIDIA GPUs."""

from eagerflow.capture.kernels.cuda.kernel import CudaKernel, compile

__all__ = ["CudaKernel", "compile"]
