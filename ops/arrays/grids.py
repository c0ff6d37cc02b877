"""Grids whose elements follow from their positions: identity, triangle, indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.devices import Device
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.creation import NO_INPUT, create, dtype_or_default, lengths, zeros
from eagerflow.ops.arrays.joining import stack
from eagerflow.ops.arrays.ranges import arange
from eagerflow.ops.arrays.shape import broadcast_to
from eagerflow.ops.checked import flag, integer, option

__all__ = ["eye", "identity", "indices", "meshgrid", "tri"]


def _sample_eye(draw: Draw) -> Sample:
    attrs = {"rows": draw.integer(0, 4), "columns": draw.integer(0, 4), "k": draw.integer(-2, 2)}
    return Sample((), {**attrs, "dtype": np.dtype(np.float64)})


_eye = Op(
    "eye", lambda xp, *, rows, columns, k, dtype: xp.eye(rows, columns, k, dtype), inputs="",
    infer=lambda *, rows, columns, k, dtype: Spec((rows, columns), dtype), sample=_sample_eye,
    no_gradient=NO_INPUT, onnx="EyeLike", flops=0,
)  # fmt: skip
_tri = Op(
    "tri", lambda xp, *, rows, columns, k, dtype: xp.tri(rows, columns, k, dtype), inputs="",
    infer=lambda *, rows, columns, k, dtype: Spec((rows, columns), dtype), sample=_sample_eye,
    no_gradient=NO_INPUT, flops=0,
)  # fmt: skip


@implements(np.eye)
def eye(
    n_rows: int, n_cols: int | None = None, /, k: int = 0, dtype: Any = None, *, device: str | Device | None = None
) -> Tensor:
    """Return a matrix with ones on a diagonal and zeros elsewhere.

    Parameters
    ----------
    n_rows, n_cols : int
        The shape; square if only one is given.
    k : int
        Which diagonal: 0 is the main one, positive ones are above it.
    dtype : dtype, optional
        The dtype; the default dtype if not given.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        The matrix.

    Raises
    ------
    ShapeError
        A negative length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.eye(2)
    Tensor([[1., 0.],
            [0., 1.]])
    """
    rows, columns = lengths((n_rows, n_rows if n_cols is None else n_cols), "eye")
    offset, wanted = (
        integer(max(-rows, min(k, columns)) if isinstance(k, int) and k else k, "eye", "k"),
        dtype_or_default(dtype, "eye"),
    )
    return create(_eye, device, rows=rows, columns=columns, k=offset, dtype=wanted)


def identity(n: int, /, dtype: Any = None, *, device: str | Device | None = None) -> Tensor:
    """Return the identity matrix.

    Parameters
    ----------
    n : int
        Number of rows and columns.
    dtype : dtype, optional
        The dtype; the default dtype if not given.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        The matrix.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.identity(1)
    Tensor([[1.]])
    """
    return eye(n, dtype=dtype, device=device)


def tri(
    n_rows: int, n_cols: int | None = None, /, k: int = 0, dtype: Any = None, *, device: str | Device | None = None
) -> Tensor:
    """Return a matrix with ones on and below a diagonal, and zeros above it.

    Parameters
    ----------
    n_rows, n_cols : int
        The shape; square if only one is given.
    k : int
        Which diagonal: 0 is the main one, positive ones are above it.
    dtype : dtype, optional
        The dtype; the default dtype if not given.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        The matrix.

    Raises
    ------
    ShapeError
        A negative length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.tri(2)
    Tensor([[1., 0.],
            [1., 1.]])
    """
    rows, columns = lengths((n_rows, n_rows if n_cols is None else n_cols), "tri")
    offset, wanted = (
        integer(max(-rows, min(k, columns)) if isinstance(k, int) and k else k, "tri", "k"),
        dtype_or_default(dtype, "tri"),
    )
    return create(_tri, device, rows=rows, columns=columns, k=offset, dtype=wanted)


def indices(dimensions: Any, dtype: Any = np.int64, *, device: str | Device | None = None) -> Tensor:
    """Return the position of each element of a grid, along each axis.

    Parameters
    ----------
    dimensions : sequence of int
        Shape of the grid.
    dtype : dtype
        The dtype.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        Of shape ``(len(dimensions), *dimensions)``.

    Raises
    ------
    ShapeError
        A negative length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.indices((2, 2))[0]
    Tensor([[0, 0],
            [1, 1]])
    """
    sides = lengths(dimensions, "indices")
    lines = []
    for axis, side in enumerate(sides):
        line = arange(side, dtype=dtype, device=device)
        lines.append(broadcast_to(line.reshape((side,) + (1,) * (len(sides) - axis - 1)), sides))
    return stack(lines) if lines else zeros((0,), dtype, device=device)


@implements(np.meshgrid)
def meshgrid(*arrays: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Return the coordinates of the points of a grid.

    Parameters
    ----------
    *arrays : array_like
        Coordinates along each axis: vectors.
    copy : bool
        For NumPy's signature.
    sparse : bool
        Whether the results have length one along the axes of others, and so broadcast to the grid.
    indexing : {"xy", "ij"}
        Whether the first vector runs along the second axis, as in plots, or along the first.

    Returns
    -------
    tuple of Tensor
        One for each vector.

    Raises
    ------
    ShapeError
        An input has more than one axis.
    ArgumentError
        Unknown `indexing`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x, y = ef.meshgrid([1.0, 2.0], [3.0, 4.0, 5.0])
    >>> x.shape
    (3, 2)
    """
    option(indexing, ("xy", "ij"), "meshgrid", "indexing")
    sparse = flag(sparse, "meshgrid", "sparse")
    tensors = [convert(x) for x in arrays]
    for x in tensors:
        if x.ndim > 1:
            raise ShapeError(f"meshgrid: expected vectors, got shape {x.shape}\n  at {user_line()}")
    order = list(range(len(tensors)))
    if indexing == "xy" and len(order) > 1:
        order[0], order[1] = 1, 0
    sides = [1] * len(tensors)
    for axis, x in zip(order, tensors, strict=True):
        sides[axis] = x.size
    results = []
    for axis, x in zip(order, tensors, strict=True):
        line = x.reshape([x.size if i == axis else 1 for i in range(len(order))])
        results.append(line if sparse else broadcast_to(line, sides))
    return tuple(results)
