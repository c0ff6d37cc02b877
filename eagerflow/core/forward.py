"""Forward mode: tangents travel beside values, by the rule in each op's declaration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from eagerflow.core.leaving import is_followed
from eagerflow.core.pullback import parameters
from eagerflow.core.tape import GradientTape
from eagerflow.core.tensor import Tensor, alias, fitted, is_inexact, zeros_like
from eagerflow.core.traced import Level, Traced, traced

if TYPE_CHECKING:
    from eagerflow.core.op import Op


class Forward:
    """The forward rule of an op: stated, or derived from what else its declaration says.

    Attributes
    ----------
    how : str
        ``linear``, ``stated``, ``elementwise`` (that of the gradient), ``transposed`` (the gradient of the
        gradient), or ``none``.
    """

    __slots__ = ("function", "groups", "how", "names", "op", "rules")

    def __init__(
        self, op: Op, linear: str | None, jvp: Callable[..., Any] | Sequence[Callable[..., Any] | None] | None
    ) -> None:
        if linear is not None and jvp is not None:
            raise ValueError(f"{op.name}: give linear or jvp, not both")
        self.op = op
        self.groups = () if linear is None else _groups(op, linear)
        self.function: Callable[..., Any] | None = None
        self.names: tuple[str, ...] = ()
        self.rules: tuple[tuple[Callable[..., Any], tuple[str, ...]] | None, ...] = ()
        if linear is not None:
            self.how = "linear"
        elif callable(jvp) and parameters(jvp)[:1] == ("tangents",):
            self.how, self.function, self.names = "stated", jvp, parameters(jvp)[1:]
        elif jvp is not None:
            functions = tuple(jvp) if isinstance(jvp, Sequence) else (jvp,)
            if len(functions) != len(op.inputs):
                raise ValueError(f"{op.name}: {len(op.inputs)} inputs but {len(functions)} forward rules")
            for function in functions:
                if function is not None and parameters(function)[:1] != ("t",):
                    raise ValueError(f"{op.name}: the first parameter of a forward rule is t or tangents")
            self.how, self.rules = "stated", tuple(None if f is None else (f, parameters(f)[1:]) for f in functions)
        elif not op.pullbacks:
            self.how = "none"
        elif op.fusion == "elementwise" and op.outputs == 1:
            # Linear in g without conjugation, a gradient function of an elementwise op multiplies by the
            # derivative: that is its own transpose.
            self.how, self.rules = (
                "elementwise",
                tuple(None if p is None else (p.function, p.names) for p in op.pullbacks),
            )
        else:
            self.how = "transposed"

    def __call__(self, primals: list[Any], tangents: list[Any], out: Any, attrs: dict[str, Any]) -> Any:
        """Return the tangent of `out`, or of each of several results; None where nothing moves."""
        op = self.op
        for position, refusal in op.refusals.items():
            if tangents[position] is not None:
                raise refusal.error("derivative")
        if self.how == "linear":
            made = self._linear(primals, tangents, attrs)
        elif self.function is not None:
            made = self.function(tangents, *[_named(op, name, primals, out, attrs, 0) for name in self.names])
        elif self.rules:
            made = self._sum(primals, tangents, out, attrs)
        else:
            made = _transposed(op, primals, tangents, out, attrs) if self.how == "transposed" else None
        if op.outputs == 1:
            return _like(made, out)
        return [None] * len(out) if made is None else [_like(t, y) for t, y in zip(made, out, strict=True)]

    def _linear(self, primals: list[Any], tangents: list[Any], attrs: dict[str, Any]) -> Any:
        total: Any = None
        for group in self._positions(len(primals)):
            if any(tangents[i] is not None for i in group):
                moved = list(primals)
                for i in group:
                    t = tangents[i]
                    moved[i] = _still(primals[i]) if t is None else t
                total = _added(total, self.op(*moved, **attrs))
        return total

    def _positions(self, count: int) -> list[list[int]]:
        """Return the groups of inputs as positions."""
        op = self.op
        found: list[list[int]] = []
        for names, each in self.groups:
            positions: list[int] = []
            for name in names:
                first = op.inputs.index(name)
                positions += range(first, count) if op.variadic and first == op.fixed else [first]
            found += [[i] for i in positions] if each else [positions]
        return found

    def _sum(self, primals: list[Any], tangents: list[Any], out: Any, attrs: dict[str, Any]) -> Any:
        total: Any = None
        for position, t in enumerate(tangents):
            rule = self.rules[min(position, len(self.rules) - 1)]
            if t is not None and rule is not None:
                function, names = rule
                total = _added(
                    total, function(t, *[_named(self.op, name, primals, out, attrs, position) for name in names])
                )
        return total


def _groups(op: Op, linear: str) -> tuple[tuple[tuple[str, ...], bool], ...]:
    groups = []
    for word in linear.split():
        names = tuple(word.lstrip("*").split("+"))
        unknown = [name for name in names if name not in op.inputs]
        if unknown:
            raise ValueError(f"{op.name}: linear names {unknown[0]!r}, which is no input")
        groups.append((names, word.startswith("*")))
    return tuple(groups)


def _added(total: Any, more: Any) -> Any:
    """Return the sum of two tangents, of which None is zero; of several results, of each."""
    if total is None or more is None:
        return more if total is None else total
    if isinstance(more, tuple | list):
        return [_added(a, b) for a, b in zip(total, more, strict=True)]
    return total + more


def _still(x: Any) -> Any:
    """Return the tangent of an input that does not move; ``x * 0`` would be NaN where it is infinite."""
    if type(x) is Tensor:
        return zeros_like(x)
    return x * 0 if isinstance(x, Tensor) else 0


def _named(op: Op, name: str, primals: list[Any], out: Any, attrs: dict[str, Any], position: int) -> Any:
    """Return what a parameter of a rule names."""
    if name == "out":
        return out
    if name == "inputs":
        return primals
    if name == "position":
        return position
    if name in op.inputs:
        first = op.inputs.index(name)
        return primals[first:] if op.variadic and first == op.fixed else primals[first]
    if name in ("shape", "dtype", "device"):
        return getattr(primals[position], name)
    return attrs[name]


def _like(t: Any, out: Any) -> Any:
    """Return a tangent in the shape and dtype of what it is the tangent of."""
    if t is None or not is_inexact(out.dtype):
        return None
    return fitted(t.real if t.dtype.kind == "c" and out.dtype.kind != "c" else t, out)


def _transposed(op: Op, primals: list[Any], tangents: list[Any], out: Any, attrs: dict[str, Any]) -> Any:
    """Return the tangents of the results from the gradient functions of the op."""
    moving = [i for i, t in enumerate(tangents) if t is not None]
    inputs = list(primals)
    for i in moving:
        inputs[i] = alias(primals[i], primals[i]._rec)
    sources = [inputs[i] for i in moving]
    with GradientTape(persistent=True) as tape:
        tape.watch(sources)
        results = op(*inputs, **attrs)
    results = list(results) if op.outputs != 1 else [results]
    places = [i for i, result in enumerate(results) if is_inexact(result.dtype)]
    targets = [results[i] for i in places]
    moved = transpose(
        lambda seeds: tape.gradient(targets, sources, seeds, unconnected="none"), targets, [tangents[i] for i in moving]
    )
    made: list[Any] = [None] * len(results)
    for place, t in zip(places, moved, strict=True):
        made[place] = t
    return made if op.outputs != 1 else made[0]


def transpose(
    gradients_of: Callable[[list[Tensor]], Sequence[Tensor | None]],
    results: list[Tensor],
    tangents: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Return the tangents of results from a function that gives the gradients of sources.

    The function is linear in the gradients of the results that it is given; its own gradient with respect to
    these is the product with the Jacobian (J. Townsend, "A new trick for calculating Jacobian vector products", 2017).
    """
    seeds = [zeros_like(result) for result in results]
    with GradientTape() as tape:
        tape.watch(seeds)
        gradients = gradients_of(seeds)
    pairs = [
        (g, t)
        for g, t in zip(gradients, tangents, strict=True)
        if t is not None and g is not None and g._rec is not None
    ]
    if not pairs:
        return [None] * len(results)
    found: list[Tensor | None] = tape.gradient([g for g, _ in pairs], seeds, [t for _, t in pairs], unconnected="none")
    return found


