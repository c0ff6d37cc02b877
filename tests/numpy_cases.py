"""A call or more of every NumPy function, to compare eagerflow with NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import eagerflow as ef

# Their first argument is a list of dtypes, or their result is one, a shape or a bool: plain Python values.
PLAIN_RESULTS = {
    "can_cast", "common_type", "iscomplexobj", "isrealobj", "may_share_memory", "min_scalar_type", "ndim",
    "result_type", "shape", "shares_memory", "size",
}  # fmt: skip


@dataclass
class Case:
    """A call ``run(xp, *arrays)`` of the function `name` in the namespace `xp`: NumPy or eagerflow."""

    name: str
    run: Callable[..., Any]
    arrays: tuple[Any, ...]
    gradient: bool = True  # with respect to all arrays


RNG = np.random.default_rng(7)
A = np.array([[0.5, 1.5, 0.2], [2.0, 0.1, 0.7]])
B = np.array([[1.1, -0.4, 0.9], [0.3, 2.2, -1.3]])
V = np.array([0.3, -1.2, 2.5, 0.8, -0.6])
W = np.array([0.7, 1.4, -0.2])
M = np.array([[3.0, 0.5, -0.2], [0.1, 2.0, 0.7], [0.4, -0.3, 1.5]])
S = M @ M.T
Z = A + 1j * B
N = np.where(A == 0.1, np.nan, A)
T = RNG.normal(size=(2, 3, 2))
I = np.array([2, 0, 1, 2])  # noqa: E741 - integers
P = np.array([[True, False, True], [False, False, True]])
T1 = np.linspace(0.0, 1.0, 7)

CASES: list[Case] = []


def case(name: str, *arrays: Any, run: Callable[..., Any] | None = None, **more: Any) -> None:
    """Add a case; without `run`, the function is called with the arrays."""

    def call(xp: Any, *given: Any) -> Any:
        return find(xp, name)(*given)

    CASES.append(Case(name, run or call, arrays, **more))


def call(name: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Return ``run(xp, *arrays)`` with further arguments."""
    return lambda xp, *arrays: find(xp, name)(*arrays, *args, **kwargs)


def find(xp: Any, name: str) -> Any:
    """Return the function of that name, also where it lives in a module of the namespace."""
    if xp is ef and name.startswith("lib.stride_tricks."):
        name = name.rpartition(".")[2]
    found = xp
    for part in name.split("."):
        found = getattr(found, part)
    return found


def plain(*names: str, arrays: tuple[Any, ...], **more: Any) -> None:
    """Add the same case to several functions."""
    for name in names:
        case(name, *arrays, **more)


# One array in.
plain(
    "amax", "amin", "angle", "atleast_1d", "atleast_2d", "atleast_3d", "average", "copy", "cumprod", "cumsum",
    "diag", "diagflat", "diff", "ediff1d", "flip", "fliplr", "flipud", "gradient", "i0", "imag", "linalg.cond",
    "linalg.matrix_norm", "linalg.norm", "linalg.vector_norm", "matrix_transpose", "max", "mean", "median", "min",
    "nan_to_num", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin", "nanprod", "nanstd", "nansum",
    "nanvar", "prod", "ptp", "ravel", "real", "real_if_close", "rot90", "sinc", "sort", "squeeze", "std",
    "sum", "transpose", "trapezoid", "trim_zeros", "tril", "triu", "unwrap", "var",
    arrays=(A,),
)  # fmt: skip
plain(
    "cov", "corrcoef", "fft.fft", "fft.fft2", "fft.fftn", "fft.fftshift", "fft.hfft", "fft.ifft", "fft.ifft2",
    "fft.ifftn", "fft.ifftshift", "fft.irfft", "fft.irfft2", "fft.irfftn", "fft.ihfft", "fft.rfft", "fft.rfft2",
    "fft.rfftn",
    arrays=(A,),
)  # fmt: skip
plain("around", "fix", "round", arrays=(B,))
plain(
    "all", "any", "argmax", "argmin", "argsort", "argwhere", "count_nonzero", "flatnonzero", "iscomplex", "isneginf",
    "isposinf", "isreal", "nanargmax", "nanargmin", "nonzero", "unique_counts", "unique_inverse", "unique_all",
    "ones_like", "zeros_like", *sorted(PLAIN_RESULTS - {"can_cast", "may_share_memory", "shares_memory"}),
    arrays=(A,), gradient=False,
)  # fmt: skip
case("linalg.cholesky", S, run=lambda xp, a: xp.linalg.cholesky((a + a.T) / 2))
case("linalg.eigvalsh", S, run=lambda xp, a: xp.linalg.eigvalsh((a + a.T) / 2))
case("linalg.eigh", S, run=lambda xp, a: xp.linalg.eigh((a + a.T) / 2)[1] ** 2)
plain("linalg.det", "linalg.diagonal", "linalg.inv", "linalg.matrix_transpose", "linalg.pinv", "linalg.qr",
      "linalg.slogdet", "linalg.svdvals", "linalg.trace", "diagonal", "trace", "poly", arrays=(M,))  # fmt: skip
