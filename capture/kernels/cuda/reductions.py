"""Reductions: how one goes on from element to element, and how partial results become one."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.capture.graph import Node
from eagerflow.capture.kernels.cuda.scope import Scope, number, typename
from eagerflow.capture.kernels.expression import BOOL, SHORT, Text, cast

_COMBINE = {
    "sum": "Sum", "mean": "Sum", "count_nonzero": "Sum", "prod": "Product", "max": "Maximum", "min": "Minimum",
    "any": "Or", "all": "And",
}  # fmt: skip
_OF_BOOLEANS = {"Sum": "Or", "Maximum": "Or", "Product": "And", "Minimum": "And"}


def accumulated(node: Node) -> np.dtype[Any]:
    """Return the dtype in which a reduction goes on."""
    dtype = node.outputs[0].dtype
    return np.dtype(np.float32) if dtype.name in SHORT else dtype


def settled(node: Node, total: str, count: str) -> str:
    """Return the source of a result; `count` is of how many numbers."""
    if node.op.name == "mean":
        total = f"{total} / {accumulated(node)}({count})"
    return cast(Text(f"({total})", accumulated(node)), node.outputs[0].dtype).source


def combination(node: Node) -> str:
    """Return what combines two numbers."""
    name = _COMBINE[node.op.name]
    return _OF_BOOLEANS.get(name, name) if accumulated(node) == BOOL else name


def start(scope: Scope, node: Node) -> str:
    """Return the statement with which a thread starts."""
    return f"{typename(accumulated(node))} total{scope.reduction(node)} = {neutral(node)};"


def neutral(node: Node) -> str:
    """Return what a reduction starts with."""
    name, dtype = node.op.name, accumulated(node)
    if dtype == BOOL:
        return "true" if combination(node) == "And" else "false"
    if name in ("max", "min"):
        if dtype.kind == "f":
            return number(-np.inf if name == "max" else np.inf, dtype)
        bounds = np.iinfo(dtype)
        return number(bounds.min if name == "max" else bounds.max, dtype)
    return number(1 if name == "prod" else 0, dtype)


def accumulation(node: Node, text: Text, total: str) -> str:
    """Return the statement that adds an element to a total."""
    if node.op.name in ("any", "all", "count_nonzero"):
        text = cast(text, BOOL)
    item = cast(text, accumulated(node)).source
    if accumulated(node) == BOOL:
        item = f"bool({item})"
    return f"{total} = {combination(node)}::of({total}, {item});"


def finishing(scope: Scope, nodes: list[Node]) -> list[str]:
    """Return the statements of the kernel that makes results of partial results."""
    lines = [
        "const int thread = threadIdx.x, warps = blockDim.x / 32;",
        "const long long column = blockIdx.x * 32LL + thread % 32;",
    ]
    for node in nodes:
        lines += _finished(scope, node)
    return lines


def _finished(scope: Scope, node: Node) -> list[str]:
    schedule, i, combine = scope.schedule, scope.reduction(node), combination(node)
    total = f"total{i}"
    lines = [start(scope, node)]
    column = schedule.layout(node) == "column"
    if column:
        lines += [
            "if (column < columns) for (long long k = thread / 32; k < slots; k += warps)",
            f"    {total} = {combine}::of({total}, p{i}[k * columns + column]);",
            f"{total} = across<{combine}>({total});",
        ]
        place, condition = "column", "thread < 32 && column < columns"
    else:
        lines += [
            "for (long long k = thread; k < blocks; k += blockDim.x)",
            f"    {total} = {combine}::of({total}, p{i}[k]);",
            f"{total} = reduced<{combine}>({total}, blockDim.x);",
        ]
        place, condition = "0", "thread == 0 && blockIdx.x == 0"
    of_rows = column or schedule.space.layout(node.inputs[0]) == "row"
    result = settled(node, total, "rows" if of_rows else "rows * columns")
    stores = " ".join(f"o{j}[{place}] = {result};" for j in scope.stored[node.outputs[0]])
    return [*lines, f"if ({condition}) {{ {stores} }}"]
