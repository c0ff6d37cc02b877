"""Cases that are compared with JAX: reductions, shapes, indexing, sorting, statistics and signals."""

from __future__ import annotations

import numpy as np

from jax_cases import Case, cplx, named, real

X, Y = real(3, 4), real(3, 4, seed=1)
CUBE = real(2, 3, 4)
V, U = real(5), real(5, seed=1)
LONG = real(9, seed=3)
Z, Q = cplx(3, 4), cplx(5)
HOLES = np.where(real(3, 4, seed=7) < -1, np.nan, X)
ZEROS = np.where(np.arange(12).reshape(3, 4) % 5 == 1, 0.0, X)
ROWS, COLUMNS = np.array([0, 2, 2]), np.array([3, 1, 1])
MASK = X > 0

REDUCTIONS: dict[str, Case] = {
    **named("sum prod mean var std max min ptp median average", X),
    **named("sum prod mean var std", Z, note=", complex"),
    **named("nansum nanprod nanmean nanvar nanstd nanmax nanmin nanmedian", HOLES),
    **{f"{name}, axis 1": (lambda xp, x, name=name: getattr(xp, name)(x, axis=1), CUBE)
       for name in ("sum", "prod", "mean", "std", "max", "ptp")},
    **{f"{name}, axes": (lambda xp, x, name=name: getattr(xp, name)(x, axis=(0, 2), keepdims=True), CUBE)
       for name in ("sum", "prod", "var", "min", "median")},
    "var, ddof": (lambda xp, x: xp.var(x, axis=0, ddof=1), X),
    "std, ddof, complex": (lambda xp, z: xp.std(z, axis=0, ddof=1), Z),
    "average, weights": (lambda xp, x, w: xp.average(x, axis=0, weights=w), X, np.abs(Y[:, 0])),
    "prod with a zero": (lambda xp, x: xp.prod(x, axis=1), ZEROS),
    "cumprod with a zero": (lambda xp, x: xp.cumprod(x, axis=1), ZEROS),
    "nansum, axis": (lambda xp, x: xp.nansum(x, axis=1), HOLES),
    "nanmean, axis": (lambda xp, x: xp.nanmean(x, axis=0), HOLES),
    "nancumsum": (lambda xp, x: xp.nancumsum(x, axis=1), HOLES),
    "nanquantile": (lambda xp, x: xp.nanquantile(x, 0.4, axis=1), HOLES),
    **named("cumsum", X), **named("cumprod", Z, note=", complex"),
    "cumsum, axis": (lambda xp, x: xp.cumsum(x, axis=1), CUBE),
    "cumulative_sum": (lambda xp, x: xp.cumulative_sum(x, axis=0, include_initial=True), X),
    "cumulative_prod": (lambda xp, x: xp.cumulative_prod(x, axis=0), X),
    "max along a ramp": (lambda xp, x: xp.max(xp.cumsum(x * x, axis=0), axis=0), X),
    "count_nonzero": (lambda xp, x: xp.count_nonzero(x, axis=0) * xp.sum(x), X),
    "argmax as index": (lambda xp, x: x.ravel()[xp.argmax(x)], X),
    "trace": (lambda xp, x: xp.trace(x, offset=1), X),
    "trace, stacked": (lambda xp, x: xp.trace(x, axis1=1, axis2=2), CUBE),
}  # fmt: skip

STATISTICS: dict[str, Case] = {
    "quantile": (lambda xp, x: xp.quantile(x, 0.3, axis=0), X),
    "quantile, several": (lambda xp, x: xp.quantile(x, np.array([0.1, 0.5, 0.9])), X),
    **{f"quantile, {method}": (lambda xp, x, method=method: xp.quantile(x, 0.37, axis=1, method=method), X)
       for method in ("lower", "midpoint")},
    **named("cov corrcoef", X), "cov, two": (lambda xp, x, y: xp.cov(x, y, ddof=0), V, U),
    "histogram, weights": (lambda xp, w: xp.histogram(V, bins=4, weights=w)[0], U),
    "bincount, weights": (lambda xp, w: xp.bincount(np.array([0, 1, 1, 3, 0]), weights=w, minlength=5), U),
    "digitize": (lambda xp, x: xp.digitize(x, np.array([-1.0, 0.0, 1.0])) * x, V),
    "standardized": (lambda xp, x: (x - xp.mean(x, axis=0)) / xp.std(x, axis=0), X),
}  # fmt: skip

ORDER: dict[str, Case] = {
    "sort": (lambda xp, x: xp.sort(x), X),
    "sort, axis 0": (lambda xp, x: xp.sort(x, axis=0), X),
    "sort, flat": (lambda xp, x: xp.sort(x, axis=None), X),
    "sort, descending": (lambda xp, x: xp.sort(x, descending=True), X),
    "argsort as index": (lambda xp, x: xp.take_along_axis(x * x, xp.argsort(x, axis=1), axis=1), X),
    "partition": (lambda xp, x: xp.sort(xp.partition(x, 2)[..., :3]), X),
    "searchsorted": (lambda xp, x: xp.searchsorted(np.array([-1.0, 0.0, 1.0]), x) * x, V),
    "lexsort": (lambda xp, x: x[xp.lexsort((x,))], V),
}

