"""Cache of compiled kernels: source text in, compiled function out, kept on disk for the next process.

What is compiled is named by a hash of everything that it depends on, so that nothing in the folder is ever out of
date, and it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import pickle
import platform
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from eagerflow.capture.kernels import scalar_math
from eagerflow.devices import disk
from eagerflow.errors import MissingExtraError

FORMAT = 1  # of the files; another number makes the old ones unused
CHECK = hashlib.sha256().digest_size

_loaded: dict[tuple[Any, ...], Any] = {}
_lock = threading.RLock()


def load(
    source: str,
    name: str,
    signatures: Sequence[Any] | None = None,
    *,
    noalias: bool = False,
    fastmath: Iterable[str] = (),
) -> Any:
    """Compile the function `name` of a module's source text, or find it compiled.

    Parameters
    ----------
    source : str
        Text of the module. It may import NumPy, numba and functions of `scalar_math`, and nothing else that changes.
    name : str
        The function.
    signatures : sequence, optional
        Numba signatures to compile now, and no others; without them each call of new types compiles.
    noalias : bool
        Promises that no two array arguments overlap, which lets more loops vectorize.
    fastmath : iterable of str
        What LLVM may do to floating-point numbers: ``"reassoc"`` lets it add in another order.

    Returns
    -------
    callable
        The compiled function, a Numba dispatcher, which runs without the global interpreter lock. The same one
        for the same arguments.

    Raises
    ------
    MissingExtraError
        Numba is not installed.
    """
    flags = tuple(sorted(fastmath))
    known = (source, name, None if signatures is None else tuple(map(str, signatures)), noalias, flags)
    found = _loaded.get(known)
    if found is None:
        with _lock:
            found = _loaded.get(known)
            if found is None:
                found = _loaded[known] = _load(source, name, signatures, noalias, flags)
    return found


def forget() -> None:
    """Forget what this process has loaded; what is on disk stays."""
    with _lock:
        _loaded.clear()


def folder() -> Path:
    """Return where compiled kernels are kept: ``$EAGERFLOW_CACHE``, or the user's cache folder."""
    return disk.folder("kernels")


def digest(*parts: Any) -> str:
    """Return a name for a kernel made of `parts` by these versions for this processor."""
    return hashlib.sha256(repr((_surroundings(), parts)).encode()).hexdigest()[:40]


@cache
def _surroundings() -> tuple[Any, ...]:
    """Return what compiled code depends on beside its source."""
    import numba
    from llvmlite import binding

    features = binding.get_host_cpu_features().flatten()
    versions = (sys.implementation.cache_tag, np.__version__, numba.__version__)
    return FORMAT, versions, platform.machine(), binding.get_host_cpu_name(), features, scalar_math.fingerprint()


def _load(source: str, name: str, signatures: Sequence[Any] | None, noalias: bool, fastmath: tuple[str, ...]) -> Any:
    try:
        import numba
    except ImportError as error:
        raise MissingExtraError.of("numba", "jit", "compiling kernels") from error
    key = f"{name}_{digest(source, name, noalias, fastmath)}"
    path = folder() / f"{key}.py"
    try:
        kept = path.read_bytes() == source.encode()
    except OSError:
        kept = False
    if not kept:
        kept = disk.write(path, source.encode())
    module = ModuleType(f"{__package__}.{key}")
    exec(compile(source, str(path) if kept else f"<kernel {name}>", "exec"), module.__dict__)
    sys.modules[module.__name__] = module  # where Numba finds it when it loads what it compiled
    options: dict[str, Any] = {"pipeline_class": _pipeline()} if noalias else {}
    function = numba.njit(nogil=True, error_model="numpy", boundscheck=False, fastmath=set(fastmath), **options)(
        getattr(module, name)
    )
    function._cache = _store()(path)
    for signature in signatures or ():
        function.compile(signature)
    if signatures is not None:
        function.disable_compile()
    return function


@cache
def _pipeline() -> Any:
    """Return Numba's compiler with array arguments that do not overlap."""
    from numba.core.compiler import Compiler

    class NoAlias(Compiler):  # type: ignore[misc, unused-ignore]
        def __init__(self, typing: Any, target: Any, library: Any, args: Any, result: Any, flags: Any, names: Any):
            flags.noalias = True
            super().__init__(typing, target, library, args, result, flags, names)

    return NoAlias


@cache
def _store() -> Callable[[Path], Any]:
    """Return the class that keeps what a function was compiled to, one file for each signature."""
    from numba.core.caching import NullCache
    from numba.core.compiler import CompileResult
    from numba.core.serialize import dumps

    class Store(NullCache):  # type: ignore[misc, unused-ignore]
        def __init__(self, source: Path) -> None:
            self.source = source

        @property
        def cache_path(self) -> str:
            return str(self.source.parent)

        def path(self, signature: Any) -> Path:
            return self.source.with_suffix(f".{hashlib.sha256(str(signature).encode()).hexdigest()[:16]}.bin")

        def load_overload(self, signature: Any, target: Any) -> Any:
            target.refresh()
            try:
                data = self.path(signature).read_bytes()
                if hashlib.sha256(data[CHECK:]).digest() != data[:CHECK]:
                    return None
                return CompileResult._rebuild(target, *pickle.loads(data[CHECK:]))
            except Exception:  # whatever is wrong with the file, compiling again is right
                return None

        def save_overload(self, signature: Any, compiled: Any) -> None:
            if compiled.library.has_dynamic_globals:  # it holds addresses of this process
                return
            data = dumps(compiled._reduce())
            disk.write(self.path(signature), hashlib.sha256(data).digest() + data)

    return Store
