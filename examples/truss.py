"""Design a truss of least weight: a NumPy finite-element code with in-place assembly, differentiated by eagerflow.

Ten bars carry two loads. The cross-sections are sought that make the truss as light as can be, while no bar is
stressed beyond 25 ksi and no node moves more than 2 in. It is the classic test of structural optimization (R. T. Haftka
and Z. Gürdal, Elements of Structural Optimization, 3rd ed., 1992); the lightest design in the literature weighs
5060.85 lb. Units are inches and pounds.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import eagerflow as ef
from compare import numeric_gradient, print_comparison

NODES = np.array([[720, 360], [720, 0], [360, 360], [360, 0], [0, 360], [0, 0]], float)
BARS = np.array([[5, 3], [3, 1], [6, 4], [4, 2], [3, 4], [1, 2], [5, 4], [6, 3], [3, 2], [4, 1]]) - 1
FREE = np.arange(8)  # horizontal and vertical of nodes 1 to 4; nodes 5 and 6 are fixed to the wall
LOADS = np.array([0, 0, 0, -1e5, 0, 0, 0, -1e5], float)
STIFFNESS, DENSITY = 1e7, 0.1
MOST_STRESS, MOST_WAY, LEAST_AREA = 25e3, 2.0, 0.1


# --- NumPy -------------------------------------------------------------------------------------------

SPANS = NODES[BARS[:, 1]] - NODES[BARS[:, 0]]
LENGTHS = np.hypot(SPANS[:, 0], SPANS[:, 1])
DIRECTIONS = SPANS / LENGTHS[:, None]


def displacements(areas: np.ndarray) -> np.ndarray:
    """Return how far each node moves, horizontally and vertically."""
    total = np.zeros((2 * len(NODES), 2 * len(NODES)), like=areas)
    for area, bar, length, direction in zip(areas, BARS, LENGTHS, DIRECTIONS, strict=True):
        pull = np.concatenate([-direction, direction])
        places = np.concatenate([2 * bar[:1] + [0, 1], 2 * bar[1:] + [0, 1]])
        total[np.ix_(places, places)] += STIFFNESS * area / length * np.outer(pull, pull)
    moved = np.zeros(2 * len(NODES), like=areas)
    moved[FREE] = np.linalg.solve(total[np.ix_(FREE, FREE)], LOADS)
    return moved.reshape(-1, 2)


def stresses(areas: np.ndarray) -> np.ndarray:
    """Return the stress in each bar: positive where it is pulled."""
    moved = displacements(areas)
    return STIFFNESS * np.sum((moved[BARS[:, 1]] - moved[BARS[:, 0]]) * DIRECTIONS, axis=1) / LENGTHS


def weight(areas: np.ndarray) -> np.ndarray:
    return DENSITY * np.sum(areas * LENGTHS)


def slack(areas: np.ndarray) -> np.ndarray:
    """Return what is left of each limit, as a share of it: what holds is positive."""
    moved = displacements(areas)[:4].reshape(-1)
    stress = stresses(areas)
    shares = np.concatenate([moved / MOST_WAY, stress / MOST_STRESS])
    return np.concatenate([1 - shares, 1 + shares])


def compliance(areas: np.ndarray) -> np.ndarray:
    """Return the work of the loads: the softer the truss, the more."""
    return LOADS @ displacements(areas).reshape(-1)[FREE]


# --- eagerflow ---------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the picture")
    options = parser.parse_args()

    start = np.full(len(BARS), 10.0)  # from 20 or 30 it ends in a lesser optimum, of 5076.67 lb
    print("compliance of ten equal bars, in in·lb, with respect to their areas")
    names = [f"bar {a + 1}-{b + 1}" for a, b in BARS]
    print_comparison(names, start, ef.grad(compliance)(start).numpy(), numeric_gradient(compliance, start))

    gradient, jacobian = ef.grad(weight), ef.jacobian(slack)
    found = minimize(
        weight, start, jac=lambda x: gradient(x).numpy(), method="SLSQP", bounds=[(LEAST_AREA, None)] * len(BARS),
        constraints={"type": "ineq", "fun": slack, "jac": lambda x: jacobian(x).numpy()},
        options={"maxiter": 200, "ftol": 1e-9},
    )  # fmt: skip
    print(f"weight {found.fun:.2f} lb after {found.nit} steps, from {weight(start):.2f} lb")
    print("areas " + " ".join(f"{area:.3f}" for area in found.x))

    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output.resolve() / "truss.png"
    plot(found.x).savefig(picture, dpi=130)
    print(f"picture: {picture}")


def plot(areas: np.ndarray) -> Figure:
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    moved = NODES + 20 * displacements(areas)
    for bar, area, stress in zip(BARS, areas, stresses(areas), strict=True):
        axes.plot(*NODES[bar].T, color="0.85", linewidth=1)
        color = "C3" if stress < 0 else "C0"
        axes.plot(*moved[bar].T, color=color, linewidth=0.5 + area / 3, solid_capstyle="round")
    for color, label in ("C0", "pulled"), ("C3", "pressed"), ("0.85", "without loads"):
        axes.plot([], [], color=color, linewidth=3, label=label)
    for node in 1, 3:
        axes.annotate(
            "", moved[node] - [0, 70], moved[node] - [0, 12], arrowprops={"arrowstyle": "-|>", "color": "0.2"}
        )
    axes.plot(*NODES[4:].T, "ks", markersize=9)
    axes.set(aspect="equal", xlabel="inches; movements 20 times as large, lines as thick as the bars")
    axes.set(title=f"lightest design: {weight(areas):.1f} lb", ylabel="inches", ylim=(-120, 480))
    axes.legend(loc="upper center", ncols=3)
    return figure


if __name__ == "__main__":
    main()
