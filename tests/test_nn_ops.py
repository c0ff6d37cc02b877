"""Operations of neural networks against their definitions in plain loops, and against PyTorch where it is installed."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import eagerflow as ef
from eagerflow.core import Tensor
from eagerflow.ops.networks import winograd
from eagerflow.ops.special import erf, erfc

nn = ef.nn
RNG = np.random.default_rng(7)
EXTREMES = np.array([-1e4, -800.0, -90.0, -1.0, -1e-8, 0.0, 1e-8, 1.0, 90.0, 800.0, 1e4])


def normal(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return RNG.normal(size=shape).astype(dtype)


def gradients(function: Any, *arrays: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the result, and the gradients of its elements' sum weighted by 1, 2, 3, …."""
    tensors = [ef.asarray(array) for array in arrays]
    with ef.GradientTape() as tape:
        tape.watch(tensors)
        result = function(*tensors)
    weights = np.arange(1, result.size + 1, dtype=result.dtype).reshape(result.shape)
    return result.numpy(), [g.numpy() for g in tape.gradient(result, tensors, ef.asarray(weights))]


def against_torch(ours: Any, theirs: Any, *arrays: np.ndarray, tolerance: float = 1e-10) -> None:
    torch = pytest.importorskip("torch")
    result, found = gradients(ours, *arrays)
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = theirs(*tensors)
    assert result.dtype == expected.detach().numpy().dtype
    np.testing.assert_allclose(result, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    weights = torch.arange(1, expected.numel() + 1, dtype=expected.dtype).reshape(expected.shape)
    for g, t in zip(found, torch.autograd.grad(expected, tensors, weights), strict=True):
        scale = tolerance * max(1.0, float(t.abs().max()))
        np.testing.assert_allclose(g, t.numpy(), rtol=tolerance, atol=scale)


# Activations.

DEFINITIONS = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)) if x > -700 else 0.0,
    "silu": lambda x: x / (1 + math.exp(-x)) if x > -700 else 0.0,
    "softplus": lambda x: math.log1p(math.exp(x)) if x < 30 else x,
    "log_sigmoid": lambda x: -math.log1p(math.exp(-x)) if x > -30 else x,
    "gelu": lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_activations_follow_their_definition(name: str) -> None:
    x = np.concatenate([normal(50) * 3, EXTREMES])
    expected = [DEFINITIONS[name](float(item)) for item in x]
    np.testing.assert_allclose(getattr(nn, name)(x).numpy(), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_activations_keep_the_dtype_and_do_not_warn(name: str, dtype: Any) -> None:
    x = EXTREMES.astype(dtype)
    result, (g,) = gradients(getattr(nn, name), x)
    assert result.dtype == g.dtype == dtype
    assert np.isfinite(result).all() and np.isfinite(g).all()
    assert getattr(nn, name)(np.ones((0, 3), dtype)).shape == (0, 3)
    assert getattr(nn, name)(dtype(1.0)).shape == ()


def test_large_arrays_are_the_same_as_small_ones() -> None:
    x = normal(40_001)
    for function in (nn.gelu, erf, erfc):
        np.testing.assert_array_equal(function(x).numpy()[-7:], function(x[-7:]).numpy())


@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("relu", "relu", {}),
        ("leaky_relu", "leaky_relu", {}),
        ("elu", "elu", {"alpha": 0.5}),
        ("sigmoid", "sigmoid", {}),
        ("silu", "silu", {}),
        ("softplus", "softplus", {}),
        ("log_sigmoid", "logsigmoid", {}),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-6)])
def test_activations_against_torch(name: str, theirs: str, options: Any, dtype: Any, tolerance: float) -> None:
    functional = pytest.importorskip("torch.nn.functional")
    x = normal(4, 5, dtype=dtype) * 2
    against_torch(
        lambda x: getattr(nn, name)(x, **options),
        lambda x: getattr(functional, theirs)(x, **options),
        x,
        tolerance=tolerance,
    )


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_against_torch(approximate: bool) -> None:
    functional = pytest.importorskip("torch.nn.functional")
    how = "tanh" if approximate else "none"
    against_torch(lambda x: nn.gelu(x, approximate), lambda x: functional.gelu(x, approximate=how), normal(30) * 3)


