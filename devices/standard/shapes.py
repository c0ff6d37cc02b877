"""NumPy's functions of shapes, orders and places, by means of those of the array API standard."""

from __future__ import annotations

from typing import Any

import numpy as np


class Shapes:
    """Functions of an adapted namespace that give arrays another form; their results look into their inputs."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # the namespace has those that are not here

    def reshape(self, x: Any, *shape: Any, order: str = "C") -> Any:
        """Return the elements in another shape."""
        if order not in ("C", "K"):
            raise self.lacking(f"reshape(order={order!r})")
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        lengths = tuple(map(int, wanted))
        return self.holding(self.standard.reshape(x.bare, lengths), x, lambda spots: spots.reshape(lengths))

    def ravel(self, x: Any, order: str = "C") -> Any:
        """Return the elements along one axis."""
        return self.reshape(x, -1, order=order)

    def transpose(self, x: Any, *axes: Any) -> Any:
        """Return `x` with its axes in another order."""
        if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
            axes = tuple(axes[0] or ())
        order = tuple(int(a) % x.ndim for a in axes) or tuple(reversed(range(x.ndim)))
        return self.holding(self.standard.permute_dims(x.bare, order), x, lambda spots: spots.transpose(order))

    permute_dims = transpose

    def swapaxes(self, x: Any, first: int, second: int) -> Any:
        """Return `x` with two axes exchanged."""
        order = list(range(x.ndim))
        order[first], order[second] = order[second], order[first]
        return self.transpose(x, order)

    def moveaxis(self, x: Any, source: Any, target: Any) -> Any:
        """Return `x` with axes in other places."""
        return self.transpose(x, _moved(x.ndim, source, target))

    def matrix_transpose(self, x: Any) -> Any:
        """Return `x` with its last two axes exchanged."""
        return self.swapaxes(x, -1, -2)

    def broadcast_to(self, x: Any, shape: Any) -> Any:
        """Return `x` repeated to a shape."""
        shape = tuple(map(int, shape)) if isinstance(shape, tuple | list) else (int(shape),)
        return self.holding(self.standard.broadcast_to(self.asarray(x).bare, shape))

    def concatenate(self, arrays: Any, axis: int | None = 0) -> Any:
        """Join arrays."""
        arrays = [x.bare for x in self.promoted(*arrays)]
        return self.holding(self.standard.concat(arrays, axis=axis))

    concat = concatenate

    def stack(self, arrays: Any, axis: int = 0) -> Any:
        """Join arrays along a new axis."""
        return self.holding(self.standard.stack([x.bare for x in self.promoted(*arrays)], axis=axis))

    def squeeze(self, x: Any, axis: Any = None) -> Any:
        """Return `x` without axes of length one."""
        axes = tuple(i for i, n in enumerate(x.shape) if n == 1) if axis is None else axes_of(axis)
        return self.holding(self.standard.squeeze(x.bare, axis=axes), x, lambda spots: spots.squeeze(axes))

    def expand_dims(self, x: Any, axis: Any) -> Any:
        """Return `x` with new axes of length one."""
        axes = axis if isinstance(axis, tuple | list) else (axis,)
        ndim = x.ndim + len(axes)
        new = {a % ndim for a in axes}
        lengths = iter(x.shape)
        return self.reshape(x, [1 if i in new else next(lengths) for i in range(ndim)])

    def triu(self, x: Any, k: int = 0) -> Any:
        """Return the part above a diagonal."""
        return self.holding(self.standard.triu(x.bare, k=int(k)))

    def tril(self, x: Any, k: int = 0) -> Any:
        """Return the part below a diagonal."""
        return self.holding(self.standard.tril(x.bare, k=int(k)))

    def tri(self, rows: int, columns: int | None = None, k: int = 0, dtype: Any = float) -> Any:
        """Return ones below a diagonal."""
        return self.tril(self.ones((rows, rows if columns is None else columns), dtype), k)

    def flip(self, x: Any, axis: Any = None) -> Any:
        """Return `x` backwards."""
        return self.holding(self.standard.flip(x.bare, axis=axes_of(axis)), x, lambda spots: np.flip(spots, axis))

    def roll(self, x: Any, shift: Any, axis: Any = None) -> Any:
        """Return `x` with its elements moved round."""
        return self.holding(self.standard.roll(x.bare, axes_of(shift), axis=axes_of(axis)))

    def take_along_axis(self, x: Any, indices: Any, axis: int = -1) -> Any:
        """Take elements by their places along one axis."""
        shape = [1] * x.ndim
        spots = np.take_along_axis(np.arange(x.size).reshape(x.shape), indices.to_host(), axis)
        return x.ravel().taken(spots.ravel()).reshape(spots.shape or shape)

    def take(self, x: Any, indices: Any, axis: Any = None, **options: Any) -> Any:
        """Take parts by their numbers along one axis."""
        x, axis = (x.ravel(), 0) if axis is None else (x, int(axis))
        return x[(slice(None),) * (axis % x.ndim) + (self.asarray(indices),)]

    def argwhere(self, x: Any) -> Any:
        """Return the places of what is not zero."""
        found = self.nonzero(x) if x.ndim else ()
        return self.stack(found, 1) if found else self.zeros((int(bool(x)), 0), np.int64)

    def diagonal(self, x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """Return a diagonal."""
        spots = np.diagonal(np.arange(x.size).reshape(x.shape), offset, axis1, axis2)
        return x.ravel().taken(spots.ravel()).reshape(spots.shape)

    def pad(self, x: Any, widths: Any, mode: str = "constant", constant_values: Any = 0, **options: Any) -> Any:
        """Return `x` with more at its edges."""
        spots = np.arange(x.size).reshape(x.shape)
        if mode == "constant":
            outside = np.pad(spots, widths, constant_values=-1)
            fill = self.asarray(np.pad(np.zeros(x.shape, x.dtype), widths, constant_values=constant_values))
            inside = x.ravel().taken(np.maximum(outside, 0).ravel()) if x.size else self.zeros(outside.size, x.dtype)
            return self.where(self.asarray(outside < 0), fill, inside.reshape(outside.shape))
        if mode not in ("edge", "reflect", "symmetric", "wrap"):
            self._refuse(f"pad(mode={mode!r})")
        found = np.pad(spots, widths, mode, **options)  # type: ignore[call-overload, unused-ignore]
        return x.ravel().taken(found.ravel()).reshape(found.shape)

    def as_strided(self, x: Any, shape: Any = None, strides: Any = None, **options: Any) -> Any:
        """Return a view of a shape and strides."""
        return x.as_strided(x.shape if shape is None else shape, x.strides if strides is None else strides)


def axes_of(axis: Any) -> Any:
    """Return an axis or several as Python's integers."""
    return tuple(map(int, axis)) if isinstance(axis, tuple | list) else axis if axis is None else int(axis)


def _moved(ndim: int, source: Any, target: Any) -> list[int]:
    """Return the order of axes after some went elsewhere."""
    sources, targets = ([int(a) % ndim for a in np.atleast_1d(axes)] for axes in (source, target))
    order = [a for a in range(ndim) if a not in sources]
    for place, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(place, axis)
    return order
