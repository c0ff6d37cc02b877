"""Batching rules of ops on images: the examples become a part of an axis that images have already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eagerflow.core import Op, Spec, Tensor
from eagerflow.core.batching import loop
from eagerflow.ops.arrays.joining import concat
from eagerflow.ops.arrays.transposition import moveaxis
from eagerflow.ops.batching import Rule, everywhere

# What the axes of the arrays of a convolution stand for: batch, channels in, channels out.
_AXES = {"x": {"N": 0, "C": 1}, "y": {"N": 0, "O": 1}, "weight": {"O": 0, "C": 1}}
# Which of them is divided into groups.
_GROUPED = {"x": 1, "y": 1, "weight": 0}
# Floating-point operations beside which a call costs nothing: convolutions of fewer are worth doing at once.
_WORTH = 1 << 24


def fold(x: Tensor, axis: int, parts: int = 1) -> Tensor:
    """Put the examples along the first axis into another axis.

    Parameters
    ----------
    x : Tensor
        Examples along the first axis.
    axis : int
        An axis of one example, not negative.
    parts : int
        How many equal parts of that axis get their share of each example.

    Returns
    -------
    Tensor
        One axis less; `axis` is longer by the number of examples: part by part, then example by example.
    """
    size, *shape = x.shape
    before, side, after = shape[:axis], shape[axis] // parts, shape[axis + 1 :]
    if axis or parts > 1:
        x = moveaxis(x.reshape((size, *before, parts, side, *after)), 0, axis + 1)
    return x.reshape((*before, parts * size * side, *after))


def unfold(x: Tensor, axis: int, size: int, parts: int = 1) -> Tensor:
    """Undo `fold` of `size` examples."""
    shape = x.shape
    before, side, after = shape[:axis], shape[axis] // (parts * size), shape[axis + 1 :]
    if axis or parts > 1:
        x = moveaxis(x.reshape((*before, parts, size, side, *after)), axis + 1, 0)
    return x.reshape((size, *before, parts * side, *after))


def images(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """Batching rule of ops that treat images (N, …) apart from each other: the examples are more images."""
    if not size:
        return loop(op, size, inputs, batched, attrs)
    return unfold(op(*[fold(x, 0) for x in everywhere(size, inputs, batched)], **attrs), 0, size)


def convolutions(roles: str) -> Rule:
    """Return the batching rule of a convolution or of a gradient of it.

    Parameters
    ----------
    roles : str
        What its two inputs and its result are in the convolution of ``x`` and ``weight`` to ``y``, in this order:
        ``"y weight x"`` for the gradient with respect to the input. There may be a bias as third input.

    Returns
    -------
    callable
        A rule for `Op(batch=…)`. What only one input holds for each example is more images or more channels, in one
        call. If both do, each example is a group of channels, in one call or, if examples are large, several:
        more at once would need more memory, and be slower.
    """
    first, second, out = roles.split()

    def parts(role: str, letter: str, groups: int) -> int:
        return groups if _AXES[role][letter] == _GROUPED[role] else 1

    def rule(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
        if not size:
            return loop(op, size, inputs, batched, attrs)
        x, y, *bias = inputs
        if bias and bias[0] is not None and any(batched[1:]):
            (shift,) = bias
            pair = batched[:2]
            made = rule(op, size, [x, y, None], [*pair, False], attrs) if any(pair) else op(x, y, None, **attrs)
            shift = shift.reshape((size, 1, -1, 1, 1) if batched[2] else (-1, 1, 1))
            return made + shift.astype(made.dtype)
        groups = attrs["groups"]
        if batched[0] and batched[1]:
            cost, _ = op.cost(Spec(x.shape[1:], x.dtype), Spec(y.shape[1:], y.dtype), *bias, **attrs)
            step = max(1, int(_WORTH // max(cost, 1)))
            if step < size:
                starts = range(0, size, step)
                pieces = [[x[start : start + step], y[start : start + step], *bias] for start in starts]
                return concat([rule(op, len(piece[0]), piece, batched, attrs) for piece in pieces])
            made = op(fold(x, _GROUPED[first]), fold(y, _GROUPED[second]), *bias, **{**attrs, "groups": groups * size})
            return unfold(made, _GROUPED[out], size)
        mine, other = (first, second) if batched[0] else (second, first)
        (letter,) = _AXES[mine].keys() - _AXES[other].keys()
        folded = fold(x if batched[0] else y, _AXES[mine][letter], parts(mine, letter, groups))
        made = op(folded, y, *bias, **attrs) if batched[0] else op(x, folded, *bias, **attrs)
        return unfold(made, _AXES[out][letter], size, parts(out, letter, groups))

    return rule
