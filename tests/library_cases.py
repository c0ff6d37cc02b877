"""Functions of SciPy and scikit-learn on Tensors, each with what NumPy arrays give; run as a program of its own.

SciPy reads SCIPY_ARRAY_API once, when it is imported, so these cases run in a process that sets it. What it prints is
JSON: for each case the empty string, or what is wrong with it. `tests/test_other_libraries.py` reads that.
"""

from __future__ import annotations

import functools
import json
import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

import eagerflow as ef

Case = Callable[[ModuleType, Any], Any]

random = np.random.default_rng(0)
A, B = random.uniform(0.2, 0.9, (8, 3)), random.uniform(0.2, 0.9, (8, 3))
V, W = random.uniform(0.2, 0.9, 8), random.uniform(0.2, 0.9, 8)
LABELS = np.arange(8) % 2


def scipy_cases() -> dict[str, tuple[Case, np.ndarray]]:
    """Return the cases by name: a function of an array namespace and the argument, and the argument."""
    from scipy import cluster, constants, differentiate, fft, integrate, linalg, optimize, signal, special, stats
    from scipy.spatial.transform import Rotation

    def along(f: Callable[..., Any], *args: Any, **options: Any) -> Case:
        return lambda xp, x: f(x, *args, axis=0, **options)

    def with_other(f: Callable[..., Any], other: Any, **options: Any) -> Case:
        return lambda xp, x: f(x, xp.asarray(other), **options)

    return {
        "special.logsumexp": (along(special.logsumexp), A),
        "special.softmax": (along(special.softmax), A),
        "special.log_softmax": (along(special.log_softmax), A),
        "stats.zscore": (along(stats.zscore), A),
        "stats.zmap": (with_other(stats.zmap, B), A),
        "stats.moment": (along(stats.moment, 3), A),
        "stats.skew": (along(stats.skew), A),
        "stats.kurtosis": (along(stats.kurtosis), A),
        "stats.gmean": (along(stats.gmean), A),
        "stats.hmean": (along(stats.hmean), A),
        "stats.pmean": (along(stats.pmean, 2), A),
        "stats.variation": (along(stats.variation), A),
        "stats.sem": (along(stats.sem), A),
        "stats.gstd": (along(stats.gstd), A),
        "stats.trim_mean": (along(stats.trim_mean, 0.25), A),
        "stats.iqr": (along(stats.iqr), A),
        "stats.kstat": (along(stats.kstat, 3), A),
        "stats.lmoment": (along(stats.lmoment, order=2), A),
        "stats.circmean": (along(stats.circmean), A),
        "stats.circvar": (along(stats.circvar), A),
        "stats.median_abs_deviation": (along(stats.median_abs_deviation), A),
        "stats.quantile": (along(stats.quantile, 0.3), A),
        "stats.describe": (lambda xp, x: stats.describe(x).variance, A),
        "stats.boxcox_llf": (lambda xp, x: stats.boxcox_llf(0.7, x), A),
        "stats.directional_stats": (lambda xp, x: stats.directional_stats(x).mean_direction, A),
        "integrate.trapezoid": (along(integrate.trapezoid, dx=0.1), A),
        "integrate.cumulative_trapezoid": (along(integrate.cumulative_trapezoid, dx=0.1), A),
        "integrate.cumulative_simpson": (along(integrate.cumulative_simpson, dx=0.1), A),
        "integrate.tanhsinh": (
            lambda xp, x: integrate.tanhsinh(
                lambda t, k: xp.exp(k * t), xp.asarray(0.0), xp.asarray(1.0), args=(x,)
            ).integral,
            V,
        ),
        "integrate.cubature": (
            lambda xp, x: integrate.cubature(lambda t: t**2 * xp.sum(x), xp.asarray([0.0]), xp.asarray([1.0])).estimate,
            V,
        ),
        "optimize.rosen": (lambda xp, x: optimize.rosen(x), V),
        "optimize.rosen_der": (lambda xp, x: optimize.rosen_der(x), V),
        "optimize.rosen_hess": (lambda xp, x: optimize.rosen_hess(x), V),
        "differentiate.derivative": (
            lambda xp, x: differentiate.derivative(lambda t, k: xp.exp(k * t), xp.asarray(0.5), args=(x,)).df,
            V,
        ),
        "fft.fft": (lambda xp, x: fft.fft(x), V),
        "fft.rfft": (lambda xp, x: fft.rfft(x), V),
        "fft.irfft": (lambda xp, x: fft.irfft(x), V),
        "fft.fftn": (lambda xp, x: fft.fftn(x), A),
        "signal.hilbert": (lambda xp, x: signal.hilbert(x), V),
        "signal.fftconvolve": (with_other(signal.fftconvolve, W[:3]), V),
        "signal.oaconvolve": (with_other(signal.oaconvolve, W[:3]), V),
        "signal.correlate": (with_other(signal.correlate, W[:3], method="fft"), V),
        "signal.resample": (lambda xp, x: signal.resample(x, 5), V),
        "cluster.vq.whiten": (lambda xp, x: cluster.vq.whiten(x), A),
        "constants.convert_temperature": (lambda xp, x: constants.convert_temperature(x, "C", "F"), V),
        "linalg.block_diag": (lambda xp, x: linalg.block_diag(x, x), A),
        "spatial.Rotation.as_matrix": (lambda xp, x: Rotation.from_rotvec(x).as_matrix(), A),
        "spatial.Rotation.apply": (lambda xp, x: Rotation.from_euler("xyz", x).apply(xp.asarray(B)), A),
    }  # fmt: skip


