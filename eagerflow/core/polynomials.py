"""Integer polynomials of symbols in a normal form: the arithmetic of symbolic lengths.

What has no form as a polynomial, a floor quotient that leaves a rest, say, is an atom as the symbols are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

# Symbols are at least this large.
LEAST = 2
SIGNS: dict[Any, str] = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
    operator.mod: "%", operator.pow: "**",
}  # fmt: skip


class Atom:
    """A symbol, or what an operation on two polynomials gives that has no simpler form."""

    __slots__ = ("high", "home", "left", "low", "operation", "right", "seen", "text")

    def __init__(self, text: str, seen: int, home: Any) -> None:
        self.text = text
        self.seen = seen
        self.home = home  # where a symbol belongs: equal names elsewhere mean something else
        self.operation: Callable[[Any, Any], Any] | None = None
        self.left: Terms = {}
        self.right: Terms = {}
        self.low: float = LEAST
        self.high: float = math.inf

    @classmethod
    def of(cls, operation: Callable[[Any, Any], Any], left: Terms, right: Terms) -> Atom:
        """Return what the operation gives."""
        home = next(atom.home for terms in (left, right) for product in terms for atom, _ in product)
        seen = operation(value(left, _seen), value(right, _seen))
        made = cls(f"{_operand(left)}{SIGNS[operation]}{_operand(right)}", seen, home)
        made.operation, made.left, made.right = operation, left, right
        made.low, made.high = made._range()
        return made

    def _range(self) -> tuple[float, float]:
        (low, high), (least, most) = bounds(self.left), bounds(self.right)
        if least <= 0:
            return -math.inf, math.inf
        if self.operation is operator.mod:
            return 0, min(most - 1, high) if low >= 0 else most - 1
        if self.operation is operator.pow:
            return (1, math.inf) if low >= 1 else (-math.inf, math.inf)
        smallest = low // (least if low < 0 else most) if abs(low) < math.inf else low
        largest = high // (least if high >= 0 else most) if abs(high) < math.inf else high
        return int(smallest) if abs(smallest) < math.inf else smallest, largest

    def at(self, env: Mapping[str, Any]) -> Any:
        """Return its value for these sizes of the symbols."""
        if self.operation is None:
            return env[self.text]
        return self.operation(value(self.left, lambda atom: atom.at(env)), value(self.right, lambda atom: atom.at(env)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and self.text == other.text and self.home is other.home

    def __hash__(self) -> int:
        return hash((self.text, id(self.home)))

    def __reduce__(self) -> tuple[Any, ...]:
        if self.operation is None:
            return Atom, (self.text, self.seen, self.home)
        return Atom.of, (self.operation, self.left, self.right)


# A product of atoms, each with its power, in the order of their texts; a sum of products with their factors.
Product = tuple[tuple[Atom, int], ...]
Terms = dict[Product, int]


def number(x: int) -> Terms:
    """Return an integer as a polynomial."""
    return {(): x} if x else {}


def seen(terms: Terms) -> int:
    """Return the value for the sizes that were seen while tracing."""
    return int(value(terms, _seen))


def _seen(atom: Atom) -> int:
    return atom.seen


def _operand(terms: Terms) -> str:
    found = text(terms)
    return found if found.isalnum() else f"({found})"


def add(a: Terms, b: Terms, sign: int = 1) -> Terms:
    """Return a + b, or a - b."""
    made = dict(a)
    for product, factor in b.items():
        made[product] = made.get(product, 0) + sign * factor
    return {product: factor for product, factor in made.items() if factor}


def multiply(a: Terms, b: Terms) -> Terms:
    """Return a * b."""
    made: Terms = {}
    for first, factor in a.items():
        for second, other in b.items():
            powers = dict(first)
            for atom, power in second:
                powers[atom] = powers.get(atom, 0) + power
            product = tuple(sorted(powers.items(), key=lambda item: item[0].text))
            made[product] = made.get(product, 0) + factor * other
    return {product: factor for product, factor in made.items() if factor}


def divide(a: Terms, b: Terms) -> tuple[Terms, Terms]:
    """Return q and r with a = q * b + r, and r as simple as may be."""
    lead = max(b, key=order)
    quotient: Terms = {}
    rest, left = a, dict(a)
    while left:
        product = max(left, key=order)
        ratio = _ratio(product, lead)
        times = 0 if ratio is None else left[product] // b[lead]
        if ratio is not None and times:
            quotient = add(quotient, {ratio: times})
            step = multiply({ratio: times}, b)
            rest, left = add(rest, step, -1), add(left, step, -1)
        if product in left:
            if len(b) > 1:
                return {}, a  # by a sum, only what divides without a rest
            del left[product]
    return quotient, rest


def _ratio(a: Product, b: Product) -> Product | None:
    """Return a / b, or None where b does not divide a."""
    powers = dict(a)
    for atom, power in b:
        powers[atom] = powers.get(atom, 0) - power
    if min(powers.values(), default=0) < 0:
        return None
    return tuple([(atom, power) for atom, power in powers.items() if power])


def order(product: Product) -> tuple[int, list[str]]:
    """Return what products are ordered by: their degree, then their atoms."""
    texts = [atom.text for atom, power in product for _ in range(power)]
    return len(texts), texts


def bounds(terms: Terms) -> tuple[float, float]:
    """Return numbers below which and above which the polynomial never is."""
    low, high = _interval(terms)
    if abs(low) == abs(high) == math.inf:
        # What a quotient is in one part of the sum may be made up for in another: N - N//2.
        low = max(low, _without_quotients(terms))
        high = min(high, -_without_quotients(add({}, terms, -1)))
    return low, high


def _without_quotients(terms: Terms) -> float:
    """Return a number below which the polynomial never is, by a/c - 1 < a//c <= a/c."""
    for product, factor in terms.items():
        atom = product[0][0] if len(product) == 1 and product[0][1] == 1 else None
        below = _constant(atom.right) if atom is not None and atom.operation is operator.floordiv else None
        if atom is not None and below:
            rest = {other: below * k for other, k in terms.items() if other != product}
            bound = atom.left if factor < 0 else add(atom.left, number(below - 1), -1)
            low = bounds(add(rest, multiply(bound, number(factor))))[0]
            return low if low == -math.inf else -(-int(low) // below)
    return -math.inf


def _interval(terms: Terms) -> tuple[float, float]:
    shifted: Terms = {}  # the same, of atoms that begin at 0
    for product, factor in terms.items():
        part: Terms = {(): factor}
        for atom, power in product:
            if atom.low == -math.inf:
                return -math.inf, math.inf
            for _ in range(power):
                part = multiply(part, {((atom, 1),): 1, (): int(atom.low)})
        shifted = add(shifted, part)
    low: float = shifted.pop((), 0)
    high = low
    for product, factor in shifted.items():
        reaches = [(atom.high - atom.low) ** power for atom, power in product]
        reach = factor * math.prod(reaches) if all(reaches) else 0
        low, high = (low, high + reach) if factor > 0 else (low + reach, high)
    return low, high


def text(terms: Terms) -> str:
    """Return it as it is written: ``2*N+1``."""
    parts = []
    for product, factor in sorted(terms.items(), key=lambda item: order(item[0]), reverse=True):
        alone = len(product) == 1 and product[0][1] == factor == 1
        names = [
            (atom.text if atom.operation is None or alone else f"({atom.text})") + (f"**{power}" if power > 1 else "")
            for atom, power in product
        ]
        if not names or abs(factor) > 1:
            names.insert(0, str(abs(factor)))
        parts.append(("-" if factor < 0 else "+") + "*".join(names))
    return "".join(parts).removeprefix("+") or "0"


def value(terms: Terms, of: Callable[[Atom], Any]) -> Any:
    """Return the value, with that of each atom from `of`."""
    return sum([math.prod([of(atom) ** power for atom, power in product], start=k) for product, k in terms.items()])


def floordiv(a: Terms, b: Terms) -> Terms:
    """Return a // b, where b is not 0."""
    divisor = _constant(b)
    if divisor is not None and divisor < 0:
        a, b, divisor = add({}, a, -1), add({}, b, -1), -divisor
    whole, rest = divide(a, b)
    if _within(rest, b):
        return whole
    if divisor is not None:
        # (g*x + r) // (g*b) is x // b where 0 <= r < g, and (x // c + r) // b is (x + r*c) // (b*c).
        common = math.gcd(divisor, *[factor for product, factor in rest.items() if product])
        divisor //= common
        rest = {product: factor // common for product, factor in rest.items() if factor // common}
        inner = [(product, factor) for product, factor in rest.items() if product]
        atom = inner[0][0][0][0]
        if inner == [(((atom, 1),), 1)] and atom.operation is operator.floordiv:
            below = _constant(atom.right)
            if below is not None:
                shift = number(rest.get((), 0) * below)
                return add(whole, floordiv(add(atom.left, shift), number(divisor * below)))
        if divisor == 1:
            return add(whole, rest)
        b = number(divisor)
    return add(whole, {((Atom.of(operator.floordiv, rest, b), 1),): 1})


def mod(a: Terms, b: Terms) -> Terms:
    """Return a % b, where b is not 0."""
    divisor = _constant(b)
    if divisor is not None and divisor < 0:
        return add({}, mod(add({}, a, -1), add({}, b, -1)), -1)
    rest = divide(a, b)[1]
    return rest if _within(rest, b) else {((Atom.of(operator.mod, rest, b), 1),): 1}


def power(a: Terms, b: Terms) -> Terms:
    """Return a ** b, where b is not negative."""
    exponent = _constant(b)
    if exponent is None:
        return {((Atom.of(operator.pow, a, b), 1),): 1}
    made = number(1)
    for _ in range(exponent):
        made = multiply(made, a)
    return made


def _constant(terms: Terms) -> int | None:
    return None if any(terms) else terms.get((), 0)


def _within(rest: Terms, b: Terms) -> bool:
    """Tell whether 0 <= rest < b for sure."""
    return bounds(rest)[0] >= 0 and bounds(add(b, rest, -1))[0] > 0


OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


def decided(sign: str, terms: Terms) -> bool | None:
    """Compare with 0, or return None where that depends on the sizes."""
    if sign in (">=", ">", "!="):
        opposite = decided(OPPOSITE[sign], terms)
        return None if opposite is None else not opposite
    low, high = bounds(terms)
    if sign == "==":
        common = math.gcd(*[factor for product, factor in terms.items() if product])
        never = low > 0 or high < 0 or bool(common and terms.get((), 0) % common)
        return False if never else True if low == high == 0 else None
    below, not_below = (high < 0, low >= 0) if sign == "<" else (high <= 0, low > 0)
    return True if below else False if not_below else None
