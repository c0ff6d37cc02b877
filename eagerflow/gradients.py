"""Derivatives of functions: grad, value_and_grad, vjp, jvp and linearize, over any pytree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from eagerflow.core import ArrayMethods, GradientTape, Tensor, Variable, alias, convert, is_inexact, zeros_like
from eagerflow.core.explain import user_line
from eagerflow.core.forward import ForwardLevel
from eagerflow.errors import ArgumentError, DTypeError, GradientError, ShapeError
from eagerflow.ops.arrays.conversion import identity
from eagerflow.ops.checked import flag, integer, sequence

Function = Callable[..., Any]


def fresh(value: Any, what: str) -> Tensor:
    """Return a handle of our own on a leaf of an argument, connected to tapes that follow it.

    Raises
    ------
    GradientError
        The leaf is an integer or boolean.
    """
    tensor = convert(value)
    if not is_inexact(tensor.dtype):
        hint = f"; write {float(value)!r}" if isinstance(value, int) and not isinstance(value, bool) else ""
        raise GradientError(
            f"{what}: an argument has dtype {tensor.dtype}; gradients exist for floating-point and complex "
            f"dtypes only{hint}\n  at {user_line()}"
        )
    if tensor._rec is not None:
        return identity(tensor)
    return alias(tensor)


def _fresh_arguments(args: tuple[Any, ...], argnums: Sequence[int], what: str) -> tuple[list[Any], list[Any]]:
    """Return the arguments with those to differentiate replaced by handles of our own, and these."""
    replaced = list(args)
    chosen = []
    for position in argnums:
        if not -len(args) <= position < len(args):
            raise ArgumentError(f"{what}: argnums names argument {position}, but the call has {len(args)}")
        replaced[position] = optree.tree_map(lambda leaf: _fresh_leaf(leaf, what), args[position])
        chosen.append(replaced[position])
    return replaced, chosen


def _fresh_leaf(value: Any, what: str) -> Any:
    # A counter within a Module is no reason to refuse the Module; it stays as it is.
    counts = isinstance(value, Variable) and not value.trainable and not is_inexact(value.dtype)
    return value if counts else fresh(value, what)


def _gradients(tape: GradientTape, target: Any, chosen: list[Any], weights: Any = None) -> list[Any]:
    """Return the gradient of each of the `chosen` trees, zero where the target does not depend on a leaf."""
    tree: Any = chosen
    leaves: list[Any]
    leaves, structure = optree.tree_flatten(tree)
    rest = iter(tape.gradient(target, _handles(chosen), weights, unconnected="zero"))
    every: Any = [next(rest) if isinstance(leaf, Tensor) else leaf._read() * 0 for leaf in leaves]
    gradients: Any = optree.tree_unflatten(structure, every)
    return list(gradients)


def _handles(chosen: Any) -> list[Tensor]:
    return [leaf for leaf in optree.tree_leaves(chosen) if isinstance(leaf, Tensor)]


def _scalar(value: Any, what: str) -> Tensor:
    if not isinstance(value, ArrayMethods):
        raise DTypeError(
            f"{what}: the function must return a Tensor, got {type(value).__name__}; "
            f"does it depend on its argument?\n  at {user_line()}"
        )
    result = value._read()
    if result.shape != ():
        raise GradientError(
            f"{what}: the function must return a scalar, got shape {result.shape}; "
            f"use ef.sum, or ef.jacobian for all elements\n  at {user_line()}"
        )
    if not is_inexact(result.dtype) or result.dtype.kind == "c":
        raise GradientError(
            f"{what}: the function must return a real floating-point scalar, got dtype {result.dtype}\n"
            f"  at {user_line()}"
        )
    return result


def _pair(result: Any) -> Any:
    if isinstance(result, tuple | list) and len(result) == 2:
        return result
    raise DTypeError(
        f"grad: with has_aux the function must return a pair (value, aux), got {type(result).__name__}\n"
        f"  at {user_line()}"
    )


def _numbers(argnums: Any) -> tuple[int, ...]:
    several = [argnums] if isinstance(argnums, int | np.integer) else sequence(argnums, "grad", "argnums")
    return tuple(integer(position, "grad", "argnums") for position in several)


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """Return a function that gives the value of `f` and its gradient.

    Parameters
    ----------
    f : callable
        Returns a real scalar Tensor; with `has_aux` a pair of it and anything else.
    argnums : int or sequence of int
        Which positional arguments to differentiate; each may be a pytree of arrays.
    has_aux : bool
        Whether `f` returns a pair ``(value, aux)``.

    Returns
    -------
    callable
        With the arguments of `f`; returns ``(value, gradient)``, or ``((value, aux), gradient)``.
        The gradient has the structure of the argument; for a sequence of `argnums` it is a tuple.
        An argument that the value does not depend on has gradient zero.

    Raises
    ------
    GradientError
        At the call: the value is no real scalar, or an argument is an integer.
    ArgumentError
        At the call: `argnums` names no argument.
    DTypeError
        `argnums` holds something else than integers; at the call: `f` does not return what it must.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.value_and_grad(lambda x: ef.sum(x ** 2))(ef.asarray([1.0, 2.0]))
    (Tensor(5.), Tensor([2., 4.]))
    """
    numbers, has_aux = _numbers(argnums), flag(has_aux, "grad", "has_aux")

    def call(*args: Any, **kwargs: Any) -> Any:
        replaced, chosen = _fresh_arguments(args, numbers, "grad")
        with GradientTape() as tape:
            tape.watch(_handles(chosen))
            result = f(*replaced, **kwargs)
            aux = None
            if has_aux:
                result, aux = _pair(result)
            value = _scalar(result, "grad")
        gradients = _gradients(tape, value, chosen)
        gradient = gradients[0] if isinstance(argnums, int | np.integer) else tuple(gradients)
        return ((value, aux) if has_aux else value), gradient

    return call


def grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """Return a function that gives the gradient of `f`; see `value_and_grad`.

    Parameters
    ----------
    f : callable
        Returns a real scalar Tensor; with `has_aux` a pair of it and anything else.
    argnums : int or sequence of int
        Which positional arguments to differentiate.
    has_aux : bool
        Whether `f` returns a pair ``(value, aux)``; the result is then ``(gradient, aux)``.

    Returns
    -------
    callable
        With the arguments of `f`.

    Raises
    ------
    GradientError, ArgumentError, DTypeError
        As `value_and_grad`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> import numpy as np
    >>> ef.grad(lambda x: np.tanh(x) * x)(1.0)
    Tensor(1.1815685)
    >>> ef.grad(ef.grad(lambda x: x ** 3))(2.0)
    Tensor(12.)
    """
    both = value_and_grad(f, argnums, has_aux)

    def call(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return call


def vjp(f: Function, *primals: Any) -> tuple[Any, Function]:
    """Return ``f(*primals)`` and a function that multiplies vectors with its Jacobian from the left.

    Parameters
    ----------
    f : callable
        Returns a pytree of Tensors.
    *primals : pytree of array_like
        Its arguments.

    Returns
    -------
    out : pytree of Tensor
        ``f(*primals)``.
    vjp_fn : callable
        Takes a pytree like `out`, and returns a tuple with one gradient for each primal. It may
        be called any number of times.

    Examples
    --------
    >>> import eagerflow as ef
    >>> out, vjp_fn = ef.vjp(lambda x: x ** 2, ef.asarray([1.0, 2.0]))
    >>> vjp_fn(ef.asarray([1.0, 10.0]))
    (Tensor([ 2., 40.]),)
    """
    replaced, chosen = _fresh_arguments(primals, range(len(primals)), "vjp")
    with GradientTape(persistent=True) as tape:
        tape.watch(_handles(chosen))
        out = f(*replaced)
    out = optree.tree_map(convert, out)

    def vjp_fn(vector: Any) -> tuple[Any, ...]:
        vectors = _like(vector, out, "vjp")
        return tuple(_gradients(tape, out, chosen, vectors))

    return out, vjp_fn


def _like(vector: Any, out: Any, what: str) -> Any:
    """Return `vector` as a tree of Tensors in the structure of `out`."""
    leaves, structure = optree.tree_flatten(out)
    try:
        given = structure.flatten_up_to(vector)
    except ValueError as error:
        raise ShapeError(f"{what}: the vector has another structure than expected: {error}") from None
    return optree.tree_unflatten(structure, [convert(v, None, x.device) for v, x in zip(given, leaves, strict=True)])


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Return ``f(*primals)`` and its derivative in the direction of `tangents`.

    Parameters
    ----------
    f : callable
        Returns a pytree of Tensors.
    primals : sequence of pytree of array_like
        Its arguments.
    tangents : sequence of pytree of array_like
        The direction, in the structure and shapes of `primals`.

    Returns
    -------
    out : pytree of Tensor
        ``f(*primals)``.
    tangent_out : pytree of Tensor
        The Jacobian times the tangents, in the structure of `out`.

    Notes
    -----
    Each op carries the tangents of its inputs to its result while it runs, by the forward rule in its declaration: one
    pass, and nothing is kept. Of a complex argument the tangent is a complex direction; a holomorphic function
    multiplies it by its derivative.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.jvp(lambda x: x ** 2, [ef.asarray([1.0, 2.0])], [ef.asarray([1.0, 10.0])])
    (Tensor([1., 4.]), Tensor([ 2., 40.]))
    """
    level, duals = _duals(primals, tangents)
    with level.running():
        out = f(*duals)
    leaves, structure = optree.tree_flatten(out)
    pairs = [level.split(convert(leaf)) for leaf in leaves]
    moved = [zeros_like(value) if tangent is None else tangent for value, tangent in pairs]
    return structure.unflatten([value for value, _ in pairs]), structure.unflatten(moved)


