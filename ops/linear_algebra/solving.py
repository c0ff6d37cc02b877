"""Linear systems: solve, inverses, rank and powers of matrices; and what their neighbours share."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.batching import aligned
from eagerflow.core.dims import broadcast_shapes
from eagerflow.core.explain import user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.checked import flag, guarded
from eagerflow.ops.cupy_functions import solve_stacks
from eagerflow.ops.linear_algebra.contraction import matmul

__all__ = ["inv", "matrix_power", "matrix_rank", "pinv"]

SINGULAR = (
    "a matrix is singular, so that no inverse exists; ef.linalg.pinv gives the best substitute, "
    "and adding a small multiple of the identity helps where it is singular by rounding only"
)


def conjugate(x: Tensor) -> Tensor:
    """Return the complex conjugate; real Tensors as they are."""
    return x.conj() if x.dtype.kind == "c" else x


def adjoint(x: Tensor) -> Tensor:
    """Return the conjugate transpose of matrices."""
    return conjugate(x).mT


def constant(values: np.ndarray, like: Tensor) -> Tensor:
    """Return constant real values in the precision and on the device of `like`."""
    return convert(values, real_dtype(like.dtype), like.device)


def result_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what linear algebra computes in: integers become float64."""
    return dtype if dtype.kind in "fc" else np.dtype(np.float64)


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the real parts of what linear algebra computes."""
    dtype = result_dtype(dtype)
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def matrices(x: Any, name: str, square: bool = False) -> Tensor:
    """Return `x` as a Tensor that holds matrices in its last two axes.

    Raises
    ------
    ShapeError
        Fewer than two axes, or matrices that are not square where `square`.
    """
    x = convert(x)
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        kind = "square matrices" if square else "matrices"
        raise ShapeError(f"{name}: expected {kind} in the last two axes, got shape {x.shape}\n  at {user_line()}")
    return x


def lower_weights(n: int, diagonal: float, below: float) -> np.ndarray:
    """Return a matrix with these values on and below its diagonal, and zeros above."""
    weights: np.ndarray = np.tri(n, k=-1) * below + np.eye(n) * diagonal
    return weights


def from_lower(gradient: Tensor) -> Tensor:
    """Turn the gradient of a Hermitian matrix into that of its lower triangle.

    An element below the diagonal stands for two of the matrix; the diagonal is real.
    """
    symmetric = gradient + adjoint(gradient)
    return symmetric * constant(lower_weights(gradient.shape[-1], 0.5, 1.0), gradient)


def hermitian(x: Tensor) -> Tensor:
    """Return the Hermitian matrix that has the lower triangle of `x`: the transpose of `from_lower`."""
    below = x * constant(lower_weights(x.shape[-1], 0.5, 1.0), x)
    return below + adjoint(below)


def saying(message: str, function: Callable[..., Any], *arrays: Any) -> Any:
    """Call a function of the array library; a failure says `message`."""
    try:
        return function(*arrays)
    except np.linalg.LinAlgError:
        raise np.linalg.LinAlgError(message) from None


def same_inexact(x: Spec, **attrs: Any) -> Spec:
    """Shape rule: as the input, in floating point."""
    return Spec(x.shape, result_dtype(x.dtype))


def sample_invertible(draw: Draw) -> Sample:
    """Draw well-conditioned square matrices."""
    n = draw.integer(1, 4)
    x = draw.array((*draw.shape(max_dims=1), n, n), -1, 1)
    return Sample((x + (n + 2) * np.eye(n),))


def cubic(factor: float) -> Callable[..., float]:
    return lambda x, **attrs: factor * x.size * min(x.shape[-2:])


def _solve_kernel(xp: Any, a: Any, b: Any) -> Any:
    return saying(SINGULAR, solve_stacks, xp, a, b)


def _solve_rule(a: Spec, b: Spec) -> Spec:
    dtype = result_dtype(np.result_type(a.dtype, b.dtype))
    if b.ndim == 1:
        return Spec(a.shape[:-1], dtype)
    return Spec(broadcast_shapes(a.shape[:-2], b.shape[:-2]) + b.shape[-2:], dtype)


def _solve_matrix_vjp(g: Tensor, a: Tensor, out: Tensor, shape: tuple[int, ...]) -> Tensor:
    column = _solve_rhs_vjp(g, a)
    if out.ndim == len(shape) - 1:
        return -(column.reshape((*column.shape, 1)) * out.reshape((*out.shape[:-1], 1, out.shape[-1])))
    return -matmul(column, out.mT)


def _solve_rhs_vjp(g: Tensor, a: Tensor) -> Tensor:
    # A stack of vectors (from one vector b) must not be taken for a matrix.
    if g.ndim == a.ndim - 1 and g.ndim > 1:
        return _solve(a.mT, g.reshape((*g.shape, 1))).reshape(g.shape)
    return _solve(a.mT, g)


def _solve_matrix_jvp(t: Tensor, a: Tensor, out: Tensor) -> Tensor:
    if out.ndim == a.ndim - 1:
        moved = matmul(t, out.reshape((*out.shape, 1)))
        return -_solve(a, moved).reshape(out.shape)
    return -_solve(a, matmul(t, out))


def _solve_examples(op: Op, size: int, inputs: list[Any], batched: Any, attrs: dict[str, Any]) -> Any:
    a, b = inputs
    vector = b.ndim - batched[1] == 1
    x = aligned(op, size, [a, b.reshape((*b.shape, 1)) if vector else b], batched, attrs)
    return x.reshape(x.shape[:-1]) if vector else x


def _sample_solve(draw: Draw) -> Sample:
    n = draw.integer(1, 4)
    batch = draw.shape(max_dims=2, max_side=3)
    a = draw.array((*batch, n, n), -1, 1) + (n + 2) * np.eye(n)
    if draw.flag():
        return Sample((a, draw.array((n,))))
    return Sample((a, draw.array((*draw.broadcastable(batch), n, draw.integer(1, 3)))))


_solve = Op(
    "solve",
    _solve_kernel,
    inputs="a b",
    infer=_solve_rule,
    sample=_sample_solve,
    vjp=(_solve_matrix_vjp, _solve_rhs_vjp),
    jvp=(_solve_matrix_jvp, lambda t, a: _solve(a, t)),
    batch=_solve_examples,
    flops=lambda a, b: a.size * a.shape[-1] * 2 / 3 + 2.0 * a.shape[-1] * b.size,
    kinds="fc",
)


def solve_general(a: Any, b: Any) -> Tensor:
    """Solve ``a @ x = b`` for any matrices; see `systems.solve`."""
    a, b = matrices(a, "solve", square=True), convert(b)
    if not b.ndim or b.shape[0 if b.ndim == 1 else -2] != a.shape[-1]:
        raise ShapeError(f"solve: the sizes do not meet: a is {a.shape} and b {b.shape}\n  at {user_line()}")
    if b.ndim > 2 and a.ndim > 2:
        try:
            broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ShapeError(
                f"solve: the batch dimensions do not broadcast: a is {a.shape} and b {b.shape}\n  at {user_line()}"
            ) from None
    result: Tensor = _solve(a, b)
    return result


def _inv_vjp(g: Tensor, out: Tensor) -> Tensor:
    transposed = out.mT
    return -matmul(matmul(transposed, g), transposed)


_inv = Op(
    "inv",
    lambda xp, x: saying(SINGULAR, xp.linalg.inv, x),
    inputs="x",
    infer=same_inexact,
    sample=sample_invertible,
    vjp=_inv_vjp,
    jvp=lambda t, out: -matmul(matmul(out, t), out),
    batch="leading",
    flops=cubic(2),
    kinds="fc",
)


@implements(np.linalg.inv)
@guarded
def inv(x: Any, /) -> Tensor:
    """Invert matrices.

    Parameters
    ----------
    x : array_like
        Square matrices in the last two axes.

    Returns
    -------
    Tensor
        The inverses.

    Raises
    ------
    ShapeError
        The matrices are not square.
    numpy.linalg.LinAlgError
        A matrix is singular.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.inv([[2.0, 0.0], [0.0, 4.0]])
    Tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    result: Tensor = _inv(matrices(x, "inv", square=True))
    return result


