"""Every op over CuPy's functions, without a GPU: their names, arguments and dtypes are CuPy's, NumPy computes."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
import fake_cupy
from eagerflow.core import Draw
from numeric import differentiable
from test_other_kinds import OPS, everything, on

# CuPy has no function for these.
HOST_ONLY = {
}


@pytest.fixture
def cupy() -> Iterator[Any]:
    """Give the stand-in, which has what CuPy has."""
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed: pip install 'eagerflow[cuda13]'")
    import cupy as real

    with fake_cupy.pretended(real) as fake:
        yield fake


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("name", OPS)
def test_every_op_has_a_kernel_over_cupy(name: str, seed: int, cupy: Any) -> None:
    op = OPS[name]
    sample = op.sample(Draw(seed))
    moving = differentiable(op, sample)
    if not any(isinstance(x, np.ndarray) for x in sample.inputs):
        return
    near = everything(op, on("cpu:0", sample.inputs), sample.attrs, moving, seed)
    far = everything(op, on("cuda:1", sample.inputs), sample.attrs, moving, seed)
    for here, there in zip(near, far, strict=True):
        assert repr(there.device) == "cuda:1"
        assert (here.shape, here.dtype) == (there.shape, there.dtype)
        np.testing.assert_allclose(here.numpy(), there.numpy(), rtol=1e-9, atol=1e-9)
