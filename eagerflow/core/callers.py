"""Callers: the short ways into elementwise ops of one and of two inputs.

They do what `dispatch.run` does, without its loops: on small arrays the way to the kernel
costs as much as the kernel. Every line here is measured (``make bench``).

Where the C extension is there (see `extension`), it does the most frequent part of the same,
and calls these functions for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow.core.array_methods import ArrayMethods
from eagerflow.core.dims import Symbolic
from eagerflow.core.dispatch import ARRAYS, EXTENSION, SCALARS, ask, current_interpreter
from eagerflow.core.explain import explain, two_devices
from eagerflow.core.extension import fast
from eagerflow.core.op import Op
from eagerflow.core.record import Joint, Record, Recorder, attach
from eagerflow.core.tensor import Tensor, _new, landed
from eagerflow.devices import CPU0, Device
from eagerflow.devices.device import _current
from eagerflow.devices.request import asked

_ndarray = np.ndarray
_asarray = np.asarray

if fast is not None:
    _plain = tuple(np.dtype(code) for code in "?bBhHiIlLqQefdFD")
    fast.setup(Tensor, Record, Recorder, _ndarray, CPU0, _asarray, _plain, current_interpreter, ARRAYS, _current)
    asked.listeners.append(fast.set_asked)


def _compile(op: Op, call: Any, arity: int) -> Any:
    """Return `call`, or what does the same in C."""
    if fast is None:
        return call
    masks = [(False,) * 3] + [op.keep(mask, arity) for mask in range(1, 1 << arity)]
    bits = [sum(kept << (2 if slot == arity else slot) for slot, kept in enumerate(keep)) for keep in masks]
    caller = fast.Caller(op, op.kernel_for(CPU0), call, arity, tuple(bits + [0] * (4 - len(bits))))
    caller.__wrapped__ = call
    op.rebind.append(caller.set_kernel)
    return caller


def unary(op: Op) -> Callable[[Any], Any]:
    """Return the function ``op(x)``."""
    kernel = op.kernel_for(CPU0)
    keep_x, keep_out = op.keep(1, 1)

    def rebind(other: Any) -> None:
        nonlocal kernel
        kernel = other

    op.rebind.append(rebind)

    def call(x: Any, /) -> Any:
        if type(x) is not Tensor or asked.count:
            return ask(op, x)
        source = x._held
        device = x._device
        if device is CPU0:
            try:
                data = kernel(source)
            except Exception as error:
                raise explain(op, (source,), {}, error) from error
            if type(data) is not _ndarray:
                data = _asarray(data)
        else:
            data = _elsewhere(op, device, source)
        result: Tensor = _new(Tensor)
        result._held = data
        result._device = device
        # From here on the same as `attach`, for the one tape that there usually is.
        parent = x._rec
        if parent is None:
            result._rec = None
            return result
        tape = parent.tape
        if type(tape) is not Recorder:
            kept = (source if keep_x else None, data if keep_out else None)
            result._rec = attach(op, (parent,), kept, None, data.shape, data.dtype, device)
            return result
        if not tape.recording:
            result._rec = None
            return result
        result._rec = record = _new(Record)
        record.op = op
        record.parents = (parent,)
        record.saved = (source if keep_x else None, data if keep_out else None)
        record.attrs = None
        record.shape = parent.shape
        record.dtype = data.dtype
        record.device = device
        record.tape = tape
        records = tape.records
        records.append(record)
        if len(records) > tape.limit:
            tape.prune()
        return result

    return _compile(op, call, 1)


def attributed(op: Op, quick: Callable[..., Any] | None = None) -> Callable[[Any, dict[str, Any]], Any]:
    """Return the function ``call(x, attrs)`` of an op of one input and one output: ``op(x, **attrs)``.

    `quick` is a shorter kernel for the CPU, for elements of four bytes and more.
    """
    kernel = quick or op.kernel_for(CPU0)
    least = 4 if quick else 0
    keep_x, keep_out = op.keep(1, 1)

    def rebind(other: Any) -> None:
        nonlocal kernel
        kernel = other

    op.rebind.append(rebind)

    def call(x: Any, attrs: dict[str, Any], /) -> Any:
        if type(x) is not Tensor or x._device is not CPU0 or asked.count:
            return op(x, **attrs)
        source = x._held
        if source.itemsize < least:
            return op(x, **attrs)
        try:
            data = kernel(source, **attrs)
        except Exception as error:
            raise explain(op, (source,), attrs, error) from error
        if type(data) is not _ndarray:
            data = _asarray(data)
        result: Tensor = _new(Tensor)
        result._held = data
        result._device = CPU0
        parent = x._rec
        if parent is None:
            result._rec = None
            return result
        tape = parent.tape
        kept = (source if keep_x else None, data if keep_out else None)
        if type(tape) is not Recorder:
            result._rec = attach(op, (parent,), kept, attrs, data.shape, data.dtype, CPU0)
            return result
        if not tape.recording:
            result._rec = None
            return result
        result._rec = record = _new(Record)
        record.op = op
        record.parents = (parent,)
        record.saved = kept
        record.attrs = attrs
        record.shape = data.shape
        record.dtype = data.dtype
        record.device = CPU0
        record.tape = tape
        records = tape.records
        records.append(record)
        if len(records) > tape.limit:
            tape.prune()
        return result

    return call


def binary(op: Op, fallback: Callable[[Op, Any, Any], Any] = ask) -> Callable[[Any, Any], Any]:
    """Return the function ``op(x, y)``; `fallback` takes what is neither Tensor nor scalar."""
    kernel = op.kernel_for(CPU0)
    # What is kept if a tape follows x, y, or both: of x, of y, and of the result.
    (x_for_x, y_for_x, out_for_x), (x_for_y, y_for_y, out_for_y) = op.keep(1, 2), op.keep(2, 2)
    keep_x, keep_y, keep_out = op.keep(3, 2)

    def rebind(other: Any) -> None:
        nonlocal kernel
        kernel = other

    op.rebind.append(rebind)

    def call(x: Any, y: Any, /) -> Any:
        if asked.count:
            return fallback(op, x, y)
        if type(x) is Tensor:
            first = x._held
            device = x._device
            left = x._rec
            if type(y) is Tensor:
                second = y._held
                right = y._rec
                if y._device is not device:
                    raise two_devices(op, (x, y))
            elif type(y) in SCALARS:
                second = y if first.dtype.num < EXTENSION else first.dtype.type(y)
                right = None
            else:
                return fallback(op, x, y)
        elif type(y) is Tensor and type(x) in SCALARS:
            second = y._held
            first = x if second.dtype.num < EXTENSION else second.dtype.type(x)
            device = y._device
            left = None
            right = y._rec
        else:
            return fallback(op, x, y)
        if device is CPU0:
            try:
                data = kernel(first, second)
            except Exception as error:
                raise explain(op, (first, second), {}, error) from error
            if type(data) is not _ndarray:
                data = _asarray(data)
        else:
            data = _elsewhere(op, device, first, second)
        result: Tensor = _new(Tensor)
        result._held = data
        result._device = device
        tape: Recorder | Joint | None
        if left is None:
            if right is None:
                result._rec = None
                return result
            tape = right.tape
            kept = (first if x_for_y else None, second if y_for_y else None, data if out_for_y else None)
        elif right is None:
            tape = left.tape
            kept = (first if x_for_x else None, second if y_for_x else None, data if out_for_x else None)
        else:
            tape = left.tape if left.tape is right.tape else None
            kept = (first if keep_x else None, second if keep_y else None, data if keep_out else None)
        if type(tape) is not Recorder:
            result._rec = attach(op, (left, right), kept, None, data.shape, data.dtype, device)
            return result
        if not tape.recording:
            result._rec = None
            return result
        result._rec = record = _new(Record)
        record.op = op
        record.parents = (left, right)
        record.saved = kept
        record.attrs = None
        record.shape = data.shape
        record.dtype = data.dtype
        record.device = device
        record.tape = tape
        records = tape.records
        records.append(record)
        if len(records) > tape.limit:
            tape.prune()
        return result

    return _compile(op, call, 2)


def _elsewhere(op: Op, device: Device, *arrays: Any) -> Any:
    try:
        with device.kind.activate(device.index):
            data = op.kernel_for(device)(*arrays)
    except Exception as error:
        raise explain(op, arrays, {}, error) from error
    return landed(data, device)


def operand(op: Op, x: Any, y: Any) -> Any:
    """Fallback of operators: let the other operand answer if it is nothing we can read."""
    if isinstance(x, _OPERANDS) and isinstance(y, _OPERANDS):
        return ask(op, x, y)
    return NotImplemented


def reflected(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return ``y.__rop__(x)``: the same with its arguments exchanged."""

    def method(self: Any, other: Any) -> Any:
        return function(other, self)

    return method


_OPERANDS = (ArrayMethods, np.ndarray, np.generic, float, int, complex, list, tuple, Symbolic)