case("linalg.matrix_power", M, run=call("linalg.matrix_power", 3))
case("linalg.matrix_rank", M, gradient=False)
case("linalg.eig", M, run=lambda xp, a: xp.abs(xp.linalg.eig(a)[1]))
case("linalg.eigvals", M, run=lambda xp, a: xp.sum(xp.real(xp.linalg.eigvals(a)) ** 2))
case("linalg.svd", M, run=lambda xp, a: xp.linalg.svd(a)[0] ** 2)
case("linalg.tensorinv", RNG.normal(size=(4, 2, 2)), run=call("linalg.tensorinv", 1))
case("linalg.tensorsolve", RNG.normal(size=(2, 2, 4)), RNG.normal(size=(2, 2)))
case("linalg.lstsq", RNG.normal(size=(4, 2)), RNG.normal(size=4), run=lambda xp, a, b: xp.linalg.lstsq(a, b)[0])
case("linalg.solve", M, W)
case("linalg.cross", M, M[::-1])
case("cross", M, M[::-1])
case("linalg.multi_dot", A, M, run=lambda xp, a, b: xp.linalg.multi_dot([a, b, b]))
plain("linalg.matmul", "dot", "kron", arrays=(A, M))
plain("linalg.vecdot", "vdot", "inner", "linalg.tensordot", "tensordot", arrays=(A, B))
plain("outer", "linalg.outer", "convolve", "correlate", "polyadd", "polysub", "polymul", "polydiv", arrays=(V, W))

# Several arrays, and further arguments.
case("allclose", A, B, gradient=False)
case("append", A, B)
case("append", A, B, run=call("append", axis=1))
case("apply_along_axis", A, run=lambda xp, a: xp.apply_along_axis(lambda line: line * line[0], 1, a))
case("apply_over_axes", A, run=lambda xp, a: xp.apply_over_axes(xp.sum, a, [0, 1]))
case("argpartition", V, run=lambda xp, a: xp.argpartition(a, 2)[2], gradient=False)
case("partition", V, run=lambda xp, a: xp.partition(a, 2)[2])
plain(
    "array_equal", "array_equiv", "isclose", "isin", "may_share_memory", "shares_memory", arrays=(A, B), gradient=False
)
case("array_split", V, run=call("array_split", 2))
case("astype", A, run=call("astype", np.float64))
case("average", A, B**2, run=lambda xp, a, w: xp.average(a, 0, w))
case("bincount", I, gradient=False)
case("bincount", V[:4], run=lambda xp, w: xp.bincount(xp.asarray(I) if xp is ef else I, w))
case("block", A, B, run=lambda xp, a, b: xp.block([[a, b], [b, a]]))
case("broadcast_arrays", A, W)
case("broadcast_to", W, run=call("broadcast_to", (2, 3)))
case("can_cast", A, run=lambda xp, a: xp.can_cast(a.dtype, np.float32), gradient=False)
case("choose", A, B, run=lambda xp, a, b: xp.choose(xp.asarray(P.astype(int)), [a, b]))
case("clip", A, run=call("clip", 0.3, 1.0))
for joining in ("column_stack", "dstack", "hstack", "stack", "vstack", "concat", "concatenate"):
    case(joining, A, B, run=lambda xp, a, b, name=joining: find(xp, name)([a, b]))
