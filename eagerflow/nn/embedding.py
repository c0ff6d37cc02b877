"""Embedding: a row of a table for each number."""

from __future__ import annotations

from typing import Any

from eagerflow.core import Tensor, Variable
from eagerflow.nn import initializers
from eagerflow.nn.module import Module, dtype_of, size_of
from eagerflow.ops.checked import a_function
from eagerflow.ops.networks.embedding import embedding


class Embedding(Module):
    """Look up a learned vector for each integer.

    Parameters
    ----------
    count : int
        How many integers there are: 0 to ``count - 1``.
    size : int
        Length of the vectors.
    dtype : dtype, optional
        Dtype of the vectors. The default dtype if not given.
    initializer : callable, optional
        How `weight`, of shape ``(count, size)``, starts; normal with standard deviation 1 if not given.

    Raises
    ------
    ShapeError
        A size below 1.
    DTypeError
        A size that is no integer, a dtype that is not floating-point, or an initializer that is no function.

    Examples
    --------
    >>> import eagerflow as ef
    >>> layer = ef.nn.Embedding(100, 8)
    >>> layer([[1, 2, 3]]).shape
    (1, 3, 8)
    """

    def __init__(
        self, count: int, size: int, dtype: Any = None, initializer: initializers.Initializer | None = None
    ) -> None:
        count, size = size_of("Embedding", "count", count), size_of("Embedding", "size", size)
        dtype = dtype_of("Embedding", dtype)
        draw = initializers.normal() if initializer is None else initializer
        a_function(draw, "Embedding", "initializer")
        self.weight = Variable(draw((count, size), dtype, count, size), name="weight")

    def __call__(self, ids: Any) -> Tensor:
        """Look up.

        Parameters
        ----------
        ids : array_like
            Integers of any shape.

        Returns
        -------
        Tensor
            Of shape ``(*ids.shape, size)``.

        Raises
        ------
        IndexOutOfBoundsError
            An integer outside the table.
        """
        return embedding(self.weight, ids)

    def _describe(self) -> str:
        return f"{self.weight.shape[0]} x {self.weight.shape[1]}"
