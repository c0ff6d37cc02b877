"""Code: which globals and attributes a Python function names, and whose code it is."""

from __future__ import annotations

import dis
import functools
import linecache
import os
import re
import sys
import types
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

from eagerflow.core.explain import is_our_file, is_ours, user_line
from eagerflow.errors import CaptureWarning

# What a line that changes something in place does.
_STORES = {"STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR", "STORE_SUBSCR", "STORE_SLICE", "DELETE_SUBSCR", "BINARY_OP"}
_CHANGING = {
    *("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "appendleft", "popleft"),
    *("add", "discard", "update", "setdefault", "popitem", "next", "send", "shuffle"),
}
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
    return not is_our_file(file) and not os.path.realpath(file).startswith(_libraries())


@functools.cache
def _libraries() -> tuple[str, ...]:
    """Return the folders of Python's library and of what is installed."""
    import sysconfig

    keys = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({os.path.realpath(sysconfig.get_paths()[key]) + os.sep for key in keys})


def users_line() -> str:
    """Return the user's line that led here, past those of libraries: ``file.py:12: y = a + b``."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if not is_ours(frame) and is_users_file(frame.f_code.co_filename):
            return shown(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return user_line()


def warn(message: str) -> None:
    """Warn of something at the user's line."""
    level = 2
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and (is_ours(frame) or not is_users_file(frame.f_code.co_filename)):
        frame = frame.f_back
        level += 1
    warnings.warn(message, CaptureWarning, stacklevel=level if frame is not None else 2)


def shown(file: str, line: int) -> str:
    """Return a line as errors show it."""
    text = linecache.getline(file, line).strip()
    return f"{os.path.basename(file)}:{line}" + (f": {text}" if text else "")


def is_users_module(name: str | None) -> bool:
    """Tell whether a Python module is the user's own."""
    if name == "__main__":
        return True
    module = sys.modules.get(name or "")
    if module is None or getattr(module, "__spec__", None) is None:
        return name not in sys.builtin_module_names  # made by hand
    file: Any = getattr(module, "__file__", None)
    return file is not None and is_users_file(file)


def line_of(codes: Iterable[types.CodeType], path: str) -> str:
    """Return the line that most likely changes what a path leads to; empty if none names it."""
    steps = re.findall(r"[A-Za-z_]\w*", path.rpartition(": ")[2])
    best: tuple[int, str] = (0, "")
    for code in codes:
        for each in (code, *[c for c in code.co_consts if isinstance(c, types.CodeType)]):
            line = 0
            points: dict[int, int] = {}
            for instruction in dis.get_instructions(each):
                line = instruction.positions.lineno or line if instruction.positions else line
                name = instruction.argval if isinstance(instruction.argval, str) else ""
                found = points.get(line, 0)
                found += 8 * (name == steps[0]) + 2 * (name in steps[1:])
                found += name in _CHANGING or instruction.opname in _STORES
                points[line] = found
            for number, found in points.items():
                if found > best[0] and found >= 8:
                    best = found, shown(each.co_filename, number)
    return best[1]