SHAPES: dict[str, Case] = {
    **named("ravel transpose flip fliplr flipud rot90 atleast_3d tril triu diag diagonal matrix_transpose", X),
    **named("diag atleast_2d", V, note=", vector"),
    "reshape": (lambda xp, x: xp.reshape(x, (2, 6)), X),
    "reshape, method": (lambda xp, x: x.reshape(4, -1) * 2, X),
    "transpose, axes": (lambda xp, x: xp.transpose(x, (2, 0, 1)), CUBE),
    "permute_dims": (lambda xp, x: xp.permute_dims(x, (1, 2, 0)), CUBE),
    "moveaxis": (lambda xp, x: xp.moveaxis(x, 0, -1), CUBE),
    "swapaxes": (lambda xp, x: xp.swapaxes(x, 0, 2), CUBE),
    "rollaxis by moveaxis": (lambda xp, x: xp.moveaxis(x, (0, 1), (1, 2)), CUBE),
    "expand_dims": (lambda xp, x: xp.expand_dims(x, (0, 2)), X),
    "squeeze": (lambda xp, x: xp.squeeze(x[None, :, :1]), X),
    "broadcast_to": (lambda xp, x: xp.broadcast_to(x, (2, 3, 4)), X),
    "broadcast_arrays": (lambda xp, x, y: xp.broadcast_arrays(x, y), X, Y[:1]),
    "tile": (lambda xp, x: xp.tile(x, (2, 1, 2)), X),
    "repeat": (lambda xp, x: xp.repeat(x, 3, axis=1), X),
    "repeat, counts": (lambda xp, x: xp.repeat(x, np.array([1, 0, 2]), axis=0), X),
    "roll": (lambda xp, x: xp.roll(x, 5), X),
    "roll, axes": (lambda xp, x: xp.roll(x, (1, -2), axis=(0, 1)), X),
    "flip, axes": (lambda xp, x: xp.flip(x, (0, 2)), CUBE),
    "rot90, axes": (lambda xp, x: xp.rot90(x, 3, axes=(1, 2)), CUBE),
    "tril, k": (lambda xp, x: xp.tril(x, k=-1), CUBE),
    "triu, k, complex": (lambda xp, z: xp.triu(z, k=1), Z),
    "concat": (lambda xp, x, y: xp.concat([x, y * 2, x], axis=1), X, Y),
    "concatenate, flat": (lambda xp, x, y: xp.concatenate([x, y], axis=None), X, V),
    "stack": (lambda xp, x, y: xp.stack([x, y], axis=1), X, Y),
    "vstack": (lambda xp, x, y: xp.vstack([x, y]), X, Y),
    "hstack": (lambda xp, x, y: xp.hstack([x, y]), V, U),
    "dstack": (lambda xp, x, y: xp.dstack([x, y]), X, Y),
    "column_stack": (lambda xp, x, y: xp.column_stack([x, y]), V, U),
    "append": (lambda xp, x, y: xp.append(x, y, axis=0), X, Y),
    "split": (lambda xp, x: xp.split(x, 2, axis=1), X),
    "array_split": (lambda xp, x: xp.array_split(x, 2), V),
    "unstack": (lambda xp, x: xp.unstack(x, axis=1), X),
    "block": (lambda xp, x, y: xp.block([[x, y], [y, x]]), X, Y),
    "pad, constant": (lambda xp, x: xp.pad(x, ((1, 2), (0, 3))), X),
    **{f"pad, {mode}": (lambda xp, x, mode=mode: xp.pad(x, ((1, 2), (2, 1)), mode=mode), X)
       for mode in ("edge", "reflect", "symmetric", "wrap", "mean")},
    "insert": (lambda xp, x, y: xp.insert(x, 1, y, axis=0), X, Y[0]),
    "delete": (lambda xp, x: xp.delete(x, np.array([0, 2]), axis=1), X),
    "resize": (lambda xp, x: xp.resize(x, (5, 3)), X),
    "meshgrid": (lambda xp, x, y: xp.meshgrid(x, y, indexing="ij"), V, U),
    "trim and ravel": (lambda xp, x: x.T.ravel()[1:-1], X),
    "linspace": (lambda xp, x, y: xp.linspace(x, y, 4), V, U),
    "geomspace": (lambda xp, x, y: xp.geomspace(x, y, 4), np.abs(V) + 0.1, np.abs(U) + 0.1),
    "logspace": (lambda xp, x, y: xp.logspace(x, y, 3), V, U),
    "full": (lambda xp, x: xp.full((2, 3), x), np.array(1.5)),
    "vander": (lambda xp, x: xp.vander(x, 4), V),
    "as complex": (lambda xp, x: x.astype(complex) * (1 + 2j), X),
}  # fmt: skip

