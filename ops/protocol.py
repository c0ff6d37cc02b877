"""NumPy's protocols: ``np.f(tensor)`` finds our op, is recorded, and never loses a gradient silently."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from eagerflow.core import ArrayMethods, Tensor, alias, become, bind, convert, numpy_functions, wrap, zeros_like
from eagerflow.core.explain import user_line
from eagerflow.core.leaving import is_followed
from eagerflow.core.pullback import leads_to_source
from eagerflow.core.record import Record, attach
from eagerflow.devices import device
from eagerflow.errors import DTypeError, GradientError
from eagerflow.ops.arrays.like import CREATORS
from eagerflow.ops.indexing.writing import write_at
from eagerflow.ops.reductions.chains import chain, steps

_REDUCTIONS = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
_ACCUMULATIONS = {np.add: np.cumsum, np.multiply: np.cumprod}


# These write to their first argument, an array.
_WRITERS = (np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask)

_DATES = "Tensors hold numbers and booleans, no dates; use NumPy arrays of dates"

# What NumPy dispatches although it means nothing for Tensors, and why.
REFUSED = {
    np.busday_count: _DATES,
    np.busday_offset: _DATES,
    np.is_busday: _DATES,
    np.datetime_as_string: _DATES,
    np.isnat: _DATES,
}

# What takes the values of Tensors only: its result is text or a file, where no gradient could go.
VALUES = {
    np.array2string: "its result is text",
    np.array_repr: "its result is text",
    np.array_str: "its result is text",
    np.einsum_path: "it looks at shapes only",
    np.save: "it writes a file",
    np.savetxt: "it writes a file",
    np.savez: "it writes a file",
    np.savez_compressed: "it writes a file",
}


class _Foreign:
    """Stands for a NumPy function that no op answers for: it runs, and its gradient does not exist.

    A zero in its place would be wrong, so a gradient that would have to pass through it raises.
    """

    arrays = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.no_gradient = f"{name} runs on Tensors through NumPy, without a gradient"
        self.plain = self.tracked = self.pullbacks = (self._raise,)

    def pullback(self, position: int) -> None:
        """There is none."""

    def passes(self, position: int) -> bool:
        """Tell that gradients would pass."""
        return True

    def why_not(self, position: int) -> str:
        """Return why there is no gradient."""
        return self.no_gradient

    def _raise(self, g: Any, record: Record, index: int) -> Tensor:
        parent = record.parents[index]
        assert parent is not None
        if not leads_to_source(parent):
            return zeros_like(parent)
        raise GradientError(
            f"gradient: the target depends on a source through {self.name}: {self.no_gradient}; "
            f"pass its input through ef.stop_gradient if its result is meant as a constant"
        )


@cache
def _foreign(name: str) -> Any:
    return _Foreign(name)


def _array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
    function: Callable[..., Any] | None = None
    if method == "__call__":
        function = numpy_functions.get(ufunc) or numpy_functions.get(ufunc.__name__)
    elif method == "reduce" and ufunc in _REDUCTIONS:
        function = numpy_functions.get(_REDUCTIONS[ufunc])
        kwargs.setdefault("axis", 0)
    elif method == "accumulate" and ufunc in _ACCUMULATIONS:
        function = numpy_functions.get(_ACCUMULATIONS[ufunc])
        kwargs.setdefault("axis", 0)
    elif method in ("reduce", "accumulate") and set(kwargs) <= {"axis", "keepdims"} and _chains(ufunc):
        function = _chained(ufunc, method)
    elif method == "outer" and len(inputs) == 2 and ufunc in numpy_functions:
        first, second = convert(inputs[0]), convert(inputs[1])
        inputs = (first.reshape(first.shape + (1,) * second.ndim), second)
        function = numpy_functions[ufunc]
    dtype = kwargs.pop("dtype", None) if method == "__call__" else None
    if dtype is not None:
        inputs = tuple(convert(x).astype(dtype) for x in inputs)
    if method == "at":
        return _at(ufunc, _ufunc_name(ufunc, method), *inputs)
    if function is not None and out is None and not kwargs:
        return function(*inputs)  # the usual case, without a detour
    name = _ufunc_name(ufunc, method)
    result = _call(function, ufunc if method == "__call__" else getattr(ufunc, method), name, inputs, kwargs)
    return result if out is None else _store(result, out, name)


def _ufunc_name(ufunc: Any, method: str) -> str:
    home = "np." if getattr(np, ufunc.__name__, None) is ufunc else ""  # SciPy has ufuncs of its own
    name = f"{home}{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if ufunc in REFUSED:
        raise DTypeError(f"{name}: {REFUSED[ufunc]}\n  at {user_line()}")
    return name


def _chains(ufunc: Any) -> bool:
    """Tell whether a function of two has a gradient, so that chains of it have one."""
    op = getattr(numpy_functions.get(ufunc), "op", None)
    return op is not None and bool(op.vjps) and len(op.inputs) == 2


def _chained(ufunc: Any, method: str) -> Callable[..., Any]:
    name = f"{ufunc.__name__}.{method}"

    def call(x: Any, axis: Any = 0, keepdims: bool = False) -> Tensor:
        function = numpy_functions[ufunc]
        return chain(function, x, axis, keepdims, name) if method == "reduce" else steps(function, x, axis, name)

    return call


def _at(ufunc: Any, name: str, target: Any, index: Any, *values: Any) -> None:
    """Do what ``np.add.at(target, index, values)`` does: give a handle a new value, or write to a NumPy array."""
    if isinstance(target, ArrayMethods):
        write_at(ufunc, target, index, *values)
        return
    _keep(name, values)
    ufunc.at(target, index, *[value.numpy() if isinstance(value, ArrayMethods) else value for value in values])


def _array_function(self: Any, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    out = kwargs.pop("out", None)
    function = numpy_functions.get(func)
    if func in _SPECIAL:
        if func in REFUSED:
            raise DTypeError(f"{_name(func)}: {REFUSED[func]}\n  at {user_line()}")
        if func in _WRITERS and isinstance(args[0] if args else next(iter(kwargs.values())), np.ndarray):
            function = None
        elif func in CREATORS:
            with device(self.device):
                return _call(function, func, _name(func), args, kwargs)
    result = _call(function, func, None, args, kwargs)
    return result if out is None else _store(result, out if isinstance(out, tuple) else (out,), _name(func))


_SPECIAL = {*_WRITERS, *CREATORS, *REFUSED}


def _name(function: Any) -> str:
    """Return the name of a NumPy function as users write it."""
    return f"{getattr(function, '__module__', 'numpy')}.{function.__name__}".replace("numpy", "np", 1)


def _call(function: Callable[..., Any] | None, original: Any, name: str | None, args: Any, kwargs: Any) -> Any:
    if function is None:
        return _unrecorded(original, name or _name(original), args, kwargs)
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        if not _misfit(error):
            raise
        moved = _by_position(original, args, kwargs)
        if moved is not None:
            try:
                return function(*moved[0], **moved[1])
            except TypeError as second:
                if not _misfit(second):
                    raise
        raise DTypeError(
            f"{name or _name(original)}: on Tensors it does not take this argument: {error}\n  at {user_line()}"
        ) from None


def _misfit(error: TypeError) -> bool:
    """Tell whether arguments did not fit a signature: several libraries' words for it are Python's."""
    words = ("unexpected keyword argument", "positional argument", "positional-only", "multiple values for argument")
    return any(word in str(error) for word in words)


def _by_position(original: Any, args: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]] | None:
    """Pass by position what NumPy's signature lets be named, as ``np.sum(a=x)``; None if there is nothing to move."""
    try:
        names = list(inspect.signature(original).parameters)
    except (TypeError, ValueError):
        return None
    given, left = list(args), dict(kwargs)
    for name in names[len(given) :]:
        if name not in left:
            break
        given.append(left.pop(name))
    return (given, left) if len(left) < len(kwargs) else None


