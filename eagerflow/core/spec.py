"""What is known of an array without its values: shape and dtype."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class Spec:
    """Shape and dtype of an array; what shape rules take and give.

    Parameters
    ----------
    shape : tuple of int or None
        The shape; None for a length that depends on the values.
    dtype : numpy.dtype
        The dtype.

    Examples
    --------
    >>> import eagerflow as ef
    >>> spec = ef.ops.Spec((2, 3), "float32")
    >>> spec, spec.size, spec.nbytes
    (float32[2, 3], 6, 24)
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[Any, ...], dtype: Any) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements; lengths that only the values tell count as one."""
        return math.prod([1 if side is None else side for side in self.shape])

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.size * self.dtype.itemsize

    def __eq__(self, other: object) -> bool:
        # Symbolic lengths are equal here if they are the same expression; their own == would ask for sizes.
        if not isinstance(other, Spec) or hash(self.shape) != hash(other.shape):
            return False
        return (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"
