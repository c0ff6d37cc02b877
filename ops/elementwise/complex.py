"""Complex numbers: parts, conjugate and angle, element-wise.

The gradient functions are written for gradients without conjugation, as everywhere (see `Op`):
a rule that is published for conjugated gradients becomes ``conj(rule(conj(g)))``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow.core import Spec, Tensor, convert, implements
from eagerflow.ops.checked import flag
from eagerflow.ops.declare import elementwise
from eagerflow.ops.elementwise.selection import where

__all__ = ["angle", "conj", "conjugate", "imag", "real"]


def _real_dtype(x: Spec) -> Spec:
    return Spec(x.shape, np.empty(0, x.dtype).real.dtype)


def _angle_kernel(xp: Any, x: Any) -> Any:
    return xp.arctan2(x.imag, x.real) if x.dtype.kind == "c" else xp.arctan2(0, x)


def _angle_rule(x: Spec) -> Spec:
    height = _real_dtype(x).dtype if x.dtype.kind == "c" else int
    return Spec(x.shape, np.arctan2.resolve_dtypes((height, _real_dtype(x).dtype, None))[-1])


def _angle_gradient(g: Tensor, x: Tensor) -> Tensor:
    if x.dtype.kind != "c":
        return g * 0
    zero = x == 0
    return where(zero, 0, g * -1j / where(zero, 1, x))


real = elementwise(
    "real", lambda xp, x: getattr(x, "real", x), scalar="x", vjp=lambda g: g, infer=_real_dtype, kinds="fc", flops=0,
    numpy=("real",),
    doc="Real part, element-wise.", example=("ef.real([1 + 2j, 3.0])", "Tensor([1., 3.])"),
)  # fmt: skip
imag = elementwise(
    "imag", lambda xp, x: x.imag, scalar="0", vjp=lambda g: g * -1j, infer=_real_dtype, kinds="fc", flops=0,
    numpy=("imag",),
    doc="Imaginary part, element-wise; zero of real numbers.",
    example=("ef.imag([1 + 2j, 3.0])", "Tensor([2., 0.])"),
)  # fmt: skip
conj = elementwise(
    "conj", "conjugate", scalar="x", vjp=lambda g: conj(g), kinds="fc",
    doc="Complex conjugate, element-wise.", example=("ef.conj([1 + 2j, 3.0])", "Tensor([1.-2.j, 3.-0.j])"),
)  # fmt: skip
conjugate = conj

_angle = elementwise(
    "angle", _angle_kernel, scalar="atan2(0, x)", vjp=_angle_gradient, infer=_angle_rule, kinds="fc",
    domain=(0.3, 2.0), flops=20, doc="Angle of complex numbers.", example=("ef.angle(1j)", "Tensor(1.57079633)"),
)  # fmt: skip


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Tensor:
    """Angle of complex numbers with the positive real axis, element-wise.

    Parameters
    ----------
    z : array_like
        Input.
    deg : bool
        Whether to give degrees, not radians.

    Returns
    -------
    Tensor
        Of the shape of `z`, from -π to π (-180 to 180).

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.angle([1.0, 1j, -1.0], deg=True)
    Tensor([  0.,  90., 180.])
    """
    radians: Tensor = _angle(convert(z))
    return radians * (180 / np.pi) if flag(deg, "angle", "deg") else radians
