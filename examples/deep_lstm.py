"""Train a deep LSTM on the characters of Python's standard library, each layer on a device of its own.

Time is cut into chunks. While layer 1 works on a chunk, layer 0 is at the next one: nothing in the program says so, it
is in the graph. The same program runs eagerly, on one device, or on GPUs (``--kind cuda``).
"""

import argparse
import sysconfig
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import eagerflow as ef
from eagerflow import nn


class DeepLSTM(nn.Module):
    """A language model: layer d lives and computes on device d."""

    def __init__(self, symbols: int, size: int, layers: int, devices: list[str], chunk: int) -> None:
        self.devices = [devices[d * len(devices) // layers] for d in range(layers)]
        self.chunk = chunk
        with ef.device(self.devices[0]):
            self.embedding = nn.Embedding(symbols, size)
        self.layers = []
        for device in self.devices:
            with ef.device(device):
                self.layers.append(nn.LSTM(size, size))
        with ef.device(self.devices[-1]):
            self.readout = nn.Linear(size, symbols)

    def __call__(self, text: ef.Tensor) -> ef.Tensor:
        """Return the mean loss of predicting each character of (time, batch) from those before it."""
        states: list = [None] * len(self.layers)
        losses = []
        for start in range(0, len(text) - 1, self.chunk):
            given, wanted = text[start : start + self.chunk], text[start + 1 : start + self.chunk + 1]
            with ef.device(self.devices[0]):
                x = self.embedding(given[: len(wanted)])
            for d, layer in enumerate(self.layers):
                with ef.device(self.devices[d]):
                    x, states[d] = layer(x, states[d])
            with ef.device(self.devices[-1]):
                losses.append(nn.softmax_cross_entropy(self.readout(x), wanted).mean())
        with ef.device(self.devices[-1]):
            return ef.mean(ef.stack(losses))


def corpus(batch: int, steps: int) -> tuple[np.ndarray, int]:
    """Return characters of the standard library as numbers, as (piece, time, batch), and how many symbols there are."""
    folder = Path(sysconfig.get_path("stdlib"))
    text = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))[:2_000_000]
    symbols, numbers = np.unique(np.frombuffer(text, np.uint8), return_inverse=True)
    pieces = len(numbers) // (batch * steps)
    return numbers[: pieces * batch * steps].reshape(batch, pieces, steps).transpose(1, 2, 0), len(symbols)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="cpu", help="kind of the devices: cpu or cuda")
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--steps", type=int, default=60, help="training steps")
    parser.add_argument("--eager", action="store_true", help="do not capture the training step")
    parser.add_argument("--trace", type=Path, help="write a timeline of the last steps to this file (Chrome, Perfetto)")
    options = parser.parse_args()
    ef.set_default_dtype("float32")
    if options.kind == "cpu":
        ef.config.set_logical_devices("cpu", options.devices)
    names = [f"{options.kind}:{d}" for d in range(options.devices)]
    ef.random.seed(0)
    text, symbols = corpus(batch=32, steps=65)
    model = DeepLSTM(symbols, options.size, options.layers, names, chunk=8)
    optimizer = ef.optim.Adam(model, learning_rate=2e-3)

    def step(piece: ef.Tensor) -> ef.Tensor:
        with ef.GradientTape() as tape:
            loss = model(piece)
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    train = step if options.eager else ef.function(step)
    losses, seconds = [], []
    for i in (bar := tqdm(range(options.steps), desc="training", unit="step")):
        piece = ef.asarray(text[i % len(text)])
        start = time.perf_counter()
        losses.append(train(piece).item())
        seconds.append(time.perf_counter() - start)
        bar.set_postfix(bits=f"{losses[-1] / np.log(2):.3f}")
    if options.trace:
        with ef.profiler.trace(options.trace):
            for i in range(3):
                train(ef.asarray(text[i]))
        print("timeline:", options.trace.resolve())
    print(f"{options.layers} layers on {', '.join(dict.fromkeys(model.devices))}")
    print(f"{np.mean(losses[-5:]) / np.log(2):.3f} bits a character after {options.steps} steps")
    print(f"{np.median(seconds) * 1e3:.1f} ms a step, first step {seconds[0]:.1f} s")


if __name__ == "__main__":
    main()