def scikit_learn_cases() -> dict[str, tuple[Case, np.ndarray]]:
    """Return the cases by name, as above."""
    from sklearn import (
        decomposition,
        discriminant_analysis,
        linear_model,
        metrics,
        naive_bayes,
        preprocessing,
    )
    from sklearn.metrics import pairwise

    def error(f: Callable[..., Any]) -> Case:
        return lambda xp, x: f(xp.asarray(A), x, multioutput="raw_values")

    def between(f: Callable[..., Any]) -> Case:
        return lambda xp, x: f(x, xp.asarray(B))

    Ridge = functools.partial(linear_model.Ridge, alpha=0.1, solver="svd")
    return {
        "metrics.mean_squared_error": (error(metrics.mean_squared_error), B),
        "metrics.mean_absolute_error": (error(metrics.mean_absolute_error), B),
        "metrics.r2_score": (error(metrics.r2_score), B),
        "metrics.pairwise.cosine_similarity": (between(pairwise.cosine_similarity), A),
        "metrics.pairwise.euclidean_distances": (between(pairwise.euclidean_distances), A),
        "metrics.pairwise.rbf_kernel": (between(pairwise.rbf_kernel), A),
        "metrics.pairwise.polynomial_kernel": (between(pairwise.polynomial_kernel), A),
        "metrics.pairwise.laplacian_kernel": (between(pairwise.laplacian_kernel), A),
        "metrics.pairwise.chi2_kernel": (between(pairwise.chi2_kernel), A),
        "preprocessing.MinMaxScaler": (lambda xp, x: preprocessing.MinMaxScaler().fit_transform(x), A),
        "preprocessing.MaxAbsScaler": (lambda xp, x: preprocessing.MaxAbsScaler().fit_transform(x), A),
        "preprocessing.Normalizer": (lambda xp, x: preprocessing.Normalizer().fit_transform(x), A),
        "preprocessing.KernelCenterer": (lambda xp, x: preprocessing.KernelCenterer().fit_transform(x @ x.T), A),
        "preprocessing.PolynomialFeatures": (lambda xp, x: preprocessing.PolynomialFeatures().fit_transform(x), A),
        "decomposition.PCA": (lambda xp, x: decomposition.PCA(2, svd_solver="full").fit(x).score_samples(x), A),
        "linear_model.Ridge, inputs": (lambda xp, x: Ridge().fit(x, xp.asarray(V)).predict(xp.asarray(B)), A),
        "linear_model.Ridge, targets": (lambda xp, x: Ridge().fit(xp.asarray(A), x).coef_, V),
        "LinearDiscriminantAnalysis": (
            lambda xp, x: discriminant_analysis.LinearDiscriminantAnalysis()
            .fit(x, xp.asarray(LABELS)).decision_function(xp.asarray(B)),
            A,
        ),
        "naive_bayes.GaussianNB": (
            lambda xp, x: naive_bayes.GaussianNB().fit(x, xp.asarray(LABELS)).predict_joint_log_proba(xp.asarray(B)),
            A,
        ),
    }  # fmt: skip


def problem(case: Case, at: np.ndarray) -> str:
    """Return what is wrong with a function on Tensors, or nothing."""
    try:
        value = case(ef, ef.asarray(at))
        if not isinstance(value, ef.Tensor):
            return f"it gives {type(value).__name__}"
        np.testing.assert_allclose(value.numpy(), case(np, at), rtol=1e-9, atol=1e-12)
        ef.check_grads(lambda x: case(ef, x), [at], order=1)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main(library: str) -> None:
    """Print what is wrong with each case of a library."""
    # A Tensor that leaves the tape on the way is an error, whoever made an array of it.
    warnings.simplefilter("error", ef.errors.GradientLostWarning)
    if library == "scipy":
        found = {name: problem(*case) for name, case in scipy_cases().items()}
    else:
        from sklearn import config_context

        with config_context(array_api_dispatch=True):
            found = {name: problem(*case) for name, case in scikit_learn_cases().items()}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
