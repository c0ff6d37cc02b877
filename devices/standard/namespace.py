"""An adapter: functions of the array API standard under the names, and with the habits, of NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

from eagerflow.devices.kind import Lacking
from eagerflow.devices.standard.adapted import Adapted
from eagerflow.devices.standard.forms import Forms
from eagerflow.errors import DTypeError

# NumPy's name for what the standard calls otherwise.
NAMES = {
    "absolute": "abs", "amax": "max", "amin": "min", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin",
    "arcsinh": "asinh", "arctan": "atan", "arctan2": "atan2", "arctanh": "atanh", "bitwise_not": "bitwise_invert",
    "concatenate": "concat", "conjugate": "conj", "degrees": "rad2deg", "fabs": "abs", "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift", "power": "pow", "radians": "deg2rad", "right_shift": "bitwise_right_shift",
    "rint": "round", "true_divide": "divide",
}  # fmt: skip
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float32", "float64", "complex64", "complex128")

BOOLEAN = ("bitwise", "invert", "equal", "not_equal", "logical")  # what the standard has for truth values
OPTIONS = {"fftn": ("s", "axes", "norm"), "ifftn": ("s", "axes", "norm"), "qr": ("mode",)}
CONSTANTS = {"e", "inf", "nan", "newaxis", "pi"}


class Namespace(Forms):
    """The functions of a namespace of the standard, as kernels call them.

    Parameters
    ----------
    standard : Any
        The namespace, or an extension of it.
    kind : str
        Name of the device kind, for errors.
    array_type : type
        What to hold its arrays in.
    place : ContextVar
        Where new arrays come to be, in the namespace's own terms.
    """

    def __init__(self, standard: Any, kind: str, array_type: type[Adapted], place: ContextVar[Any]) -> None:
        self.standard = standard
        self.kind = kind
        self.array_type = array_type
        self.place = place
        self.__name__ = getattr(standard, "__name__", kind)
        # Arrays may name their dtypes otherwise than the namespace does.
        self.from_numpy = {
            np.dtype(name): getattr(standard, name) for name in DTYPES + FLOATS if hasattr(standard, name)
        }
        self.to_numpy = {standard.empty(0, dtype=own).dtype: dtype for dtype, own in self.from_numpy.items()}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("lib", "stride_tricks"):
            return self
        if name in CONSTANTS or isinstance(getattr(np, name, None), type):
            return getattr(np, name)
        made = self._function(name)
        setattr(self, name, made)  # found at once from now on
        return made

    def _function(self, name: str) -> Any:
        if name in ("linalg", "fft"):
            extension = getattr(self.standard, name, None)
            if extension is None:
                raise self.lacking(name)
            return Extension(extension, self, name)
        own = getattr(self.standard, NAMES.get(name, name), None)
        ufunc = getattr(np, name, None)
        if own is None:
            raise self.lacking(name)
        if isinstance(ufunc, np.ufunc) and ufunc.nout == 1 and ufunc.signature is None:
            return Elementwise(self, own, ufunc)
        return self.adapted(own, name)

    def lacking(self, what: str) -> Lacking:
        """Return the error for a kernel that needs what is not there."""
        return Lacking(f"devices of kind {self.kind!r} have no kernel: their namespace lacks {what!r}")

    def adapted(self, own: Any, name: str) -> Callable[..., Any]:
        """Return a function of the standard that takes and gives adapted arrays."""

        def function(*args: Any, **kwargs: Any) -> Any:
            return self.wrap(self.call(own, name, self.bare(args), self.bare(kwargs)))

        return function

    def call(self, own: Any, name: str, args: Any, kwargs: Any) -> Any:
        """Call a function of the standard; what it does not take is lacking."""
        try:
            return own(*args, **kwargs)
        except (TypeError, NotImplementedError) as error:
            raise Lacking(
                f"devices of kind {self.kind!r} have no kernel: their namespace does not take {name!r} so: {error}"
            ) from error

    def own_dtype(self, dtype: Any) -> Any:
        """Return a dtype as the namespace's own."""
        wanted = np.dtype(dtype)
        if wanted not in self.from_numpy:
            raise DTypeError(f"devices of kind {self.kind!r} have no dtype {wanted}")
        return self.from_numpy[wanted]

    def bare(self, value: Any) -> Any:
        """Return arguments in the terms of the standard."""
        if isinstance(value, Adapted):
            return value.bare
        if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
            return self.own_dtype(value)
        if isinstance(value, np.generic):
            return value.item()
        if type(value) in (tuple, list):
            return type(value)(self.bare(item) for item in value)
        return {key: self.bare(item) for key, item in value.items()} if type(value) is dict else value

    def wrap(self, value: Any) -> Any:
        """Return results of the standard as adapted arrays."""
        if isinstance(value, tuple | list):
            return tuple(self.wrap(item) for item in value)
        return self.holding(value) if hasattr(value, "dtype") and hasattr(value, "shape") else value

    def holding(self, bare: Any, of: Any = None, path: Callable[[np.ndarray], np.ndarray] | None = None) -> Any:
        """Return an array of the namespace in its holder; for a view the array that it looks into, and how."""
        made = object.__new__(self.array_type)
        made.space = self
        made.held = bare
        made.root, made.path, made.version = None, (), 0
        if path is not None:
            made.root, before = (of, ()) if of.root is None else (of.root, of.path)
            made.path, made.version = (*before, path), made.root.version
        return made

    def made(self, host: Any, place: Any) -> Any:
        """Return a NumPy array as one of the namespace, at a place."""
        host = np.asarray(host)
        self.own_dtype(host.dtype)  # says what is lacking
        return self.holding(self.standard.asarray(np.array(host), device=place, copy=True))


