"""Op: everything about an operation, said in one declaration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eagerflow.core import dispatch
from eagerflow.core.dims import Symbolic, broadcast_shapes, hints
from eagerflow.core.fallback import HostFallback, try_sample
from eagerflow.core.forward import Forward
from eagerflow.core.pullback import Pullback, Refusal
from eagerflow.core.spec import Spec
from eagerflow.devices import CPU0
from eagerflow.errors import DeviceError

if TYPE_CHECKING:
    from eagerflow.core.sampling import Draw, Sample
    from eagerflow.devices import Device, Kind

FUSION_CLASSES = ("elementwise", "reduction", "contraction", "view", "opaque")
EFFECTS = ("none", "reads state", "writes state", "random")

_registry: dict[str, Op] = {}


def registry() -> dict[str, Op]:
    """Return the declared ops by name.

    Returns
    -------
    dict
        A copy: declaring an `Op` adds to the registry.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.ops.registry()["where"].signature()
    'where(condition, x, y)'
    """
    return dict(_registry)


class Op:
    """One operation: its kernels, rules and properties. Calling it runs it.

    Parameters
    ----------
    name : str
        Unique name.
    kernel : str or callable
        How it is computed: the name of a function of the array namespace (``"tanh"``,
        ``"linalg.inv"``), or ``kernel(xp, *inputs, **attrs)`` written over the namespace `xp`.
        `register_kernel` overrides it for one device kind.
    inputs : str
        Names of the array inputs, in order: ``"x y"``; ``"x min? max?"`` for some that may be None. The last
        may stand for any number of them: ``"*arrays"``, ``"x *indices"``; its gradient function serves each of
        these.
    infer : callable
        Shape rule: ``infer(*specs, **attrs)`` gives the `Spec` of the result (a tuple of them
        for several results).
    sample : callable
        ``sample(draw)`` gives valid inputs as a `Sample`; tests draw from it.
    vjp : callable or sequence, optional
        Gradient function of each input (None for an input in which the op is constant; text for one in which
        it is not, that says why there is no rule; a single function for the only input). Its parameters say what
        is kept for it: `g` is the gradient of the output; then any of the input names, ``out``, names of
        attributes, ``shape`` and ``dtype`` (of the input that is differentiated), ``position`` (of that input)
        and ``inputs`` (all of a variadic op). Of several outputs, `g` is the list of gradients,
        with None for those that nothing used. It is written in ops and linear in `g`,
        without conjugation: for a holomorphic f it returns ``g * f'(x)``.
    no_gradient : str, optional
        Why there is no gradient; required where `vjp` is not given.
    linear : str, optional
        The inputs in which the op is linear, which is all that forward mode needs of it: ``"x"``;
        ``"x y"`` if in each of them while the others are held (a product); ``"x+y"`` if in both together
        (a sum, a choice between them); the name of inputs of any number if in all of them together,
        with a star if in each of them (``"*arrays"``).
    jvp : callable or sequence, optional
        Forward rule of each differentiable input, where `linear` does not say it: what the tangent `t` of that
        input adds to the tangent of the result (a tuple for several results; None for zero). Parameters as for
        `vjp`, with `t` in place of `g`. A single function whose first parameter is ``tangents`` serves all
        inputs at once; it gets a list with None for inputs that do not move. Elementwise ops need none:
        their rule is that of the gradient. Other ops without one are differentiated forward by transposing
        their gradient, which costs more.
    batch : str or callable, optional
        How the op works on a stack of examples, for `eagerflow.vmap`. ``"leading"``: it works on the last axes and
        treats all others as a stack already, inputs broadcasting against each other. A function
        ``batch(op, size, inputs, batched, attrs)`` gets the inputs, the stacked ones with their examples along the
        first axis, and returns the result (or a tuple) with the examples along the first axis; `batched`
        tells per input whether it is stacked. Elementwise ops need none; without one, other ops run example
        by example.
    fusion : str
        ``elementwise``, ``reduction``, ``contraction``, ``view`` or ``opaque``.
    effects : str
        ``none``, ``reads state``, ``writes state`` or ``random``.
    flops : float or callable, optional
        Cost in floating-point operations: per element of the output (reductions: of the input),
        or ``flops(*specs, **attrs)``. Contractions give the callable.
    scalar : str, optional
        What an elementwise op computes for one element, as an expression of the names of its inputs and attributes;
        captured graphs make fused kernels of it. It may use what `eagerflow.capture.kernels.scalar_math` has. Inputs
        come in the dtype that they promote to, numbers in the expression have it too, and the result is cast
        to the dtype that `infer` says.
    lower : callable, optional
        ``lower(*inputs, **attrs)`` computes the same out of elementwise ops and reductions, on Tensors, so that
        captured graphs can fuse them with their neighbours: a softmax out of a maximum, exponentials and a sum.
    onnx : str, optional
        The ONNX operator that computes the same.
    outputs : int
        Number of results; other than one they come as a tuple. -1: as many as the kernel returns.
    lacks : callable, optional
        For a kernel that needs more than array namespaces have: ``lacks(xp)`` names what the namespace of a kind has
        not, and is None where it has all. Kinds that lack something have no kernel for the op.
    moves : bool
        Whether the result is on the device that the attribute `device` names, not on that of the inputs.
    kinds : str
        Kinds of dtype that gradients are tested with: ``f`` (real), ``fc`` (complex too).
    smooth : int
        Order up to which tests compare derivatives with numeric ones.

    Raises
    ------
    ValueError
        The declaration contradicts itself, or the name is taken.

    Examples
    --------
    >>> import eagerflow as ef
    >>> op = ef.ops.registry()["tanh"]
    >>> op.fusion, op.onnx
    ('elementwise', 'Tanh')
    """

    def __init__(
        self,
        name: str,
        kernel: str | Callable[..., Any],
        *,
        inputs: str,
        infer: Callable[..., Any],
        sample: Callable[[Draw], Sample],
        vjp: Callable[..., Any] | Sequence[Callable[..., Any] | str | None] | None = None,
        no_gradient: str | None = None,
        linear: str | None = None,
        jvp: Callable[..., Any] | Sequence[Callable[..., Any] | None] | None = None,
        batch: str | Callable[..., Any] | None = None,
        fusion: str = "opaque",
        effects: str = "none",
        flops: float | Callable[..., float] = 1.0,
        scalar: str | None = None,
        lower: Callable[..., Any] | None = None,
        onnx: str | None = None,
        outputs: int = 1,
        lacks: Callable[[Any], str | None] | None = None,
        moves: bool = False,
        kinds: str = "f",
        smooth: int = 2,
    ) -> None:
        names = inputs.split()
        if name in _registry:
            raise ValueError(f"there is an op named {name!r} already")
        if fusion not in FUSION_CLASSES or effects not in EFFECTS:
            raise ValueError(f"{name}: unknown fusion class {fusion!r} or effects {effects!r}")
        if (vjp is None) == (no_gradient is None):
            raise ValueError(f"{name}: give either vjp, or no_gradient with the reason why there is none")
        if fusion == "contraction" and not callable(flops):
            raise ValueError(f"{name}: a contraction says its cost as a function of its inputs")
        self.name = name
        self.kernel = kernel
        self.variadic = bool(names) and names[-1].startswith("*")
        self.fixed = len(names) - self.variadic  # inputs before those of any number
        self.inputs = tuple(item.lstrip("*").rstrip("?") for item in names)
        self.optional = frozenset(item.rstrip("?") for item in names if item.endswith("?"))
        self._infer = infer
        self.sample = sample
        self.no_gradient = no_gradient
        self.fusion = fusion
        self.effects = effects
        self.scalar = scalar
        self.lower = lower
        self.onnx = onnx
        self.outputs = outputs
        self.lacks = lacks
        self.moves = moves
        self.kinds = kinds
        self.smooth = smooth
        self._flops = flops
        self.weak = fusion == "elementwise"  # Python scalars stay Python scalars
        functions: tuple[Any, ...] = () if vjp is None else tuple(vjp) if isinstance(vjp, Sequence) else (vjp,)
        self.vjps = functions
        if functions and len(functions) != len(self.inputs):
            raise ValueError(f"{name}: {len(self.inputs)} inputs but {len(functions)} gradient functions")
        self.pullbacks = tuple(Pullback(f, self) if callable(f) else None for f in functions)
        self._rules = tuple(
            Refusal(f, self, self.inputs[i]) if isinstance(f, str) else self.pullbacks[i]
            for i, f in enumerate(functions)
        )
        # What the backward walk calls; the last one serves all inputs of a variadic op.
        self.plain = tuple(None if p is None else p.plain for p in self._rules) or (None,)
        self.tracked = tuple(None if p is None else p.tracked for p in self._rules) or (None,)
        self.arrays: tuple[Any, ...] | None = None
        self._keeps: dict[int, tuple[bool, ...]] = {}
        self.refusals = {i: rule for i, rule in enumerate(self._rules) if isinstance(rule, Refusal)}
        self.forward = Forward(self, linear, jvp)
        if isinstance(batch, str) and batch != "leading":
            raise ValueError(f"{name}: batch is 'leading' or a function, got {batch!r}")
        self.batch = batch
        self._kernels: dict[Kind | str, Callable[..., Any]] = {}
        self._refused: dict[Kind, str] = {}  # by kinds without a kernel: why
        self._into: dict[str, Callable[..., Any] | None] = {}
        self.rebind: list[Callable[[Any], None]] = []  # how to tell callers of another kernel for the CPU
        # The same op in records of traced values, whose gradient functions are never handed arrays.
        self.on_tensors: Op = object.__new__(Op)
        self.on_tensors.__dict__.update(self.__dict__)
        _registry[name] = self

    def __call__(self, *inputs: Any, **attrs: Any) -> Any:
        """Run the op, or hand it to the current interpreter."""
        return dispatch.apply(self, inputs, attrs)

    def __repr__(self) -> str:
        return f"Op({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _registry.__getitem__, (self.name,)

    def pullback(self, position: int) -> Pullback | None:
        """Return the gradient function of the input at `position`, or None."""
        if not self.pullbacks:
            return None
        return self.pullbacks[min(position, len(self.pullbacks) - 1)]

    def passes(self, position: int) -> bool:
        """Tell whether a gradient passes to the input at `position`, or would if there were a rule."""
        return bool(self._rules) and self._rules[min(position, len(self._rules) - 1)] is not None

    def why_not(self, position: int) -> str:
        """Return why there is no gradient function of the input at `position`."""
        rule = self._rules[min(position, len(self._rules) - 1)] if self._rules else None
        return rule.reason if isinstance(rule, Refusal) else self.no_gradient or "it is constant in this input"

    def let_gradients_run_on_arrays(self) -> None:
        """Hand the gradient functions bare NumPy arrays where no tape follows what they do.

        It saves what Tensors cost around each kernel. They must use what Tensors and arrays
        share (operators, methods, ops), and never write to what they are given.
        """
        if not self.moves:
            self.arrays = tuple(None if p is None else p.arrays for p in self._rules) or (None,)

    def keep(self, mask: int, count: int) -> tuple[bool, ...]:
        """Tell per input, then for the output, what the gradient keeps.

        Bit i of `mask` says that a tape follows input i of `count`.
        """
        # Of inputs of any number it does not matter which are followed: the table stays small.
        key = mask if not self.variadic else count << self.fixed | mask & (1 << self.fixed) - 1
        kept = self._keeps.get(key)
        if kept is None:
            wanted: set[int] = set()
            for position in range(count):
                pullback = self.pullback(position)
                if pullback is not None and (position >= self.fixed or mask >> position & 1):
                    wanted |= pullback.keeps(count)
            kept = self._keeps[key] = tuple(slot in wanted for slot in range(count + 1))
        return kept

    def register_kernel(self, kind: str, kernel: Callable[..., Any], into: Callable[..., Any] | None = None) -> None:
        """Use `kernel(*inputs, **attrs)` for devices of the kind named `kind`.

        Parameters
        ----------
        kind : str
            Name of a device kind.
        kernel : callable
            Takes and returns arrays of that kind.
        into : callable, optional
            ``into(*inputs, out, **attrs)`` computes the same into an array that is given, of the result's shape and
            dtype and contiguous. Plans of captured functions use it to make no new arrays. It must not read an input
            after it wrote to `out`, except where an op is elementwise.
        """
        self._kernels[kind] = kernel
        self._into[kind] = into
        for known in [key for key in self._kernels if not isinstance(key, str)]:
            del self._kernels[known]
        self._refused.clear()
        for rebind in self.rebind:
            rebind(self.kernel_for(CPU0))

    def kernel_for(self, device: Device) -> Callable[..., Any]:
        """Return the function that computes this op on arrays of the device.

        Raises
        ------
        DeviceError
            The device's kind has no kernel for this op.
        """
        kernel = self._kernels.get(device.kind)
        if kernel is None:
            kernel = self._kernels.get(device.kind.name) or self._bind(device)
            self._kernels[device.kind] = kernel
        return kernel

    def into_for(self, device: Device) -> Callable[..., Any] | None:
        """Return the function that computes this op into given memory, or None: ``into(*inputs, out, **attrs)``.

        NumPy's own functions of elements take such an array after their inputs.
        """
        known = device.kind.name
        if known in self._into:
            return self._into[known]
        kernel = self.kernel_for(device)
        return kernel if isinstance(kernel, np.ufunc) and kernel.nout == 1 else None

    def _bind(self, device: Device) -> Callable[..., Any]:
        kind = device.kind
        if kind in self._refused:
            raise DeviceError(self._refused[kind])
        try:
            kernel = self._over(kind.namespace, kind.name)
            if not kind.complete and not kind.host_fallback:
                try_sample(self, kernel, kind)
        except DeviceError as error:
            if not kind.host_fallback:
                self._refused[kind] = message = f"{self.name}: {str(error).removeprefix(f'{self.name}: ')}"
                raise DeviceError(message) from error
            kernel = None
        return HostFallback(self, kernel, kind) if kind.host_fallback else kernel

    def _over(self, namespace: Any, kind: str) -> Any:
        """Return the kernel over the namespace of a kind."""
        lacking = None if self.lacks is None else self.lacks(namespace)
        if lacking is not None:
            raise DeviceError(
                f"devices of kind {kind!r} have no kernel: there is no {lacking}; "
                "compute it on the CPU with x.to('cpu')"
            )
        if not isinstance(self.kernel, str):
            return partial(self.kernel, namespace)
        found = namespace
        for part in self.kernel.split("."):
            found = getattr(found, part, None)
        if found is None:
            raise DeviceError(f"devices of kind {kind!r} have no kernel {self.kernel!r}")
        return found

    def infer(self, *specs: Any, **attrs: Any) -> Any:
        """Return the `Spec` of the result, a tuple of them for several; symbolic numbers are to it as Python's are."""
        return self._infer(*[x.hint if isinstance(x, Symbolic) else x for x in specs], **attrs)

    def cost(self, *specs: Any, **attrs: Any) -> tuple[float, int]:
        """Return the expected FLOPs, and the bytes read and written; for the lengths seen, where some are symbolic."""
        specs, attrs = hints((specs, attrs))
        result = self.infer(*specs, **attrs)
        results = result if isinstance(result, tuple) else (result,)
        moved = 0 if self.fusion == "view" else sum(getattr(spec, "nbytes", 0) for spec in (*specs, *results))
        if callable(self._flops):
            return float(self._flops(*specs, **attrs)), moved
        if self.fusion == "view":
            return 0.0, moved
        elements = specs[0].size if self.fusion == "reduction" and specs else sum(spec.size for spec in results)
        return self._flops * elements, moved

    def signature(self) -> str:
        """Return the call as text: ``where(condition, x, y)``."""
        names = [item if i < self.fixed else f"*{item}" for i, item in enumerate(self.inputs)]
        return f"{self.name}({', '.join(names)})"


