"""Explanation: why a captured function was traced, and a warning where that happens too often."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from eagerflow.capture.signature import Call, TensorKey, ValueKey
from eagerflow.capture.watching import Watch, describe_change
from eagerflow.core.explain import user_line
from eagerflow.errors import CaptureWarning

# So many traces of one function are most likely a mistake.
_MANY = 8


class Explanation:
    """What made each trace of one function."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries: list[tuple[str, list[str]]] = []
        self._seen: list[tuple[Any, dict[str, Any], dict[str, Any], dict[str, Any]]] = []
        self._guilty: Counter[str] = Counter()
        self._warned = False

    def add(
        self,
        paths: Sequence[str],
        call: Call,
        keys: Sequence[Any],
        watch: Watch,
        concrete: Any,
        refused: str | None,
    ) -> None:
        """Note a trace; warn once when there are many."""
        arguments = dict(zip(paths, call.keys, strict=True))
        outside = dict(zip(watch.names, zip(watch.fingerprint(), map(describe_change, watch.values()), strict=True),
                           strict=True))  # fmt: skip
        if not self._seen:
            reason, guilty = "first call: " + ", ".join(map(_shown, paths, keys)), []
        else:
            reason, guilty = self._difference(call.structure, arguments, outside, refused)
        widened = [path for path, key, now in zip(paths, keys, call.keys, strict=True) if key != now]
        if widened:
            named = ", ".join(f"{path}: {key!r}" for path, key in zip(paths, keys, strict=True) if path in widened)
            reason += f"; from now on any length: {named}"
        self._entries.append((reason, guilty))
        self._seen.append((call.structure, arguments, dict(zip(paths, keys, strict=True)), outside))
        self._guilty.update(guilty)
        if len(self._entries) >= _MANY and not self._warned:
            self._warned = True
            warnings.warn(self._too_many(), CaptureWarning, stacklevel=4)

    def _too_many(self) -> str:
        found = self._guilty.most_common(1)
        named = f"most often because {found[0][0]} changed ({found[0][1]} times)" if found else "for other structures"
        return (
            f"{self.name} was captured {len(self._entries)} times, {named}; every time costs much more than a run. Pass "
            f"numbers that change as Tensors, and declare lengths that change with input_signature; "
            f"{self.name}.explain() tells each\n  at {user_line()}"
        )

    def _difference(
        self, structure: Any, arguments: dict[str, Any], outside: dict[str, Any], refused: str | None
    ) -> tuple[str, list[str]]:
        """Return what differs from the trace that is nearest, and the names of it."""
        best: list[tuple[str, str]] | None = None
        for before, known, traced, outer in reversed(self._seen):
            if before != structure:
                continue
            found = [
                (path, _changed(path, now, known[path]))
                for path, now in arguments.items()
                if now != known[path] and not (isinstance(traced[path], TensorKey) and traced[path].serves(now))
            ]
            found += [
                (name, f"{name} is {now[1]}, was {outer[name][1]}" if now[1] != outer[name][1] else f"{name} changed")
                for name, now in outside.items()
                if name in outer and now[0] != outer[name][0]
            ]
            if best is None or len(found) < len(best):
                best = found
        if best is None:
            return f"the arguments have another structure: {structure}", []
        if refused is not None and not best:
            return f"an earlier trace does not hold for these lengths: {refused}", []
        return "; ".join(text for _, text in best) or "what it reads outside is something else", [n for n, _ in best]

    def text(self) -> str:
        """Return all of it."""
        count = len(self._entries)
        head = f"{self.name}: {count} trace{'' if count == 1 else 's'}"
        return "\n".join([head, *[f"  {i}. {reason}" for i, (reason, _) in enumerate(self._entries, 1)]])


def _shown(path: str, key: Any) -> str:
    return f"{path}={key!r}" if isinstance(key, ValueKey) else f"{path}: {key!r}"


def _changed(path: str, now: Any, before: Any) -> str:
    if isinstance(now, ValueKey) and isinstance(before, ValueKey):
        hint = (
            " (a Python value is part of the trace; pass a Tensor to share it)"
            if isinstance(now.value, int | float) and not isinstance(now.value, bool)
            else ""
        )
        return f"{path} is {now!r}, was {before!r}{hint}"
    return f"{path} is {now!r}, was {before!r}"
