"""Kernels of one expression, for tests."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from eagerflow.capture.kernels import cache, scalar_math


class _Numbers(ast.NodeTransformer):
    """Gives the numbers of an expression the dtype of its inputs."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if type(node.value) not in (int, float, bool):
            return node
        self.found.append(node.value)
        return ast.copy_location(ast.Name(f"number_{len(self.found) - 1}", ast.Load()), node)


def kernel(expression: str, inputs: tuple[str, ...], dtype: Any, constants: dict[str, Any] | None = None) -> Any:
    """Compile ``kernel(*inputs, out)``, which computes the expression for arrays of one axis and of `dtype`."""
    tree = ast.parse(expression, mode="eval")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    numbers = _Numbers()
    code = ast.unparse(numbers.visit(tree))
    kind = np.dtype(dtype).name
    kind = "bool_" if kind == "bool" else kind
    lines = ["import numpy as np"]
    used = sorted(names & scalar_math.SCALAR_FUNCTIONS)
    if used:
        lines.append(f"from eagerflow.capture.kernels.scalar_math import {', '.join(used)}")
    given = {**{f"number_{i}": number for i, number in enumerate(numbers.found)}, **(constants or {})}
    for name, number in given.items():
        lines.append(f"{name} = np.{kind}({number!r})" if np.isfinite(number) else f"{name} = np.{kind}('{number}')")
    lines += [f"def kernel({', '.join(f'{name}_' for name in inputs)}, out):", "    for i in range(out.size):"]
    lines += [f"        {name} = {name}_[i]" for name in inputs]
    lines.append(f"        out[i] = {code}")
    return cache.load("\n".join(lines) + "\n", "kernel", noalias=True)


def ulps(got: Any, exact: Any, dtype: Any) -> Any:
    """Return how many units in the last place each result is off.

    `exact` is more precise than `dtype`. What rounds to infinity or is infinite has to be infinite, NaN has to
    be NaN: elsewhere the error is infinite.
    """
    got, exact = np.asarray(got), np.asarray(exact)
    limit = np.finfo(dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        unit = np.spacing(np.minimum(np.abs(rounded), limit.max)).astype(exact.dtype)
        error = np.abs(got.astype(exact.dtype) - exact) / unit
        # The largest number and infinity are neighbours.
        beyond = np.isinf(got) & np.isfinite(exact) & (np.sign(got) == np.sign(exact))
        error = np.where(beyond, np.abs(float(limit.max) * (1 + limit.eps / 2) - np.abs(exact)) / unit, error)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(
        same,
        np.minimum(error, 0.5, where=np.isfinite(error), out=np.zeros_like(error)),
        np.where(np.isnan(error), np.inf, error),
    )
