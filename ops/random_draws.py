"""Random draws as ops, each a function of its key and its counter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec

_NO_GRADIENT = "a draw depends on its key and counter only; parameters are applied to it by arithmetic"
# Significant bits of the floats that NumPy does not draw directly.
_DIRECT = (np.dtype(np.float32), np.dtype(np.float64))


def _philox(key: tuple[int, int], counter: int) -> np.random.Philox:
    # The draw's number goes to the upper half of the 256-bit counter: each has 2**128 blocks to itself.
    return np.random.Philox(key=key[0] | key[1] << 64, counter=counter << 128)


def _rng(key: tuple[int, int], counter: int) -> np.random.Generator:
    return np.random.Generator(_philox(key, counter))


def _uniform(xp: Any, *, key: Any, counter: int, shape: tuple[int, ...], dtype: str) -> Any:
    rng, wanted = _rng(key, counter), np.dtype(dtype)
    if wanted in _DIRECT:
        return xp.asarray(rng.random(shape, wanted.type))
    # Rounding a float32 could give 1.0; so many bits as the dtype holds cannot.
    bits = min(_significant_bits(wanted), 11)
    drawn = rng.integers(0, 1 << bits, shape, np.uint16).astype(np.float32) * np.float32(2.0**-bits)
    return xp.asarray(drawn.astype(wanted))


def _significant_bits(dtype: np.dtype[Any]) -> int:
    one = np.ones((), dtype)
    bits = 1
    while one + np.asarray(2.0**-bits, dtype) != one:
        bits += 1
    return bits


def _normal(xp: Any, *, key: Any, counter: int, shape: tuple[int, ...], dtype: str) -> Any:
    wanted = np.dtype(dtype)
    drawn = _rng(key, counter).standard_normal(shape, wanted.type if wanted in _DIRECT else np.float32)
    return xp.asarray(np.asarray(drawn).astype(wanted, copy=False))


def _exponential(xp: Any, *, key: Any, counter: int, shape: tuple[int, ...], dtype: str) -> Any:
    wanted = np.dtype(dtype)
    drawn = _rng(key, counter).standard_exponential(shape, wanted.type if wanted in _DIRECT else np.float32)
    return xp.asarray(np.asarray(drawn).astype(wanted, copy=False))


def _gumbel(xp: Any, *, key: Any, counter: int, shape: tuple[int, ...], dtype: str) -> Any:
    drawn = np.asarray(_exponential(np, key=key, counter=counter, shape=shape, dtype="float64"))
    with np.errstate(divide="ignore"):
        return xp.asarray((-np.log(drawn)).astype(np.dtype(dtype), copy=False))


def _integers(xp: Any, *, key: Any, counter: int, low: int, high: int, shape: tuple[int, ...], dtype: str) -> Any:
    return xp.asarray(_rng(key, counter).integers(low, high, shape, np.dtype(dtype).type))


def _permutation(xp: Any, *, key: Any, counter: int, length: int) -> Any:
    return xp.asarray(_rng(key, counter).permutation(length))


def _mask(xp: Any, *, key: Any, counter: int, rate: float, shape: tuple[int, ...], dtype: str) -> Any:
    # 16 bits an element are four times cheaper than a float each; the scale is of what they can express.
    size = math.prod(shape)
    bits = _philox(key, counter).random_raw((size + 3) // 4).view(np.uint16)[:size].reshape(shape)
    dropped = min(max(round(rate * 65536), 1), 65535)
    return xp.asarray(np.multiply(bits >= dropped, 65536 / (65536 - dropped), dtype=np.dtype(dtype)))


def _of_shape(**attrs: Any) -> Spec:
    return Spec(attrs["shape"], attrs["dtype"])


def _attrs(draw: Draw) -> dict[str, Any]:
    return {"key": (draw.integer(0, 2**62), draw.integer(0, 2**62)), "counter": draw.integer(0, 2**62)}


def _op(name: str, kernel: Callable[..., Any], more: Callable[[Draw], dict[str, Any]], **options: Any) -> Op:
    return Op(
        name,
        kernel,
        inputs="",
        sample=lambda draw: Sample((), {**_attrs(draw), **more(draw)}),
        no_gradient=_NO_GRADIENT,
        effects="random",
        **{"infer": _of_shape, "flops": 10.0, **options},
    )


def _sample_float(draw: Draw) -> dict[str, Any]:
    return {"shape": draw.shape(min_side=0), "dtype": draw.choice(["float16", "bfloat16", "float32", "float64"])}


uniform_op = _op("random_uniform", _uniform, _sample_float, onnx="RandomUniform")
normal_op = _op("random_normal", _normal, _sample_float, onnx="RandomNormal")
exponential_op = _op("random_exponential", _exponential, _sample_float)
gumbel_op = _op("random_gumbel", _gumbel, _sample_float)
integers_op = _op(
    "random_integers",
    _integers,
    lambda draw: {"low": -3, "high": 5, "shape": draw.shape(), "dtype": draw.choice(["int8", "int64"])},
)
permutation_op = _op(
    "random_permutation",
    _permutation,
    lambda draw: {"length": draw.integer(0, 9)},
    infer=lambda *, length, **_: Spec((length,), np.int64),
)
mask_op = _op(
    "dropout_mask",
    _mask,
    lambda draw: {"rate": 0.3, "shape": draw.shape(), "dtype": draw.choice(["float32", "float64"])},
)