case("compress", A, run=lambda xp, a: xp.compress([True, False, True], a, axis=1))
case("convolve", V, W, run=call("convolve", "same"))
case("correlate", V, W, run=call("correlate", "full"))
case("cumulative_prod", V, run=call("cumulative_prod", include_initial=True))
case("cumulative_sum", V, run=call("cumulative_sum", include_initial=True))
case("cov", A, B**2, run=lambda xp, a, w: xp.cov(a, aweights=w[0]))
case("delete", A, run=call("delete", [0, 2], 1))
case("diag_indices_from", M, gradient=False)
case("digitize", A, W, run=lambda xp, a, b: xp.digitize(a, xp.sort(b)), gradient=False)
case("diff", A, run=call("diff", n=2))
case("dsplit", T, run=call("dsplit", 2))
case("hsplit", A, run=call("hsplit", [1]))
case("vsplit", A, run=call("vsplit", 2))
case("split", V, run=call("split", [1, 3]))
case("unstack", A)
case("ediff1d", A, run=call("ediff1d", to_end=[1.0, 2.0], to_begin=0.5))
case("einsum", A, M, run=lambda xp, a, b: xp.einsum("ij,jk->ki", a, b))
case("empty_like", A, run=lambda xp, a: xp.empty_like(a) * 0, gradient=False)
case("full_like", A, run=call("full_like", 2.0), gradient=False)
case("expand_dims", A, run=call("expand_dims", 1))
case("extract", A, run=lambda xp, a: xp.extract(xp.asarray(P), a))
case("geomspace", A[0], B[0] ** 2, run=call("geomspace", 4))
case("gradient", A, W[:2] ** 2, run=lambda xp, a, h: xp.gradient(a, xp.cumsum(h), axis=0))
case("gradient", T1**3, T1, run=call("gradient", edge_order=2))
case("histogram", A, run=lambda xp, w: xp.histogram(xp.asarray(B), 3, weights=w, density=True)[0])
case("histogram", A, run=lambda xp, a: xp.histogram(a, 3)[0], gradient=False)
case("histogram2d", V, run=lambda xp, w: xp.histogram2d(xp.asarray(V), xp.asarray(V[::-1]), 3, weights=w)[0])
case("histogramdd", V, run=lambda xp, w: xp.histogramdd(xp.stack([xp.asarray(V)] * 2, axis=1), 2, weights=w)[0])
case("histogram_bin_edges", A, run=call("histogram_bin_edges", 4))
case("histogram_bin_edges", A, run=call("histogram_bin_edges", "auto"))
case("insert", A, W, run=lambda xp, a, v: xp.insert(a, 1, v, axis=0))
case("insert", V, W, run=lambda xp, a, v: xp.insert(a, [0, 2, 2], v))
case("interp", T1 * 3 - 1.01, np.sort(V), V)
case("interp", T1 * 3 - 1.01, V, V**2, run=call("interp", period=1.9))
case("intersect1d", V, run=lambda xp, a: xp.intersect1d(a, a[1:3]))
case("union1d", V, W)
case("setdiff1d", V, W)
case("setxor1d", V, W)
case("ix_", I, I, gradient=False)
case("lexsort", A, gradient=False)
case("linspace", A, B, run=call("linspace", 4))
case("logspace", A, B, run=call("logspace", 4))
case("meshgrid", V, W)
case("moveaxis", T, run=call("moveaxis", 0, -1))
case("nan_to_num", N)
case("nanmax", N, run=call("nanmax", axis=0))
case("nanmedian", N, run=call("nanmedian", axis=0))
for reduction in ("nansum", "nanprod", "nanmean", "nanstd", "nanvar", "nanmin"):
    case(reduction, N, run=call(reduction, axis=1))
for method in ("linear", "hazen", "midpoint", "nearest", "inverted_cdf", "median_unbiased", "averaged_inverted_cdf"):
    case("quantile", A, run=call("quantile", [0.3, 0.8], axis=0, method=method))
    case("nanquantile", N, run=call("nanquantile", [0.3, 0.8], axis=1, method=method))
case("quantile", V, np.array([0.31, 0.87]))
case("quantile", A, run=call("quantile", 0.4, axis=1, method="inverted_cdf", weights=np.array([0.2, 0.5, 0.9])))
case("percentile", V, np.array(31.0))
case("nanpercentile", N, np.array([31.0, 60.0]))
case("packbits", P, gradient=False)
case("unpackbits", I.astype(np.uint8), gradient=False)
for mode in ("constant", "edge", "linear_ramp", "maximum", "mean", "median", "minimum", "reflect", "symmetric", "wrap"):
    case("pad", A, run=call("pad", ((1, 0), (2, 3)), mode))
