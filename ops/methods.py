"""Methods: gives Tensor and Variable their operators and the methods of an array."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from eagerflow.core import (
    Op,
    Tensor,
    Variable,
    become,
    binary,
    bind,
    convert,
    is_exclusive,
    operand,
    reflected,
    registry,
)
from eagerflow.core.explain import describe, explain, user_line
from eagerflow.devices import CPU0, Device
from eagerflow.devices.request import asked, staying
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.arrays.conversion import astype, copy, to_device
from eagerflow.ops.arrays.joining import stack
from eagerflow.ops.arrays.matrices import diagonal, trace
from eagerflow.ops.arrays.repetition import repeat
from eagerflow.ops.arrays.shape import broadcast_to, ravel, reshape, squeeze
from eagerflow.ops.arrays.splitting import unstack
from eagerflow.ops.arrays.transposition import matrix_transpose, swapaxes, transpose
from eagerflow.ops.elementwise import arithmetic, comparison, complex, rounding, selection
from eagerflow.ops.indexing.along_axis import take
from eagerflow.ops.indexing.finding import nonzero
from eagerflow.ops.indexing.indexing import assign, getitem
from eagerflow.ops.linear_algebra import contraction
from eagerflow.ops.reductions import cumulative, extremes, moments, reduction
from eagerflow.ops.sorting.sorting import argsort

# Method names of binary operators, and the ops behind them.
_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
}
_COMMUTATIVE = ("add", "mul", "and", "or", "xor")
_COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}


def _in_place(op: Op, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return ``x op= y`` of Tensors: the handle gets the result, in its own shape and dtype."""
    kernel = op.kernel_for(CPU0)
    # Ufuncs check before they write. (Integer powers do not, and go the other way.)
    direct = isinstance(kernel, np.ufunc) and op.name != "matmul"

    def method(self: Any, other: Any) -> Any:
        kind = type(other)
        if direct and self._rec is None and self._device is CPU0:
            if kind is Tensor:
                ready = other._rec is None and other._device is CPU0
            else:
                ready = kind is float or kind is int
            # Last, and with no name for the array: only then the count of references is right.
            if ready and is_exclusive(self):
                value = other._held if kind is Tensor else other
                try:
                    kernel(self._held, value, out=self._held)
                except Exception as error:
                    raise _unfit(op, self._held, value, error) from error
                return self
        if asked.count:
            with staying(self.device):
                result = function(self, other)
        else:
            result = function(self, other)
        if result is NotImplemented:
            return result
        if result.shape != self.shape:
            raise ShapeError(
                f"{op.name}: an in-place operator keeps the shape {self.shape}, but the result has shape "
                f"{result.shape}; write x = x ... y\n  at {user_line()}"
            )
        if result.dtype != self.dtype:
            if not np.can_cast(result.dtype, self.dtype, "same_kind"):
                raise _other_kind(op, self.dtype, result.dtype)
            result = astype(result, self.dtype)
        become(self, result)
        return self

    return method


def _unfit(op: Op, data: Any, value: Any, error: Exception) -> Exception:
    if isinstance(error, np.exceptions.UFuncTypeError if hasattr(np.exceptions, "UFuncTypeError") else TypeError):
        kind = np.result_type(data.dtype, value) if not hasattr(value, "dtype") else np.result_type(data, value)
        return _other_kind(op, data.dtype, np.result_type(kind, np.float64) if op.name == "divide" else kind)
    if isinstance(error, ValueError) and "non-broadcastable" in str(error):
        return ShapeError(
            f"{op.name}: an in-place operator keeps the shape {data.shape}, which {describe(value)} does not "
            f"broadcast to; write x = x ... y\n  at {user_line()}"
        )
    return explain(op, (data, value), {}, error)


def _other_kind(op: Op, own: Any, other: Any) -> DTypeError:
    return DTypeError(
        f"{op.name}: an in-place operator keeps the dtype {own}, but the result has dtype {other}; "
        f"write x = x ... y, or cast x first\n  at {user_line()}"
    )


def _in_place_variable(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        result = function(self, other)
        return result if result is NotImplemented else self.assign(result)

    return method


def _iterate(self: Any) -> Iterator[Tensor]:
    if not self.ndim:
        raise DTypeError("iter: a Tensor without axes cannot be iterated over")
    return iter(unstack(self))


def _contains(self: Any, item: Any) -> bool:
    other = convert(item, copy=False).numpy()
    return bool((self.numpy() == other).any())


def _divmod(self: Any, other: Any) -> Any:
    quotient = self // other
    return quotient if quotient is NotImplemented else (quotient, self % other)


def _reflected_divmod(self: Any, other: Any) -> tuple[Any, Any]:
    return other // self, other % self


def _reshape(self: Any, *shape: Any, order: str = "C") -> Tensor:
    return reshape(self, shape[0] if len(shape) == 1 else shape, order)


def _transpose(self: Any, *axes: Any) -> Tensor:
    if not axes or (len(axes) == 1 and axes[0] is None):
        return transpose(self)
    return transpose(self, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes)


def _astype(self: Any, dtype: Any, copy: bool = True, device: str | Device | None = None) -> Tensor:
    return astype(self, dtype, copy=copy, device=device)


def _operators() -> dict[str, Any]:
    known = registry()
    methods: dict[str, Any] = {}
    for name, target in (_BINARY | _COMPARISONS).items():
        methods[f"__{name}__"] = binary(known[target], operand)
    for name in _BINARY:
        forward = methods[f"__{name}__"]
        methods[f"__r{name}__"] = forward if name in _COMMUTATIVE else reflected(forward)
        setattr(Tensor, f"__i{name}__", _in_place(known[_BINARY[name]], forward))
        if name not in ("add", "sub"):
            setattr(Variable, f"__i{name}__", _in_place_variable(forward))
    return methods


def _bind() -> None:
    bind(_operators() | {
        "__neg__": arithmetic.negative,
        "__pos__": arithmetic.positive,
        "__abs__": arithmetic.abs,
        "__invert__": comparison.bitwise_invert,
        "__divmod__": _divmod,
        "__rdivmod__": _reflected_divmod,
        "__getitem__": getitem,
        "__iter__": _iterate,
        "__contains__": _contains,
        "_stack": stack,
        "_broadcast_to": broadcast_to,
        "T": property(lambda self: transpose(self)),
        "mT": property(lambda self: matrix_transpose(self)),
        "real": property(lambda self: complex.real(self)),
        "imag": property(lambda self: complex.imag(self)),
        "all": extremes.all,
        "any": extremes.any,
        "argmax": extremes.argmax,
        "argmin": extremes.argmin,
        "argsort": argsort,
        "astype": _astype,
        "clip": selection.clip,
        "conj": complex.conj,
        "copy": copy,
        "cumprod": cumulative.cumprod,
        "cumsum": cumulative.cumsum,
        "diagonal": diagonal,
        "dot": contraction.dot,
        "flatten": ravel,
        "max": extremes.max,
        "mean": moments.mean,
        "min": extremes.min,
        "nonzero": nonzero,
        "prod": reduction.prod,
        "ravel": ravel,
        "repeat": repeat,
        "reshape": _reshape,
        "round": rounding.round,
        "squeeze": squeeze,
        "std": moments.std,
        "sum": reduction.sum,
        "swapaxes": swapaxes,
        "take": take,
        "to": to_device,
        "to_device": to_device,
        "trace": trace,
        "transpose": _transpose,
        "var": moments.var,
    })  # fmt: skip
    setattr(Tensor, "__setitem__", assign)  # noqa: B010 - the class is in core, its methods are here


_bind()
