"""``x.flat``: the elements of a Tensor in a row, to read and to assign to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eagerflow.core import Tensor, bind


class Flat:
    """What ``x.flat`` returns: indexing gives Tensors, and assignment gives `x` a new value.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.zeros((2, 2))
    >>> x.flat[::3] += 1
    >>> x
    Tensor([[1., 0.],
            [0., 1.]])
    """

    def __init__(self, source: Any) -> None:
        self._source = source

    def __getitem__(self, index: Any) -> Tensor:
        return self._source.reshape(-1)[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        row = self._source.reshape(-1)
        row[index] = value
        self._source[...] = row.reshape(self._source.shape)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._source.reshape(-1))

    def __len__(self) -> int:
        return self._source.size


def _get(self: Any) -> Flat:
    """Return the elements in a row, in the order of C, to read and to assign to."""
    return Flat(self)


def _set(self: Any, value: Any) -> None:
    Flat(self)[...] = value


bind({"flat": property(_get, _set)})
