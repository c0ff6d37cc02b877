"""Every op on devices of another kind: values, gradients, forward mode and vmap stay there, and are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eagerflow as ef
import kinds  # noqa: F401 - registers the kind 'far'
from eagerflow.core import Draw, is_inexact
from numeric import call, differentiable

OPS = {
    name: op
    for name, op in sorted(ef.ops.registry().items())
    if op.inputs and not op.moves and op.effects == "none" and not name.startswith("doc_")
}


# SciPy and LAPACK compute these on the host; their declarations say so.
HOST_ONLY = {
    "betainc", "betaincinv", "exp1", "expi", "expn", "gammainc", "gammaincc", "gammainccinv", "gammaincinv", "iv",
    "ive", "j0", "j1", "jv", "k0", "k0e", "k1", "k1e", "kv", "kve", "matrix_function", "sici", "spence",
    "y0", "y1", "yv",
}  # fmt: skip


def test_ops_of_the_host_alone_are_known_by_their_declarations() -> None:
    far = ef.devices.find("far:0").kind.namespace
    assert {name for name, op in OPS.items() if op.lacks is not None and op.lacks(far)} == HOST_ONLY
    assert not any(op.lacks(np) for op in OPS.values() if op.lacks is not None)


def on(device: str, inputs: Any) -> list[Any]:
    return [ef.asarray(x, device=device) if isinstance(x, np.ndarray) else x for x in inputs]


def everything(op: Any, inputs: list[Any], attrs: dict[str, Any], moving: list[int], seed: int) -> list[ef.Tensor]:
    """Return results, gradients, tangents, and results for a stack of two equal examples."""
    rng = np.random.default_rng(seed)
    results = list(call(op, inputs, attrs))
    device = next(x.device for x in inputs if isinstance(x, ef.Tensor))
    sources = [ef.copy(inputs[p]) for p in moving]

    def inexact(*arrays: Any) -> list[ef.Tensor]:
        given = list(inputs)
        for position, array in zip(moving, arrays, strict=True):
            given[position] = array
        return [r for r in call(op, given, attrs) if is_inexact(r.dtype)]

    found = list(results)
    if moving:
        with ef.GradientTape() as tape:
            tape.watch(sources)
            targets = inexact(*sources)
        weights = [ef.asarray(rng.normal(size=t.shape), t.dtype, device=device) for t in targets]
        found += tape.gradient(targets, sources, weights, unconnected="zero")
        tangents = [ef.asarray(rng.normal(size=s.shape), s.dtype, device=device) for s in sources]
        found += ef.jvp(inexact, sources, tangents)[1]
    tensors = [x if not isinstance(x, ef.Tensor) else ef.stack([x, x]) for x in inputs]
    axes = tuple(0 if isinstance(x, ef.Tensor) else None for x in inputs)
    try:
        found += ef.vmap(lambda *xs: call(op, xs, attrs), in_axes=axes)(*tensors)
    except ef.errors.CaptureError as error:
        if "depends on" not in str(error):
            raise
    return found


@pytest.mark.parametrize("name", OPS)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_op_stays_on_its_device(name: str, seed: int) -> None:
    op = OPS[name]
    sample = op.sample(Draw(seed))
    moving = differentiable(op, sample)
    if not any(isinstance(x, np.ndarray) for x in sample.inputs):
        return
    near = everything(op, on("cpu:0", sample.inputs), sample.attrs, moving, seed)
    if name in HOST_ONLY:
        with pytest.raises(ef.errors.DeviceError, match=rf"{name}: .*'far' have no kernel: .*x.to\('cpu'\)"):
            op.kernel_for(ef.devices.find("far:1"))
        with pytest.raises(ef.errors.DeviceError, match=rf"{name}: .*'far' have no kernel"):
            everything(op, on("far:1", sample.inputs), sample.attrs, moving, seed)
        return
    far = everything(op, on("far:1", sample.inputs), sample.attrs, moving, seed)
    for here, there in zip(near, far, strict=True):
        assert repr(there.device) == "far:1"
        assert (here.shape, here.dtype) == (there.shape, there.dtype)
        np.testing.assert_allclose(here.numpy(), there.numpy(), rtol=1e-9, atol=1e-9)


def test_numbers_that_kernels_give_are_arrays_in_plans() -> None:
    x = ef.asarray([1.5, 0.5], device="far:1")
    first, moved = ef.function(lambda x: (x[0], x[0].to("cpu:0") * 2.0))(x)
    assert type(first._held) is x.device.kind.array_type
    assert (first.tolist(), moved.tolist()) == (1.5, 3.0)
