"""Tensor: a value of an array, its device, and its place on the tapes that listen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from eagerflow import devices
from eagerflow.core.array_methods import ArrayMethods
from eagerflow.core.dims import Symbolic, is_symbolic
from eagerflow.core.explain import describe, user_line
from eagerflow.devices import CPU0, Device
from eagerflow.errors import DTypeError, ShapeError

if TYPE_CHECKING:
    from eagerflow.core.record import Record

_new = object.__new__


class Tensor(ArrayMethods):
    """An array value on a device, which tapes can follow.

    Tensors are made by `eagerflow.asarray` and its kin, and by operations. They act as NumPy
    arrays do, with one difference: they are values. ``x[i] = v`` and ``x += y`` give the
    handle ``x`` a new value and never change another Tensor, a recorded value or a NumPy array.

    Parameters
    ----------
    value : array_like
        Numbers, nested sequences, an array or a Tensor; copied.
    dtype : dtype, optional
        The dtype; otherwise that of `value`.
    device : str or Device, optional
        Where to put it; otherwise the current device.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.asarray([1.0, 2.0, 3.0])
    >>> y = x * 1
    >>> x[0] = 10
    >>> x, y
    (Tensor([10.,  2.,  3.]), Tensor([1., 2., 3.]))
    """

    __slots__ = ("__weakref__", "_device", "_held", "_rec")

    _held: Any
    _device: Device
    _rec: Record | None

    def __init__(self, value: Any, dtype: Any = None, device: str | Device | None = None) -> None:
        made = convert(value, dtype, device)
        self._held = made._held
        self._device = made._device
        self._rec = made._rec

    def _read(self) -> Tensor:
        return self

    def _moves(self) -> bool:
        """Tell whether forward mode follows the value: it has a tangent."""
        return False

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        shape: tuple[int, ...] = self._held.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the elements."""
        dtype: np.dtype[Any] = self._held.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        ndim: int = self._held.ndim
        return ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        size: int = self._held.size
        return size

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        nbytes: int = self._held.nbytes
        return nbytes

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        itemsize: int = self._held.itemsize
        return itemsize

    @property
    def device(self) -> Device:
        """The device that holds the values."""
        return self._device

    def numpy(self) -> np.ndarray:
        """Return the values as a NumPy array: on the CPU a read-only view."""
        data = self._held
        if type(data) is not np.ndarray:
            return self._device.kind.to_host(data)
        view = data.view()
        view.flags.writeable = False
        return view

    def __len__(self) -> int:
        if not self._held.ndim:
            raise DTypeError("len: a Tensor without axes has no length")
        return len(self._held)

    def __repr__(self) -> str:
        host = self.numpy()
        body = np.array2string(host, separator=", ", prefix="Tensor(", threshold=200, edgeitems=3)
        known = ("float64", "int64", "bool", "complex128")
        dtype = "" if host.dtype.name in known and host.size else f", dtype={host.dtype.name}"
        shape = f", shape={host.shape}" if host.size > 200 or not host.size else ""
        where = "" if self._device is CPU0 else f", device={self._device!r}"
        return f"Tensor({body}{shape}{dtype}{where})"

    def __str__(self) -> str:
        return str(self.numpy())

    def __copy__(self) -> Tensor:
        return wrap(self._held, self._device, self._rec)

    def __deepcopy__(self, memo: object) -> Tensor:
        # Values are never written to while shared, so a copy can share them.
        return wrap(self._held, self._device)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (np.array(self.numpy()), repr(self._device))


def _unpickle(host: np.ndarray, device: str) -> Tensor:
    return convert(host, None, device)


def wrap(data: Any, device: Device, record: Record | None = None) -> Tensor:
    """Make a Tensor of a device array, without a copy or a check."""
    tensor: Tensor = _new(Tensor)
    tensor._held = data
    tensor._device = device
    tensor._rec = record
    return tensor


def landed(data: Any, device: Device) -> Any:
    """Return what a kernel gave as an array: where arrays have no axes NumPy and its subclasses give numbers."""
    if device.kind.array_type is np.ndarray:
        return np.asarray(data)
    return device.kind.from_host(np.asarray(data), device.index) if isinstance(data, np.generic) else data


