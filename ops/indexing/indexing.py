"""Indexing: reading and writing parts of arrays, with every kind of NumPy index.

An index is taken apart into a static template (integers, slices, ellipses, new axes) and the
arrays in it, which are inputs of the op and stand as `ARRAY` in the template. Basic indices have
no arrays and give views.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from eagerflow.core import ArrayMethods, Draw, Op, Sample, Spec, Tensor, become, convert, is_exclusive
from eagerflow.core.callers import attributed
from eagerflow.core.explain import explain, two_devices, user_line
from eagerflow.core.record import attach
from eagerflow.devices import CPU0
from eagerflow.devices.request import asked, requested, staying
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.checked import captured
from eagerflow.ops.cupy_functions import add_at
from eagerflow.ops.indexing.batched_indices import ARRAY, assigning, reading, writing
from eagerflow.ops.indexing.index import checked_index, join_index, plain_slice, shape_rule, split_index
from eagerflow.ops.precision import in_float32

__all__ = ["getitem", "setitem"]

# --- basic indices: views -------------------------------------------------------------------


def _sample_basic(draw: Draw) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    shape = draw.shape(min_dims=0)
    index: list[Any] = []
    for side in shape[: draw.integer(0, len(shape))]:
        kind = draw.integer(0, 3)
        if kind == 0:
            index.append(draw.integer(-side, side - 1))
        elif kind == 1:
            index.append(None)
            index.append(slice(None))
        elif kind == 2:
            index.append(slice(draw.integer(-side, side), draw.integer(0, side), draw.choice([None, 1, 2])))
        else:
            index.append(slice(None, None, -1))
    if draw.flag():
        index.append(Ellipsis)
    return shape, tuple(index)


def _sample_getitem(draw: Draw) -> Sample:
    shape, index = _sample_basic(draw)
    return Sample((draw.array(shape),), {"index": index})


def _part_of_each(op: Op, size: int, inputs: list[Any], batched: Any, attrs: dict[str, Any]) -> Any:
    larger = {"shape": (size, *attrs["shape"])} if "shape" in attrs else {}
    return op(inputs[0], **larger, index=(slice(None), *attrs["index"]))


_getitem = Op(
    "getitem", lambda xp, x, *, index: x[index], inputs="x",
    infer=lambda x, *, index: Spec(shape_rule(x.shape, index, ()), x.dtype),
    sample=_sample_getitem, vjp=lambda g, shape, index: _embed(g, shape=shape, index=index),
    linear="x", batch=_part_of_each,
    fusion="view", onnx="Slice", kinds="fc",
)  # fmt: skip

_part = attributed(_getitem)


def _embed_kernel(xp: Any, x: Any, *, shape: tuple[int, ...], index: tuple[Any, ...]) -> Any:
    out = xp.zeros(shape, x.dtype)
    out[index] = x
    return out


def _sample_embed(draw: Draw) -> Sample:
    shape, index = _sample_basic(draw)
    return Sample((draw.array(shape_rule(shape, index, ())),), {"shape": shape, "index": index})


# The gradient of reading a part: zeros of the whole's shape, with the part in its place.
_embed = Op(
    "embed", _embed_kernel, inputs="x", infer=lambda x, *, shape, index: Spec(shape, x.dtype), sample=_sample_embed,
    vjp=lambda g, index: _getitem(g, index=index), linear="x", batch=_part_of_each, flops=0, kinds="fc",
)  # fmt: skip


def read_part(x: Tensor, index: tuple[Any, ...]) -> Tensor:
    """Return a part of `x`, by an index of integers and slices only."""
    return _part(x, {"index": index})


def place_part(x: Tensor, shape: tuple[int, ...], index: tuple[Any, ...]) -> Tensor:
    """Return zeros of `shape` with `x` at a basic index."""
    return _embed(x, shape=shape, index=index)


# --- indices that hold arrays -----------------------------------------------------------------


def _sample_advanced(draw: Draw) -> tuple[tuple[int, ...], tuple[Any, ...], list[Any]]:
    shape = draw.shape(min_dims=1)
    template: list[Any] = []
    arrays: list[Any] = []
    common = draw.shape(max_dims=2)
    for side in shape:
        kind = draw.integer(0, 2)
        if kind == 0 or (not arrays and len(template) == len(shape) - 1):
            template.append(ARRAY)
            arrays.append(draw.array(draw.broadcastable(common), -side, side - 1, np.int64))
        elif kind == 1:
            template.append(slice(None))
        else:
            template.append(draw.integer(0, side - 1))
    return shape, tuple(template), arrays


def _sample_gather(draw: Draw) -> Sample:
    shape, template, arrays = _sample_advanced(draw)
    return Sample((draw.array(shape), *arrays), {"index": template})


gather = Op(
    "gather", lambda xp, x, *indices, index: x[checked_index(xp, x.shape, index, indices)], inputs="x *indices",
    infer=lambda x, *indices, index: Spec(shape_rule(x.shape, index, indices), x.dtype), sample=_sample_gather,
    vjp=(lambda g, indices, shape, index: scatter_add(g, *indices, shape=shape, index=index), None),
    linear="x", batch=reading, onnx="GatherND", flops=0, kinds="fc",
)  # fmt: skip


@in_float32
def _scatter_add_kernel(xp: Any, x: Any, *indices: Any, shape: tuple[int, ...], index: tuple[Any, ...]) -> Any:
    out = xp.zeros(shape, x.dtype)
    add_at(xp, out, join_index(index, indices), x)
    return out


@in_float32
def _scatter_add_cpu(
    xp: Any, x: np.ndarray, *indices: np.ndarray, shape: tuple[int, ...], index: tuple[Any, ...]
) -> Any:
    out = np.zeros(shape, x.dtype)
    if not x.size:
        return out
    whole = join_index(index, indices)
    if all(array.dtype.kind == "b" for array in indices):
        out[whole] = x  # a mask names every place once
        return out
    # NumPy adds at repeated places fast in one dimension only, so places become flat positions.
    if len(indices) == 1 and index[0] is ARRAY and len(index) == 1:
        row = out.size // shape[0]
        places = indices[0].astype(np.intp, copy=False).reshape(-1, 1) * row
        positions = (places + np.arange(row)).reshape(-1) if row != 1 else places.reshape(-1)
    else:
        positions = np.arange(out.size).reshape(shape)[whole].reshape(-1)
    np.add.at(out.reshape(-1), positions, np.ascontiguousarray(x).reshape(-1))
    return out


def _sample_scatter(draw: Draw) -> Sample:
    shape, template, arrays = _sample_advanced(draw)
    specs = [Spec(array.shape, array.dtype) for array in arrays]
    return Sample((draw.array(shape_rule(shape, template, specs)), *arrays), {"shape": shape, "index": template})


scatter_add = Op(
    "scatter_add", _scatter_add_kernel, inputs="x *indices",
    infer=lambda x, *indices, shape, index: Spec(shape, x.dtype),
    sample=_sample_scatter, vjp=(lambda g, indices, index: gather(g, *indices, index=index), None),
    linear="x", batch=writing, onnx="ScatterND", kinds="fc",
)  # fmt: skip
scatter_add.register_kernel("cpu", partial(_scatter_add_cpu, np))


def _gather_cpu(x: np.ndarray, *indices: np.ndarray, index: tuple[Any, ...]) -> Any:
    # Along one axis `take` is faster than an index, and the same.
    if len(indices) == 1 and index[-1] is ARRAY and indices[0].dtype.kind != "b" and x.ndim:
        axis = len(index) - 1
        if not axis or all(type(item) is slice and item == _ALL for item in index[:-1]):
            return x.take(indices[0], axis)
    return x[join_index(index, indices)]


_ALL = slice(None)
gather.register_kernel("cpu", _gather_cpu)


def getitem(x: Any, index: Any, /) -> Tensor:
    """Return ``x[index]``.

    Parameters
    ----------
    x : array_like
        Input.
    index : index expression
        Integers, slices, ``...``, ``None``, boolean masks, integer arrays or Tensors, or a tuple of
        these, with the meaning that NumPy gives to them.

    Returns
    -------
    Tensor
        The part; a gradient adds up where an index names a place more than once.

    Raises
    ------
    IndexOutOfBoundsError
        An integer outside its axis; more indices than axes; a mask of another shape.
    DTypeError
        An index that is neither integer nor boolean.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> x[:, 0], x[x > 2]
    (Tensor([1., 3.]), Tensor([3., 4.]))
    """
    kind = type(index)
    if kind is int or (kind is slice and plain_slice(index)):
        return _part(x, {"index": (index,)})
    source = convert(x, copy=False) if type(x) is not Tensor else x
    template, arrays = split_index(index, source.device)
    source = captured(source, template)
    if not arrays:
        return _part(source, {"index": template})
    return gather(source, *arrays, index=template)


# --- writing ------------------------------------------------------------------------------------


def _setitem_kernel(xp: Any, x: Any, value: Any, *indices: Any, index: tuple[Any, ...]) -> Any:
    where = checked_index(xp, x.shape, index, indices)
    out = x.copy()
    try:
        out[where] = value
    except ValueError as error:
        raise _misfit(out[where], value) from error
    return out


def _misfit(places: Any, value: Any) -> Exception:
    """Return the error for a value that does not fit the places."""
    if not getattr(value, "ndim", 0):
        return DTypeError(f"setitem: {value} has no counterpart in dtype {places.dtype}")
    return ShapeError(f"setitem: a value of shape {value.shape} does not broadcast to x[index] of shape {places.shape}")


def _sample_setitem(draw: Draw) -> Sample:
    if draw.flag():
        shape, template = _sample_basic(draw)
        arrays: list[Any] = []
    else:
        shape, template, arrays = _sample_advanced(draw)
    part = shape_rule(shape, template, [Spec(array.shape, array.dtype) for array in arrays])
    return Sample((draw.array(shape), draw.array(draw.broadcastable(part)), *arrays), {"index": template})


def _beside(x: Any, value: Any) -> Any:
    """Return a Python scalar as a Tensor on the device of `x`, where that is not the host."""
    device = x.device if isinstance(x, Tensor) else CPU0
    return value if device is CPU0 or type(value) not in _SCALARS else convert(value, None, device)


def _leading(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    # NumPy lets the value have more axes than the places, if they are of length one.
    return g if g.ndim >= len(shape) else g.reshape((1,) * (len(shape) - g.ndim) + g.shape)


_setitem = Op(
    "setitem", _setitem_kernel, inputs="x value *indices",
    infer=lambda x, value, *indices, index: Spec(x.shape, x.dtype), sample=_sample_setitem,
    vjp=(
        lambda g, indices, index: _setitem(g, _beside(g, 0), *indices, index=index),
        lambda g, indices, shape, index: _leading(_read_written(g, *indices, index=index), shape),
        None,
    ),
    linear="x+value", batch=assigning, onnx="ScatterND", flops=0, kinds="fc",
)  # fmt: skip


def _read_written_kernel(xp: Any, x: Any, *indices: Any, index: tuple[Any, ...]) -> Any:
    whole = join_index(index, indices)
    part = x[whole]
    if all(array.dtype.kind == "b" for array in indices):
        return part
    # Of values written to one place only the last is there: number the writes, and read who won.
    numbers = xp.arange(part.size).reshape(part.shape)
    winner = xp.zeros(x.shape, numbers.dtype)
    winner[whole] = numbers
    return xp.where(winner[whole] == numbers, part, x.dtype.type(0))


# The gradient for values that were written: that of the places, but nothing for overwritten values.
_read_written = Op(
    "read_written", _read_written_kernel, inputs="x *indices",
    infer=lambda x, *indices, index: Spec(shape_rule(x.shape, index, indices), x.dtype), sample=_sample_gather,
    vjp=(lambda g, indices, shape, index: _write(g, *indices, shape=shape, index=index), None),
    linear="x", batch=reading, flops=0, kinds="fc",
)  # fmt: skip


def _write_kernel(xp: Any, x: Any, *indices: Any, shape: tuple[int, ...], index: tuple[Any, ...]) -> Any:
    out = xp.zeros(shape, x.dtype)
    out[join_index(index, indices)] = x
    return out


_write = Op(
    "write", _write_kernel, inputs="x *indices", infer=lambda x, *indices, shape, index: Spec(shape, x.dtype),
    sample=_sample_scatter, vjp=(lambda g, indices, index: _read_written(g, *indices, index=index), None),
    linear="x", batch=writing, onnx="ScatterND", flops=0, kinds="fc",
)  # fmt: skip


_SCALARS = (bool, int, float, complex)


def _read_value(x: Tensor, value: Any) -> Any:
    """Return a value to write into `x` as a Tensor or Python scalar, checked to fit its dtype."""
    if type(value) not in _SCALARS:
        value = value._read() if isinstance(value, ArrayMethods) else convert(value, None, x._device, False)
    if (value.dtype.kind == "c" if hasattr(value, "dtype") else type(value) is complex) and x.dtype.kind != "c":
        raise DTypeError(
            f"setitem: complex numbers do not fit into a Tensor of dtype {x.dtype}; write value.real or cast it"
            f"\n  at {user_line()}"
        )
    return value


def setitem(x: Any, index: Any, value: Any, /) -> Tensor:
    """Return a copy of `x` in which ``x[index]`` is `value`.

    Parameters
    ----------
    x : array_like
        Input.
    index : index expression
        As for `getitem`. Of values for one and the same place the last counts.
    value : array_like
        Broadcast to the shape of ``x[index]`` and cast to the dtype of `x`.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    IndexOutOfBoundsError, DTypeError
        As `getitem`; or `value` is complex and `x` is not.
    ShapeError
        `value` does not broadcast to ``x[index]``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.setitem(ef.zeros(3), slice(1, None), [5.0, 6.0])
    Tensor([0., 5., 6.])
    """
    source = convert(x)
    template, arrays = split_index(index, source.device, "setitem")
    return _setitem(source, _beside(source, _read_value(source, value)), *arrays, index=template)


def assign(self: Tensor, index: Any, value: Any) -> None:
    """Give the handle `self` a new value, that of ``x[index] = value``.

    In place where nothing else sees the old one.
    """
    wish = requested.get() if asked.count else None
    if wish is not None and wish.device is not self.device:
        with staying(self.device):
            return assign(self, index, value)
    template, arrays = split_index(index, self.device, "setitem")
    value = _read_value(self, value)
    operands = (self, value, *arrays)
    # Only when all is concrete: other interpreters see the op.
    ready = self._device is CPU0 and all(x is not self and type(x) in _CONCRETE for x in operands[1:])
    ready = ready and not (asked.count and any(type(x) is Tensor and x._device is not CPU0 for x in operands))
    if not (ready and is_exclusive(self)):
        become(self, _setitem(self, _beside(self, value), *arrays, index=template))
        return
    if any(type(x) is Tensor and x._device is not CPU0 for x in operands):
        raise two_devices(_setitem, operands)
    raw = [x._held if type(x) is Tensor else x for x in operands]
    where = join_index(template, raw[2:])
    try:
        raw[0][where] = raw[1]
    except Exception as error:
        shown = _misfit(raw[0][where], raw[1]) if isinstance(error, ValueError) else error
        raise explain(_setitem, raw, {"index": template}, shown) from error
    parents = tuple([x._rec if type(x) is Tensor else None for x in operands])
    if not any(parent is not None for parent in parents):
        return
    kept = (None, None, *raw[2:], None)
    self._rec = attach(_setitem, parents, kept, {"index": template}, self.shape, self.dtype, self._device)


_CONCRETE = (Tensor, *_SCALARS)
