"""Batching rules that many ops share: for what they do along axes that their attributes name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eagerflow.core import Op, Tensor
from eagerflow.core.batching import repeated

Rule = Callable[[Op, int, list[Any], Sequence[bool], dict[str, Any]], Any]


def along(*axes: str, shapes: Sequence[str] = ()) -> Rule:
    """Return the batching rule of an op whose attributes name axes, or shapes, of an example.

    Parameters
    ----------
    *axes : str
        Attributes that hold an axis, several, or None (which stays None, for ops that then do nothing along axes).
    shapes : sequence of str
        Attributes that hold shapes.

    Returns
    -------
    callable
        A rule for `Op(batch=…)`: the op runs once with its axes moved up by one; inputs that all examples share
        are repeated.

    Examples
    --------
    >>> import eagerflow as ef
    >>> from eagerflow.ops.batching import along
    >>> last = ef.ops.Op(
    ...     "doc_flip", lambda xp, x, *, axis: xp.flip(x, axis), inputs="x", infer=lambda x, *, axis: x,
    ...     vjp=lambda g, axis: last(g, axis=axis), linear="x", batch=along("axis"),
    ...     sample=lambda draw: ef.ops.Sample((draw.array((3,)),), {"axis": 0}))
    >>> ef.vmap(lambda x: last(x, axis=0))(ef.asarray([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[2., 1.],
            [4., 3.]])
    """

    def rule(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
        moved = {name: up(attrs[name]) for name in axes}
        larger = {name: (size, *attrs[name]) for name in shapes}
        return op(*everywhere(size, inputs, batched), **{**attrs, **moved, **larger})

    return rule


def up(axis: Any) -> Any:
    """Return axes of an example as axes of the stack; those counted from the end stay."""
    if axis is None:
        return None
    if isinstance(axis, int):
        return axis + 1 if axis >= 0 else axis
    return tuple([a + 1 if a >= 0 else a for a in axis])


def everywhere(size: int, inputs: list[Any], batched: Sequence[bool]) -> list[Any]:
    """Return the inputs with those Tensors repeated that all examples share."""
    return [repeated(x, size) if isinstance(x, Tensor) and not b else x for x, b in zip(inputs, batched, strict=True)]