def _store(result: Any, out: tuple[Any, ...], name: str) -> Any:
    """Write results to ``out=``: into the handle of a Tensor, or to a NumPy array if no tape follows."""
    results = result if isinstance(result, tuple) else (result,)
    for value, target in zip(results, out, strict=True):
        if isinstance(target, Tensor) and isinstance(value, Tensor) and _replaces(value, target):
            become(target, alias(value, value._rec))
        elif isinstance(target, ArrayMethods):
            target[...] = value
        elif isinstance(target, np.ndarray):
            if is_followed(value):
                raise _lost(name)
            np.copyto(target, value.numpy(), casting="same_kind")
    return out[0] if len(out) == 1 else out


def _replaces(value: Tensor, target: Tensor) -> bool:
    """Tell whether a value written over all of a target is what the target then is."""
    return value.shape == target.shape and value.dtype == target.dtype and value.device is target.device


def _keep(name: str, values: Any) -> None:
    """Raise if a value that a tape follows would be written into a NumPy array."""
    for value in values:
        if isinstance(value, ArrayMethods) and is_followed(value._read()):
            raise _lost(name)


def _lost(name: str) -> GradientError:
    return GradientError(
        f"{name}: writing a recorded Tensor into a NumPy array would lose its gradient; make the target a Tensor "
        f"with ef.asarray, np.zeros_like(x) or np.zeros(shape, like=x)\n  at {user_line()}"
    )


def _unrecorded(function: Any, name: str, args: Any, kwargs: Any) -> Any:
    if function in _WRITERS:
        _keep(name, (*args[1:], *kwargs.values()))
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
        made = convert(value, None, tensors[0].device if tensors else None)
        if value.dtype.kind in "fc" and any(tensor._moves() for tensor in tensors):
            raise GradientError(
                f"{name}: it runs on Tensors through NumPy, without a derivative; pass its input through "
                f"ef.stop_gradient if its result is meant as a constant\n  at {user_line()}"
            )
        record = attach(_foreign(name), parents, None, None, made.shape, made.dtype, made.device)
        return wrap(made._held, made.device, record)

    return to_tensor(result)


bind({"__array_ufunc__": _array_ufunc, "__array_function__": _array_function})
