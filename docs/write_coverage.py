"""Write docs/reference/coverage.md, what every op can do, from the registry itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import eagerflow as ef
from eagerflow.core import Op
from eagerflow.core.batching import how

PAGE = Path(__file__).resolve().parent / "reference" / "coverage.md"

INTRODUCTION = """# What every op can do

Ops are what eagerflow differentiates; the functions in the [index of names](api.md) are ops, or are written in
ops and so can do what these can. The table comes from the declarations: `docs/write_coverage.py` writes this page,
and tests check each entry, with inputs that the op itself draws.

| column | says |
| --- | --- |
"""
COLUMNS = {
    "kernels": "`any`: one kernel, written over the array namespace, for every kind of device; others have their own",
    "gradient": "the order up to which tests compare it with numeric differences; of an op without one, the reason",
    "forward": "the rule of forward mode: `linear` in its inputs; `stated`; `elementwise`: that of the gradient; "
    "`transposed`: the gradient of the gradient, at twice the price",
    "vmap": "the batching rule: `stated`; `leading`: it works on the last axes and treats the others as a stack; "
    "`elementwise`: it broadcasts; `loop`: example by example",
    "complex": "whether its gradient is tested for complex numbers",
    "fusion": "class, for graphs",
}


def kernels(op: Op) -> str:
    """Return for which kinds of device there are kernels."""
    own = sorted({"cpu", "cuda"} & {kind for kind in op._kernels if isinstance(kind, str)})
    return ", ".join(["any", *own])


def gradient(op: Op) -> str:
    """Return to which order the gradient is tested, or why there is none."""
    if not op.vjps:
        return f"none: {op.no_gradient}"
    without = [name for name, function in zip(op.inputs, op.vjps, strict=True) if not callable(function)]
    order = {0: "exists", 1: "first order"}.get(op.smooth, "second order")
    return f"{order}, not in {', '.join(without)}" if without else order


def forward(op: Op) -> str:
    """Return the rule of forward mode."""
    return "" if op.forward.how == "none" else op.forward.how


def batching(op: Op) -> str:
    """Return the batching rule."""
    return ("draws for each" if op.effects == "random" else "") if not op.inputs else how(op)


def row(op: Op) -> str:
    """Return the row of one op."""
    cells = [
        f"`{op.signature()}`",
        kernels(op),
        gradient(op),
        forward(op),
        batching(op),
        "yes" if "c" in op.kinds and op.vjps else "",
        op.fusion,
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def share(counts: Counter[str]) -> str:
    """Return counts as text, the largest first."""
    return ", ".join(f"{name} {count}" for name, count in counts.most_common() if name)


def page() -> str:
    """Return the page."""
    ops = [op for name, op in sorted(ef.ops.registry().items()) if not name.startswith("doc_")]
    with_gradient = [op for op in ops if op.vjps]
    counts = [
        "| count | |",
        "| --- | --- |",
        f"| ops | {len(ops)} |",
        f"| with a gradient | {len(with_gradient)}; to second order {sum(op.smooth >= 2 for op in with_gradient)} |",
        f"| without, each with the reason | {len(ops) - len(with_gradient)} |",
        f"| forward mode | {share(Counter(forward(op) for op in with_gradient))} |",
        f"| vmap | {share(Counter(batching(op) for op in ops))} |",
        f"| gradient tested for complex numbers | {sum('c' in op.kinds for op in with_gradient)} |",
        f"| fusion class | {share(Counter(op.fusion for op in ops))} |",
    ]
    header = ["| op | kernels | gradient | forward | vmap | complex | fusion |", "| --- " * 7 + "|"]
    columns = [f"| {name} | {meaning} |" for name, meaning in COLUMNS.items()]
    return INTRODUCTION + "\n".join([*columns, "", *counts, "", *header, *[row(op) for op in ops]]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
