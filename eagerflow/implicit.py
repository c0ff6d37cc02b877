"""Implicit differentiation: derivatives of roots and fixed points, however these were found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optree

from eagerflow.core import Tensor, alias, convert, is_inexact
from eagerflow.core.explain import user_line
from eagerflow.core.record import active
from eagerflow.core.traced import innermost, levels
from eagerflow.errors import DTypeError, GradientError, ShapeError
from eagerflow.gradients import Function
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.implicit import matrix_of, root
from eagerflow.ops.linear_algebra.systems import solve as solve_matrix

LinearSolver = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]


def custom_root(f: Function, guess: Any, solve: Function, *args: Any, linear_solve: LinearSolver | None = None) -> Any:
    """Return x with ``f(x, *args) = 0``, differentiable in `args` however `solve` finds it.

    Parameters
    ----------
    f : callable
        ``f(x, *args)``, in the structure and shapes of x; zero at the solution. All that it depends on and that
        is differentiated is among `args`.
    guess : pytree of array_like
        Where to start; real or complex floating point. Its structure, shapes and dtypes are those of x.
    solve : callable
        ``solve(f, guess, *args)`` returns x: a loop of Newton steps, SciPy, anything. What it does is not
        differentiated and need not be differentiable; its Tensors hold plain values.
    *args : pytree of array_like
        What x depends on.
    linear_solve : callable, optional
        ``linear_solve(matvec, b)`` returns z with ``matvec(z) = b``, for vectors: the unknowns, one after another. It
        is called with the Jacobian of f in x, or its transpose. Otherwise the matrix is formed and solved densely.

    Returns
    -------
    pytree of Tensor
        The solution.

    Raises
    ------
    ShapeError
        `solve` or `f` returns another structure or other shapes than those of `guess`.
    DTypeError
        `guess` is of integers.
    GradientError
        `f` uses a watched Tensor or a trainable Variable that is not among `args`.
    numpy.linalg.LinAlgError
        In the derivative: the Jacobian of f is singular at the solution.

    Notes
    -----
    By the implicit function theorem ``dx = -(∂f/∂x)⁻¹ ∂f/∂args dargs``: a derivative costs one linear system, and
    nothing of the iteration is kept. It is as exact as the solution, to any order, in reverse and in forward mode. With
    `vmap` the solver runs example by example.

    References
    ----------
    M. Blondel et al., "Efficient and modular implicit differentiation", 2022.

    Examples
    --------
    >>> import eagerflow as ef
    >>> def bisect(f, guess, a):
    ...     low, high = ef.asarray(0.0), a + 1
    ...     for _ in range(60):
    ...         middle = (low + high) / 2
    ...         low, high = (middle, high) if f(middle, a) < 0 else (low, middle)
    ...     return middle
    >>> ef.grad(lambda a: ef.custom_root(lambda x, a: x * x - a, 1.0, bisect, a))(4.0)
    Tensor(0.25)
    """
    unknowns = _Tree(guess, "custom_root: guess")
    leaves: list[Any]
    given: Any = args
    leaves, structure = optree.tree_flatten(given)
    tensors = [convert(leaf) for leaf in leaves]
    moving = [i for i, tensor in enumerate(tensors) if is_inexact(tensor.dtype)]
    parameters = _Tree([tensors[i] for i in moving], "custom_root: args")

    def arguments(theta: Tensor) -> Any:
        replaced = list(tensors)
        for i, value in zip(moving, parameters.unflatten(theta), strict=True):
            replaced[i] = value
        return structure.unflatten(replaced)

    def equation(x: Tensor, theta: Tensor) -> Tensor:
        return unknowns.flatten(f(unknowns.unflatten(x), *arguments(theta)), "what f returns")

    def solver(theta: Tensor, start: Tensor) -> Tensor:
        return unknowns.flatten(solve(f, unknowns.unflatten(start), *arguments(theta)), "what solve returns")

    found = root(parameters.vector, unknowns.vector, equation=equation, solver=solver, linear=linear_solve or _dense)
    _check_closed(equation, found, parameters.vector)
    return unknowns.unflatten(found)


def custom_fixed_point(
    f: Function, guess: Any, solve: Function, *args: Any, linear_solve: LinearSolver | None = None
) -> Any:
    """Return x with ``x = f(x, *args)``, differentiable in `args` however `solve` finds it.

    Parameters
    ----------
    f : callable
        ``f(x, *args)``, in the structure and shapes of x.
    guess, solve, linear_solve
        As for `custom_root`; ``solve(f, guess, *args)`` gets this `f`.
    *args : pytree of array_like
        What x depends on.

    Returns
    -------
    pytree of Tensor
        The fixed point.

    Raises
    ------
    ShapeError, DTypeError, GradientError, numpy.linalg.LinAlgError
        As `custom_root`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> def iterate(f, x, a):
    ...     for _ in range(100):
    ...         x = f(x, a)
    ...     return x
    >>> ef.grad(lambda a: ef.custom_fixed_point(lambda x, a: ef.cos(a * x), 0.5, iterate, a))(1.0)
    Tensor(-0.29747434)
    """

    def residual(x: Any, *args: Any) -> Any:
        return optree.tree_map(lambda new, old: new - old, f(x, *args), x)

    def solver(_: Function, start: Any, *args: Any) -> Any:
        return solve(f, start, *args)

    return custom_root(residual, guess, solver, *args, linear_solve=linear_solve)


class _Tree:
    """A pytree of arrays, and its values as one vector."""

    def __init__(self, tree: Any, what: str) -> None:
        leaves, self.structure = optree.tree_flatten(tree)
        tensors = [convert(leaf) for leaf in leaves]
        for tensor in tensors:
            if not is_inexact(tensor.dtype):
                raise DTypeError(
                    f"{what} has dtype {tensor.dtype}; a solution is of floating-point or complex numbers: "
                    f"write 1.0 for 1\n  at {user_line()}"
                )
        self.shapes = [tensor.shape for tensor in tensors]
        self.dtypes = [tensor.dtype for tensor in tensors]
        self.ends = np.cumsum([tensor.size for tensor in tensors], dtype=int).tolist()
        self.vector = _joined(tensors)

    def unflatten(self, vector: Tensor) -> Any:
        """Return the tree of a vector."""
        parts = zip([0, *self.ends], self.ends, self.shapes, self.dtypes, strict=False)
        return self.structure.unflatten([_part(vector[a:b].reshape(shape), dtype) for a, b, shape, dtype in parts])

    def flatten(self, tree: Any, what: str) -> Tensor:
        """Return the vector of a tree."""
        try:
            leaves = [convert(leaf) for leaf in self.structure.flatten_up_to(tree)]
        except ValueError as error:
            raise ShapeError(f"custom_root: {what} has another structure than guess: {error}") from None
        for leaf, shape in zip(leaves, self.shapes, strict=True):
            if leaf.shape != shape:
                raise ShapeError(f"custom_root: {what} has shape {leaf.shape}, guess {shape}\n  at {user_line()}")
        return _joined(leaves).astype(self.vector.dtype)


def _part(value: Tensor, dtype: Any) -> Tensor:
    if value.dtype.kind == "c" and dtype.kind != "c":
        value = value.real
    return value.astype(dtype)


def _joined(tensors: list[Tensor]) -> Tensor:
    return concat([tensor.reshape(-1) for tensor in tensors]) if tensors else convert(np.zeros(0))


def _check_closed(equation: Callable[[Tensor, Tensor], Tensor], x: Tensor, theta: Tensor) -> None:
    """Raise where the equation depends on something that is followed but was not handed to it."""
    if not active.get() and not levels.get():
        return
    value = equation(alias(x), alias(theta))
    if value._rec is not None or (innermost([value]) is not None and innermost([x, theta]) is None):
        raise GradientError(
            "custom_root: f uses a Tensor that is differentiated, or a trainable Variable, that is not among args; "
            f"pass it as one\n  at {user_line()}"
        )


def _dense(matvec: Callable[[Tensor], Tensor], b: Tensor) -> Tensor:
    return solve_matrix(matrix_of(matvec, b), b)
