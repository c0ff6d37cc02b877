"""What ops compute for one element, and what they are made of: the forms that captured graphs fuse.

Each form is compared with the op's own kernel.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.capture.graph import PARAMETER, Node
from eagerflow.capture.kernels import cache
from eagerflow.capture.kernels.expression import DTYPES, NotFusible, Text, Writer, translate
from eagerflow.capture.kernels.scalar_math import REAL, SCALAR_FUNCTIONS
from eagerflow.core import Draw, Op, Spec
from eagerflow.devices import CPU0

REGISTRY = ef.ops.registry()
ELEMENTWISE = {name: op for name, op in REGISTRY.items() if op.fusion == "elementwise" and name.isidentifier()}
SCALAR = {name: op for name, op in REGISTRY.items() if op.scalar is not None}
PLAIN = {name for name, op in SCALAR.items() if not op.sample(Draw(0)).attrs}
LOWER: dict[str, Any] = {name: op for name, op in REGISTRY.items() if op.lower is not None}
F32, F64 = np.float32, np.float64

# Elementwise ops without a scalar form, and why.
_SERIES = "a special function: its kernel is SciPy's or a long series, nothing that a loop would make faster"
_RARE = "bits and neighbours of numbers: nothing that is fused with arithmetic"
_BY_DTYPE = "what it computes depends on more than one dtype says"
WITHOUT = {
    "clip": "its bounds may be left out: it is lowered to maximum and minimum",
    "isclose": "its tolerances are fractions, and its inputs may be integers",
    "nan_to_num": "what it puts in place of infinities depends on the dtype",
    "round": _BY_DTYPE,
    **dict.fromkeys(("bitwise_left_shift", "bitwise_right_shift", "gcd", "lcm"), "integers, and rare"),
    **dict.fromkeys(("nextafter", "spacing", "bitwise_count", "ldexp", "exponent"), _RARE),
    **dict.fromkeys(("erfcx", "erfinv", "erfcinv", "ndtr", "ndtri", "log_ndtr", "exponential_moment"), _SERIES),
    **dict.fromkeys(("zeta", "gamma", "lgamma", "digamma", "betaln", "beta", "gammainc", "gammaincc"), _SERIES),
    **dict.fromkeys(("gammaincinv", "gammainccinv", "betainc", "betaincinv", "exp1", "expi", "expn"), _SERIES),
    **dict.fromkeys(("spence", "bessel_i", "jv", "yv", "iv", "ive", "kv", "kve", "j0", "j1", "y0", "y1"), _SERIES),
    **dict.fromkeys(("k0", "k1", "k0e", "k1e"), _SERIES),
}
# Kernels that lose digits where terms cancel: how many units of the largest term they and their forms may differ.
CANCELS = {
    "gelu": 4.0, "gelu_slope": 8.0, "gelu_tanh": 4.0, "gelu_tanh_slope": 16.0, "rel_entr": 4.0, "kl_div": 8.0,
    "entr": 4.0, "xlogy": 4.0, "logit": 4.0, "logaddexp": 4.0, "logaddexp2": 4.0, "sigmoid_cross_entropy": 4.0,
    "sinc": 4.0, "softplus": 4.0, "log_sigmoid": 4.0,
}  # fmt: skip
# Kernels that are themselves more than a unit in the last place off in float64.
ROUGH = {"erfc": 8.0}
EXACT_FUNCTIONS = {"sqrt", "copysign"}


def test_every_elementwise_op_has_a_scalar_form_or_a_reason() -> None:
    lacking = {name for name, op in ELEMENTWISE.items() if op.scalar is None and _ours(op)}
    assert lacking == set(WITHOUT), "give the op scalar=, or the reason here why it has none"


def _ours(op: Op) -> bool:
    """Other tests and examples declare ops too."""
    module = getattr(op.infer, "__module__", "")
    return module.startswith("eagerflow.") and not op.name.startswith(("doc_", "test_"))


def functions(op: Op) -> set[str]:
    """Return the functions that a scalar form calls."""
    calls = (item.func for item in ast.walk(ast.parse(op.scalar)) if isinstance(item, ast.Call))
    return {function.id for function in calls if isinstance(function, ast.Name)}


@pytest.mark.parametrize("name", SCALAR)
def test_scalar_forms_use_inputs_attributes_and_known_functions(name: str) -> None:
    op = SCALAR[name]
    tree = ast.parse(op.scalar, mode="eval")
    attrs = op.sample(Draw(0)).attrs
    used = {item.id for item in ast.walk(tree) if isinstance(item, ast.Name)}
    called = functions(op)
    assert called <= SCALAR_FUNCTIONS
    assert used - called <= {*op.inputs, *attrs, "pi", "e", "inf", "nan"}


def compiled(op: Op, inputs: list[Any], attrs: dict[str, Any]) -> Any:
    """Return what a compiled loop over the op's scalar form gives; inputs are flat arrays and Python numbers.

    Raises
    ------
    NotFusible
        For these dtypes there is no such loop.
    """
    specs = [Spec(x.shape, x.dtype) if isinstance(x, np.ndarray) else x for x in inputs]
    values = [
        Node(PARAMETER, (), {"name": f"x{i}"}, [(x, CPU0)]).outputs[0] if isinstance(x, Spec) else x
        for i, x in enumerate(specs)
    ]
    result = op.infer(*specs, **attrs)
    if result.dtype not in DTYPES:
        raise NotFusible(result.dtype)
    node = Node(op, values, attrs, [(result, CPU0)])
    writer = Writer()
    texts = [Text(f"x{i}", x.dtype) if isinstance(x, np.ndarray) else x for i, x in enumerate(inputs)]
    text = translate(node, texts, writer)
    arrays = {f"a{i}": x for i, x in enumerate(inputs) if isinstance(x, np.ndarray)}
    body = [f"x{name[1:]} = {name}[i]" for name in arrays] + writer.lines + [f"out[i] = {text.source}"]
    lines = ["import numpy as np", "from numpy import bool_, float32, float64, int8, int16, int32, int64"]
    lines += ["from numpy import uint8, uint16, uint32, uint64"]
    if writer.functions:
        lines.append(f"from eagerflow.capture.kernels.scalar_math import {', '.join(sorted(writer.functions))}")
    lines += [f"def kernel({', '.join(arrays)}, out):", "    for i in range(out.size):"]
    lines += [f"        {line}" for line in body]
    out = np.empty(result.shape, result.dtype)
    cache.load("\n".join(lines) + "\n", "kernel", noalias=True)(*arrays.values(), out)
    return out


def flat(x: Any, shape: tuple[int, ...]) -> Any:
    return np.ascontiguousarray(np.broadcast_to(x, shape)).reshape(-1) if isinstance(x, np.ndarray) else x


def wide(x: Any) -> Any:
    return x.astype(F64) if isinstance(x, np.ndarray) and x.dtype == F32 else x


def tolerance(op: Op, dtype: np.dtype[Any]) -> float:
    """Return how many units in the last place a form may be off the kernel: none where the steps are the same."""
    if dtype.kind != "f" or not functions(op) & set(REAL) - EXACT_FUNCTIONS:
        return 0.0
    return 4.0 if dtype == F32 else ROUGH.get(op.name, 2.0)


def off(op: Op, got: Any, expected: Any) -> Any:
    """Return how far each result is off, over what is allowed."""
    allowed = tolerance(op, got.dtype)
    rounded = expected.astype(got.dtype)
    unit = allowed * np.spacing(np.abs(rounded)).astype(F64)
    if op.name in CANCELS:
        unit = np.maximum(unit, CANCELS[op.name] * np.finfo(got.dtype).eps)
    error = np.abs(got.astype(F64) - expected) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(same, 0, np.where(np.isnan(error), np.inf, error))


def check(op: Op, got: Any, inputs: list[Any], attrs: dict[str, Any]) -> None:
    """Compare with the op's kernel; in float32 with the kernel in float64 too, which is nearer to the truth."""
    kernel = op.kernel_for(CPU0)
    with np.errstate(all="ignore"):
        expected = np.asarray(kernel(*inputs, **attrs))
        assert got.dtype == expected.dtype
        if not tolerance(op, got.dtype):
            np.testing.assert_array_equal(got, expected)
            return
        error = off(op, got, expected)
        if got.dtype == F32:
            error = np.minimum(error, off(op, got, np.asarray(kernel(*[wide(x) for x in inputs], **attrs))))
    at = int(np.argmax(error))
    assert error[at] <= 1, (
        f"{op.name}: {error[at]:.2f} of what is allowed off at "
        f"{[x[at] if isinstance(x, np.ndarray) else x for x in inputs]}: got {got[at]!r}, kernel {expected[at]!r}"
    )


