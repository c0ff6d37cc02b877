"""Fit a Gaussian process: NumPy code, with the gradient of its marginal likelihood from eagerflow.

A wave of slowly fading height is seen at 60 places, with noise. Amplitude and length of the covariance and the size
of the noise are found by climbing the logarithm of the marginal likelihood (C. E. Rasmussen and C. K. I. Williams,
Gaussian Processes for Machine Learning, 2006, algorithm 2.1), whose Hessian then tells how sure they are.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import eagerflow as ef
from compare import numeric_gradient, print_comparison

NOISE = 0.2


def observations() -> tuple[np.ndarray, np.ndarray]:
    """Return places and what is seen there; none lie in the gap from 6 to 8."""
    random = np.random.default_rng(4)
    places = np.sort(np.concatenate([random.uniform(0, 6, 42), random.uniform(8, 10, 18)]))
    return places, wave(places) + NOISE * random.standard_normal(len(places))


def wave(x: np.ndarray) -> np.ndarray:
    return 2 * np.exp(-x / 8) * np.sin(1.7 * x)


# --- NumPy -------------------------------------------------------------------------------------------


def covariance(one: np.ndarray, other: np.ndarray, amplitude: float, length: float) -> np.ndarray:
    return amplitude**2 * np.exp(-0.5 * ((one[:, None] - other[None, :]) / length) ** 2)


def log_marginal_likelihood(log_parameters: np.ndarray, places: np.ndarray, seen: np.ndarray) -> np.ndarray:
    amplitude, length, noise = np.exp(log_parameters)
    total = covariance(places, places, amplitude, length) + noise**2 * np.eye(len(places))
    factor = np.linalg.cholesky(total)
    whitened = np.linalg.solve(factor, seen)
    return -0.5 * whitened @ whitened - np.sum(np.log(np.diag(factor))) - 0.5 * len(places) * np.log(2 * np.pi)


def predict(
    log_parameters: np.ndarray, places: np.ndarray, seen: np.ndarray, where: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the wave, without noise, at other places."""
    amplitude, length, noise = np.exp(log_parameters)
    total = covariance(places, places, amplitude, length) + noise**2 * np.eye(len(places))
    between = covariance(where, places, amplitude, length)
    mean = between @ np.linalg.solve(total, seen)
    variance = amplitude**2 - np.sum(between * np.linalg.solve(total, between.T).T, axis=1)
    return mean, np.sqrt(variance)


# --- eagerflow ---------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the picture")
    options = parser.parse_args()

    places, seen = observations()

    def cost(log_parameters: np.ndarray) -> np.ndarray:
        return -log_marginal_likelihood(log_parameters, places, seen)

    names = ["amplitude", "length", "noise"]
    start = np.zeros(3)
    print_comparison(
        [f"log {name}" for name in names], start, ef.grad(cost)(start).numpy(), numeric_gradient(cost, start)
    )

    def value_and_gradient(log_parameters: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = ef.value_and_grad(cost)(log_parameters)
        return value.item(), gradient.numpy()

    found = minimize(value_and_gradient, start, jac=True, method="BFGS")
    # The likelihood is about normal around its top, with the inverse of the Hessian as covariance.
    deviations = np.sqrt(np.diag(np.linalg.inv(ef.hessian(cost)(found.x).numpy())))
    print(f"log marginal likelihood {-found.fun:.3f} after {found.nfev} gradients")
    for name, value, deviation in zip(names, np.exp(found.x), deviations, strict=True):
        print(f"{name:<9} {value:.3f} ± {value * deviation:.3f}")

    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output.resolve() / "gaussian_process.png"
    plot(found.x, places, seen).savefig(picture, dpi=130)
    print(f"picture: {picture}")


def plot(log_parameters: np.ndarray, places: np.ndarray, seen: np.ndarray) -> Figure:
    where = np.linspace(0, 10, 300)
    mean, deviation = predict(log_parameters, places, seen, where)
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(where, wave(where), "--", color="0.5", label="the wave")
    axes.plot(places, seen, "o", markersize=3, color="0.3", label="seen, with noise")
    axes.plot(where, mean, color="C0", label="mean of the process")
    axes.fill_between(where, mean - 2 * deviation, mean + 2 * deviation, color="C0", alpha=0.2, label="± 2 σ")
    axes.set(xlabel="place", ylabel="height", xlim=(0, 10))
    axes.legend()
    return figure


if __name__ == "__main__":
    main()
