"""A stand-in for CuPy where there is no GPU: arrays of a type of their own, that NumPy computes.

It is as strict as CuPy. Its arrays mix with Python and NumPy numbers, but not with NumPy's arrays, and what NumPy gives
as a number is an array without axes here. With CuPy at hand (`check_names`) there is no function, method, argument or
dtype that CuPy lacks. Of streams, events and graphs `fake_cuda` has what stands in for them.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

import eagerflow as ef
from eagerflow.devices import registry
from eagerflow.devices.cuda import CUDA
from fake_cuda import (
    CUDARuntimeError,
    Device,
    Event,
    Graph,
    Memory,
    Pool,
    Stream,
    allocator,
    capturing,
    get_current_stream,
    here,
    log,
    pinned,
    pool,
    set_pinned_memory_allocator,
    synchronized,
)

_real: Any = None  # CuPy, while its names are checked


class NotInCuPy(TypeError):
    """A kernel uses what CuPy does not have."""


_PRODUCTS = {  # of matrices and of what solves systems: libraries that CuPy does not capture
    "matmul", "dot", "tensordot", "inner", "vdot", "einsum", "inv", "solve", "det", "slogdet", "eigh", "svd", "qr",
    "cholesky", "lstsq", "pinv",
}  # fmt: skip
# What takes NumPy arrays: the ways in, and where CuPy converts indices.
_WAYS_IN = {"array", "asarray", "ascontiguousarray", "asanyarray"}
# Of the methods of ufuncs, CuPy has these.
_REDUCED = {"add", "multiply"}
_SCATTERED = {"add", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"}
_SCATTER_DTYPES = {np.dtype(t) for t in ("int32", "uint32", "uint64", "float32", "float64")}


def _same_device(arrays: list[Any]) -> None:
    for array in arrays:
        if array.device.id != here.device:
            raise ValueError(f"the array is on device {array.device.id}, the current device is {here.device}")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        yield from _leaves(list(value.values()))
    else:
        yield value


def _open(value: Any) -> Any:
    """Return NumPy's arrays in place of ours."""
    if isinstance(value, list | tuple):
        items = [_open(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value._host if isinstance(value, ndarray) else value


def _wrapped(value: Any) -> Any:
    """Return our arrays in place of NumPy's, numbers too."""
    if isinstance(value, list):
        return [_wrapped(item) for item in value]
    if isinstance(value, tuple):
        made = [_wrapped(item) for item in value]
        return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
    return ndarray(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def _call(name: str, function: Any, args: Any, kwargs: Any, hosts: bool = False) -> Any:
    """Compute by NumPy what has no arrays of the host among its arguments."""
    given = [*_leaves(args), *_leaves(kwargs)]
    if not hosts and any(isinstance(x, np.ndarray) for x in given):
        raise NotInCuPy(f"{name}: Unsupported type <class 'numpy.ndarray'>")
    _same_device([x for x in given if isinstance(x, ndarray)])
    if capturing() is not None and name.removeprefix("ndarray.") in _PRODUCTS:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    if hosts:
        for x in given:
            if isinstance(x, np.ndarray):
                allocator[0](x.nbytes)

    def compute() -> Any:
        with np.errstate(all="ignore"):  # CuPy warns of nothing
            return function(*_open(args), **{key: _open(value) for key, value in kwargs.items()})

    return recorded(compute)


def recorded(compute: Callable[[], Any]) -> Any:
    """Compute arrays; while a graph is captured, note how that is done again."""
    made = _wrapped(compute())
    graph = capturing()

    def again() -> None:
        for mine, new in zip(_leaves(made), _leaves(_wrapped(compute())), strict=True):
            if isinstance(mine, ndarray) and not np.shares_memory(mine._host, new._host):
                mine._host[...] = new._host

    if graph is not None:
        graph.operations.append(again)
    return made


def _signature(real: Any) -> inspect.Signature | None:
    """Return the signature of CuPy's function; of compiled ones from the first line of their documentation."""
    try:
        return inspect.signature(real)
    except (TypeError, ValueError):
        first = (inspect.getdoc(real) or "").partition("\n")[0]
        match = re.match(r"[\w.]+\(([^/]*?)\)(?: ->.*)?$", first)
    if match is None:
        return None
    parameters = [re.sub(r"^(?:\w+ )+(\**\w+)", r"\1", item.strip()) for item in match[1].split(",")]
    made: dict[str, Any] = {}
    exec(f"def parsed({', '.join(parameters)}): pass", {}, made)
    return inspect.signature(made["parsed"])


def _bind(name: str, real: Any, args: Any, kwargs: Any) -> None:
    try:
        signature = _signature(real)
        if signature is not None:
            signature.bind(*args, **kwargs)
    except TypeError as error:
        raise NotInCuPy(f"{name}{signature}: {error}") from None


def _dtype(char: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if char == "E" else char)


def _weak(x: Any, strong: list[np.dtype]) -> np.dtype:
    """Return the dtype that a Python number has beside arrays; NumPy does not know it beside dtypes of others."""
    if strong and strong[0].num >= 256 and not isinstance(x, complex):
        return strong[0]
    return np.result_type(x, *strong)


def _as_cupy_gives(name: str, real: Any, inputs: Any, kwargs: Any, result: Any) -> Any:
    """Check that CuPy computes this ufunc in these dtypes; return the result in the dtype that CuPy gives."""
    if not hasattr(real, "types") or not hasattr(real, "nin"):
        return result
    unknown = set(kwargs) - {"out", "dtype", "casting"}
    if unknown:
        raise NotInCuPy(f"{name}: Wrong arguments {unknown}")
    if kwargs.get("dtype") is not None or kwargs.get("out") is not None or len(inputs) != real.nin:
        return result
    hosts = [_open(x) for x in inputs[: real.nin]]
    strong = [x.dtype for x in hosts if hasattr(x, "dtype")]
    dtypes = [x.dtype if hasattr(x, "dtype") else _weak(x, strong) for x in hosts]
    for known in real.types:
        takes, _, gives = known.partition("->")
        if all(np.can_cast(dtype, _dtype(char)) for dtype, char in zip(dtypes, takes, strict=True)):
            expected = [_dtype(char) for char in gives]
            break
    else:
        raise NotInCuPy(f"{name}: Wrong type {dtypes} of arguments for {name}")
    results = result if isinstance(result, tuple) else (result,)
    made = recorded(lambda: [r._host.astype(dtype) for r, dtype in zip(results, expected, strict=True)])
    return tuple(made) if isinstance(result, tuple) else made[0]


class Ufunc:
    """A ufunc of NumPy as CuPy has it."""

    def __init__(self, name: str, ufunc: np.ufunc, real: Any) -> None:
        self.__name__ = name
        self._ufunc, self._real = ufunc, real
        self.nin, self.nout = ufunc.nin, ufunc.nout

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        unknown = set(kwargs) - {"out", "dtype", "casting", "axes", "axis", "keepdims"}
        if unknown:
            raise NotInCuPy(f"{self.__name__}: Wrong arguments {unknown}")
        result = _call(self.__name__, self._ufunc, args, kwargs)
        return result if self._real is None else _as_cupy_gives(self.__name__, self._real, args, kwargs, result)

    def _method(self, name: str, known: set[str], args: Any, kwargs: Any) -> Any:
        if self.__name__ not in known:
            raise NotInCuPy(f"`{self.__name__}.{name}` is not supported yet")
        if self._real is not None:
            _bind(f"{self.__name__}.{name}", getattr(self._real, name), args, kwargs)
        return _call(f"{self.__name__}.{name}", getattr(self._ufunc, name), args, kwargs)

    def reduce(self, *args: Any, **kwargs: Any) -> Any:
        return self._method("reduce", _REDUCED, args, kwargs)

    def accumulate(self, *args: Any, **kwargs: Any) -> Any:
        return self._method("accumulate", _REDUCED, args, kwargs)

    def reduceat(self, *args: Any, **kwargs: Any) -> Any:
        return self._method("reduceat", {"add"}, args, kwargs)

    def outer(self, *args: Any, **kwargs: Any) -> Any:
        return _call(self.__name__, self._ufunc.outer, args, kwargs)

    def at(self, array: Any, *args: Any) -> Any:
        if array.dtype not in _SCATTER_DTYPES:
            raise NotInCuPy(f"cupy.{self.__name__}.at does not support {array.dtype}")
        return self._method("at", _SCATTERED, (array, *args), {})


class Module(types.ModuleType):
    """A module of CuPy: what NumPy and CuPy both have."""

    def __init__(self, name: str, host: Any, real: Any = None) -> None:
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.__path__: list[str] = []
        self._host, self._real = host, real

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or (self._real is not None and not hasattr(self._real, name)):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        host = getattr(self._host, name)
        real = getattr(self._real, name, None)
        if isinstance(host, types.ModuleType):
            return Module(f"{self.__name__}.{name}", host, real)
        if isinstance(host, np.ufunc):
            return Ufunc(name, host, real)
        if isinstance(host, type) or not callable(host):
            return host

        def function(*args: Any, **kwargs: Any) -> Any:
            if real is not None:
                _bind(f"{self.__name__}.{name}", real, args, kwargs)
            _limits(name, args, kwargs)
            return _call(name, host, args, kwargs, hosts=name in _WAYS_IN)

        return function


def _limits(name: str, args: Any, kwargs: Any) -> None:
    """Refuse what CuPy's functions refuse though their signature has it."""
    if name == "repeat" and isinstance(args[1], ndarray):
        raise NotInCuPy("repeat: repeats must be an int or a sequence of them, not an array")
    if name in ("eigh", "eigvalsh", "eig", "eigvals") and args[0].dtype == np.float16:
        raise NotInCuPy(f"{name}: float16 is not supported")
    if name == "solve" and args[1].ndim > 1 and args[0].shape[:-1] != args[1].shape[:-1]:
        raise NotInCuPy("solve: stacks of matrices must be of the same shape")
    if name in ("packbits", "unpackbits") and len(args) + len(kwargs) > 1:
        raise NotInCuPy(f"{name}: axis option is not supported yet")
    if name == "lexsort" and args[0].ndim > 2:
        raise NotInCuPy("lexsort: keys with the rank of three or more are not supported")
    if kwargs.get("kind") not in (None, "stable"):
        raise NotInCuPy(f"{name}: kind can only be None or 'stable'")
    if name in ("lstsq", "matrix_power") and args[0].ndim != 2:
        raise NotInCuPy(f"{name}: a matrix is expected, not a stack of them")


# Methods that bring a value to the host, and wait for it.
_HOST = {"item", "get", "tolist", "__bool__", "__int__", "__float__", "__complex__", "__index__"}


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of the stand-in."""

    __array_priority__ = 100

    def __init__(self, host: np.ndarray) -> None:
        self._host = host
        self._device = here.device
        self.stream = get_current_stream()  # whose memory it has

    @property
    def device(self) -> Device:
        return Device(self._device)

    @property
    def data(self) -> Memory:
        return Memory(self)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotInCuPy("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("out") is not None and len(kwargs["out"]) == 1:
            kwargs["out"] = kwargs["out"][0]
        if "where" in kwargs:
            raise NotInCuPy(f"{ufunc.__name__}: Wrong arguments where")
        found = getattr(fake, ufunc.__name__)
        return (found if method == "__call__" else getattr(found, method))(*args, **kwargs)

    def __array_function__(self, func: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        found: Any = fake
        for part in [*func.__module__.split(".")[1:], func.__name__]:
            found = getattr(found, part)
        return found(*args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        if any(isinstance(x, np.ndarray) for x in _leaves(key)):
            raise NotInCuPy("an index on the host is copied at every use")
        return recorded(lambda: np.asarray(self._host[_open(key)]))

    def __setitem__(self, key: Any, value: Any) -> None:
        if any(isinstance(x, np.ndarray) for x in [*_leaves(key), *_leaves(value)]):
            raise NotInCuPy("an index or a value on the host is copied at every use")

        def write() -> None:
            self._host[_open(key)] = _open(value)

        recorded(write)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        synchronized.append("get")
        if out is None:
            return np.array(self._host)
        out[...] = self._host
        return out

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _HOST:
            raise AttributeError(name)
        if _real is not None and not hasattr(_real.ndarray, name):
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        found = getattr(self._host, name)
        if not callable(found):
            return _wrapped(found) if isinstance(found, np.ndarray) else found

        def method(*args: Any, **kwargs: Any) -> Any:
            if _real is not None:
                _bind(f"ndarray.{name}", getattr(_real.ndarray, name), (self, *args), kwargs)
            if name in _HOST:
                synchronized.append(name)
                return found(*args, **kwargs)
            return _call(f"ndarray.{name}", found, args, kwargs)

        return method

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @property
    def dtype(self) -> np.dtype:
        return self._host.dtype

    @property
    def ndim(self) -> int:
        return self._host.ndim

    def __repr__(self) -> str:
        return repr(self._host)


def _on_host(name: str) -> Any:
    def method(self: ndarray) -> Any:
        synchronized.append(name)
        return getattr(self._host, name)()

    return method


for _name in ("__bool__", "__int__", "__float__", "__complex__", "__index__"):
    setattr(ndarray, _name, _on_host(_name))
ndarray.__module__ = "cupy"


def _asnumpy(array: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
    return array.get(stream, order, out, blocking)


def _new(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(np.empty(shape, dtype, order))


@cache
def _compiled(code: str) -> Any:
    return importlib.import_module("cuda_on_host").functions(code)


class RawModule:
    """Kernels, which a compiler for the host makes."""

    def __init__(self, code: str, options: tuple[str, ...] = ()) -> None:
        self._functions = _compiled(code)

    def get_function(self, name: str) -> Callable[..., None]:
        function = self._functions[name]

        def launch(blocks: Any, threads: Any, arguments: Any) -> None:
            _same_device([x for x in arguments if isinstance(x, ndarray)])
            recorded(lambda: function(blocks, threads, _open(list(arguments))))

        return launch


def _module(real: Any, special: Any) -> tuple[Module, Module]:
    made = Module("cupy", np, real)
    made.ndarray = ndarray
    made.asnumpy = _asnumpy
    made.RawModule = RawModule
    made.get_default_pinned_memory_pool = lambda: pinned
    cuda = types.ModuleType("cupy.cuda")
    runtime = types.SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=lambda: 2,
        memGetInfo=lambda: (400, 1000),
        deviceSynchronize=lambda: log.append(("synchronize device", here.device)),
        getDeviceProperties=lambda index: {"name": b"fake", "major": 9, "minor": 0},
    )
    made.cuda = cuda
    vars(cuda).update(
        Device=Device, Stream=Stream, Event=Event, Graph=Graph, MemoryPool=Pool, runtime=runtime,
        get_current_stream=get_current_stream, using_allocator=lambda malloc: nullcontext(),
        set_pinned_memory_allocator=set_pinned_memory_allocator,
    )  # fmt: skip
    core = types.ModuleType("cupy._core")
    core._routines_linalg = types.SimpleNamespace(
        COMPUTE_TYPE_TF32="TF32",
        COMPUTE_TYPE_DEFAULT="DEFAULT",
        set_compute_type=lambda dtype, chosen: log.append(("compute type", dtype, chosen)),
    )
    made._core = core
    made.get_default_memory_pool = lambda: pool
    made.__version__ = "0"
    host = importlib.import_module("scipy.special") if importlib.util.find_spec("scipy") else types.SimpleNamespace()
    beside = Module("cupyx", types.SimpleNamespace())
    beside.scipy = Module("cupyx.scipy", types.SimpleNamespace())
    beside.scipy.special = Module("cupyx.scipy.special", host, special)
    return made, beside


fake: Any = None


@contextmanager
def pretended(check_names: Any = None) -> Iterator[Any]:
    """Let the kind `cuda` have two devices of the stand-in in this block; CuPy itself may be given to check names."""
    global fake, _real
    special = importlib.import_module("cupyx.scipy.special") if check_names is not None else None
    _real = check_names
    fake, beside = _module(check_names, special)
    names = {
        "cupy": fake,
        "cupy._core": fake._core,
        "cupyx": beside,
        "cupyx.scipy": beside.scipy,
        "cupyx.scipy.special": beside.scipy.special,
    }
    before = {name: sys.modules.get(name) for name in names}
    kind = registry._kinds["cuda"]
    sys.modules.update(names)
    registry._kinds["cuda"] = CUDA()
    registry.changed()
    log.clear()
    synchronized.clear()
    try:
        assert "cuda:1" in ef.devices.list()
        yield fake
    finally:
        fake, _real = None, None
        registry._kinds["cuda"] = kind
        registry.changed()
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
