"""Errors that help: the op, what came, what was expected, and the user's own line."""

from __future__ import annotations

import linecache
import os
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from eagerflow.errors import (
    DeviceError,
    DTypeError,
    EagerflowError,
    IndexOutOfBoundsError,
    ShapeError,
)

if TYPE_CHECKING:
    from eagerflow.core.op import Op

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# The floors, wherever their links lead.
_FLOORS = tuple({os.path.realpath(os.path.join(_HOME, name)) + os.sep for name in ("", "ops", "devices", "capture")})
_BETWEEN = ("optree.", "contextlib", "threading")


def user_line() -> str:
    """Return the line outside eagerflow that led here: ``file.py:12: y = a + b``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not is_ours(frame):
            name = frame.f_code.co_filename
            text = linecache.getline(name, frame.f_lineno).strip()
            return f"{os.path.basename(name)}:{frame.f_lineno}" + (f": {text}" if text else "")
        frame = frame.f_back
    return "unknown line"


def is_ours(frame: FrameType) -> bool:
    """Tell whether a frame is eagerflow's, or of what stands between it and the user."""
    name = frame.f_code.co_filename
    if name.startswith("<__array_function__") or frame.f_globals.get("__name__", "").startswith(_BETWEEN):
        return True
    return is_our_file(name)


def is_our_file(name: str) -> bool:
    """Tell whether a file is eagerflow's."""
    return os.path.realpath(name).startswith(_FLOORS)


def describe(value: Any) -> str:
    """Return an input in an error: ``float64[3, 4]`` for arrays, Python values as they are."""
    if hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, type):
        return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def explain(op: Op, arrays: Any, attrs: dict[str, Any], error: Exception) -> Exception:
    """Return the error to raise for one that a kernel raised."""
    names = [*op.inputs[: op.fixed], *[f"{op.inputs[-1]}[{i}]" for i in range(len(arrays) - op.fixed)]]
    came = ", ".join(f"{name}: {describe(array)}" for name, array in zip(names, arrays, strict=False))
    given = ", ".join(f"{key}={describe(value)}" for key, value in attrs.items() if not key.startswith("_"))
    message = str(error)
    kind: type[Exception]
    shapes = [array.shape for array in arrays if hasattr(array, "shape")]
    if isinstance(error, EagerflowError):
        kind = type(error)
    elif isinstance(error, np.linalg.LinAlgError):
        kind = ShapeError if "dimensional" in message or "square" in message else type(error)
    elif op.fusion == "elementwise" and isinstance(error, ValueError) and "broadcast" in message:
        kind, message = ShapeError, f"the shapes {' and '.join(map(str, shapes))} do not broadcast"
    elif isinstance(error, ValueError) and message.startswith("Unsupported dtype"):  # so says CuPy
        kind = DTypeError
    elif isinstance(error, np.exceptions.AxisError | ValueError):
        kind = ShapeError
    elif isinstance(error, IndexError):
        kind = IndexOutOfBoundsError
    elif isinstance(error, TypeError | np.exceptions.DTypePromotionError | OverflowError):
        # An overflow here is a Python integer that the dtype beside it cannot hold.
        kind = DTypeError
    elif isinstance(error, AttributeError) and any(array is None for array in arrays):
        kind, message = DTypeError, "expected arrays or numbers, got None"
    else:
        error.add_note(f"in {op.name}({came}{', ' if given else ''}{given}), called at {user_line()}")
        return error
    message = message.removeprefix(f"{op.name}: ")
    return kind(f"{op.name}: {message}\n  got {came}{'; ' if given else ''}{given}\n  at {user_line()}")


def two_devices(op: Op, inputs: Any) -> DeviceError:
    """Return the error for inputs on devices that do not meet."""
    named = [f"{describe(x)} on {x.device}" for x in inputs if hasattr(x, "device")]
    return DeviceError(
        f"{op.name}: expected all tensors on one device, got {' and '.join(named)}; "
        f"move one with t.to(device)\n  at {user_line()}"
    )
