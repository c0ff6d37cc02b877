"""Every operation, one family a file: kernel, shape rule, gradient, cost."""

from eagerflow.core import Draw, Op, Sample, Spec, broadcast, implements, registry, same
from eagerflow.ops import fft, implicit, linalg, methods, protocol, random, special
from eagerflow.ops.arrays import (
    conversion,
    creation,
    dtypes,
    editing,
    grids,
    inspection,
    joining,
    like,
    matrices,
    movement,
    padding,
    queries,
    ranges,
    repetition,
    shape,
    splitting,
    transposition,
    views,
)
from eagerflow.ops.declare import elementwise
from eagerflow.ops.elementwise import (
    arithmetic,
    comparison,
    complex,
    digits,
    exponential,
    rounding,
    selection,
    trigonometric,
)
from eagerflow.ops.fourier import dft
from eagerflow.ops.fourier import one_axis as fourier
from eagerflow.ops.fourier import several_axes as fourier_axes
from eagerflow.ops.indexing import along_axis, assembling, choosing, finding, flat, indexing, positions, writing
from eagerflow.ops.linear_algebra import (
    contraction,
    decomposition,
    determinant,
    eigen,
    einsum,
    least_squares,
    matrix_functions,
    norms,
    products,
    solving,
    spectral,
    systems,
)
from eagerflow.ops.networks import activation, attention, convolution, embedding, loss, lstm, normalization, pooling
from eagerflow.ops.reductions import (
    averages,
    chains,
    cumulative,
    extremes,
    histograms,
    missing,
    moments,
    order,
    quantiles,
    reduction,
)
from eagerflow.ops.signals import interpolation, polynomials, roots, signals, windows
from eagerflow.ops.sorting import partitioning, sets, sorting
from eagerflow.ops.special_functions import bessel, entropy, error_functions, gamma_functions, scipy_functions

__all__ = [
    "Draw",
    "Op",
    "Sample",
    "Spec",
    "broadcast",
    "elementwise",
    "implements",
    "registry",
    "same",
]

# Every gradient function of the library is tested with arrays that refuse to be written to.
_ON_TENSORS = ("lstm_gradient", "root")  # they record tapes of their own
for _op in registry().values():
    if _op.name not in _ON_TENSORS:
        _op.let_gradients_run_on_arrays()