case("pad", V, run=call("pad", 7, "reflect", reflect_type="odd"))
case("permute_dims", T, run=call("permute_dims", (2, 0, 1)))
case("piecewise", A, run=lambda xp, a: xp.piecewise(a, [a < 0.4, a > 1.2], [lambda v: v * v, lambda v: -v, 3.0]))
case("polyder", V, run=call("polyder", 2))
case("polyfit", T1, np.cos(T1), run=call("polyfit", 2))
case("polyint", V, W, run=lambda xp, p, k: xp.polyint(p, 2, k[:2]))
case("polyval", V, A)
case("put", V, W, run=lambda xp, a, v: written(xp, "put", a, [0, 3, 1], v))
case("place", V, W, run=lambda xp, a, v: written(xp, "place", a, V > 0, v))
case("putmask", V, W, run=lambda xp, a, v: written(xp, "putmask", a, V > 0, v))
case("fill_diagonal", M, W, run=lambda xp, a, v: written(xp, "fill_diagonal", a, v))
case("copyto", A, B, run=lambda xp, a, v: written(np, "copyto", a, v, where=P))
case("put_along_axis", A, B, run=lambda xp, a, v: written(xp, "put_along_axis", a, np.array([[1], [2]]), v[:, :1], 1))
case("ravel_multi_index", I, I, run=lambda xp, i, j: xp.ravel_multi_index((i, j), (3, 4)), gradient=False)
case("unravel_index", I, run=call("unravel_index", (3, 4)), gradient=False)
case("repeat", A, run=call("repeat", [1, 2, 0], axis=1))
case("reshape", A, run=call("reshape", (3, 2)))
case("resize", A, run=call("resize", (2, 5)))
case("roll", A, run=call("roll", 1, axis=1))
case("rollaxis", T, run=call("rollaxis", 2))
case("roots", np.poly([0.5, 1.0, 2.2]), run=lambda xp, p: xp.sort(xp.real(xp.roots(p))))
case("searchsorted", np.sort(V), W, gradient=False)
case("select", A, B, run=lambda xp, a, b: xp.select([a > 1, b > 0], [a * b, b], 0.5))
case("sort_complex", Z)
case("swapaxes", T, run=call("swapaxes", 0, 2))
case("take", A, run=call("take", [0, 2, 2], axis=1))
case("take_along_axis", A, run=lambda xp, a: xp.take_along_axis(a, np.argsort(A, axis=1), 1))
case("tile", A, run=call("tile", (2, 2)))
case("trapezoid", A, B, run=lambda xp, y, x: xp.trapezoid(y, xp.cumsum(x**2, axis=1), axis=1))
plain("tril_indices_from", "triu_indices_from", arrays=(M,), gradient=False)
case("unique", I, gradient=False)
case("unique_values", I, run=lambda xp, a: xp.sort(xp.unique_values(a)), gradient=False)
case("unwrap", V * 4)
case("vander", V, run=call("vander", 3))
case("where", A, B, run=lambda xp, a, b: xp.where(P, a, b))
case("lib.stride_tricks.sliding_window_view", A, run=call("lib.stride_tricks.sliding_window_view", 2, 1))

# Complex numbers.
case("convolve", Z[0], Z[1])
case("correlate", Z[0], Z[1])
case("cov", Z)
case("nanmean", Z)
case("nanstd", Z)
case("kron", Z, Z)
case("polyval", Z[0], Z[1])
case("trapezoid", Z)
case("interp", T1[1:] * 2 - 0.51, np.sort(W), Z[0])
case("pad", Z, run=call("pad", 2, "reflect"))


def written(xp: Any, name: str, target: Any, *args: Any, **kwargs: Any) -> Any:
    """Return what a function that writes makes of a copy; those of `ef` return it."""
    if xp is ef and hasattr(ef, name):
        axis = args[-1:] if name == "put_along_axis" else ()
        return getattr(ef, name)(target, *(args[:-1] if axis else args), **({"axis": axis[0]} if axis else kwargs))
    copied = target * 1.0
    getattr(np, name)(copied, *args, **kwargs)
    return copied
