"""Training on one GPU: captured by eagerflow, by PyTorch eager and compiled, and by JAX; ``python -m benchmarks cuda``.

Contenders take turns, each in a process of its own, and a step is over when the GPU is done with it. In float32 all
compute products in float32, in tf32 all round their factors; in bfloat16 all arrays of floats have this dtype. Where
there is no GPU there is nothing to measure. Who has no package for GPUs is left out, with the reason.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import alexnet, decoder, lstm, mlp
from benchmarks.harness import measure
from benchmarks.report import compiling, machine, show, tables, verdicts
from benchmarks.work import BEST, CAPTURED, JAX, TORCH, TORCH_COMPILED, Result, Step, Target, Work

RESULTS = Path(__file__).with_name("cuda.md")
PRECISIONS = ("float32", "tf32", "bfloat16")
# Losses after the same steps differ by rounding; of training in few digits it adds up.
TOLERANCE = {"float32": 1e-2, "tf32": 5e-2, "bfloat16": 2e-1}


def _numbers(value: Any) -> tuple[np.ndarray, ...]:
    """Return results as arrays of the host: who asks for them waits for the GPU."""
    values = value if isinstance(value, tuple | list) else (value,)
    return tuple([np.asarray(float(x)) for x in values])


def eagerflow(make: Callable[..., Step], precision: str, device: str = "cuda:0") -> Step:
    """Return the captured step in eagerflow."""
    import eagerflow as ef

    gpu = ef.devices.find(device)
    ef.config.set_matmul_precision("tf32" if precision == "tf32" else "highest")
    step = make(captured=True, device=device, dtype=ef.bfloat16 if precision == "bfloat16" else np.float32)

    def run() -> object:
        value: Any = step()
        gpu.synchronize()
        return _numbers(value)

    return run


def pytorch(make: Callable[..., Step], precision: str, compiled: bool) -> Step:
    """Return the step in PyTorch."""
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("this PyTorch sees no GPU")
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    step = make(compiled=compiled, device="cuda", dtype="bfloat16" if precision == "bfloat16" else "float32")

    def run() -> object:
        value: Any = step()
        torch.cuda.synchronize()
        return _numbers(value)

    return run


def jax_jit(make: Callable[..., Step], precision: str) -> Step:
    """Return the step in JAX."""
    os.environ["JAX_PLATFORMS"] = "cuda"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # others need memory, too
    import jax

    jax.config.update("jax_default_matmul_precision", {"float32": "highest", "tf32": "tensorfloat32"}.get(precision))
    jax.devices("cuda")  # it says what it lacks
    step = make(dtype="bfloat16" if precision == "bfloat16" else "float32")
    return lambda: _numbers(step())


def models() -> dict[str, Any]:
    """Return modules and arguments of what is trained, by name."""
    small, large = lstm.SMALL, lstm.LARGE
    return {
        "MLP 784-512-512-10, batch 128, SGD": (mlp, ()),
        "LSTM 1×200, SGD": (lstm, (small,)),
        "LSTM 2×650, SGD": (lstm, (large,)),
        "AlexNet, batch 16, forward and backward": (alexnet, (True,)),
        "Decoder 4×256, Adam": (decoder, ()),
    }


def works() -> Iterable[Work]:
    """Give the works of this file."""
    for name, (module, given) in models().items():
        for precision in PRECISIONS:
            yield Work(
                f"{name}, {precision}",
                {
                    CAPTURED: partial(eagerflow, partial(module.eagerflow, *given), precision),
                    TORCH: partial(pytorch, partial(module.pytorch, *given), precision, False),
                    TORCH_COMPILED: partial(pytorch, partial(module.pytorch, *given), precision, True),
                    JAX: partial(jax_jit, partial(module.jax_jit, *given), precision),
                },
                [Target(BEST, 1.0)],
                tolerance=TOLERANCE[precision],
            )


def main(quick: bool = False) -> int:
    """Measure everything, print it as it comes, and keep it."""
    import eagerflow as ef

    if "cuda:0" not in ef.devices.list():
        print(f"no GPU: nothing to measure ({ef.devices.kinds()['cuda'].why_unavailable()})")
        return 0
    print(f"{gpu()}; {machine()}")
    results: list[Result] = []
    for work in works():
        print(f"== {work.name}", flush=True)
        result = measure(work, seconds=0, least_rounds=1) if quick else measure(work)
        for contender, median in result.medians.items():
            print(f"   {contender:<20} {show(median)}")
        for contender, reason in result.left_out.items():
            print(f"   left out: {contender}: {reason}")
        for verdict in [*verdicts(result), *compiling(result)]:
            print(f"   {verdict}")
        results.append(result)
    if not quick:
        RESULTS.write_text(
            f"# On a GPU\n\n{tables(results)}\n\nMedians of contenders run in turn on {gpu()}; {machine()}.\n"
        )
    return 1 if any(CAPTURED in result.left_out for result in results) else 0


def gpu() -> str:
    """Return the GPU and its driver, as the driver names them."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip().splitlines()
    except (OSError, subprocess.CalledProcessError):
        return "a GPU without nvidia-smi"
    return lines[0] if lines else "a GPU without a name"