INDEXING: dict[str, Case] = {
    "one element": (lambda xp, x: x[1, 2], X),
    "row": (lambda xp, x: x[-1], X),
    "slices": (lambda xp, x: x[1:, ::2], X),
    "negative steps": (lambda xp, x: x[::-1, 3:0:-2], X),
    "ellipsis and new axes": (lambda xp, x: x[..., None, 1], CUBE),
    "integer arrays": (lambda xp, x: x[ROWS, COLUMNS], X),
    "integer arrays and slices": (lambda xp, x: x[:, ROWS, 1:3], CUBE),
    "integer arrays apart": (lambda xp, x: x[np.array([0, 1, 1]), :, COLUMNS], CUBE),
    "boolean mask": (lambda xp, x: x[MASK], X),
    "boolean rows": (lambda xp, x: x[np.array([True, False, True])], X),
    "open mesh": (lambda xp, x: x[np.ix_([0, 2], [1, 1, 3])], X),
    "complex elements": (lambda xp, z: z[ROWS, COLUMNS] * 1j, Z),
    "take": (lambda xp, x: xp.take(x, COLUMNS, axis=1), X),
    "take, flat": (lambda xp, x: xp.take(x, np.array([[0, 5], [5, 11]])), X),
    "take_along_axis": (lambda xp, x: xp.take_along_axis(x, np.array([[0, 3], [1, 1], [2, 0]]), axis=1), X),
    "compress": (lambda xp, x: xp.compress(np.array([True, False, True]), x, axis=0), X),
    "set an element": (lambda xp, x, v: xp.put(x * x, (1, 2), v), X, np.array(0.5)),
    "set a row": (lambda xp, x, v: xp.put(x, 1, v), X, Y[0]),
    "set slices": (lambda xp, x, v: xp.put(x * 2, (slice(1, None), slice(None, None, 2)), v), X, Y[1:, ::2]),
    "set, broadcast": (lambda xp, x, v: xp.put(x, (slice(None), 1), v), X, np.array(0.5)),
    "set integer arrays": (lambda xp, x, v: xp.put(x, (np.array([0, 2]), np.array([3, 1])), v), X, V[:2]),
    "set by mask": (lambda xp, x: xp.put(x * x, MASK, 0.0), X),
    "set complex": (lambda xp, z, v: xp.put(z, (0, slice(None)), v), Z, X[0]),
    "set twice": (lambda xp, x, v: xp.put(xp.put(x, 0, v), (slice(None), 0), v[:3]), X, Y[0]),
    "add to slices": (lambda xp, x, v: xp.push(x, (slice(0, 2),), v), X, Y[:2]),
    "add to repeated": (lambda xp, x, v: xp.push(x, (ROWS, COLUMNS), v), X, V[:3]),
    "add to repeated rows": (lambda xp, x, v: xp.push(x, (ROWS,), v), X, Y),
}  # fmt: skip

SIGNALS: dict[str, Case] = {
    **{f"convolve, {mode}": (lambda xp, x, y, mode=mode: xp.convolve(x, y, mode), LONG, V[:3])
       for mode in ("full", "same")},
    **{f"correlate, {mode}": (lambda xp, x, y, mode=mode: xp.correlate(x, y, mode), LONG, V[:3])
       for mode in ("full", "same", "valid")},
    "convolve, complex": (lambda xp, x, y: xp.convolve(x, y), Q, Q[:3] * 1j),
    "correlate, complex": (lambda xp, x, y: xp.correlate(x, y, "full"), Q, Q[:3] * 1j),
    "diff": (lambda xp, x: xp.diff(x, n=2, axis=1), X),
    "diff, prepend": (lambda xp, x, y: xp.diff(x, axis=1, prepend=y), X, Y[:, :1]),
    "ediff1d": (lambda xp, x: xp.ediff1d(x), X),
    "gradient": (lambda xp, x: xp.gradient(x), X),
    "gradient, spacing": (lambda xp, x: xp.gradient(x, 0.3, axis=1), X),
    "trapezoid": (lambda xp, x: xp.trapezoid(x, dx=0.2), X),
    "trapezoid, x": (lambda xp, y, x: xp.trapezoid(y, x), V, U),
    "interp": (lambda xp, x, y: xp.interp(x, np.array([-2.5, -1.0, 0.0, 1.0, 2.5]), y), X, V),
    "unwrap": (lambda xp, x: xp.unwrap(x), 3 * LONG),
    "polyval": (lambda xp, p, x: xp.polyval(p, x), V, X),
    "polyadd": (lambda xp, p, q: xp.polyadd(p, q), V, U[:3]),
    "polysub": (lambda xp, p, q: xp.polysub(p, q), V, U[:3]),
    "polymul": (lambda xp, p, q: xp.polymul(p, q), V, U[:3]),
    "polyder": (lambda xp, p: xp.polyder(p, 2), V),
    "polyint": (lambda xp, p: xp.polyint(p), V),
    "polyfit": (lambda xp, y: xp.polyfit(np.arange(5.0), y, 2), V),
    "poly": (lambda xp, r: xp.poly(r), V),
}  # fmt: skip

CASES: dict[str, Case] = {**REDUCTIONS, **STATISTICS, **ORDER, **SHAPES, **INDEXING, **SIGNALS}
