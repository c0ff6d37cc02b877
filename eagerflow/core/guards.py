"""Guards: what a trace took for granted, to be asked again before it is used for other lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple


class Guard(NamedTuple):
    """What has to be so for a trace to hold: in words, as ``check(sizes)``, and the line that asked."""

    text: str
    check: Callable[[Mapping[str, int]], bool]
    line: str


class Guards:
    """What one trace took for granted about the lengths that its symbols stand for.

    Parameters
    ----------
    lift : callable, optional
        ``lift(value)`` makes a traced value of a symbolic number, or of a plain Tensor that meets a symbolic length.
    """

    def __init__(self, lift: Callable[[Any], Any] | None = None) -> None:
        self.lift = lift
        self._guards: dict[str, Guard] = {}

    def add(self, text: str, check: Callable[[Mapping[str, int]], bool], line: str) -> None:
        """Add a guard, unless the same is there already."""
        self._guards.setdefault(text, Guard(text, check, line))

    def hold(self, env: Mapping[str, int]) -> bool:
        """Tell whether the trace holds for these sizes of the symbols."""
        return all(guard.check(env) for guard in self._guards.values())

    def failed(self, env: Mapping[str, int]) -> str | None:
        """Return the first guard that does not hold, in words."""
        return next((guard.text for guard in self if not guard.check(env)), None)

    def explain(self, env: Mapping[str, int] | None = None) -> str:
        """Return the guards, or those that do not hold for `env`, one per line with the line that asked."""
        return "\n".join(f"{guard.text}, at {guard.line}" for guard in self if env is None or not guard.check(env))

    def __getstate__(self) -> dict[str, Any]:
        return {"lift": None, "_guards": self._guards}

    def __iter__(self) -> Iterator[Guard]:
        return iter(list(self._guards.values()))

    def __len__(self) -> int:
        return len(self._guards)
