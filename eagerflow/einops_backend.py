"""einops on Tensors: the backend that einops looks for, defined as soon as einops is imported.

einops knows the arrays of others by the subclasses of its ``AbstractBackend``. Ours can be written down
only once einops is there, and importing eagerflow shall not import einops. So a finder waits for the
import, in whichever order the two come, and is gone after it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from eagerflow.core import ArrayMethods, Tensor, convert, is_inexact
from eagerflow.ops.arrays.creation import asarray
from eagerflow.ops.arrays.joining import concat, stack
from eagerflow.ops.arrays.ranges import arange
from eagerflow.ops.arrays.repetition import tile
from eagerflow.ops.arrays.shape import expand_dims
from eagerflow.ops.linear_algebra.einsum import einsum

_MODULE = "einops._backends"


class _Backend:
    """What einops asks of a backend beyond the methods of an array; it is recorded as any operation is."""

    framework_name = "eagerflow"

    def is_appropriate_type(self, tensor: Any) -> bool:
        return isinstance(tensor, ArrayMethods)

    def from_numpy(self, x: Any) -> Tensor:
        return asarray(x)

    def to_numpy(self, x: Any) -> Any:
        return x.numpy()

    def arange(self, start: int, stop: int) -> Tensor:
        return arange(start, stop)

    def stack_on_zeroth_dimension(self, tensors: list[Any]) -> Tensor:
        return stack(tensors)

    def add_axis(self, x: Any, new_position: int) -> Tensor:
        return expand_dims(x, new_position)

    def tile(self, x: Any, repeats: Any) -> Tensor:
        return tile(x, repeats)

    def concat(self, tensors: list[Any], axis: int) -> Tensor:
        return concat([convert(x) for x in tensors], axis=axis)

    def is_float_type(self, x: Any) -> bool:
        return is_inexact(x.dtype)

    def einsum(self, pattern: str, *x: Any) -> Tensor:
        return einsum(pattern, *x)


def _define(module: ModuleType) -> None:
    # einops finds the class among the subclasses of its own, and keeps the one object that it makes of it.
    module.EagerflowBackend = type("EagerflowBackend", (_Backend, module.AbstractBackend), {})  # type: ignore[attr-defined]


class _Waiting:
    """Finder that stands in for the usual one at this module, and defines the backend once it has been executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == _MODULE else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _define(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _wait() -> None:
    if _MODULE in sys.modules:
        _define(sys.modules[_MODULE])
    else:
        sys.meta_path.insert(0, _Waiting())


_wait()