def _share(x: Tensor, share: Any, name: str) -> Tensor:
    """Return a share of the largest singular value, of which each matrix may have one of its own, in two more axes."""
    if share is None:
        share = max(x.shape[-2:]) * float(np.finfo(real_dtype(x.dtype)).eps)
    made = convert(share) if hasattr(share, "dtype") else convert(share, None, x.device)
    try:
        fits = made.dtype.kind != "c" and broadcast_shapes(made.shape, x.shape[:-2]) == x.shape[:-2]
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name}: a tolerance is a real number or one for each matrix, got {made.dtype}{list(made.shape)} for "
            f"matrices {x.shape}\n  at {user_line()}"
        )
    return made.reshape((*made.shape, 1, 1))


def _pinv_kernel(xp: Any, x: Any, rcond: Any, *, hermitian: bool) -> Any:
    if rcond.ndim == 2:
        share: Any = float(rcond[0, 0])
    else:
        share = rcond[..., 0, 0]
        x = xp.broadcast_to(x, np.broadcast_shapes(share.shape, x.shape[:-2]) + x.shape[-2:])
    # For others than NumPy Hermitian matrices are matrices like all.
    return xp.linalg.pinv(x, share, hermitian=True) if hermitian and xp is np else xp.linalg.pinv(x, share)


