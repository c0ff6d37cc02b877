"""Products and contractions against NumPy, over shapes, dtypes and layouts."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.errors import DTypeError, ShapeError

SHAPES = [
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)),
    ((0, 3), (3, 4)),
    ((2, 0), (0, 4)),
    ((5, 2, 0), (0, 4)),
    ((0, 2, 3), (3, 4)),
    ((1, 1), (1, 1)),
    ((40, 30, 50), (50, 20)),
]


def values(shape: tuple[int, ...], dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    array = rng.normal(size=shape) * 3
    if np.dtype(dtype).kind == "c":
        array = array + 1j * rng.normal(size=shape)
    return array.astype(dtype)


def gradients(function: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    """Gradients of the sum of function(*arrays), weighted by 1, 2, 3, …"""
    tensors = [ef.asarray(array) for array in arrays]
    with ef.GradientTape() as tape:
        tape.watch(tensors)
        y = function(*tensors)
        target = ef.sum(y * np.arange(1, y.size + 1).reshape(y.shape))
    return [g.numpy() for g in tape.gradient(target, tensors)]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16", "i4", "i8", "u1", "?"])
def test_matmul_as_numpy(shapes: Any, dtype: str) -> None:
    x, y = values(shapes[0], dtype), values(shapes[1], dtype, 1)
    result, expected = ef.matmul(ef.asarray(x), ef.asarray(y)), x @ y
    assert result.dtype == expected.dtype and result.shape == expected.shape
    np.testing.assert_allclose(result.numpy(), expected, rtol=2e-4, atol=1e-4)


def test_matmul_promotes_and_takes_what_numpy_takes() -> None:
    x, y = values((2, 3), "f4"), values((3, 2), "i8")
    assert ef.matmul(ef.asarray(x), y).dtype == (x @ y).dtype
    np.testing.assert_allclose(ef.matmul([[1, 2]], [[3], [4]]).numpy(), [[11]])
    t = ef.asarray(x)
    for result in (x.T @ t, np.matmul(x.T, t), np.linalg.matmul(x.T, t), ef.Variable(x).T @ x):
        assert isinstance(result, ef.Tensor)
        np.testing.assert_allclose(result.numpy(), x.T @ x, rtol=1e-5)


@pytest.mark.parametrize("shapes", [pair for pair in SHAPES if 0 not in pair[0] + pair[1]])
def test_matmul_gradients_have_the_shapes_of_the_inputs(shapes: Any) -> None:
    x, y = values(shapes[0]), values(shapes[1], seed=1)
    got = gradients(ef.matmul, x, y)
    for g, array in zip(got, (x, y), strict=True):
        assert g.shape == array.shape
    # The reference sums products over the broadcast axes the long way round.
    wide = gradients(lambda a, b: (_rows(a, b) * _columns(a, b)).sum(axis=-1), x, y)
    for g, expected in zip(got, wide, strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-9, atol=1e-9)


def _rows(x: Any, y: Any) -> Any:
    x = x.reshape((*x.shape[:-1], 1, x.shape[-1])) if y.ndim > 1 else x
    return x


def _columns(x: Any, y: Any) -> Any:
    if y.ndim == 1:
        return y
    y = y.mT
    return y.reshape((*y.shape[:-2], 1, *y.shape[-2:])) if x.ndim > 1 else y


@pytest.mark.parametrize("layout", ["reversed", "strided", "expanded", "fortran"])
def test_matmul_of_any_layout(layout: str) -> None:
    base = values((80, 90), "f4")
    x = {
        "reversed": base[::-1, ::-1],
        "strided": values((160, 180), "f4")[::2, ::2],
        "expanded": np.broadcast_to(base[:1], (80, 90)),
        "fortran": np.asfortranarray(base),
    }[layout]
    y = values((90, 70), "f4")
    before = x.copy()
    np.testing.assert_allclose(ef.matmul(x, y).numpy(), x.copy() @ y, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(x, before)


def test_matmul_of_infinities_and_nan() -> None:
    x = np.array([[np.inf, 1.0], [np.nan, 1.0]])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(ef.matmul(x, np.eye(2)).numpy(), x @ np.eye(2))


def test_matmul_errors_name_the_shapes() -> None:
    with pytest.raises(ShapeError, match=r"matmul: the inner dimensions do not meet: \(2, 3\) and \(4, 5\)"):
        ef.matmul(ef.ones((2, 3)), ef.ones((4, 5)))
    with pytest.raises(ShapeError, match=r"batch dimensions do not broadcast: \(2, 3, 3\) and \(4, 3, 3\)"):
        ef.matmul(ef.ones((2, 3, 3)), ef.ones((4, 3, 3)))
    for x, y in ((ef.ones((2, 2)), 2.0), (3, ef.ones(2)), (1.0, 2.0), (ef.ones(2), ef.ones(()))):
        with pytest.raises(ShapeError, match="multiply by scalars with"):
            ef.matmul(x, y)


def test_matmul_runs_at_the_speed_of_blas() -> None:
    x, w, g = values((128, 784), "f4"), values((784, 512), "f4"), values((128, 512), "f4")
    tx, tw, tg = ef.asarray(x), ef.asarray(w), ef.asarray(g)

    def ours() -> None:
        with ef.GradientTape() as tape:
            tape.watch([tx, tw])
            y = ef.matmul(tx, tw)
        tape.gradient(y, [tx, tw], tg)

    def bare() -> Any:
        return x @ w, g @ w.T, x.T @ g

    def measure(function: Any) -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    ratios = sorted(measure(ours) / measure(bare) for _ in range(21))
    # Generous, as others may use the machine; a way round BLAS would be ten times slower.
    assert ratios[10] < 2


@pytest.mark.parametrize(
    ("x", "y", "axes"),
    [
        ((2, 3, 4), (3, 4, 5), 2),
        ((2, 3), (4, 5), 0),
        ((2, 3, 4), (4, 3), ((1, 2), (1, 0))),
        ((2, 3, 4), (4, 3), [[-1], [0]]),
        ((3, 4), (4,), (1, 0)),
        ((), (), 0),
        ((0, 3), (3, 2), 1),
        ((2, 0), (0, 2), 1),
    ],
)
def test_tensordot_as_numpy(x: Any, y: Any, axes: Any) -> None:
    a, b = values(x), values(y, seed=1)
    np.testing.assert_allclose(ef.tensordot(a, b, axes).numpy(), np.tensordot(a, b, axes))
    through: Any = np.tensordot(ef.asarray(a), b, axes=axes)
    np.testing.assert_allclose(through.numpy(), np.tensordot(a, b, axes))


@pytest.mark.parametrize("axes", [3, -1, ((0,), (0, 1)), ((5,), (0,)), ((0, 0), (0, 1)), ((1,), (1,))])
def test_tensordot_refuses(axes: Any) -> None:
    with pytest.raises(ShapeError, match="tensordot"):
        ef.tensordot(ef.ones((2, 3)), ef.ones((3, 4)), axes)
    with pytest.raises(DTypeError, match="tensordot"):
        ef.tensordot(ef.ones((2, 3)), ef.ones((3, 4)), 1.5)


@pytest.mark.parametrize("dtype", ["f8", "c16", "i8"])
@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("dot", (3,), (3,)),
        ("dot", (), (3,)),
        ("dot", (2, 3), (4, 3, 2)),
        ("dot", (5, 2, 3), (3,)),
        ("vdot", (2, 3), (2, 3)),
        ("vdot", (0,), (0,)),
        ("vecdot", (2, 3), (3,)),
        ("vecdot", (4, 1, 3), (2, 3)),
        ("vecdot", (3,), (3,)),
        ("inner", (2, 3), (4, 3)),
        ("inner", (), (4, 3)),
        ("inner", (3,), (3,)),
        ("outer", (2, 3), (4,)),
        ("outer", (), ()),
    ],
)
def test_products_as_numpy(name: str, x: Any, y: Any, dtype: str) -> None:
    a, b = values(x, dtype), values(y, dtype, 1)
    expected = getattr(np, name)(a, b)
    for result in (getattr(ef, name)(a, b), getattr(np, name)(ef.asarray(a), ef.asarray(b))):
        assert isinstance(result, ef.Tensor) and result.dtype == expected.dtype
        np.testing.assert_allclose(result.numpy(), expected)


def test_vecdot_along_an_axis() -> None:
    x, y = values((3, 4), "c16"), values((3, 4), "c16", 1)
    np.testing.assert_allclose(ef.vecdot(x, y, axis=0).numpy(), np.sum(x.conj() * y, axis=0))
    with pytest.raises(ShapeError, match="vecdot: the vectors differ in length"):
        ef.vecdot(x, y[:2], axis=0)
    with pytest.raises(ShapeError, match="vecdot"):
        ef.vecdot(x, y, axis=2)


@pytest.mark.parametrize("name", ["vdot", "vecdot"])
def test_conjugated_products_have_the_gradients_of_their_parts(name: str) -> None:
    x, y = values((4,), "c16"), values((4,), "c16", 1)
    tensors = [ef.asarray(x), ef.asarray(y)]
    with ef.GradientTape() as tape:
        tape.watch(tensors)
        target = ef.real(getattr(ef, name)(*tensors))
    gx, gy = tape.gradient(target, tensors)
    # The real part of conj(x) y is symmetric: the gradient for x is y, and the other way round.
    np.testing.assert_allclose(gx.numpy(), y)
    np.testing.assert_allclose(gy.numpy(), x)


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ba,cb", (2, 3), (4, 2)),
    ("ij->ji", (2, 3)),
    ("ij", (2, 3)),
    ("ji", (2, 3)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iij->j", (3, 3, 2)),
    ("iji->ij", (3, 2, 3)),
    ("iii", (3, 3, 3)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    ("...ij,...jk", (5, 1, 2, 3), (6, 3, 4)),
    ("i...,i...->...", (3, 2, 4), (3, 4)),
    ("...,...", (2, 3), (3,)),
    ("...", (2, 3)),
    ("...ii->...i", (2, 3, 3)),
    ("i,j->ij", (2,), (3,)),
    ("i,i->", (3,), (3,)),
    ("i,i->i", (3,), (3,)),
    (",ij->ij", (), (2, 3)),
    ("ij,kl->", (2, 3), (4, 5)),
    ("ij,jk,kl,lm->im", (2, 3), (3, 4), (4, 5), (5, 2)),
    ("ij,jk,ki->", (2, 3), (3, 4), (4, 2)),
    ("bij,bjk,bk->bi", (5, 2, 3), (5, 3, 4), (5, 4)),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("i j, j k -> i k", (2, 3), (3, 4)),
    ("ij,jk->ik", (2, 0), (0, 4)),
    ("ij,ij->ij", (0, 3), (0, 3)),
    ("Aa,aB->AB", (2, 3), (3, 4)),
    ("ii,ij->j", (3, 3), (3, 2)),
]


@pytest.mark.parametrize("case", EINSUMS, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8", "c16", "i2", "?"])
def test_einsum_as_numpy(case: Any, dtype: str) -> None:
    subscripts, *shapes = case
    arrays = [values(shape, dtype, seed) for seed, shape in enumerate(shapes)]
    expected = np.einsum(subscripts, *arrays)
    for result in (ef.einsum(subscripts, *arrays), np.einsum(subscripts, *[ef.asarray(a) for a in arrays])):
        assert result.dtype == expected.dtype and result.shape == expected.shape
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", [case for case in EINSUMS if all(0 not in shape for shape in case[1:])], ids=str)
def test_einsum_is_linear_in_each_operand(case: Any) -> None:
    # For a linear function <gradient, x> is its value, whichever letters repeat or broadcast.
    subscripts, *shapes = case
    arrays = [values(shape, seed=seed) for seed, shape in enumerate(shapes)]
    result = np.einsum(subscripts, *arrays)
    value = np.sum(result * np.arange(1, result.size + 1).reshape(result.shape))
    for g, array in zip(gradients(lambda *xs: ef.einsum(subscripts, *xs), *arrays), arrays, strict=True):
        assert g.shape == array.shape
        np.testing.assert_allclose(np.sum(g * array), value, rtol=1e-9)


def test_einsum_with_numbered_axes() -> None:
    x, y = values((2, 3)), values((3, 4))
    for output in ([0, 2], [2, 0]):
        expected = np.einsum(x, [0, 1], y, [1, 2], output)
        np.testing.assert_allclose(ef.einsum(x, [0, 1], y, [1, 2], output).numpy(), expected)
    np.testing.assert_allclose(ef.einsum(x, [0, 1], y, [1, 2]).numpy(), x @ y)
    np.testing.assert_allclose(ef.einsum(x, [..., 1], y, [1, 2], [..., 2]).numpy(), x @ y)


@pytest.mark.parametrize(
    ("subscripts", "shapes", "message"),
    [
        ("ij,jk->iz", ((2, 3), (3, 4)), r"'z' is in no operand: shapes \(2, 3\) and \(3, 4\)"),
        ("ij,jk->ik", ((2, 3),), "name 2 operands, got 1"),
        ("ij->ij", ((2, 3), (2, 3)), "name 1 operands, got 2"),
        ("ij,jk->ik", ((2, 3), (4, 5)), r"'j' is 3 long in operand 0 and 4 in operand 1: shapes \(2, 3\)"),
        ("ii", ((2, 3),), "'i' is 2 long in operand 0 and 3"),
        ("ijk,jk", ((2, 3), (3, 4)), "'ijk' names 3 axes of operand 0, which has 2"),
        ("i,jk", ((2, 3), (3, 4)), "'i' names 1 axes of operand 0, which has 2"),
        ("ij->ii", ((2, 3),), "the output has 'i' twice"),
        ("i1->i", ((2, 3),), "'1' is no letter"),
        ("i..->i", ((2, 3),), "'.' is no letter"),
        ("...i->i", ((2, 3),), "not in the output"),
        ("...,...", ((2, 3), (4,)), "an axis under '...' is 3 long"),
    ],
)
def test_einsum_errors(subscripts: str, shapes: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message) as caught:
        ef.einsum(subscripts, *[ef.ones(shape) for shape in shapes])
    assert str(caught.value).startswith("einsum: ") and subscripts in str(caught.value)


def test_einsum_without_subscripts() -> None:
    for operands in ((), (ef.ones(2),), (ef.ones(2), ef.ones(2), ef.ones(2)), (ef.ones(2), [-1])):
        with pytest.raises(ShapeError, match="einsum"):
            ef.einsum(*operands)


def test_a_long_contraction_uses_a_path() -> None:
    # 40^9 products in one loop over all letters would take weeks; in pairs it takes microseconds.
    arrays = [values((40, 40), seed=seed) / 40 for seed in range(8)]
    letters = "abcdefghi"
    subscripts = ",".join(letters[i : i + 2] for i in range(8)) + "->ai"
    np.testing.assert_allclose(ef.einsum(subscripts, *arrays).numpy(), np.linalg.multi_dot(arrays), rtol=1e-9)
    got = gradients(lambda *xs: ef.einsum(subscripts, *xs), *arrays)
    expected = gradients(lambda *xs: ef.linalg.multi_dot(xs), *arrays)
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-8, atol=1e-12)


def test_the_path_matters() -> None:
    # From the left the product would need 300^2 · 299 multiplications more for each column.
    x, y, z = values((2000, 2)), values((2, 2000)), values((2000,))
    flops, _ = ef.ops.registry()["einsum"].cost(
        *[ef.ops.Spec(a.shape, a.dtype) for a in (x, y, z)], subscripts="ab,bc,c->a", optimize="auto"
    )
    assert flops < 100_000
    np.testing.assert_allclose(ef.einsum("ab,bc,c->a", x, y, z).numpy(), x @ (y @ z), rtol=1e-9)


def test_opt_einsum_is_imported_when_first_needed() -> None:
    code = "import sys, eagerflow as ef; ef.einsum('ij,jk', ef.ones((2, 2)), ef.ones((2, 2))); "
    code += "print('opt_einsum' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_multi_dot_as_numpy() -> None:
    arrays = [values((2, 3)), values((3, 4)), values((4, 5))]
    vector, row = values((5,)), values((2,))
    for case in (arrays, [*arrays, vector], [row, *arrays], [row, *arrays, vector], arrays[:2]):
        np.testing.assert_allclose(ef.linalg.multi_dot(case).numpy(), np.linalg.multi_dot(case))
    np.testing.assert_allclose(
        np.linalg.multi_dot([ef.asarray(a) for a in arrays]).numpy(), np.linalg.multi_dot(arrays)
    )
    with pytest.raises(ShapeError, match="multi_dot: the inner dimensions do not meet"):
        ef.linalg.multi_dot([arrays[0], arrays[2]])
    with pytest.raises(ShapeError, match="multi_dot"):
        ef.linalg.multi_dot(arrays[:1])
