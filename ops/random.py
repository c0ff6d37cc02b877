"""Random draws from a counter-based generator.

Every draw is an op whose result is a function of two attributes: the key, which stands for
the seed, and the counter, which numbers the draws of a `Generator`. What ran before, the thread
and the device make no difference.

The bits are those of Philox 4x64 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011) in NumPy's implementation, on the host for every kind of device.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import numpy as np

from eagerflow import devices
from eagerflow.core import ArrayMethods, Op, Tensor, convert, default_dtype, is_inexact
from eagerflow.core.dims import Dim, broadcast_shapes, index
from eagerflow.core.explain import user_line
from eagerflow.core.traced import capturing
from eagerflow.errors import ArgumentError, CaptureError, DTypeError, ShapeError
from eagerflow.ops.arrays.conversion import check_dtype
from eagerflow.ops.axes import one_axis
from eagerflow.ops.checked import integer, number, sequence
from eagerflow.ops.elementwise.comparison import less
from eagerflow.ops.random_draws import (
    exponential_op,
    gumbel_op,
    integers_op,
    mask_op,
    normal_op,
    permutation_op,
    uniform_op,
)

__all__ = ["Generator"]


class Generator:
    """A stream of random draws: each gets the next counter, so equal seeds give equal streams.

    The functions of `eagerflow.random` are the methods of one Generator that everybody shares.
    It may be used from several threads: no counter is given out twice.

    Parameters
    ----------
    seed : int, optional
        0 or more; from the operating system's entropy if not given.

    Raises
    ------
    DTypeError
        The seed is no integer of 0 or more.

    Examples
    --------
    >>> import eagerflow as ef
    >>> a, b = ef.random.Generator(7), ef.random.Generator(7)
    >>> bool(a.normal() == b.normal())
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        self._lock = threading.Lock()
        # What a captured function makes for itself, with a seed, starts anew in every run.
        self._capture = None if seed is None else capturing.get()
        self.seed(seed)

    def seed(self, seed: int | None = None) -> None:
        """Start anew from `seed`.

        Parameters
        ----------
        seed : int, optional
            0 or more; from the operating system's entropy if not given.

        Raises
        ------
        DTypeError
            The seed is no integer of 0 or more.

        Examples
        --------
        >>> import eagerflow as ef
        >>> ef.random.seed(1)
        >>> x = ef.random.uniform()
        >>> ef.random.seed(1)
        >>> bool(x == ef.random.uniform())
        True
        """
        capture = capturing.get()
        if capture is not None and capture is not self._capture:
            raise CaptureError(
                f"seed: {capture.name} would seed the generator once, while it is captured, and not in every run; "
                f"seed it outside, or make an ef.random.Generator(seed) in the function\n  at {user_line()}"
            )
        if seed is None:
            # Nothing to spread over the bits; `numpy.random` is loaded with the first draw or seed.
            first, second = np.frombuffer(os.urandom(16), np.uint64)
        elif isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise DTypeError(f"seed: expected an integer of 0 or more, got {seed!r}")
        else:
            first, second = np.random.SeedSequence(int(seed)).generate_state(2, np.uint64)
        with self._lock:
            self._key = (int(first), int(second))
            self._counter = 0

    @property
    def state(self) -> tuple[int, int, int]:
        """Key and counter; assigning them back goes back to that draw."""
        with self._lock:
            return (*self._key, self._counter)

    @state.setter
    def state(self, state: tuple[int, int, int]) -> None:
        first, second, counter = map(int, state)
        with self._lock:
            self._key = (first, second)
            self._counter = counter

    def _take(self) -> dict[str, Any]:
        """Return the attributes of the next draw."""
        capture = capturing.get()
        if capture is not None and capture is not self._capture:
            return capture.draw(self)
        with self._lock:
            counter = self._counter
            self._counter = counter + 1
            return {"key": self._key, "counter": counter}

    def take(self, count: int) -> tuple[tuple[int, int], int]:
        """Take the counters of the next `count` draws.

        Parameters
        ----------
        count : int
            How many.

        Returns
        -------
        key : tuple of int
            What stands for the seed.
        counter : int
            The first counter.

        Examples
        --------
        >>> import eagerflow as ef
        >>> ef.random.Generator(7).take(3)[1]
        0
        """
        with self._lock:
            counter = self._counter
            self._counter = counter + count
            return self._key, counter

    def __getstate__(self) -> tuple[int, int, int]:
        return self.state

    def __setstate__(self, state: tuple[int, int, int]) -> None:
        self._lock = threading.Lock()
        self._capture = None
        self.state = state

    def __repr__(self) -> str:
        return f"Generator(key={self._key}, counter={self._counter})"

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None, dtype: Any = None) -> Tensor:
        """Draw from the uniform distribution over ``[low, high)``.

        Parameters
        ----------
        low, high : array_like
            Bounds; gradients flow through them.
        size : int or tuple of int, optional
            Shape of the result; that of the bounds if not given.
        dtype : dtype, optional
            A real floating-point dtype; that of the bounds, or the default one.

        Returns
        -------
        Tensor
            The draw. Where ``high - low`` is not 1, rounding may give `high` itself.

        Examples
        --------
        >>> import eagerflow as ef
        >>> ef.random.uniform(-1, 1, size=(2, 3), dtype=ef.float32).shape
        (2, 3)
        """
        shape, dtype, device = _resolve("uniform", (low, high), size, dtype)
        drawn = self._draw(uniform_op, device, shape=shape, dtype=dtype)
        if not _is(high, 1) or not _is(low, 0):
            low, high = _cast(low, dtype), _cast(high, dtype)
            drawn = drawn * (high - low)
        return drawn if _is(low, 0) else drawn + low

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None, dtype: Any = None) -> Tensor:
        """Draw from the normal distribution.

        Parameters
        ----------
        loc, scale : array_like
            Mean and standard deviation; gradients flow through them.
        size : int or tuple of int, optional
            Shape of the result; that of the parameters if not given.
        dtype : dtype, optional
            A real floating-point dtype; that of the parameters, or the default one.

        Returns
        -------
        Tensor
            The draw.

        Examples
        --------
        >>> import eagerflow as ef
        >>> mean = ef.asarray(2.0)
        >>> with ef.GradientTape() as tape:
        ...     tape.watch(mean)
        ...     x = ef.random.normal(mean, 0.1)
        >>> tape.gradient(x, mean)
        Tensor(1.)
        """
        shape, dtype, device = _resolve("normal", (loc, scale), size, dtype)
        drawn = self._draw(normal_op, device, shape=shape, dtype=dtype)
        if not _is(scale, 1):
            drawn = drawn * _cast(scale, dtype)
        return drawn if _is(loc, 0) else drawn + _cast(loc, dtype)

    def exponential(self, scale: Any = 1.0, size: Any = None, dtype: Any = None) -> Tensor:
        """Draw from the exponential distribution.

        Parameters
        ----------
        scale : array_like
            Mean; gradients flow through it.
        size : int or tuple of int, optional
            Shape of the result; that of `scale` if not given.
        dtype : dtype, optional
            A real floating-point dtype; that of `scale`, or the default one.

        Returns
        -------
        Tensor
            The draw.

        Examples
        --------
        >>> import eagerflow as ef
        >>> bool(ef.all(ef.random.exponential(size=5) >= 0))
        True
        """
        shape, dtype, device = _resolve("exponential", (scale,), size, dtype)
        drawn = self._draw(exponential_op, device, shape=shape, dtype=dtype)
        return drawn if _is(scale, 1) else drawn * _cast(scale, dtype)

    def bernoulli(self, p: Any = 0.5, size: Any = None) -> Tensor:
        """Draw True with probability `p`.

        Parameters
        ----------
        p : array_like
            Probability of True, from 0 to 1.
        size : int or tuple of int, optional
            Shape of the result; that of `p` if not given.

        Returns
        -------
        Tensor
            The draw, of dtype bool.

        Examples
        --------
        >>> import eagerflow as ef
        >>> ef.random.bernoulli(1.0, size=3)
        Tensor([ True,  True,  True])
        """
        shape, dtype, device = _resolve("bernoulli", (p,), size, None)
        return less(self._draw(uniform_op, device, shape=shape, dtype=dtype), p)

    def categorical(self, logits: Any, size: Any = None, axis: int = -1) -> Tensor:
        """Draw indices with probability ``softmax(logits)``.

        Parameters
        ----------
        logits : array_like
            Logarithms of the probabilities, up to a constant; -inf for never.
        size : int or tuple of int, optional
            Shape of the independent draws from each distribution, which comes first in the result.
        axis : int
            The axis of `logits` along which the categories lie.

        Returns
        -------
        Tensor
            Indices of dtype int64; of shape `size` followed by that of `logits` without `axis`.

        Raises
        ------
        ShapeError
            There is no such axis, or nothing along it.

        Examples
        --------
        >>> import eagerflow as ef
        >>> ef.random.categorical([0.0, -ef.inf], size=4)
        Tensor([0, 0, 0, 0])
        """
        logits = convert(logits)
        axis = one_axis(axis, logits.ndim, "categorical")
        if not logits.shape[axis]:
            raise ShapeError(f"categorical: expected categories along axis {axis}, got logits of shape {logits.shape}")
        dtype = logits.dtype if is_inexact(logits.dtype) else default_dtype()
        shape = (*_shape("categorical", size), *logits.shape)
        # The largest of logits plus Gumbel noise is distributed so (Gumbel, 1954; the "Gumbel-max trick").
        noise = self._draw(gumbel_op, logits.device, shape=shape, dtype=dtype)
        return (logits + noise).argmax(axis=axis - logits.ndim)

    def integers(self, low: int, high: int | None = None, size: Any = None, dtype: Any = np.int64) -> Tensor:
        """Draw integers from ``[low, high)``, or from ``[0, low)`` where `high` is not given.

        Parameters
        ----------
        low, high : int
            Bounds.
        size : int or tuple of int, optional
            Shape of the result.
        dtype : dtype
            An integer dtype.

        Returns
        -------
        Tensor
            The draw.

        Raises
        ------
        ArgumentError
            The interval is empty.

        Examples
        --------
        >>> import eagerflow as ef
        >>> bool(ef.random.integers(5) < 5)
        True
        """
        low = integer(low, "integers", "low")
        low, high = (0, low) if high is None else (low, integer(high, "integers", "high"))
        wanted = check_dtype(dtype, "integers")
        if wanted.kind not in "iu":
            raise DTypeError(f"integers: expected an integer dtype, got {wanted}")
        if low >= high:
            raise ArgumentError(f"integers: expected low < high, got the empty interval [{low}, {high})")
        shape = _shape("integers", size)
        return self._draw(integers_op, None, low=low, high=high, shape=shape, dtype=wanted)

    def permutation(self, x: Any, axis: int = 0) -> Tensor:
        """Shuffle the integers below `x`, or `x` along an axis.

        Parameters
        ----------
        x : int or array_like
            How many integers, or what to shuffle; gradients flow through it.
        axis : int
            The axis along which slices change places.

        Returns
        -------
        Tensor
            A new Tensor.

        Raises
        ------
        ShapeError
            `x` has no such axis.

        Examples
        --------
        >>> import eagerflow as ef
        >>> sorted(ef.random.permutation(4).tolist())
        [0, 1, 2, 3]
        """
        if isinstance(x, int | np.integer):
            if x < 0:
                raise ShapeError(f"permutation: expected a count of 0 or more, got {x}")
            return self._draw(permutation_op, None, length=integer(x, "permutation", "x"))
        x = convert(x)
        axis = one_axis(axis, x.ndim, "permutation")
        return x.take(self._draw(permutation_op, x.device, length=x.shape[axis]), axis=axis)

    def dropout_mask(self, rate: float, size: Any, dtype: Any = None) -> Tensor:
        """Draw 0 with probability `rate`, and otherwise the number that makes the mean 1.

        Parameters
        ----------
        rate : float
            Between 0 and 1, both excluded; rounded to a multiple of 2**-16.
        size : int or tuple of int
            Shape of the result.
        dtype : dtype, optional
            A real floating-point dtype.

        Returns
        -------
        Tensor
            The draw.

        Raises
        ------
        ArgumentError
            The rate is out of range.
        DTypeError
            The dtype is not one of real floating-point numbers.

        Examples
        --------
        >>> import eagerflow as ef
        >>> sorted(set(ef.random.dropout_mask(0.5, 100).tolist()))
        [0.0, 2.0]
        """
        shape, dtype, _ = _resolve("dropout_mask", (), size, dtype)
        rate = float(number(rate, "dropout_mask", "rate"))
        if not 0 < rate < 1:
            raise ArgumentError(f"dropout_mask: expected a rate between 0 and 1, got {rate!r}")
        return self._draw(mask_op, None, rate=rate, shape=shape, dtype=dtype)

    def _draw(self, op: Op, device: Any, **attrs: Any) -> Tensor:
        if "dtype" in attrs:
            attrs["dtype"] = attrs["dtype"].name
        attrs = {**self._take(), **attrs}
        if device is None or device is devices.current():
            return op(**attrs)
        with devices.device(device):
            return op(**attrs)


