"""Symbol: what stands for a value while a function is captured."""

from __future__ import annotations

import math
import sys
from types import FrameType
from typing import Any, NoReturn

import numpy as np

from eagerflow.capture.graph import PARAMETER
from eagerflow.capture.tracing.code import users_line, warn
from eagerflow.core.explain import is_ours
from eagerflow.core.leaving import is_storing
from eagerflow.core.tensor import Tensor
from eagerflow.core.traced import Traced
from eagerflow.devices import Device
from eagerflow.errors import CaptureError, DTypeError

_CONVERSIONS = ("__bool__", "__float__", "__int__", "__complex__", "__index__", "item", "tolist")


class Symbol(Traced):
    """A value of a graph that is being captured: ``_held`` is its `Value`, ``_device`` the trace."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[Any, ...]:
        """Length of each axis; some may be symbolic."""
        return self._held.spec.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the elements."""
        dtype: np.dtype[Any] = self._held.spec.dtype
        return dtype

    @property
    def size(self) -> Any:
        """Number of elements."""
        return math.prod(self._held.spec.shape)

    @property
    def device(self) -> Device:
        """The device that holds the values."""
        device: Device = self._held.device
        return device

    @property
    def inside(self) -> Tensor:
        """There is nothing inside."""
        raise self._error("the function needs its values")

    def __len__(self) -> int:
        if not self.shape:
            raise DTypeError("len: a Tensor without axes has no length")
        return int(self.shape[0])

    def concrete(self, what: str) -> Tensor:
        """Raise: a symbol has no values yet."""
        raise self._error(what)

    def numpy(self) -> Any:
        """Raise: a symbol has no values yet."""
        caller = sys._getframe(1)
        if caller.f_code.co_name in _CONVERSIONS:  # of a Variable, whose value this is
            getattr(self, caller.f_code.co_name)()
        frame: FrameType | None = caller
        while frame is not None and is_ours(frame):
            frame = frame.f_back
        if frame is not None and is_storing(frame):
            self._store()
        raise self._error(
            "something needs the numbers of a Tensor (.numpy(), np.asarray, a NumPy or SciPy function that eagerflow "
            "does not know, a mask as an index)",
            "use ef functions throughout, return the Tensor, or call the code through ef.py_function",
        )

    def __bool__(self) -> bool:
        self._decide("if, while, and, or, not, assert, min() or max() need the truth of a Tensor", "a branch")

    def __float__(self) -> float:
        if is_storing(sys._getframe(1)):
            self._store()
        self._decide("float() needs the number in a Tensor", "a number")

    def __int__(self) -> int:
        self._decide("int() needs the number in a Tensor", "a number")

    def __complex__(self) -> complex:
        if is_storing(sys._getframe(1)):
            self._store()
        self._decide("complex() needs the number in a Tensor", "a number")

    def __index__(self) -> int:
        self._decide("an index, range() or a length needs the number in a Tensor", "a number")

    def item(self) -> Any:
        """Raise: a symbol has no values yet."""
        self._decide(".item() needs the number in a Tensor", "a number")

    def tolist(self) -> Any:
        """Raise: a symbol has no values yet."""
        self._decide(".tolist() needs the numbers in a Tensor", "a number")

    def _store(self) -> NoReturn:
        raise self._error(
            "array[index] = tensor needs the numbers of a Tensor",
            "make the array with np.zeros_like(x), np.zeros(shape, like=x) or ef.zeros(shape)",
        )

    def _decide(self, what: str, kind: str) -> NoReturn:
        remedy = (
            "use ef.where(condition, a, b), which computes both, or decide outside the captured function"
            if kind == "a branch"
            else "keep it a Tensor, pass the number as a Python argument, or compute with it outside the function"
        )
        raise self._error(what, remedy)

    def _error(self, what: str, remedy: str = "") -> CaptureError:
        trace: Any = self._device
        where = f"\n  at {users_line()}"
        node = self._held.node
        made = f"\n  it was made at {node.line}" if node.line and node.op is not PARAMETER else ""
        if not trace.alive:
            return CaptureError(
                f"a Tensor of {trace.name} was kept when the capture was over (in an attribute, a list, a global), "
                f"where it stands for nothing; return it from the function, or keep it in a Variable{where}{made}"
            )
        way_out = f"; {remedy}" if remedy else ""
        return CaptureError(f"{what}, which has none yet while {trace.function} is captured{way_out}{where}{made}")

    def __str__(self) -> str:
        warn(
            "a Tensor in a captured function becomes text once, while it is captured, and shows no values; "
            f"use ef.print to print in every run\n  at {users_line()}"
        )
        return repr(self)

    def __format__(self, spec: str) -> str:
        return str(self)

    def __repr__(self) -> str:
        trace: Any = self._device
        over = "" if trace.alive else ", no longer valid"
        return f"Symbol({self._held.spec!r}, in {trace.name}{over})"
