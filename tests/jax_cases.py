"""What the cases that are compared with JAX are made of: arrays with fixed seeds, and one namespace for both.

A case is a function of a namespace and of arrays, written once, and the arrays. The namespace is that of NumPy's names,
with `linalg`, `fft`, `special` (SciPy's names) and `nn` (activations), and `put`, `push` for `x.at[i].set` and `.add`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

import eagerflow as ef

Case = tuple[Callable[..., Any], *tuple[np.ndarray, ...]]


def real(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> np.ndarray:
    """Return real numbers of an interval, no two of them equal."""
    return np.random.default_rng((seed, *shape)).uniform(low, high, shape)


def cplx(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> np.ndarray:
    """Return complex numbers with both parts in an interval."""
    return real(*shape, low=low, high=high, seed=seed + 1) + 1j * real(*shape, low=low, high=high, seed=seed + 2)


def regular(n: int, *batch: int, seed: int = 0, dtype: type = float) -> np.ndarray:
    """Return matrices far from singular, with distinct singular values."""
    noise = (cplx if dtype is complex else real)(*batch, n, n, low=-0.5, high=0.5, seed=seed)
    return noise + np.diag(np.arange(1.5, n + 1))


def hermitian(n: int, *batch: int, seed: int = 0, dtype: type = float) -> np.ndarray:
    """Return positive definite matrices with distinct eigenvalues."""
    x = regular(n, *batch, seed=seed, dtype=dtype)
    return (x + np.conj(np.swapaxes(x, -1, -2))) / 2


class Names:
    """The names of several modules: that of the first which has it."""

    def __init__(self, *modules: Any, **more: Any) -> None:
        self.modules = modules
        self.__dict__.update(more)

    def __getattr__(self, name: str) -> Any:
        for module in self.modules:
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(name)


def _put(x: Any, index: Any, value: Any) -> Any:
    y = x.copy()
    y[index] = value
    return y


OURS = Names(ef, put=_put, push=ef.add_at, conv2d=ef.nn.conv2d)


def theirs(jax: ModuleType) -> Names:
    """Return JAX under the names of the cases."""
    for name in ("jax.scipy.linalg", "jax.scipy.special"):
        importlib.import_module(name)

    def conv2d(x: Any, weight: Any, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1) -> Any:
        return jax.lax.conv_general_dilated(
            x, weight, (stride, stride), [(padding, padding)] * 2,
            rhs_dilation=(dilation, dilation), feature_group_count=groups,
        )  # fmt: skip

    def eig(x: Any) -> Any:
        return jax.lax.linalg.eig(x, compute_left_eigenvectors=False, enable_eigvec_derivs=True)

    # Names of JAX that must be told how large the result is, since they do not look at values.
    return Names(
        jax.numpy,
        bincount=lambda x, weights, minlength: jax.numpy.bincount(x, weights, length=minlength),
        compress=lambda c, x, axis: jax.numpy.compress(c, x, axis=axis, size=int(c.sum())),
        linalg=Names(jax.numpy.linalg, jax.scipy.linalg, eig=eig),
        special=jax.scipy.special,
        nn=jax.nn,
        put=lambda x, index, value: x.at[index].set(value),
        push=lambda x, index, value: x.at[index].add(value),
        conv2d=conv2d,
    )


def named(names: str, *arrays: np.ndarray, prefix: str = "", note: str = "") -> dict[str, Case]:
    """Return a case for each of the functions that are named, such as ``"sin linalg.det"``."""

    def calling(path: str) -> Callable[..., Any]:
        def call(xp: Any, *inputs: Any) -> Any:
            for part in path.split("."):
                xp = getattr(xp, part)
            return xp(*inputs)

        return call

    return {prefix + name + note: (calling(prefix + name), *arrays) for name in names.split()}
