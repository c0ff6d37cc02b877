"""Dispatch: how a call of an op finds its interpreter, and the eager interpreter.

The interpreter is the seam that capture plugs into. Calls with nothing but concrete Tensors
take a short way through `callers`, which does the same as `Eager.apply`; all other calls
ask `current` first: those with Variables, with Python and NumPy values, with values that
another interpreter made, and those of ops with effects.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from eagerflow.core.array_methods import ArrayMethods
from eagerflow.core.explain import explain, two_devices, user_line
from eagerflow.core.pullback import output
from eagerflow.core.record import attach
from eagerflow.core.tensor import Tensor, convert, landed, lend, wrap
from eagerflow.core.traced import innermost
from eagerflow.devices import CPU0, Device, current
from eagerflow.devices.request import asked, requested
from eagerflow.errors import DTypeError

if TYPE_CHECKING:
    from eagerflow.core.op import Op


class Interpreter:
    """What a call of an op means."""

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Return the result of `op` on `inputs`, in whatever form this interpreter uses."""
        raise NotImplementedError


class Eager(Interpreter):
    """Executes at once, and records if a tape listens."""

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Run the kernel of the inputs' device."""
        weak = op.weak and not all(type(x) in SCALARS for x in inputs)  # scalars alone have the default dtype
        device: Device | None = None
        for x in inputs:
            if isinstance(x, ArrayMethods):
                device = x.device
                break
        values = []
        traced = False
        for x in inputs:
            if type(x) is not Tensor:
                x = read(x, weak, device)
                if x is None:
                    _check_none(op, inputs)
                elif type(x) is not Tensor and type(x) not in SCALARS:
                    traced = True
            values.append(x)
        if asked.count:
            values = moved(op, values)
        level = innermost(values) if traced else None
        return run(op, values, attrs) if level is None else level.apply(op, values, attrs)


EAGER = Eager()
current_interpreter: ContextVar[Interpreter] = ContextVar("interpreter", default=EAGER)


