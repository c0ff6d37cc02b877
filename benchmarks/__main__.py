"""Measure everything, print the tables and keep them: ``python -m benchmarks [--quick] [part of a file's name …]``.

``python -m benchmarks cuda`` is for a machine with a GPU.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import measure
from benchmarks.report import compiling, machine, missing, show, tables, verdicts
from benchmarks.work import CAPTURED, EAGERFLOW, NUMPY, Result

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_name("results.md")
FILES = ("small_ops", "fused", "mlp", "lstm", "alexnet", "decoder")
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"


def main(arguments: list[str]) -> int:
    """Run the files whose names hold one of the chosen words, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("chosen", nargs="*", help="parts of names of files; all of them if none is given")
    parser.add_argument("--quick", action="store_true", help="one turn each: do the contenders work and agree?")
    options = parser.parse_args(arguments)
    chosen = options.chosen
    if chosen == ["cuda"]:
        return int(importlib.import_module("benchmarks.cuda").main(options.quick))
    keep = not chosen and not options.quick
    print(machine())
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        print(f"Other programs are busy here (load {load:.1f}): what is measured now tells little.")
    with tempfile.TemporaryDirectory(prefix="eagerflow-benchmarks-") as folder:
        results = run(chosen, options.quick, Path(folder))
    if not options.quick and any(word in "overhead" for word in chosen or ["overhead"]):
        overhead = importlib.import_module("benchmarks.overhead")
        print("== overhead of every op", flush=True)
        page = overhead.report()
        if keep:
            overhead.RESULTS.write_text(f"{page}\nMedians on {machine()}.\n")
    if not options.quick and any(word in "many_devices" for word in chosen or ["many_devices"]):
        many_devices = importlib.import_module("benchmarks.many_devices")
        print("== many devices", flush=True)
        page = many_devices.report()
        if keep:
            many_devices.RESULTS.write_text(f"{page}\nMedians of contenders run in turn on {machine()}.\n")
    if not options.quick and any(word in "import_time" for word in chosen or ["import_time"]):
        sentence = importlib.import_module("benchmarks.import_time").sentence()
        print(sentence)
        if keep:
            text = f"{tables(results)}\n\n{sentence}\n\nMedians of contenders run in turn on {machine()}.\n"
            RESULTS.write_text(text)
            include(ROOT / "README.md", text)
            print(f"== written to {RESULTS.relative_to(ROOT)} and README.md")
    failed = [result for result in results if {NUMPY, EAGERFLOW, CAPTURED} & result.left_out.keys()]
    for result in failed:
        print(f"FAILED {result.work.name}: {'; '.join(missing(result))}", file=sys.stderr)
    return 1 if failed else 0


def run(chosen: list[str], quick: bool, folder: Path) -> list[Result]:
    """Measure what was chosen, and print it as it comes."""
    # Each run compiles anew, so that the time of it can be told: caches of earlier runs are not used.
    os.environ["EAGERFLOW_CACHE"] = str(folder / "eagerflow")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "torchinductor")
    # Notices about GPUs that are not there.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    results = []
    for name in FILES:
        if chosen and not any(word in name for word in chosen):
            continue
        for work in importlib.import_module(f"benchmarks.{name}").works():
            print(f"== {work.name}", flush=True)
            result = measure(work, seconds=0, least_rounds=1) if quick else measure(work)
            for contender, median in result.medians.items():
                print(f"   {contender:<20} {show(median)}")
            for reason in missing(result):
                print(f"   left out: {reason}")
            for verdict in verdicts(result):
                print(f"   {verdict}")
            if slow := compiling(result):
                print(f"   compiling: {', '.join(slow)}")
            results.append(result)
    return results


def include(path: Path, text: str) -> None:
    """Put `text` between the markers in a file, if it has them."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
