"""Walk: goes through everything that a function can read: closures, globals, and what is in them."""

from __future__ import annotations

import dataclasses
import enum
import functools
import io
import operator
import os
import random
import sys
import time
import types
from collections import UserDict, UserList, deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from eagerflow.capture.tracing.code import is_users_file, is_users_module, names_of
from eagerflow.core import GradientTape, Tensor, Variable
from eagerflow.core.traced import Level, Traced

SIMPLE = (int, float, bool, str, bytes, complex, type(None), type(...), range, slice, np.generic, np.dtype, enum.Enum)
_SMALL = 1 << 16  # bytes of a NumPy array that are compared at every call
_ITEMS = 1000  # longer lists are not looked into
_DEPTH = 50
# Special methods that run without being named; making and showing an object is not part of using it.
_NOT_USED = {"__init__", "__new__", "__repr__", "__str__", "__init_subclass__", "__del__", "__reduce__", "__class__"}
# What gives something else at every call, and keeps no state that could be compared.
_CLOCKS = ("time", "perf_counter", "monotonic", "process_time", "time_ns", "perf_counter_ns", "monotonic_ns")
_IMPURE = {os.urandom, input, *[getattr(time, name) for name in _CLOCKS]}
_TODAY = {"now", "today", "utcnow"}


class Walk:
    """One look at everything that a function can read.

    Attributes
    ----------
    found : dict
        Per path what is there, as something that can be compared and hashed, and as it is shown.
    names : frozenset of str
        The attributes that the functions met so far name: of objects only these are looked at.
    """

    def __init__(self, names: frozenset[str] = frozenset()) -> None:
        self.names = names
        self.found: dict[str, tuple[Any, Any]] = {}
        self.symbols: list[str] = []
        self.impure: list[str] = []
        self.consumed: list[tuple[str, Callable[[], Any], Any]] = []
        self.blind: list[str] = []
        self.codes: list[types.CodeType] = []
        self.large: list[tuple[str, np.ndarray]] = []
        self.tensors: list[Tensor] = []
        # What holds as long as nothing changes, as code, and the names in it.
        self.conditions: list[str] = []
        self.space: dict[str, Any] = {}
        self._known = names
        self._functions: list[tuple[types.FunctionType, str]] = []  # yet to be looked at
        self._seen: dict[int, str] = {}
        self._keep: list[Any] = []  # nothing else gets the ids in `_seen`
        self._home = ""
        self._depth = 0

    @classmethod
    def to_the_end(cls, look: Callable[[Walk], None], names: frozenset[str] = frozenset()) -> Walk:
        """Walk again until no function on the way names attributes that were not looked at."""
        while True:
            walk = cls(names)
            look(walk)
            while walk._functions:
                walk._function(*walk._functions.pop(0))
            if walk._known <= names:
                return walk
            names = names | walk._known

    @property
    def key(self) -> tuple[Any, ...]:
        """All that was found."""
        return tuple([(path, what) for path, (what, _) in self.found.items()])

    def _name(self, thing: Any) -> str:
        name = f"v{len(self.space)}"
        self.space[name] = thing
        return name

    def _expect(self, expression: str, value: Any) -> None:
        """Note that an expression is to give this object again."""
        self.conditions.append(f"{expression} is {self._name(value)}")

    def _expect_length(self, name: str, length: int) -> None:
        self.conditions.append(f"len({name}) == {length}")

    def start(self, function: Any, owner: Any) -> None:
        """Look at what a function reads, and at what it is a method of."""
        self._home = str(getattr(function, "__module__", None)).partition(".")[0]
        if owner is not None:
            self._seen[id(owner)] = "self"
            self._object("self", owner)
        if isinstance(function, types.FunctionType):
            self._seen[id(function)] = function.__name__
            self._functions.append((function, ""))
        else:
            self.look(getattr(function, "__name__", type(function).__name__), function)

    def look(self, path: str, value: Any) -> None:
        """Look at one value."""
        if isinstance(value, SIMPLE):
            self.found[path] = key_of(value), value
            return
        kind = type(value)
        if kind is Tensor:
            self.found[path] = ("Tensor", id(value._held)), f"a Tensor {value.dtype}{list(value.shape)}"
            self._expect(f"{self._name(value)}._held", value._held)
            self.tensors.append(value)
            return
        if isinstance(value, Variable):
            self.found[path] = ("Variable", id(value)), "a Variable"
            return
        known = self._seen.get(id(value))
        if known is not None:
            self.found[path] = ("the same as", known), kind.__name__
            return
        self._seen[id(value)] = path
        self._keep.append(value)
        if isinstance(value, Traced):
            self.symbols.append(path)
            self.found[path] = ("symbol", id(value)), "a Tensor of another capture"
            return
        self._depth += 1
        if self._depth < _DEPTH:
            self._compound(path, value, kind)
        else:
            self._by_identity(path, value)
        self._depth -= 1

    def _by_identity(self, path: str, value: Any) -> None:
        self.found[path] = (type(value), id(value)), f"a {type(value).__name__}"

    def _compound(self, path: str, value: Any, kind: type) -> None:
        """Look at what is made of other values."""
        attributes: Any = getattr(value, "__dict__", {})
        if isinstance(value, np.ndarray):
            self._array(path, value)
        elif isinstance(value, bytearray):
            self.found[path] = (kind, bytes(value)), f"a bytearray of {len(value)}"
            self.conditions.append(f"bytes({self._name(value)}) == {self._name(bytes(value))}")
        elif isinstance(value, types.FunctionType):
            self._by_identity(path, value)
            if self._is_users(value):
                self._functions.append((value, f"{path}: "))
                self._attributes(path, attributes)
                self._defaults(path, value)
            elif isinstance(inner := getattr(value, "__wrapped__", None), types.FunctionType) and self._is_users(inner):
                self.look(f"{path}.__wrapped__", inner)
        elif "python_function" in attributes:
            self.look(path, value.python_function)
        elif isinstance(value, types.MethodType):
            self.look(path, value.__func__)
            self.look(f"{path}.__self__", value.__self__)
        elif isinstance(value, functools.partial):
            self.found[path] = ("partial",), "a partial"
            self.look(f"{path}.func", value.func)
            self.look(f"{path}.args", value.args)
            self.look(f"{path}.keywords", value.keywords)
        elif isinstance(value, list | tuple | set | frozenset | dict | deque):
            self._container(path, value)
        elif isinstance(value, type):
            self._by_identity(path, value)
            if self._is_users_class(value):
                self._class(path, value, making=True)
        elif isinstance(value, map | zip | filter | enumerate):
            self.found[path] = (kind, id(value)), f"an iterator ({kind.__name__})"
            self.look(f"{path}.items", value.__reduce__()[1])
        elif self._stream(path, value) or isinstance(value, types.ModuleType | Level | GradientTape):
            self._by_identity(path, value)
        elif isinstance(attributes.get("__wrapped__"), types.FunctionType):  # a cache
            self.look(path, value.__wrapped__)
        else:
            self._object(path, value)

    def _attributes(self, path: str, attributes: dict[str, Any], whole: bool = False) -> None:
        """Look at those attributes that are named, or at the whole."""
        name_of_all = self._name(attributes)
        self._expect_length(name_of_all, len(attributes))
        for name in [name for name in attributes if whole or name in self.names]:
            self._expect(f"{name_of_all}[{name!r}]", attributes[name])
            self.look(f"{path}.{name}", attributes[name])

    def _defaults(self, path: str, function: types.FunctionType) -> None:
        """Look at the defaults of a function that is called here or there; those of the captured one are arguments."""
        for holder in ("__defaults__", "__kwdefaults__"):
            values = getattr(function, holder)
            self._expect(f"{self._name(function)}.{holder}", values)
            if values:
                self.look(f"{path}.{holder}", values)

    def _array(self, path: str, value: np.ndarray) -> None:
        shown = f"an array {value.dtype}{list(value.shape)}"
        if value.nbytes <= _SMALL and value.dtype != object:
            content = value.tobytes()
            self.found[path] = ("ndarray", value.shape, value.dtype.str, content), shown
            self.conditions.append(f"{self._name(value.tobytes)}() == {self._name(content)}")
        else:
            self.found[path] = ("ndarray", value.shape, value.dtype.str, id(value)), shown
            self.large.append((path, value))

    def _container(self, path: str, value: Any) -> None:
        kind = type(value)
        shown = f"a {kind.__name__} of {len(value)}"
        name = self._name(value)
        if kind is not tuple and kind is not frozenset:
            self._expect_length(name, len(value))
        if len(value) > _ITEMS:
            self.found[path] = (kind, id(value), len(value)), shown
            return
        self.found[path] = (kind, len(value)), shown
        if kind is not tuple and kind is not frozenset:
            self.conditions.append(f"all(map(same, {name}, {self._name(list(value))}))")
        if isinstance(value, dict):
            self.conditions.append(f"all(map(same, {name}.values(), {self._name(list(value.values()))}))")
            for position, (key, item) in enumerate(list(value.items())):
                simple = isinstance(key, SIMPLE)
                if not simple:
                    self.look(f"{path}.keys[{position}]", key)
                self.look(f"{path}[{key!r}]" if simple else f"{path}[{position}]", item)
        elif isinstance(value, set | frozenset):
            items = [key_of(item) if isinstance(item, SIMPLE) else (type(item), id(item)) for item in value]
            self.symbols += [path for item in value if isinstance(item, Traced)]
            self.found[path] = (kind, frozenset(items)), shown
        else:
            for position, item in enumerate(list(value)):
                self.look(f"{path}[{position}]", item)

    def _stream(self, path: str, value: Any) -> bool:
        """Note what gives something else each time it is asked: generators, iterators, random generators."""
        state: Callable[[], Any] | None = None
        if isinstance(value, types.GeneratorType):
            state = functools.partial(_frame, value)
        elif isinstance(value, random.Random):
            state = value.getstate
        elif _is_numpy_stream(value):
            state = functools.partial(_bits, value)
        elif isinstance(value, Iterator) and not isinstance(value, io.IOBase) and not self._is_users_class(type(value)):
            state = functools.partial(_position, value)
            if operator.length_hint(value, -1) < 0 and "0x" in repr(value):
                self.blind.append(path)
        if state is None:
            return False
        self.consumed.append((path, state, state()))
        return True

    # --- objects and classes ----------------------------------------------------------------------

    def _object(self, path: str, value: Any) -> None:
        """Look at the attributes of an object that the functions name; of modules and optimizers at all."""
        kind = type(value)
        attributes: dict[str, Any] = getattr(value, "__dict__", {})
        whole = hasattr(kind, "named_variables") or isinstance(value, UserDict | UserList)
        if path != "self":
            self._keep.append(value)
            by_value = dataclasses.is_dataclass(value)
            self.found[path] = (kind,) if by_value else (kind, id(value)), f"a {kind.__name__}"
            whole = whole or by_value
        if whole and hasattr(kind, "training"):
            self.found[f"{path}.training"] = key_of(value.training), value.training
        if not whole and kind.__module__.startswith("eagerflow."):
            return  # what ours hold does not change, or is looked at in every run
        self._attributes(path, attributes, whole)
        for klass in kind.__mro__:
            slots = vars(klass).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, name) and (whole or name in self.names):
                    self._expect(f"{self._name(value)}.{name}", getattr(value, name))
                    self.look(f"{path}.{name}", getattr(value, name))
            if self._is_users_class(klass):
                self._class(path, klass, hidden=attributes)

    def _class(self, path: str, klass: type, hidden: Any = (), making: bool = False) -> None:
        """Look at the attributes and methods of a class that are named or run without being named."""
        name_of_all = self._name(vars(klass))
        for name, value in list(vars(klass).items()):
            special = name.startswith("__") and name.endswith("__") and name not in _NOT_USED
            if name in hidden or not (name in self.names or special or (making and name in ("__init__", "__new__"))):
                continue
            function = _function_of(value)
            if function is not None:
                self._expect(f"{name_of_all}[{name!r}]", value)
                if id(function) not in self._seen and self._is_users(function):
                    self._seen[id(function)] = f"{klass.__name__}.{name}"
                    self._functions.append((function, f"{klass.__name__}.{name}: "))
            elif not special and f"{path}.{name}" not in self.found:
                self._expect(f"{name_of_all}[{name!r}]", value)
                self.look(f"{path}.{name}", value)

    # --- functions --------------------------------------------------------------------------------

    def _function(self, function: types.FunctionType, prefix: str) -> None:
        """Look at what a function reads from its closure and from its globals."""
        code = function.__code__
        named = names_of(code)
        self.codes.append(code)
        self._known = self._known | named.attributes
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                self.found[f"{prefix}{name}"] = ("unset",), "unset"
                self.conditions.append(f"is_empty({self._name(cell)})")
                continue
            self._expect(f"{self._name(cell)}.cell_contents", value)
            if isinstance(value, types.ModuleType):
                self._module(f"{prefix}{name}", value, named.attributes)
            else:
                self.look(f"{prefix}{name}", value)
        variables = function.__globals__
        name_of_all = self._name(variables)
        for name in named.globals:
            if name not in variables:
                self.conditions.append(f"{name!r} not in {name_of_all}")
                continue
            value = variables[name]
            self._expect(f"{name_of_all}[{name!r}]", value)
            if isinstance(value, types.ModuleType):
                self._module(name, value, named.attributes)
            else:
                self.look(name if not prefix or name not in self.found else f"{prefix}{name}", value)
                self._clock(name, value, named.attributes)

    def _module(self, path: str, module: types.ModuleType, named: frozenset[str]) -> None:
        """Look at what is named in a Python module: of the user's, what it has; of others, what reads a clock."""
        if is_users_module(module.__name__):
            name_of_all = self._name(vars(module))
            for name in sorted(named & set(vars(module))):
                value = vars(module)[name]
                self._expect(f"{name_of_all}[{name!r}]", value)
                if isinstance(value, types.ModuleType):
                    continue
                self.look(f"{path}.{name}", value)
            return
        for name in sorted(named & set(vars(module))):
            self._clock(f"{path}.{name}", vars(module)[name], named)

    def _clock(self, path: str, value: Any, named: frozenset[str]) -> None:
        """Note what reads a clock or the like."""
        if isinstance(value, types.BuiltinFunctionType) and value in _IMPURE:
            self.impure.append(f"{path}()")
        elif isinstance(value, type) and value.__module__ == "datetime" and named & _TODAY:
            self.impure.append(f"{path}.{min(named & _TODAY)}()")

    def _is_users(self, function: types.FunctionType) -> bool:
        package = str(function.__module__).partition(".")[0]
        return is_users_file(function.__code__.co_filename) or (package == self._home != "eagerflow")

    def _is_users_class(self, klass: type) -> bool:
        package = klass.__module__.partition(".")[0]
        return is_users_module(klass.__module__) or (package == self._home != "eagerflow")


