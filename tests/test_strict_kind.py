"""A device kind over the array API standard works everywhere, and says where it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eagerflow as ef
import strict
from eagerflow.core import Draw
from numeric import differentiable
from test_other_kinds import HOST_ONLY, OPS, everything, on

# What these kernels need, the standard has not.
LACKING = {
    "bitwise_count": "a count of bits",
    "conv2d": "strides of memory: windows are looked at, not copied",
    "conv2d_weight_gradient": "strides of memory",
    "convolve": "a convolution",
    "exponent": "the parts of a floating-point number (frexp)",
    "gcd": "common divisors",
    "lcm": "common multiples",
    "nanargmax": "a search that passes over NaN",
    "nanargmin": "a search that passes over NaN",
    "ravel_multi_index": "numbers of places",
    "unique": "inverse and counts in NumPy's form",
    "unravel_index": "numbers of places",
}


@pytest.mark.parametrize("name", OPS)
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_op_on_strict_arrays(name: str, seed: int) -> None:
    op = OPS[name]
    sample = op.sample(Draw(seed))
    moving = differentiable(op, sample)
    if not any(isinstance(x, np.ndarray) for x in sample.inputs):
        return
    if name in LACKING or name in HOST_ONLY:
        with pytest.raises(ef.errors.DeviceError, match=rf"{name}: .*('strict' have no kernel|no kernel for|CPU only)"):
            op.kernel_for(ef.devices.find("strict:1"))
        return
    near = everything(op, on("cpu:0", sample.inputs), sample.attrs, moving, seed)
    far = everything(op, on("strict:1", sample.inputs), sample.attrs, moving, seed)
    for here, there in zip(near, far, strict=True):
        assert repr(there.device) == "strict:1"
        assert type(there._held) is strict.STRICT.array_type
        assert there._held.place == strict.Strict.places[1]
        assert (here.shape, here.dtype) == (there.shape, there.dtype)
        np.testing.assert_allclose(here.numpy(), there.numpy(), rtol=1e-9, atol=1e-9)
