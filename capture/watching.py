"""What a captured function reads besides its arguments: numbers, flags, arrays and modules in closures and globals.

Eager code sees their present values. A trace holds those that it saw; so they are part of the key that
finds the trace, and a change leads to another one.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from eagerflow.capture.symbol import Symbol
from eagerflow.core import Tensor, Variable

_SIMPLE = (int, float, bool, str, bytes, complex, type(None), np.generic, np.dtype)
_SMALL = 1 << 16  # bytes of a NumPy array that are compared at every call
_ITEMS = 1000
_LIBRARIES = tuple(
    str(Path(sysconfig.get_paths()[key]).resolve()) for key in ("stdlib", "platstdlib", "purelib", "platlib")
)
_EAGERFLOW = str(Path(__file__).resolve().parent.parent)


class Watch:
    """The values outside its arguments that a function reads.

    Attributes
    ----------
    names : list of str
        What each is called: ``model.training``.
    """

    def __init__(self, function: Callable[..., Any], owner: weakref.ref[Any] | None) -> None:
        self.names: list[str] = []
        self._getters: list[Callable[[], Any]] = []
        self._seen: set[int] = set()
        if owner is not None and owner() is not None:
            self._instance("self", lambda: owner(), names_of(function))
        self._function(function)

    def fingerprint(self) -> tuple[Any, ...]:
        """Return the present values, as something that can be compared and hashed."""
        return tuple([print_of(get()) for get in self._getters])

    def values(self) -> list[Any]:
        """Return the present values themselves."""
        return [get() for get in self._getters]

    def _function(self, function: Any) -> None:
        function = plain(function)
        if not isinstance(function, types.FunctionType) or id(function) in self._seen:
            return
        self._seen.add(id(function))
        code = function.__code__
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self._add(name, functools.partial(_contents, cell), code)
        variables = function.__globals__
        for name in sorted(names_of(function)):
            if name in variables:
                self._add(name, functools.partial(variables.get, name), code)
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            if isinstance(default, types.FunctionType):
                self._function(default)

    def _add(self, name: str, get: Callable[[], Any], code: types.CodeType) -> None:
        value = get()
        if isinstance(value, types.ModuleType):
            if is_users(getattr(value, "__file__", None)):
                for attribute in sorted(set(code.co_names) & set(vars(value))):
                    if isinstance(getattr(value, attribute), _SIMPLE):
                        self._watch(f"{name}.{attribute}", functools.partial(getattr, value, attribute, None))
            return
        if isinstance(value, type):
            return
        inner = plain(value)
        if isinstance(inner, types.FunctionType):
            if is_users(inner.__code__.co_filename):
                self._watch(name, get)
                self._function(inner)
            return
        if isinstance(inner, types.BuiltinFunctionType | functools.partial) or (callable(inner) and not vars_of(inner)):
            return
        if watchable(value):
            self._watch(name, get)
        else:
            self._instance(name, get, set(code.co_names))

    def _instance(self, name: str, get: Callable[[], Any], attributes: set[str]) -> None:
        """Watch an object: of a Module all that is simple, of others the attributes that the code names."""
        value = get()
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        if hasattr(value, "named_variables"):
            self._watch(name, get)
        for attribute in sorted(attributes & set(vars_of(value))):
            inner = vars_of(value)[attribute]
            if watchable(inner) or isinstance(inner, Symbol):
                self._watch(f"{name}.{attribute}", functools.partial(_attribute, get, attribute))
        for attribute in sorted(attributes):
            method = getattr(type(value), attribute, None)
            if isinstance(method, types.FunctionType) and is_users(method.__code__.co_filename):
                self._method(name, get, method)

    def _method(self, name: str, get: Callable[[], Any], method: types.FunctionType) -> None:
        if id(method) in self._seen:
            return
        self._function(method)
        value = get()
        self._seen.discard(id(value))
        self._instance(name, get, names_of(method))

    def _watch(self, name: str, get: Callable[[], Any]) -> None:
        if name not in self.names:
            self.names.append(name)
            self._getters.append(get)


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _attribute(get: Callable[[], Any], name: str) -> Any:
    return getattr(get(), name, None)


def vars_of(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, if it keeps them in a dict."""
    return getattr(value, "__dict__", {})


