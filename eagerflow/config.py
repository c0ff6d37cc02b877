"""Settings of the process."""

from eagerflow.capture.kernels.threads import set_num_threads
from eagerflow.devices import set_logical_devices, set_matmul_precision, set_memory_limit, set_soft_placement

__all__ = ["set_logical_devices", "set_matmul_precision", "set_memory_limit", "set_num_threads", "set_soft_placement"]
