"""Train a small convolutional network on real handwritten digits, eagerly and captured side by side."""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import eagerflow as ef
from digits_picture import plot
from eagerflow import nn


class Training:
    def __init__(self, train_x: ef.Tensor, train_y: ef.Tensor, steps: int, seed: int, captured: bool) -> None:
        ef.random.seed(seed)  # all start from the same weights
        model = nn.Sequential(
            *(nn.Conv2D(1, 32, 3, padding="same"), nn.BatchNorm(32), nn.relu),
            *(nn.Conv2D(32, 64, 3, padding="same"), nn.BatchNorm(64), nn.relu, nn.MaxPool2D(2)),
            *(nn.Flatten(), nn.Dropout(0.4), nn.Linear(64 * 4 * 4, 10)),
        )
        optimizer = ef.optim.Adam(model, learning_rate=lambda step: 3e-3 * (1 - step / steps))

        def step(batch: ef.Tensor) -> ef.Tensor:
            with ef.GradientTape() as tape:
                loss = nn.softmax_cross_entropy(model(train_x[batch]), train_y[batch]).mean()
            optimizer.apply(tape.gradient(loss, model.trainable_variables))
            return loss

        self.model, self.step = model, ef.function(step) if captured else step
        self.losses, self.accuracies, self.seconds = (list[float]() for _ in range(3))  # by epoch

    def epoch(self, batches: list, seed: int, test_x: np.ndarray, test_y: np.ndarray) -> None:
        ef.random.seed(seed)  # all drop the same
        start = time.perf_counter()
        self.losses.append(float(np.mean([self.step(batch).item() for batch in batches])))
        self.seconds.append(time.perf_counter() - start)
        self.predicted = self.model.eval()(test_x).argmax(axis=1).numpy()
        self.model.train()
        self.accuracies.append(float(np.mean(self.predicted == test_y)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the weights and the picture")
    options = parser.parse_args()
    ef.set_default_dtype("float32")
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))  # the same split whatever the seed
    images, labels = digits.images[order, None].astype("float32") / 16, digits.target[order]
    (test_x, train_x), (test_y, train_y) = (np.split(x, [len(order) // 5]) for x in (images, labels))
    count = len(train_y) // 64
    given = ef.asarray(train_x), ef.asarray(train_y), options.epochs * count, options.seed
    runs = {"eager": Training(*given, captured=False), "captured": Training(*given, captured=True)}
    print(runs["eager"].model)
    for epoch in (bar := tqdm(range(options.epochs), desc="training", unit="epoch")):
        drawn = ef.asarray(np.random.default_rng((options.seed, epoch)).permutation(len(train_y)))
        batches = [drawn[64 * i : 64 * (i + 1)] for i in range(count)]
        for run in runs.values():
            run.epoch(batches, options.seed + epoch, test_x, test_y)
        told = [f"{name}: loss {run.losses[-1]:.6f} in {run.seconds[-1]:5.2f} s" for name, run in runs.items()]
        bar.write(f"epoch {epoch + 1:2}  {'   '.join(told)}")
        bar.set_postfix(loss=f"{run.losses[-1]:.4f}", accuracy=f"{run.accuracies[-1]:.2%}")
    options.output.mkdir(parents=True, exist_ok=True)
    weights, picture = options.output.resolve() / "digits.safetensors", options.output.resolve() / "digits.png"
    ef.save_weights(weights, run.model)
    plot(runs, test_x, test_y).savefig(picture, dpi=130)
    for name, run in runs.items():  # the first epoch of the captured one traces and compiles
        speed = f"{np.median(run.seconds) / count * 1e3:.1f} ms a step, first epoch {run.seconds[0]:.2f} s"
        print(f"{name:8}  held-out accuracy {run.accuracies[-1]:.2%}, {speed}")
    print("losses differ by at most", np.ptp([run.losses for run in runs.values()], axis=0).max())
    print(f"weights: {weights}\npicture: {picture}")


if __name__ == "__main__":
    main()
