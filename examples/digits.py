"""Train a small convolutional network on real handwritten digits, and look at what it gets wrong."""

import argparse
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from tqdm import tqdm

import eagerflow as ef
from eagerflow import nn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("out"), help="folder for the weights and the picture")
    options = parser.parse_args()
    ef.set_default_dtype("float32")
    ef.random.seed(options.seed)
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))  # the same split whatever the seed
    images, labels = digits.images[order, None].astype("float32") / 16, digits.target[order]
    held_out = len(labels) // 5
    test_x, test_y, train_x, train_y = images[:held_out], labels[:held_out], images[held_out:], labels[held_out:]

    model = nn.Sequential(
        *(nn.Conv2D(1, 32, 3, padding="same"), nn.BatchNorm(32), nn.relu),
        *(nn.Conv2D(32, 64, 3, padding="same"), nn.BatchNorm(64), nn.relu, nn.MaxPool2D(2)),
        *(nn.Flatten(), nn.Dropout(0.4), nn.Linear(64 * 4 * 4, 10)),
    )
    print(model)
    steps = len(train_y) // 64
    optimizer = ef.optim.Adam(model, learning_rate=lambda step: 3e-3 * (1 - step / (options.epochs * steps)))
    losses, accuracies = [], []
    with tqdm(total=options.epochs * steps, desc="training", unit="step") as bar:
        for _ in range(options.epochs):
            loss_of_epoch = 0.0
            for batch in np.split(ef.random.permutation(len(train_y)).numpy()[: steps * 64], steps):
                with ef.GradientTape() as tape:
                    loss = nn.softmax_cross_entropy(model(train_x[batch]), train_y[batch]).mean()
                optimizer.apply(tape.gradient(loss, model.trainable_variables))
                loss_of_epoch += loss.item() / steps
                bar.update()
            predicted = model.eval()(test_x).argmax(axis=1).numpy()
            model.train()
            losses.append(loss_of_epoch)
            accuracies.append(float(np.mean(predicted == test_y)))
            bar.set_postfix(loss=f"{loss_of_epoch:.4f}", accuracy=f"{accuracies[-1]:.2%}")

    options.output.mkdir(parents=True, exist_ok=True)
    weights, picture = options.output.resolve() / "digits.safetensors", options.output.resolve() / "digits.png"
    ef.save_weights(weights, model)
    plot(losses, accuracies, test_x, test_y, predicted).savefig(picture, dpi=130)
    print(f"held-out accuracy {accuracies[-1]:.2%}\nweights: {weights}\npicture: {picture}")


def plot(losses: list, accuracies: list, images: np.ndarray, labels: np.ndarray, predicted: np.ndarray) -> Figure:
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.2, 1))[0]
    curves = {"training loss (nats)": np.array(losses), "held-out accuracy (%)": 100 * np.array(accuracies)}
    for axes, (name, curve) in zip(left.subplots(2, sharex=True), curves.items(), strict=True):
        axes.plot(np.arange(1, len(curve) + 1), curve, "o-", markersize=4)
        axes.set(xlabel="epoch", ylabel=name, yscale="log" if "loss" in name else "linear")
        axes.grid(alpha=0.3)
    wrong = np.flatnonzero(predicted != labels)
    right.suptitle(f"{len(wrong)} of {len(labels)} held-out digits wrong: {accuracies[-1]:.2%} right")
    side = max(2, math.ceil(math.sqrt(len(wrong))))
    for position, i in enumerate(wrong, 1):
        cell = right.add_subplot(math.ceil(len(wrong) / side), side, position)
        cell.imshow(images[i, 0], cmap="gray_r")
        cell.set(title=f"{labels[i]}, seen as {predicted[i]}", xticks=[], yticks=[])
    return figure


if __name__ == "__main__":
    main()
