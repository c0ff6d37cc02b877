"""Assembling: an array out of parts that do not overlap, what gradients of several parts of one array add up to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec
from eagerflow.core.batching import repeated
from eagerflow.ops.indexing.indexing import read_part

Index = tuple[Any, ...]


def _fill(out: Any, parts: Sequence[Any], shape: tuple[int, ...], indices: Sequence[Index]) -> None:
    if sum(part.size for part in parts) < math.prod(shape):
        out[...] = 0
    for part, index in zip(parts, indices, strict=True):
        # The sum with zero that this stands for makes +0.0 of -0.0.
        out[index] = part + part.dtype.type(0)


def _kernel(xp: Any, *parts: Any, shape: tuple[int, ...], indices: Sequence[Index]) -> Any:
    out = xp.empty(shape, parts[0].dtype)
    _fill(out, parts, shape, indices)
    return out


def _into(*arrays: Any, shape: tuple[int, ...], indices: Sequence[Index]) -> None:
    *parts, out = arrays
    if sum(part.size for part in parts) < out.size:
        out[...] = 0
    for part, index in zip(parts, indices, strict=True):
        target = out[index]
        if isinstance(target, np.ndarray):
            np.add(part, part.dtype.type(0), target)
        else:  # a single element
            out[index] = part + part.dtype.type(0)


def _sample(draw: Draw) -> Sample:
    shape = (draw.integer(1, 4), *draw.shape(max_dims=2))
    chosen = sorted({draw.integer(0, shape[0] - 1) for _ in range(3)})
    return Sample(
        tuple(draw.array(shape[1:]) for _ in chosen), {"shape": shape, "indices": tuple((row,) for row in chosen)}
    )


def _batch(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    parts = [x if b else repeated(x, size) for x, b in zip(inputs, batched, strict=True)]
    indices = tuple((slice(None), *index) for index in attrs["indices"])
    return op(*parts, shape=(size, *attrs["shape"]), indices=indices)


assemble = Op(
    "assemble",
    _kernel,
    inputs="*parts",
    infer=lambda *parts, shape, indices: Spec(shape, parts[0].dtype),
    sample=_sample,
    vjp=(lambda g, indices, position: read_part(g, indices[position]),),
    linear="parts",
    batch=_batch,
    flops=0,
    kinds="fc",
)
assemble.register_kernel("cpu", lambda *parts, **attrs: _kernel(np, *parts, **attrs), into=_into)
