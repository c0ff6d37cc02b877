"""Least squares, and linear systems whose unknown has several axes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.batching import aligned, repeated
from eagerflow.core.dims import broadcast_shapes
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.creation import zeros
from eagerflow.ops.axes import some_axes
from eagerflow.ops.checked import guarded, number
from eagerflow.ops.linear_algebra.contraction import matmul
from eagerflow.ops.linear_algebra.solving import adjoint, conjugate, inv, matrices, pinv, real_dtype, result_dtype
from eagerflow.ops.linear_algebra.spectral import svdvals_jvp, svdvals_vjp
from eagerflow.ops.linear_algebra.systems import solve

__all__ = ["lstsq", "tensorinv", "tensorsolve"]


class LstsqResult(NamedTuple):
    """What `lstsq` gives."""

    x: Tensor
    residuals: Tensor
    rank: Tensor
    s: Tensor


def _lstsq_kernel(xp: Any, a: Any, b: Any, *, rcond: float) -> Any:
    if a.dtype.kind not in "fc":
        a = a.astype(xp.float64)
    u, s, vh = xp.linalg.svd(a, full_matrices=False)
    kept = s > rcond * (s.max(axis=-1, keepdims=True) if s.shape[-1] else 0)
    inverse = xp.where(kept, 1 / xp.where(kept, s, xp.ones_like(s)), xp.zeros_like(s))
    inside = inverse[..., None] * xp.matmul(xp.swapaxes(u.conj(), -1, -2), b)
    return xp.matmul(xp.swapaxes(vh.conj(), -1, -2), inside), kept.sum(axis=-1), s


def _lstsq_rule(a: Spec, b: Spec, *, rcond: float) -> tuple[Spec, Spec, Spec]:
    dtype = result_dtype(np.result_type(a.dtype, b.dtype))
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = Spec((*batch, a.shape[-1], b.shape[-1]), dtype)
    s = Spec((*a.shape[:-2], min(a.shape[-2:])), real_dtype(a.dtype))
    return x, Spec(a.shape[:-2], np.intp), s


def _lstsq_matrix_vjp(g: list[Tensor | None], a: Tensor, b: Tensor, out: Any, rcond: float) -> Tensor:
    on_x, _, on_s = g
    gradient: Any = None if on_s is None else svdvals_vjp(on_s, a)
    if on_x is not None:
        x, on_x = out[0], conjugate(on_x)
        inverse = pinv(a, rcond)
        back = adjoint(inverse)
        # How x follows the matrix where it has an effect, through the residual, and through its null space.
        part = matmul(back, matmul(-on_x, adjoint(x)))
        part = part + matmul(b - matmul(a, x), adjoint(matmul(inverse, matmul(back, on_x))))
        part = part + matmul(matmul(back, x), adjoint(on_x - matmul(inverse, matmul(a, on_x))))
        gradient = conjugate(part) if gradient is None else gradient + conjugate(part)
    return gradient


def _lstsq_rhs_vjp(g: list[Tensor | None], a: Tensor, b: Tensor, rcond: float) -> Tensor:
    return b * 0 if g[0] is None else matmul(pinv(a, rcond).mT, g[0])


def _lstsq_matrix_jvp(t: Tensor, a: Tensor, b: Tensor, out: Any, rcond: float) -> tuple[Tensor, None, Tensor]:
    x, inverse, back = out[0], pinv(a, rcond), adjoint(t)
    moved = -matmul(inverse, matmul(t, x))
    moved = moved + matmul(inverse, matmul(adjoint(inverse), matmul(back, b - matmul(a, x))))
    null = matmul(back, matmul(adjoint(inverse), x))
    return moved + null - matmul(inverse, matmul(a, null)), None, svdvals_jvp(t, a)


def _lstsq_examples(op: Op, size: int, inputs: list[Any], batched: Any, attrs: dict[str, Any]) -> Any:
    x, rank, s = aligned(op, size, inputs, batched, attrs)
    if not batched[0]:
        return x, repeated(rank, size), repeated(s, size)
    stack = inputs[0].shape[:-2]
    return x, rank.reshape(stack), s.reshape((*stack, s.shape[-1]))


def _sample_lstsq(draw: Draw) -> Sample:
    m, n = draw.integer(1, 4), draw.integer(1, 4)
    batch = draw.shape(max_dims=1)
    a = draw.array((*batch, m, n), -1, 1) + 4 * np.eye(m, n)
    return Sample((a, draw.array((*draw.broadcastable(batch), m, draw.integer(1, 3)))), {"rcond": 1e-15})


_lstsq = Op(
    "lstsq",
    _lstsq_kernel,
    inputs="a b",
    outputs=3,
    infer=_lstsq_rule,
    sample=_sample_lstsq,
    vjp=(_lstsq_matrix_vjp, _lstsq_rhs_vjp),
    jvp=(_lstsq_matrix_jvp, lambda t, a, rcond: (matmul(pinv(a, rcond), t), None, None)),
    batch=_lstsq_examples,
    flops=lambda a, b, **attrs: 14.0 * a.size * min(a.shape[-2:]),
    kinds="fc",
)


@implements(np.linalg.lstsq)
@guarded
def lstsq(a: Any, b: Any, /, rcond: float | None = None) -> LstsqResult:
    """Return the x for which ``a @ x`` is nearest to `b`; of several the shortest.

    Parameters
    ----------
    a : array_like
        Matrices in the last two axes, M by N.
    b : array_like
        A vector of length M, or matrices with a right-hand side in each column.
    rcond : float, optional
        Singular values up to this share of the largest count as zero; ``max(M, N) * eps`` by default, -1 for eps.

    Returns
    -------
    x : Tensor
        The solutions.
    residuals : Tensor
        Sums of the squared residuals; without elements unless M is greater than N.
    rank : Tensor
        How many singular values are not zero.
    s : Tensor
        The singular values.

    Raises
    ------
    ShapeError
        Fewer than two axes, or the lengths do not meet.

    Notes
    -----
    Unlike NumPy, the shape of the residuals does not depend on the rank. The gradient is right where the rank does not
    change nearby. The residuals have one too, and so have the singular values.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x, residuals, rank, s = ef.linalg.lstsq([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [1.0, 2.0, 3.0])
    >>> bool(ef.allclose(x, [1.0, 1.0])), int(rank)
    (True, 2)
    """
    a, b = matrices(a, "lstsq"), convert(b)
    vector = b.ndim == 1
    if not b.ndim or b.shape[0 if vector else -2] != a.shape[-2]:
        raise ShapeError(f"lstsq: the sizes do not meet: a is {a.shape} and b {b.shape}\n  at {user_line()}")
    m, n = a.shape[-2:]
    right = b.reshape((m, 1)) if vector else b
    eps = float(np.finfo(real_dtype(np.result_type(a.dtype, b.dtype))).eps)
    share = eps * max(m, n) if rcond is None else number(rcond, "lstsq", "rcond")
    cut = share * 1.0 if 0 < share < 1 else eps  # as LAPACK has it
    x, rank, s = _lstsq(a, right, rcond=cut)
    if m > n:
        missed = right - matmul(a, x)
        squares = (missed * conjugate(missed)).real if missed.dtype.kind == "c" else missed * missed
        residuals = squares.sum(axis=-2)
    else:
        residuals = zeros(0, real_dtype(x.dtype), device=x.device)
    return LstsqResult(x.reshape(x.shape[:-1]) if vector else x, residuals, rank, s)


def _last(x: Tensor, axes: Any, name: str) -> Tensor:
    """Move axes to the end."""
    moved = some_axes(tuple(axes) if hasattr(axes, "__len__") else axes, x.ndim, name)
    return x.transpose((*[axis for axis in range(x.ndim) if axis not in moved], *moved))


@implements(np.linalg.tensorsolve)
@guarded
def tensorsolve(a: Any, b: Any, /, axes: Any = None) -> Tensor:
    """Solve ``tensordot(a, x, x.ndim) = b`` for an x of several axes.

    Parameters
    ----------
    a : array_like
        Coefficients: the axes of `b`, then those of x.
    b : array_like
        Right-hand side.
    axes : tuple of int, optional
        Axes of `a` to move to the end first.

    Returns
    -------
    Tensor
        The solution x.

    Raises
    ------
    ShapeError
        `a` is not square in this sense, or its first axes are not those of `b`.
    numpy.linalg.LinAlgError
        There is no one solution.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.tensorsolve(ef.reshape(2 * ef.eye(4), (2, 2, 4)), ef.ones((2, 2)))
    Tensor([0.5, 0.5, 0.5, 0.5])
    """
    a, b = convert(a), convert(b)
    if axes is not None:
        a = _last(a, axes, "tensorsolve")
    shape = a.shape[b.ndim :]
    if a.shape[: b.ndim] != b.shape or math.prod(shape) != b.size:
        raise ShapeError(
            f"tensorsolve: the axes of a are those of b, then as many elements: a is {a.shape} and b {b.shape}"
            f"\n  at {user_line()}"
        )
    return solve(a.reshape((b.size, b.size)), b.reshape((b.size,))).reshape(shape)


@implements(np.linalg.tensorinv)
@guarded
def tensorinv(a: Any, /, ind: int = 2) -> Tensor:
    """Return the inverse of `a` for `tensordot` over its first `ind` axes.

    Parameters
    ----------
    a : array_like
        As many elements over its first `ind` axes as over the others.
    ind : int
        How many axes come first.

    Returns
    -------
    Tensor
        With the two groups of axes exchanged.

    Raises
    ------
    ShapeError
        `a` is not square in this sense, or `ind` is not positive.
    numpy.linalg.LinAlgError
        There is no inverse.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.tensorinv(ef.reshape(2 * ef.eye(4), (4, 2, 2)), ind=1).shape
    (2, 2, 4)
    """
    a = convert(a)
    first, rest = a.shape[: max(ind, 0)], a.shape[max(ind, 0) :]
    side = math.prod(first)
    if ind < 1 or side != math.prod(rest):
        raise ShapeError(
            f"tensorinv: expected as many elements over the first {ind} axes as over the others, got shape {a.shape}"
            f"\n  at {user_line()}"
        )
    return inv(a.reshape((side, side))).reshape((*rest, *first))
