"""Linear systems: of general, triangular, symmetric and positive definite matrices.

Triangular matrices need no factorization. Symmetric ones are factored once: `factor_symmetric` makes what the
solution and its gradients of all orders share. In `solve_factored` the result depends on the matrix and the
right-hand side; the factors only say how to compute it, and have no gradient of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.dims import broadcast_shapes
from eagerflow.core.explain import user_line
from eagerflow.errors import ArgumentError, DTypeError, ShapeError
from eagerflow.ops.arrays.matrices import tril, triu
from eagerflow.ops.checked import guarded
from eagerflow.ops.cupy_functions import solve_stacks
from eagerflow.ops.linear_algebra.contraction import matmul
from eagerflow.ops.linear_algebra.solving import (
    SINGULAR,
    adjoint,
    conjugate,
    from_lower,
    hermitian,
    matrices,
    result_dtype,
    saying,
    solve_general,
)

__all__ = ["cho_solve", "solve", "solve_triangular"]

# Below this side NumPy's solver of all matrices at once is faster than LAPACK's own for each.
_SMALL = 48

NOT_POSITIVE = (
    "a matrix is not positive definite; adding a small multiple of the identity helps where only rounding is to blame"
)


def _lapack(*arrays: Any) -> Any:
    """Return `scipy.linalg` if it is installed, and its calls are worth it for matrices of this size."""
    if arrays[0].shape[-1] < _SMALL or any(array.dtype.char not in "fdFD" for array in arrays):
        return None
    try:
        import scipy.linalg
    except ImportError:
        return None
    return scipy.linalg


def _each(solver: Any, inputs: tuple[Any, ...], b: Any) -> Any:
    """Run a solver of one system on stacks of them; the arrays broadcast along all axes but the last two."""
    batch = np.broadcast_shapes(*[array.shape[:-2] for array in (*inputs, b)])
    if not batch:
        return solver(*inputs, b)
    spread = [np.broadcast_to(array, (*batch, *array.shape[-2:])) for array in (*inputs, b)]
    out = np.empty((*batch, *b.shape[-2:]), np.result_type(inputs[0].dtype, b.dtype))
    for index in np.ndindex(batch):
        out[index] = solver(*[array[index] for array in spread])
    return out


def _solution_rule(a: Spec, *others: Spec, **attrs: Any) -> Spec:
    b = others[-1]
    batch = broadcast_shapes(*[item.shape[:-2] for item in (a, *others)])
    return Spec(batch + b.shape[-2:], result_dtype(np.result_type(a.dtype, b.dtype)))


def _substitution_flops(a: Spec, *others: Spec, **attrs: Any) -> float:
    return 2.0 * a.shape[-1] * others[-1].size


# --- triangular ---------------------------------------------------------------------------------


def _triangular_kernel(xp: Any, a: Any, b: Any, *, lower: bool, transposed: bool, unit: bool) -> Any:
    part = xp.tril(a, -1 if unit else 0) if lower else xp.triu(a, 1 if unit else 0)
    if unit:
        part = part + xp.eye(a.shape[-1], dtype=part.dtype)
    return saying(SINGULAR, solve_stacks, xp, xp.swapaxes(part, -1, -2) if transposed else part, b)


def _triangular_cpu(a: np.ndarray, b: np.ndarray, *, lower: bool, transposed: bool, unit: bool) -> Any:
    linalg = _lapack(a, b)
    if linalg is None:
        return _triangular_kernel(np, a, b, lower=lower, transposed=transposed, unit=unit)

    def solver(a: Any, b: Any) -> Any:
        return linalg.solve_triangular(
            a, b, trans=int(transposed), lower=lower, unit_diagonal=unit, check_finite=False
        )  # fmt: skip

    return saying(SINGULAR, _each, solver, (a,), b)


def _triangle(x: Any, lower: bool, unit: bool) -> Any:
    """Return the part of a matrix that a triangular system depends on."""
    return tril(x, -1 if unit else 0) if lower else triu(x, 1 if unit else 0)


def _triangular_matrix_vjp(g: Tensor, a: Tensor, out: Tensor, lower: bool, transposed: bool, unit: bool) -> Tensor:
    w = _triangular(a, g, lower=lower, transposed=not transposed, unit=unit)
    return -_triangle(matmul(out, w.mT) if transposed else matmul(w, out.mT), lower, unit)


def _triangular_matrix_jvp(t: Tensor, a: Tensor, out: Tensor, lower: bool, transposed: bool, unit: bool) -> Tensor:
    moved = _triangle(t, lower, unit)
    return -_triangular(
        a, matmul(moved.mT if transposed else moved, out), lower=lower, transposed=transposed, unit=unit
    )  # fmt: skip


def _sample_triangular(draw: Draw) -> Sample:
    n = draw.integer(1, 4)
    batch = draw.shape(max_dims=2, max_side=3)
    a = draw.array((*batch, n, n), -1, 1) + 3 * np.eye(n)
    b = draw.array((*draw.broadcastable(batch), n, draw.integer(1, 3)))
    return Sample((a, b), {"lower": draw.flag(), "transposed": draw.flag(), "unit": draw.flag()})


_triangular = Op(
    "solve_triangular",
    _triangular_kernel,
    inputs="a b",
    infer=_solution_rule,
    sample=_sample_triangular,
    vjp=(
        _triangular_matrix_vjp,
        lambda g, a, lower, transposed, unit: _triangular(a, g, lower=lower, transposed=not transposed, unit=unit),
    ),
    jvp=(
        _triangular_matrix_jvp,
        lambda t, a, lower, transposed, unit: _triangular(a, t, lower=lower, transposed=transposed, unit=unit),
    ),
    batch="leading",
    flops=_substitution_flops,
    kinds="fc",
)
_triangular.register_kernel("cpu", _triangular_cpu)


def substitute(a: Tensor, b: Tensor, lower: bool, adjoint: bool = False) -> Tensor:
    """Solve triangular systems with matrices on both sides; `adjoint` with the conjugate transpose of `a`."""
    return _triangular(conjugate(a) if adjoint else a, b, lower=lower, transposed=adjoint, unit=False)


# --- factored once ------------------------------------------------------------------------------


def _mirrored(xp: Any, a: Any) -> Any:
    """Return Hermitian matrices whose lower triangles are those of `a`."""
    below, on = xp.tril(a, -1), xp.swapaxes(xp.triu(xp.tril(a)), -1, -2)
    return below + xp.swapaxes(below.conj(), -1, -2) + (on.real.astype(on.dtype) if on.dtype.kind == "c" else on)


def _factor_kernel(xp: Any, a: Any, *, positive: bool) -> Any:
    if a.dtype.kind not in "fc":
        a = a.astype(xp.float64)
    pivots = xp.zeros((*a.shape[:-1], 1), np.int32)
    if positive:
        return saying(NOT_POSITIVE, xp.linalg.cholesky, a), pivots
    return _mirrored(xp, a), pivots


def _factor_cpu(a: np.ndarray, *, positive: bool) -> Any:
    linalg = _lapack(a)
    if positive or linalg is None:
        return _factor_kernel(np, a, positive=positive)
    packed, pivots = np.empty_like(a, order="C"), np.empty((*a.shape[:-1], 1), np.int32)
    (factor,) = linalg.get_lapack_funcs(("hetrf" if a.dtype.kind == "c" else "sytrf",), (a,))
    for index in np.ndindex(a.shape[:-2]):
        packed[index], pivots[index][:, 0], zeros = factor(a[index], lower=1, lwork=64 * a.shape[-1])
        if zeros:
            raise np.linalg.LinAlgError(SINGULAR)
    return packed, pivots


def _sample_factor(draw: Draw) -> Sample:
    n = draw.integer(1, 4)
    x = draw.array((*draw.shape(max_dims=1), n, n), -1, 1)
    return Sample((x @ np.conj(np.swapaxes(x, -1, -2)) + 2 * np.eye(n),), {"positive": draw.flag()})


_factor = Op(
    "factor_symmetric",
    _factor_kernel,
    inputs="a",
    outputs=2,
    infer=lambda a, **attrs: (Spec(a.shape, result_dtype(a.dtype)), Spec((*a.shape[:-1], 1), np.int32)),
    sample=_sample_factor,
    no_gradient="factors say how to solve a system; the solution has a gradient with respect to the matrix",
    batch="leading",
    flops=lambda a, **attrs: a.size * a.shape[-1] / 3,
)
_factor.register_kernel("cpu", _factor_cpu)


def _factored_kernel(xp: Any, a: Any, packed: Any, pivots: Any, b: Any, *, positive: bool) -> Any:
    if not packed.shape[-1]:
        batch = np.broadcast_shapes(packed.shape[:-2], pivots.shape[:-2], b.shape[:-2])
        packed, _ = _factor_kernel(xp, a, positive=positive)
        b = xp.broadcast_to(b, batch + b.shape[-2:])
    if not positive:
        return saying(SINGULAR, solve_stacks, xp, packed, b)
    return solve_stacks(xp, xp.swapaxes(packed.conj(), -1, -2), solve_stacks(xp, packed, b))


def _factored_cpu(a: Any, packed: np.ndarray, pivots: np.ndarray, b: np.ndarray, *, positive: bool) -> Any:
    linalg = _lapack(packed, b) if packed.shape[-1] else None
    if linalg is None:
        return _factored_kernel(np, a, packed, pivots, b, positive=positive)
    name = "potrs" if positive else "hetrs" if packed.dtype.kind == "c" else "sytrs"
    (finish,) = linalg.get_lapack_funcs((name,), (packed, b))

    def solver(packed: Any, pivots: Any, b: Any) -> Any:
        return finish(packed, b, lower=1)[0] if positive else finish(packed, pivots[:, 0], b, lower=1)[0]

    return _each(solver, (packed, pivots), b)


def _factored_rhs_vjp(g: Tensor, a: Tensor, packed: Tensor, pivots: Tensor, positive: bool) -> Tensor:
    return conjugate(_factored(a, packed, pivots, conjugate(g), positive=positive))


def _factored_matrix_vjp(
    g: Tensor, a: Tensor, packed: Tensor, pivots: Tensor, out: Tensor, positive: bool
) -> Tensor:  # fmt: skip
    w = _factored(a, packed, pivots, conjugate(g), positive=positive)
    return -conjugate(from_lower(matmul(w, adjoint(out))))


def _factored_matrix_jvp(
    t: Tensor, a: Tensor, packed: Tensor, pivots: Tensor, out: Tensor, positive: bool
) -> Tensor:  # fmt: skip
    return -_factored(a, packed, pivots, matmul(hermitian(t), out), positive=positive)


def _sample_factored(draw: Draw) -> Sample:
    sample = _sample_factor(draw)
    a, positive = sample.inputs[0], sample.attrs["positive"]
    b = draw.array((*draw.broadcastable(a.shape[:-2]), a.shape[-1], draw.integer(1, 3)))
    # Without factors, so that the result follows the matrix alone.
    return Sample((a, np.empty((0, 0)), np.empty((0, 1), np.int32), b), {"positive": positive})


# `packed` and `pivots` are those of `factor_symmetric`; where they are empty, the kernel factors the matrix.
_factored = Op(
    "solve_factored",
    _factored_kernel,
    inputs="a packed pivots b",
    infer=_solution_rule,
    sample=_sample_factored,
    vjp=(_factored_matrix_vjp, None, None, _factored_rhs_vjp),
    jvp=(
        _factored_matrix_jvp,
        None,
        None,
        lambda t, a, packed, pivots, positive: _factored(a, packed, pivots, t, positive=positive),
    ),
    batch="leading",
    flops=_substitution_flops,
    kinds="fc",
)
_factored.register_kernel("cpu", _factored_cpu)


# --- what users write ---------------------------------------------------------------------------

_FORMS = {
    "general": "gen",
    "symmetric": "sym",
    "hermitian": "her",
    "positive definite": "pos",
    "lower triangular": "lower",
    "upper triangular": "upper",
}


def _operands(a: Any, b: Any, name: str) -> tuple[Tensor, Tensor, bool]:
    """Return matrices and right-hand sides as matrices, and whether these were one vector."""
    a, b = matrices(a, name, square=True), convert(b)
    vector = b.ndim == 1
    if not b.ndim or b.shape[0 if vector else -2] != a.shape[-1]:
        raise ShapeError(f"{name}: the sizes do not meet: a is {a.shape} and b {b.shape}\n  at {user_line()}")
    if vector:
        return a, b.reshape((b.shape[0], 1)), True
    try:
        broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError(
            f"{name}: the batch dimensions do not broadcast: a is {a.shape} and b {b.shape}\n  at {user_line()}"
        ) from None
    return a, b, False


def _vector(x: Tensor, vector: bool) -> Tensor:
    return x.reshape(x.shape[:-1]) if vector else x


@implements(np.linalg.solve)
@guarded
def solve(a: Any, b: Any, /, *, assume_a: str = "gen") -> Tensor:
    """Solve the linear systems ``a @ x = b``.

    Parameters
    ----------
    a : array_like
        Square matrices in the last two axes; the other axes broadcast with those of `b`.
    b : array_like
        With one axis a vector for all systems, otherwise matrices with a system in each column.
    assume_a : {"gen", "sym", "her", "pos", "lower triangular", "upper triangular"}
        What is known of `a`: nothing, or that it is symmetric, Hermitian, positive definite (and Hermitian) or
        triangular. The other triangle is not read.

    Returns
    -------
    Tensor
        The solutions x.

    Raises
    ------
    ShapeError
        `a` is not square, or its side is not the length of `b`.
    ArgumentError
        Unknown `assume_a`.
    DTypeError
        Complex matrices and ``"sym"``.
    numpy.linalg.LinAlgError
        A matrix is singular, or not positive definite.

    Notes
    -----
    Where `assume_a` says more than ``"gen"``, large systems (with SciPy installed, on the CPU) are factored once, or
    not at all if triangular, for the solution and its gradients together. The gradient is that of the triangle that
    is read: zero in the other one.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])
    Tensor([1. , 0.5])
    """
    if assume_a == "gen":
        return solve_general(a, b)
    form = _FORMS.get(assume_a, assume_a)
    if form == "gen":
        return solve_general(a, b)
    if form in ("lower", "upper"):
        return solve_triangular(a, b, lower=form == "lower")
    if form not in ("sym", "her", "pos"):
        raise ArgumentError(
            f"solve: assume_a is 'gen', 'sym', 'her', 'pos', 'lower triangular' or 'upper triangular', "
            f"got {assume_a!r}\n  at {user_line()}"
        )
    a, b, vector = _operands(a, b, "solve")
    if form == "sym" and a.dtype.kind == "c":
        raise DTypeError(
            f"solve: of complex matrices Hermitian ones have a form of their own: assume_a='her' (or 'gen'), "
            f"got 'sym' and {a.dtype}\n  at {user_line()}"
        )
    packed, pivots = _factor(a, positive=form == "pos")
    return _vector(_factored(a, packed, pivots, b, positive=form == "pos"), vector)


_TRANSPOSED = {0: "N", 1: "T", 2: "C", "N": "N", "T": "T", "C": "C"}


@guarded
def solve_triangular(
    a: Any, b: Any, /, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False
) -> Tensor:
    """Solve the systems ``a @ x = b`` of triangular matrices, as `scipy.linalg.solve_triangular`.

    Parameters
    ----------
    a : array_like
        Square matrices in the last two axes, of which one triangle is read.
    b : array_like
        With one axis a vector for all systems, otherwise matrices with a system in each column.
    trans : {0, 1, 2, "N", "T", "C"}
        Whether to solve with `a`, its transpose, or its conjugate transpose.
    lower : bool
        Which triangle is read.
    unit_diagonal : bool
        Whether the diagonal is taken to be ones, and not read.

    Returns
    -------
    Tensor
        The solutions x.

    Raises
    ------
    ShapeError
        `a` is not square, or its side is not the length of `b`.
    ArgumentError
        Unknown `trans`.
    numpy.linalg.LinAlgError
        A matrix is singular.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.solve_triangular([[2.0, 0.0], [1.0, 4.0]], [2.0, 5.0], lower=True)
    Tensor([1., 1.])
    """
    a, b, vector = _operands(a, b, "solve_triangular")
    form = _TRANSPOSED.get(trans)
    if form is None:
        raise ArgumentError(f"solve_triangular: trans is 0, 1, 2, 'N', 'T' or 'C', got {trans!r}\n  at {user_line()}")
    a = conjugate(a) if form == "C" else a
    x = _triangular(a, b, lower=bool(lower), transposed=form != "N", unit=bool(unit_diagonal))
    return _vector(x, vector)


@guarded
def cho_solve(c_and_lower: tuple[Any, bool], b: Any, /) -> Tensor:
    """Solve ``a @ x = b`` where the Cholesky factor of `a` is known, as `scipy.linalg.cho_solve`.

    Parameters
    ----------
    c_and_lower : pair of array_like and bool
        The factor, and whether it is the lower one, as from `cholesky`.
    b : array_like
        With one axis a vector for all systems, otherwise matrices with a system in each column.

    Returns
    -------
    Tensor
        The solutions x.

    Raises
    ------
    ShapeError
        The factor is not square, or its side is not the length of `b`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> factor = ef.linalg.cholesky([[4.0, 2.0], [2.0, 5.0]])
    >>> ef.linalg.cho_solve((factor, True), [6.0, 7.0])
    Tensor([1., 1.])
    """
    factor, lower = c_and_lower
    a, b, vector = _operands(factor, b, "cho_solve")
    lower = bool(lower)
    half = substitute(a, b, lower, adjoint=not lower)
    return _vector(substitute(a, half, lower, adjoint=lower), vector)
