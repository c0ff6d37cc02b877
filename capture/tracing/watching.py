"""What a captured function reads besides its arguments: numbers, flags, arrays and objects in closures and globals.

Eager code sees their present values, a graph those of its capture. So they are part of what finds the trace
for a call, and a change leads to another trace.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any

from eagerflow.capture.tracing.walk import Walk
from eagerflow.core import Tensor
from eagerflow.core.record import recorders


class Outside:
    """The values outside its arguments that a function reads, at one moment.

    Parameters
    ----------
    function : callable
        The function.
    owner : object, optional
        What it is a method of.

    Attributes
    ----------
    found : dict
        Per value what it is called (``model.training``), something that is equal for equal values, and how it is shown.
    key : tuple
        The same, to be compared and hashed.
    names : frozenset of str
        The attributes that the function and what it calls name.
    """

    def __init__(self, function: Callable[..., Any], owner: Any = None) -> None:
        walk = Walk.to_the_end(lambda walk: walk.start(function, owner))
        self.found = walk.found
        self.key = walk.key
        self.names = walk.names
        self.symbols = walk.symbols
        self.consumed = walk.consumed
        self.impure = walk.impure
        self.blind = walk.blind
        self.codes = walk.codes
        self.large = walk.large
        self.tensors = walk.tensors
        # What the conditions name is kept, so that nothing else gets its id.
        space = {**walk.space, "same": operator.is_, "is_empty": _is_empty}
        exec(_compiled("\n         and ".join(walk.conditions) or "True"), space)
        self._holds: Callable[[], bool] = space["holds"]

    def holds(self) -> bool:
        """Tell, fast, whether all is as it was; False may also mean that equal objects took the place of others."""
        try:
            return self._holds()
        except (KeyError, AttributeError, ValueError, RuntimeError):  # something is gone, or changes just now
            return False

    def is_followed(self) -> bool:
        """Tell whether an open tape follows one of the Tensors: a graph has them as constants."""
        return are_followed(self.tensors)

    def differences(self, later: Outside) -> list[str]:
        """Return the names of what is not as it was."""
        names = dict.fromkeys([*self.found, *later.found])
        return [name for name in names if self._key_of(name) != later._key_of(name)]

    def _key_of(self, name: str) -> Any:
        return self.found.get(name, (None, None))[0]

    def used_up(self) -> list[str]:
        """Return the names of generators, iterators and random streams that gave something since."""
        return [name for name, state, before in self.consumed if state() != before]


def are_followed(tensors: Iterable[Tensor]) -> bool:
    """Tell whether an open tape follows one of some Tensors."""
    return any(t._rec is not None and any(tape.recording for tape in recorders(t._rec.tape)) for t in tensors)


@functools.lru_cache(maxsize=512)
def _compiled(conditions: str) -> Any:
    return compile(f"def holds():\n    return ({conditions})", "<what a captured function reads outside>", "exec")


def _is_empty(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - it raises
    except ValueError:
        return True
    return False
