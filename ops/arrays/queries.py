"""Questions about arrays: shape, kind of numbers, equality, memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eagerflow.core import ArrayMethods, Tensor, convert, implements
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.creation import full_like
from eagerflow.ops.arrays.shape import broadcast_shapes
from eagerflow.ops.axes import some_axes
from eagerflow.ops.checked import guarded, real
from eagerflow.ops.elementwise.comparison import isinf
from eagerflow.ops.reductions.extremes import all as every

__all__ = [
    "array_equiv",
    "iscomplex",
    "iscomplexobj",
    "isneginf",
    "isposinf",
    "isreal",
    "isrealobj",
    "may_share_memory",
    "ndim",
    "real_if_close",
    "shape",
    "shares_memory",
    "size",
]


@implements(np.shape)
@guarded
def shape(a: Any) -> tuple[int, ...]:
    """Return the shape of an array.

    Parameters
    ----------
    a : array_like
        Input.

    Returns
    -------
    tuple of int
        The length of each axis.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.shape([[1.0, 2.0]])
    (1, 2)
    """
    return convert(a).shape


@implements(np.ndim)
@guarded
def ndim(a: Any) -> int:
    """Return the number of axes of an array.

    Parameters
    ----------
    a : array_like
        Input.

    Returns
    -------
    int
        The number.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.ndim([[1.0, 2.0]])
    2
    """
    return convert(a).ndim


@implements(np.size)
@guarded
def size(a: Any, axis: Any = None) -> int:
    """Return the number of elements of an array, or of positions along axes.

    Parameters
    ----------
    a : array_like
        Input.
    axis : int or tuple of int, optional
        The axes; all if not given.

    Returns
    -------
    int
        The number.

    Raises
    ------
    ShapeError
        An axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.size([[1.0, 2.0]], axis=0)
    1
    """
    made = convert(a)
    return math.prod(made.shape[i] for i in some_axes(axis, made.ndim, "size"))


@implements(np.iscomplexobj)
@guarded
def iscomplexobj(x: Any) -> bool:
    """Tell whether an array has a complex dtype.

    Parameters
    ----------
    x : array_like
        Input.

    Returns
    -------
    bool
        Whatever the values are.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.iscomplexobj([1.0 + 0j])
    True
    """
    return convert(x).dtype.kind == "c"


@implements(np.isrealobj)
@guarded
def isrealobj(x: Any) -> bool:
    """Tell whether an array has a dtype that is not complex.

    Parameters
    ----------
    x : array_like
        Input.

    Returns
    -------
    bool
        Whatever the values are.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.isrealobj([1.0])
    True
    """
    return not iscomplexobj(x)


@implements(np.iscomplex)
@guarded
def iscomplex(x: Any) -> Tensor:
    """Whether the imaginary part is not zero, element-wise.

    Parameters
    ----------
    x : array_like
        Input.

    Returns
    -------
    Tensor
        Booleans.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.iscomplex([1 + 1j, 1 + 0j])
    Tensor([ True, False])
    """
    made = convert(x)
    return made.imag != 0 if made.dtype.kind == "c" else full_like(made, False, bool)


@implements(np.isreal)
@guarded
def isreal(x: Any) -> Tensor:
    """Whether the imaginary part is zero, element-wise.

    Parameters
    ----------
    x : array_like
        Input.

    Returns
    -------
    Tensor
        Booleans.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.isreal([1 + 1j, 1 + 0j])
    Tensor([False,  True])
    """
    made = convert(x)
    return made.imag == 0 if made.dtype.kind == "c" else full_like(made, True, bool)


@implements(np.isposinf)
@guarded
def isposinf(x: Any) -> Tensor:
    """Whether elements are positive infinity.

    Parameters
    ----------
    x : array_like
        Input.

    Returns
    -------
    Tensor
        Booleans.

    Raises
    ------
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.isposinf([float("inf"), 1.0])
    Tensor([ True, False])
    """
    made = real(x, "isposinf", "x")
    return isinf(made) & (made > 0)


@implements(np.isneginf)
@guarded
def isneginf(x: Any) -> Tensor:
    """Whether elements are negative infinity.

    Parameters
    ----------
    x : array_like
        Input.

    Returns
    -------
    Tensor
        Booleans.

    Raises
    ------
    DTypeError
        Complex numbers.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.isneginf([float("-inf"), 1.0])
    Tensor([ True, False])
    """
    made = real(x, "isneginf", "x")
    return isinf(made) & (made < 0)


@implements(np.array_equiv)
@guarded
def array_equiv(a1: Any, a2: Any) -> Tensor:
    """Tell whether two arrays broadcast against each other and are equal then.

    Parameters
    ----------
    a1, a2 : array_like
        Inputs.

    Returns
    -------
    Tensor
        A boolean.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.array_equiv([1.0, 1.0], 1.0)
    Tensor(True)
    """
    first, second = convert(a1), convert(a2)
    try:
        broadcast_shapes(first.shape, second.shape)
    except ShapeError:
        return convert(False)
    return every(first == second)


@implements(np.real_if_close)
@guarded
def real_if_close(a: Any, tol: float = 100) -> Tensor:
    """Return the real parts if all imaginary parts are close to zero, and `a` otherwise.

    Parameters
    ----------
    a : array_like
        Input; its values are needed.
    tol : float
        How close: in units of the dtype's precision if greater than 1, as a number otherwise.

    Returns
    -------
    Tensor
        Real or complex.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.real_if_close([1.0 + 1e-20j])
    Tensor([1.])
    """
    made = convert(a)
    if made.dtype.kind != "c":
        return made
    limit = float(np.finfo(made.dtype).eps) * tol if tol > 1 else tol
    return made.real if bool((abs(made.imag) < limit).all()) else made


@implements(np.may_share_memory)
@guarded
def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    """Return False: Tensors are values, so that a change of one is never seen in another.

    Parameters
    ----------
    a, b : array_like
        Arrays.
    max_work : object
        For NumPy's signature.

    Returns
    -------
    bool
        False; of two NumPy arrays what NumPy says.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.may_share_memory(ef.zeros(2), ef.zeros(2))
    False
    """
    if isinstance(a, ArrayMethods) or isinstance(b, ArrayMethods):
        return False
    return bool(np.may_share_memory(a, b))


@implements(np.shares_memory)
@guarded
def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    """Return False: Tensors are values, so that a change of one is never seen in another.

    Parameters
    ----------
    a, b : array_like
        Arrays.
    max_work : object
        For NumPy's signature.

    Returns
    -------
    bool
        False; of two NumPy arrays what NumPy says.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.shares_memory(ef.zeros(2), ef.zeros(2))
    False
    """
    if isinstance(a, ArrayMethods) or isinstance(b, ArrayMethods):
        return False
    return bool(np.shares_memory(a, b))


# Questions about dtypes, which NumPy asks by looking at arrays.


@implements(np.common_type)
def _common_type(*arrays: Any) -> Any:
    return np.common_type(*[np.empty(0, convert(x).dtype) for x in arrays])


@implements(np.min_scalar_type)
def _min_scalar_type(a: Any) -> Any:
    made = convert(a)
    return made.dtype if made.ndim else np.min_scalar_type(made.numpy()[()])
