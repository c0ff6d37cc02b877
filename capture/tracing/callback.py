"""Callbacks: Python code and printing as ordered parts of a captured function."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from eagerflow.capture.graph import CALLBACK
from eagerflow.capture.tracing.signature import TensorSpec
from eagerflow.core import ArrayMethods, Tensor, convert
from eagerflow.core.explain import describe, user_line
from eagerflow.core.record import active
from eagerflow.core.spec import Spec
from eagerflow.core.traced import Traced, capturing
from eagerflow.errors import ArgumentError, CaptureError, DTypeError, ShapeError


def py_function(function: Callable[..., Any], inputs: Sequence[Any], outputs: Any = None) -> Any:
    """Call a Python function with the values of Tensors, also in a captured function, where it runs in every run.

    Callbacks run in the order of the program, with the reads and assignments of Variables around them. No gradient
    passes through one.

    Parameters
    ----------
    function : callable
        Takes a Tensor for each input, and returns what `outputs` says.
    inputs : sequence of array_like
        What it is called with.
    outputs : TensorSpec or sequence of TensorSpec, optional
        What it returns: one Tensor, or several. None: nothing.

    Returns
    -------
    Tensor, tuple of Tensor or None
        As `outputs` says.

    Raises
    ------
    ShapeError, DTypeError
        The function returns something else.

    Examples
    --------
    >>> import eagerflow as ef
    >>> seen = []
    >>> @ef.function
    ... def f(x):
    ...     ef.py_function(lambda t: seen.append(t.tolist()), [x])
    ...     return x * 2
    >>> f(ef.ones(2)), f(ef.zeros(2)), seen
    (Tensor([2., 2.]), Tensor([0., 0.]), [[1.0, 1.0], [0.0, 0.0]])
    """
    if isinstance(inputs, ArrayMethods) or not isinstance(inputs, list | tuple):
        raise ArgumentError(f"py_function: inputs is a list of Tensors, got {describe(inputs)}\n  at {user_line()}")
    specs = () if outputs is None else (outputs,) if isinstance(outputs, TensorSpec) else tuple(outputs)
    for spec in specs:
        if not isinstance(spec, TensorSpec) or None in spec.shape:
            raise ArgumentError(
                f"py_function: outputs holds a TensorSpec with all lengths for each result, got {describe(spec)}"
                f"\n  at {user_line()}"
            )
    name = getattr(function, "__name__", "function")

    def checked(*tensors: Tensor) -> list[Tensor]:
        return _results(name, function(*tensors), specs, single=isinstance(outputs, TensorSpec))

    tensors = [convert(x) for x in inputs]
    capture = capturing.get()
    if capture is not None:
        attrs = {"function": checked, "name": name}
        made = capture.callback(CALLBACK, tensors, attrs, [Spec(spec.shape, spec.dtype) for spec in specs])
    else:
        if any(isinstance(x, Traced) for x in tensors):
            raise CaptureError(
                f"py_function: {name} needs plain values, which vmap and forward mode do not have\n  at {user_line()}"
            )
        made = checked(*[_unrecorded(x) for x in tensors])
    if outputs is None:
        return None
    return made[0] if isinstance(outputs, TensorSpec) else tuple(made)


def _unrecorded(x: Tensor) -> Tensor:
    if x._rec is not None and active.get():
        return Tensor(x.numpy())
    return x


def _results(name: str, made: Any, specs: Sequence[TensorSpec], single: bool) -> list[Tensor]:
    """Return what a callback returned as Tensors that fit."""
    given = [] if not specs else [made] if single else list(made) if isinstance(made, tuple | list) else [made]
    if len(given) != len(specs):
        raise ShapeError(f"py_function: {name} returned {len(given)} results, expected {len(specs)}")
    found = []
    for x, spec in zip(given, specs, strict=True):
        tensor = convert(x)
        if tensor.dtype != spec.dtype and not np.can_cast(tensor.dtype, spec.dtype, "same_kind"):
            raise DTypeError(f"py_function: {name} returned dtype {tensor.dtype}, expected {spec.dtype}")
        if tensor.shape != spec.shape:
            raise ShapeError(f"py_function: {name} returned shape {tensor.shape}, expected {spec.shape}")
        found.append(tensor if tensor.dtype == spec.dtype else tensor.astype(spec.dtype))
    return found


def print(*values: Any, sep: str = " ", end: str = "\n") -> None:
    """Print values, also in a captured function, where it prints in every run.

    Parameters
    ----------
    *values
        Tensors, trees of Tensors, and anything else.
    sep, end : str
        Between the values, and after them.

    Examples
    --------
    >>> import eagerflow as ef
    >>> @ef.function
    ... def f(x):
    ...     ef.print("the sum is", ef.sum(x))
    ...     return x
    >>> _ = f(ef.ones(3))
    the sum is 3.0
    """
    leaves: list[Any]
    given: Any = list(values)
    leaves, structure = optree.tree_flatten(given, none_is_leaf=True)
    positions = [i for i, leaf in enumerate(leaves) if isinstance(leaf, ArrayMethods)]

    def show(*tensors: Tensor) -> None:
        filled = list(leaves)
        for position, tensor in zip(positions, tensors, strict=True):
            filled[position] = tensor
        builtins.print(*structure.unflatten(filled), sep=sep, end=end)  # noqa: T201 - it is what it is for

    py_function(show, [leaves[i] for i in positions])
