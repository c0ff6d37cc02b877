"""Fit a differential equation to furs: a NumPy integrator with adaptive steps, differentiated by eagerflow.

Lotka and Volterra's equations for hares and lynxes have four rates, which shall explain the pelts that the Hudson's
Bay Company collected in Canada from 1900 to 1920 (C. G. Hewitt, The Conservation of the Wild Life of Canada, 1921).
The integrator is Dormand and Prince's method of order 5, which chooses its steps by the error that it estimates.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import eagerflow as ef
from compare import numeric_gradient, print_comparison

YEARS = np.arange(1900.0, 1921.0)
# Pelts in thousands: hares, lynxes.
PELTS = np.array([
    [30.0, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22.0, 25.4, 27.1, 40.3, 57.0, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6,
     16.2, 24.7],
    [4.0, 6.1, 9.8, 35.2, 59.4, 41.7, 19.0, 13.0, 8.3, 9.1, 7.4, 8.0, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1,
     8.6],
]).T  # fmt: skip


# --- NumPy -------------------------------------------------------------------------------------------

# Dormand and Prince's coefficients: of the stages, of the step, and of its difference to the step of order 4.
STAGES = np.array([
    [0, 0, 0, 0, 0, 0],
    [1 / 5, 0, 0, 0, 0, 0],
    [3 / 40, 9 / 40, 0, 0, 0, 0],
    [44 / 45, -56 / 15, 32 / 9, 0, 0, 0],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0, 0],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
])  # fmt: skip
ERROR = np.array([71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40])


def integrate(slope: Callable, state: np.ndarray, times: np.ndarray, tolerance: float = 1e-6) -> np.ndarray:
    """Solve ``state' = slope(state)`` and return the states at the times; the first is given."""
    states = np.zeros((len(times), len(state)), like=state)
    slopes = np.zeros((7, len(state)), like=state)
    states[0] = state
    step = 0.1 * (times[1] - times[0])
    for i in range(1, len(times)):
        now, end = times[i - 1], times[i]
        while now < end:
            size = min(step, end - now)
            slopes[0] = slope(state)
            for stage in range(1, 7):
                ahead = state + size * (STAGES[stage, :stage] @ slopes[:stage])
                slopes[stage] = slope(ahead)
            # How far to step is a choice and no part of the solution: a plain number.
            error = float(np.max(np.abs(size * (ERROR @ slopes)) / (1 + np.abs(ahead)))) / tolerance
            if error <= 1:
                now, state = (end if size == end - now else now + size), ahead
            if error > 1 or size == step:
                step = size * min(5.0, max(0.2, 0.9 * (error + 1e-10) ** -0.2))
        states[i] = state
    return states


def lotka_volterra(birth: float, hunt: float, death: float, feed: float) -> Callable:
    def slope(state: np.ndarray) -> np.ndarray:
        hares, lynxes = state
        change = np.zeros_like(state)
        change[0] = (birth - hunt * lynxes) * hares
        change[1] = (feed * hares - death) * lynxes
        return change

    return slope


def populations(log_parameters: np.ndarray, times: np.ndarray) -> np.ndarray:
    birth, hunt, death, feed, hares, lynxes = np.exp(log_parameters)
    return integrate(lotka_volterra(birth, hunt, death, feed), np.stack([hares, lynxes]), times)


def cost(log_parameters: np.ndarray) -> np.ndarray:
    """Return the mean square of the errors, relative to the populations."""
    return np.mean((np.log(populations(log_parameters, YEARS)) - np.log(PELTS)) ** 2)


# --- eagerflow ---------------------------------------------------------------------------------------

NAMES = ["birth of hares", "hunt by lynxes", "death of lynxes", "feed on hares", "hares in 1900", "lynxes in 1900"]
START = np.array([0.6, 0.03, 0.9, 0.03, 30.0, 4.0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the picture")
    options = parser.parse_args()

    start = np.log(START)
    names = [f"log {name}" for name in NAMES]
    print_comparison(names, start, ef.grad(cost)(start).numpy(), numeric_gradient(cost, start))

    def value_and_gradient(log_parameters: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = ef.value_and_grad(cost)(log_parameters)
        return value.item(), gradient.numpy()

    found = minimize(value_and_gradient, start, jac=True, method="BFGS", options={"gtol": 1e-4})
    print(f"mean relative error {np.sqrt(found.fun):.1%}, from {np.sqrt(cost(start)):.1%}, by {found.nfev} gradients")
    for name, value in zip(NAMES, np.exp(found.x), strict=True):
        print(f"{name:<16} {value:.4g}")

    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output.resolve() / "predator_prey.png"
    plot(start, found.x).savefig(picture, dpi=130)
    print(f"picture: {picture}")


def plot(start: np.ndarray, found: np.ndarray) -> Figure:
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    times = np.linspace(YEARS[0], YEARS[-1], 400)
    fitted, guessed = populations(found, times), populations(start, times)
    panels = figure.subplots(2, sharex=True)
    for axes, animal, column in zip(panels, ("hares", "lynxes"), range(2), strict=True):
        axes.plot(YEARS, PELTS[:, column], "o", markersize=4, color="0.3", label="pelts")
        axes.plot(times, fitted[:, column], color=f"C{column}", label="equation, fitted")
        axes.plot(times, guessed[:, column], "--", color=f"C{column}", alpha=0.5, label="equation, first guess")
        axes.set(ylabel=f"{animal} (thousands)", ylim=(0, None))
        axes.legend(loc="upper right", fontsize="small")
    panels[-1].set(xlabel="year", xlim=(YEARS[0], YEARS[-1]), xticks=YEARS[::4])
    return figure


if __name__ == "__main__":
    main()
