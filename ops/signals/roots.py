"""Roots of polynomials, and polynomials from roots or matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.creation import ones, zeros
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.arrays.shape import atleast_1d
from eagerflow.ops.checked import guarded, known
from eagerflow.ops.linear_algebra.contraction import matmul
from eagerflow.ops.signals.polynomials import coefficients, floating
from eagerflow.ops.signals.signals import convolve

__all__ = ["poly", "roots"]


def _companion_roots(xp: Any, p: Any) -> Any:
    n = p.shape[0] - 1
    companion = xp.eye(n, k=-1, dtype=np.result_type(p.dtype, np.float32))
    companion[:1] = -p[1:] / p[0]
    return xp.linalg.eigvals(companion).astype(np.result_type(companion.dtype, np.complex64), copy=False)


def _powers(out: Any) -> Any:
    return out[:, None] ** convert(np.arange(out.shape[0], -1, -1), None, out.device)


def _slope(p: Any, powers: Any) -> Any:
    n = powers.shape[0]
    return powers[:, 1:] @ (p[:-1] * convert(np.arange(n, 0, -1), None, p.device))


def _roots_gradient(g: Any, p: Any, out: Any) -> Any:
    # The root moves so that the polynomial stays zero there: p'(r) dr + dp(r) = 0.
    powers = _powers(out)
    return -((g / _slope(p, powers)) @ powers)


def _roots_tangent(t: Any, p: Any, out: Any) -> Any:
    powers = _powers(out)
    return -(powers @ t) / _slope(p, powers)


def _sample_roots(draw: Draw) -> Sample:
    count = draw.integer(1, 3)
    # Roots apart from each other.
    roots = draw.array((count,), -0.2, 0.2) + np.array([-1.0, 0.7, 2.0])[:count]
    return Sample((draw.choice([1.0, -0.5]) * np.poly(roots).astype(draw.dtype),))


_roots = Op(
    "roots", _companion_roots, inputs="p",
    infer=lambda p: Spec((p.shape[0] - 1,), np.result_type(p.dtype, np.complex64)), sample=_sample_roots,
    vjp=_roots_gradient, jvp=_roots_tangent, flops=lambda p: 10.0 * p.size**3, kinds="fc",
)  # fmt: skip


@implements(np.roots)
@guarded
def roots(p: Any) -> Tensor:
    """Return the roots of a polynomial.

    Parameters
    ----------
    p : array_like
        Coefficients, that of the highest power first.

    Returns
    -------
    Tensor
        The roots, complex, in no order. Gradients are those of simple roots; where roots coincide there are none.
        Zeros at both ends of `p` are looked for by their values; where `vmap` hides these, there are none.

    Raises
    ------
    ShapeError
        The coefficients are no vector.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.sort(ef.roots([1.0, -3.0, 2.0]).real).round(6)
    Tensor([1., 2.])
    """
    line = coefficients(p, "roots")
    line = floating(line)
    values = known(line)
    if values is None:
        return _roots(line)
    used = np.flatnonzero(values)
    kind = np.result_type(line.dtype, np.complex64)
    if not used.size:
        return zeros(0, kind)
    first, last = int(used[0]), int(used[-1])
    at_zero = zeros(line.size - 1 - last, kind, device=line.device)
    return concat([_roots(line[first : last + 1]), at_zero]) if last > first else at_zero


@implements(np.poly)
@guarded
def poly(seq_of_zeros: Any) -> Tensor:
    """Return the polynomial with the given roots, or the characteristic polynomial of a matrix.

    Parameters
    ----------
    seq_of_zeros : array_like
        The roots, or a square matrix.

    Returns
    -------
    Tensor
        Coefficients, that of the highest power first: real if the roots are, or come in conjugate pairs.

    Raises
    ------
    ShapeError
        Neither a vector nor a square matrix.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.poly([1.0, 2.0])
    Tensor([ 1., -3.,  2.])
    """
    zeros_ = floating(atleast_1d(seq_of_zeros))
    if zeros_.ndim == 2 and zeros_.shape[0] == zeros_.shape[1] and zeros_.shape[0]:
        return _characteristic(zeros_)
    if zeros_.ndim != 1:
        raise ShapeError(f"poly: expected a vector or a square matrix, got shape {zeros_.shape}\n  at {user_line()}")
    one = ones(1, zeros_.dtype, device=zeros_.device)
    if not zeros_.size:
        return one[0]
    made = one
    for i in range(zeros_.size):
        made = convolve(made, concat([one, -zeros_[i : i + 1]]))
    if made.dtype.kind == "c":
        plain = zeros_.numpy()
        if np.array_equal(np.sort(plain), np.sort(plain.conj())):
            return made.real
    return made


def _characteristic(a: Tensor) -> Tensor:
    """Return the characteristic polynomial by traces of powers (Faddeev, Le Verrier): no eigenvalues are needed.

    It is smooth where eigenvalues coincide, too.
    """
    n = a.shape[0]
    unit = np.eye(n, dtype=a.dtype)
    parts = [ones(1, a.dtype, device=a.device)]
    power: Any = convert(unit, None, a.device)
    for k in range(1, n + 1):
        product = matmul(a, power)
        c = product.trace() * (-1.0 / k)
        parts.append(c.reshape(1))
        power = product + c * convert(unit, None, a.device)
    return concat(parts)
