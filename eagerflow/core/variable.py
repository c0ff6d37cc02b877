"""Variable: mutable state that outlives a call."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core.array_methods import ArrayMethods
from eagerflow.core.record import Record, Recorder, active, leaf, recorders
from eagerflow.core.tensor import Tensor, convert, is_exclusive, wrap
from eagerflow.core.traced import Traced, capturing
from eagerflow.devices import Device
from eagerflow.devices.request import asked, requested, staying
from eagerflow.errors import DeviceError, DTypeError, ShapeError


class Variable(ArrayMethods):
    """A named, mutable Tensor of fixed shape, dtype and device; usable wherever a Tensor is.

    Parameters
    ----------
    value : array_like
        Initial value; copied.
    trainable : bool
        Whether tapes watch it when it is read.
    name : str, optional
        Name in errors, summaries and saved weights.
    dtype : dtype, optional
        Dtype; otherwise that of `value`.
    device : str or Device, optional
        Where it lives; otherwise the current device.

    Examples
    --------
    >>> import eagerflow as ef
    >>> v = ef.Variable([1.0, 2.0], name="v")
    >>> before = v * 1
    >>> v.assign_add([10.0, 10.0])
    Variable([11., 12.], name='v')
    >>> before
    Tensor([1., 2.])
    """

    __slots__ = ("__weakref__", "_name", "_trainable", "_value")

    def __init__(
        self,
        value: Any,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
        device: str | Device | None = None,
    ) -> None:
        made = convert(value, dtype, device)
        capture = capturing.get()
        if capture is not None:
            made = capture.created(self, made)
        self._value = wrap(made._held, made._device)
        self._trainable = bool(trainable)
        self._name = name

    def _read(self) -> Tensor:
        """Return the value; open tapes follow it if the Variable is trainable."""
        value = self._value
        tapes = active.get()
        capture = capturing.get()
        if capture is not None:
            return capture.read(self)
        return wrap(value._held, value._device, self._followed(tapes) if tapes else None)

    def _followed(self, tapes: tuple[Recorder, ...]) -> Record | None:
        known = tapes[-1].leaves.get(id(self))
        if known is not None and (len(tapes) == 1 or recorders(known[1].tape) == tapes):
            return known[1]
        record = known[1] if known is not None else None
        for tape in tapes:
            if id(self) in tape.leaves or (self._trainable and tape.watch_accessed):
                record = self._leaf(tape)
        return record

    def _leaf(self, tape: Recorder) -> Record:
        """Return the record under which `tape` follows this Variable, whatever is assigned to it."""
        for other in (tape, *active.get()):
            known = other.leaves.get(id(self))
            if known is not None:
                return leaf(self, self._value, known[1], tape)
        return leaf(self, self._value, None, tape)

    @property
    def value(self) -> Tensor:
        """The present value; a later assignment does not change it."""
        return self._read()

    @property
    def name(self) -> str | None:
        """The name."""
        return self._name

    @property
    def trainable(self) -> bool:
        """Whether tapes watch it when it is read."""
        return self._trainable

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the elements."""
        return self._value.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._value.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._value.size

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self._value.nbytes

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._value.itemsize

    @property
    def device(self) -> Device:
        """The device that it lives on."""
        return self._value.device

    def assign(self, value: Any) -> Variable:
        """Replace the value.

        Parameters
        ----------
        value : array_like
            Of the Variable's shape, and of a dtype that casts to its own within the same kind.

        Returns
        -------
        Variable
            Itself.

        Raises
        ------
        ShapeError, DTypeError
            The value does not fit; the Variable is as it was.
        """
        capture = capturing.get()
        if capture is not None:
            return capture.assign(self, self._fit(value, "assign", capture))
        data = self._accept(value, "assign")
        # What was handed over may be seen by its owner; what was made here is ours alone.
        owned = isinstance(value, ArrayMethods) or data is value
        self._value = wrap(data.copy() if owned else data, self._value._device)
        return self

    def assign_add(self, value: Any) -> Variable:
        """Add `value`, or one number to all elements, in place where nothing else sees the old value; see `assign`."""
        return self._update("add", value)

    def assign_sub(self, value: Any) -> Variable:
        """Subtract `value`, or one number from all elements; see `assign_add`."""
        return self._update("subtract", value)

    def _update(self, ufunc: str, value: Any) -> Variable:
        capture = capturing.get()
        if capture is not None:
            given = self._fit(value, f"assign_{ufunc[:3]}", capture)
            with staying(self.device):
                return capture.assign(
                    self, capture.read(self) + given if ufunc == "add" else capture.read(self) - given
                )
        data = self._accept(value, f"assign_{ufunc[:3]}")
        current = self._value
        function = getattr(current._device.kind.namespace, ufunc)
        if is_exclusive(current):
            function(current._held, data, out=current._held)
        else:
            self._value = wrap(function(current._held, data), current._device)
        return self

    def _accept(self, value: Any, what: str) -> Any:
        """Return the array of a value that fits."""
        mine = self._value
        tensor = self._checked(value, what)
        if isinstance(tensor, Traced):
            tensor = tensor.concrete(f"{what}: a Variable has one value")
        return tensor._held if tensor.dtype == mine.dtype else tensor._held.astype(mine.dtype)

    def _fit(self, value: Any, what: str, capture: Any) -> Tensor:
        """Return a value that fits as a value of the capture."""
        made: Tensor = self._checked(value, what)
        return made if made.dtype == self.dtype else made.astype(self.dtype)

    def _checked(self, value: Any, what: str) -> Tensor:
        """Return a value as a Tensor of a shape, a device and a kind of dtype that fit."""
        mine = self._value
        name = f"{what}: Variable {self._name!r}" if self._name else f"{what}: a Variable"
        value = value._read() if isinstance(value, ArrayMethods) else value
        if isinstance(value, bool | int | float | complex):
            # A Python scalar is weak: its kind must fit, its size need not.
            given = np.asarray(value)
            if not np.can_cast(given.dtype, mine.dtype, "same_kind") and given.dtype.kind not in "iu":
                raise DTypeError(f"{name} has dtype {mine.dtype}, got {value!r}")
            given = given.astype(mine.dtype)
            tensor = convert(given, None, mine._device)
        else:
            tensor = value if isinstance(value, Tensor) else convert(value, None, mine._device)
        if tensor.device is not mine._device and asked.count and requested.get() is not None:
            tensor = tensor.to(mine._device)  # as other inputs in a block that asks for a device are
        if tensor.device is not mine._device:
            raise DeviceError(f"{name} is on {mine._device}, got a value on {tensor.device}; use value.to(device)")
        if tensor.shape != mine.shape and (what == "assign" or tensor.shape != ()):
            raise ShapeError(f"{name} has shape {mine.shape}, got shape {tensor.shape}")
        if tensor.dtype != mine.dtype and not np.can_cast(tensor.dtype, mine.dtype, "same_kind"):
            raise DTypeError(f"{name} has dtype {mine.dtype}, got {tensor.dtype}; cast it with value.astype(...)")
        return tensor

    def __setitem__(self, index: Any, value: Any) -> None:
        capture = capturing.get()
        if capture is not None:
            changed = capture.read(self)
            changed[index] = value
            capture.assign(self, changed)
            return
        mine = self._value
        given = value._read() if isinstance(value, ArrayMethods) else convert(value, None, mine._device, False)
        if isinstance(given, Traced):
            value = given = given.concrete("setitem: a Variable has one value")
        integers = given.dtype.kind in "iu" and mine.dtype.kind in "iu"
        if not (integers or type(value) is int or np.can_cast(given.dtype, mine.dtype, "same_kind")):
            name = f"Variable {self._name!r}" if self._name else "a Variable"
            raise DTypeError(
                f"setitem: {name} has dtype {mine.dtype}, got {given.dtype}; cast it with value.astype(...)"
            )
        # No record stays on the value: a Variable's place on a tape is that of the Variable.
        mine[index] = value if given._rec is None else wrap(given._held, given._device)

    def __iadd__(self, other: Any) -> Variable:  # type: ignore[override]
        return self.assign_add(other)

    def __isub__(self, other: Any) -> Variable:  # type: ignore[override]
        return self.assign_sub(other)

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        body = repr(self._value).removeprefix("Tensor(").removesuffix(")")
        name = "" if self._name is None else f", name={self._name!r}"
        return f"Variable({body}{name}{'' if self._trainable else ', trainable=False'})"

    def __copy__(self) -> Variable:
        return Variable(self._value, self._trainable, self._name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return Variable, (self._value, self._trainable, self._name)
