"""Where in the program an operation stands: the user's line, and the scope of modules and names around it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any

from eagerflow.capture.tracing.code import is_users_file, shown
from eagerflow.core.explain import is_ours

# The scope that was opened last, and how many modules were around it.
_named: ContextVar[tuple[str, int]] = ContextVar("named", default=("", 0))


@contextmanager
def name_scope(name: str) -> Iterator[str]:
    """Name the operations in this block, in graphs that are captured meanwhile.

    Parameters
    ----------
    name : str
        Any text; a ``/`` in it makes nested scopes.

    Yields
    ------
    str
        The whole scope.

    Examples
    --------
    >>> import eagerflow as ef
    >>> @ef.function
    ... def f(x):
    ...     with ef.name_scope("square"):
    ...         return x * x
    >>> graph = f.get_concrete_function(ef.TensorSpec([2])).graph
    >>> [node.scope for node in graph.nodes if node.op.name == "multiply"]
    ['square']
    """
    frames = Places().modules(sys._getframe(2))
    before, depth = _named.get()
    whole = "/".join([*([before] if before else []), *_names(frames[depth:]), str(name)])
    token = _named.set((whole, len(frames)))
    try:
        yield whole
    finally:
        _named.reset(token)


def _names(frames: list[tuple[Any, str]]) -> list[str]:
    return [name for _, name in frames]


class Places:
    """Finds the places of operations while one function is captured."""

    def __init__(self) -> None:
        self._users: dict[CodeType, bool] = {}
        self._children: dict[int, tuple[Any, dict[int, str]]] = {}

    def here(self) -> tuple[str, str]:
        """Return scope and line of the operation that is being captured."""
        frame: FrameType | None = sys._getframe(1)
        line = ""
        while frame is not None:
            if self._is_users(frame):
                line = shown(frame.f_code.co_filename, frame.f_lineno)
                break
            frame = frame.f_back
        scope, depth = _named.get()
        names = _names(self.modules(sys._getframe(1))[depth:])
        return "/".join([*([scope] if scope else []), *names]), line

    def _is_users(self, frame: FrameType) -> bool:
        known = self._users.get(frame.f_code)
        if known is None:
            users = not is_ours(frame) and is_users_file(frame.f_code.co_filename)
            known = self._users[frame.f_code] = users
        return known

    def modules(self, frame: FrameType | None) -> list[tuple[Any, str]]:
        """Return the modules whose call is under way, outermost first, each with its name in the one around it."""
        found: list[Any] = []
        while frame is not None:
            if frame.f_code.co_name == "__call__":
                module = frame.f_locals.get("self")
                if hasattr(module, "named_variables") and (not found or found[-1] is not module):
                    found.append(module)
            frame = frame.f_back
        found.reverse()
        named: list[tuple[Any, str]] = []
        for module in found:
            around = named[-1][0] if named else None
            name = None if around is None else self._within(around).get(id(module))
            named.append((module, name or type(module).__name__))
        return named

    def _within(self, module: Any) -> dict[int, str]:
        """Return the names of what a module holds, by id."""
        known = self._children.get(id(module))
        if known is None:
            names: dict[int, str] = {}
            for key, value in vars(module).items():
                for path, item in _walk(key, value):
                    names.setdefault(id(item), path)
            known = self._children[id(module)] = (module, names)
        return known[1]


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _walk(f"{path}.{position}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(f"{path}.{key}", item)
    elif hasattr(value, "named_variables"):
        yield path, value
