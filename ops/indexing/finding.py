"""Finding: where the elements are that are not zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.checked import guarded

__all__ = ["argwhere", "nonzero"]


def _sample_mask(draw: Draw) -> Sample:
    return Sample((draw.array(draw.shape(min_dims=1), dtype=np.bool_),))


_nonzero = Op(
    "nonzero", "nonzero", inputs="x", infer=lambda x: (Spec((None,), np.intp),) * x.ndim, sample=_sample_mask,
    no_gradient="positions are integers", outputs=-1,
)  # fmt: skip


@implements(np.nonzero)
@guarded
def nonzero(x: Any, /) -> tuple[Tensor, ...]:
    """Return the positions of the elements that are not zero.

    Parameters
    ----------
    x : array_like
        Input of one axis or more.

    Returns
    -------
    tuple of Tensor
        Per axis the integer positions along it, in row-major order.

    Raises
    ------
    ShapeError
        The input has no axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nonzero([0.0, 5.0, 7.0])
    (Tensor([1, 2]),)
    """
    source = convert(x)
    if not source.ndim:
        raise ShapeError(f"nonzero: expected an array with axes, got shape (); use x.reshape(1)\n  at {user_line()}")
    return _nonzero(source)


_argwhere = Op(
    "argwhere", "argwhere", inputs="x", infer=lambda x: Spec((None, x.ndim), np.intp), sample=_sample_mask,
    no_gradient="positions are integers",
)  # fmt: skip


@implements(np.argwhere)
@guarded
def argwhere(x: Any, /) -> Tensor:
    """Return the positions of the elements that are not zero, one a row.

    Parameters
    ----------
    x : array_like
        Input.

    Returns
    -------
    Tensor
        Integers of shape ``(count, x.ndim)``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.argwhere([[0.0, 5.0], [7.0, 0.0]])
    Tensor([[0, 1],
            [1, 0]])
    """
    return _argwhere(x)
