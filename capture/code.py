"""Code: which globals and attributes a Python function names, and whose code it is."""

from __future__ import annotations

import dis
import functools
import os
import sys
import sysconfig
import types
from typing import Any, NamedTuple

from eagerflow.core.explain import is_our_file

_LIBRARIES = tuple(
    {os.path.realpath(sysconfig.get_paths()[key]) + os.sep for key in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "LOAD_SUPER_ATTR", "DELETE_ATTR")


class Names(NamedTuple):
    """What a function and the functions within it name."""

    globals: tuple[str, ...]
    attributes: frozenset[str]


@functools.lru_cache(maxsize=4096)
def names_of(code: types.CodeType) -> Names:
    """Return the globals and the attributes that code names; text in it may name attributes, too (``getattr``)."""
    found: set[str] = set()
    attributes: set[str] = set()
    stack = [code]
    while stack:
        each = stack.pop()
        for instruction in dis.get_instructions(each):
            if instruction.opname in _GLOBALS:
                found.add(instruction.argval)
            elif instruction.opname in _ATTRIBUTES:
                attributes.add(instruction.argval)
        for constant in each.co_consts:
            if isinstance(constant, types.CodeType):
                stack.append(constant)
            elif isinstance(constant, str) and constant.isidentifier():
                attributes.add(constant)
    return Names(tuple(sorted(found)), frozenset(attributes))


@functools.lru_cache(maxsize=4096)
def is_users_file(file: str) -> bool:
    """Tell whether a file is the user's own and not that of a library; what is typed in (``<stdin>``) is."""
    if file.startswith("<"):
        return not file.startswith("<frozen")
    return not is_our_file(file) and not os.path.realpath(file).startswith(_LIBRARIES)


def is_users_module(name: str | None) -> bool:
    """Tell whether a Python module is the user's own."""
    if name == "__main__":
        return True
    module = sys.modules.get(name or "")
    if module is None or getattr(module, "__spec__", None) is None:
        return name not in sys.builtin_module_names  # made by hand
    file: Any = getattr(module, "__file__", None)
    return file is not None and is_users_file(file)
