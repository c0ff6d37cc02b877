"""Symbolic lengths: what stands for the length of an axis while a function is traced for all lengths at once.

A `Dim` is an integer polynomial of symbols; floor quotients and remainders that have no simpler form are further
variables of it. Equal expressions have one normal form, so they are equal and hash equal. It also has a hint, the
length that was seen while tracing. A question that the expressions leave open (is N equal to M?) is answered by the
hints, and a guard remembers the answer: for lengths that would answer differently, the trace does not hold. Where
Python or NumPy need the number itself, it is the hint, and the guard says so.

Symbols are at least 2: lengths 0 and 1 broadcast otherwise, so traces never make symbols of them.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from eagerflow.core import polynomials
from eagerflow.core.explain import user_line
from eagerflow.core.guards import Guards
from eagerflow.core.polynomials import Atom, Terms
from eagerflow.core.spec import Spec
from eagerflow.errors import CaptureError

__all__ = [
    "Dim",
    "Guards",
    "Symbolic",
    "SymbolicNumber",
    "broadcast_shapes",
    "evaluate",
    "has_dims",
    "hints",
    "index",
    "is_symbolic",
    "lift",
    "symbol",
    "unify",
]

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def _check(sign: str, left: Any, right: Any, env: Mapping[str, int]) -> bool:
    try:
        return bool(_COMPARE[sign](evaluate(left, env), evaluate(right, env)))
    except ZeroDivisionError:  # for these sizes the question cannot even be asked
        return False


def _check_int(value: Any, expected: int, env: Mapping[str, int]) -> bool:
    try:
        return int(evaluate(value, env)) == expected
    except ZeroDivisionError:
        return False


def _answer(left: Any, sign: str, right: Any, guards: Guards) -> bool:
    """Compare by the hints, and guard the answer."""
    answer = bool(_COMPARE[sign](_hint(left), _hint(right)))
    sign = sign if answer else polynomials.OPPOSITE[sign]
    guards.add(f"{left} {sign} {right}", partial(_check, sign, left, right), user_line())
    return answer


def _both(operation: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    """Return the method of an operator, and the reflected one."""
    return (
        lambda self, other: _calculate(operation, self, other, other),
        lambda self, other: _calculate(operation, other, self, other),
    )


def _compare(sign: str) -> Any:
    return lambda self, other: _compared(sign, self, other)


def _by_number(operation: Callable[..., Any], reflected: bool = False) -> Any:
    """Return the method of an operation that needs the number."""
    if reflected:
        return lambda self, other: operation(other, self.concrete())
    return lambda self, *others: operation(self.concrete(), *map(_concrete, others))


class Symbolic:
    """What `Dim` and `SymbolicNumber` share: operators, and how Python and NumPy get at the number."""

    __slots__ = ("_seen", "guards")
    guards: Guards

    def at(self, env: Mapping[str, Any]) -> Any:
        """Return the number for these sizes of the symbols."""
        raise NotImplementedError

    @property
    def hint(self) -> Any:
        """The number that was seen while tracing."""
        raise NotImplementedError

    def lifted(self) -> Any:
        """Return it as a traced value, or the number if nothing traces."""
        return self.guards.lift(self) if self.guards.lift is not None else self.concrete()

    def concrete(self) -> Any:
        """Return the number, which the trace then holds for alone."""
        _answer(self, "==", self.hint, self.guards)
        return self.hint

    __add__, __radd__ = _both(operator.add)
    __sub__, __rsub__ = _both(operator.sub)
    __mul__, __rmul__ = _both(operator.mul)
    __truediv__, __rtruediv__ = _both(operator.truediv)
    __floordiv__, __rfloordiv__ = _both(operator.floordiv)
    __mod__, __rmod__ = _both(operator.mod)
    __pow__, __rpow__ = _both(operator.pow)
    __lt__, __le__, __gt__, __ge__ = _compare("<"), _compare("<="), _compare(">"), _compare(">=")
    __eq__, __ne__ = _compare("=="), _compare("!=")
    __and__, __or__, __xor__ = _by_number(operator.and_), _by_number(operator.or_), _by_number(operator.xor)
    __lshift__, __rshift__ = _by_number(operator.lshift), _by_number(operator.rshift)
    __rand__, __ror__ = _by_number(operator.and_, True), _by_number(operator.or_, True)
    __rxor__ = _by_number(operator.xor, True)
    __rlshift__, __rrshift__ = _by_number(operator.lshift, True), _by_number(operator.rshift, True)
    __invert__ = _by_number(operator.invert)
    __float__, __complex__ = _by_number(float), _by_number(complex)

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __neg__(self) -> Any:
        return self * -1

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: object) -> Any:
        return self

    def __format__(self, form: str) -> str:
        return format(self.concrete(), form) if form else str(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.concrete(), dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = _PYTHON.get(ufunc.__name__)
        if function is not None and method == "__call__" and not kwargs and all(map(_whole, inputs)):
            return function(*[x if isinstance(x, Symbolic) else int(x) for x in inputs])
        return getattr(ufunc, method)(*[x.lifted() if isinstance(x, Symbolic) else x for x in inputs], **kwargs)


# What NumPy's integers do next to a symbolic number.
_PYTHON = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "floor_divide": operator.floordiv,
    "remainder": operator.mod, "less": operator.lt, "less_equal": operator.le, "greater": operator.gt,
    "greater_equal": operator.ge, "equal": operator.eq, "not_equal": operator.ne,
}  # fmt: skip


class Dim(Symbolic):
    """A symbolic length: computes as an integer does, and its hint is the length seen while tracing.

    Examples
    --------
    >>> from eagerflow.core.dims import Guards, symbol
    >>> guards = Guards()
    >>> n = symbol("N", 8, guards)
    >>> (4 * n + 2) // 2, n + 1 - n, n == 1
    (2*N+1, 1, False)
    >>> n > 5, guards.explain().split(",")[0]
    (True, 'N > 5')
    """

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Terms, guards: Guards) -> None:
        self.terms = terms
        self.guards = guards
        self._seen: int | None = None
        self._hash = hash(frozenset(terms.items()))

    @property
    def hint(self) -> int:
        """The length that was seen while tracing."""
        if self._seen is None:
            self._seen = polynomials.seen(self.terms)
        return self._seen

    @property
    def name(self) -> str | None:
        """The name if it is a plain symbol."""
        ((monomial, factor), *others) = self.terms.items()
        if others or factor != 1 or len(monomial) > 1 or monomial[0][1] > 1 or monomial[0][0].operation is not None:
            return None
        name: str = monomial[0][0].text
        return name

    def at(self, env: Mapping[str, Any]) -> Any:
        """Return the length for these sizes of the symbols."""
        return polynomials.value(self.terms, lambda atom: atom.at(env))

    def __repr__(self) -> str:
        return polynomials.text(self.terms)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return Dim, (self.terms, self.guards)

    def __index__(self) -> int:
        return int(self.concrete())

    __int__ = __index__
    __trunc__ = __floor__ = __ceil__ = Symbolic.__pos__

    def __round__(self, digits: int = 0) -> Any:
        return self


class SymbolicNumber(Symbolic):
    """A number that an operation of symbolic lengths gives, such as ``1 / n``."""

    __slots__ = ("operands", "operation")

    def __init__(self, operation: Callable[..., Any], operands: tuple[Any, ...], guards: Guards) -> None:
        self.operation = operation
        self.operands = operands
        self.guards = guards
        self._seen = operation(*map(_hint, operands))

    @property
    def hint(self) -> Any:
        """The number that was seen while tracing."""
        return self._seen

    def at(self, env: Mapping[str, Any]) -> Any:
        """Return the number for these sizes of the symbols."""
        return self.operation(*[evaluate(x, env) for x in self.operands])

    def __repr__(self) -> str:
        return f" {polynomials.SIGNS[self.operation]} ".join(map(_factor, self.operands))

    def __hash__(self) -> int:
        return hash((self.operation, self.operands))

    def __int__(self) -> int:
        self.guards.add(f"int({self}) == {int(self.hint)}", partial(_check_int, self, int(self.hint)), user_line())
        return int(self.hint)

    __trunc__ = __int__

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.concrete(), digits)

    def __floor__(self) -> Any:
        exact = self.operation is operator.truediv and all(map(_whole, self.operands))
        return self.operands[0] // self.operands[1] if exact else math.floor(self.concrete())

    def __ceil__(self) -> Any:
        exact = self.operation is operator.truediv and all(map(_whole, self.operands))
        return -(-self.operands[0] // self.operands[1]) if exact else math.ceil(self.concrete())


numbers.Integral.register(Dim)
numbers.Real.register(SymbolicNumber)


def _whole(x: Any) -> bool:
    return isinstance(x, Dim | int | np.integer)


def _hint(x: Any) -> Any:
    return x.hint if isinstance(x, Symbolic) else x


def _concrete(x: Any) -> Any:
    return x.concrete() if isinstance(x, Symbolic) else x


def _factor(x: Any) -> str:
    return f"({x})" if isinstance(x, Symbolic) and not (isinstance(x, Dim) and x.name) else str(x)


def _terms(x: Any) -> Terms:
    return x.terms if isinstance(x, Dim) else {(): int(x)} if x else {}


def _dim(terms: Terms, guards: Guards) -> Any:
    """Return a polynomial, or the integer that it is."""
    return Dim(terms, guards) if any(terms) else terms.get((), 0)


_INTEGER: dict[Any, Callable[[Terms, Terms], Terms]] = {
    operator.add: polynomials.add,
    operator.sub: lambda a, b: polynomials.add(a, b, -1),
    operator.mul: polynomials.multiply,
    operator.floordiv: polynomials.floordiv,
    operator.mod: polynomials.mod,
    operator.pow: polynomials.power,
}


def _calculate(operation: Callable[[Any, Any], Any], a: Any, b: Any, other: Any) -> Any:
    guards = (a if other is b else b).guards
    if _whole(a) and _whole(b) and operation in _INTEGER and not (operation is operator.pow and b < 0):
        if operation in (operator.floordiv, operator.mod) and b == 0:
            raise ZeroDivisionError("integer division or modulo by zero")
        return _dim(_INTEGER[operation](_terms(a), _terms(b)), guards)
    if isinstance(other, np.ndarray | np.inexact):  # these have a dtype of their own, which a plain number has not
        return operation(*[x if x is other else x.lifted() for x in (a, b)])
    if not isinstance(other, Symbolic | int | float | complex | np.integer):
        return NotImplemented
    return SymbolicNumber(operation, tuple(int(x) if isinstance(x, np.integer) else x for x in (a, b)), guards)


def _compared(sign: str, me: Symbolic, other: Any) -> Any:
    if not isinstance(other, Symbolic | int | float | np.number):
        return NotImplemented
    if _whole(me) and _whole(other):
        decided = polynomials.decided(sign, polynomials.add(_terms(me), _terms(other), -1))
        if decided is not None:
            return decided
    elif isinstance(other, SymbolicNumber) and repr(me) == repr(other):
        return sign in ("==", "<=", ">=")
    return _answer(me, sign, other.item() if isinstance(other, np.generic) else other, me.guards)


def symbol(name: str, hint: int, guards: Guards) -> Dim:
    """Return the symbolic length `name` of a trace, which saw the length `hint` for it."""
    return Dim({((Atom(name, hint, guards), 1),): 1}, guards)


def is_symbolic(shape: Iterable[Any]) -> bool:
    """Tell whether one of the lengths is symbolic."""
    for side in shape:  # noqa: SIM110  # this is on the way of eager code
        if type(side) is Dim:
            return True
    return False


def lift(value: Any, shape: Iterable[Any]) -> Any:
    """Return a plain Tensor that meets a symbolic length as a value of the trace that the length is of."""
    guards = next(side for side in shape if type(side) is Dim).guards
    if guards.lift is None:
        raise CaptureError(f"the length {shape} is used where nothing is captured\n  at {user_line()}")
    return guards.lift(value)


def broadcast_shapes(*shapes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the shape that these broadcast to.

    Raises
    ------
    ValueError
        They do not broadcast.
    """
    if not any(map(is_symbolic, shapes)):
        return np.broadcast_shapes(*shapes)
    result = []
    for axis in range(-max(map(len, shapes)), 0):
        sides = {shape[axis]: None for shape in shapes if len(shape) >= -axis}  # each once, in their order
        sides.pop(1, None)
        if len(sides) > 1:
            sides = {side: None for side in sides if side != 1}
        # A number, where one is among them: it says more than an expression.
        length = next((side for side in sides if type(side) is int), next(iter(sides), 1))
        if any(side != length for side in sides):
            raise ValueError(f"the shapes {' and '.join(map(str, shapes))} do not broadcast")
        result.append(length)
    return tuple(result)


