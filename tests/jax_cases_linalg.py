"""Cases that are compared with JAX: products, linear algebra, Fourier transforms and convolutions of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from jax_cases import Case, cplx, hermitian, named, real, regular

A, B = regular(3), regular(3, seed=5)
STACK = regular(3, 2)
C, D = regular(3, dtype=complex), regular(3, seed=5, dtype=complex)
S, H = hermitian(3), hermitian(3, dtype=complex)
TALL, WIDE = real(4, 3) + np.eye(4, 3) * 2, real(3, 4) + np.eye(3, 4) * 2
X, Y = real(3, 4), real(4, 2)
V, U, T = real(3), real(3, seed=1), real(4)
Z, Q = cplx(3, 4), cplx(3)
CUBE = real(2, 3, 4)
LINE, IMAGE = real(8), real(4, 6)


def symmetric(xp: Any, x: Any) -> Any:  # what reads one triangle gives gradients of that, JAX of both: see DIFFERENT
    return (x + xp.conj(xp.swapaxes(x, -1, -2))) / 2


PRODUCTS: dict[str, Case] = {
    **named("matmul dot inner", A, B), **named("dot inner vdot outer kron vecdot linalg.cross", V, U, note=", vectors"),
    **named("kron", X, Y, note=", matrices"),
    **named("vdot vecdot inner outer", Q, Q[::-1] * 1j, note=", complex"),
    "matmul, matrix and vector": (lambda xp, x, y: x @ y, X, T),
    "matmul, vector and matrix": (lambda xp, x, y: x @ y, V, X),
    "matmul, stacks": (lambda xp, x, y: xp.matmul(x, y), CUBE, real(2, 4, 2)),
    "matmul, broadcast": (lambda xp, x, y: xp.matmul(x, y), CUBE, Y),
    "matmul, stack and vector": (lambda xp, x, y: xp.matmul(x, y), CUBE, T),
    "matmul, complex": (lambda xp, x, y: x @ y, Z, cplx(4, 2)),
    "matmul, real and complex": (lambda xp, x, y: x @ y, X, cplx(4, 2)),
    "dot, three axes": (lambda xp, x, y: xp.dot(x, y), CUBE, real(2, 4, 2)),
    "tensordot": (lambda xp, x, y: xp.tensordot(x, y, axes=([1, 2], [0, 1])), CUBE, X),
    "tensordot, axes 1": (lambda xp, x, y: xp.tensordot(x, y, axes=1), CUBE, Y),
    "tensordot, axes 0": (lambda xp, x, y: xp.tensordot(x, y, axes=0), V, Y),
    "cross, stacked": (lambda xp, x, y: xp.linalg.cross(x, y), real(4, 3), V),
    "cross, axis": (lambda xp, x, y: xp.linalg.cross(x, y, axis=0), X, real(3, 4, seed=2)),
    "vecdot, axis": (lambda xp, x, y: xp.vecdot(x, y, axis=0), Z, cplx(3, 4, seed=5)),
    "multi_dot": (lambda xp, x, y, z: xp.linalg.multi_dot([x, y, z]), X, Y, real(2, 3)),
    **{f"einsum {spec}": (lambda xp, *xs, spec=spec: xp.einsum(spec, *xs), *arrays) for spec, arrays in {
        "ii": (A,), "ii->i": (A,), "ij->ji": (X,), "ij->": (X,), "ij->j": (X,), "ijk->ki": (CUBE,),
        "ij,jk": (X, Y), "ij,jk->k": (X, Y), "i,i": (V, U), "i,j->ji": (V, U), "ij,ij->i": (X, X + 1),
        "bij,jk->bik": (CUBE, Y), "...ij,...jk->...ik": (CUBE, Y), "ijk,ijk->": (CUBE, CUBE + 1),
        "i,ij,j->": (V, X, T), "ij,jk,kl->il": (X, Y, real(2, 3)), "iij->j": (real(3, 3, 2),),
        "ij,kj->ik ": (Z, Z * 1j), "bi,bj,bk->ijk": (X, X + 1, X - 1),
    }.items()},
}  # fmt: skip

LINALG: dict[str, Case] = {
    **named("inv det slogdet pinv cond svdvals matrix_transpose trace diagonal norm", A, prefix="linalg."),
    **named("det svdvals", STACK, prefix="linalg.", note=", stacked"),
    **named("inv det pinv svdvals norm", C, prefix="linalg.", note=", complex"),
    **named("svdvals", TALL, prefix="linalg.", note=", tall"),
    **named("pinv", WIDE, prefix="linalg.", note=", wide"),
    **named("solve", A, V, prefix="linalg.", note=", vector"),
    **named("solve", A, X, prefix="linalg.", note=", matrix"),
    **named("solve", C, Q, prefix="linalg.", note=", complex"),
    **named("expm", A / 2, prefix="linalg."),
    "linalg.lstsq, matrix": (lambda xp, a, b: xp.linalg.lstsq(a, b)[0], TALL, Y),
    "linalg.tensorsolve": (lambda xp, a, b: xp.linalg.tensorsolve(a, b), regular(6).reshape(2, 3, 6), real(2, 3)),
    "linalg.tensorinv": (lambda xp, a: xp.linalg.tensorinv(a, ind=2), regular(6).reshape(2, 3, 6)),
    "linalg.cholesky": (lambda xp, x: xp.linalg.cholesky(symmetric(xp, x)), S),
    "linalg.cholesky, complex": (lambda xp, x: xp.linalg.cholesky(symmetric(xp, x)), H),
    "linalg.cholesky, upper": (lambda xp, x: xp.linalg.cholesky(symmetric(xp, x), upper=True), S),
    "linalg.cho_solve": (
        lambda xp, x, b: xp.linalg.cho_solve((xp.linalg.cholesky(symmetric(xp, x)), True), b), S, V),
    "linalg.solve_triangular": (lambda xp, a, b: xp.linalg.solve_triangular(xp.tril(a), b, lower=True), A, V),
    "linalg.solve_triangular, upper": (lambda xp, a, b: xp.linalg.solve_triangular(xp.triu(a), b), A, X),
    "linalg.solve_triangular, transposed": (lambda xp, a, b: xp.linalg.solve_triangular(xp.triu(a), b, trans=1), A, V),
    "linalg.qr": (lambda xp, x: xp.linalg.qr(x), A),
    "linalg.qr, tall": (lambda xp, x: xp.linalg.qr(x), TALL),
    "linalg.qr, R": (lambda xp, x: xp.linalg.qr(x, mode="r"), TALL),
    "linalg.eigvalsh": (lambda xp, x: xp.linalg.eigvalsh(symmetric(xp, x)), S),
    "linalg.eigvalsh, complex": (lambda xp, x: xp.linalg.eigvalsh(symmetric(xp, x)), H),
    "linalg.eigh, function of a matrix": (lambda xp, x: matrix_function(xp, x), S),
    "linalg.eigh, complex": (lambda xp, x: matrix_function(xp, x), H),
    "linalg.eigvals": (lambda xp, x: xp.sort(xp.linalg.eigvals(x).real), A),
    "linalg.eig, projector": (lambda xp, x: projector(xp, x), A),
    "linalg.svd, parts": (lambda xp, x: shrunk(xp, x), TALL),
    "linalg.svd, square": (lambda xp, x: shrunk(xp, x), A),
    "linalg.svd, wide": (lambda xp, x: shrunk(xp, x), WIDE),
    "linalg.svd, complex": (lambda xp, x: shrunk(xp, x), C),
    **{f"linalg.matrix_power {n}": (lambda xp, x, n=n: xp.linalg.matrix_power(x, n), A) for n in (0, 2, 5, -2)},
    **{f"linalg.norm, vector, {p}": (lambda xp, x, p=p: xp.linalg.norm(x, p), V)
       for p in (1, 2, 3, 1.5, np.inf, -np.inf)},
    **{f"linalg.norm, matrix, {p}": (lambda xp, x, p=p: xp.linalg.norm(x, p), X)
       for p in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)},
    **{f"linalg.norm, complex, {p}": (lambda xp, x, p=p: xp.linalg.norm(x, p), Q) for p in (1, 2, 3, np.inf)},
    "linalg.norm, axis": (lambda xp, x: xp.linalg.norm(x, axis=1, keepdims=True), CUBE),
    "linalg.vector_norm": (lambda xp, x: xp.linalg.vector_norm(x, axis=(0, 2), ord=3), CUBE),
    "linalg.matrix_norm": (lambda xp, x: xp.linalg.matrix_norm(x, ord="nuc"), CUBE),
    "linalg.outer": (lambda xp, x, y: xp.linalg.outer(x, y), V, T),
    "log of a determinant": (lambda xp, x: xp.linalg.slogdet(x @ x.T + xp.eye(3))[1], X),
    "quadratic form": (lambda xp, x, v: v @ xp.linalg.solve(x @ x.T, v), A, V),
}  # fmt: skip


def matrix_function(xp: Any, x: Any) -> Any:  # the same for each choice of eigenvectors
    values, vectors = xp.linalg.eigh(symmetric(xp, x))
    return (vectors * xp.sin(values)) @ xp.conj(vectors.T)


def projector(xp: Any, x: Any) -> Any:  # to the eigenspace of one eigenvalue
    values, vectors = xp.linalg.eig(x)
    weights = xp.exp(values)
    return (vectors * weights) @ xp.linalg.inv(vectors)


def shrunk(xp: Any, x: Any) -> Any:
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    return (u * xp.tanh(s)) @ vh, s


FOURIER: dict[str, Case] = {
    **named("fft ifft rfft ihfft", LINE, prefix="fft."),
    **named("fft ifft irfft hfft", cplx(5), prefix="fft.", note=", complex"),
    **named("fft2 rfft2 rfftn", IMAGE, prefix="fft."),
    **named("ifft2 fftn ifftn irfft2", cplx(4, 6), prefix="fft.", note=", complex"),
    **named("fftshift ifftshift", IMAGE, prefix="fft."),
    "fft.fft, longer": (lambda xp, x: xp.fft.fft(x, n=11), LINE),
    "fft.fft, shorter, axis 0": (lambda xp, x: xp.fft.fft(x, n=3, axis=0), IMAGE),
    "fft.rfft, odd": (lambda xp, x: xp.fft.rfft(x, n=7), LINE),
    "fft.irfft, odd": (lambda xp, x: xp.fft.irfft(x, n=9), cplx(5)),
    "fft.fft, ortho": (lambda xp, x: xp.fft.fft(x, norm="ortho"), cplx(5)),
    "fft.irfft, forward": (lambda xp, x: xp.fft.irfft(x, norm="forward"), cplx(5)),
    "fft.fftn, axes": (lambda xp, x: xp.fft.fftn(x, axes=(0, 2)), CUBE),
    "fft.rfftn, sizes": (lambda xp, x: xp.fft.rfftn(x, s=(5, 3), axes=(0, 1)), IMAGE),
    "power spectrum": (lambda xp, x: xp.abs(xp.fft.rfft(x)) ** 2, LINE),
    "filter": (lambda xp, x, h: xp.fft.irfft(xp.fft.rfft(x) * h, n=8), LINE, cplx(5)),
}

CONVOLUTIONS: dict[str, Case] = {
    "conv2d": (lambda xp, x, w: xp.conv2d(x, w), real(2, 3, 6, 5), real(4, 3, 3, 2)),
    "conv2d, padding": (lambda xp, x, w: xp.conv2d(x, w, padding=1), real(1, 2, 5, 5), real(3, 2, 3, 3)),
    "conv2d, stride": (lambda xp, x, w: xp.conv2d(x, w, stride=2, padding=1), real(1, 2, 6, 5), real(3, 2, 3, 3)),
    "conv2d, dilation": (lambda xp, x, w: xp.conv2d(x, w, dilation=2), real(1, 2, 7, 6), real(3, 2, 3, 2)),
    "conv2d, groups": (lambda xp, x, w: xp.conv2d(x, w, groups=2), real(1, 4, 5, 5), real(6, 2, 3, 3)),
    "conv2d, one by one": (lambda xp, x, w: xp.conv2d(x, w), real(2, 3, 4, 4), real(5, 3, 1, 1)),
}

CASES: dict[str, Case] = {**PRODUCTS, **LINALG, **FOURIER, **CONVOLUTIONS}