def key_of(value: Any) -> tuple[Any, ...]:
    """Return something that is equal for equal numbers and texts of one type: NaN is NaN, and -0.0 is not 0.0."""
    kind = type(value)
    if kind is float:
        return kind, value.hex()
    if kind is complex:
        return kind, value.real.hex(), value.imag.hex()
    if isinstance(value, np.generic):
        return kind, value.tobytes() if value.dtype != object else id(value)
    if kind is slice:
        return kind, value.start, value.stop, value.step
    return kind, value


def _function_of(value: Any) -> types.FunctionType | None:
    """Return the function behind what stands in a class."""
    for _ in range(8):
        if isinstance(value, types.FunctionType):
            return value
        if isinstance(value, property):
            value = value.fget
        elif isinstance(value, staticmethod | classmethod):
            value = value.__func__
        elif isinstance(value, functools.cached_property):
            value = value.func
        else:
            value = getattr(value, "python_function", None)
    return None


def _frame(generator: Any) -> Any:
    frame = generator.gi_frame
    return None if frame is None else frame.f_lasti


def _is_numpy_stream(value: Any) -> bool:
    numpy_random = sys.modules.get("numpy.random")  # which `import numpy` leaves out
    return numpy_random is not None and isinstance(value, numpy_random.Generator | numpy_random.RandomState)


def _bits(generator: Any) -> str:
    bits = getattr(generator, "bit_generator", None)
    return repr(bits.state if bits is not None else generator.get_state())


def _position(iterator: Iterator[Any]) -> Any:
    """Return where an iterator is, as far as it tells."""
    return operator.length_hint(iterator, -1), repr(iterator)
