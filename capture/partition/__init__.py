"""Partition: a placed graph cut into one part per device, joined by Send and Recv."""

from eagerflow.capture.partition.cut import partition
from eagerflow.capture.partition.parts import Edge, Part, Partitioned
from eagerflow.capture.partition.verifier import verify_parts

__all__ = ["Edge", "Part", "Partitioned", "partition", "verify_parts"]
