"""The array API standard: the namespace drawn from by Hypothesis' own strategies for such namespaces."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.array_api import make_strategies_namespace

import eagerflow as ef
from eagerflow.errors import AxisError, DTypeError, IndexOutOfBoundsError, ShapeError

xps = make_strategies_namespace(ef, api_version="2024.12")

NAMES = [
    "abs",
    "acos",
    "acosh",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "asarray",
    "asin",
    "asinh",
    "astype",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "bool",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "can_cast",
    "ceil",
    "clip",
    "complex128",
    "complex64",
    "concat",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "divide",
    "e",
    "empty",
    "empty_like",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "finfo",
    "flip",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "from_dlpack",
    "full",
    "full_like",
    "greater",
    "greater_equal",
    "hypot",
    "iinfo",
    "imag",
    "inf",
    "int16",
    "int32",
    "int64",
    "int8",
    "isdtype",
    "isfinite",
    "isin",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "meshgrid",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "nan",
    "negative",
    "newaxis",
    "nextafter",
    "nonzero",
    "not_equal",
    "ones",
    "ones_like",
    "permute_dims",
    "pi",
    "positive",
    "pow",
    "prod",
    "real",
    "reciprocal",
    "remainder",
    "repeat",
    "reshape",
    "result_type",
    "roll",
    "round",
    "searchsorted",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sort",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "tril",
    "triu",
    "trunc",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "unstack",
    "var",
    "vecdot",
    "where",
    "zeros",
    "zeros_like",
    "__array_api_version__",
    "__array_namespace_info__",
    "linalg.cholesky",
    "linalg.cross",
    "linalg.det",
    "linalg.diagonal",
    "linalg.eig",
    "linalg.eigh",
    "linalg.eigvals",
    "linalg.eigvalsh",
    "linalg.inv",
    "linalg.matmul",
    "linalg.matrix_norm",
    "linalg.matrix_power",
    "linalg.matrix_rank",
    "linalg.matrix_transpose",
    "linalg.outer",
    "linalg.pinv",
    "linalg.qr",
    "linalg.slogdet",
    "linalg.solve",
    "linalg.svd",
    "linalg.svdvals",
    "linalg.tensordot",
    "linalg.trace",
    "linalg.vecdot",
    "linalg.vector_norm",
    "fft.fft",
    "fft.fftfreq",
    "fft.fftn",
    "fft.fftshift",
    "fft.hfft",
    "fft.ifft",
    "fft.ifftn",
    "fft.ifftshift",
    "fft.ihfft",
    "fft.irfft",
    "fft.irfftn",
    "fft.rfft",
    "fft.rfftfreq",
    "fft.rfftn",
]


def test_every_name_of_the_standard_is_there() -> None:
    missing = []
    for name in NAMES:
        space, _, last = name.rpartition(".")
        if not hasattr(getattr(ef, space) if space else ef, last):
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("space", [np.linalg, np.fft])
def test_every_name_of_the_namespaces_of_numpy_is_there(space: Any) -> None:
    ours = getattr(ef, space.__name__.rpartition(".")[2])
    listed = getattr(space, "__all__", [name for name in dir(space) if not name.startswith("_")])
    names = [name for name in listed if callable(getattr(space, name)) and name not in ("test", "LinAlgError")]
    assert [name for name in names if not hasattr(ours, name)] == []


@given(xps.arrays(dtype=xps.scalar_dtypes(), shape=xps.array_shapes(max_dims=3, max_side=4)))
def test_namespace_and_round_trips(x: Any) -> None:
    assert x.__array_namespace__() is ef
    assert x.__array_namespace__(api_version="2025.12") is ef
    np.testing.assert_array_equal(ef.from_dlpack(x).numpy(), x.numpy())
    np.testing.assert_array_equal(np.from_dlpack(x), x.numpy())
    np.testing.assert_array_equal(ef.asarray(x, copy=True).numpy(), x.numpy())


@given(data=st.data())
def test_indices(data: Any) -> None:
    x = data.draw(xps.arrays(dtype=ef.int64, shape=xps.array_shapes(max_dims=3, max_side=4), unique=True))
    index = data.draw(xps.indices(x.shape, allow_newaxis=True))
    np.testing.assert_array_equal(x[index].numpy(), x.numpy()[index])
    changed, expected = ef.asarray(x, copy=True), np.array(x.numpy())
    changed[index] = 0
    expected[index] = 0
    np.testing.assert_array_equal(changed.numpy(), expected)


@given(shapes=xps.mutually_broadcastable_shapes(3, max_dims=3, max_side=4))
def test_broadcasting(shapes: Any) -> None:
    arrays = [ef.ones(shape) for shape in shapes.input_shapes]
    assert ef.broadcast_shapes(*shapes.input_shapes) == shapes.result_shape
    together = ef.broadcast_arrays(*arrays)
    assert type(together) is tuple
    assert [x.shape for x in together] == [shapes.result_shape] * 3
    assert (arrays[0] + arrays[1] * arrays[2]).shape == shapes.result_shape


@given(xps.numeric_dtypes(), xps.numeric_dtypes())
def test_promotion_is_that_of_numpy(first: Any, second: Any) -> None:
    expected = np.result_type(first, second)
    assert ef.result_type(first, second) == expected
    assert ef.result_type(ef.ones(1, dtype=first), second) == expected
    assert (ef.ones(2, dtype=first) * ef.ones(2, dtype=second)).dtype == expected
    assert ef.concat([ef.ones(1, dtype=first), ef.ones(1, dtype=second)]).dtype == expected


@given(xps.real_dtypes(), st.sampled_from([1, 2.5]))
def test_python_numbers_are_weak(dtype: Any, number: float) -> None:
    assume(type(number) is int or ef.isdtype(dtype, "real floating"))
    x = ef.ones(2, dtype=dtype)
    for result in (x + number, number * x, ef.maximum(x, number), ef.where(x > 0, x, number), ef.clip(x, 0, number)):
        assert result.dtype == dtype


@given(data=st.data())
def test_assignment_keeps_the_dtype(data: Any) -> None:
    dtype, other = data.draw(xps.real_dtypes()), data.draw(xps.real_dtypes())
    assume(np.can_cast(other, dtype))
    x = ef.zeros((2, 3), dtype=dtype)
    x[0] = ef.ones(3, dtype=other)
    assert x.dtype == dtype and x.tolist() == [[1, 1, 1], [0, 0, 0]]


@given(xps.arrays(dtype=xps.integer_dtypes(), shape=xps.array_shapes(max_dims=2, max_side=4)))
def test_sets(x: Any) -> None:
    values, first, inverse, counts = ef.unique_all(x)
    assert ef.all(ef.take(values, inverse) == x)
    assert ef.all(ef.take(ef.reshape(x, -1), first) == values)
    assert int(ef.sum(counts)) == x.size
    assert ef.all(ef.isin(x, values)) and not ef.any(ef.isin(x, values, invert=True))
    assert ef.all(ef.searchsorted(values, values) == ef.arange(values.size))


def test_isin() -> None:
    x = ef.asarray([0.1, 2.0, np.nan], dtype=ef.float32)
    assert ef.isin(x, 0.1).tolist() == [True, False, False]
    assert ef.isin(0.1, x).tolist() is True
    assert ef.isin(x, ef.asarray([2.0, np.nan])).tolist() == [False, True, False]
    assert ef.isin(ef.asarray([1, 200], dtype=ef.uint8), 300).tolist() == [False, False]
    assert np.isin(ef.asarray([1, 2]), [2], invert=True).tolist() == [True, False]
    assert ef.vmap(ef.isin)(ef.asarray([[1, 2], [3, 4]]), ef.asarray([[2], [2]])).tolist() == [
        [False, True],
        [False] * 2,
    ]
    assert ef.vmap(lambda row: ef.searchsorted(row, 2))(ef.asarray([[1, 2], [3, 4]])).tolist() == [1, 0]


def test_namespace_info() -> None:
    info = ef.__array_namespace_info__()
    assert info.capabilities() == {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}
    ndim = info.capabilities()["max dimensions"]
    assert ef.ones((1,) * ndim).ndim == ndim
    assert info.default_device() in info.devices() and type(info.devices()) is tuple
    assert all(ef.zeros(1, device=device).device == device for device in info.devices())
    assert info.default_dtypes() == {
        "real floating": ef.float64, "complex floating": ef.complex128, "integral": ef.int64, "indexing": ef.int64,
    }  # fmt: skip
    assert set(info.dtypes(kind=("bool", "complex floating"))) == {"bool", "complex64", "complex128"}
    assert len(info.dtypes()) == 13 and all(ef.isdtype(d, "integral") for d in info.dtypes(kind="integral").values())
    ef.set_default_dtype(ef.float32)
    try:
        assert info.default_dtypes()["complex floating"] == ef.complex64
    finally:
        ef.set_default_dtype(ef.float64)


def test_limits_of_dtypes() -> None:
    limits = ef.finfo(ef.complex64)
    assert limits.dtype == ef.float32 and limits.bits == 32 and type(limits.eps) is float
    assert limits.tiny == limits.smallest_normal == float(np.finfo(np.float32).tiny)
    assert ef.finfo(ef.bfloat16).eps == 2**-7
    assert ef.finfo(ef.ones(1)).max == np.finfo(np.float64).max
    assert ef.iinfo(ef.ones(1, dtype=ef.uint8)).max == 255
    assert ef.isdtype(ef.bfloat16, "real floating") and ef.isdtype(ef.bfloat16, ("bool", "numeric"))
    assert not ef.isdtype(ef.bfloat16, "integral")
    assert np.result_type(ef.ones(1, dtype=ef.float32), 1.0) == ef.float32
    assert np.can_cast(ef.ones(1), ef.complex128)


def test_the_names_of_parameters_are_those_of_the_standard() -> None:
    assert list(inspect.signature(ef.Tensor.__dlpack__).parameters)[1:] == [
        "stream",
        "max_version",
        "dl_device",
        "copy",
    ]
    assert list(inspect.signature(ef.Tensor.__array_namespace__).parameters) == ["self", "api_version"]


def test_dlpack_copies_unless_the_consumer_can_be_told_not_to_write() -> None:
    x = ef.asarray([1.0, 2.0])
    taken = np.from_dlpack(x)
    if taken.flags.writeable:
        taken[0] = 9.0
    assert x.tolist() == [1.0, 2.0]
    assert not np.from_dlpack(x, copy=False).flags.writeable
    for options, message in (({"copy": False}, "DLPack 1.0"), ({"stream": 1}, "no streams")):
        with pytest.raises(BufferError, match=message):
            x.__dlpack__(**options)
    x.__dlpack__(max_version=(1, 1), dl_device=(1, 0), copy=True)

    class Refusing:
        def __dlpack__(self, **options: Any) -> Any:
            raise BufferError("not today")

        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

    with pytest.raises(DTypeError, match=r"Refusing.*not today"):
        ef.from_dlpack(Refusing())


def test_small_integers_stay_small_where_a_dtype_is_given() -> None:
    x = ef.asarray([100, 100, 100], dtype=ef.uint8)
    assert ef.cumulative_sum(x, dtype=ef.uint8).tolist() == [100, 200, 44]
    assert ef.cumsum(x, dtype=ef.uint8).dtype == ef.uint8
    assert ef.cumulative_prod(x, dtype=ef.uint8, include_initial=True).dtype == ef.uint8
    assert ef.vecdot(x, x).dtype == ef.uint8
    assert ef.sum(x).dtype == np.sum(x.numpy()).dtype


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ef.ones(1).__array_namespace__(api_version="2019.01"), DTypeError, "api_version is one of"),
        (lambda: ef.__array_namespace_info__().dtypes(kind="text"), DTypeError, "got 'text'"),
        (lambda: ef.finfo(ef.int8), DTypeError, "see iinfo"),
        (lambda: ef.iinfo(ef.float32), DTypeError, "see finfo"),
        (lambda: ef.finfo("nothing"), DTypeError, "expected a dtype"),
        (lambda: ef.isdtype(ef.float32, "text"), DTypeError, "isdtype"),
        (lambda: ef.result_type(), DTypeError, "result_type"),
        (lambda: ef.can_cast(1.0, ef.float32), DTypeError, "can_cast"),
        (lambda: ef.from_dlpack(3), DTypeError, "__dlpack__"),
        (lambda: ef.expand_dims(ef.ones(2), axis=3), AxisError, "axis 3"),
        (lambda: ef.expand_dims(ef.ones(2), axis=3), IndexError, "axis 3"),
        (lambda: ef.expand_dims(ef.ones(2), axis=3), ShapeError, "axis 3"),
        (lambda: ef.ones(2)[3], IndexOutOfBoundsError, "3"),
    ],
)
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_unique_along_an_axis_as_numpy(axis: int | None) -> None:
    x = np.array([[1, 2, 1], [3, 4, 3], [1, 2, 1]])
    for results in (
        ef.unique(x, True, True, True, axis),
        np.unique(ef.asarray(x), return_index=True, return_inverse=True, return_counts=True, axis=axis),
    ):
        for result, expected in zip(results, np.unique(x, True, True, True, axis), strict=True):
            np.testing.assert_array_equal(result.numpy(), expected)
    with pytest.raises(AxisError, match="unique: axis 2"):
        ef.unique(x, axis=2)
