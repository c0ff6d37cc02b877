"""Creation: arrays from nothing, from numbers, and from the arrays of others."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from eagerflow import devices
from eagerflow.core import ArrayMethods, Draw, Op, Sample, Spec, Tensor, convert, default_dtype, implements, wrap
from eagerflow.core.explain import user_line
from eagerflow.devices import Device
from eagerflow.errors import ArgumentError, DTypeError, ShapeError
from eagerflow.ops.arrays.conversion import check_dtype, to_device
from eagerflow.ops.arrays.shape import as_shape, broadcast_to
from eagerflow.ops.checked import flag, integer

__all__ = [
    "array",
    "asarray",
    "empty",
    "empty_like",
    "from_dlpack",
    "full",
    "full_like",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]

NO_INPUT = "it has no inputs"


def create(op: Op, device: str | Device | None, **attrs: Any) -> Tensor:
    """Run an op without inputs on a device."""
    if device is None:
        return op(**attrs)
    with devices.device(device):
        return op(**attrs)


def lengths(shape: Any, name: str) -> tuple[int, ...]:
    """Return a shape as a tuple of integers, none of them negative."""
    sides = as_shape(shape, name)
    if builtins.any(side < 0 for side in sides):
        raise ShapeError(f"{name}: lengths are not negative, got shape {sides}\n  at {user_line()}")
    return sides


def dtype_or_default(dtype: Any, name: str) -> np.dtype[Any]:
    """Return the dtype asked for, or the default one."""
    return default_dtype() if dtype is None else check_dtype(dtype, name)


# --- from values --------------------------------------------------------------------------------


def asarray(x: Any, /, dtype: Any = None, *, device: str | Device | None = None, copy: bool | None = None) -> Tensor:
    """Return a Tensor of the given values.

    Parameters
    ----------
    x : array_like
        Numbers, nested sequences of numbers and Tensors, an array or a Tensor.
    dtype : dtype, optional
        The dtype; otherwise that of `x`, and the default dtype for Python floats.
    device : str or Device, optional
        Where to put it; otherwise where `x` is, or the current device.
    copy : bool, optional
        False to share the memory of a NumPy array: then the Tensor sees what is written to the
        array. Otherwise arrays of others are copied.

    Returns
    -------
    Tensor
        The values; a Tensor of the dtype and device wanted is returned as it is.

    Raises
    ------
    DTypeError
        `x` holds something that is no number.
    ShapeError
        Nested sequences of unequal lengths.
    ArgumentError
        `copy` is False, but the values must be copied.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.asarray([1, 2.5])
    Tensor([1. , 2.5])
    """
    wanted = None if dtype is None else check_dtype(dtype, "asarray")
    if isinstance(x, np.matrix):
        x = np.asarray(x)
    if copy is not None:
        copy = flag(copy, "asarray", "copy")
    if copy is False:
        owned = hasattr(x, "dtype") and (wanted is None or x.dtype == wanted)
        if not owned or (
            device is not None and isinstance(x, ArrayMethods) and x._read().device is not devices.find(device)
        ):
            raise ArgumentError(
                f"asarray: copy=False, but {type(x).__name__} cannot become this Tensor without a copy"
                f"\n  at {user_line()}"
            )
    return convert(x, wanted, device, copy)


def array(
    x: Any, /, dtype: Any = None, *, device: str | Device | None = None, copy: bool | None = True, ndmin: int = 0
) -> Tensor:
    """Return a new Tensor of the given values, as ``numpy.array``.

    Parameters
    ----------
    x : array_like
        Numbers, nested sequences of numbers and Tensors, an array or a Tensor.
    dtype : dtype, optional
        The dtype; otherwise that of `x`.
    device : str or Device, optional
        Where to put it.
    copy : bool, optional
        As for `asarray`.
    ndmin : int
        Least number of axes; axes of length one are put in front.

    Returns
    -------
    Tensor
        The values.

    Raises
    ------
    DTypeError, ShapeError, ArgumentError
        As `asarray`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.array([1.0, 2.0], dtype=ef.float32)
    Tensor([1., 2.], dtype=float32)
    """
    made = asarray(x, dtype, device=device, copy=copy)
    ndmin = integer(ndmin, "array", "ndmin")
    return made if made.ndim >= ndmin else made.reshape((1,) * (ndmin - made.ndim) + made.shape)


def from_dlpack(x: Any, /, *, device: str | Device | None = None, copy: bool | None = None) -> Tensor:
    """Return a Tensor of the values of another library's array.

    Parameters
    ----------
    x : object with ``__dlpack__``
        Such as an array of NumPy, CuPy or PyTorch.
    device : str or Device, optional
        Where to put it; otherwise where `x` is.
    copy : bool, optional
        False to share memory: then the Tensor sees what is written to `x`.

    Returns
    -------
    Tensor
        The values.

    Raises
    ------
    DTypeError
        `x` does not speak DLPack.

    Examples
    --------
    >>> import numpy as np
    >>> import eagerflow as ef
    >>> ef.from_dlpack(np.ones(2))
    Tensor([1., 1.])
    """
    if copy is not None:
        copy = flag(copy, "from_dlpack", "copy")
    if isinstance(x, ArrayMethods):
        if copy is False and device is not None and devices.find(device) is not x.device:
            raise ArgumentError(
                f"from_dlpack: copy=False, but {device} is not where the values are\n  at {user_line()}"
            )
        return convert(x, None, device, copy)
    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise DTypeError(
            f"from_dlpack: expected an array that has __dlpack__, got {type(x).__name__}\n  at {user_line()}"
        )
    kind = int(x.__dlpack_device__()[0])
    name = {2: "cuda", 13: "cuda"}.get(kind, "cpu")
    source = devices.kinds()[name]
    try:
        shared = source.namespace.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise DTypeError(f"from_dlpack: {type(x).__name__} does not hand its values over: {error}") from error
    if copy is False:
        home = devices.find(f"{name}:{source.index_of(shared)}")
        if device is not None and devices.find(device) is not home:
            raise ArgumentError(
                f"from_dlpack: copy=False, but {device} is not where the values are\n  at {user_line()}"
            )
        return wrap(shared, home)
    made = convert(shared.copy(), copy=False)
    return made if device is None else to_device(made, device)


# --- constant values ----------------------------------------------------------------------------


def _sample_constant(draw: Draw) -> Sample:
    return Sample((), {"shape": draw.shape(), "dtype": np.dtype(draw.choice(["float64", "int32", "bool"]))})


def _constant(name: str) -> Op:
    return Op(
        name, lambda xp, *, shape, dtype: getattr(xp, name)(shape, dtype), inputs="",
        infer=lambda *, shape, dtype: Spec(shape, dtype), sample=_sample_constant, no_gradient=NO_INPUT,
        onnx="ConstantOfShape", flops=0,
    )  # fmt: skip


_zeros, _ones = _constant("zeros"), _constant("ones")


@implements(np.zeros)
def zeros(shape: Any, dtype: Any = None, *, device: str | Device | None = None) -> Tensor:
    """Return an array of zeros.

    Parameters
    ----------
    shape : int or sequence of int
        The shape.
    dtype : dtype, optional
        The dtype; the default dtype if not given.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        Zeros.

    Raises
    ------
    ShapeError
        A negative length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.zeros(2)
    Tensor([0., 0.])
    """
    return create(_zeros, device, shape=lengths(shape, "zeros"), dtype=dtype_or_default(dtype, "zeros"))


@implements(np.ones)
def ones(shape: Any, dtype: Any = None, *, device: str | Device | None = None) -> Tensor:
    """Return an array of ones.

    Parameters
    ----------
    shape : int or sequence of int
        The shape.
    dtype : dtype, optional
        The dtype; the default dtype if not given.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        Ones.

    Raises
    ------
    ShapeError
        A negative length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.ones(2)
    Tensor([1., 1.])
    """
    return create(_ones, device, shape=lengths(shape, "ones"), dtype=dtype_or_default(dtype, "ones"))


@implements(np.empty)
def empty(shape: Any, dtype: Any = None, *, device: str | Device | None = None) -> Tensor:
    """Return an array to be filled; it holds zeros, so that results repeat.

    Parameters
    ----------
    shape : int or sequence of int
        The shape.
    dtype : dtype, optional
        The dtype; the default dtype if not given.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        Of the shape.

    Raises
    ------
    ShapeError
        A negative length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.empty((2, 3)).shape
    (2, 3)
    """
    return create(_zeros, device, shape=lengths(shape, "empty"), dtype=dtype_or_default(dtype, "empty"))


def full(shape: Any, fill_value: Any, dtype: Any = None, *, device: str | Device | None = None) -> Tensor:
    """Return an array filled with a value.

    Parameters
    ----------
    shape : int or sequence of int
        The shape.
    fill_value : array_like
        A number, or what broadcasts to the shape; gradients pass to it.
    dtype : dtype, optional
        The dtype; otherwise that of the value.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        The value, repeated.

    Raises
    ------
    ShapeError
        A negative length; the value does not broadcast to the shape.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.full(2, 7.0)
    Tensor([7., 7.])
    """
    wanted = None if dtype is None else check_dtype(dtype, "full")
    return broadcast_to(convert(fill_value, wanted, device), lengths(shape, "full"))


@implements(np.full)
def _numpy_full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", *, device: Any = None) -> Tensor:
    return full(shape, fill_value, dtype, device=device)


def _like(x: Any, dtype: Any, shape: Any, device: Any, name: str) -> tuple[tuple[int, ...], np.dtype[Any], Any]:
    source = convert(x, copy=False)
    return (
        source.shape if shape is None else lengths(shape, name),
        source.dtype if dtype is None else check_dtype(dtype, name),
        source.device if device is None else device,
    )


_LIKE = """

    Parameters
    ----------
    x : array_like
        Where shape, dtype and device come from.
    dtype : dtype, optional
        Another dtype.
    shape : int or sequence of int, optional
        Another shape.
    device : str or Device, optional
        Another device.

    Returns
    -------
    Tensor
        Of the shape.

    Examples
    --------
    >>> import eagerflow as ef