# By NumPy function: what computes it on Tensors. `np.sin(t)` finds its way through this table.
numpy_functions: dict[Any, Callable[..., Any]] = {}


def implements(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let the decorated function answer for NumPy functions that are called with a Tensor.

    Examples
    --------
    >>> import numpy as np
    >>> import eagerflow as ef
    >>> np.tanh(ef.zeros(2))
    Tensor([0., 0.])
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for key in functions:
            numpy_functions[key] = function
        return function

    return register


def same(*specs: Any, **attrs: Any) -> Spec:
    """Shape rule of elementwise ops: shapes broadcast, dtypes promote, Python scalars are weak.

    Parameters
    ----------
    *specs : Spec or Python scalar
        The inputs.
    **attrs
        Attributes of the op, which do not matter here.

    Returns
    -------
    Spec
        That of the result.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.ops.same(ef.ops.Spec((2, 1), "float32"), ef.ops.Spec((3,), "float32"), 1.0)
    float32[2, 3]
    """
    return Spec(broadcast(*specs), np.result_type(*[getattr(spec, "dtype", spec) for spec in specs]))


def broadcast(*specs: Any) -> tuple[int, ...]:
    """Return the shape that the shapes of the specs broadcast to; Python scalars have none.

    Parameters
    ----------
    *specs : Spec or Python scalar
        The inputs.

    Returns
    -------
    tuple of int
        The common shape.

    Raises
    ------
    ValueError
        They do not broadcast; where ops run it becomes a `ShapeError`.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.ops.broadcast(ef.ops.Spec((2, 1), "float64"), ef.ops.Spec((3,), "float64"), 1.0)
    (2, 3)
    """
    return broadcast_shapes(*[getattr(spec, "shape", ()) for spec in specs])
