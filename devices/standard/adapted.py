"""Arrays of the array API standard with the attributes, operators and indices of NumPy's, for kernels."""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import EllipsisType
from typing import Any

import numpy as np

METHODS = {
    "all", "any", "argmax", "argmin", "argsort", "conj", "conjugate", "cumsum", "dot", "max", "mean", "min", "nonzero",
    "prod", "ravel", "repeat", "reshape", "round", "squeeze", "std", "sum", "swapaxes", "take", "trace", "transpose",
    "var",
}  # fmt: skip


class Adapted:
    """An array of the standard with the attributes and methods of NumPy's that kernels use."""

    __slots__ = ("held", "path", "root", "space", "version")
    __array_ufunc__ = None  # NumPy leaves operators to it, which refuse

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(f"an array of {self.space.kind!r} is not one of NumPy's; copy it with kind.to_host(array)")

    space: Any  # the adapted namespace
    held: Any  # the array of the standard
    # What was written into the root of a view shows in the view, and the other way round, as kernels rely on; the
    # standard promises nothing about memory, so that views are brought up to date when they are looked at.
    root: Adapted | None
    path: tuple[Callable[[np.ndarray], np.ndarray], ...]
    version: int

    @property
    def bare(self) -> Any:
        """The array of the standard, with what was written into it since."""
        root = self.root
        if root is not None and root.version != self.version:
            spots = self._own_spots()
            if spots is not None:
                flat = self.space.standard.reshape(root.held, (-1,))
                where = self.space.made(spots.ravel(), root.held.device).held
                self.held = self.space.standard.reshape(self.space.standard.take(flat, where, axis=0), spots.shape)
                self.version = root.version
        return self.held

    def _own_spots(self) -> np.ndarray | None:
        """Return where the elements of a view are in its root; None, and no view any more, if NumPy had copied."""
        assert self.root is not None
        all_spots = spots = np.arange(self.root.size).reshape(self.root.shape)
        for step in self.path:
            spots = step(spots)
        if np.may_share_memory(spots, all_spots):
            return spots
        self.root = None
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(map(int, self.bare.shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype, as NumPy's."""
        return self.space.to_numpy[self.bare.dtype]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.bare.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.size * self.itemsize

    @property
    def place(self) -> Any:
        """The namespace's own device."""
        return self.held.device

    @property
    def T(self) -> Any:
        """The array with its axes in reverse."""
        return self.space.transpose(self)

    @property
    def mT(self) -> Any:
        """The array with its last two axes exchanged."""
        return self.space.swapaxes(self, -1, -2)

    @property
    def real(self) -> Any:
        """Real parts."""
        return self._part("real") if self.dtype.kind == "c" else self

    @property
    def imag(self) -> Any:
        """Imaginary parts."""
        return self._part("imag") if self.dtype.kind == "c" else self.space.zeros_like(self)

    def _part(self, name: str) -> Any:
        def step(spots: np.ndarray) -> np.ndarray:
            raise self.space.lacking(f"writing through array.{name}")

        return self.space.holding(getattr(self.space.standard, name)(self.bare), self, step)

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from element to element of each axis, as NumPy would have them."""
        spots = None if self.root is None else self._own_spots()
        known = np.empty(self.shape, np.int8).strides if spots is None else [n // spots.itemsize for n in spots.strides]
        return tuple(n * self.itemsize for n in known)

    def as_strided(self, shape: Any, strides: Any) -> Any:
        """Return a view of a shape, with so many bytes from element to element of each axis."""

        def step(spots: np.ndarray) -> np.ndarray:
            lengths = [n // self.itemsize * spots.itemsize for n in strides]
            return np.lib.stride_tricks.as_strided(spots, shape, lengths)

        root = self.root
        spots = None if root is None else self._own_spots()
        if root is None or spots is None:
            root, spots = self, np.arange(self.size).reshape(self.shape)
        found = step(spots)
        bare = root.space.ravel(root).taken(found.ravel()).reshape(found.shape).bare
        return self.space.holding(bare, self, step)

    @property
    def base(self) -> Any:
        """The array that a view looks into."""
        return self.root

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in METHODS:
            function = getattr(self.space, name)
            return lambda *args, **kwargs: function(self, *args, **kwargs)
        raise self.space.lacking(f"array.{name}")

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """Return the elements in another dtype."""
        wanted = np.dtype(dtype)
        if wanted == self.dtype:
            return self.copy() if copy else self
        bare = self.bare
        if self.dtype.kind == "c" and wanted.kind != "c":
            bare = self.space.standard.real(bare)
        return self.space.holding(self.space.standard.astype(bare, self.space.own_dtype(wanted)))

    def copy(self) -> Any:
        """Return a copy."""
        return self.space.holding(self.space.standard.asarray(self.bare, copy=True))

    def moved(self, place: Any) -> Any:
        """Return a copy at another place."""
        return self.space.holding(self.space.standard.asarray(self.bare.to_device(place), copy=True))

    def to_host(self) -> np.ndarray:
        """Return the elements as a NumPy array of their own."""
        try:
            return np.array(np.from_dlpack(self.bare, device="cpu", copy=True))
        except (TypeError, AttributeError, BufferError, RuntimeError, ValueError):
            return np.array(self.tolist(), self.dtype).reshape(self.shape)

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return {"b": bool, "f": float, "c": complex}.get(self.dtype.kind, int)(self.space.reshape(self, ()).bare)

    def tolist(self) -> Any:
        """Return the elements as nested lists."""
        return self.item() if not self.ndim else [self[i].tolist() for i in range(len(self))]

    def __len__(self) -> int:
        return self.shape[0]

    def spots(self, index: Any) -> np.ndarray:
        """Return the places of indexed elements among all: what the standard has no indices for is resolved here."""
        parts = index if isinstance(index, tuple) else (index,)
        parts = tuple(p.to_host() if isinstance(p, Adapted) else p for p in parts)
        return np.asarray(np.arange(self.size).reshape(self.shape)[parts])

    def taken(self, spots: np.ndarray) -> Any:
        """Return elements of one axis."""
        where = self.space.made(spots.astype(np.int64), self.place)
        return self.space.holding(self.space.standard.take(self.bare, where.bare, axis=0))

    def put(self, spots: np.ndarray, values: Any) -> None:
        """Write elements, the last one where a place is named twice."""
        source = np.full(self.size, -1)
        source[spots] = np.arange(spots.size)
        if not self.size or not spots.size:
            return
        new = values.ravel().taken(np.maximum(source, 0))
        old = self.space.ravel(self)
        chosen = self.space.where(self.space.made(source >= 0, self.place), new, old)
        self.become(self.space.holding(self.space.reshape(chosen, self.shape).bare))

    def become(self, other: Any) -> Any:
        """Take the elements of another array, as writing into this one would."""
        if other.shape != self.shape:
            other = self.space.broadcast_to(other, self.shape)
        other = other.astype(self.dtype, copy=False)
        spots = None if self.root is None else self._own_spots()
        if self.root is not None and spots is not None:
            self.root.put(spots.ravel(), other)
        else:
            self.held = other.bare
            self.version += 1
        return self

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, Adapted) and index.dtype.kind == "b" and index.ndim == self.ndim:
            return self.space.holding(self.bare[index.bare])
        parts = _basic(index, self.shape)
        if parts is not None:
            return self.space.holding(self.bare[parts], self, lambda spots: np.asarray(spots[parts]))
        spots = self.spots(index)
        return self.space.ravel(self).taken(spots.ravel()).reshape(spots.shape)

    def __setitem__(self, index: Any, value: Any) -> None:
        spots = self.spots(index)
        value = self.space.broadcast_to(self.space.asarray(value, self.dtype), spots.shape)
        self.put(spots.ravel(), value)

    def __bool__(self) -> bool:
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.bare!r})"


def _basic(index: Any, shape: tuple[int, ...]) -> tuple[Any, ...] | None:
    """Return an index without arrays as a tuple of what the standard takes; None for others."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(p, bool) or not isinstance(p, int | np.integer | slice | None | EllipsisType) for p in parts):
        return None
    if Ellipsis not in parts:
        parts.append(Ellipsis)
    named = sum(p is not None and p is not Ellipsis for p in parts)
    axis, made = 0, []
    for part in parts:
        if part is Ellipsis:
            axis += len(shape) - named
        elif isinstance(part, slice):
            start, stop, step = part.indices(shape[axis])  # the standard does not say what lies beyond
            part = slice(start, None if stop < 0 else stop, step)
            axis += 1
        elif part is not None:
            part = operator.index(part)
            axis += 1
        made.append(part)
    return tuple(made)


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        return self.become(getattr(self.space, name)(self, other))

    return method


def _unary(name: str) -> Callable[[Any], Any]:
    return lambda self: getattr(self.space, name)(self)


def _operator(name: str, reverse: bool) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            raise TypeError(f"an array of {self.space.kind!r} does not meet one of NumPy's")
        function = getattr(self.space, name)
        return function(other, self) if reverse else function(self, other)

    return method


_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
for _short, _name in _BINARY.items():
    setattr(Adapted, f"__{_short}__", _operator(_name, False))
    setattr(Adapted, f"__r{_short}__", _operator(_name, True))
    setattr(Adapted, f"__i{_short}__", _in_place(_name))
for _short, _name in (("lt", "less"), ("le", "less_equal"), ("gt", "greater"), ("ge", "greater_equal")):
    setattr(Adapted, f"__{_short}__", _operator(_name, False))
for _short, _name in (("eq", "equal"), ("ne", "not_equal")):
    setattr(Adapted, f"__{_short}__", _operator(_name, False))
for _short, _name in (("neg", "negative"), ("pos", "positive"), ("invert", "invert"), ("abs", "absolute")):
    setattr(Adapted, f"__{_short}__", _unary(_name))