class Arrays(Interpreter):
    """Executes on bare arrays of the host and gives bare arrays: for gradient functions that nothing records."""

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Run the kernel; where a Tensor is among the inputs, as `Eager` does."""
        for x in inputs:
            if type(x) is not np.ndarray and isinstance(x, ArrayMethods):
                return EAGER.apply(op, inputs, attrs)
        try:
            return op.kernel_for(CPU0)(*inputs, **attrs)
        except Exception as error:
            raise explain(op, inputs, attrs, error) from error


ARRAYS = Arrays()


def enter_arrays() -> tuple[Any, Any]:
    """Let ops called with bare arrays give bare arrays, until `leave_arrays`."""
    return current_interpreter.set(ARRAYS), lend.set(True)


def leave_arrays(tokens: tuple[Any, Any]) -> None:
    """Undo `enter_arrays`."""
    current_interpreter.reset(tokens[0])
    lend.reset(tokens[1])


@contextmanager
def interpret(interpreter: Interpreter) -> Iterator[None]:
    """Send the calls of ops in this block, in this thread or task, to `interpreter`."""
    token = current_interpreter.set(interpreter)
    try:
        yield
    finally:
        current_interpreter.reset(token)


def apply(op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
    """Run `op`, or hand it to the current interpreter."""
    if op.effects == "none" and not asked.count:
        for x in inputs:
            if type(x) is not Tensor:
                break
        else:
            if inputs:
                return run(op, inputs, attrs)
    return current_interpreter.get().apply(op, inputs, attrs)


# The op that copies to another device, which it declares itself to be.
_mover: list[Op] = []


def moves_inputs(op: Op) -> Op:
    """Let this op copy inputs to the device that a block of the program asks for."""
    _mover[:] = [op]
    return op


def moved(op: Op, inputs: list[Any]) -> list[Any]:
    """Return the inputs on the device that was asked for in this block."""
    request = requested.get()
    if request is None or request.device is None or op.moves:
        return inputs
    target = request.device
    return [_mover[0](x, device=target) if isinstance(x, Tensor) and x.device is not target else x for x in inputs]


def ask(op: Op, *inputs: Any) -> Any:
    """Hand a call that is not all Tensors to the current interpreter."""
    return current_interpreter.get().apply(op, inputs, {})


SCALARS = frozenset((float, int, bool, complex))


def read(x: Any, weak: bool, device: Device | None) -> Any:
    """Return an input as a Tensor; a Python scalar as it is where `weak`, otherwise on `device`; None as it is."""
    if type(x) is Tensor or x is None:
        return x
    if isinstance(x, ArrayMethods):
        return x._read()
    if type(x) in SCALARS:
        return x if weak else convert(x, None, device)
    return convert(x)


def _check_none(op: Op, inputs: tuple[Any, ...]) -> None:
    """Raise where an input is None that the caller cannot leave out."""
    for position, x in enumerate(inputs):
        name = op.inputs[min(position, len(op.inputs) - 1)]
        if x is None and name not in op.optional:
            raise DTypeError(f"{op.name}: {name} is None; expected an array or a number\n  at {user_line()}")


def run(op: Op, inputs: Any, attrs: dict[str, Any]) -> Any:
    """Execute `op` on Tensors (and weak scalars) and record it."""
    device: Device | None = None
    arrays = []
    scalars = False
    mask = 0
    bit = 1
    for x in inputs:
        if type(x) is Tensor:
            arrays.append(x._held)
            if x._device is not device:
                if device is not None:
                    raise two_devices(op, inputs)
                device = x._device
            if x._rec is not None:
                mask |= bit
        else:
            arrays.append(x)
            scalars = True
        bit <<= 1
    if scalars:
        arrays = _weaken(arrays)
    if device is None:
        device = current()
    try:
        if device is CPU0:
            data = op.kernel_for(CPU0)(*arrays, **attrs)
        else:
            with device.kind.activate(device.index):
                data = op.kernel_for(device)(*arrays, **attrs)
    except Exception as error:
        raise explain(op, arrays, attrs, error) from error
    if op.outputs != 1:
        return _finish_many(op, inputs, arrays, attrs, data, device, mask)
    if op.moves:
        device = attrs["device"]
    if type(data) is not np.ndarray:
        data = np.asarray(data) if device.on_host else landed(data, device)
    result = wrap(data, device)
    if mask:
        parents = tuple([x._rec if type(x) is Tensor else None for x in inputs])
        result._rec = attach(op, parents, saved(op, arrays, data, mask), attrs, data.shape, data.dtype, device)
    return result


# From here on dtypes are extensions such as bfloat16, next to which NumPy does not hold Python scalars weak.
EXTENSION = 256


def _weaken(arrays: list[Any]) -> list[Any]:
    """Give Python scalars the dtype of the extension dtype beside them."""
    for array in arrays:
        if hasattr(array, "dtype") and array.dtype.num >= EXTENSION:
            dtype = array.dtype.type
            return [dtype(x) if type(x) in (float, int, bool) else x for x in arrays]
    return arrays


def saved(op: Op, arrays: list[Any], data: Any, mask: int) -> tuple[Any, ...]:
    """Return what the gradient keeps of the inputs and the output."""
    keep = op.keep(mask, len(arrays))
    kept: list[Any] = [array if wanted else None for array, wanted in zip(arrays, keep, strict=False)]
    kept.append(data if keep[-1] else None)
    return tuple(kept)


def _finish_many(
    op: Op, inputs: Any, arrays: list[Any], attrs: dict[str, Any], data: Any, device: Device, mask: int
) -> tuple[Tensor, ...]:
    if device.on_host:
        data = [np.asarray(item) for item in data]
    else:
        data = [landed(item, device) for item in data]
    results = tuple([wrap(item, device) for item in data])
    if mask:
        parents = tuple([x._rec if type(x) is Tensor else None for x in inputs])
        shapes, dtypes = tuple([item.shape for item in data]), tuple([item.dtype for item in data])
        record = attach(op, parents, saved(op, arrays, data, mask), attrs, shapes, dtypes, device)
        if record is not None:
            for index, result in enumerate(results):
                result._rec = output(record, index, result._held)
    return results
