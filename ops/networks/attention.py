"""Scaled dot-product attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eagerflow.core import Tensor, convert
from eagerflow.core.dims import is_symbolic
from eagerflow.core.explain import describe, user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.grids import tri
from eagerflow.ops.checked import flag, number
from eagerflow.ops.elementwise.selection import where
from eagerflow.ops.linear_algebra.contraction import matmul
from eagerflow.ops.networks.activation import softmax

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    q: Any, k: Any, v: Any, mask: Any = None, is_causal: bool = False, scale: float | None = None
) -> Tensor:
    """Mix values by the similarity of queries to keys: ``softmax(scale * q kᵀ) v``.

    Parameters
    ----------
    q : array_like
        Queries, shape (…, L, E).
    k : array_like
        Keys, shape (…, S, E).
    v : array_like
        Values, shape (…, S, F).
    mask : array_like, optional
        Broadcasts to (…, L, S). Booleans: True where a query may see a key. Numbers are added
        to the scaled similarities.
    is_causal : bool
        Whether query i sees only the keys up to number i.
    scale : float, optional
        Factor of the similarities; ``1 / √E`` if not given.

    Returns
    -------
    Tensor
        Shape (…, L, F). A query that may see no key gets NaN.

    Raises
    ------
    ShapeError
        The shapes do not fit.

    References
    ----------
    Vaswani et al., "Attention is all you need", 2017.

    Examples
    --------
    >>> import eagerflow as ef
    >>> q = k = ef.zeros((2, 1))
    >>> ef.nn.scaled_dot_product_attention(q, k, [[1.0], [3.0]], is_causal=True)
    Tensor([[1.],
            [2.]])
    """
    q, k, v = convert(q), convert(k), convert(v)
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            "scaled_dot_product_attention: expected q (…, L, E), k (…, S, E), v (…, S, F), "
            f"got q: {describe(q)}, k: {describe(k)}, v: {describe(v)}\n  at {user_line()}"
        )
    if scale is None:
        scale = 1 / max(q.shape[-1], 1) ** 0.5
    factor = number(scale, "scaled_dot_product_attention", "scale")
    scores = matmul(q * factor, k.swapaxes(-1, -2))
    if flag(is_causal, "scaled_dot_product_attention", "is_causal"):
        sides = (q.shape[-2], k.shape[-2])
        seen = tri(*sides, dtype=bool) if is_symbolic(sides) else np.tri(*sides, dtype=bool)
        scores = where(convert(seen, None, q.device), scores, -math.inf)
    if mask is not None:
        mask = convert(mask)
        scores = where(mask, scores, -math.inf) if mask.dtype.kind == "b" else scores + mask
    return matmul(softmax(scores), v)
