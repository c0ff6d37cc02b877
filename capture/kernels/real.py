"""Real: a floating-point number of a kernel under construction, with operators that write LLVM instructions.

Elementary functions are written with it once for both precisions, as straight lines without calls and branches,
so that loops over them vectorize.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Format(NamedTuple):
    """What a binary floating-point format is made of."""

    width: int  # bits
    fraction: int  # bits after the point
    bias: int  # of the exponent
    magic: float  # adding it to a small number leaves the nearest integer in the lowest bits

    @property
    def least(self) -> float:
        """The smallest normal number."""
        return 2.0 ** (1 - self.bias)


SINGLE = Format(32, 23, 127, 1.5 * 2.0**23)
DOUBLE = Format(64, 52, 1023, 1.5 * 2.0**52)


class Real:
    """A float32 or float64 value; Python numbers beside it become constants of its type."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    @property
    def format(self) -> Format:
        """The format of the value."""
        return SINGLE if str(self.value.type) == "float" else DOUBLE

    def _of(self, value: Any) -> Real:
        return Real(self.builder, value)

    def raw(self, other: Any) -> Any:
        """Return the LLVM value of a number or of another Real."""
        return other.value if isinstance(other, Real) else self.value.type(float(other))

    def constant(self, number: float) -> Real:
        """Return a number of this type."""
        return self._of(self.raw(number))

    def __add__(self, other: Any) -> Real:
        return self._of(self.builder.fadd(self.value, self.raw(other)))

    def __radd__(self, other: Any) -> Real:
        return self._of(self.builder.fadd(self.raw(other), self.value))

    def __sub__(self, other: Any) -> Real:
        return self._of(self.builder.fsub(self.value, self.raw(other)))

    def __rsub__(self, other: Any) -> Real:
        return self._of(self.builder.fsub(self.raw(other), self.value))

    def __mul__(self, other: Any) -> Real:
        return self._of(self.builder.fmul(self.value, self.raw(other)))

    def __rmul__(self, other: Any) -> Real:
        return self._of(self.builder.fmul(self.raw(other), self.value))

    def __truediv__(self, other: Any) -> Real:
        return self._of(self.builder.fdiv(self.value, self.raw(other)))

    def __rtruediv__(self, other: Any) -> Real:
        return self._of(self.builder.fdiv(self.raw(other), self.value))

    def __neg__(self) -> Real:
        return self._of(self.builder.fneg(self.value))

    def __abs__(self) -> Real:
        return self.call("fabs")

    def __lt__(self, other: Any) -> Any:
        return self.builder.fcmp_ordered("<", self.value, self.raw(other))

    def __le__(self, other: Any) -> Any:
        return self.builder.fcmp_ordered("<=", self.value, self.raw(other))

    def __gt__(self, other: Any) -> Any:
        return self.builder.fcmp_ordered(">", self.value, self.raw(other))

    def __ge__(self, other: Any) -> Any:
        return self.builder.fcmp_ordered(">=", self.value, self.raw(other))

    def equals(self, other: Any) -> Any:
        """Tell whether the two are equal; NaN equals nothing."""
        return self.builder.fcmp_ordered("==", self.value, self.raw(other))

    def is_nan(self) -> Any:
        """Tell whether it is not a number."""
        return self.builder.fcmp_unordered("uno", self.value, self.value)

    def call(self, name: str, *others: Any) -> Real:
        """Call the LLVM intrinsic of that name: fabs, floor, rint, sqrt, copysign or pow."""
        kind = self.value.type
        signature = function_type(kind, 1 + len(others))
        function = self.builder.module.declare_intrinsic(f"llvm.{name}", [kind], signature)
        return self._of(self.builder.call(function, [self.value, *[self.raw(other) for other in others]]))

    def fma(self, factor: Any, term: Any) -> Real:
        """Return self * factor + term, rounded once."""
        return self._of(self.builder.fma(self.value, self.raw(factor), self.raw(term)))

    def polynomial(self, coefficients: Sequence[float]) -> Real:
        """Return the sum of coefficients[i] * self**i."""
        total = self.constant(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = total.fma(self, coefficient)
        return total

    def where(self, condition: Any, other: Any) -> Real:
        """Return self where the condition holds, and the other elsewhere."""
        return self._of(self.builder.select(condition, self.value, self.raw(other)))

    def at_least(self, low: float) -> Real:
        """Return self or `low`, whichever is greater; NaN stays."""
        return self.constant(low).where(self < low, self)

    def at_most(self, high: float) -> Real:
        """Return self or `high`, whichever is smaller; NaN stays."""
        return self.constant(high).where(self > high, self)

    def nearest(self) -> Real:
        """Return the nearest integer of a number that is small against the format's magic number."""
        magic = self.format.magic
        return (self + magic) - magic

    def bits(self) -> Any:
        """Return the bits as an integer."""
        return self.builder.bitcast(self.value, integer(self.format.width))

    def from_bits(self, bits: Any) -> Real:
        """Return the number of this type that has these bits."""
        return self._of(self.builder.bitcast(bits, self.value.type))

    def power_of_two(self) -> Real:
        """Return 2**self of an integer that is the exponent of a normal number."""
        made = self.format
        bits = (self + (made.magic + made.bias)).bits()
        return self.from_bits(self.builder.shl(bits, bits.type(made.fraction)))

    def scaled(self, exponent: Real) -> Real:
        """Return self * 2**exponent, rounded once: also where that overflows or is not a normal number."""
        half = (exponent * 0.5).nearest()
        return self * half.power_of_two() * (exponent - half).power_of_two()

    def split(self) -> tuple[Real, Real]:
        """Return m and k with self = m * 2**k and m between √½ and √2; for positive finite numbers."""
        made, builder = self.format, self.builder
        root = self.constant(0.5**0.5).bits()
        tiny = self < made.least
        x = (self * 2.0**made.fraction).where(tiny, self)
        above = builder.sub(builder.add(x.bits(), root.type(made.bias << made.fraction)), root)  # never negative
        k = builder.lshr(above, root.type(made.fraction))
        mask = root.type((1 << made.fraction) - 1)
        m = self.from_bits(builder.add(builder.and_(above, mask), root))
        # As the lowest bits of a number whose last bit is one, k is a number again.
        unit = self.constant(2.0**made.fraction)
        number = self.from_bits(builder.or_(k, unit.bits())) - (2.0**made.fraction + made.bias)
        return m, number - self.constant(made.fraction).where(tiny, 0.0)

    def double(self) -> Real:
        """Return it as a float64."""
        return self._of(self.builder.fpext(self.value, real(64))) if self.format is SINGLE else self

    def single(self) -> Real:
        """Return it as a float32."""
        return self._of(self.builder.fptrunc(self.value, real(32))) if self.format is DOUBLE else self


def llvm() -> Any:
    """Return the module that LLVM instructions are written with."""
    from llvmlite import ir

    return ir


def integer(width: int) -> Any:
    """Return the LLVM integer type of that many bits."""
    return llvm().IntType(width)


def real(width: int) -> Any:
    """Return the LLVM floating-point type of that many bits."""
    return llvm().FloatType() if width == 32 else llvm().DoubleType()


def function_type(kind: Any, inputs: int) -> Any:
    """Return the type of functions of so many numbers of that type."""
    return llvm().FunctionType(kind, [kind] * inputs)
