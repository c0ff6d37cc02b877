"""The precision that products of float32 matrices are computed in, where the hardware offers several."""

from __future__ import annotations

from eagerflow.devices.cuda import PRECISIONS
from eagerflow.devices.registry import changed, kinds
from eagerflow.errors import ArgumentError


def set_matmul_precision(precision: str) -> None:
    """Choose how products of float32 and complex64 matrices are computed on GPUs.

    Parameters
    ----------
    precision : str
        ``"highest"`` (at first): in float32. ``"tf32"``: factors are rounded to 10 bits of mantissa and their products
        added up in float32, on tensor cores, which GPUs of compute capability 8.0 or more have. It is for products
        with a matrix; CuPy multiplies stacks by stacks in float32 all the same. It makes no difference on the CPU, nor
        to other dtypes: for products in half precision use arrays of ``ef.float16`` or ``ef.bfloat16``.

    Raises
    ------
    ArgumentError
        Unknown precision.

    Notes
    -----
    It is for the whole process. Until it is called, the environment variable ``CUPY_TF32`` of CuPy decides.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.config.set_matmul_precision("tf32")
    >>> ef.config.set_matmul_precision("highest")
    """
    if precision not in PRECISIONS:
        raise ArgumentError(
            f"set_matmul_precision: expected one of {', '.join(map(repr, PRECISIONS))}, got {precision!r}"
        )
    kinds()["cuda"].set_matmul_precision(precision)  # type: ignore[attr-defined]
    changed()
