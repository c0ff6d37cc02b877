"""Functions of arrays some of whose lengths are symbolic, to capture with some sizes and to run with others.

An array is written as its lengths: a letter for a symbolic one. ``int`` behind them makes small integers, ``bool``
truths, ``complex`` complex numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eagerflow as ef
from eagerflow import nn

Case = tuple[Callable[..., Any], *tuple[str, ...]]

FIRST = {"N": 5, "M": 7, "K": 3, "H": 9, "W": 8}
SECOND = {"N": 8, "M": 6, "K": 4, "H": 13, "W": 10}


TABLE = ef.asarray([float(i) for i in range(64)])


def _assigned(x: Any, index: Any, value: Any) -> Any:
    y = x.copy()
    y[index] = value
    return y


def _gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs: ef.grad(lambda *ys: ef.sum(f(*ys) ** 2), argnums=tuple(range(len(xs))))(*xs)


CASES: dict[str, Case] = {
    # Numbers made of lengths.
    "mean by hand": (lambda x: x.sum() / x.shape[0], "N 3"),
    "scaled by 1 / n": (lambda x: x * (1 / x.shape[0]) + x.size, "N M"),
    "length times a number": (lambda x: (x.shape[0] * 0.5) * x - x.shape[0] // 2, "N"),
    "power of a length": (lambda x: x * x.shape[-1] ** -0.5, "N K"),
    "as a Tensor": (lambda x: ef.sqrt(ef.asarray(x.shape[0])) + x, "N"),
    "lengths stacked": (lambda x: ef.asarray([x.shape[0], 2, x.size]), "N M"),
    "max of lengths": (lambda x: x * max(x.shape[0], 2), "N"),
    # Shapes.
    "reshape": (lambda x: x.reshape(x.shape[0], -1), "N 3 2"),
    "reshape joins": (lambda x: x.reshape(-1, x.shape[-1]), "N M 4"),
    "reshape to heads": (lambda x: x.reshape(*x.shape[:-1], 2, -1).swapaxes(1, 2), "N M 4"),
    "reshape halves": (lambda x: ef.concat([x, x]).reshape(2, -1), "N"),
    "ravel": (lambda x: ef.ravel(x), "N M"),
    "transpose": (lambda x: x.T @ x, "N M"),
    "moveaxis": (lambda x: ef.moveaxis(x, 0, -1), "N M K"),
    "expand and squeeze": (lambda x: ef.squeeze(x[None, :, None], 0) * x, "N"),
    "broadcast_to": (lambda x, y: ef.broadcast_to(x, (y.shape[0], *x.shape)), "3", "N"),
    "broadcast_to of a constant": (lambda x: ef.broadcast_to(ef.asarray([1.0, 2.0]), (x.shape[0], 2)) + x, "N 2"),
    "constants": (lambda x: (TABLE[: x.shape[0]] * 2, TABLE[x.shape[0] - 1], TABLE[None, 2 : x.shape[0]]), "N"),
    "a constant as long as an input": (lambda x: ef.broadcast_arrays(TABLE[:1], x)[0].reshape(x.shape[0], 1), "N"),
    "a constant with a length more": (lambda x: (ef.pad(TABLE, (0, x.shape[0])), ef.tile(TABLE, x.shape[0])), "N"),
    "broadcasting": (lambda x, y: x[:, None] * y - x.shape[0], "N", "M"),
    "broadcast_arrays": (lambda x, y: ef.broadcast_arrays(x, y), "N 1", "M"),
    "flip and roll": (lambda x: ef.roll(ef.flip(x, axis=0), 2, axis=1), "N M"),
    "roll flat": (lambda x: ef.roll(x, -1), "N M"),
    "tile and repeat": (lambda x: ef.tile(x, (2, 3)) + ef.repeat(ef.repeat(x, 2, axis=0), 3, axis=1), "N M"),
    "tile by a length": (lambda x, y: ef.tile(x, y.shape[0]), "N", "M"),
    "repeat by a length": (lambda x, y: ef.repeat(x, y.shape[0]), "N", "M"),
    "atleast_3d": (lambda x: ef.atleast_3d(x), "N M"),
    "meshgrid": (lambda x, y: ef.meshgrid(x, y), "N", "M"),
    # Indices.
    "slices": (lambda x: (x[1:], x[:-1], x[::2], x[::-1], x[-1], x[..., 0], x[1:-1:2]), "N M"),
    "slice at the half": (lambda x: x[: x.shape[0] // 2] + x[x.shape[0] - x.shape[0] // 2 :], "N M"),
    "last by its number": (lambda x: x[x.shape[0] - 1], "N M"),
    "new axes": (lambda x: x[None, ..., None, :], "N M"),
    "index arrays": (lambda x: (x[[0, 1, -1]], x[:, [1, 0]], x[[0, 1], [1, 0]], x[[0, 1], :, [[1], [0]]]), "N M K"),
    "index by an input": (lambda x, i: (x[i], x[i, 0], x[0, i[:, None]]), "N 9", "M int"),
    "mask with where": (lambda x: ef.where(x > 0, x, x.shape[1]), "N M"),
    "assignment": (lambda x: _assigned(x, (slice(1, None), 0), 7.0), "N M"),
    "assignment of an array": (lambda x, v: _assigned(x, slice(None), v), "N M", "M"),
    "assignment at positions": (lambda x, i: _assigned(x, i, 1.0), "N M", "3 int"),
    "take": (lambda x, i: ef.take(x, i, axis=1), "N 9", "M int"),
    "take_along_axis": (lambda x: ef.take_along_axis(x, ef.argsort(x, axis=0), 0), "N M"),
    "add_at": (lambda x, i: ef.add_at(ef.zeros((9, x.shape[1])), i, x), "N M", "N int"),
    "diagonal and trace": (lambda x: (ef.diagonal(x), ef.trace(x), ef.tril(x), ef.triu(x, 1)), "N N"),
    "fill_diagonal": (lambda x: ef.fill_diagonal(x, 1.0), "N N"),
    "diag": (lambda x: (ef.diag(x), ef.diag(ef.diag(x))), "N"),
    # Several arrays.
    "concat": (lambda x, y: ef.concat([x, y, x], axis=0), "N 3", "M 3"),
    "stack and unstack": (lambda x: ef.unstack(ef.stack([x, x * 2], axis=1), axis=1), "N"),
    "split at numbers": (lambda x: ef.split(x, [1, 3]), "N M"),
    "split gates": (lambda x: ef.split(x, 4, axis=-1), "N 8"),
    "pad": (lambda x: ef.pad(x, ((1, 2), (0, 3))), "N M"),
    "pad to a multiple": (lambda x: ef.pad(x, (0, -x.shape[0] % 4)), "N"),
    "pad by a length": (lambda x, y: ef.pad(x, ((0, y.shape[0]), (0, 0))), "N 2", "M"),
    **{f"pad {m}": (lambda x, m=m: ef.pad(x, ((1, 2), (2, 1)), m), "N M")
       for m in ("edge", "reflect", "symmetric", "wrap", "mean", "linear_ramp")},
    "pad turned over": (lambda x: ef.pad(x, 2, "reflect", reflect_type="odd"), "N"),
    "windows": (lambda x: ef.sliding_window_view(x, 3), "N"),
    "convolve": (lambda x, y: ef.convolve(x, y), "M", "3"),
    "where": (lambda c, x, y: ef.where(c, x, y), "N bool", "M N", "1"),
    # Creation.
    "zeros, ones, full": (lambda x: (ef.zeros(x.shape), ef.ones((x.shape[0], 3)), ef.full(x.shape[1], 2.5)), "N M"),
    "like": (lambda x: (ef.zeros_like(x), ef.ones_like(x), ef.full_like(x, 3), ef.empty_like(x)), "N M"),
    "arange": (lambda x: (ef.arange(x.shape[0]), ef.arange(1, 2 * x.shape[0], 2), ef.arange(x.shape[0], 0, -1)), "N"),
    "arange as positions": (lambda x: x * ef.arange(x.shape[1], dtype=x.dtype), "N M"),
    "eye, tri, identity": (lambda x: (ef.eye(x.shape[0]), ef.eye(*x.shape, k=1), ef.tri(x.shape[1])), "N M"),
    "linspace": (lambda x: ef.linspace(0.0, 1.0, x.shape[0]) * x, "N"),
    "causal mask": (lambda x: ef.where(ef.tri(x.shape[0], dtype=bool), x, -1.0), "N N"),
    "one_hot": (lambda i: nn.one_hot(i, 9), "N int"),
    "one_hot of a length": (lambda i, x: nn.one_hot(i, 3 * x.shape[0]), "M int", "K"),
    # Reductions and order.
    "reductions": (lambda x: (x.sum(0), x.mean((0, 1)), x.max(1, keepdims=True), x.var(0), x.std(), x.prod(-1)), "N M"),
    "argmax": (lambda x: (ef.argmax(x), ef.argmin(x, axis=0)), "N M"),
    "cumulative": (lambda x: (ef.cumsum(x, axis=0), ef.cumprod(x, axis=1), ef.diff(x, axis=0)), "N M"),
    "sort": (lambda x: (ef.sort(x, axis=0), ef.argsort(x), ef.median(x, axis=0)), "N M"),
    "quantile": (lambda x: ef.quantile(x, 0.3, axis=0), "N M"),
    "partition": (lambda x: ef.partition(x, 1, axis=0)[1], "N M"),
    "average": (lambda x, w: ef.average(x, axis=0, weights=w), "N M", "N"),
    "cov": (lambda x: (ef.cov(x), ef.corrcoef(x)), "N M"),
    "norms": (lambda x: (ef.linalg.norm(x), ef.linalg.vector_norm(x, axis=1)), "N M"),
    # Linear algebra.
    "matmul": (lambda x, y: x @ y, "N M", "M K"),
    "matmul of stacks": (lambda x, y: x @ y, "N 2 M 3", "2 3 K"),
    "matmul with a vector": (lambda x, v: (x @ v, v @ x.T), "N M", "M"),
    "einsum": (lambda x, y: ef.einsum("nij,njk->nik", x, y), "N M 3", "N 3 K"),
    "einsum of three": (lambda x, y, z: ef.einsum("ij,jk,kl->il", x, y, z), "N M", "M K", "K 2"),
    "einsum of a trace": (lambda x: ef.einsum("ii->i", x) + ef.einsum("ii", x), "N N"),
    "tensordot": (lambda x, y: ef.tensordot(x, y, 2), "N M 3", "M 3 K"),
    "outer, kron": (lambda x, y: (ef.outer(x, y), ef.kron(x, y)), "N", "M"),
    "solve": (lambda x, b: ef.linalg.solve(x @ x.mT + 5 * ef.eye(x.shape[0]), b), "N N", "N M"),
    "cholesky": (lambda x: ef.linalg.cholesky(x @ x.mT + 5 * ef.eye(x.shape[-1])), "K N N"),
    "inv, det": (lambda x: (ef.linalg.inv(x + 5 * ef.eye(x.shape[0])), ef.linalg.slogdet(x)), "N N"),
    "svd": (lambda x: ef.linalg.svdvals(x), "H 4"),
    "fft": (lambda x: (ef.fft.fft(x), ef.fft.rfft(x), ef.fft.irfft(x), ef.fft.fft2(x)), "N M"),
    "fftfreq": (lambda x: (ef.fft.fftfreq(x.shape[0]), ef.fft.rfftfreq(x.shape[0]), ef.fft.fftshift(x)), "N"),
    # Networks.
    "linear": (lambda x, w, b: nn.relu(x @ w + b), "N M", "M 4", "4"),
    "conv1d": (lambda x, w: nn.conv1d(x, w, stride=2, padding="same"), "N 2 H", "3 2 3"),
    "conv2d": (lambda x, w, b: nn.conv2d(x, w, b, padding=1), "N 2 H W", "4 2 3 3", "4"),
    "conv2d strided": (lambda x, w: nn.conv2d(x, w, stride=2), "N 2 H W", "4 2 3 3"),
    "conv2d_transpose": (lambda x, w: nn.conv2d_transpose(x, w, stride=2), "N 4 H W", "4 2 3 3"),
    "max_pool2d": (lambda x: nn.max_pool2d(x, 2), "N 2 H W"),
    "avg_pool2d": (lambda x: nn.avg_pool2d(x, 3, stride=2, padding=1), "N 2 H W"),
    "norm layers": (lambda x: (nn.layer_norm(x), nn.rms_norm(x), nn.batch_norm(x)[0]), "N M 4"),
    "softmax": (lambda x: (nn.softmax(x), nn.log_softmax(x, 0), ef.logsumexp(x, axis=1)), "N M"),
    "activations": (lambda x: (nn.gelu(x), nn.silu(x), nn.sigmoid(x), nn.gelu(x, True)), "N M"),
    "cross-entropy": (lambda x, i: ef.mean(nn.softmax_cross_entropy(x, i)), "N 9", "N int"),
    "embedding": (lambda t, i: nn.embedding(t, i), "9 4", "N M int"),
    "lstm": (lambda x, h, c, w: nn.lstm(x, h, c, w), "M N 8", "N 2", "N 2", "2 8"),
    "attention": (lambda q, k: nn.scaled_dot_product_attention(q, k, k), "2 N 4", "2 M 4"),
    "causal attention": (lambda q: nn.scaled_dot_product_attention(q, q, q, is_causal=True), "2 N 4"),
    "dropout off": (lambda x: nn.dropout(x, 0.5, training=False), "N M"),
    # Gradients, which are written in the same ops.
    **{f"gradient of {name}": (_gradient(f), *arrays) for name, f, *arrays in (
        ("broadcasting", lambda x, y: x[:, None] * y, "N", "M"), ("matmul", lambda x, y: x @ y, "N M", "M K"),
        ("mean", lambda x: x.mean(0), "N M"), ("indexing", lambda x: x[1:, ::2], "N M"),
        ("concat", lambda x, y: ef.concat([x, y])[2:], "N", "M"), ("max", lambda x: x.max(0), "N M"),
        ("split", lambda x: ef.split(x, [2])[1], "N M"), ("softmax", lambda x: nn.softmax(x), "N M"),
        ("conv2d", lambda x, w: nn.conv2d(x, w, stride=2, padding=1), "N 2 H W", "4 2 3 3"),
        ("max_pool2d", lambda x: nn.max_pool2d(x, 2), "N 2 H W"), ("layer_norm", nn.layer_norm, "N 4"),
        ("cumsum", lambda x: ef.cumsum(x, axis=0), "N M"), ("std", lambda x: ef.std(x, axis=0), "N M"),
        ("attention", lambda q: nn.scaled_dot_product_attention(q, q, q, is_causal=True), "2 N 4"),
        ("lstm", lambda x, h, c, w: nn.lstm(x, h, c, w)[0], "M N 8", "N 2", "N 2", "2 8"),
        ("einsum", lambda x, y: ef.einsum("nij,njk->ik", x, y), "N M 3", "N 3 K"),
        ("pad", lambda x: ef.pad(x, 2, "reflect"), "N M"), ("sort", lambda x: ef.sort(x, axis=0), "N M"),
        ("solve", lambda x, b: ef.linalg.solve(x @ x.mT + 5 * ef.eye(x.shape[0]), b), "N N", "N"),
        ("batch_norm", lambda x: nn.batch_norm(x)[0], "N 3 H"), ("tile", lambda x: ef.tile(x, (2, 1)), "N M"),
    )},
}  # fmt: skip