def test_relu_has_no_slope_at_zero() -> None:
    np.testing.assert_array_equal(gradients(nn.relu, np.array([-1.0, 0.0, 2.0]))[1][0], [0.0, 0.0, 3.0])


# The error function.


def test_erf_is_accurate_over_its_whole_range() -> None:
    x = np.concatenate([np.linspace(-6, 6, 4001), np.logspace(-300, 0, 200)])
    expected = np.array([math.erf(item) for item in x])
    np.testing.assert_allclose(erf(x).numpy(), expected, rtol=1e-15)
    x = np.concatenate([np.linspace(-6, 26, 4001), np.logspace(-300, 0, 200)])
    np.testing.assert_allclose(erfc(x).numpy(), [math.erfc(item) for item in x], rtol=2e-15)
    x = x.astype(np.float32)
    np.testing.assert_allclose(erf(x).numpy(), [math.erf(item) for item in x], rtol=5e-7, atol=1e-38)


def test_erf_of_special_values() -> None:
    x = np.array([np.inf, -np.inf, np.nan, 0.0])
    np.testing.assert_array_equal(erf(x).numpy(), [1.0, -1.0, np.nan, 0.0])
    np.testing.assert_array_equal(erfc(x).numpy(), [0.0, 2.0, np.nan, 1.0])
    assert np.signbit(erf(np.array([-0.0])).numpy()).all()
    assert erf(np.array([1, 2])).dtype == np.float64


# Softmax and the losses.


def softmax_by_loops(x: np.ndarray, axis: int) -> np.ndarray:
    result = np.empty_like(x)
    for index in np.ndindex(*np.delete(x.shape, axis)):
        where = (*index[:axis], slice(None), *index[axis:])
        weights = [math.exp(item - max(x[where])) for item in x[where]]
        result[where] = [weight / math.fsum(weights) for weight in weights]
    return result


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_follows_its_definition(axis: int) -> None:
    x = normal(3, 4, 5)
    expected = softmax_by_loops(x, axis % 3)
    np.testing.assert_allclose(nn.softmax(x, axis).numpy(), expected, rtol=1e-13)
    np.testing.assert_allclose(nn.log_softmax(x, axis).numpy(), np.log(expected), rtol=1e-12, atol=1e-13)


def test_softmax_over_several_axes_sums_to_one() -> None:
    np.testing.assert_allclose(nn.softmax(normal(3, 4, 5), (0, 2)).numpy().sum((0, 2)), np.ones(4))
    np.testing.assert_allclose(nn.softmax(normal(3, 4), None).numpy().sum(), 1.0)


def test_softmax_does_not_overflow() -> None:
    x = np.array([[1e4, -1e4, 0.0]], np.float32)
    np.testing.assert_array_equal(nn.softmax(x).numpy(), np.array([[1, 0, 0]], np.float32))
    np.testing.assert_array_equal(nn.log_softmax(x).numpy(), np.array([[0, -2e4, -1e4]], np.float32))


def test_softmax_cross_entropy_follows_its_definition() -> None:
    x, labels = normal(2, 3, 5), np.array([[0, 4, 2], [1, 1, 3]])
    p = softmax_by_loops(x, 2)
    expected = [[-math.log(p[i, j, labels[i, j]]) for j in range(3)] for i in range(2)]
    np.testing.assert_allclose(nn.softmax_cross_entropy(x, labels).numpy(), expected, rtol=1e-13)
    hot = nn.one_hot(labels, 5)
    np.testing.assert_allclose(nn.softmax_cross_entropy(x, hot).numpy(), expected, rtol=1e-13)
    first = np.moveaxis(x, -1, 0)
    np.testing.assert_allclose(nn.softmax_cross_entropy(first, labels, axis=0).numpy(), expected, rtol=1e-13)


