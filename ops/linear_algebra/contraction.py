"""Contractions: products of arrays that are summed over shared axes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, binary, convert, implements
from eagerflow.core.dims import broadcast_shapes
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.axes import one_axis, some_axes
from eagerflow.ops.linear_algebra.batched_products import matrix_products, tensor_products
from eagerflow.ops.precision import in_float32, is_low

__all__ = ["dot", "inner", "matmul", "outer", "tensordot", "vdot", "vecdot"]

# Up to this many elements the slow path of np.matmul costs less than the test for it.
_SMALL = 2048

_np_matmul = np.matmul


def _matmul_on_cpu(x: Any, y: Any, out: Any = None) -> Any:
    """Multiply with NumPy, by BLAS whatever the strides: np.matmul leaves it for some of them."""
    try:
        if x.itemsize < 4 and is_low(np.result_type(x.dtype, y.dtype)):
            # In float32: BLAS has no such dtypes, and NumPy's own loops are slow.
            product = _matmul_on_cpu(x.astype(np.float32), y.astype(np.float32))
            if out is not None:
                out[...] = product
                return out
            return product.astype(np.result_type(x.dtype, y.dtype))
        if x.size + y.size <= _SMALL or y.ndim < 2:
            return _np_matmul(x, y) if out is None else _np_matmul(x, y, out)
        if x.ndim > 2 and y.ndim == 2 and x.shape[-1] == y.shape[0]:
            # One large product rather than one for each matrix of the batch.
            rows = x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))
            if out is None:
                return _np_matmul(_blas(rows), _blas(y)).reshape((*x.shape[:-1], y.shape[1]))
            _np_matmul(_blas(rows), _blas(y), out.reshape((len(rows), y.shape[1])))
            return out
        return _np_matmul(_blas(x), _blas(y)) if out is None else _np_matmul(_blas(x), _blas(y), out)
    except (ValueError, AttributeError):
        raise _mismatch(x, y) from None


def multiply_matrices(xp: Any, x: Any, y: Any) -> Any:
    """Multiply arrays of the namespace `xp` as `matmul` does; for kernels."""
    return _matmul_on_cpu(x, y) if xp is np else xp.matmul(x, y)


def _blas(array: Any) -> Any:
    """Return the array, copied if BLAS cannot read its matrices in place."""
    if array.ndim < 2:
        return array
    rows, columns = array.shape[-2:]
    item = array.itemsize
    down, right = array.strides[-2:]
    if right == item:
        fits = down >= columns * item and down % item == 0
    else:
        fits = down == item and right >= rows * item and right % item == 0
    return array if fits else np.ascontiguousarray(array)


def _mismatch(x: Any, y: Any) -> Exception:
    """Return the error for operands that matmul does not take."""
    if not getattr(x, "ndim", 0) or not getattr(y, "ndim", 0):
        given = " and ".join("a scalar" if not getattr(a, "ndim", 0) else f"shape {a.shape}" for a in (x, y))
        return ShapeError(f"matmul: expected arrays of one axis or more, got {given}; multiply by scalars with *")
    if x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        return ShapeError(f"matmul: the inner dimensions do not meet: {x.shape} and {y.shape}")
    return ShapeError(f"matmul: the batch dimensions do not broadcast: {x.shape} and {y.shape}")


def _matmul_rule(x: Spec, y: Spec) -> Spec:
    if not x.ndim or not y.ndim or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise _mismatch(x, y)
    try:
        batch = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise _mismatch(x, y) from None
    shape = batch + x.shape[-2:-1] + (y.shape[-1:] if y.ndim > 1 else ())
    return Spec(shape, np.result_type(x.dtype, y.dtype))


def _matmul_flops(x: Spec, y: Spec) -> float:
    return 2.0 * _matmul_rule(x, y).size * x.shape[-1]


def _matmul_left(g: Tensor, y: Tensor, shape: tuple[int, ...]) -> Tensor:
    if y.ndim == 2:
        return matmul(y, g) if len(shape) == 1 else matmul(g, y.mT)
    if y.ndim == 1:
        return g.reshape((*g.shape, 1)) * y if len(shape) > 1 else g * y
    if len(shape) > 2:
        return matmul(g, y.mT)
    # x has no batch axes: sum over them in the same product.
    batch = tuple(range(y.ndim - 2))
    return tensordot(g, y, ((*batch, g.ndim - 1), (*batch, y.ndim - 1)))


def _matmul_right(g: Tensor, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    if x.ndim == 2:
        return matmul(g, x) if len(shape) == 1 else matmul(x.mT, g)
    if x.ndim == 1:
        if len(shape) == 1:
            return g * x
        return x.reshape((x.shape[0], 1)) * g.reshape((*g.shape[:-1], 1, g.shape[-1]))
    if len(shape) > 2:
        return matmul(x.mT, g)
    # y has no batch axes: the batch and the rows of x are one long axis to sum over.
    x = _flat(x)
    return matmul(g.reshape((x.shape[0],)), x) if len(shape) == 1 else matmul(x.mT, _flat(g))


def _flat(x: Tensor) -> Tensor:
    """Make one matrix of a batch, one below the other."""
    return x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _sample_matmul(draw: Draw) -> Sample:
    n, k, m = draw.integer(1, 4), draw.integer(1, 4), draw.integer(1, 4)
    batch = draw.shape(max_dims=2, max_side=3)
    other = draw.broadcastable(batch)
    left, right = draw.choice(((batch, other), (other, batch), (batch, batch), (batch, ()), ((), batch)))
    form = draw.integer(0, 4)
    x = (k,) if form in (0, 1) else (*left, n, k)
    y = (k,) if form in (0, 2) else (*right, k, m)
    return Sample((draw.array(x), draw.array(y)))


_matmul = Op(
    "matmul",
    "matmul",
    inputs="x y",
    infer=_matmul_rule,
    sample=_sample_matmul,
    vjp=(_matmul_left, _matmul_right),
    linear="x y",
    batch=matrix_products,
    fusion="contraction",
    flops=_matmul_flops,
    onnx="MatMul",
    kinds="fc",
)
_matmul.register_kernel("cpu", _matmul_on_cpu, into=_matmul_on_cpu)


def _matmul_on_cuda(x: Any, y: Any) -> Any:
    """Multiply a stack by a matrix in one product; other stacks in float32 at least, which CuPy has kernels for."""
    import cupy

    if x.ndim > 2 and y.ndim == 2 and x.size:
        return _matmul_on_cuda(x.reshape((-1, x.shape[-1])), y).reshape((*x.shape[:-1], y.shape[-1]))
    if is_low(x.dtype) or is_low(y.dtype):
        dtype = np.result_type(x.dtype, y.dtype)
        if max(x.ndim, y.ndim) > 2:
            x, y = x.astype(np.float32), y.astype(np.float32)
        return cupy.matmul(x, y).astype(dtype, copy=False)
    return cupy.matmul(x, y)


_matmul.register_kernel("cuda", _matmul_on_cuda)


def _documented(function: Callable[..., Any]) -> Callable[[Any, Any], Tensor]:
    """Give the short caller of matmul its name and text; it takes the same arguments."""
    short: Any = binary(_matmul)
    short.op = _matmul
    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(short, name, getattr(function, name))
    return implements(np.matmul)(short)


@_documented
def matmul(x: Any, y: Any, /) -> Tensor:
    """Multiply matrices.

    Parameters
    ----------
    x, y : array_like
        Matrices in the last two axes; the other axes broadcast. With one axis: a vector,
        which loses its axis in the result.

    Returns
    -------
    Tensor
        The products.

    Raises
    ------
    ShapeError
        The inner dimensions do not meet, the other axes do not broadcast, or one is a scalar.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.matmul([[1.0, 2.0], [3.0, 4.0]], [1.0, 10.0])
    Tensor([21., 43.])
    """
    raise NotImplementedError


def _tensordot_rule(x: Spec, y: Spec, *, axes: tuple[tuple[int, ...], tuple[int, ...]]) -> Spec:
    left, right = axes
    shape = [side for axis, side in enumerate(x.shape) if axis not in left]
    shape += [side for axis, side in enumerate(y.shape) if axis not in right]
    return Spec(tuple(shape), np.result_type(x.dtype, y.dtype))


def _tensordot_flops(x: Spec, y: Spec, *, axes: tuple[tuple[int, ...], tuple[int, ...]]) -> float:
    return 2.0 * x.size * math.prod(side for axis, side in enumerate(y.shape) if axis not in axes[1])


def _tensordot_left(g: Tensor, y: Tensor, axes: tuple[tuple[int, ...], tuple[int, ...]]) -> Tensor:
    left, right = axes
    free = [axis for axis in range(y.ndim) if axis not in right]
    kept = g.ndim - len(free)
    product = tensordot(g, y, (tuple(range(kept, g.ndim)), tuple(free)))
    # The axes now: those that x kept, then the summed ones in the order of y.
    order = [left[right.index(axis)] for axis in sorted(right)]
    return _place(product, [axis for axis in range(kept + len(left)) if axis not in left] + order)


def _tensordot_right(g: Tensor, x: Tensor, axes: tuple[tuple[int, ...], tuple[int, ...]]) -> Tensor:
    left, right = axes
    free = [axis for axis in range(x.ndim) if axis not in left]
    product = tensordot(x, g, (tuple(free), tuple(range(len(free)))))
    order = [right[left.index(axis)] for axis in sorted(left)]
    return _place(product, order + [axis for axis in range(product.ndim) if axis not in right])


def _place(x: Tensor, order: list[int]) -> Tensor:
    """Move each axis of `x` to the place that `order` says."""
    if order == sorted(order):
        return x
    return x.transpose(tuple(sorted(range(len(order)), key=order.__getitem__)))


def _sample_tensordot(draw: Draw) -> Sample:
    x = draw.shape(max_dims=3, max_side=3)
    left = draw.axes(len(x)) if x and draw.flag() else ()
    left = tuple(axis % len(x) for axis in left)
    free = draw.shape(max_dims=2, max_side=3)
    # Insert the summed axes among the free ones of y.
    places = [int(place) for place in draw.rng.permutation(len(free) + len(left))]
    right = tuple(places[: len(left)])
    y = [0] * len(places)
    for place, side in zip(places, [*(x[axis] for axis in left), *free], strict=True):
        y[place] = side
    return Sample((draw.array(x), draw.array(tuple(y))), {"axes": (left, right)})


def _tensordot_kernel(xp: Any, x: Any, y: Any, *, axes: tuple[tuple[int, ...], tuple[int, ...]]) -> Any:
    if x.itemsize < 4:
        return in_float32(_plain_tensordot)(xp, x, y, axes=axes)
    return xp.tensordot(x, y, axes=axes)


def _plain_tensordot(xp: Any, x: Any, y: Any, *, axes: tuple[tuple[int, ...], tuple[int, ...]]) -> Any:
    return xp.tensordot(x, y, axes=axes)


_tensordot = Op(
    "tensordot",
    _tensordot_kernel,
    inputs="x y",
    infer=_tensordot_rule,
    sample=_sample_tensordot,
    vjp=(_tensordot_left, _tensordot_right),
    linear="x y",
    batch=tensor_products,
    fusion="contraction",
    flops=_tensordot_flops,
    kinds="fc",
)


@implements(np.tensordot)
def tensordot(x: Any, y: Any, /, axes: Any = 2) -> Tensor:
    """Sum the products of two arrays over chosen axes.

    Parameters
    ----------
    x, y : array_like
        Inputs.
    axes : int or pair of sequences of int
        An integer n: the last n axes of `x` with the first n of `y`. A pair: these axes of
        `x` with these of `y`, in order.

    Returns
    -------
    Tensor
        The axes that `x` keeps, then those that `y` keeps.

    Raises
    ------
    ShapeError
        Lengths of paired axes differ, or an axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.tensordot(ef.ones((2, 3, 4)), ef.ones((4, 3)), axes=((1, 2), (1, 0)))
    Tensor([12., 12.])
    """
    x, y = convert(x), convert(y)
    left, right = _pair_axes(x, y, axes)
    for first, second in zip(left, right, strict=True):
        if x.shape[first] != y.shape[second]:
            raise ShapeError(
                f"tensordot: axis {first} of x has length {x.shape[first]} and axis {second} of y "
                f"{y.shape[second]}: the shapes are {x.shape} and {y.shape}\n  at {user_line()}"
            )
    return _tensordot(x, y, axes=(left, right))


def _pair_axes(x: Tensor, y: Tensor, axes: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if isinstance(axes, tuple | list) or (isinstance(axes, np.ndarray) and axes.ndim):
        if len(axes) != 2:
            raise ShapeError(f"tensordot: axes is an integer or a pair, got {axes!r}\n  at {user_line()}")
        pair = [tuple(item) if hasattr(item, "__iter__") else (item,) for item in axes]
        left, right = some_axes(pair[0], x.ndim, "tensordot"), some_axes(pair[1], y.ndim, "tensordot")
        if len(left) != len(right):
            raise ShapeError(
                f"tensordot: {len(left)} axes of x but {len(right)} of y in axes={axes!r}\n  at {user_line()}"
            )
        return left, right
    try:
        count = operator.index(axes)
    except TypeError:
        raise DTypeError(f"tensordot: axes is an integer or a pair, got {axes!r}\n  at {user_line()}") from None
    if not 0 <= count <= min(x.ndim, y.ndim):
        raise ShapeError(f"tensordot: cannot sum over {count} axes of {x.shape} and {y.shape}\n  at {user_line()}")
    return tuple(range(x.ndim - count, x.ndim)), tuple(range(count))


@implements(np.dot)
def dot(x: Any, y: Any, /) -> Tensor:
    """Multiply as `numpy.dot`: the last axis of `x` with the last but one of `y`.

    Parameters
    ----------
    x, y : array_like
        Inputs. Vectors give their inner product, matrices the matrix product, scalars multiply.

    Returns
    -------
    Tensor
        The axes that `x` keeps, then those that `y` keeps.

    Raises
    ------
    ShapeError
        The inner dimensions do not meet.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.dot([1.0, 2.0], [3.0, 4.0])
    Tensor(11.)
    """
    x, y = convert(x), convert(y)
    if not x.ndim or not y.ndim:
        return x * y
    if y.ndim <= 2:
        return matmul(x, y)
    if x.shape[-1] != y.shape[-2]:
        raise ShapeError(f"dot: the inner dimensions do not meet: {x.shape} and {y.shape}\n  at {user_line()}")
    return _tensordot(x, y, axes=((x.ndim - 1,), (y.ndim - 2,)))


@implements(np.vdot)
def vdot(x: Any, y: Any, /) -> Tensor:
    """Return the inner product of two arrays taken as vectors; `x` is conjugated.

    Parameters
    ----------
    x, y : array_like
        Of equal size.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    ShapeError
        The sizes differ.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.vdot([1j, 2.0], [1j, 1.0])
    Tensor(3.+0.j)
    """
    x, y = convert(x), convert(y)
    if x.size != y.size:
        raise ShapeError(f"vdot: expected equal sizes, got shapes {x.shape} and {y.shape}\n  at {user_line()}")
    return matmul(_conjugate(x).reshape((x.size,)), y.reshape((y.size,)))


def _conjugate(x: Tensor) -> Tensor:
    return x.conj() if x.dtype.kind == "c" else x


@implements(np.vecdot)
def vecdot(x: Any, y: Any, /, axis: int = -1) -> Tensor:
    """Return the inner products of vectors; `x` is conjugated.

    Parameters
    ----------
    x, y : array_like
        Vectors along `axis`; the other axes broadcast.
    axis : int
        The axis of the vectors, counted in both before they broadcast.

    Returns
    -------
    Tensor
        One value for each pair of vectors.

    Raises
    ------
    ShapeError
        The vectors differ in length, the other axes do not broadcast, or the axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.vecdot([[1.0, 2.0], [3.0, 4.0]], [1.0, 10.0])
    Tensor([21., 43.])
    """
    x, y = convert(x), convert(y)
    first, second = one_axis(axis, x.ndim, "vecdot"), one_axis(axis, y.ndim, "vecdot")
    if x.shape[first] != y.shape[second]:
        raise ShapeError(
            f"vecdot: the vectors differ in length: axis {axis} of {x.shape} and of {y.shape}\n  at {user_line()}"
        )
    x = _conjugate(x)
    if x.ndim == 1 and y.ndim == 1:
        return matmul(x, y)
    product = _last(x, first) * _last(y, second)
    return product.sum(axis=-1, dtype=product.dtype)


def _last(x: Tensor, axis: int) -> Tensor:
    """Move an axis to the end."""
    if axis == x.ndim - 1:
        return x
    return x.transpose((*[item for item in range(x.ndim) if item != axis], axis))


@implements(np.inner)
def inner(x: Any, y: Any, /) -> Tensor:
    """Sum the products over the last axis of both arrays, as `numpy.inner`; nothing is conjugated.

    Parameters
    ----------
    x, y : array_like
        With last axes of equal length; scalars multiply.

    Returns
    -------
    Tensor
        Of shape ``x.shape[:-1] + y.shape[:-1]``.

    Raises
    ------
    ShapeError
        The last axes differ in length.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.inner([1.0, 2.0], [[3.0, 4.0], [5.0, 6.0]])
    Tensor([11., 17.])
    """
    x, y = convert(x), convert(y)
    if not x.ndim or not y.ndim:
        return x * y
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(f"inner: the last axes differ in length: {x.shape} and {y.shape}\n  at {user_line()}")
    if x.ndim == 1 and y.ndim == 1:
        return matmul(x, y)
    return _tensordot(x, y, axes=((x.ndim - 1,), (y.ndim - 1,)))


@implements(np.outer, np.linalg.outer)
def outer(x: Any, y: Any, /) -> Tensor:
    """Multiply every element of `x` with every element of `y`.

    Parameters
    ----------
    x, y : array_like
        Vectors; arrays of more axes are flattened.

    Returns
    -------
    Tensor
        Of shape ``(x.size, y.size)``.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.outer([1.0, 2.0], [3.0, 4.0])
    Tensor([[3., 4.],
            [6., 8.]])
    """
    x, y = convert(x), convert(y)
    return x.reshape((x.size, 1)) * y.reshape((1, y.size))
