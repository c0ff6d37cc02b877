"""What the tests of footguns share: the checks, and objects to trip over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import optree
import pytest

import eagerflow as ef
from eagerflow.errors import CaptureError

X = ef.asarray([1.0, -2.0, 3.0])


def tree(value: Any) -> Any:
    """Return a result with NumPy arrays in place of Tensors and Variables."""
    return optree.tree_map(lambda x: x.numpy() if isinstance(x, ef.Tensor) else x, value, none_is_leaf=True)


def same(got: Any, expected: Any) -> None:
    """Check that two results are of one structure, of the same types, and equal bit for bit."""
    found, structure = optree.tree_flatten(got, none_is_leaf=True)
    wanted, form = optree.tree_flatten(expected, none_is_leaf=True)
    assert structure == form
    for a, b in zip(found, wanted, strict=True):
        assert type(a) is type(b)
        if isinstance(a, ef.Tensor | np.ndarray | np.generic):
            mine, theirs = np.asarray(a), np.asarray(b)
            assert mine.dtype == theirs.dtype
            assert mine.shape == theirs.shape
            assert mine.tobytes() == theirs.tobytes()
        else:
            assert a == b or a is b


def check(f: Callable[..., Any], captured: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Check that a captured function gives what its Python function gives, twice."""
    for _ in range(2):
        same(captured(*args, **kwargs), f(*args, **kwargs))


def refused(captured: Callable[..., Any], *args: Any, line: str, remedy: str, kind: Any = CaptureError) -> str:
    """Check that a call is an error of ours that shows a line of the test and names the way out."""
    with pytest.raises(kind) as caught:
        captured(*args)
    text = str(caught.value)
    assert isinstance(caught.value, ef.errors.EagerflowError)
    assert remedy in text, text
    name, _, rest = text[text.index("  at ") + 5 :].partition(":")
    assert "footguns" in name, text
    assert line in rest.splitlines()[0], text
    return text


def traces(captured: Any) -> int:
    """Return how often a function was captured."""
    return len(captured.concrete_functions)


class Config:
    """An object without anything special."""

    kind = "linear"

    def __init__(self, scale: float, children: Any = ()) -> None:
        self.scale = scale
        self.children = list(children)

    @property
    def doubled(self) -> float:
        return self.scale * 2

    def __getitem__(self, index: int) -> float:
        return self.scale + index


class Slots:
    __slots__ = ("scale",)

    def __init__(self, scale: float) -> None:
        self.scale = scale


@dataclasses.dataclass
class Options:
    scale: float
    more: list[float] = dataclasses.field(default_factory=list)