def test_softmax_cross_entropy_is_stable_and_keeps_float32() -> None:
    x = np.array([[1e4, 0.0], [1e4, 0.0]], np.float32)
    result, (g,) = gradients(lambda x: nn.softmax_cross_entropy(x, np.array([0, 1])), x)
    np.testing.assert_array_equal(result, np.array([0, 1e4], np.float32))
    np.testing.assert_array_equal(g, np.array([[0, 0], [2, -2]], np.float32))
    assert result.dtype == g.dtype == np.float32


@pytest.mark.parametrize("labels", [[0, 5], [-1, 0]])
def test_a_label_out_of_range_is_an_error(labels: list[int]) -> None:
    wrong = labels[0] if labels[0] < 0 else labels[1]
    with pytest.raises(ef.errors.IndexOutOfBoundsError, match=f"softmax_cross_entropy.*{wrong}.*5 classes"):
        nn.softmax_cross_entropy(normal(2, 5), labels)


def test_losses_refuse_what_does_not_fit() -> None:
    with pytest.raises(ef.errors.ShapeError, match="softmax_cross_entropy"):
        nn.softmax_cross_entropy(normal(2, 5), [0, 1, 2])
    with pytest.raises(ef.errors.DTypeError, match="softmax_cross_entropy"):
        nn.softmax_cross_entropy(np.ones((2, 5), int), [0, 1])
    with pytest.raises(ef.errors.ShapeError, match="sigmoid_cross_entropy"):
        nn.sigmoid_cross_entropy(normal(2, 5), normal(3))


def test_cross_entropies_against_torch() -> None:
    functional = pytest.importorskip("torch.nn.functional")
    torch = pytest.importorskip("torch")
    labels = np.array([0, 3, 2, 3])
    against_torch(
        lambda x: nn.softmax_cross_entropy(x, labels),
        lambda x: functional.cross_entropy(x, torch.tensor(labels), reduction="none"),
        normal(4, 5),
    )
    soft = softmax_by_loops(normal(4, 5), 1)
    against_torch(
        nn.softmax_cross_entropy,
        lambda x, y: functional.cross_entropy(x, y, reduction="none"),
        normal(4, 5),
        soft,
    )
    against_torch(
        nn.sigmoid_cross_entropy,
        lambda x, y: functional.binary_cross_entropy_with_logits(x, y, reduction="none"),
        normal(4, 5),
        RNG.uniform(size=(4, 5)),
    )


def test_second_derivative_of_softmax_cross_entropy_against_torch() -> None:
    torch = pytest.importorskip("torch")
    x, labels = normal(3, 4), np.array([0, 3, 2])
    tensor = ef.asarray(x)
    with ef.GradientTape() as outer:
        outer.watch(tensor)
        with ef.GradientTape() as tape:
            tape.watch(tensor)
            loss = nn.softmax_cross_entropy(tensor, labels)
        g = tape.gradient(loss, tensor)
        norm = (g * g).sum()
    theirs = torch.tensor(x, requires_grad=True)
    value = torch.nn.functional.cross_entropy(theirs, torch.tensor(labels), reduction="sum")
    (first,) = torch.autograd.grad(value, theirs, create_graph=True)
    (second,) = torch.autograd.grad((first * first).sum(), theirs)
    np.testing.assert_allclose(outer.gradient(norm, tensor).numpy(), second.numpy(), rtol=1e-10, atol=1e-12)


# Convolution.