def _duals(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[ForwardLevel, Any]:
    """Return a level of forward mode, and the primals with their tangents at that level."""
    arguments: Any = tuple(sequence(primals, "jvp", "primals"))
    directions: Any = tuple(sequence(tangents, "jvp", "tangents"))
    if len(arguments) != len(directions):
        raise ShapeError(f"jvp: {len(arguments)} primals but {len(directions)} tangents")
    leaves, structure = optree.tree_flatten(arguments)
    try:
        given = structure.flatten_up_to(directions)
    except ValueError as error:
        raise ShapeError(f"jvp: the tangents have another structure than the primals: {error}") from None
    level = ForwardLevel()
    return level, structure.unflatten([_dual(level, x, t) for x, t in zip(leaves, given, strict=True)])


def _dual(level: ForwardLevel, primal: Any, tangent: Any) -> Any:
    value = convert(primal)
    if not is_inexact(value.dtype):
        # A counter or a label in an argument stays where it is.
        if tangent is not None and np.any(convert(tangent).numpy()):
            raise GradientError(
                f"jvp: a primal has dtype {value.dtype}, along which there is no direction but None or zeros"
                f"\n  at {user_line()}"
            )
        return value
    if tangent is None:
        return level.dual(value, None)
    t = convert(tangent, None, value.device)
    if t.shape != value.shape:
        raise ShapeError(f"jvp: a tangent has shape {t.shape}, its primal {value.shape}\n  at {user_line()}")
    if t.dtype.kind == "c" and value.dtype.kind != "c":
        raise DTypeError(f"jvp: a tangent has dtype {t.dtype}, its primal {value.dtype}\n  at {user_line()}")
    return level.dual(value, t if t.dtype == value.dtype else t.astype(value.dtype))


def linearize(f: Function, *primals: Any) -> tuple[Any, Function]:
    """Return ``f(*primals)`` and its derivative there, as a function of the direction.

    Parameters
    ----------
    f : callable
        Returns a pytree of Tensors.
    *primals : pytree of array_like
        Its arguments.

    Returns
    -------
    out : pytree of Tensor
        ``f(*primals)``.
    jvp_fn : callable
        Takes tangents like the primals, and returns the tangent of `out`. It may be called any number of times; `f` is
        not evaluated again.

    Notes
    -----
    The gradient of `f` is linear in the gradient of the result; its own gradient with respect to that is the
    Jacobian-vector product, of which everything that depends on the primals alone is computed once
    (J. Townsend, "A new trick for calculating Jacobian vector products", 2017).

    Examples
    --------
    >>> import eagerflow as ef
    >>> out, jvp_fn = ef.linearize(lambda x: x ** 2, ef.asarray([1.0, 2.0]))
    >>> jvp_fn(ef.asarray([1.0, 10.0]))
    Tensor([ 2., 40.])
    """
    out, vjp_fn = vjp(f, *primals)
    leaves, structure = optree.tree_flatten(out)
    seeds = [zeros_like(leaf) for leaf in leaves]
    with GradientTape(persistent=True) as tape:
        tape.watch([seed for seed in seeds if is_inexact(seed.dtype)])
        gradients = vjp_fn(structure.unflatten(seeds))
    inexact = [seed for seed in seeds if is_inexact(seed.dtype)]

    def jvp_fn(*tangents: Any) -> Any:
        if len(tangents) != len(primals):
            raise ShapeError(f"linearize: {len(primals)} primals but {len(tangents)} tangents")
        directions = _like(tuple(tangents), gradients, "linearize")
        pairs = list(zip(optree.tree_leaves(gradients), optree.tree_leaves(directions), strict=True))
        for gradient, tangent in pairs:
            if tangent.shape != gradient.shape:
                raise ShapeError(f"linearize: a tangent has shape {tangent.shape}, its primal {gradient.shape}")
        # A gradient on which the seeds have no influence is no function of them: leave it out.
        moving = [(g, t) for g, t in pairs if g._rec is not None]
        found = [None] * len(inexact)
        if moving:
            found = tape.gradient([g for g, _ in moving], inexact, [t for _, t in moving], unconnected="none")
        rest = iter(found)
        made = [next(rest) if is_inexact(seed.dtype) else None for seed in seeds]
        return structure.unflatten([zeros_like(x) if t is None else t for x, t in zip(leaves, made, strict=True)])

    return out, jvp_fn
