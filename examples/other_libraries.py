"""Differentiate SciPy and scikit-learn: run it with SCIPY_ARRAY_API=1, which SciPy reads when it is imported.

First, two mixed sources are told apart by the direction in which SciPy's kurtosis is least. Then the features of
scikit-learn's diabetes data are weighted such that a ridge regression predicts people that it has not seen better:
the gradient passes through the fit.
"""

import numpy as np
from scipy import stats
from sklearn import config_context
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error

import eagerflow as ef


def unmix(mixed: np.ndarray, steps: int = 100) -> np.ndarray:
    """Return the direction in which the data are least like a normal distribution, as a unit vector."""

    def kurtosis(angle: ef.Tensor) -> ef.Tensor:
        return stats.kurtosis(np.cos(angle) * mixed[:, 0] + np.sin(angle) * mixed[:, 1])

    angle = ef.asarray(0.0)
    for _ in range(steps):
        angle -= 0.5 * ef.grad(kurtosis)(angle)
    return np.stack([np.cos(angle), np.sin(angle)]).numpy()


def weigh(inputs: ef.Tensor, targets: ef.Tensor, train: slice, held_out: slice, steps: int = 40) -> ef.Tensor:
    """Return the weight of each feature under which ridge regression predicts what was held out best."""

    def error(log_weights: ef.Tensor) -> ef.Tensor:
        weighted = inputs * ef.exp(log_weights)
        model = Ridge(alpha=100.0, solver="svd").fit(weighted[train], targets[train])
        predicted = model.predict(weighted[held_out])
        return mean_squared_error(targets[held_out], predicted, multioutput="raw_values")[0]

    log_weights = ef.zeros(inputs.shape[1])
    with config_context(array_api_dispatch=True):
        for step in range(steps):
            value, gradient = ef.value_and_grad(error)(log_weights)
            if step in (0, steps - 1):
                print(f"step {step}: mean squared error of what was held out {value.item():.4f}")
            log_weights -= 5 * gradient
    return ef.exp(log_weights)


def main() -> None:
    random = np.random.default_rng(0)
    sources = np.stack([random.uniform(-1, 1, 2000), random.standard_normal(2000) / 2], axis=1)
    mixed = sources @ [[0.8, 0.6], [-0.6, 0.8]]
    print("the uniform source lies in direction", unmix(mixed).round(2))

    data = load_diabetes()
    inputs = ef.asarray(data.data / data.data.std(axis=0))
    targets = ef.asarray((data.target - data.target.mean()) / data.target.std())
    weights = weigh(inputs, targets[:, None], slice(0, 300), slice(300, None))
    for name, weight in zip(data.feature_names, weights.numpy(), strict=True):
        print(f"{name:<4} {weight:.2f}")


if __name__ == "__main__":
    main()
