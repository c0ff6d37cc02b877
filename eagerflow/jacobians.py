"""Jacobians, Hessians, and products with a Hessian that is never formed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from eagerflow.core import Tensor, convert
from eagerflow.core.explain import user_line
from eagerflow.errors import GradientError, ShapeError
from eagerflow.gradients import Function, grad, vjp
from eagerflow.ops.joining import stack


def jacobian(f: Function, argnums: int = 0) -> Function:
    """Return a function that gives the Jacobian of `f`.

    Parameters
    ----------
    f : callable
        Returns a pytree of Tensors of any shapes.
    argnums : int
        Which positional argument to differentiate; it may be a pytree of arrays.

    Returns
    -------
    callable
        With the arguments of `f`; returns, for each output of shape o, the structure of the
        argument with, for each array of shape s, a Tensor of shape ``o + s``.

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

    def call(*args: Any, **kwargs: Any) -> Any:
        if not -len(args) <= argnums < len(args):
            raise ShapeError(f"jacobian: argnums names argument {argnums}, but the call has {len(args)}")
        position = argnums % len(args)

        def of_one(argument: Any) -> Any:
            return f(*args[:position], argument, *args[position + 1 :], **kwargs)

        out, vjp_fn = vjp(of_one, args[position])
        outputs, structure = optree.tree_flatten(out)

        def rows_of(index: int) -> Any:
            output = outputs[index]
            basis = np.eye(output.size, dtype=output.dtype).reshape((output.size, *output.shape))
            zeros = [np.zeros(other.shape, other.dtype) for other in outputs]

            def along(factor: complex) -> Any:
                rows = []
                for vector in basis * factor if output.size else np.zeros((1, *output.shape), output.dtype):
                    vectors = [vector if i == index else zero for i, zero in enumerate(zeros)]
                    rows.append(vjp_fn(optree.tree_unflatten(structure, vectors))[0])
                return optree.tree_map(lambda *row: _stack(row, output), *rows)

            first = along(1)
            if output.dtype.kind != "c" or all(leaf.dtype.kind == "c" for leaf in optree.tree_leaves(first)):
                return first
            # A gradient with respect to real numbers is real: that of the imaginary part is another one.
            return optree.tree_map(lambda re, im: re if re.dtype.kind == "c" else re + im * 1j, first, along(1j))

        return optree.tree_unflatten(structure, [rows_of(index) for index in range(len(outputs))])

    return call


def _stack(rows: Sequence[Tensor], output: Tensor) -> Tensor:
    stacked = stack(list(rows))[: output.size].reshape(output.shape + rows[0].shape)
    return stacked.conj() if stacked.dtype.kind == "c" else stacked


def hessian(f: Function, argnums: int = 0) -> Function:
    """Return a function that gives the Hessian of a scalar `f`.

    Parameters
    ----------
    f : callable
        Returns a real scalar Tensor.
    argnums : int
        Which positional argument to differentiate.

    Returns
    -------
    callable
        With the arguments of `f`; for an argument of shape s a Tensor of shape ``s + s``.

    Raises
    ------
    GradientError
        At the call: an argument is complex. How the gradient of a real function changes with a complex
        argument is no complex matrix; `hvp` tells it for any direction.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.hessian(lambda x: x[0] ** 2 * x[1])(ef.asarray([1.0, 2.0]))
    Tensor([[4., 2.],
            [2., 0.]])
    """
    second = jacobian(grad(f, argnums), argnums)

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
    The gradient of ``grad(f) · v`` (B. Pearlmutter, "Fast exact multiplication by the
    Hessian", 1994): about twice the cost of a gradient.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.hvp(lambda x: ef.sum(x ** 3), [ef.asarray([1.0, 2.0])], [ef.asarray([1.0, 1.0])])
    (Tensor([ 6., 12.]),)
    """
    numbers = tuple(range(len(primals)))
    gradient: Callable[..., Any] = grad(f, numbers)
    arguments: Any = tuple(primals)
    try:
        directions: Any = tuple(vectors)
        given: list[Any] = optree.tree_structure(arguments).flatten_up_to(directions)
    except ValueError as error:
        raise ShapeError(f"hvp: the vectors have another structure than the primals: {error}") from None
    fixed = [convert(v) for v in given]
    for v, x in zip(fixed, optree.tree_leaves(arguments), strict=True):
        if v.shape != np.shape(x):
            raise ShapeError(f"hvp: a vector has shape {v.shape}, its primal {np.shape(x)}\n  at {user_line()}")

    def slope(*args: Any) -> Tensor:
        total: Any = 0.0
        for g, v in zip(optree.tree_leaves(gradient(*args)), fixed, strict=True):
            product = (g * v.conj()).real if g.dtype.kind == "c" else g * v
            total = total + product.sum()
        return total

    result: tuple[Any, ...] = grad(slope, numbers)(*primals)
    return result
