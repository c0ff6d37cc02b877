"""Settings of the process."""

from eagerflow.devices import set_logical_devices

__all__ = ["set_logical_devices"]
