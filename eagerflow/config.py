"""Settings of the process."""

from typing import TYPE_CHECKING

from eagerflow.devices import (
    set_cuda_graphs,
    set_logical_devices,
    set_matmul_precision,
    set_memory_limit,
    set_soft_placement,
)

if TYPE_CHECKING:
    from eagerflow.capture.kernels.threads import set_num_threads
else:
    from eagerflow.late import late

    __getattr__, __dir__ = late(__name__, {"eagerflow.capture.kernels.threads": ["set_num_threads"]})

__all__ = [
    "set_cuda_graphs",
    "set_logical_devices",
    "set_matmul_precision",
    "set_memory_limit",
    "set_num_threads",
    "set_soft_placement",
]
