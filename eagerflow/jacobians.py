"""Jacobians, Hessians, and products with a Hessian that is never formed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import optree

from eagerflow.core import Tensor, convert, zeros_like
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, GradientError, ShapeError
from eagerflow.gradients import Function, fresh, grad, jvp, vjp
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.arrays.transposition import moveaxis
from eagerflow.ops.checked import integer, sequence
from eagerflow.vectorize import vmap


def jacobian(
    f: Function, argnums: int = 0, mode: Literal["reverse", "forward"] = "reverse", chunk_size: int | None = None
) -> Function:
    """Return a function that gives the Jacobian of `f`.

    Parameters
    ----------
    f : callable
        Returns a pytree of Tensors of any shapes.
    argnums : int
        Which positional argument to differentiate; it may be a pytree of arrays.
    mode : {"reverse", "forward"}
        Row by row, which suits few outputs, or column by column, which suits few inputs.
    chunk_size : int, optional
        How many rows or columns to compute at once; all if not given. Fewer take less memory.

    Returns
    -------
    callable
        With the arguments of `f`; returns, for each output of shape o, the structure of the
        argument with, for each array of shape s, a Tensor of shape ``o + s``.

    Raises
    ------
    ArgumentError
        At the call: `argnums` names no argument; a `chunk_size` below 1, or an unknown `mode`, at once.
    DTypeError
        `argnums` or `chunk_size` is no integer.

    Notes
    -----
    For complex arguments a row is what `GradientTape.gradient` gives for the output's real part,
    conjugated, so that ``jacobian @ d`` is the derivative of a holomorphic function.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.jacobian(lambda x: x[:2] * x[1])(ef.asarray([1.0, 2.0, 3.0]))
    Tensor([[2., 1., 0.],
            [0., 4., 0.]])
    """
    argnums = integer(argnums, "jacobian", "argnums")
    if not isinstance(mode, str) or mode not in ("reverse", "forward"):
        raise ArgumentError(f"jacobian: mode is 'reverse' or 'forward', got {mode!r}\n  at {user_line()}")
    chunk_size = None if chunk_size is None else integer(chunk_size, "jacobian", "chunk_size")
    if chunk_size is not None and chunk_size < 1:
        raise ArgumentError(f"jacobian: chunk_size is 1 or more, got {chunk_size}\n  at {user_line()}")
    compute = _reverse if mode == "reverse" else _forward

    def call(*args: Any, **kwargs: Any) -> Any:
        if not -len(args) <= argnums < len(args):
            raise ArgumentError(f"jacobian: argnums names argument {argnums}, but the call has {len(args)}")
        position = argnums % len(args)

        def of_one(argument: Any) -> Any:
            return f(*args[:position], argument, *args[position + 1 :], **kwargs)

        return compute(of_one, args[position], chunk_size)

    return call


def _reverse(f: Function, argument: Any, chunk_size: int | None) -> Any:
    """Return the Jacobian of a function of one tree, from the gradients of all elements of its results."""
    out, vjp_fn = vjp(f, argument)
    outputs, structure = optree.tree_flatten(out)

    def rows_of(index: int) -> Any:
        output = outputs[index]

        def along(factor: complex) -> Any:
            def row(vector: Any) -> Any:
                zeros = [zeros_like(x) for x in outputs]
                return vjp_fn(optree.tree_unflatten(structure, [*zeros[:index], vector, *zeros[index + 1 :]]))[0]

            rows = in_chunks(row, basis(output, factor), chunk_size)
            return optree.tree_map(lambda x: _conj(x.reshape(output.shape + x.shape[1:])), rows)

        first = along(1)
        if output.dtype.kind != "c" or all(leaf.dtype.kind == "c" for leaf in optree.tree_leaves(first)):
            return first
        # A gradient with respect to real numbers is real: that of the imaginary part is another one.
        return optree.tree_map(lambda re, im: re if re.dtype.kind == "c" else re + im * 1j, first, along(1j))

    return optree.tree_unflatten(structure, [rows_of(index) for index in range(len(outputs))])


def _forward(f: Function, argument: Any, chunk_size: int | None) -> Any:
    """Return the Jacobian of a function of one tree, from its derivatives along all elements of the tree."""
    leaves, structure = optree.tree_flatten(argument)
    inputs = [fresh(leaf, "jacobian") for leaf in leaves]
    primal = structure.unflatten(inputs)

    def columns_of(index: int) -> Any:
        own = inputs[index]

        def column(vector: Any) -> Any:
            directions = [vector if i == index else None for i in range(len(inputs))]
            return _moved(f, primal, structure.unflatten(directions))

        columns = in_chunks(column, basis(own, 1), chunk_size)
        return optree.tree_map(
            lambda x: moveaxis(x.reshape(own.shape + x.shape[1:]), tuple(range(own.ndim)), tuple(range(-own.ndim, 0))),
            columns,
        )

    columns = [columns_of(index) for index in range(len(inputs))]
    return optree.tree_map(lambda *parts: structure.unflatten(parts), *columns)


def _moved(f: Function, primal: Any, direction: Any) -> Any:
    return jvp(f, (primal,), (direction,))[1]


def basis(like: Tensor, factor: complex) -> Tensor:
    """Return the unit vectors of the space of arrays like this one, times a factor, along a new first axis."""
    vectors = np.eye(like.size, dtype=like.dtype) * np.asarray(factor, like.dtype)
    return convert(vectors.reshape((like.size, *like.shape)), None, like.device)


def in_chunks(f: Function, vectors: Tensor, chunk_size: int | None) -> Any:
    """Return ``vmap(f)(vectors)``, some of the vectors at a time."""
    count = vectors.shape[0]
    if chunk_size is None or chunk_size >= count:
        return vmap(f)(vectors)
    parts = [vmap(f)(vectors[start : start + chunk_size]) for start in range(0, count, chunk_size)]
    return optree.tree_map(lambda *pieces: concat(pieces), *parts)


def _conj(x: Tensor) -> Tensor:
    return x.conj() if x.dtype.kind == "c" else x


def hessian(f: Function, argnums: int = 0, chunk_size: int | None = None) -> Function:
    """Return a function that gives the Hessian of a scalar `f`.

    Parameters
    ----------
    f : callable
        Returns a real scalar Tensor.
    argnums : int
        Which positional argument to differentiate.
    chunk_size : int, optional
        How many columns to compute at once; all if not given. Fewer take less memory.

    Returns
    -------
    callable
        With the arguments of `f`; for an argument of shape s a Tensor of shape ``s + s``.

    Raises
    ------
    GradientError
        At the call: an argument is complex. How the gradient of a real function changes with a complex
        argument is no complex matrix; `hvp` tells it for any direction.
    ArgumentError, DTypeError
        As `jacobian`.

    Notes
    -----
    The derivative of the gradient, forward over reverse, along all elements of the argument at once.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.hessian(lambda x: x[0] ** 2 * x[1])(ef.asarray([1.0, 2.0]))
    Tensor([[4., 2.],
            [2., 0.]])
    """
    argnums = integer(argnums, "hessian", "argnums")
    second = jacobian(grad(f, argnums), argnums, "forward", chunk_size)

    def call(*args: Any, **kwargs: Any) -> Any:
        if -len(args) <= argnums < len(args) and any(
            convert(x).dtype.kind == "c" for x in optree.tree_leaves(args[argnums])
        ):
            raise GradientError(
                "hessian: expected a real argument, got a complex one, for which no complex matrix is the Hessian; "
                f"use ef.hvp, or real and imaginary parts as arguments\n  at {user_line()}"
            )
        return second(*args, **kwargs)

    return call


def hvp(f: Function, primals: Sequence[Any], vectors: Sequence[Any]) -> Any:
    """Return the Hessian of a scalar `f` times vectors, without forming the Hessian.

    Parameters
    ----------
    f : callable
        Returns a real scalar Tensor.
    primals : sequence of pytree of array_like
        Its arguments.
    vectors : sequence of pytree of array_like
        In the structure and shapes of `primals`.

    Returns
    -------
    tuple
        One product for each primal.

    Notes
    -----
    The derivative of ``grad(f)`` along v, forward over reverse (B. Pearlmutter, "Fast exact multiplication by the
    Hessian", 1994): about twice the cost of a gradient.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.hvp(lambda x: ef.sum(x ** 3), [ef.asarray([1.0, 2.0])], [ef.asarray([1.0, 1.0])])
    (Tensor([ 6., 12.]),)
    """
    arguments: Any = tuple(sequence(primals, "hvp", "primals"))
    directions: Any = tuple(sequence(vectors, "hvp", "vectors"))
    gradient: Callable[..., Any] = grad(f, tuple(range(len(arguments))))
    try:
        structure = optree.tree_structure(arguments)
        given: list[Any] = structure.flatten_up_to(directions)
    except ValueError as error:
        raise ShapeError(f"hvp: the vectors have another structure than the primals: {error}") from None
    fixed = [convert(v) for v in given]
    for v, x in zip(fixed, optree.tree_leaves(arguments), strict=True):
        if v.shape != np.shape(x):
            raise ShapeError(f"hvp: a vector has shape {v.shape}, its primal {np.shape(x)}\n  at {user_line()}")

    along: Any = optree.tree_unflatten(structure, fixed)
    return tuple(jvp(gradient, arguments, along)[1])