def zeros_like(value: Any) -> Tensor:
    """Return zeros in the shape, in the dtype and on the device of a Tensor, or of the value that a record is of."""
    return filled(0, value.shape, value.dtype, value.device)


def filled(number: int, shape: tuple[Any, ...], dtype: Any, device: Device) -> Tensor:
    """Return a Tensor that holds 0 or 1 everywhere; of a symbolic shape, a repeated number."""
    if is_symbolic(shape):
        return broadcast(filled(number, (), dtype, device), shape)
    namespace = device.kind.namespace
    make = namespace.ones if number else namespace.zeros
    if device.on_host:
        return wrap(make(shape, dtype), device)
    with device.kind.activate(device.index):
        return wrap(make(shape, dtype), device)


def alias(tensor: Tensor, record: Record | None = None) -> Any:
    """Return another handle on the value of a Tensor, in the place on tapes that `record` says."""
    made: Any = _new(type(tensor))
    made._held = tensor._held
    made._device = tensor._device
    made._rec = record
    return made


def become(handle: Tensor, value: Tensor) -> None:
    """Give a handle another value, which a transformation may follow while it did not follow the old one."""
    if type(handle) is not type(value):
        handle.__class__ = type(value)
    handle._held = value._held
    handle._device = value._device
    handle._rec = value._rec


_default_float: np.dtype[Any] = np.dtype(np.float64)
_default_complex: np.dtype[Any] = np.dtype(np.complex128)


def set_default_dtype(dtype: Any) -> None:
    """Choose the dtype of floats that come without one: Python floats and lists of them.

    Parameters
    ----------
    dtype : dtype
        ``float64`` (as in NumPy, the default) or a smaller real floating-point dtype.

    Raises
    ------
    DTypeError
        Not a real floating-point dtype.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.set_default_dtype(ef.float32)
    >>> ef.zeros(2).dtype
    dtype('float32')
    >>> ef.set_default_dtype(ef.float64)
    """
    global _default_float, _default_complex
    chosen = as_dtype(dtype)
    if not is_inexact(chosen) or chosen.kind == "c":
        raise DTypeError(f"set_default_dtype: expected a real floating-point dtype, got {chosen}")
    _default_float = chosen
    _default_complex = np.dtype(np.complex128 if chosen.itemsize == 8 else np.complex64)


def default_dtype(kind: str = "f") -> np.dtype[Any]:
    """Return the default real (``"f"``) or complex (``"c"``) dtype."""
    return _default_complex if kind == "c" else _default_float


_EXTENSION_FLOATS = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3", "float8_e3m4")


def is_inexact(dtype: np.dtype[Any]) -> bool:
    """Tell whether gradients of this dtype exist: real or complex floating point."""
    return dtype.kind in "fc" or dtype.name in _EXTENSION_FLOATS


# Set while a gradient function runs on arrays: what it converts lives as long as it needs, so nothing is copied.
lend: ContextVar[bool] = ContextVar("lend", default=False)


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """Return `dtype` as a NumPy dtype.

    Raises
    ------
    DTypeError
        It is none.
    """
    try:
        return np.dtype(dtype)
    except Exception as error:  # NumPy raises errors of many kinds here
        raise DTypeError(f"expected a dtype, got {describe(dtype)}\n  at {user_line()}") from error


