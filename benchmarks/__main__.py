"""Measure everything, print the table and keep it: ``python -m benchmarks [part of a name …]``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from benchmarks import import_time, overhead
from benchmarks.harness import Result, machine, measure, show, table, verdicts

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_name("results.md")
FILES = ("small_ops", "mlp", "lstm", "alexnet")
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"


def main(chosen: list[str]) -> None:
    """Run the files whose names hold one of the chosen words, or all of them."""
    print(machine())
    results: list[Result] = []
    for name in FILES:
        if chosen and not any(word in name for word in chosen):
            continue
        for work in importlib.import_module(f"benchmarks.{name}").works():
            print(f"== {work.name}", flush=True)
            result = measure(work)
            for contender, median in result.medians.items():
                print(f"   {contender:<14} {show(median)}")
            for verdict in verdicts(result):
                print(f"   {verdict}")
            results.append(result)
    if not chosen or any(word in "overhead" for word in chosen):
        print("== overhead of every op", flush=True)
        page = overhead.report()
        if not chosen:
            overhead.RESULTS.write_text(f"{page}\nMedians on {machine()}.\n")
    if chosen and not any(word in "import_time" for word in chosen):
        return
    sentence = import_time.sentence()
    print(sentence)
    if not chosen:
        text = f"{table(results)}\n\n{sentence}\n\nMedians of contenders run in turn on {machine()}.\n"
        RESULTS.write_text(text)
        include(ROOT / "README.md", text)
        print(f"== written to {RESULTS.relative_to(ROOT)} and README.md")


def include(path: Path, text: str) -> None:
    """Put `text` between the markers in a file, if it has them."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


if __name__ == "__main__":
    main(sys.argv[1:])