@pytest.fixture
def numba() -> Any:
    return pytest.importorskip("numba", reason="numba is not installed: there are no compiled kernels")


def refused(op: Op, inputs: list[Any], attrs: dict[str, Any]) -> bool:
    """Tell whether a form may be without a loop: casts to integers, and powers that NumPy computes as it likes."""
    return op.name in ("to_integer", "pow") or any(value.kind == "c" for value in attrs.values() if _dtype(value))


def _dtype(value: Any) -> bool:
    return isinstance(value, np.dtype)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("name", SCALAR)
def test_scalar_forms_give_what_kernels_give(numba: Any, name: str, dtype: Any) -> None:
    op = SCALAR[name]
    done = 0
    for seed in range(5):
        sample = op.sample(Draw(seed, dtype))
        arrays = [x for x in sample.inputs if isinstance(x, np.ndarray)]
        shape = np.broadcast_shapes(*[x.shape for x in arrays])
        inputs = [flat(x, shape) for x in sample.inputs]
        try:
            got = compiled(op, inputs, sample.attrs)
        except NotFusible:
            assert refused(op, inputs, sample.attrs)
            continue
        check(op, got, inputs, sample.attrs)
        done += 1
    assert done or name == "to_integer"


SPECIAL = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.5,
    3.0,
    30.0,
    -30.0,
    700.0,
    -700.0,
    1e30,
    -1e30,
    1e-30,
    np.inf,
    -np.inf,
    np.nan,
)
# The kernels stop where the sigmoid becomes subnormal: beyond, forms go on to 0, and so to NaN for 0 times infinity.
STOPS = {"sigmoid": {F32: -80.0, F64: -600.0}, "silu": {F32: -80.0, F64: -600.0}}


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_scalar_forms_at_special_values(numba: Any, name: str, dtype: Any) -> None:
    op = SCALAR[name]
    values = np.asarray(SPECIAL, dtype)
    if name in STOPS:
        values = values[~(values < STOPS[name][dtype])]
    grids = np.meshgrid(*[values] * len(op.inputs))
    inputs = [grid.ravel() for grid in grids]
    try:
        got = compiled(op, inputs, {})
    except (NotFusible, TypeError):
        assert name in ("pow", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_invert")
        return
    check(op, got, inputs, {})


def of_integers(op: Op) -> bool:
    """Tell whether a form computes in integers where it is given some; gradients are never integers."""
    return not functions(op) & set(REAL) and "g" not in op.inputs


INTEGERS = (np.bool_, np.int8, np.uint8, np.int64)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", sorted(name for name in PLAIN if of_integers(SCALAR[name])))
def test_scalar_forms_of_integers(numba: Any, name: str, dtype: Any) -> None:
    op = SCALAR[name]
    low, high = (0, 1) if dtype is np.bool_ else (1, 9)
    x = np.arange(low, high + 1).astype(dtype)
    inputs = [grid.ravel() for grid in np.meshgrid(*[x] * len(op.inputs))]
    try:
        with np.errstate(all="ignore"):
            op.kernel_for(CPU0)(*inputs)
            got = compiled(op, inputs, {})
    except (NotFusible, TypeError):  # there is no such function of them, or no loop
        return
    check(op, got, inputs, {})


# Lowered forms.


@pytest.mark.parametrize("dtype", [F32, F64, np.float16])
@pytest.mark.parametrize("name", LOWER)
def test_lowered_forms_give_what_kernels_give(name: str, dtype: Any) -> None:
    op = LOWER[name]
    for seed in range(12):
        sample = op.sample(Draw(seed, dtype))
        inputs = [ef.asarray(x) if isinstance(x, np.ndarray) else x for x in sample.inputs]
        expected, got = op(*inputs, **sample.attrs), op.lower(*inputs, **sample.attrs)
        if op.outputs == 1:
            expected, got = (expected,), (got,)
        assert len(got) == len(expected)
        for mine, kernels in zip(got, expected, strict=True):
            assert (mine.shape, mine.dtype) == (kernels.shape, kernels.dtype)
            eps = float(np.finfo(mine.dtype).eps)
            np.testing.assert_allclose(mine.numpy(), kernels.numpy(), rtol=16 * eps, atol=16 * eps)


@pytest.mark.parametrize("name", LOWER)
def test_lowered_forms_take_integers_where_ops_do(name: str) -> None:
    op = LOWER[name]
    sample = op.sample(Draw(3))
    inputs = [x.astype(np.int64) if isinstance(x, np.ndarray) else x for x in sample.inputs]
    try:
        expected = op(*map(_tensor, inputs), **sample.attrs)
    except Exception:
        return
    got = op.lower(*map(_tensor, inputs), **sample.attrs)
    if op.outputs == 1:
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-14)


