"""The picture of digits.py: losses, accuracies and speed of each way, and the digits that were not read right."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

STYLES = {"eager": {"linewidth": 4, "alpha": 0.4}, "captured": {"linestyle": "--", "marker": "o", "markersize": 3}}


def plot(runs: dict[str, Any], images: np.ndarray, labels: np.ndarray) -> Figure:
    figure = Figure(figsize=(12, 6), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.2, 1))[0]
    panels = {
        "training loss (nats)": lambda run: run.losses,
        "held-out accuracy (%)": lambda run: 100 * np.array(run.accuracies),
        "seconds an epoch": lambda run: run.seconds,
    }
    for axes, (name, curve) in zip(left.subplots(3, sharex=True), panels.items(), strict=True):
        for kind, run in runs.items():
            axes.plot(np.arange(1, len(run.losses) + 1), curve(run), label=kind, **STYLES[kind])
        axes.set(ylabel=name, yscale="log" if "loss" in name else "linear")
        axes.grid(alpha=0.3)
        if "seconds" in name:
            axes.set(xlabel="epoch", ylim=(0, None))
        else:
            axes.legend()
    run = runs["captured"]
    wrong = np.flatnonzero(run.predicted != labels)
    right.suptitle(f"{len(wrong)} of {len(labels)} held-out digits wrong: {run.accuracies[-1]:.2%} right")
    side = max(2, math.ceil(math.sqrt(len(wrong))))
    for position, i in enumerate(wrong, 1):
        cell = right.add_subplot(math.ceil(len(wrong) / side), side, position)
        cell.imshow(images[i, 0], cmap="gray_r")
        cell.set(title=f"{labels[i]}, seen as {run.predicted[i]}", xticks=[], yticks=[])
    return figure
