"""Creation: arrays from nothing, from numbers, and from the arrays of others."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from eagerflow import devices
from eagerflow.core import ArrayMethods, Draw, Op, Sample, Spec, Tensor, convert, default_dtype, implements, wrap
from eagerflow.core.explain import user_line
from eagerflow.devices import Device
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.conversion import check_dtype, to_device
from eagerflow.ops.joining import concat, stack
from eagerflow.ops.shape import as_shape, broadcast_to

__all__ = [
    "arange",
    "array",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "geomspace",
    "identity",
    "indices",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "tri",
    "zeros",
    "zeros_like",
]

_NO_INPUT = "it has no inputs"


def _create(op: Op, device: str | Device | None, **attrs: Any) -> Tensor:
    """Run an op without inputs on a device."""
    if device is None:
        return op(**attrs)
    with devices.device(device):
        return op(**attrs)


def _sides(shape: Any, name: str) -> tuple[int, ...]:
    sides = as_shape(shape, name)
    if builtins.any(side < 0 for side in sides):
        raise ShapeError(f"{name}: lengths are not negative, got shape {sides}\n  at {user_line()}")
    return sides


def _dtype(dtype: Any, name: str) -> np.dtype[Any]:
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
    ValueError
        `copy` is False, but the values must be copied.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.asarray([1, 2.5])
    Tensor([1. , 2.5])
    """
    wanted = None if dtype is None else check_dtype(dtype, "asarray")
    if copy is False:
        owned = hasattr(x, "dtype") and (wanted is None or x.dtype == wanted)
        if not owned or (
            device is not None and isinstance(x, ArrayMethods) and x._read().device is not devices.find(device)
        ):
            raise ValueError(f"asarray: copy=False, but {type(x).__name__} cannot become this Tensor without a copy")
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
    DTypeError, ShapeError
        As `asarray`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.array([1.0, 2.0], dtype=ef.float32)
    Tensor([1., 2.], dtype=float32)
    """
    made = asarray(x, dtype, device=device, copy=copy)
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
    if isinstance(x, ArrayMethods):
        return convert(x, None, device, copy)
    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise DTypeError(
            f"from_dlpack: expected an array that has __dlpack__, got {type(x).__name__}\n  at {user_line()}"
        )
    kind = int(x.__dlpack_device__()[0])
    name = {2: "cuda", 13: "cuda"}.get(kind, "cpu")
    source = devices.kinds()[name]
    shared = source.namespace.from_dlpack(x)
    if copy is False:
        home = devices.find(f"{name}:{source.index_of(shared)}")
        if device is not None and devices.find(device) is not home:
            raise ValueError(f"from_dlpack: copy=False, but {device} is not where the values are")
        return wrap(shared, home)
    made = convert(shared.copy(), copy=False)
    return made if device is None else to_device(made, device)


# --- constant values ----------------------------------------------------------------------------


def _sample_constant(draw: Draw) -> Sample:
    return Sample((), {"shape": draw.shape(), "dtype": np.dtype(draw.choice(["float64", "int32", "bool"]))})


def _constant(name: str) -> Op:
    return Op(
        name, lambda xp, *, shape, dtype: getattr(xp, name)(shape, dtype), inputs="",
        infer=lambda *, shape, dtype: Spec(shape, dtype), sample=_sample_constant, no_gradient=_NO_INPUT,
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
    return _create(_zeros, device, shape=_sides(shape, "zeros"), dtype=_dtype(dtype, "zeros"))


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
    return _create(_ones, device, shape=_sides(shape, "ones"), dtype=_dtype(dtype, "ones"))


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
    return _create(_zeros, device, shape=_sides(shape, "empty"), dtype=_dtype(dtype, "empty"))


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
    return broadcast_to(convert(fill_value, wanted, device), _sides(shape, "full"))


@implements(np.full)
def _numpy_full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", *, device: Any = None) -> Tensor:
    return full(shape, fill_value, dtype, device=device)


def _like(x: Any, dtype: Any, shape: Any, device: Any, name: str) -> tuple[tuple[int, ...], np.dtype[Any], Any]:
    source = convert(x, copy=False)
    return (
        source.shape if shape is None else _sides(shape, name),
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


# --- ranges -------------------------------------------------------------------------------------


def _arange_rule(*, start: Any, stop: Any, step: Any, dtype: Any) -> Spec:
    return Spec((builtins.max(0, math.ceil((stop - start) / step)),), dtype)


def _sample_arange(draw: Draw) -> Sample:
    start, step = draw.integer(-5, 5), draw.choice([1, 2, -1])
    return Sample(
        (), {"start": start, "stop": start + step * draw.integer(0, 5), "step": step, "dtype": np.dtype("int64")}
    )


_arange = Op(
    "arange", lambda xp, *, start, stop, step, dtype: xp.arange(start, stop, step, dtype), inputs="",
    infer=_arange_rule, sample=_sample_arange, no_gradient=_NO_INPUT, onnx="Range",
)  # fmt: skip


@implements(np.arange)
def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: str | Device | None = None,
) -> Tensor:
    """Return evenly spaced numbers from `start` up to, but not including, `stop`.

    Parameters
    ----------
    start : float
        First number; with nothing else the end, and the first is 0.
    stop : float, optional
        The end.
    step : float
        The distance.
    dtype : dtype, optional
        The dtype; otherwise int64 for integers, the default dtype for floats.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor
        A vector.

    Raises
    ------
    ShapeError
        The step is zero.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.arange(3)
    Tensor([0, 1, 2])
    """
    first, last = (0, start) if stop is None else (start, stop)
    numbers = [x.item() if hasattr(x, "item") else x for x in (first, last, step)]
    if numbers[2] == 0:
        raise ShapeError(f"arange: the step is zero\n  at {user_line()}")
    whole = builtins.all(isinstance(x, int) for x in numbers)
    wanted = check_dtype(dtype, "arange") if dtype is not None else np.dtype(np.int64) if whole else default_dtype()
    return _create(_arange, device, start=numbers[0], stop=numbers[1], step=numbers[2], dtype=wanted)


def _number(x: Any, device: Any) -> Any:
    """Return an end of a range as a Tensor, of a floating-point dtype."""
    made = convert(x, None, device)
    return made.astype(default_dtype()) if made.dtype.kind in "biu" else made


def linspace(
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    *,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    device: str | Device | None = None,
) -> Any:
    """Return evenly spaced numbers over an interval.

    Parameters
    ----------
    start, stop : array_like
        The ends; gradients pass to them.
    num : int
        How many numbers.
    endpoint : bool
        Whether the last number is `stop`.
    retstep : bool
        Whether to return the distance too.
    dtype : dtype, optional
        Dtype of the result.
    axis : int
        Where the new axis goes, if the ends are arrays.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Returns
    -------
    Tensor or tuple of Tensor
        The numbers; with `retstep` and their distance.

    Raises
    ------
    ShapeError
        `num` is negative.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linspace(0.0, 1.0, 5)
    Tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    if num < 0:
        raise ShapeError(f"linspace: expected 0 numbers or more, got {num}\n  at {user_line()}")
    first, last = _number(start, device), _number(stop, device)
    spaces = num - 1 if endpoint else num
    delta = last - first
    step = delta / spaces if spaces > 0 else delta * math.nan
    places = arange(num, dtype=delta.dtype, device=delta.device).reshape((num,) + (1,) * delta.ndim)
    # As NumPy does: by multiplication, and the end exactly.
    result = first + places * (step if spaces > 0 else delta)
    if endpoint and num > 1:
        end = broadcast_to(last.astype(result.dtype), result.shape[1:])
        result = concat([result[:-1], end.reshape((1, *result.shape[1:]))])
    if dtype is not None:
        wanted = check_dtype(dtype, "linspace")
        floored = result.numpy()
        result = convert(np.floor(floored), wanted, result.device) if wanted.kind in "iu" else result.astype(wanted)
    result = result if axis == 0 or result.ndim == 1 else _moved(result, axis)
    return (result, step) if retstep else result


