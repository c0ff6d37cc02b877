"""Signatures: what of a call's arguments decides which trace serves it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import optree

from eagerflow import devices
from eagerflow.capture.tracing.walk import SIMPLE, Walk, key_of
from eagerflow.capture.tracing.watching import are_followed
from eagerflow.core import ArrayMethods, Tensor, Variable, convert, default_dtype, is_inexact
from eagerflow.core.dims import Guards, symbol
from eagerflow.core.explain import describe, user_line
from eagerflow.core.spec import Spec
from eagerflow.core.tensor import as_dtype
from eagerflow.core.traced import Traced
from eagerflow.devices import CPU0, Device, current
from eagerflow.devices.request import asked, requested
from eagerflow.errors import ArgumentError, CaptureError, DTypeError, ShapeError


class TensorSpec:
    """Shape, dtype and name of a Tensor that a captured function takes.

    Parameters
    ----------
    shape : sequence of int or None
        Lengths; None for one that may be any (of 2 and more).
    dtype : dtype
        The dtype; the default one if not given.
    name : str, optional
        Name of the parameter in graphs.
    device : str or Device, optional
        Where it is; the current device if not given.

    Raises
    ------
    ShapeError
        A length is negative or no integer.
    DTypeError
        The dtype is none.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.TensorSpec([None, 784], "float32", name="images")
    TensorSpec([None, 784], float32, name='images')
    """

    __slots__ = ("device", "dtype", "name", "shape")

    def __init__(
        self, shape: Sequence[int | None], dtype: Any = None, name: str | None = None, device: Any = None
    ) -> None:
        try:
            sides = tuple(shape)
        except TypeError:
            raise ShapeError(
                f"TensorSpec: expected a sequence of lengths, got {describe(shape)}\n  at {user_line()}"
            ) from None
        for side in sides:
            integer = isinstance(side, int | np.integer) and not isinstance(side, bool)
            if side is not None and not (integer and side >= 0):
                raise ShapeError(f"TensorSpec: a length is 0 or more, or None, got {side!r}\n  at {user_line()}")
        self.shape = tuple([None if side is None else int(side) for side in sides])
        self.dtype = convert(0.0).dtype if dtype is None else as_dtype(dtype)
        self.name = name
        self.device: Device = devices.find(device)

    def __repr__(self) -> str:
        name = "" if self.name is None else f", name={self.name!r}"
        return f"TensorSpec({list(self.shape)}, {self.dtype.name}{name})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorSpec) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.shape, self.dtype, self.name, self.device


class TensorKey:
    """What is known of an argument that becomes a parameter: part of the key of a trace."""

    __slots__ = ("device", "dtype", "shape")

    def __init__(self, shape: tuple[int | None, ...], dtype: Any, device: Device) -> None:
        self.shape = shape
        self.dtype = dtype
        self.device = device

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TensorKey)
            and self.shape == other.shape
            and self.dtype == other.dtype
            and self.device is other.device
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __repr__(self) -> str:
        sides = ", ".join(["None" if side is None else str(side) for side in self.shape])
        return f"{self.dtype.name}[{sides}]"

    def serves(self, other: Any) -> bool:
        """Tell whether a trace for this one may serve the other: its lengths are the same, or None here."""
        if not isinstance(other, TensorKey) or self.dtype != other.dtype or self.device is not other.device:
            return False
        return len(self.shape) == len(other.shape) and all(
            mine == theirs or (mine is None and theirs is not None and theirs > 1)
            for mine, theirs in zip(self.shape, other.shape, strict=True)
        )

    def within(self, shape: tuple[int | None, ...]) -> TensorKey:
        """Return a key with None where a spec has None; lengths 0 and 1 stay: they are cases of their own."""
        sides = [None if side is None and mine is not None and mine > 1 else mine
                 for mine, side in zip(self.shape, shape, strict=True)]  # fmt: skip
        return TensorKey(tuple(sides), self.dtype, self.device)

    def widened(self, other: TensorKey) -> TensorKey | None:
        """Return a key for both, with None for lengths that differ; None where there is none."""
        if self.dtype != other.dtype or self.device is not other.device or len(self.shape) != len(other.shape):
            return None
        sides: list[int | None] = []
        for mine, theirs in zip(self.shape, other.shape, strict=True):
            if mine == theirs:
                sides.append(mine)
            elif (mine is None or mine > 1) and (theirs is None or theirs > 1):
                sides.append(None)
            else:
                return None
        return TensorKey(tuple(sides), self.dtype, self.device)


class ValueKey:
    """A Python value among the arguments: it is part of the trace.

    Parameters
    ----------
    value : object
        The value. It is kept, so that its id stays its own.
    path : str
        What it is called.
    names : frozenset of str
        The attributes that the function names: of objects these are compared, and not the object.

    Attributes
    ----------
    parts : dict
        Per path what an object is made of, for explanations; empty for numbers, texts and the like.
    symbols : list of str
        Where in it are Tensors of a capture.
    tensors : list of Tensor
        The Tensors in it.
    streams : list
        What in it gives something else each time it is asked: see `Walk.consumed`.
    """

    __slots__ = ("_key", "parts", "streams", "symbols", "tensors", "value")

    def __init__(self, value: Any, path: str = "", names: frozenset[str] = frozenset()) -> None:
        self.value = value
        self.parts: dict[str, tuple[Any, Any]] = {}
        self.symbols: list[str] = []
        self.tensors: list[Tensor] = []
        self.streams: list[tuple[str, Any, Any]] = []
        if isinstance(value, SIMPLE):
            self._key: Any = key_of(value)
            return
        if _compares_by_value(value):
            try:
                hash(value)
                self._key = (type(value), value)
                return
            except TypeError:  # something in it has no hash
                pass
        walk = Walk.to_the_end(lambda walk: walk.look(path, value), names)
        self.parts = walk.found
        self.symbols = walk.symbols
        self.tensors = walk.tensors
        self.streams = walk.consumed
        self._key = walk.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ValueKey) and bool(self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        if self.parts:
            return f"a {type(self.value).__name__}"
        text = repr(self.value)
        return text if len(text) <= 60 else f"{text[:57]}..."


def _compares_by_value(value: Any) -> bool:
    """Tell whether equal values of a type are the same to a function: frozen dataclasses, dates, paths."""
    by: Any = type(value).__hash__
    return by is not None and by is not object.__hash__ and not callable(value)


class VariableKey:
    """A Variable among the arguments: the trace is for this one."""

    __slots__ = ("variable",)

    def __init__(self, variable: Variable) -> None:
        self.variable = variable

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VariableKey) and other.variable is self.variable

    def __hash__(self) -> int:
        return id(self.variable)

    def __repr__(self) -> str:
        return f"Variable {self.variable.name!r}" if self.variable.name else "a Variable"


class Call:
    """The arguments of one call: their structure, a key for each leaf, and the Tensors among them.

    Modules are leaves: they are looked at as other objects are, and their Variables are read when the graph runs. Those
    that tree functions made, whose Variables may be anything, are trees.

    Parameters
    ----------
    args, kwargs : tuple and dict
        The arguments.
    what : str
        Name of the function.
    parameters : sequence of str
        Names of its positional parameters.
    names : frozenset of str
        The attributes that the function names.

    Attributes
    ----------
    structure : PyTreeSpec
        Of ``(args, kwargs)``.
    leaves : list
        All leaves, NumPy arrays as Tensors that see their memory.
    keys : tuple
        A key for each leaf.
    lent : set of int
        Which of the Tensors see memory of others.
    traced : bool
        Whether a transformation outside follows one of them.
    """

    __slots__ = ("_paths", "keys", "leaves", "lent", "orders", "parameters", "structure", "traced")

    def __init__(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        what: str,
        parameters: Sequence[str] = (),
        names: frozenset[str] = frozenset(),
    ) -> None:
        orders: list[tuple[Any, ...]] = []  # of the keys of dicts, which functions may go through

        def is_leaf(x: Any) -> bool:
            if isinstance(x, dict):
                orders.append(tuple(x))
            return hasattr(type(x), "named_variables") and "_form" not in vars(x)

        tree: Any = (args, kwargs)
        leaves, self.structure = optree.tree_flatten(tree, is_leaf, none_is_leaf=True)
        self.leaves: list[Any] = leaves
        self.orders = tuple(orders)
        self.parameters = parameters
        self._paths: list[str] | None = None
        self.traced = False
        self.lent: set[int] = set()
        count = 0
        keys: list[Any] = []
        for position, x in enumerate(leaves):
            kind = type(x)
            if kind is Tensor:
                keys.append(TensorKey(x._held.shape, x._held.dtype, x._device))
            elif isinstance(x, Variable):
                keys.append(VariableKey(x))
            elif isinstance(x, Traced):
                self.traced = True
                keys.append(TensorKey(x.shape, x.dtype, x.device))
            elif _is_array(x):
                leaves[position] = tensor = convert(x, copy=False)
                self.lent.add(count)
                keys.append(TensorKey(tensor._held.shape, tensor._held.dtype, tensor._device))
            elif kind is TensorSpec:
                keys.append(TensorKey(x.shape, x.dtype, x.device))
            elif isinstance(x, Iterator) and not isinstance(x, io.IOBase):
                raise CaptureError(
                    f"{what}: {self.paths[position]} is a {kind.__name__}, which gives its items only once, while the "
                    f"function is captured; pass a list or a tuple\n  at {user_line()}"
                )
            else:
                simple = isinstance(x, SIMPLE)
                key = ValueKey(x) if simple else ValueKey(x, self.paths[position], names)
                self.traced = self.traced or are_followed(key.tensors)
                keys.append(key)
            count += type(keys[-1]) is TensorKey
        self.keys = tuple(keys)

    @property
    def paths(self) -> list[str]:
        """Where each leaf is, as code: ``batch['x']``."""
        if self._paths is None:
            self._paths = _paths(self.structure, self.parameters)
        return self._paths

    def key(self) -> tuple[Any, ...]:
        """Return what decides which trace serves the call."""
        return (*surroundings(), self.structure, self.orders, *self.keys)

    def form(self) -> tuple[Any, ...]:
        """Return what has to be equal for a trace to serve the call, whatever the lengths of its Tensors."""
        return (*surroundings(), self.structure, self.orders)

    def tensors(self) -> list[Tensor]:
        """Return the Tensors among the leaves."""
        return [x for x, key in zip(self.leaves, self.keys, strict=True) if type(key) is TensorKey]

    def arrays(self) -> list[Any]:
        """Return their arrays."""
        return [x._held for x in self.tensors()]


def surroundings() -> tuple[Any, Any, Any]:
    """Return the settings that decide what a function computes: the default dtype, and the device that is asked for."""
    return default_dtype(), current(), requested.get()


def quick_key(args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[Any]) -> tuple[Any, ...] | None:
    """Return a key of simple arguments, and put the Tensors and arrays among them into `tensors`; None for others.

    It says what `Call` and its keys say, in much less time.
    """
    key: list[Any] = [default_dtype(), current(), requested.get() if asked.count else None]
    for x in args:
        if type(x) is Tensor:
            array = x._held
            tensors.append(x)
            key += (array.shape, array.dtype, x._device)
        elif not _add_quickly(x, key, tensors):
            return None
    for name, x in kwargs.items():
        if type(x) not in _QUICK:
            return None  # arrays by keyword: which comes first is for the signature to say
        key += (name, type(x), x)
    return tuple(key)


def _add_quickly(x: Any, key: list[Any], tensors: list[Any]) -> bool:
    """Add what decides about one argument to a key; False where it takes more than this."""
    kind = type(x)
    if kind is Tensor:
        array = x._held
        tensors.append(x)
        key += (array.shape, array.dtype, x._device)
    elif kind is np.ndarray and key[1] is CPU0:
        tensors.append(x)
        key += ("array", x.shape, x.dtype)
    elif kind is float:
        key += (kind, x.hex())
    elif kind in _QUICK:
        key += (kind, x)
    elif kind is Variable:
        key += (kind, id(x))
    elif kind is tuple or kind is list:
        key += (kind, len(x))
        return all(_add_quickly(item, key, tensors) for item in x)
    elif kind is dict and all(type(name) is str for name in x):
        key += (kind, *x, len(x))
        return all(_add_quickly(x[name], key, tensors) for name in sorted(x))  # as optree has the leaves
    else:
        return False
    return True


_QUICK = frozenset((int, bool, str, type(None)))  # types whose values can be compared as they are


def _is_array(x: Any) -> bool:
    """Tell whether a value becomes a Tensor: an array of numbers, of whatever library."""
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype.kind in "biufc" or is_inexact(x.dtype) or x.dtype.name in ("int4", "uint4")
    return not isinstance(x, (TensorSpec, *SIMPLE)) and devices.of_array(x) is not None


def _paths(structure: Any, parameters: Sequence[str]) -> list[str]:
    found = []
    for path in optree.treespec_paths(structure):
        if path[0] == 0:
            first = parameters[path[1]] if path[1] < len(parameters) else f"argument {path[1]}"
        else:
            first = str(path[1])
        found.append(first + "".join([f"[{step!r}]" for step in path[2:]]))
    return found


def specs_for(keys: Iterable[Any], guards: Guards, hints: Iterable[Any]) -> list[Any]:
    """Return the specs of the parameters that keys stand for, with a symbol for each length that is None.

    Lengths that are None and have equal hints are symbols of their own: only a guard makes them equal.
    """
    specs: list[Any] = []
    count = 0
    for key, hint in zip(keys, hints, strict=True):
        if type(key) is not TensorKey:
            specs.append(None)
            continue
        sides: list[Any] = []
        for side, seen in zip(key.shape, hint, strict=True):
            if side is None:
                sides.append(symbol(_letter(count), seen, guards))
                count += 1
            else:
                sides.append(side)
        specs.append(Spec(tuple(sides), key.dtype))
    return specs


def _letter(count: int) -> str:
    letters = "NMKLPQRST"
    return letters[count] if count < len(letters) else f"N{count - len(letters)}"


def check_specs(given: Any) -> tuple[Any, ...]:
    """Return an input signature as a tuple of trees of `TensorSpec`."""
    if isinstance(given, TensorSpec) or not isinstance(given, list | tuple):
        raise ArgumentError(
            f"function: input_signature is a list with a TensorSpec (or a tree of them) for each argument, got "
            f"{describe(given)}\n  at {user_line()}"
        )
    tree: Any = tuple(given)
    for leaf in optree.tree_leaves(tree, none_is_leaf=True):
        if not isinstance(leaf, TensorSpec):
            raise ArgumentError(
                f"function: input_signature holds TensorSpecs, got {describe(leaf)}\n  at {user_line()}"
            )
    return tuple(given)


def fit(args: tuple[Any, ...], signature: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """Return the arguments of a call as Tensors that fit the input signature.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        They do not.
    """
    if len(args) != len(signature):
        raise ArgumentError(
            f"{what}: input_signature has {len(signature)} arguments, the call {len(args)}\n  at {user_line()}"
        )
    tree: Any = signature
    specs, structure = optree.tree_flatten(tree, none_is_leaf=True)
    given: Any = args
    try:
        leaves: list[Any] = structure.flatten_up_to(given)
    except ValueError as error:
        raise ArgumentError(
            f"{what}: the arguments have another structure than input_signature: {error}\n  at {user_line()}"
        ) from None
    fitted: list[Any] = []
    for x, spec in zip(leaves, specs, strict=True):
        tensor = x._read() if isinstance(x, ArrayMethods) else convert(x, _weak(x, spec.dtype), copy=False)
        name = spec.name or f"argument {len(fitted)}"
        if tensor.dtype != spec.dtype:
            raise DTypeError(
                f"{what}: expected {name} to have dtype {spec.dtype}, got {describe(tensor)}; "
                f"cast it with x.astype(...)\n  at {user_line()}"
            )
        fits = len(tensor.shape) == len(spec.shape) and all(
            side is None or side == length for side, length in zip(spec.shape, tensor.shape, strict=True)
        )
        if not fits:
            raise ShapeError(f"{what}: expected {name} to be {spec!r}, got {describe(tensor)}\n  at {user_line()}")
        fitted.append(tensor)
    result: Any = structure.unflatten(fitted)
    return result


def _weak(x: Any, dtype: Any) -> Any:
    return dtype if isinstance(x, bool | int | float | complex | list | tuple) else None