def _tensor(x: Any) -> Any:
    return ef.asarray(x) if isinstance(x, np.ndarray) else x


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_lowered_exponentials_do_not_overflow(name: str) -> None:
    op = LOWER[name]
    attrs = {"axis": (1,), **({"keepdims": False} if name == "logsumexp" else {})}
    rows = [[1000.0, 999.0, -1000.0], [-np.inf, 0.0, 1.0], [5.0, 5.0, 5.0]]
    if name == "logsumexp":
        rows += [[-np.inf] * 3, [np.inf, 0.0, 1.0]]
    x = ef.asarray(rows)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(op.lower(x, **attrs).numpy(), op(x, **attrs).numpy(), rtol=1e-14)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "softmax_cross_entropy", "mean"])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_lowered_forms_of_nothing(name: str, shape: tuple[int, int]) -> None:
    op = LOWER[name]
    x = ef.zeros(shape)
    attrs: dict[str, Any] = {} if "entropy" in name else {"axis": (1,)}
    if name in ("logsumexp", "mean"):
        attrs["keepdims"] = False
    if name == "mean" and shape == (3, 0):
        return  # NumPy warns and gives NaN
    labels = [ef.zeros(shape[:1], dtype=ef.int64)] if "entropy" in name else []
    if labels and shape == (3, 0):
        for function in (op, op.lower):
            with pytest.raises(ef.errors.IndexOutOfBoundsError, match="out of range for 0 classes"):
                function(x, *labels)
        return
    expected, got = op(x, *labels, **attrs), op.lower(x, *labels, **attrs)
    assert (got.shape, got.dtype, got.tolist()) == (expected.shape, expected.dtype, expected.tolist())


