"""Random index expressions for tests: every kind of index that NumPy knows."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st


@st.composite
def shapes(draw: st.DrawFn, min_dims: int = 0, max_dims: int = 4) -> tuple[int, ...]:
    """Draw a shape, sides of zero included now and then."""
    return tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 2, 3, 0]), min_size=min_dims, max_size=max_dims)))


@st.composite
def _slices(draw: st.DrawFn, side: int) -> slice:
    end = st.none() | st.integers(-side - 1, side + 1)
    return slice(draw(end), draw(end), draw(st.sampled_from([None, 1, 2, -1, -2])))


@st.composite
def index_expressions(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """Draw a valid index of an array of `shape`."""
    items: list[Any] = []
    common = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masked = False
    axis = 0
    used = draw(st.integers(0, len(shape)))
    while axis < used:
        side = shape[axis]
        kinds = ["slice", "none"]
        kinds += ["int", "array", "array"] if side else []
        kinds += [] if masked or common not in ((), (1,)) else ["mask"]
        kind = draw(st.sampled_from(kinds))
        if kind == "slice":
            items.append(draw(_slices(side)))
        elif kind == "int":
            number = draw(st.integers(-side, side - 1))
            items.append(draw(st.sampled_from([number, np.int64(number)])))
        elif kind == "array":
            dropped = int(rng.integers(0, len(common) + 1))
            part = tuple(1 if rng.integers(0, 3) == 0 else n for n in common[dropped:])
            array = rng.integers(-side, side, part).astype(draw(st.sampled_from([np.int64, np.int32])))
            items.append(array.tolist() if draw(st.booleans()) and array.ndim else array)
        elif kind == "mask":
            axes = draw(st.integers(1, used - axis))
            items.append(rng.integers(0, 2, shape[axis : axis + axes]).astype(bool))
            masked = True
            axis += axes - 1
        else:
            items.append(None)
            continue_axis = axis
            axis = continue_axis - 1
            if len(items) > 8:
                break
        axis += 1
    if axis < len(shape) and draw(st.booleans()):
        items.append(Ellipsis)
    elif draw(st.booleans()) and Ellipsis not in [item for item in items if not isinstance(item, np.ndarray | list)]:
        place = draw(st.integers(0, len(items)))
        # The ellipsis in front shifts the axes: only where nothing is left over.
        if axis >= len(shape):
            items.insert(place, Ellipsis)
    if len(items) == 1 and draw(st.booleans()):
        return items[0]
    return tuple(items)