def _is(value: Any, number: int) -> bool:
    return isinstance(value, int | float) and value == number


def _cast(value: Any, dtype: np.dtype[Any]) -> Any:
    return value if isinstance(value, int | float) else convert(value, dtype)


def _shape(name: str, size: Any) -> tuple[int, ...]:
    if size is None:
        return ()
    sizes = [size] if isinstance(size, int | np.integer | Dim) else sequence(size, name, "size")
    known = [n for n in sizes if not isinstance(n, Dim)]
    if any(isinstance(n, bool) or not isinstance(n, int | np.integer) or not 0 <= n <= sys.maxsize for n in known):
        raise ShapeError(f"{name}: size is an integer or a tuple of integers of 0 or more, got {size!r}")
    return tuple(index(n) for n in sizes)


def _resolve(name: str, parameters: tuple[Any, ...], size: Any, dtype: Any) -> tuple[Any, np.dtype[Any], Any]:
    """Return shape, dtype and device of a draw with these parameters."""
    # Plain numbers have no shape and no dtype of their own; what is no Tensor has no device.
    arrays: list[Any] = [
        p if isinstance(p, ArrayMethods) else convert(p).numpy() for p in parameters if not isinstance(p, int | float)
    ]
    try:
        shape = broadcast_shapes(*[p.shape for p in arrays])
    except ValueError:
        raise ShapeError(
            f"{name}: the parameters' shapes {' and '.join(str(p.shape) for p in arrays)} do not broadcast"
        ) from None
    if size is not None:
        given = _shape(name, size)
        try:
            fits = broadcast_shapes(given, shape) == given
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(f"{name}: parameters of shape {shape} do not broadcast to size {given}")
        shape = given
    if dtype is None:
        floats = [p.dtype for p in arrays if is_inexact(p.dtype)]
        wanted = np.result_type(*floats) if floats else default_dtype()
    else:
        wanted = check_dtype(dtype, name)
    if not is_inexact(wanted) or wanted.kind == "c":
        raise DTypeError(f"{name}: expected a real floating-point dtype, got {wanted}")
    tensors: list[Any] = [p for p in parameters if isinstance(p, ArrayMethods)]
    return shape, wanted, tensors[0].device if tensors else None