def conv_by_loops(x: Any, w: Any, stride: Any, pads: Any, dilation: Any, groups: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), *pads))
    kernel = w.shape[2:]
    sides = [(x.shape[i + 2] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(2)]
    result = np.zeros((x.shape[0], w.shape[0], *sides))
    per_group, depth = w.shape[0] // groups, w.shape[1]
    for n, o, i, j in np.ndindex(*result.shape):
        for c, a, b in np.ndindex(*w.shape[1:]):
            channel = o // per_group * depth + c
            row, column = i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]
            result[n, o, i, j] += x[n, channel, row, column] * w[o, c, a, b]
    return result


CONVOLUTIONS = [
    # x, weight, stride, padding, dilation, groups
    ((2, 3, 5, 6), (4, 3, 3, 3), 1, 0, 1, 1),
    ((2, 3, 5, 6), (4, 3, 3, 3), 1, 1, 1, 1),
    ((2, 4, 7, 6), (6, 2, 3, 2), (2, 1), (1, 2), 1, 2),
    ((1, 4, 9, 8), (4, 1, 3, 3), 1, 2, 2, 4),
    ((3, 2, 8, 8), (3, 2, 5, 4), (3, 2), (2, 1), 1, 1),
    ((2, 3, 4, 4), (5, 3, 1, 1), 1, 0, 1, 1),
    ((2, 3, 5, 5), (5, 3, 1, 1), 2, 1, 1, 1),
    ((40, 8, 6, 6), (8, 8, 3, 3), 1, 1, 1, 1),
    ((1, 1, 3, 3), (1, 1, 3, 3), 1, 0, 1, 1),
]


