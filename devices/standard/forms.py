"""NumPy's functions that the array API standard has in another form, or whose parts it has."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.devices.standard.adapted import Adapted
from eagerflow.devices.standard.shapes import Shapes, axes_of


class Forms(Shapes):
    """Functions of an adapted namespace that are written by means of others."""

    # What the standard has under another form.

    def asarray(self, x: Any, dtype: Any = None) -> Any:
        """Return numbers, a NumPy array or an array of the kind as an array of the kind."""
        if isinstance(x, Adapted):
            return x if dtype is None else x.astype(dtype, copy=False)
        return self.made(np.asarray(x, dtype), self.place.get())

    array = asarray
    ascontiguousarray = asarray

    def _make(self, name: str, shape: Any, dtype: Any, *value: Any) -> Any:
        shape = tuple(map(int, shape)) if isinstance(shape, tuple | list) else (int(shape),)
        made = getattr(self.standard, name)
        own = self.own_dtype(np.float64 if dtype is None else dtype)
        return self.holding(made(shape, *value, dtype=own, device=self.place.get()))

    def zeros(self, shape: Any, dtype: Any = None) -> Any:
        """Return zeros."""
        return self._make("zeros", shape, dtype)

    def ones(self, shape: Any, dtype: Any = None) -> Any:
        """Return ones."""
        return self._make("ones", shape, dtype)

    empty = zeros

    def arange(self, start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
        """Return numbers at equal distances."""
        start, stop = (0, start) if stop is None else (start, stop)
        dtype = np.result_type(start, stop, step) if dtype is None else dtype
        start, stop, step = (x.item() if hasattr(x, "item") else x for x in (start, stop, step))
        made = self.standard.arange(start, stop, step, dtype=self.own_dtype(dtype), device=self.place.get())
        return self.holding(made)

    def eye(self, rows: int, columns: int | None = None, k: int = 0, dtype: Any = float) -> Any:
        """Return ones on a diagonal."""
        own = self.own_dtype(dtype)
        return self.holding(self.standard.eye(int(rows), columns, k=int(k), dtype=own, device=self.place.get()))

    def linspace(self, start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None) -> Any:
        """Return numbers at equal distances, ends included."""
        own = self.own_dtype(float if dtype is None else dtype)
        place = self.place.get()
        made = self.standard.linspace(start, stop, int(num), endpoint=bool(endpoint), dtype=own, device=place)
        return self.holding(made)

    def full(self, shape: Any, value: Any, dtype: Any = None) -> Any:
        """Return an array of one number."""
        if isinstance(value, Adapted):
            return self.broadcast_to(value if dtype is None else value.astype(dtype), shape)
        return self._make("full", shape, np.asarray(value).dtype if dtype is None else dtype, self.bare(value))

    def _like(self, name: str, x: Any, dtype: Any, shape: Any) -> Any:
        return getattr(self, name)(x.shape if shape is None else shape, x.dtype if dtype is None else dtype)

    def zeros_like(self, x: Any, dtype: Any = None, shape: Any = None) -> Any:
        """Return zeros of the shape and the dtype of `x`."""
        return self._like("zeros", x, dtype, shape)

    def ones_like(self, x: Any, dtype: Any = None, shape: Any = None) -> Any:
        """Return ones of the shape and the dtype of `x`."""
        return self._like("ones", x, dtype, shape)

    empty_like = zeros_like

    def full_like(self, x: Any, value: Any, dtype: Any = None) -> Any:
        """Return an array of one number in the shape and the dtype of `x`."""
        return self.full(x.shape, value, x.dtype if dtype is None else dtype)

    def result_type(self, *values: Any) -> np.dtype[Any]:
        """Return the dtype that NumPy promotes to."""
        return np.result_type(*[x.dtype if isinstance(x, Adapted) else x for x in values])

    def promoted(self, *values: Any) -> list[Any]:
        """Return values as arrays of the dtype that NumPy promotes them to."""
        dtype = self.result_type(*values)
        return [self.asarray(x, dtype) for x in values]

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """Choose element by element."""
        x, y = self.promoted(x, y)
        return self.holding(self.standard.where(self.asarray(condition, np.bool_).bare, x.bare, y.bare))

    def clip(self, x: Any, low: Any = None, high: Any = None) -> Any:
        """Return `x` within bounds."""
        x = x if low is None else self.maximum(x, low)
        return x if high is None else self.minimum(x, high)

    def _sum(self, name: str, x: Any, axis: Any, keepdims: bool, dtype: Any) -> Any:
        if dtype is None and x.dtype.kind in "biu":
            dtype = np.uint64 if x.dtype.kind == "u" else np.int64
        x = x if dtype is None else x.astype(dtype)
        own = getattr(self.standard, name)
        return self.holding(own(x.bare, axis=axes_of(axis), keepdims=bool(keepdims), dtype=self.own_dtype(x.dtype)))

    def sum(self, x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
        """Add up."""
        return self._sum("sum", x, axis, keepdims, dtype)

    def prod(self, x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
        """Multiply up."""
        return self._sum("prod", x, axis, keepdims, dtype)

    def _floats(self, name: str, x: Any, **options: Any) -> Any:
        x = x if x.dtype.kind in "fc" else x.astype(np.float64)
        return self.holding(self.call(getattr(self.standard, name), name, (x.bare,), options))

    def mean(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """Return means."""
        return self._floats("mean", x, axis=axes_of(axis), keepdims=bool(keepdims))

    def var(self, x: Any, axis: Any = None, keepdims: bool = False, ddof: float = 0) -> Any:
        """Return variances."""
        return self._floats("var", x, axis=axes_of(axis), keepdims=bool(keepdims), correction=ddof)

    def std(self, x: Any, axis: Any = None, keepdims: bool = False, ddof: float = 0) -> Any:
        """Return standard deviations."""
        return self._floats("std", x, axis=axes_of(axis), keepdims=bool(keepdims), correction=ddof)

    def matmul(self, x: Any, y: Any, out: Any = None) -> Any:
        """Multiply matrices."""
        x, y = self.promoted(x, y)
        made = self.holding(self.call(self.standard.matmul, "matmul", (x.bare, y.bare), {}))
        return made if out is None else out.become(made)

    def dot(self, x: Any, y: Any) -> Any:
        """Multiply vectors or matrices."""
        if x.ndim == 0 or y.ndim == 0:
            return self.multiply(x, y)
        return self.matmul(x, y) if y.ndim <= 2 and x.ndim <= 2 else self.tensordot(x, y, (x.ndim - 1, y.ndim - 2))

    def tensordot(self, x: Any, y: Any, axes: Any = 2) -> Any:
        """Contract axes."""
        x, y = self.promoted(x, y)
        if not isinstance(axes, int):
            first, second = ((a,) if isinstance(a, int) else tuple(a) for a in axes)
            axes = tuple(a % x.ndim for a in first), tuple(a % y.ndim for a in second)
        return self.holding(self.call(self.standard.tensordot, "tensordot", (x.bare, y.bare), {"axes": axes}))

    def exp2(self, x: Any) -> Any:
        """Return 2 to the power `x`."""
        return self.power(2.0, x)

    def cbrt(self, x: Any) -> Any:
        """Return real cube roots."""
        return self.copysign(self.power(self.absolute(x), 1 / 3), x)

    def deg2rad(self, x: Any) -> Any:
        """Return degrees as radians."""
        return self.multiply(x, np.pi / 180)

    def rad2deg(self, x: Any) -> Any:
        """Return radians as degrees."""
        return self.multiply(x, 180 / np.pi)

    radians, degrees = deg2rad, rad2deg

    def fmax(self, x: Any, y: Any) -> Any:
        """Return the larger number, or the only one beside NaN."""
        x, y = self.promoted(x, y)
        return self.where(self.isnan(x), y, self.where(self.isnan(y), x, self.maximum(x, y)))

    def fmin(self, x: Any, y: Any) -> Any:
        """Return the smaller number, or the only one beside NaN."""
        x, y = self.promoted(x, y)
        return self.where(self.isnan(x), y, self.where(self.isnan(y), x, self.minimum(x, y)))

    def isposinf(self, x: Any) -> Any:
        """Tell where elements are positive infinity."""
        return self.equal(x, np.inf)

    def isneginf(self, x: Any) -> Any:
        """Tell where elements are negative infinity."""
        return self.equal(x, -np.inf)

    def heaviside(self, x: Any, y: Any) -> Any:
        """Return 0, `y` or 1 by the sign of `x`."""
        x, y = self.promoted(x, y)
        step = self.where(self.equal(x, 0), y, self.greater(x, 0).astype(x.dtype))
        return self.where(self.isnan(x), x, step)

    def fmod(self, x: Any, y: Any) -> Any:
        """Return remainders with the sign of `x`."""
        x, y = self.promoted(x, y)
        rest = self.remainder(self.absolute(x), self.absolute(y))
        return self.copysign(rest, x) if x.dtype.kind == "f" else self.where(self.less(x, 0), -rest, rest)

    def ldexp(self, x: Any, y: Any) -> Any:
        """Return `x` times 2 to the power `y`."""
        return self.multiply(x, self.power(self.asarray(2.0, x.dtype), self.asarray(y, x.dtype)))

    def logaddexp2(self, x: Any, y: Any) -> Any:
        """Return the logarithm of a sum of powers of 2."""
        return self.logaddexp(x * np.log(2), y * np.log(2)) / np.log(2)

    def sinc(self, x: Any) -> Any:
        """Return the sine of πx, over πx."""
        scaled = self.where(self.equal(x, 0), 1e-20, x) * np.pi
        return self.sin(scaled) / scaled

    def nan_to_num(self, x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
        """Return numbers in place of NaN and infinities."""
        if x.dtype.kind not in "f":
            return x.copy() if x.dtype.kind in "biu" else self._refuse("nan_to_num of complex numbers")
        limits = np.finfo(x.dtype)
        x = self.where(self.isnan(x), nan, x)
        x = self.where(self.isposinf(x), float(limits.max) if posinf is None else posinf, x)
        return self.where(self.isneginf(x), float(limits.min) if neginf is None else neginf, x)

    def isclose(self, x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
        """Tell where two arrays are nearly the same."""
        x, y = self.promoted(x, y)
        finite = self.isfinite(y)
        near = self.less_equal(self.absolute(x - y), self.absolute(y) * rtol + atol) & finite
        near = near | self.equal(x, y)
        return near | (self.isnan(x) & self.isnan(y)) if equal_nan else near

    def isin(self, x: Any, y: Any, invert: bool = False, **options: Any) -> Any:
        """Tell which elements of `x` are in `y`."""
        x, y = self.promoted(x, y)
        found = self.any(self.equal(self.expand_dims(x, -1), y.ravel()), axis=-1)
        return self.logical_not(found) if invert else found

    def any(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """Tell whether any element is true."""
        return self.holding(self.standard.any(x.astype(np.bool_).bare, axis=axes_of(axis), keepdims=bool(keepdims)))

    def all(self, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        """Tell whether all elements are true."""
        return self.holding(self.standard.all(x.astype(np.bool_).bare, axis=axes_of(axis), keepdims=bool(keepdims)))

    def _along(self, name: str, x: Any, axis: Any, dtype: Any) -> Any:
        if axis is None:
            x, axis = x.ravel(), 0
        if dtype is None and x.dtype.kind in "biu":
            dtype = np.uint64 if x.dtype.kind == "u" else np.int64
        x = x if dtype is None else x.astype(dtype)
        return self.holding(getattr(self.standard, name)(x.bare, axis=int(axis), dtype=self.own_dtype(x.dtype)))

    def cumsum(self, x: Any, axis: Any = None, dtype: Any = None) -> Any:
        """Return running sums."""
        return self._along("cumulative_sum", x, axis, dtype)

    def cumprod(self, x: Any, axis: Any = None, dtype: Any = None) -> Any:
        """Return running products."""
        return self._along("cumulative_prod", x, axis, dtype)

    def round(self, x: Any, decimals: int = 0) -> Any:
        """Return the nearest numbers of so many decimals."""
        if not decimals:
            return self.rint(x) if x.dtype.kind in "fc" else x
        scale = 10.0 ** abs(decimals)
        return self.rint(x * scale) / scale if decimals > 0 else self.rint(x / scale) * scale

    def sort(self, x: Any, axis: Any = -1, kind: Any = None, **options: Any) -> Any:
        """Return `x` in order."""
        x, axis = (x.ravel(), 0) if axis is None else (x, axis)
        return self.holding(self.call(self.standard.sort, "sort", (x.bare,), {"axis": int(axis)}))

    def argsort(self, x: Any, axis: Any = -1, kind: Any = None, **options: Any) -> Any:
        """Return what brings `x` into order."""
        x, axis = (x.ravel(), 0) if axis is None else (x, axis)
        return self.holding(self.call(self.standard.argsort, "argsort", (x.bare,), {"axis": int(axis), "stable": True}))

    def argpartition(self, x: Any, kth: Any, axis: Any = -1, **options: Any) -> Any:
        """Return what brings `x` into order, which is more than is asked for."""
        return self.argsort(x, axis)

    def searchsorted(self, x: Any, values: Any, side: str = "left", sorter: Any = None) -> Any:
        """Return where values belong in an order."""
        x, values = self.promoted(x, values)
        x = x if sorter is None else self.take(x, sorter)
        return self.holding(self.standard.searchsorted(x.bare, values.bare, side=side)).astype(np.int64)

    def bincount(self, x: Any, weights: Any = None, minlength: int = 0) -> Any:
        """Count numbers, or add up their weights."""
        length = max(int(self.max(x)) + 1 if x.size else 0, minlength)
        counts = self.zeros(length, np.int64 if weights is None else np.float64)
        self.add.at(counts, x, 1 if weights is None else weights)
        return counts

    def _refuse(self, what: str) -> Any:
        raise self.lacking(what)
