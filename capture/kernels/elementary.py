"""Elementary functions of float32 and float64 numbers, as straight-line code.

float32: at most 4 units in the last place off, everywhere. float64: at most 1, or as NumPy. The polynomials are
minimax approximations, computed for these functions and intervals.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from eagerflow.capture.kernels.real import SINGLE, Real, integer, llvm, real

LN2 = math.log(2)
# ln 2 as a sum: what the first leaves out is in the second.
LN2_PARTS = {32: (0.693145751953125, 1.4286068203094173e-06), 64: (0.6931471804855391, 7.440617110012397e-11)}
LN2_REST = 2.3190468138462996e-17  # ln 2 less the nearest float64

# (e**r - 1 - r) / r**2 for |r| <= ln(2) / 2.
EXP = {
    32: (0.5000000096, 0.166665183, 0.04166620244, 0.00836895388, 0.001395070173),
    64: (
        0.5, 0.16666666666666685, 0.04166666666666673, 0.00833333333331662, 0.0013888888888858558,
        0.00019841269897361927, 2.480158737356999e-05, 2.7557233929241636e-06, 2.755723347351821e-07,
        2.511234860392616e-08, 2.0926915511342845e-09,
    ),
}  # fmt: skip
# (tanh(x) / x - 1) / x**2, in powers of x**2, for |x| <= 0.6: enough for float32.
TANH = (
    -0.3333333134651184, 0.13333246111869812, -0.05395222455263138, 0.02173301950097084, -0.008263474330306053,
    0.002227643970400095,
)  # fmt: skip
# (2 artanh(s) / s - 2) / s**2, in powers of s**2, for s = f / (2 + f), √½ <= 1 + f <= √2.
LOG = {
    32: (0.666666656, 0.4000034552, 0.2853660602, 0.2359627919),
    64: (
        0.6666666666666666, 0.40000000000006697, 0.28571428568941, 0.2222222266866477,
        0.18181773912982283, 0.15387167476571517, 0.13248386595222858, 0.13267086634141473,
    ),
}  # fmt: skip
# erf(x) / x - 1, in powers of x**2, for |x| <= 1.
ERF = {
    32: (
        0.1283791671, -0.3761263848, 0.1128378275, -0.02686544584, 0.005221074909, -0.0008484711773,
        0.0001127054613, -9.680139346e-6,
    ),
    64: (
        0.1283791670955126, -0.37612638903183754, 0.1128379167095512, -0.026866170645129868, 0.005223977625423609,
        -0.0008548327021955926, 0.00012055332903808763, -1.4925647594397373e-05, 1.6462045978746048e-06,
        -1.636464952888257e-07, 1.4792469453107219e-08, -1.21649675634089e-09, 8.710461937312833e-11,
        -4.233124650461926e-12,
    ),
}  # fmt: skip
# -log(erfc(1 + t)) for t up to 3 and 5, where erf is 1 to the last digit.
ERFC = {
    32: (
        1.84960551, 2.638967515, 0.8431070821, 0.0415634789, -0.01004644762, 0.00201196097, -0.000289524885,
        2.168612067e-5,
    ),
    64: (
        1.8496055099332482, 2.6389675142347913, 0.8431072563584938, 0.04156109804624766, -0.010033825429882888,
        0.001977902980301526, -0.00023732446826473912, -2.6271316738760525e-05, 2.7143707698300455e-05,
        -9.582473609014456e-06, 2.026073055216198e-06, -1.105861865487185e-07, -1.2090477962046352e-07,
        6.477660711453977e-08, -2.0105585264870728e-08, 4.419670050844536e-09, -6.997756001020264e-10,
        7.63229418234908e-11, -5.136338873468051e-12, 1.604824488405452e-13,
    ),
}  # fmt: skip
# sin(r) / r - 1 and cos(r) - 1, over r**2 and in powers of it, for |r| <= π / 4: enough for float32 results.
SIN = (-0.16666666666663862, 0.0083333333310633, -0.0001984126690116774, 2.755598607307974e-06, -2.4805181635368686e-08)
COS = (-0.4999999999996359, 0.04166666663719364, -0.001388888507121157, 2.4799855975616784e-05, -2.7236557556147684e-07)


# Exponentials. The limits are beyond those where results overflow or vanish.

LIMITS = {32: (-104.0, 89.0), 64: (-746.0, 710.0)}


def _reduced(x: Real) -> tuple[Real, Real, Real]:
    """Return n, r and a rest with e**x = 2**n * (1 + r + rest)."""
    width = x.format.width
    high, low = LN2_PARTS[width]
    n = (x * (1 / LN2)).nearest()
    near = n.fma(-high, x)  # exact
    r = n.fma(-low, near)
    lost = n.fma(-low, near - r)
    return n, r, (r * r).fma(r.polynomial(EXP[width]), lost)


def _one_and(r: Real, rest: Real) -> Real:
    """Return 1 + r + rest; what rounding takes from the first sum goes to the rest."""
    total = 1.0 + r
    return total + (((1.0 - total) + r) + rest)


def exp(x: Real) -> Real:
    """e**x."""
    low, high = LIMITS[x.format.width]
    x = x.at_most(high).at_least(low)
    if x.format is SINGLE:
        n = (x * (1 / LN2)).nearest()
        return _in_pairs(_rest_of(x, n)).scaled(n)
    n, r, rest = _reduced(x)
    return _one_and(r, rest).scaled(n)


def exp2(x: Real) -> Real:
    """2**x."""
    if x.format is SINGLE:
        return exp2(x.double()).single()
    x = x.at_most(1025.0).at_least(-1080.0)
    n = x.nearest()
    f = x - n
    r = f * LN2
    rest = f.fma(LN2_REST, f.fma(LN2, -r))
    rest = (r * r).fma(r.polynomial(EXP[64]), rest)
    return _one_and(r, rest).scaled(n)


def _expm1_parts(x: Real) -> tuple[Real, Real]:
    """Return e**x - 1 rounded, and what it lacks, for x within the limits of normal numbers."""
    n, r, rest = _reduced(x)
    scale = n.power_of_two()
    whole = scale - 1.0
    moved = scale * r
    total = whole + moved
    lost = scale.fma(rest, moved - (total - whole))
    rounded = total + lost
    return rounded, lost - (rounded - total)


def expm1(x: Real) -> Real:
    """e**x - 1."""
    # Half of it cannot overflow where the whole does not, and -1 is lost beside 2**60.
    large = exp(x)
    small, _ = _expm1_parts(x.at_most(45.0).at_least(-45.0))
    return large.where(x > 44.0, x.where(x.equals(0.0), small))


def tanh(x: Real) -> Real:
    """Hyperbolic tangent: e / (e + 2) with e = exp(2 x) - 1."""
    if x.format is SINGLE:
        return _short_tanh(x)
    size = abs(x).at_most(20.0)
    high, low = _expm1_parts(size + size)
    below = high + 2.0
    lost = (high - (below - 2.0)) + low
    result = high / below
    result = result + ((result.fma(-below, high) + low) - result * lost) / below
    return x.where(size < x.format.least, result.call("copysign", x))


def _short_tanh(x: Real) -> Real:
    """Hyperbolic tangent of a float32: an odd polynomial, and 1 - 2 / (exp(2 x) + 1) where that loses no digits."""
    size = abs(x).at_most(9.5)
    square = size * size
    near = (size * square).fma(square.polynomial(TANH), size)
    twice = size + size
    n = (twice * (1 / LN2)).nearest()
    r = n.fma(-LN2, twice)  # what is left out matters less than exp(-2 x)
    e = _in_pairs(r) * n.power_of_two()
    far = 1.0 - 2.0 / (e + 1.0)
    return near.where(size < 0.6, far).call("copysign", x)


def sigmoid(x: Real) -> Real:
    """1 / (1 + exp(-x))."""
    small = _short_decay(abs(x)) if x.format is SINGLE else exp(-abs(x))
    return small.where(x < 0.0, 1.0) / (1.0 + small)


def _rest_of(x: Real, n: Real) -> Real:
    """Return x - n ln(2) of float32 numbers."""
    high, low = LN2_PARTS[32]
    return n.fma(-low, n.fma(-high, x))


def _in_pairs(r: Real) -> Real:
    """Return exp(r) of a float32 for |r| <= ln(2) / 2, with the terms of the polynomial added in pairs.

    So the chain of operations that wait for each other is shorter, and loops run faster.
    """
    c0, c1, c2, c3, c4 = EXP[32]
    square = r * r
    rest = square.fma(square.fma(c4, r.fma(c3, c2)), r.fma(c1, c0))
    return square.fma(rest, 1.0 + r)


def _short_decay(x: Real) -> Real:
    """exp(-x) of a float32 that is not negative."""
    x = x.at_most(-LIMITS[32][0])
    n = (x * (-1 / LN2)).nearest()
    # Small results are no normal numbers: the power is made 2**64 times as large, which the last product takes back.
    return _in_pairs(_rest_of(-x, n)) * (n + 64.0).power_of_two() * 2.0**-64


def sinh(x: Real) -> Real:
    """Hyperbolic sine of a float32."""
    size = abs(x.double()).at_most(100.0)
    e, _ = _expm1_parts(size)
    result = (0.5 * (e + e / (e + 1.0))).single()
    return x.where(abs(x) < SINGLE.least, result.call("copysign", x))


def cosh(x: Real) -> Real:
    """Hyperbolic cosine of a float32."""
    e = exp(abs(x.double()).at_most(100.0))
    return (0.5 * (e + 1.0 / e)).single()


# Logarithms.


def _log_of(k: Real, f: Real, lost: Any) -> Real:
    """Return log(2**k * (1 + f)) + lost."""
    width = f.format.width
    high, low = LN2_PARTS[width]
    half = 0.5 * f * f
    s = f / (2.0 + f)
    z = s * s
    correction = z * z.polynomial(LOG[width])
    whole = k * high  # exact
    total = whole + f
    rounded = f - (total - whole)
    return total - ((half - s.fma(half + correction, k.fma(low, lost))) - rounded)


def _with_limits(x: Real, result: Real) -> Real:
    """Return the result, or what a logarithm is of numbers that are not positive and finite."""
    bound = x.constant(-math.inf).where(x.equals(0.0), x.constant(math.nan).where(x < 0.0, x))
    return result.where(x.builder.and_(x > 0.0, x < math.inf), bound)


def log(x: Real) -> Real:
    """Natural logarithm."""
    m, k = x.split()
    return _with_limits(x, _log_of(k, m - 1.0, 0.0))


def log1p(x: Real) -> Real:
    """log(1 + x)."""
    u = 1.0 + x
    # What rounding took away from 1 + x, relative to it.
    large = x > 1.0
    lost = ((1.0 - (u - x)).where(large, x - (u - 1.0))) / u
    m, k = u.split()
    result = _log_of(k, m - 1.0, lost)
    return x.where(abs(x) < x.format.least, _with_limits(u, result))


def _log_over(x: Real, unit: float) -> Real:
    return (log(x.double()) * unit).single()


def log2(x: Real) -> Real:
    """Logarithm to base 2 of a float32."""
    return _log_over(x, 1 / LN2)


def log10(x: Real) -> Real:
    """Logarithm to base 10 of a float32."""
    return _log_over(x, 1 / math.log(10))


# The error function.


def erf(x: Real) -> Real:
    """Error function."""
    width = x.format.width
    size = abs(x)
    near = x.fma((x * x).polynomial(ERF[width]), x)
    t = size.at_most(4.0 if width == 32 else 6.0) - 1.0
    n, r, rest = _reduced(-t.polynomial(ERFC[width]))
    far = 1.0 - _one_and(r, rest) * n.power_of_two()
    return near.where(size < 1.0, far.call("copysign", x)).where(x.builder.not_(x.is_nan()), x)


# Powers.


def pow(x: Real, y: Real) -> Real:
    """x**y of float32 numbers."""
    builder = x.builder
    size = abs(x)
    product = y.double() * (log(size.double()) * (1 / LN2))
    value = exp2(product).single()
    # The sign: of a negative base only an integer power exists, and an odd one is negative.
    whole = y.call("floor").equals(y)
    half = y * 0.5
    odd = builder.and_(whole, builder.not_(half.call("floor").equals(half)))
    value = value.call("copysign", x.where(odd, 1.0))
    finite = builder.and_(x < 0.0, x > -math.inf)
    value = value.where(builder.or_(whole, builder.not_(finite)), math.nan)
    # One to any power, and anything to the power of zero, is one, even NaN; so is -1 to an infinite power.
    one = builder.or_(x.equals(1.0), y.equals(0.0))
    one = builder.or_(one, builder.and_(x.equals(-1.0), abs(y).equals(math.inf)))
    value = x.constant(1.0).where(one, value)
    return (x * x).where(y.equals(2.0), value)


# Circular functions of float32 numbers, computed in float64.


@cache
def _turns() -> list[tuple[float, float, float]]:
    """Return 2**s * 2/π modulo 4 for s = 0, 1, … as sums of three numbers, the first two of 29 bits."""
    bits = 240
    # π by Machin's formula, in fixed point.
    unit = 1 << bits

    def arctangent(n: int) -> int:
        total, power, sign, k = 0, unit // n, 1, 1
        while power:
            total += sign * (power // k)
            power //= n * n
            sign, k = -sign, k + 2
        return total

    ratio = (unit << bits) // (2 * (4 * arctangent(5) - arctangent(239)))  # 2 / π = 1 / (2 * (π / 4))
    rows = []
    for s in range(106):
        rest = (ratio << s) % (4 * unit)
        row = []
        for places in (27, 56):
            step = 1 << (bits - places)
            part = (rest + step // 2) // step
            rest -= part * step
            row.append(part / 2**places)
        rows.append((row[0], row[1], rest / unit))
    return rows


def _quarter(x: Real) -> tuple[Real, Real]:
    """Return q and r with x = (4 n + q) π/2 + r, q from -2 to 2; exact enough for all float32 numbers."""
    builder = x.builder
    exponent = builder.and_(builder.lshr(x.bits(), integer(32)(23)), integer(32)(255))
    above = builder.sub(exponent, integer(32)(150))
    shift = builder.select(builder.icmp_signed(">", above, integer(32)(0)), above, integer(32)(0))
    wide = x.double()
    bias = builder.sub(integer(64)(1023), builder.zext(shift, integer(64)))
    m = wide * wide.from_bits(builder.shl(bias, integer(64)(52)))
    high, middle, low = (Real(builder, item) for item in _row(builder, shift))
    a = m * high
    a = a - (a * 0.25).nearest() * 4.0
    b = m * middle
    q = (a + b).nearest()
    return q, (((a - q) + b) + m * low) * (math.pi / 2)


def _row(builder: Any, index: Any) -> list[Any]:
    """Load a row of the table of turns."""
    loaded = []
    for column, numbers in enumerate(zip(*_turns(), strict=True)):
        name = f"eagerflow.turns.{column}"
        table = builder.module.globals.get(name)
        if table is None:
            kind = llvm().ArrayType(real(64), len(numbers))
            table = llvm().GlobalVariable(builder.module, kind, name)
            table.linkage, table.global_constant = "internal", True
            table.initializer = kind([real(64)(number) for number in numbers])
        loaded.append(builder.load(builder.gep(table, [integer(32)(0), index], inbounds=True)))
    return loaded


def _both(r: Real) -> tuple[Real, Real]:
    """Return sine and cosine of |r| <= π/4."""
    z = r * r
    return r.fma(z * z.polynomial(SIN), r), 1.0 + z * z.polynomial(COS)


def sin(x: Real) -> Real:
    """Sine of a float32."""
    q, r = _quarter(x)
    s, c = _both(r)
    odd = abs(q).equals(1.0)
    return x.where(x.equals(0.0), ((c * q).where(odd, s * (1.0 - abs(q)))).single())


def cos(x: Real) -> Real:
    """Cosine of a float32."""
    q, r = _quarter(x)
    s, c = _both(r)
    return ((s * -q).where(abs(q).equals(1.0), c * (1.0 - abs(q)))).single()


def tan(x: Real) -> Real:
    """Tangent of a float32."""
    q, r = _quarter(x)
    s, c = _both(r)
    odd = abs(q).equals(1.0)
    return x.where(x.equals(0.0), (c.where(odd, s) / (-s).where(odd, c)).single())