class Extension:
    """An extension of the standard, ``linalg`` or ``fft``, for kernels."""

    def __init__(self, standard: Any, space: Namespace, name: str) -> None:
        self._standard = standard
        self._space = space
        self._name = name

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._standard, name, None)
        if own is None:
            raise self._space.lacking(f"{self._name}.{name}")
        called = self._space.adapted(own, f"{self._name}.{name}")
        # What the standard wants by name, NumPy takes in order as well.
        options = OPTIONS.get(name, ("n", "axis", "norm") if self._name == "fft" else ())
        wanted = complex if name in ("fft", "ifft", "fftn", "ifftn", "irfft") else float

        def function(*args: Any, **kwargs: Any) -> Any:
            count = 2 if name == "solve" else 1
            kwargs.update(zip(options, args[count:], strict=False))
            return called(*(_inexact(x, wanted) for x in args[:count]), **kwargs)

        setattr(self, name, function)
        return function

    def svd(self, x: Any, full_matrices: bool = True, compute_uv: bool = True, **options: Any) -> Any:
        """Return singular values, alone or with their vectors."""
        called = self._space.adapted(self._standard.svd, "linalg.svd")
        return called(x, full_matrices=full_matrices) if compute_uv else self.__getattr__("svdvals")(x)

    def pinv(self, x: Any, rcond: Any = None, **options: Any) -> Any:
        """Return pseudo-inverses."""
        called = self._space.adapted(self._standard.pinv, "linalg.pinv")
        return called(x, rtol=options.pop("rtol", rcond), **options)


class Elementwise:
    """A function of elements, with NumPy's promotion."""

    def __init__(self, space: Namespace, own: Any, ufunc: np.ufunc) -> None:
        self.space = space
        self.own = own
        self.ufunc = ufunc

    def __call__(self, *values: Any, out: Any = None, dtype: Any = None) -> Any:
        """Return what NumPy's function of this name would."""
        name, space = self.ufunc.__name__, self.space
        *wanted, result = self._dtypes(values, dtype)
        if name.startswith("logical"):
            wanted = [np.dtype(bool)] * len(wanted)
        elif all(kind.kind == "b" for kind in wanted) and not name.startswith(BOOLEAN):
            wanted = [np.dtype(np.uint8)] * len(wanted)  # the standard does not count with truth values
        arrays = [space.asarray(x, kind).bare for x, kind in zip(values, wanted, strict=True)]
        made = space.holding(space.call(self.own, name, arrays, {})).astype(result, copy=False)
        return made if out is None else out.become(made)

    def _dtypes(self, values: Any, dtype: Any) -> tuple[np.dtype[Any], ...]:
        """Return the dtypes that NumPy computes in: of the inputs, then of the result."""
        if dtype is not None:
            return (np.dtype(dtype),) * (len(values) + 1)
        kinds: Any = [x.dtype if hasattr(x, "dtype") else type(x) for x in values]
        if all(isinstance(kind, type) for kind in kinds):
            kinds = [np.dtype(kind) for kind in kinds]
        return self.ufunc.resolve_dtypes((*[np.dtype(bool) if kind is bool else kind for kind in kinds], None))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "at" and self.ufunc is np.add:
            return self._add_at
        raise self.space.lacking(f"{self.ufunc.__name__}.{name}")

    def _add_at(self, x: Any, index: Any, values: Any) -> None:
        """Add to elements, to some of them more than once."""
        spots = x.spots(index)
        values = self.space.broadcast_to(self.space.asarray(values, x.dtype), spots.shape).ravel()
        spots = spots.ravel()
        left = np.arange(spots.size)
        while left.size:  # in each round every element gets one value at most
            _, first = np.unique(spots[left], return_index=True)
            chosen = left[first]
            flat = x.ravel()
            x.put(spots[chosen], flat.taken(spots[chosen]) + values.taken(chosen))
            left = np.delete(left, first)


def _inexact(x: Any, wanted: type) -> Any:
    if not isinstance(x, Adapted) or x.dtype.kind == "c" or (x.dtype.kind == "f" and wanted is float):
        return x
    return x.astype(np.complex64 if wanted is complex and x.dtype == np.float32 else np.result_type(x.dtype, wanted))