def _moved(x: Tensor, axis: int) -> Tensor:
    order = list(range(1, x.ndim))
    order.insert(axis % x.ndim, 0)
    return x.transpose(order)


@implements(np.linspace)
def _numpy_linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    return linspace(start, stop, num, endpoint=endpoint, retstep=retstep, dtype=dtype, axis=axis, device=device)


@implements(np.logspace)
def logspace(
    start: Any, stop: Any, /, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Tensor:
    """Return numbers from ``base ** start`` to ``base ** stop``, evenly spaced on a logarithmic scale.

    Parameters
    ----------
    start, stop : array_like
        Exponents of the ends; gradients pass to them.
    num : int
        How many numbers.
    endpoint : bool
        Whether the last number belongs to `stop`.
    base : array_like
        The base.
    dtype : dtype, optional
        Dtype of the result.
    axis : int
        Where the new axis goes, if the ends are arrays.

    Returns
    -------
    Tensor
        The numbers.

    Raises
    ------
    ShapeError
        `num` is negative.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.logspace(0, 2, 3)
    Tensor([  1.,  10., 100.])
    """
    result = base ** linspace(start, stop, num, endpoint=endpoint, axis=axis)
    return result if dtype is None else result.astype(dtype)


def geomspace(start: float, stop: float, /, num: int = 50, endpoint: bool = True, dtype: Any = None) -> Tensor:
    """Return numbers from `start` to `stop`, each the same multiple of the one before.

    Parameters
    ----------
    start, stop : float
        The ends, both positive or both negative.
    num : int
        How many numbers.
    endpoint : bool
        Whether the last number is `stop`.
    dtype : dtype, optional
        Dtype of the result.

    Returns
    -------
    Tensor
        The numbers.

    Raises
    ------
    ValueError
        An end is zero, or they have unlike signs.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.geomspace(1.0, 8.0, 4)
    Tensor([1., 2., 4., 8.])
    """
    made = np.geomspace(float(start), float(stop), num, endpoint)
    return convert(made.astype(_dtype(dtype, "geomspace"), copy=False))


# --- matrices -----------------------------------------------------------------------------------


def _sample_eye(draw: Draw) -> Sample:
    attrs = {"rows": draw.integer(0, 4), "columns": draw.integer(0, 4), "k": draw.integer(-2, 2)}
    return Sample((), {**attrs, "dtype": np.dtype(np.float64)})


_eye = Op(
    "eye", lambda xp, *, rows, columns, k, dtype: xp.eye(rows, columns, k, dtype), inputs="",
    infer=lambda *, rows, columns, k, dtype: Spec((rows, columns), dtype), sample=_sample_eye,
    no_gradient=_NO_INPUT, onnx="EyeLike", flops=0,
)  # fmt: skip
_tri = Op(
    "tri", lambda xp, *, rows, columns, k, dtype: xp.tri(rows, columns, k, dtype), inputs="",
    infer=lambda *, rows, columns, k, dtype: Spec((rows, columns), dtype), sample=_sample_eye,
    no_gradient=_NO_INPUT, flops=0,
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
    rows, columns = _sides((n_rows, n_rows if n_cols is None else n_cols), "eye")
    return _create(_eye, device, rows=rows, columns=columns, k=int(k), dtype=_dtype(dtype, "eye"))


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
    rows, columns = _sides((n_rows, n_rows if n_cols is None else n_cols), "tri")
    return _create(_tri, device, rows=rows, columns=columns, k=int(k), dtype=_dtype(dtype, "tri"))


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
    sides = _sides(dimensions, "indices")
    lines = []
    for axis, side in enumerate(sides):
        line = arange(side, dtype=dtype, device=device)
        lines.append(broadcast_to(line.reshape((side,) + (1,) * (len(sides) - axis - 1)), sides))
    return stack(lines) if lines else zeros((0,), dtype, device=device)