"""


def zeros_like(x: Any, /, dtype: Any = None, *, shape: Any = None, device: str | Device | None = None) -> Tensor:
    """Return zeros of the shape and dtype of `x`."""
    sides, wanted, home = _like(x, dtype, shape, device, "zeros_like")
    return zeros(sides, wanted, device=home)


def ones_like(x: Any, /, dtype: Any = None, *, shape: Any = None, device: str | Device | None = None) -> Tensor:
    """Return ones of the shape and dtype of `x`."""
    sides, wanted, home = _like(x, dtype, shape, device, "ones_like")
    return ones(sides, wanted, device=home)


def empty_like(x: Any, /, dtype: Any = None, *, shape: Any = None, device: str | Device | None = None) -> Tensor:
    """Return an array of the shape and dtype of `x`, to be filled; it holds zeros."""
    sides, wanted, home = _like(x, dtype, shape, device, "empty_like")
    return empty(sides, wanted, device=home)


for _function, _example in (
    (zeros_like, ">>> ef.zeros_like([1.0, 2.0])\n    Tensor([0., 0.])"),
    (ones_like, ">>> ef.ones_like([3.0, 2.0])\n    Tensor([1., 1.])"),
    (empty_like, ">>> ef.empty_like([1.0, 2.0]).shape\n    (2,)"),
):
    _function.__doc__ = f"{_function.__doc__}{_LIKE}    {_example}\n    "


def full_like(
    x: Any, /, fill_value: Any, dtype: Any = None, *, shape: Any = None, device: str | Device | None = None
) -> Tensor:
    """Return an array of the shape and dtype of `x`, filled with a value.

    Parameters
    ----------
    x : array_like
        Where shape, dtype and device come from.
    fill_value : array_like
        A number, or what broadcasts to the shape; gradients pass to it.
    dtype : dtype, optional
        Another dtype.
    shape : int or sequence of int, optional
        Another shape.
    device : str or Device, optional
        Another device.

    Returns
    -------
    Tensor
        The value, repeated.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.full_like([1.0, 2.0], 5)
    Tensor([5., 5.])
    """
    sides, wanted, home = _like(x, dtype, shape, device, "full_like")
    return full(sides, fill_value, wanted, device=home)


@implements(np.zeros_like)
def _numpy_zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Tensor:
    return zeros_like(a, dtype, shape=shape, device=device)


@implements(np.ones_like)
def _numpy_ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Tensor:
    return ones_like(a, dtype, shape=shape, device=device)


@implements(np.empty_like)
def _numpy_empty_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Tensor:
    return empty_like(a, dtype, shape=shape, device=device)


@implements(np.full_like)
def _numpy_full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Tensor:
    return full_like(a, fill_value, dtype, shape=shape, device=device)
