"""An index taken apart: a static template, and the arrays in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import ArrayMethods, convert, wrap
from eagerflow.core.dims import Dim, broadcast_shapes, has_dims
from eagerflow.core.dims import index as to_index
from eagerflow.core.explain import describe, user_line
from eagerflow.devices import CPU0, Device
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.indexing.batched_indices import ARRAY

_BASIC = (int, slice, type(None), type(Ellipsis))


def split_index(index: Any, home: Device, name: str = "getitem") -> tuple[tuple[Any, ...], list[Any]]:
    """Return the template of an index, and the arrays in it as Tensors; those of NumPy go to `home`.

    Raises
    ------
    DTypeError
        It holds something that cannot select: a float, a string.
    """
    template: list[Any] = []
    arrays: list[Any] = []
    for item in index if type(index) is tuple else (index,):
        kind = type(item)
        if kind is slice:
            template.append(item if plain_slice(item) else _read_slice(item))
        elif kind is int or item is None or item is Ellipsis or kind is Dim:
            template.append(item)
        elif isinstance(item, np.integer):
            template.append(int(item))
        else:
            template.append(ARRAY)
            arrays.append(read_indices(item, home, name))
    return tuple(template), arrays


def plain_slice(item: slice) -> bool:
    """Tell whether the parts of a slice are integers and None already."""
    return all(part is None or type(part) is int for part in (item.start, item.stop, item.step))


def _read_slice(item: slice) -> slice:
    try:
        return slice(*[None if part is None else to_index(part) for part in (item.start, item.stop, item.step)])
    except TypeError:
        raise DTypeError(
            f"getitem: the parts of a slice are integers or None, got {item}\n  at {user_line()}"
        ) from None


def read_indices(item: Any, home: Device, name: str) -> Any:
    """Return an array in an index as a Tensor.

    Raises
    ------
    DTypeError
        It holds no integers or booleans.
    """
    if type(item) is np.ndarray and home is CPU0:
        array: Any = wrap(item.copy(), CPU0)
    elif isinstance(item, ArrayMethods):
        array = item._read()
    elif isinstance(item, list | tuple) and not len(item):
        array = convert(np.empty(0, np.intp), None, home)
    elif isinstance(item, np.ndarray | np.bool_ | bool | list | tuple):
        array = convert(item, None, home)
    elif hasattr(item, "dtype"):
        array = convert(item)
    else:
        array = item
    kind = getattr(getattr(array, "dtype", None), "kind", "O")
    if kind not in "iub":
        raise DTypeError(
            f"{name}: an index is an integer, a slice, ..., None, or an array of integers or booleans, "
            f"got {describe(array)}; cast it with astype(int)\n  at {user_line()}"
        )
    return array


def join_index(template: tuple[Any, ...], arrays: Any) -> tuple[Any, ...]:
    """Put the arrays back into a template."""
    if not arrays:
        return template
    rest = iter(arrays)
    return tuple([next(rest) if type(item) is str else item for item in template])


def checked_index(xp: Any, shape: tuple[int, ...], template: tuple[Any, ...], arrays: Any) -> tuple[Any, ...]:
    """Return the joined index; namespaces that do not check bounds themselves get them checked here."""
    index = join_index(template, arrays)
    if xp is not np and arrays:
        axis = 0
        used = sum(_axes_of(item) for item in index)
        for item in index:
            if item is Ellipsis:
                axis += len(shape) - used
            elif hasattr(item, "dtype") and item.dtype.kind in "iu" and item.size:
                side = shape[axis]
                low, high = int(item.min()), int(item.max())
                if low < -side or high >= side:
                    wrong = low if low < -side else high
                    raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {side}")
                axis += 1
            else:
                axis += _axes_of(item)
    return index


def _axes_of(item: Any) -> int:
    """Return how many axes of the indexed array an item of an index takes up."""
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if hasattr(item, "dtype") and item.dtype.kind == "b" else 1


def shape_rule(shape: tuple[int, ...], template: tuple[Any, ...], indices: Any) -> tuple[int, ...]:
    """Return the shape of what an index selects.

    Raises
    ------
    ShapeError
        It depends on the values of a mask.
    """
    if any(spec.dtype.kind == "b" for spec in indices):
        raise ShapeError("getitem: the shape of x[mask] depends on the values of the mask, not only on its shape")
    if has_dims((shape, template, [spec.shape for spec in indices])):
        return _symbolic_rule(shape, template, [spec.shape for spec in indices])
    # From NumPy itself: arrays of one repeated byte need no memory.
    arrays = [np.broadcast_to(np.intp(0), spec.shape) for spec in indices]
    return np.broadcast_to(np.False_, shape)[join_index(template, arrays)].shape


def _symbolic_rule(shape: tuple[Any, ...], template: tuple[Any, ...], indices: list[Any]) -> tuple[Any, ...]:
    """Return the same where lengths are symbolic."""
    if Ellipsis not in template:
        template = (*template, Ellipsis)
    several = len(shape) - sum(item is not None and item is not Ellipsis for item in template)
    if several < 0:
        raise IndexError(f"too many indices for an array with {len(shape)} axes")
    sides = iter(shape)
    result: list[Any] = []
    advanced: list[int] = []  # where in the index its arrays are, and integers beside them
    first = 0
    for place, item in enumerate(template):
        if item is None:
            result.append(1)
        elif item is Ellipsis:
            result += [next(sides) for _ in range(several)]
        elif type(item) is slice:
            result.append(slice_length(item, next(sides)))
        else:
            side = next(sides)
            if item is not ARRAY and not -side <= item < side:
                raise IndexError(f"index {item} is out of bounds for an axis of length {side}")
            first = first if advanced else len(result)
            advanced.append(place)
    if not indices:
        return tuple(result)
    if advanced[-1] - advanced[0] + 1 != len(advanced):
        first = 0
    return (*result[:first], *broadcast_shapes(*indices), *result[first:])


def slice_length(item: slice, length: Any) -> Any:
    """Return how many elements a slice selects of an axis, whose length may be symbolic."""
    if not has_dims((item, length)):
        return len(range(*item.indices(length)))
    step = 1 if item.step is None else to_index(item.step)
    if step == 0:
        raise ValueError("slice step cannot be zero")
    low, high = (0, length) if step > 0 else (-1, length - 1)

    def bound(part: Any, default: Any) -> Any:
        if part is None:
            return default
        if part < 0:
            part += length
            return part if part >= low else low
        return part if part <= high else high

    start, stop = bound(item.start, low if step > 0 else high), bound(item.stop, high if step > 0 else low)
    count = stop - start if step > 0 else start - stop
    return (count + abs(step) - 1) // abs(step) if count >= 0 else 0
