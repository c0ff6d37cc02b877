"""NumPy's protocols: ``np.f(tensor)`` finds our op, is recorded, and never loses a gradient silently."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from eagerflow.core import ArrayMethods, Tensor, bind, convert, numpy_functions, wrap
from eagerflow.core.explain import user_line
from eagerflow.core.record import attach
from eagerflow.errors import DTypeError, GradientError

_REDUCTIONS = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
_ACCUMULATIONS = {np.add: np.cumsum, np.multiply: np.cumprod}


class _Foreign:
    """Stands for a NumPy function that no op answers for: it runs, and its gradient does not exist."""

    plain = tracked = pullbacks = (None,)
    arrays = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.no_gradient = f"{name} runs on Tensors through NumPy, without a gradient"

    def pullback(self, position: int) -> None:
        """There is none."""


@cache
def _foreign(name: str) -> Any:
    return _Foreign(name)


def _array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
    function: Callable[..., Any] | None = None
    if method == "__call__":
        function = numpy_functions.get(ufunc)
    elif method == "reduce" and ufunc in _REDUCTIONS:
        function = numpy_functions.get(_REDUCTIONS[ufunc])
        kwargs.setdefault("axis", 0)
    elif method == "accumulate" and ufunc in _ACCUMULATIONS:
        function = numpy_functions.get(_ACCUMULATIONS[ufunc])
        kwargs.setdefault("axis", 0)
    elif method == "outer" and len(inputs) == 2 and ufunc in numpy_functions:
        first, second = convert(inputs[0]), convert(inputs[1])
        inputs = (first.reshape(first.shape + (1,) * second.ndim), second)
        function = numpy_functions[ufunc]
    dtype = kwargs.pop("dtype", None) if method == "__call__" else None
    if dtype is not None:
        inputs = tuple(convert(x).astype(dtype) for x in inputs)
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if method == "at":
        raise DTypeError(f"{name}: Tensors are values; write x[index] += y instead\n  at {user_line()}")
    result = _call(function, ufunc if method == "__call__" else getattr(ufunc, method), name, inputs, kwargs)
    return result if out is None else _store(result, out, name)


def _array_function(self: Any, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    out = kwargs.pop("out", None)
    name = f"{getattr(func, '__module__', 'numpy')}.{func.__name__}".replace("numpy", "np", 1)
    result = _call(numpy_functions.get(func), func, name, args, kwargs)
    return result if out is None else _store(result, out if isinstance(out, tuple) else (out,), name)


def _call(function: Callable[..., Any] | None, original: Any, name: str, args: Any, kwargs: Any) -> Any:
    if function is None:
        return _unrecorded(original, name, args, kwargs)
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error) and "positional argument" not in str(error):
            raise
        raise DTypeError(f"{name}: on Tensors it does not take this argument: {error}\n  at {user_line()}") from None


def _store(result: Any, out: tuple[Any, ...], name: str) -> Any:
    """Write results to ``out=``: into the handle of a Tensor, or to a NumPy array if no tape follows."""
    results = result if isinstance(result, tuple) else (result,)
    for value, target in zip(results, out, strict=True):
        if isinstance(target, ArrayMethods):
            target[...] = value
        elif isinstance(target, np.ndarray):
            if value._rec is not None and value._rec.tape is not None:
                raise GradientError(
                    f"{name}: writing a recorded Tensor into a NumPy array would lose its gradient; "
                    f"make the target a Tensor with ef.asarray\n  at {user_line()}"
                )
            np.copyto(target, value.numpy(), casting="same_kind")
    return out[0] if len(out) == 1 else out


def _unrecorded(function: Any, name: str, args: Any, kwargs: Any) -> Any:
    tensors: list[Tensor] = []

    def to_numpy(value: Any) -> Any:
        if isinstance(value, ArrayMethods):
            tensors.append(value._read())
            return tensors[-1].numpy()
        if isinstance(value, list | tuple) and type(value) in (list, tuple):
            return type(value)(to_numpy(item) for item in value)
        return value

    given = [to_numpy(value) for value in args]
    named = {key: to_numpy(value) for key, value in kwargs.items()}
    try:
        result = function(*given, **named)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise DTypeError(
            f"{name}: it writes to an array, and Tensors are values; use x[index] = y, or x.numpy().copy()"
            f"\n  at {user_line()}"
        ) from error
    parents = tuple(tensor._rec for tensor in tensors)

    def to_tensor(value: Any) -> Any:
        if isinstance(value, tuple):
            items = [to_tensor(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        if isinstance(value, list):
            return [to_tensor(item) for item in value]
        if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in "biufc":
            return value
        made = convert(value, None, tensors[0].device)
        record = attach(_foreign(name), parents, None, None, made.shape, made.dtype, made.device)
        return wrap(made._data, made.device, record)

    return to_tensor(result)


bind({"__array_ufunc__": _array_ufunc, "__array_function__": _array_function})