@pytest.mark.parametrize("case", CONVOLUTIONS[:7], ids=str)
def test_conv2d_follows_its_definition(case: Any) -> None:
    xs, ws, stride, padding, dilation, groups = case
    x, w = normal(*xs), normal(*ws)
    result = nn.conv2d(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    pair = [item if isinstance(item, tuple) else (item, item) for item in (stride, padding, dilation)]
    expected = conv_by_loops(x, w, pair[0], [(p, p) for p in pair[1]], pair[2], groups)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_conv2d_against_torch(case: Any, dtype: Any, tolerance: float) -> None:
    functional = pytest.importorskip("torch.nn.functional")
    xs, ws, stride, padding, dilation, groups = case
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    arrays = normal(*xs, dtype=dtype), normal(*ws, dtype=dtype), normal(ws[0], dtype=dtype)
    against_torch(
        lambda x, w, b: nn.conv2d(x, w, b, **options),
        lambda x, w, b: functional.conv2d(x, w, b, **options),
        *arrays,
        tolerance=tolerance,
    )


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_conv2d_transpose_against_torch(case: Any) -> None:
    functional = pytest.importorskip("torch.nn.functional")
    xs, ws, stride, padding, dilation, groups = case
    steps = stride if isinstance(stride, tuple) else (stride, stride)
    extra = tuple(step - 1 for step in steps)
    weight = normal(*ws)
    x = normal(xs[0], ws[0], xs[2], xs[3])
    against_torch(
        lambda x, w, b: nn.conv2d_transpose(x, w, b, stride, padding, extra, dilation, groups),
        lambda x, w, b: functional.conv_transpose2d(x, w, b, stride, padding, extra, groups, dilation),
        x,
        weight,
        normal(ws[1] * groups),
    )


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 2), (1, 3, 2, 1)])
def test_conv1d_against_torch(stride: int, padding: int, dilation: int, groups: int) -> None:
    functional = pytest.importorskip("torch.nn.functional")
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x, w, b = normal(2, 4, 11), normal(6, 4 // groups, 3), normal(6)
    against_torch(
        lambda x, w, b: nn.conv1d(x, w, b, **options), lambda x, w, b: functional.conv1d(x, w, b, **options), x, w, b
    )
    against_torch(
        lambda x, w: nn.conv1d_transpose(x, w, **options),
        lambda x, w: functional.conv_transpose1d(x, w, **options),
        normal(2, 6, 7),
        w,
    )


@pytest.mark.parametrize(("size", "kernel", "stride"), list(itertools.product((5, 6), (1, 2, 3), (1, 2, 3))))
def test_same_padding_divides_the_size_by_the_stride(size: int, kernel: int, stride: int) -> None:
    x = normal(1, 1, size, size)
    result = nn.conv2d(x, np.ones((1, 1, kernel, kernel)), stride=stride, padding="same")
    side = -(-size // stride)
    assert result.shape == (1, 1, side, side)
    total = max((side - 1) * stride + kernel - size, 0)
    pads = [(total // 2, total - total // 2)] * 2
    expected = conv_by_loops(x, np.ones((1, 1, kernel, kernel)), (stride, stride), pads, (1, 1), 1)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-12)
    back = nn.conv2d_transpose(result, np.ones((1, 1, kernel, kernel)), stride=stride, padding="same")
    assert back.shape == (1, 1, side * stride, side * stride)


# Height, width, kernel, stride and padding of convolutions that are done in tiles.
TILED = [
    (13, 13, 3, 1, 1),
    (7, 15, 3, 1, ((0, 2), (1, 0))),
    (6, 9, 4, 1, ((2, 1), (0, 3))),
    (11, 8, 5, 1, 2),
    (15, 17, 5, 2, 1),
    (27, 30, 11, 4, 2),
    (29, 24, 10, 4, ((0, 1), (3, 0))),
]


@pytest.mark.parametrize(("height", "width", "kernel", "stride", "padding"), TILED)
def test_convolution_in_tiles_is_the_same_as_in_double_precision(
    height: int, width: int, kernel: int, stride: int, padding: Any
) -> None:
    channels = -(-48 // stride**2)
    arrays = normal(3, channels, height, width), normal(50, channels, kernel, kernel), normal(50)
    singles = [array.astype(np.float32) for array in arrays]
    assert winograd.pays(
        np, singles[0], singles[1], (channels, 50), (kernel, kernel),
        stride=(stride, stride), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1,
    )  # fmt: skip

    def function(x: Any, weight: Any, bias: Any) -> Tensor:
        return nn.conv2d(x, weight, bias, stride, padding)

    expected, exact = gradients(function, *[array.astype(np.float64) for array in singles])
    result, found = gradients(function, *singles)
    for mine, theirs in zip([result, *found], [expected, *exact], strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_convolutions_in_several_threads_do_not_disturb_each_other() -> None:
    images = [normal(4, 48, 12, 12, dtype=np.float32) for _ in range(8)]
    weight = normal(48, 48, 3, 3, dtype=np.float32)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda x: nn.conv2d(x, weight, padding=1).numpy(), images * 3))
    for x, result in zip(images * 3, together, strict=True):
        np.testing.assert_array_equal(result, nn.conv2d(x, weight, padding=1).numpy())


def test_a_convolution_in_tiles_leaves_earlier_results_alone() -> None:
    x, weight = normal(2, 48, 12, 12, dtype=np.float32), normal(48, 48, 3, 3, dtype=np.float32)
    result = nn.conv2d(x, weight)
    before = result.numpy()
    nn.conv2d(-x, weight)
    np.testing.assert_array_equal(result.numpy(), before)


def test_convolution_of_an_empty_batch() -> None:
    result, (gx, gw) = gradients(lambda x, w: nn.conv2d(x, w), np.ones((0, 2, 4, 4)), np.ones((3, 2, 3, 3)))
    assert result.shape == (0, 3, 2, 2) and gx.shape == (0, 2, 4, 4)
    np.testing.assert_array_equal(gw, np.zeros((3, 2, 3, 3)))


def test_convolution_refuses_what_does_not_fit() -> None:
    x, w = np.ones((1, 3, 4, 4)), np.ones((2, 3, 3, 3))
    for call in (
        lambda: nn.conv2d(x[0], w),
        lambda: nn.conv2d(x, w[:, :2]),
        lambda: nn.conv2d(x, w, groups=2),
        lambda: nn.conv2d(x, np.ones((2, 3, 5, 5))),
        lambda: nn.conv2d(x, w, np.ones(3)),
        lambda: nn.conv2d(x, w, stride=0),
        lambda: nn.conv2d(x, w, padding=-1),
        lambda: nn.conv2d(x, w, padding=(1, 2, 3)),
        lambda: nn.conv2d_transpose(x, w),
        lambda: nn.conv2d_transpose(x[:, :2], w, output_padding=1),
    ):
        with pytest.raises(ef.errors.ShapeError, match="conv2d"):
            call()
    with pytest.raises(ef.errors.ArgumentError, match="conv2d: padding is numbers, 'same' or 'valid', got 'full'"):
        nn.conv2d(x, w, padding="full")
    with pytest.raises(ef.errors.DTypeError, match="conv2d: stride"):
        nn.conv2d(x, w, stride=1.5)


# Pooling.


def pool_by_loops(x: Any, window: Any, stride: Any, padding: Any, reduce: Any, fill: float) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), *[(p, p) for p in padding]), constant_values=fill)
    sides = [(x.shape[i + 2] - window[i]) // stride[i] + 1 for i in range(2)]
    result = np.zeros((*x.shape[:2], *sides))
    for n, c, i, j in np.ndindex(*result.shape):
        top, left = i * stride[0], j * stride[1]
        result[n, c, i, j] = reduce(x[n, c, top : top + window[0], left : left + window[1]])
    return result


POOLS = [((2, 2), (2, 2), (0, 0)), ((3, 3), (2, 2), (0, 0)), ((3, 2), (1, 2), (1, 1)), ((1, 1), (1, 1), (0, 0))]


@pytest.mark.parametrize(("window", "stride", "padding"), POOLS)
def test_pooling_follows_its_definition(window: Any, stride: Any, padding: Any) -> None:
    x = normal(2, 3, 7, 8)
    expected = pool_by_loops(x, window, stride, padding, np.max, -np.inf)
    np.testing.assert_array_equal(nn.max_pool2d(x, window, stride, padding).numpy(), expected)
    expected = pool_by_loops(x, window, stride, padding, np.mean, 0.0)
    np.testing.assert_allclose(nn.avg_pool2d(x, window, stride, padding).numpy(), expected, atol=1e-14)
    expected = pool_by_loops(x, window, stride, padding, np.nanmean, np.nan)
    result = nn.avg_pool2d(x, window, stride, padding, count_padding=False)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-14)


