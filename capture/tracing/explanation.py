"""Explanation: why a captured function was traced, and a warning where that happens too often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from eagerflow.capture.tracing.code import users_line, warn
from eagerflow.capture.tracing.signature import Call, TensorKey, ValueKey
from eagerflow.capture.tracing.watching import Outside

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

    def add(self, call: Call, keys: Sequence[Any], outside: Outside, refused: str | None) -> None:
        """Note a trace; warn once when there are many."""
        arguments = dict(zip(call.paths, call.keys, strict=True))
        guilty: list[str] = []
        if not self._seen:
            named = ", ".join(map(_shown, call.paths, keys))
            reason = f"first call{': ' if named else ''}{named}"
        else:
            reason, guilty = self._difference(call.form(), arguments, outside.found, refused)
        widened = [f"{path}: {key!r}" for path, key, now in zip(call.paths, keys, call.keys, strict=True) if key != now]
        if widened and None in [side for key in keys if isinstance(key, TensorKey) for side in key.shape]:
            reason += f"; from now on any length: {', '.join(widened)}"
        self._entries.append((reason, guilty))
        self._seen.append((call.form(), arguments, dict(zip(call.paths, keys, strict=True)), outside.found))
        self._guilty.update(guilty)
        if len(self._entries) >= _MANY and not self._warned:
            self._warned = True
            warn(self._too_many())

    def _too_many(self) -> str:
        found = self._guilty.most_common(1)
        named = f"most often because {found[0][0]} changed ({found[0][1]} times)" if found else "for other structures"
        return (
            f"{self.name} was captured {len(self._entries)} times, {named}; every time costs much more than a run. "
            f"Pass numbers that change as Tensors, and declare lengths that change with input_signature; "
            f"{self.name}.explain() tells each\n  at {users_line()}"
        )

    def _difference(
        self, form: tuple[Any, ...], arguments: dict[str, Any], outside: dict[str, Any], refused: str | None
    ) -> tuple[str, list[str]]:
        """Return what differs from the trace that is nearest, and the names of it."""
        best: list[tuple[str, str]] | None = None
        for before, known, traced, outer in reversed(self._seen):
            if before[2:] != form[2:]:
                continue
            found = [
                difference
                for path, now in arguments.items()
                if now != known[path] and not (isinstance(traced[path], TensorKey) and traced[path].serves(now))
                for difference in _differences(path, now, known[path])
            ]
            found += _changes(outside, outer)
            found += [
                (name, f"{name} is {now}, was {then}")
                for name, now, then in zip(("the default dtype", "the current device"), form, before, strict=False)
                if now != then
            ]
            if best is None or len(found) < len(best):
                best = found
        if best is None:
            return f"the arguments have another structure: {form[2]}", []
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


def _differences(path: str, now: Any, before: Any) -> list[tuple[str, str]]:
    """Return what of an argument differs: its names, each with a sentence."""
    parts = _changes(now.parts, before.parts) if isinstance(now, ValueKey) and isinstance(before, ValueKey) else []
    if parts:
        return parts
    hint = ""
    if isinstance(now, ValueKey) and type(now.value) in (int, float, complex) and isinstance(before, ValueKey):
        hint = " (a Python value is part of the trace; pass a Tensor to share it)"
    return [(path, f"{path} is {now!r}, was {before!r}{hint}")]


def _changes(now: dict[str, Any], before: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what of the values that were looked at differs."""
    found = []
    for name in dict.fromkeys([*now, *before]):
        if name not in before:
            found.append((name, f"{name} is new"))
        elif name not in now:
            found.append((name, f"{name} is gone"))
        elif now[name][0] != before[name][0]:
            mine, theirs = _text(now[name]), _text(before[name])
            found.append((name, f"{name} is {mine}, was {theirs}" if mine != theirs else f"{name} changed"))
    return found


def _text(found: tuple[Any, Any]) -> str:
    """Return how a value is shown: numbers and texts as code, others by what they are."""
    key, shown = found
    text = shown if isinstance(shown, str) and key[0] is not str else repr(shown)
    return text if len(text) <= 60 else f"{text[:57]}..."