def index(value: Any) -> Any:
    """Return an integer as `operator.index` does, and a symbolic length as it is."""
    return value if isinstance(value, Dim) else operator.index(value)


def has_dims(value: Any) -> bool:
    """Tell whether symbolic numbers are in a number, a Spec, or nested tuples, lists, dicts and slices of them."""
    if isinstance(value, tuple | list):
        return any(map(has_dims, value))
    if isinstance(value, dict):
        return any(map(has_dims, value.values()))
    if isinstance(value, slice):
        return has_dims((value.start, value.stop, value.step))
    return has_dims(value.shape) if isinstance(value, Spec) else isinstance(value, Symbolic)


def evaluate(value: Any, env: Mapping[str, Any]) -> Any:
    """Return what `has_dims` looks into with the sizes of `env` in place of the symbols.

    Sizes may be symbolic lengths of another trace. What holds no symbol is returned as it is.
    """
    return _replaced(value, lambda x: x.at(env))


def hints(value: Any) -> Any:
    """Return what `has_dims` looks into with the numbers that were seen while tracing."""
    return _replaced(value, lambda x: x.hint)


def _replaced(value: Any, number: Callable[[Any], Any]) -> Any:
    if isinstance(value, Symbolic):
        return number(value)
    if not has_dims(value):
        return value
    if isinstance(value, Spec):
        return Spec(_replaced(value.shape, number), value.dtype)
    if isinstance(value, slice):
        return slice(*[_replaced(x, number) for x in (value.start, value.stop, value.step)])
    if isinstance(value, dict):
        return {key: _replaced(x, number) for key, x in value.items()}
    items = [_replaced(x, number) for x in value]
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def unify(pattern: tuple[Any, ...], shape: tuple[Any, ...], env: dict[str, Any]) -> bool:
    """Tell whether `shape` is of the form `pattern`, and note the sizes of the pattern's symbols in `env`.

    None in the pattern stands for any length; symbols stand for lengths of 2 and more.
    """
    if len(pattern) != len(shape):
        return False
    for side, length in zip(pattern, shape, strict=True):
        name = side.name if isinstance(side, Dim) else None
        if name is not None and (length < polynomials.LEAST or env.setdefault(name, length) != length):
            return False
    try:
        return all(side is None or evaluate(side, env) == length for side, length in zip(pattern, shape, strict=True))
    except KeyError:
        return False  # a symbol that no length tells
