"""Samples: valid inputs that an op draws for its own tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Sample:
    """Arguments of one valid call of an op.

    Parameters
    ----------
    inputs : tuple
        NumPy arrays and Python scalars.
    attrs : dict
        Attributes.

    Examples
    --------
    >>> import numpy as np
    >>> import eagerflow as ef
    >>> sample = ef.ops.Sample((np.ones((2, 3)),), {"axis": (0,), "keepdims": False})
    >>> ef.ops.registry()["sum"](*sample.inputs, **sample.attrs)
    Tensor([2., 2., 2.])
    """

    inputs: tuple[Any, ...]
    attrs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Arithmetic on 0-d arrays gives NumPy scalars.
        self.inputs = tuple(np.asarray(x) if isinstance(x, np.generic) else x for x in self.inputs)


class Draw:
    """Random choices for samplers, repeatable from a seed.

    Parameters
    ----------
    seed : int
        Seed.
    dtype : dtype
        Floating-point or complex dtype that arrays have if not said otherwise.

    Examples
    --------
    >>> import eagerflow as ef
    >>> draw = ef.ops.Draw(seed=0)
    >>> x = draw.array((2, 3), low=1.0, high=2.0)
    >>> x.shape, bool(((1 < x) & (x < 2)).all())
    ((2, 3), True)
    """

    def __init__(self, seed: int, dtype: Any = np.float64) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = np.dtype(dtype)

    def integer(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    def choice(self, options: Any) -> Any:
        """Return one of the options."""
        return options[self.integer(0, len(options) - 1)]

    def flag(self) -> bool:
        """Return True or False."""
        return bool(self.integer(0, 1))

    def shape(self, min_dims: int = 0, max_dims: int = 3, max_side: int = 4, min_side: int = 1) -> tuple[int, ...]:
        """Return a shape."""
        return tuple(self.integer(min_side, max_side) for _ in range(self.integer(min_dims, max_dims)))

    def broadcastable(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return a shape that broadcasts to `shape`."""
        dropped = self.integer(0, len(shape))
        return tuple(1 if self.integer(0, 3) == 0 else side for side in shape[dropped:])

    def axis(self, ndim: int) -> int:
        """Return an axis, negative ones included."""
        return self.integer(-ndim, ndim - 1)

    def axes(self, ndim: int) -> tuple[int, ...]:
        """Return some distinct axes."""
        chosen: Any = self.rng.permutation(ndim)[: self.integer(1, ndim)] if ndim else []
        return tuple(int(axis) for axis in chosen)

    def array(self, shape: tuple[int, ...], low: float = -2.0, high: float = 2.0, dtype: Any = None) -> Any:
        """Return values spread over ``(low, high)``, at least 1e-3 of it apart from each other.

        The distance keeps samples away from the ties at which functions such as max have kinks.
        Complex arrays get imaginary parts from -1 to 1.
        """
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        if dtype.kind == "b":
            return self.rng.integers(0, 2, shape).astype(dtype)
        if dtype.kind in "iu":
            return self.rng.integers(int(low), int(high) + 1, shape).astype(dtype)
        count = int(np.prod(shape))
        steps = self.rng.permutation(count) + self.rng.uniform(0.1, 0.9, count)
        values = (low + (high - low) * steps / max(count, 1)).reshape(shape)
        if dtype.kind == "c":
            values = values + 1j * self.rng.uniform(-1, 1, shape)
        return self._layout(values.astype(dtype))

    def _layout(self, values: np.ndarray) -> np.ndarray:
        """Return the same values, sometimes non-contiguous or with negative strides."""
        form = self.integer(0, 3)
        if form == 1 and values.ndim > 1:
            return np.asfortranarray(values)
        if form == 2 and values.ndim:
            return np.ascontiguousarray(values[::-1])[::-1]
        return values
