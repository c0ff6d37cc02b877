"""Short declarations for the common families of ops, for the library's ops and for yours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, binary, broadcast, implements, unary

_PARAMETER = {
    "x": "x : array_like\n    Input.",
    "y": "y : array_like\n    Second input; its shape broadcasts with that of `x`.",
}


def elementwise(
    name: str,
    kernel: str | Callable[..., Any] | None = None,
    *,
    doc: str,
    example: tuple[str, str],
    inputs: str = "x",
    vjp: Any = None,
    no_gradient: str | None = None,
    jvp: Any = None,
    domain: tuple[float, float] | Sequence[tuple[float, float]] = (-2.0, 2.0),
    sample: Callable[[Draw], Sample] | None = None,
    sample_dtype: Any = None,
    infer: Callable[..., Any] | None = None,
    flops: float = 1.0,
    scalar: str | None = None,
    onnx: str | None = None,
    lacks: Callable[[Any], str | None] | None = None,
    kinds: str = "f",
    smooth: int = 2,
    numpy: Sequence[str] = (),
) -> Callable[..., Any]:
    """Declare an elementwise op of one or two inputs, and return its public function.

    Parameters
    ----------
    name : str
        Name of the op and of the function.
    kernel : str or callable, optional
        As for `Op`; the name of the op if not given.
    doc : str
        Summary, and what else users need to know.
    example : tuple of str
        An expression, and what it prints.
    inputs : str
        ``"x"`` or ``"x y"``.
    vjp, no_gradient, jvp, flops, scalar, onnx, lacks, kinds, smooth
        As for `Op`. Forward mode needs no `jvp` of functions that are holomorphic, or real.
    domain : tuple, or one for each input
        Interval in which the function is defined and smooth; tests draw from it.
    sample : callable, optional
        Draws inputs where the domain does not say enough.
    sample_dtype : dtype, optional
        Dtype of samples, where it is not floating point.
    infer : callable, optional
        Shape rule; taken from the NumPy ufunc if not given.
    numpy : sequence of str
        Names of NumPy functions that the op answers for, beside that of `kernel`.

    Returns
    -------
    callable
        ``function(x)`` or ``function(x, y)``; its attribute `op` is the op.

    Examples
    --------
    >>> import eagerflow as ef
    >>> softsign = ef.ops.elementwise(
    ...     "doc_softsign", lambda xp, x: x / (1 + abs(x)),
    ...     vjp=lambda g, x: g / (1 + ef.abs(x)) ** 2, infer=ef.ops.same,
    ...     doc="x / (1 + |x|).", example=("softsign(1.0)", "Tensor(0.5)"))
    >>> ef.grad(softsign)(1.0)
    Tensor(0.25)
    """
    kernel = kernel or name
    arity = len(inputs.split())
    if infer is None:
        infer = ufunc_rule(kernel)
    op = Op(
        name,
        kernel,
        inputs=inputs,
        infer=infer,
        sample=sample or _sampler(arity, domain, sample_dtype),
        vjp=vjp,
        no_gradient=no_gradient,
        jvp=jvp,
        fusion="elementwise",
        flops=flops,
        scalar=scalar,
        onnx=onnx,
        lacks=lacks,
        kinds=kinds,
        smooth=smooth,
    )
    function: Any = unary(op) if arity == 1 else binary(op)
    function.op = op
    for named in (function, getattr(function, "__wrapped__", function)):
        named.__name__ = named.__qualname__ = name
    function.__module__ = sys._getframe(1).f_globals.get("__name__", "__main__")  # where it is pickled from
    function.__doc__ = _document(doc, example, inputs.split())
    names = [*numpy, *([kernel] if isinstance(kernel, str) else [])]
    implements(*[getattr(np, item) for item in names])(function)
    return function


def ufunc_rule(kernel: str | Callable[..., Any]) -> Callable[..., Spec]:
    """Return the shape rule of a NumPy ufunc."""
    ufunc = getattr(np, kernel) if isinstance(kernel, str) else None
    if not isinstance(ufunc, np.ufunc):
        raise ValueError(f"{kernel!r} is no NumPy ufunc; give its shape rule as infer=")

    def infer(*specs: Any) -> Spec:
        dtypes = tuple(_dtype(spec) for spec in specs)
        return Spec(broadcast(*specs), ufunc.resolve_dtypes((*dtypes, None))[-1])

    return infer


def _dtype(spec: Any) -> Any:
    """Return what `resolve_dtypes` takes: types of Python numbers are weak, but it does not know bool."""
    return spec.dtype if isinstance(spec, Spec) else np.dtype(bool) if isinstance(spec, bool) else type(spec)


def _sampler(arity: int, domain: Any, dtype: Any) -> Callable[[Draw], Sample]:
    domains = [domain] * arity if not isinstance(domain[0], tuple) else list(domain)

    def sample(draw: Draw) -> Sample:
        shape = draw.shape()
        shapes = [shape] + [draw.broadcastable(shape) for _ in range(arity - 1)]
        draw.rng.shuffle(shapes)
        arrays = [draw.array(item, low, high, dtype) for item, (low, high) in zip(shapes, domains, strict=True)]
        return Sample(tuple(arrays))

    return sample


def _document(doc: str, example: tuple[str, str], inputs: list[str]) -> str:
    parameters = "\n".join(_PARAMETER[name] for name in inputs)
    call, result = example
    shape = "Of the shape of `x`." if len(inputs) == 1 else "Of the shape that the inputs broadcast to."
    errors = "" if len(inputs) == 1 else "\nRaises\n------\nShapeError\n    The shapes do not broadcast.\n"
    return f"""{doc}

Parameters
----------
{parameters}

Returns
-------
Tensor
    {shape}
{errors}
Examples
--------
>>> import eagerflow as ef
>>> {call}
{result}
"""
