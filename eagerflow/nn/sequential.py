"""Sequential: one layer after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from eagerflow.errors import DTypeError
from eagerflow.nn.module import Module


class Sequential(Module):
    """Call layers one after the other, each on the result of the one before.

    Parameters
    ----------
    *layers : callable
        Modules and plain functions.

    Raises
    ------
    DTypeError
        A layer cannot be called.

    Examples
    --------
    >>> import eagerflow as ef
    >>> model = ef.nn.Sequential(ef.nn.Linear(4, 8), ef.nn.relu, ef.nn.Linear(8, 3))
    >>> model(ef.ones((2, 4))).shape
    (2, 3)
    >>> model
    Sequential  # 67 parameters
      layers.0: Linear(4 -> 8)  # 40 parameters
      layers.1: relu
      layers.2: Linear(8 -> 3)  # 27 parameters
    """

    def __init__(self, *layers: Callable[[Any], Any]) -> None:
        for position, layer in enumerate(layers):
            if not callable(layer):
                raise DTypeError(f"Sequential: expected layers that can be called, got {layer!r:.60} at {position}")
        self.layers: list[Any] = list(layers)

    def __call__(self, x: Any) -> Any:
        """Return the result of the last layer."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Any:
        return self.layers[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)