class Dual(Traced):
    """A value and its tangent: ``_held`` is the pair; the tangent None where it does not move."""

    __slots__ = ()

    @property
    def inside(self) -> Tensor:
        """The value."""
        value: Tensor = self._held[0]
        return value

    @property
    def tangent(self) -> Tensor | None:
        """Its tangent."""
        tangent: Tensor | None = self._held[1]
        return tangent

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self.inside.shape

    def concrete(self, what: str) -> Tensor:
        """Return the value without its tangent."""
        inside = self.inside
        return inside.concrete(what) if isinstance(inside, Traced) else inside

    def numpy(self) -> Any:
        """Return the value as a NumPy array, without its tangent."""
        return self.inside.numpy()

    def _moves(self) -> bool:
        """Tell whether it has a tangent, at this level or below."""
        return (self.tangent is not None and is_inexact(self.dtype)) or is_followed(self.inside)

    def __repr__(self) -> str:
        return f"Tensor({self.inside!r}, tangent={self.tangent!r})"

    def __str__(self) -> str:
        return str(self.inside)


class ForwardLevel(Level):
    """One call of `jvp`."""

    name = "jvp"

    def dual(self, value: Tensor, tangent: Tensor | None) -> Dual:
        """Return a value with its tangent."""
        made: Dual = traced(Dual, (value, tangent), self)
        return made

    def split(self, value: Any) -> tuple[Any, Any]:
        """Return value and tangent of what may be of this level."""
        return value._held if isinstance(value, Dual) and value.level is self else (value, None)

    def compute(self, op: Op, inputs: list[Any], attrs: dict[str, Any]) -> Any:
        """Run the op on the values, and its forward rule on the tangents."""
        pairs = [self.split(x) for x in inputs]
        primals, tangents = [p for p, _ in pairs], [t for _, t in pairs]
        out = op(*primals, **attrs)
        if op.outputs == 1:
            moved = op.forward(primals, tangents, out, attrs) if any(t is not None for t in tangents) else None
            return self.dual(out, moved)
        still = all(t is None for t in tangents)
        several = [None] * len(out) if still else op.forward(primals, tangents, out, attrs)
        return [self.dual(y, t) for y, t in zip(out, several, strict=True)]