def plain(function: Any) -> Any:
    """Return the Python function behind methods, wrappers and captured functions."""
    while True:
        if isinstance(function, types.MethodType):
            function = function.__func__
        elif hasattr(function, "python_function"):
            function = function.python_function
        elif isinstance(function, types.FunctionType) and hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return function


def names_of(function: Any) -> set[str]:
    """Return the names of globals and attributes that a function and the functions within it use."""
    function = plain(function)
    if not isinstance(function, types.FunctionType):
        return set()
    found: set[str] = set()
    stack = [function.__code__]
    while stack:
        code = stack.pop()
        found |= set(code.co_names)
        stack.extend([constant for constant in code.co_consts if isinstance(constant, types.CodeType)])
    return found


def is_users(file: str | None) -> bool:
    """Tell whether a file is the user's own code and not that of a library."""
    if file is None or file.startswith("<frozen"):
        return False
    if file.startswith("<"):
        return True  # a REPL, a notebook
    resolved = str(Path(file).resolve())
    return not resolved.startswith((*_LIBRARIES, _EAGERFLOW))


def watchable(value: Any) -> bool:
    """Tell whether a value has a fingerprint of its own."""
    if isinstance(value, _SIMPLE) or type(value) in (Tensor, Symbol):
        return True
    if isinstance(value, Variable | np.ndarray | types.GeneratorType) or hasattr(value, "named_variables"):
        return True
    return isinstance(value, list | tuple | dict | set | frozenset)


def print_of(value: Any, depth: int = 3) -> Any:
    """Return something that is equal for equal values, and can be hashed."""
    kind = type(value)
    if kind is Tensor:
        return "Tensor", id(value._held)
    if isinstance(value, Symbol):
        return ("Symbol",)
    if isinstance(value, float):
        return kind, value.hex() if kind is float else repr(value)
    if isinstance(value, _SIMPLE):
        return kind, value
    if isinstance(value, Variable):
        return "Variable", id(value)
    if isinstance(value, np.ndarray):
        content = value.tobytes() if value.nbytes <= _SMALL and value.dtype != object else id(value)
        return "ndarray", value.shape, value.dtype.str, content
    if isinstance(value, types.GeneratorType):
        frame = value.gi_frame
        return "generator", id(value), None if frame is None else frame.f_lasti
    if hasattr(value, "named_variables") and not isinstance(value, type):
        return "Module", *_module(value)
    if depth and isinstance(value, list | tuple | set | frozenset) and len(value) <= _ITEMS:
        return kind, tuple([print_of(item, depth - 1) for item in value])
    if depth and isinstance(value, dict) and len(value) <= _ITEMS:
        return kind, tuple([(print_of(key, 0), print_of(item, depth - 1)) for key, item in value.items()])
    return kind, id(value)


def _module(module: Any) -> Iterator[Any]:
    """Give what a module is made of besides the values of its Variables."""
    seen: set[int] = set()
    stack = [module]
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield id(item)
        yield getattr(item, "training", None)
        for key, value in vars(item).items():
            if isinstance(value, _SIMPLE):
                yield key, (value.hex() if type(value) is float else value)
            elif isinstance(value, Variable):
                yield key, id(value)
            elif type(value) is Tensor:
                yield key, id(value._held)
            elif isinstance(value, list | tuple):
                stack.extend([child for child in value if hasattr(child, "named_variables")])
            elif isinstance(value, dict):
                stack.extend([child for child in value.values() if hasattr(child, "named_variables")])
            elif hasattr(value, "named_variables"):
                stack.append(value)


def holds_symbol(value: Any, depth: int = 3) -> bool:
    """Tell whether a symbol hides in a value."""
    if isinstance(value, Symbol):
        return True
    if not depth:
        return False
    if isinstance(value, list | tuple | set | frozenset):
        return any(holds_symbol(item, depth - 1) for item in list(value)[:_ITEMS])
    if isinstance(value, dict):
        return any(holds_symbol(item, depth - 1) for item in list(value.values())[:_ITEMS])
    if hasattr(value, "named_variables"):
        return any(holds_symbol(item, depth - 1) for item in vars(value).values())
    return False


def describe_change(value: Any) -> str:
    """Return what a watched value is, for explanations."""
    text = repr(value) if isinstance(value, _SIMPLE) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


_ = sys