@pytest.mark.parametrize(("window", "stride", "padding"), POOLS)
@pytest.mark.parametrize("ties", [False, True])
def test_pooling_against_torch(window: Any, stride: Any, padding: Any, ties: bool) -> None:
    functional = pytest.importorskip("torch.nn.functional")
    x = RNG.integers(0, 3, (2, 3, 7, 8)).astype(float) if ties else normal(2, 3, 7, 8)
    against_torch(
        lambda x: nn.max_pool2d(x, window, stride, padding),
        lambda x: functional.max_pool2d(x, window, stride, padding),
        x,
    )
    for count in (False, True):
        against_torch(
            lambda x, count=count: nn.avg_pool2d(x, window, stride, padding, count),
            lambda x, count=count: functional.avg_pool2d(x, window, stride, padding, count_include_pad=count),
            x,
        )
    against_torch(
        lambda x: nn.max_pool1d(x, window[0], stride[0], padding[0]),
        lambda x: functional.max_pool1d(x, window[0], stride[0], padding[0]),
        x[0],
    )
    against_torch(
        lambda x: nn.avg_pool1d(x, window[0], stride[0], padding[0]),
        lambda x: functional.avg_pool1d(x, window[0], stride[0], padding[0]),
        x[0],
    )


def test_pooling_of_integers_and_float32() -> None:
    x = np.arange(16).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(nn.max_pool2d(x, 3, 1, 1).numpy()[0, 0, 0], [5, 6, 7, 7])
    with pytest.raises(ef.errors.DTypeError, match="avg_pool2d"):
        nn.avg_pool2d(x, 2)
    x = normal(1, 1, 4, 4, dtype=np.float32)
    for function in (nn.max_pool2d, nn.avg_pool2d):
        result, (g,) = gradients(lambda x, function=function: function(x, 2), x)
        assert result.dtype == g.dtype == np.float32


