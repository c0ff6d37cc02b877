"""Flatten."""

from __future__ import annotations

import math
from typing import Any

from eagerflow.core import Tensor, convert
from eagerflow.errors import ShapeError
from eagerflow.nn.module import Module


class Flatten(Module):
    """Join all axes but the first: ``(batch, …)`` becomes ``(batch, elements)``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.Flatten()(ef.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __call__(self, x: Any) -> Tensor:
        """Return `x` of shape ``(batch, elements)``."""
        x = convert(x)
        if not x.ndim:
            raise ShapeError("Flatten: expected an input with a batch axis, got one without axes")
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))
