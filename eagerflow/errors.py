"""The errors of eagerflow: each is also the built-in error that fits.

This is the one module that every floor of the house may import.

Examples
--------
>>> import eagerflow as ef
>>> try:
...     ef.zeros(3) + ef.zeros(4)
... except ValueError as error:
...     print(type(error).__name__)
ShapeError
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "AxisError",
    "CancelledError",
    "CaptureError",
    "CaptureWarning",
    "CheckpointError",
    "DTypeError",
    "DeviceError",
    "EagerflowError",
    "GradientError",
    "GradientLostWarning",
    "IndexOutOfBoundsError",
    "MissingExtraError",
    "PlacementError",
    "ShapeError",
    "StepTimeoutError",
]


class EagerflowError(Exception):
    """Base of every error that eagerflow raises on purpose."""


class ArgumentError(EagerflowError, ValueError):
    """A value that an argument does not take: an unknown option, a number out of its range."""


class ShapeError(EagerflowError, ValueError):
    """Shapes, axes or subscripts that do not fit the operation."""


class DTypeError(EagerflowError, TypeError):
    """A dtype, or a kind of object, that the operation does not take."""


class IndexOutOfBoundsError(EagerflowError, IndexError):
    """An index or a label outside the axis that it selects from."""


class AxisError(ShapeError, IndexOutOfBoundsError):
    """An axis that the array does not have, as `numpy.exceptions.AxisError` an error of values and of indices."""


class DeviceError(EagerflowError, RuntimeError):
    """An unknown device, or tensors on devices that do not meet."""


class PlacementError(DeviceError):
    """Requests for devices that cannot all be met; it names the lines that ask."""


class CancelledError(EagerflowError, RuntimeError):
    """A run that somebody gave up before its end."""


class StepTimeoutError(CancelledError, TimeoutError):
    """A run that took longer than it was given."""


class GradientError(EagerflowError, RuntimeError):
    """A gradient that does not exist, with the reason."""


class GradientLostWarning(UserWarning):
    """A Tensor that a tape follows becomes plain numbers, which it does not follow."""


class CaptureError(EagerflowError, RuntimeError):
    """Something that cannot become part of a captured graph."""


class CaptureWarning(UserWarning):
    """Something that a captured function does in another way than eager code, or more often than is good."""


class CheckpointError(EagerflowError, ValueError):
    """A weights file that is damaged or does not fit the model."""


class MissingExtraError(EagerflowError, ImportError):
    """An optional dependency that is not installed."""

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingExtraError:
        """Name the package, what it is for and the command that installs it."""
        return cls(f"{purpose} needs {package}; install it with: pip install 'eagerflow[{extra}]'")
