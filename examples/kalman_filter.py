"""Fit a Kalman filter to the flow of the Nile: NumPy code, with the gradient of its likelihood from eagerflow.

The model is the local level model: the flow y[t] is a level plus noise, and the level is a random walk. How much of
what is seen is noise, and how fast the level moves, are the two variances to be found. The data are the yearly flow
at Aswan, 1871 to 1970, in 10^8 m³; the maximum is known from J. Durbin and S. J. Koopman, Time Series Analysis by
State Space Methods, 2nd ed., 2012, chapter 2: 15099 and 1469.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import eagerflow as ef
from compare import numeric_gradient, print_comparison

FIRST_YEAR = 1871
NILE = np.array(
    [1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180, 799, 958, 1140,
     1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969,
     831, 726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759,
     781, 865, 845, 944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890,
     744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740],
    float,
)  # fmt: skip


# --- NumPy -------------------------------------------------------------------------------------------


def kalman_filter(
    observations: np.ndarray,
    transition: np.ndarray,
    observe: np.ndarray,
    state_noise: np.ndarray,
    observation_noise: np.ndarray,
    mean: np.ndarray,
    covariance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the log-likelihood of the observations, and mean and covariance of the state after each of them."""
    log_likelihood = np.array(0.0)
    # `like=` makes what recorded values can be assigned to; for plain arrays it changes nothing.
    means = np.zeros((len(observations), len(mean)), like=state_noise)
    covariances = np.zeros((len(observations), *covariance.shape), like=state_noise)
    for t, seen in enumerate(observations):
        surprise = seen - observe @ mean
        spread = observe @ covariance @ observe.T + observation_noise
        gain = np.linalg.solve(spread, observe @ covariance).T
        misfit = surprise @ np.linalg.solve(spread, surprise)
        log_likelihood = log_likelihood - 0.5 * (np.log(np.linalg.det(2 * np.pi * spread)) + misfit)
        means[t] = mean + gain @ surprise
        covariances[t] = covariance - gain @ observe @ covariance
        mean = transition @ means[t]
        covariance = transition @ covariances[t] @ transition.T + state_noise
    return log_likelihood, means, covariances


def local_level(log_variances: np.ndarray, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Filter with the local level model; the first observation stands for what is known of the first level."""
    noise, drift = np.exp(log_variances)
    one = np.ones((1, 1))
    return kalman_filter(
        observations[1:, None], one, one, drift * one, noise * one, observations[:1], (noise + drift) * one
    )


def cost(log_variances: np.ndarray) -> np.ndarray:
    return -local_level(log_variances, NILE)[0]


# --- eagerflow ---------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the picture")
    options = parser.parse_args()

    start = np.log([NILE.var(), NILE.var()])
    print_comparison(["log noise", "log drift"], start, ef.grad(cost)(start).numpy(), numeric_gradient(cost, start))

    def value_and_gradient(log_variances: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = ef.value_and_grad(cost)(log_variances)
        return value.item(), gradient.numpy()

    found = minimize(value_and_gradient, start, jac=True, method="BFGS")
    noise, drift = np.exp(found.x)
    print(f"log-likelihood {-found.fun:.3f} after {found.nfev} gradients")
    print(f"variance of the noise {noise:.0f}, of the drift {drift:.1f}")

    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output.resolve() / "kalman_filter.png"
    plot(found.x).savefig(picture, dpi=130)
    print(f"picture: {picture}")


def plot(log_variances: np.ndarray) -> Figure:
    _, means, covariances = local_level(log_variances, NILE)
    level, deviation = means[:, 0], np.sqrt(covariances[:, 0, 0])
    years = FIRST_YEAR + np.arange(len(NILE))
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(years, NILE, "o", markersize=3, color="0.4", label="flow")
    axes.plot(years[1:], level, color="C0", label="level, as filtered")
    axes.fill_between(years[1:], level - 2 * deviation, level + 2 * deviation, color="C0", alpha=0.2, label="± 2 σ")
    axes.set(xlabel="year", ylabel="flow of the Nile (10$^8$ m³ a year)", xlim=(years[0], years[-1]))
    axes.legend()
    return figure


if __name__ == "__main__":
    main()
