"""What the NumPy-only examples share: a table of gradients beside numeric differences."""

from collections.abc import Callable, Sequence

import numpy as np


def numeric_gradient(f: Callable, x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Differentiate `f`, which knows NumPy only, by central differences of relative size `step`."""
    gradient = np.zeros_like(x)
    for i in range(x.size):
        shift = np.zeros_like(x)
        shift[i] = step * max(1.0, abs(x[i]))
        gradient[i] = (f(x + shift) - f(x - shift)) / (2 * shift[i])
    return gradient


def print_comparison(names: Sequence[str], x: np.ndarray, gradient: np.ndarray, numeric: np.ndarray) -> None:
    """Print one line per parameter, and the largest difference in units of the largest derivative."""
    width = max(len(name) for name in [*names, "parameter"])
    print(f"{'parameter':<{width}}  {'value':>12}  {'ef.grad':>16}  {'differences':>16}")
    for name, value, ours, theirs in zip(names, x, gradient, numeric, strict=True):
        print(f"{name:<{width}}  {value:>12.5g}  {ours:>16.9g}  {theirs:>16.9g}")
    error = np.max(np.abs(gradient - numeric)) / np.max(np.abs(numeric))
    print(f"largest relative difference: {error:.1e}")