@pytest.mark.parametrize("label", [-1, 3])
def test_lowered_losses_refuse_labels_that_are_no_classes(label: int) -> None:
    logits, labels = ef.zeros((2, 3)), ef.asarray([0, label])
    message = f"softmax_cross_entropy: labels {label} is out of range for 3 classes"
    with pytest.raises(ef.errors.IndexOutOfBoundsError, match=message):
        LOWER["softmax_cross_entropy"].lower(logits, labels)
    with pytest.raises(ef.errors.IndexOutOfBoundsError, match=message):
        LOWER["softmax_cross_entropy_gradient"].lower(ef.ones(2), logits, labels)


def test_lowered_forms_consist_of_what_can_be_fused() -> None:
    for name, op in LOWER.items():
        for called in _ops_in(op):
            fusible = called.scalar is not None or called.fusion in ("reduction", "view") or called.name in OPAQUE
            assert fusible, f"{name} is lowered to {called.name}, which is not fused"


# What stands beside a fused group: rows of the table of classes, and the classes themselves.
OPAQUE = ("checked_labels", "take_along_axis", "arange")


def _ops_in(op: Op) -> set[Op]:
    """Return the ops that the lowered form calls."""
    found: set[Op] = set()

    class Watching(ef.core.dispatch.Eager):
        def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
            found.add(op)
            return super().apply(op, inputs, attrs)

    sample = op.sample(Draw(0))
    assert op.lower is not None
    with ef.core.dispatch.interpret(Watching()):
        op.lower(*[ef.asarray(x) if isinstance(x, np.ndarray) else x for x in sample.inputs], **sample.attrs)
    return found
