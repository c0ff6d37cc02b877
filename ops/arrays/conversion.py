"""Conversion: other dtypes, other devices, copies, and the end of a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from eagerflow import devices
from eagerflow.core import Draw, Op, Sample, Spec, Tensor, alias, convert, implements, is_inexact, same
from eagerflow.core.dispatch import moves_inputs
from eagerflow.core.explain import user_line
from eagerflow.devices import Device
from eagerflow.errors import DTypeError
from eagerflow.ops.checked import flag

__all__ = ["astype", "copy", "stop_gradient", "to_device"]


def check_dtype(dtype: Any, name: str) -> np.dtype[Any]:
    """Return `dtype` as a NumPy dtype of numbers or booleans.

    Raises
    ------
    DTypeError
        It is none, or not one that a Tensor can have.
    """
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise DTypeError(f"{name}: expected a dtype, got {dtype!r}\n  at {user_line()}") from None
    if dtype is None or (
        found.kind not in "biufc" and not is_inexact(found) and found.name not in ("int4", "uint4", "int2", "uint2")
    ):
        raise DTypeError(f"{name}: expected a dtype of numbers, got {dtype!r}\n  at {user_line()}")
    return found


def _recast(xp: Any, x: Any, *, dtype: Any) -> Any:
    return x.astype(dtype)


def _recast_rule(x: Spec, *, dtype: Any) -> Spec:
    return Spec(x.shape, dtype)


def _sample_cast(draw: Draw) -> Sample:
    # Casting down would drown the numeric differences in rounding.
    kind = np.complex128 if draw.dtype.kind == "c" or draw.flag() else np.float64
    return Sample((draw.array(draw.shape()),), {"dtype": np.dtype(kind)})


# The backward walk gives each gradient the dtype of its input.
_cast = Op(
    "cast", _recast, inputs="x", infer=_recast_rule, sample=_sample_cast, vjp=lambda g: g,
    linear="x", fusion="elementwise", scalar="x", onnx="Cast", kinds="fc",
)  # fmt: skip
_to_integer = Op(
    "to_integer", _recast, inputs="x", infer=_recast_rule,
    sample=lambda draw: Sample(
        (draw.array(draw.shape(), dtype=np.float64),), {"dtype": np.dtype(draw.choice(["int64", "int8", "bool"]))}
    ),
    no_gradient="integers have no gradient", fusion="elementwise", scalar="x", onnx="Cast",
)  # fmt: skip
_from_integer = Op(
    "from_integer", _recast, inputs="x", infer=_recast_rule,
    sample=lambda draw: Sample(
        (draw.array(draw.shape(), dtype=draw.choice(["int64", "bool"])),),
        {"dtype": np.dtype(draw.choice(["float64", "complex64", "int16"]))},
    ),
    no_gradient="integers have no gradient", fusion="elementwise", scalar="x", onnx="Cast",
)  # fmt: skip


@implements(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: str | Device | None = None) -> Tensor:
    """Return the values in another dtype.

    Parameters
    ----------
    x : array_like
        Input.
    dtype : dtype
        The dtype wanted.
    copy : bool
        Whether to make a new Tensor where `x` has the dtype already.
    device : str or Device, optional
        Where to put the result; otherwise where `x` is.

    Returns
    -------
    Tensor
        Of the shape of `x`. Gradients pass between real and complex floating-point dtypes;
        integers and booleans stop them.

    Raises
    ------
    DTypeError
        Not a dtype of numbers; or complex numbers would lose their imaginary parts.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.astype(ef.asarray([1.5, 2.5]), ef.int64)
    Tensor([1, 2])
    """
    source = convert(x)
    wanted = check_dtype(dtype, "astype")
    before = source.dtype
    if before != wanted:
        if before.kind == "c" and wanted.kind != "c" and wanted.kind != "b":
            raise DTypeError(
                f"astype: {before} to {wanted} would lose the imaginary part; take x.real or ef.abs(x) first"
                f"\n  at {user_line()}"
            )
        if not is_inexact(wanted):
            op = _to_integer
        else:
            op = _cast if is_inexact(before) else _from_integer
        source = op(source, dtype=wanted)
    elif flag(copy, "astype", "copy"):
        source = alias(source, source._rec)
    return source if device is None else to_device(source, device)


def _move(xp: Any, x: Any, *, device: Device) -> Any:
    home = devices.of_array(x)
    assert home is not None
    return devices.transfer(x, home, device)


_to_device = Op(
    "to_device", _move, inputs="x", infer=lambda x, *, device: Spec(x.shape, x.dtype),
    sample=lambda draw: Sample((draw.array(draw.shape()),), {"device": devices.find("cpu:0")}),
    vjp=lambda g, device: _to_device(g, device=device), linear="x", batch="leading",
    kinds="fc", flops=0, moves=True,
)  # fmt: skip


moves_inputs(_to_device)


def to_device(x: Any, device: str | Device, /, *, stream: Any = None) -> Tensor:
    """Copy to another device; the gradient is copied back.

    Parameters
    ----------
    x : array_like
        Input.
    device : str or Device
        Such as ``"cuda:0"``.
    stream : None
        For the array API standard; the device's current stream is used.

    Returns
    -------
    Tensor
        The same values; `x` itself where it is on the device already.

    Raises
    ------
    DeviceError
        There is no such device.
    DTypeError
        A stream is given.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.to_device(ef.ones(2), "cpu:0").device
    cpu:0
    """
    if stream is not None:
        raise DTypeError(f"to_device: the device's current stream is used, got stream={stream!r}\n  at {user_line()}")
    source = convert(x)
    target = devices.find(device)
    return source if source.device is target else _to_device(source, device=target)


_stop_gradient = Op(
    "stop_gradient", lambda xp, x: x, inputs="x", infer=same, sample=lambda draw: Sample((draw.array(draw.shape()),)),
    no_gradient="stop_gradient cuts the gradient", batch="leading", fusion="view", flops=0, scalar="x",
)  # fmt: skip


def stop_gradient(x: Any, /) -> Tensor:
    """Return the same values as a constant: no gradient passes.

    Parameters
    ----------
    x : array_like
        Input.

    Returns
    -------
    Tensor
        The values of `x`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.grad(lambda x: x * ef.stop_gradient(x))(3.0)
    Tensor(3.)
    """
    return _stop_gradient(x)


# The same values as another Tensor with a record of its own, so that a gradient can be taken there.
_identity = Op(
    "identity", lambda xp, x: x, inputs="x", infer=same, sample=lambda draw: Sample((draw.array(draw.shape()),)),
    vjp=lambda g: g, linear="x", batch="leading", fusion="view", flops=0, scalar="x", onnx="Identity", kinds="fc",
)  # fmt: skip


def identity(x: Tensor) -> Tensor:
    """Return `x` as another Tensor, one operation further on."""
    return _identity(x)


@implements(np.copy)
def copy(x: Any, /) -> Tensor:
    """Return a Tensor of the same values, which gradients pass through.

    Tensors are values, so nothing is copied until one of the two is assigned to.

    Parameters
    ----------
    x : array_like
        Input.

    Returns
    -------
    Tensor
        The values of `x`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.zeros(2)
    >>> y = ef.copy(x)
    >>> y[0] = 1
    >>> x, y
    (Tensor([0., 0.]), Tensor([1., 0.]))
    """
    source = convert(x)
    return alias(source, source._rec)
