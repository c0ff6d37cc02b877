"""Leaving the tape: where a recorded Tensor becomes plain numbers, which no tape follows."""

from __future__ import annotations

import sys
import warnings
from opcode import opmap
from types import FrameType
from typing import TYPE_CHECKING

from eagerflow.core.explain import user_line
from eagerflow.core.record import recorders
from eagerflow.errors import EagerflowError, GradientError, GradientLostWarning

if TYPE_CHECKING:
    from eagerflow.core.tensor import Tensor

# What the interpreter executes for `target[index] = value`, and for slices in newer versions.
_STORES = {opmap[name] for name in ("STORE_SUBSCR", "STORE_SLICE") if name in opmap}


def is_followed(tensor: Tensor) -> bool:
    """Tell whether an open tape or forward mode follows `tensor`, so that plain numbers made of it lose a gradient."""
    record = tensor._rec
    if record is None or not any(recorder.recording for recorder in recorders(record.tape)):
        return tensor._moves()
    return tensor.dtype.kind not in "biu"


def refuse_storing(tensor: Tensor) -> None:
    """Raise if NumPy asks for the numbers of `tensor` in order to store them: ``array[index] = tensor``.

    The frame that called the method that calls this one stands at the assignment.

    Raises
    ------
    GradientError
        It is so, and the Tensor is followed.
    """
    if not is_followed(tensor):
        return
    if is_storing(sys._getframe(2)):
        raise GradientError(
            "array[index] = tensor: writing a recorded Tensor into a NumPy array would lose its gradient; make the "
            "array with np.zeros_like(x), np.zeros(shape, like=x) or ef.zeros(shape), or store x.numpy() "
            f"where numbers are meant\n  at {user_line()}"
        )


def is_storing(frame: FrameType) -> bool:
    """Tell whether a frame stands at an assignment to elements: ``array[index] = value``."""
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] in _STORES


def own(error: BaseException | None) -> EagerflowError | None:
    """Return the error of ours that NumPy hides behind one of its own: it does where it stores a single number."""
    hidden = error.__cause__ if type(error) is ValueError else None
    return hidden if isinstance(hidden, EagerflowError) else None


def warn_of_conversion(tensor: Tensor) -> None:
    """Warn if NumPy makes an array of a Tensor that is followed: ``np.asarray(tensor)``."""
    if is_followed(tensor):
        warnings.warn(
            "np.asarray(tensor), np.array([tensor]) or a function that calls them makes plain numbers of a recorded "
            "Tensor, and its gradient is lost; use ef.asarray or np.stack, or tensor.numpy() where numbers are meant",
            GradientLostWarning,
            stacklevel=3,
        )