def test_pooling_refuses_what_does_not_fit() -> None:
    with pytest.raises(ef.errors.ShapeError, match="max_pool2d"):
        nn.max_pool2d(np.ones((1, 1, 2, 2)), 3)
    with pytest.raises(ef.errors.ShapeError, match="max_pool2d"):
        nn.max_pool2d(np.ones((1, 1, 4, 4)), 2, padding=2)
    with pytest.raises(ef.errors.ShapeError, match="avg_pool1d"):
        nn.avg_pool1d(np.ones((1, 4)), 2)


def test_the_result_of_pooling_is_no_view_of_its_input() -> None:
    x = ef.ones((1, 1, 2, 2))
    assert not np.shares_memory(nn.max_pool2d(x, 1).numpy(), x.numpy())


# Normalization.


def test_layer_norm_follows_its_definition() -> None:
    x, w, b = normal(3, 4, 5), normal(5), normal(5)
    result = nn.layer_norm(x, w, b).numpy()
    for i, j in np.ndindex(3, 4):
        row = x[i, j]
        mean = sum(row) / 5
        variance = sum((item - mean) ** 2 for item in row) / 5
        np.testing.assert_allclose(result[i, j], (row - mean) / math.sqrt(variance + 1e-5) * w + b, rtol=1e-12)


def test_norms_against_torch() -> None:
    functional = pytest.importorskip("torch.nn.functional")
    for axes, shape in ((-1, (5,)), ((-2, -1), (4, 5))):
        against_torch(
            lambda x, w, b, axes=axes: nn.layer_norm(x, w, b, axes),
            lambda x, w, b, shape=shape: functional.layer_norm(x, shape, w, b),
            normal(3, 4, 5),
            normal(*shape),
            normal(*shape),
        )
    against_torch(
        lambda x, w: nn.rms_norm(x, w, eps=1e-6),
        lambda x, w: functional.rms_norm(x, (5,), w, 1e-6),
        normal(3, 4, 5),
        normal(5),
    )
    against_torch(
        lambda x, w, b: nn.batch_norm(x, w, b)[0],
        lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True),
        normal(3, 4, 5, 2),
        normal(4),
        normal(4),
    )
    torch = pytest.importorskip("torch")
    mean, variance = normal(4), np.abs(normal(4)) + 0.5
    against_torch(
        lambda x, w, b: nn.batch_norm_inference(x, mean, variance, w, b),
        lambda x, w, b: functional.batch_norm(x, torch.tensor(mean), torch.tensor(variance), w, b),
        normal(3, 4, 5, 2),
        normal(4),
        normal(4),
    )


def test_batch_norm_returns_the_moments_of_the_batch() -> None:
    x = normal(6, 4, 3)
    out, mean, variance = nn.batch_norm(x)
    np.testing.assert_allclose(mean.numpy(), x.mean((0, 2)), rtol=1e-12)
    np.testing.assert_allclose(variance.numpy(), x.var((0, 2)), rtol=1e-12)
    np.testing.assert_allclose(nn.batch_norm_inference(x, mean, variance).numpy(), out.numpy(), atol=1e-12)
    assert all(item.dtype == np.float32 for item in nn.batch_norm(x.astype(np.float32)))


def test_norms_refuse_what_does_not_fit() -> None:
    with pytest.raises(ef.errors.ShapeError, match="layer_norm: weight"):
        nn.layer_norm(normal(3, 4), np.ones(3))
    with pytest.raises(ef.errors.ShapeError, match="batch_norm"):
        nn.batch_norm(normal(3, 4), axis=2)
    with pytest.raises(ef.errors.DTypeError, match="layer_norm"):
        nn.layer_norm([1, 2])


