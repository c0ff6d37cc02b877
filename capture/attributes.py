"""Attributes of nodes: when two are the same, and whether symbolic lengths are in them."""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np

from eagerflow.core.dims import Symbolic
from eagerflow.core.spec import Spec


def key(x: Any) -> Hashable:
    """Return what is equal for attributes that are the same, and for no others.

    Numbers are the same if type and bits are: 0.0 and -0.0 differ, and so do 1, 1.0 and True. Arrays are the same if
    they are one object. Symbolic lengths are compared as expressions, without leaving a guard.

    Parameters
    ----------
    x : object
        An attribute, a number among the inputs of a node, or a `Spec`.

    Returns
    -------
    hashable
        The key. It holds ids: whatever `x` is made of has to live as long as the key.
    """
    kind = type(x)
    if kind is int or kind is str or kind is bool or kind is bytes:
        return (kind, x)
    if kind is float:
        return (float, struct.pack("d", x))
    if kind is complex:
        return (complex, struct.pack("dd", x.real, x.imag))
    if isinstance(x, tuple | list):
        return (kind, *[key(item) for item in x])
    if isinstance(x, Symbolic):
        return (Symbolic, id(x.guards), repr(x))
    if kind is slice:
        return (slice, key(x.start), key(x.stop), key(x.step))
    if isinstance(x, Spec):
        return (Spec, key(x.shape), x.dtype)
    if isinstance(x, np.generic):
        return (np.generic, x.dtype, x.tobytes())
    if isinstance(x, Mapping):
        return (dict, *[(name, key(x[name])) for name in sorted(x, key=repr)])
    if isinstance(x, np.ndarray) or kind.__hash__ is None:
        return (id, id(x))
    return (kind, x)  # dtypes, devices, None, functions: they know best


def same(x: Any, y: Any) -> bool:
    """Tell whether two attributes are the same; symbolic lengths are compared without leaving a guard."""
    return x is y or key(x) == key(y)


def is_symbolic(x: Any) -> bool:
    """Tell whether there is a symbolic length in an attribute."""
    return any(isinstance(item, Symbolic) for item in _leaves(x))


def _leaves(x: Any) -> Iterator[Any]:
    if isinstance(x, tuple | list):
        for item in x:
            yield from _leaves(item)
    elif isinstance(x, Mapping):
        yield from _leaves(list(x.values()))
    elif isinstance(x, slice):
        yield from (x.start, x.stop, x.step)
    elif isinstance(x, Spec):
        yield from x.shape
    else:
        yield x
