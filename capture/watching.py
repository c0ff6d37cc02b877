"""What a captured function reads besides its arguments: numbers, flags, arrays and objects in closures and globals.

Eager code sees their present values, a graph those of its capture. So they are part of what finds the trace
for a call, and a change leads to another trace.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from eagerflow.capture.walk import Walk


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
        self._cells = walk.cells
        self._picked = [(get, tuple(names)) for get, names in walk.picked]
        self._wholes = walk.wholes
        self._lengths = walk.lengths
        self._slots = walk.slots
        self._held = walk.tensors
        self._contents = walk.contents
        # Members of what is watched, kept: nothing else gets their ids.
        self._members = self._look()

    def _look(self) -> list[Any]:
        """Return the present members of everything that is watched."""
        now = [cell.cell_contents for cell in self._cells]
        for get, names in self._picked:
            now.extend(map(get, names))
        for whole in self._wholes:
            now.extend(whole)
        for value, name in self._slots:
            now.append(getattr(value, name, None))
        return now

    def holds(self) -> bool:
        """Tell, fast, whether all is as it was; False may also mean that equal objects took the place of others."""
        try:
            now = self._look()
        except (ValueError, RuntimeError):  # an empty cell, or another thread changes a dict just now
            return False
        members = self._members
        if len(now) != len(members) or not all(map(operator.is_, now, members)):
            return False
        for value, length in self._lengths:
            if len(value) != length:
                return False
        for tensor, held in self._held:
            if tensor._held is not held:
                return False
        return all(read() == content for read, content in self._contents)

    def differences(self, later: Outside) -> list[str]:
        """Return the names of what is not as it was."""
        names = dict.fromkeys([*self.found, *later.found])
        return [name for name in names if self._key_of(name) != later._key_of(name)]

    def _key_of(self, name: str) -> Any:
        return self.found.get(name, (None, None))[0]

    def used_up(self) -> list[str]:
        """Return the names of generators, iterators and random streams that gave something since."""
        return [name for name, state, before in self.consumed if state() != before]

