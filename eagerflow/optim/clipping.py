"""Clipping of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import optree

from eagerflow.core import Tensor, convert, is_inexact
from eagerflow.core.explain import user_line
from eagerflow.core.traced import Traced
from eagerflow.devices import Device
from eagerflow.errors import ArgumentError
from eagerflow.ops.checked import number
from eagerflow.ops.precision import is_low


def clip_by_global_norm(gradients: Any, max_norm: float) -> tuple[Any, Tensor]:
    """Scale gradients down so that the norm of all of them together is at most `max_norm`.

    Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013.

    Parameters
    ----------
    gradients : pytree of Tensor
        The gradients, also on several devices; None stays None.
    max_norm : float
        The largest norm allowed, above 0.

    Returns
    -------
    clipped : pytree of Tensor
        In the structure of `gradients`; the same where the norm is small enough.
    norm : Tensor
        The norm before, on the device of the first. Where it is infinite or NaN, so are the clipped gradients.

    Raises
    ------
    ArgumentError
        `max_norm` is not above 0.
    DTypeError
        It is no number, or a leaf of the gradients is none.

    Examples
    --------
    >>> import eagerflow as ef
    >>> clipped, norm = ef.optim.clip_by_global_norm([ef.asarray([3.0]), ef.asarray([4.0])], 1.0)
    >>> norm, clipped[1]
    (Tensor(5.), Tensor([0.8]))
    """
    max_norm = number(max_norm, "clip_by_global_norm", "max_norm")
    if not max_norm > 0:
        raise ArgumentError(f"clip_by_global_norm: expected max_norm above 0, got {max_norm!r}\n  at {user_line()}")
    leaves = [convert(g) for g in optree.tree_leaves(gradients)]
    total: Any = 0.0
    for g in leaves:
        flat = (g.astype(np.float32) if is_low(g.dtype) else g).reshape(-1)
        square = (flat @ flat) if g.dtype.kind != "c" else (flat @ flat.conj()).real
        total = total + _on(square, leaves[0].device)
    norm = convert(total) ** 0.5
    # While it is captured, or under `vmap`, nobody knows yet whether it is small enough.
    if not isinstance(norm, Traced) and norm <= max_norm:
        return gradients, norm
    scale: Any = max_norm / np.maximum(norm, max_norm)

    def scaled(g: Any) -> Any:
        x = convert(g)
        factor = _on(scale, x.device)
        return x * (factor.astype(x.dtype) if is_inexact(x.dtype) else factor)

    return optree.tree_map(scaled, gradients), norm


def _on(x: Tensor, device: Device) -> Tensor:
    """Return a number on a device: gradients may be on several."""
    return x if x.device is device else x.to(device)