def _chain(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Multiply three matrices in the cheaper order."""
    rows, first, second, columns = a.shape[-2], b.shape[-2], c.shape[-2], c.shape[-1]
    left, right = rows * second * (first + columns), first * columns * (second + rows)
    return matmul(matmul(a, b), c) if left <= right else matmul(a, matmul(b, c))


def _pinv_vjp(g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    g = conjugate(g)
    left, right = adjoint(out), adjoint(g)
    gradient = -_chain(left, g, left)
    # The parts that move the range and the null space; (I - AP) and (I - PA) kept as products.
    first, second = _chain(right, out, left), _chain(left, out, right)
    gradient = gradient + first - _chain(x, out, first) + second - _chain(second, out, x)
    return conjugate(gradient)


def _pinv_jvp(t: Tensor, x: Tensor, out: Tensor) -> Tensor:
    left, right = adjoint(out), adjoint(t)
    first, second = _chain(out, left, right), _chain(right, left, out)
    return -_chain(out, t, out) + first - _chain(first, x, out) + second - _chain(out, x, second)


def _sample_pinv(draw: Draw) -> Sample:
    m, n = draw.integer(1, 4), draw.integer(1, 4)
    x = draw.array((*draw.shape(max_dims=1), m, n), -1, 1) + 4 * np.eye(m, n)
    return Sample((x, np.full((1, 1), 1e-15)), {"hermitian": False})


def _pinv_rule(x: Spec, rcond: Spec, **attrs: Any) -> Spec:
    batch = broadcast_shapes(x.shape[:-2], rcond.shape[:-2])
    return Spec((*batch, x.shape[-1], x.shape[-2]), result_dtype(x.dtype))


_pinv = Op(
    "pinv",
    _pinv_kernel,
    inputs="x rcond",
    infer=_pinv_rule,
    sample=_sample_pinv,
    vjp=(_pinv_vjp, None),
    jvp=(_pinv_jvp, None),
    batch="leading",
    flops=lambda x, rcond, **attrs: 14.0 * x.size * min(x.shape[-2:]),
    kinds="fc",
)


@implements(np.linalg.pinv)
@guarded
def pinv(x: Any, /, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    """Return the Moore-Penrose inverses of matrices.

    Parameters
    ----------
    x : array_like
        Matrices in the last two axes.
    rcond, rtol : float or array_like, optional
        Singular values up to this share of the largest count as zero (two names of one thing), for all matrices or
        for each; ``max(M, N) * eps`` by default.
    hermitian : bool
        Whether the matrices are Hermitian, for which there is a faster way.

    Returns
    -------
    Tensor
        The inverses, with the last two axes exchanged.

    Raises
    ------
    ShapeError
        Fewer than two axes.

    Notes
    -----
    The gradient is that at constant rank (G. H. Golub and V. Pereyra, "The differentiation of
    pseudo-inverses and nonlinear least squares problems whose variables separate", 1973).

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.pinv([[2.0], [0.0]])
    Tensor([[0.5, 0. ]])
    """
    x = matrices(x, "pinv")
    share = _share(x, rtol if rcond is None else rcond, "pinv")
    result: Tensor = _pinv(x, share, hermitian=flag(hermitian, "pinv", "hermitian"))
    return result


def _rank_kernel(xp: Any, x: Any, limit: Any, *, relative: bool) -> Any:
    s = xp.linalg.svd(x, compute_uv=False)
    limit = limit[..., 0]
    if relative:
        limit = limit * (s.max(axis=-1, keepdims=True) if s.shape[-1] else 0)
    return (s > limit).sum(axis=-1)


_rank = Op(
    "matrix_rank",
    _rank_kernel,
    inputs="x limit",
    infer=lambda x, limit, **attrs: Spec(broadcast_shapes(x.shape[:-2], limit.shape[:-2]), np.intp),
    sample=lambda draw: Sample((_sample_pinv(draw).inputs[0], np.full((1, 1), 0.1)), {"relative": draw.flag()}),
    no_gradient="a rank is a count",
    batch="leading",
    flops=lambda x, limit, **attrs: 4.0 * x.size * min(x.shape[-2:]),
)


@implements(np.linalg.matrix_rank)
@guarded
def matrix_rank(x: Any, /, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    """Count the singular values that are not zero.

    Parameters
    ----------
    x : array_like
        Matrices in the last two axes.
    tol : float or array_like, optional
        Singular values up to this count as zero, for all matrices or for each.
    hermitian : bool
        Taken for compatibility; the result does not depend on it.
    rtol : float or array_like, optional
        The same as a share of the largest; ``max(M, N) * eps`` if neither is given.

    Returns
    -------
    Tensor
        One integer for each matrix.

    Raises
    ------
    ShapeError
        Fewer than two axes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.matrix_rank([[1.0, 2.0], [2.0, 4.0]])
    Tensor(1)
    """
    x = matrices(x, "matrix_rank")
    limit = _share(x, rtol if tol is None else tol, "matrix_rank")
    result: Tensor = _rank(x, limit, relative=tol is None)
    return result


@implements(np.linalg.matrix_power)
@guarded
def matrix_power(x: Any, n: int, /) -> Tensor:
    """Raise square matrices to an integer power.

    Parameters
    ----------
    x : array_like
        Square matrices in the last two axes.
    n : int
        The power: 0 gives identity matrices, negative ones powers of the inverse.

    Returns
    -------
    Tensor
        The powers.

    Raises
    ------
    ShapeError
        The matrices are not square.
    DTypeError
        `n` is no integer.
    numpy.linalg.LinAlgError
        A matrix is singular and `n` negative.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.matrix_power([[1.0, 1.0], [0.0, 1.0]], 3)
    Tensor([[1., 3.],
            [0., 1.]])
    """
    x = matrices(x, "matrix_power", square=True)
    try:
        n = operator.index(n)
    except TypeError:
        raise DTypeError(f"matrix_power: the power is an integer, got {n!r}\n  at {user_line()}") from None
    if n == 0:
        identity = np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape)
        return convert(identity, x.dtype, x.device)
    square, power = (inv(x) if n < 0 else x), abs(n)
    result: Tensor | None = None
    while True:
        if power & 1:
            result = square if result is None else matmul(result, square)
        power >>= 1
        if not power:
            assert result is not None
            return result
        square = matmul(square, square)