# Embedding.


def test_embedding_takes_rows_and_adds_gradients_up() -> None:
    table, ids = normal(5, 3), np.array([[1, 1], [4, 0]])
    result, (g,) = gradients(lambda table: nn.embedding(table, ids), table)
    expected = np.zeros((5, 3))
    for position, (i, j) in enumerate(np.ndindex(2, 2)):
        np.testing.assert_array_equal(result[i, j], table[ids[i, j]])
        expected[ids[i, j]] += np.arange(1, 4) + 3 * position
    np.testing.assert_array_equal(g, expected)
    assert nn.embedding(table, 2).shape == (3,)
    assert nn.embedding(table, np.zeros((0, 2), int)).shape == (0, 2, 3)


def test_embedding_and_one_hot_refuse_what_is_out_of_range() -> None:
    with pytest.raises(ef.errors.IndexOutOfBoundsError, match=r"embedding.*5 is out of range for 5 rows"):
        nn.embedding(normal(5, 3), [0, 5])
    with pytest.raises(ef.errors.IndexOutOfBoundsError, match=r"embedding.*-1"):
        nn.embedding(normal(5, 3), [-1])
    with pytest.raises(ef.errors.DTypeError, match="embedding"):
        nn.embedding(normal(5, 3), [1.0])
    with pytest.raises(ef.errors.IndexOutOfBoundsError, match=r"one_hot.*3 is out of range for 3 classes"):
        nn.one_hot([3], 3)


def test_one_hot() -> None:
    np.testing.assert_array_equal(nn.one_hot([2, 0], 3, np.float32, axis=0).numpy(), [[0, 1], [0, 0], [1, 0]])
    assert nn.one_hot(1, 3).tolist() == [0.0, 1.0, 0.0]


# Attention.


def test_attention_follows_its_definition() -> None:
    q, k, v = normal(4, 3), normal(5, 3), normal(5, 2)
    result = nn.scaled_dot_product_attention(q, k, v).numpy()
    for i in range(4):
        scores = [sum(q[i, e] * k[s, e] for e in range(3)) / math.sqrt(3) for s in range(5)]
        weights = softmax_by_loops(np.array([scores]), 1)[0]
        np.testing.assert_allclose(result[i], sum(weights[s] * v[s] for s in range(5)), rtol=1e-12)


@pytest.mark.parametrize("how", ["plain", "causal", "boolean", "numbers", "scale"])
def test_attention_against_torch(how: str) -> None:
    functional = pytest.importorskip("torch.nn.functional")
    torch = pytest.importorskip("torch")
    q, k, v = normal(2, 3, 4, 5), normal(2, 3, 4, 5), normal(2, 3, 4, 6)
    mask: Any = None
    if how == "boolean":
        mask = RNG.uniform(size=(4, 4)) > 0.5
        mask[:, 0] = True
    elif how == "numbers":
        mask = normal(4, 4)
    options: Any = {"is_causal": how == "causal", "scale": 0.3 if how == "scale" else None}
    against_torch(
        lambda q, k, v: nn.scaled_dot_product_attention(q, k, v, mask, **options),
        lambda q, k, v: functional.scaled_dot_product_attention(
            q, k, v, None if mask is None else torch.tensor(mask), **options
        ),
        q,
        k,
        v,
    )


def test_attention_keeps_float32_and_refuses_what_does_not_fit() -> None:
    q = normal(4, 3, dtype=np.float32)
    assert isinstance(nn.scaled_dot_product_attention(q, q, q, is_causal=True), Tensor)
    assert nn.scaled_dot_product_attention(q, q, q, is_causal=True).dtype == np.float32
    with pytest.raises(ef.errors.ShapeError, match="scaled_dot_product_attention"):
        nn.scaled_dot_product_attention(q, normal(4, 2), q)