def convert(value: Any, dtype: Any = None, device: str | Device | None = None, copy: bool | None = None) -> Tensor:
    """Return `value` as a Tensor. NumPy arrays are copied unless `copy` is False.

    Raises
    ------
    DTypeError
        The value holds something that is no number.
    ShapeError
        Nested sequences of unequal lengths.
    """
    if isinstance(value, ArrayMethods):
        tensor = value._read()
        if dtype is not None and as_dtype(dtype) != tensor.dtype:
            tensor = tensor.astype(dtype)
        if device is not None and devices.find(device) is not tensor.device:
            tensor = tensor.to(device)
        return alias(tensor, tensor._rec) if copy else tensor
    if type(value) is np.ndarray and dtype is None and lend.get():
        return wrap(value, devices.find(device))
    wanted = None if dtype is None else as_dtype(dtype)
    if type(value) is not np.ndarray and not isinstance(value, np.generic):
        if isinstance(value, Symbolic):
            return convert(value.lifted(), wanted, device)
        home = devices.of_array(value)
        # A kind may have a subclass of NumPy's arrays as its own.
        if home is not None and home.kind.array_type is not np.ndarray:
            data = value if copy is False else home.kind.copy(value, home.index)
            return convert(wrap(data, home), wanted, device)
        if _holds_tensors(value):
            return _convert_nested(value, wanted, device)
        if isinstance(value, np.ndarray):
            _check_subclass(value)
    try:
        array = np.asarray(value, wanted)
    except (ValueError, TypeError, OverflowError) as error:
        if "inhomogeneous" in str(error):
            raise ShapeError(f"asarray: nested sequences of unequal lengths: {error}") from None
        raise DTypeError(f"asarray: cannot make an array of {type(value).__name__}: {error}") from None
    if array.dtype.kind not in "biufc" and not is_inexact(array.dtype) and array.dtype.name not in ("int4", "uint4"):
        raise DTypeError(f"asarray: a Tensor holds numbers, got {value!r:.80} of dtype {array.dtype}")
    # Python floats come out of NumPy as these two; others have a dtype of their own, which stays.
    if wanted is None and array.dtype in (np.float64, np.complex128) and not hasattr(value, "dtype"):
        array = array.astype(default_dtype(array.dtype.kind), copy=False)
    if copy is not False and (array is value or array.base is not None):
        array = array.copy()
    if type(array) is not np.ndarray:
        array = np.array(array, subok=False)
    home = devices.find(device)
    data = array if home.kind.array_type is np.ndarray else home.kind.from_host(array, home.index)
    return wrap(data, home)


def _check_subclass(value: np.ndarray) -> None:
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DTypeError("asarray: a Tensor has no mask; fill the masked array first, with value.filled(...)")
    if isinstance(value, np.matrix):
        raise DTypeError("asarray: operators of np.matrix mean something else; pass np.asarray(matrix)")


def _holds_tensors(value: Any) -> bool:
    if not isinstance(value, list | tuple):
        return False
    return any(isinstance(item, ArrayMethods | Symbolic) or _holds_tensors(item) for item in value)


_stack: Callable[[list[Tensor]], Tensor]
_broadcast_to: Callable[[Tensor, tuple[int, ...]], Tensor]


def stacked(rows: list[Any]) -> Tensor:
    """Return Tensors of one shape as one Tensor with a new first axis."""
    return _stack(rows)


def broadcast(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return `value` repeated to `shape`."""
    return _broadcast_to(value, shape)


def fitted(value: Any, like: Tensor) -> Tensor:
    """Return `value` broadcast to the shape of `like`, and in its dtype."""
    if value.shape != like.shape:
        value = broadcast(value, like.shape)
    result: Tensor = value if value.dtype == like.dtype else value.astype(like.dtype)
    return result


def _convert_nested(value: Any, dtype: Any, device: Any) -> Tensor:
    # A list that holds Tensors becomes a stack of them, which tapes follow.
    rows = [convert(item, None, device) for item in value]
    return convert(_stack(rows), dtype, device)


def bind(methods: dict[str, Any]) -> None:
    """Give Tensor and Variable operators and methods; `eagerflow.ops` calls it once they exist.

    ``_stack`` and ``_broadcast_to`` among them are what the core needs itself.
    """
    global _stack, _broadcast_to
    for name, method in methods.items():
        if name == "_stack":
            _stack = method
        elif name == "_broadcast_to":
            _broadcast_to = method
        else:
            setattr(ArrayMethods, name, method)


def _references(tensor: Tensor) -> int:
    data = tensor._held
    return sys.getrefcount(data)


_ALONE = _references(wrap(np.empty(0), CPU0))


def is_exclusive(tensor: Tensor) -> bool:
    """Tell whether nothing but `tensor` sees its array, so that it can be written in place.

    Views hold a reference to the array that they look into, and so do records that keep it.
    """
    data = tensor._held
    return type(data) is np.ndarray and sys.getrefcount(data) <= _ALONE and data.flags.owndata and data.flags.writeable
