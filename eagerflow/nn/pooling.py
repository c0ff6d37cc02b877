"""MaxPool2D: the largest of each window."""

from __future__ import annotations

from typing import Any

from eagerflow.core import Tensor
from eagerflow.nn.module import Module
from eagerflow.ops.networks.pooling import max_pool2d


class MaxPool2D(Module):
    """Take the maximum of each window of images of shape ``(batch, channels, height, width)``.

    Parameters
    ----------
    window : int or pair of int
        Height and width of the windows.
    stride : int or pair of int, optional
        Step of the window; the window itself if not given.
    padding
        As for `eagerflow.nn.max_pool2d`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.MaxPool2D(2)(ef.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    def __init__(self, window: int | tuple[int, int], stride: Any = None, padding: Any = 0) -> None:
        self.window, self.stride, self.padding = window, stride, padding

    def __call__(self, x: Any) -> Tensor:
        """Return the maxima, of shape ``(batch, channels, new height, new width)``."""
        return max_pool2d(x, self.window, self.stride, self.padding)

    def _describe(self) -> str:
        text = f"{self.window}"
        text += "" if self.stride is None else f", stride={self.stride!r}"
        return text + (f", padding={self.padding!r}" if self.padding != 0 else "")
