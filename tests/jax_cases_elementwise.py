"""Cases that are compared with JAX: element-wise functions, real and complex, and special functions."""

from __future__ import annotations

import numpy as np

from jax_cases import Case, cplx, named, real

X, Y = real(3, 4), real(3, 4, seed=1)
UNIT = real(3, 4, low=-0.9, high=0.9)
POSITIVE, POSITIVE_TOO = real(3, 4, low=0.3, high=3.0), real(3, 4, low=0.3, high=3.0, seed=1)
OPEN = real(3, 4, low=0.1, high=0.9)  # between 0 and 1
ROW = real(4, seed=2)
Z, W = cplx(3, 4), cplx(3, 4, seed=3)
SMALL = cplx(3, 4, low=-0.6, high=0.6)
MASK = X > 0

REAL: dict[str, Case] = {
    **named("sin cos tan sinh cosh tanh arctan arcsinh exp exp2 expm1 square negative positive sinc abs", X),
    **named("sign floor ceil rint trunc round radians degrees angle", X),
    **named("arcsin arccos arctanh", UNIT),
    **named("log log2 log10 log1p sqrt cbrt reciprocal", POSITIVE, note=", positive"),
    **named("arccosh", POSITIVE + 1),
    **named("nan_to_num", X),
    **named("add subtract multiply divide maximum minimum fmax fmin hypot arctan2 copysign logaddexp logaddexp2", X, Y),
    **named("subtract divide maximum", X, ROW, note=", broadcast"),
    **named("floor_divide remainder fmod", X, POSITIVE),
    **named("power float_power", POSITIVE, Y),
    **named("heaviside", X, Y),
    "power, integer exponent": (lambda xp, x: x**3, X),
    "power, square": (lambda xp, x: x**2, X),
    "power, negative exponent": (lambda xp, x: x**-2, X),
    "power, fraction": (lambda xp, x: x**0.7, POSITIVE),
    "power, scalar base": (lambda xp, x: 1.7**x, X),
    "divmod": (lambda xp, x, y: xp.divmod(x, y)[1], X, POSITIVE),
    "modf": (lambda xp, x: xp.modf(x), X),
    "frexp": (lambda xp, x: xp.frexp(x)[0], X),
    "ldexp": (lambda xp, x: xp.ldexp(x, np.arange(4)), X),
    "clip": (lambda xp, x: xp.clip(x, -1.0, 1.5), X),
    "clip, array bounds": (lambda xp, x, low, high: xp.clip(x, low, high), X, Y - 1, Y + 1),
    "where": (lambda xp, x, y: xp.where(MASK, x, y), X, Y),
    "where, broadcast": (lambda xp, x, y: xp.where(x > y, x * y, y), X, ROW),
    "select": (lambda xp, x, y: xp.select([x > 1, x < y], [x * x, y * x], x), X, Y),
    "piecewise": (lambda xp, x: xp.piecewise(x, [x < 0, x >= 0], [lambda t: t * t, lambda t: 3 * t]), X),
    "choose": (lambda xp, x, y: xp.choose(MASK.astype(int), [x, y], mode="clip"), X, Y),
    "operators": (lambda xp, x, y: -x + y * 2 - (1 - x) / 3 + 2 / (y * y + 1), X, Y),
    "nested": (lambda xp, x: xp.exp(xp.sin(x) * xp.tanh(x)) / (1 + x * x), X),
}

COMPLEX: dict[str, Case] = {
    **named("sin cos tan sinh cosh tanh exp expm1 square negative reciprocal sqrt log log2 log10 log1p", Z,
            note=", complex"),
    **named("arcsin arccos arctan arcsinh arctanh exp2", SMALL, note=", complex"),
    **named("real imag conj abs angle", Z, note=", complex"),
    **named("add subtract multiply divide power", Z, W, note=", complex"),
    **named("multiply divide power", POSITIVE, Z, note=", real and complex"),
    "power, integer exponent, complex": (lambda xp, z: z**3, Z),
    "power, negative exponent, complex": (lambda xp, z: z**-1, Z),
    "where, complex": (lambda xp, z, w: xp.where(MASK, z, w), Z, W),
    "squared modulus": (lambda xp, z: xp.abs(z) ** 2, Z),
    "polar": (lambda xp, r, phi: r * xp.exp(1j * phi), POSITIVE, X),
    "parts": (lambda xp, z: z.real * z.imag + 1j * z.real**2, Z),
    "not holomorphic": (lambda xp, z, w: xp.conj(z) * w + z * xp.abs(w), Z, W),
}  # fmt: skip

SPECIAL: dict[str, Case] = {
    **named("erf erfc expit log_ndtr ndtr i0e", X, prefix="special."),
    **named("gammaln gamma digamma entr", POSITIVE, prefix="special."),
    **named("erfinv logit ndtri", OPEN, prefix="special."),
    **named("betaln xlogy xlog1py kl_div rel_entr", POSITIVE, POSITIVE_TOO, prefix="special."),
    "special.gammaln, negative": (lambda xp, x: xp.special.gammaln(x), -OPEN),
    "special.digamma, negative": (lambda xp, x: xp.special.digamma(x), -OPEN),
    "special.betainc": (lambda xp, x: xp.special.betainc(2.0, 3.0, x), OPEN),
    "special.gammainc": (lambda xp, x: xp.special.gammainc(0.7, x), OPEN),
    "special.multigammaln": (lambda xp, x: xp.special.multigammaln(x, 3), POSITIVE + 2),
    "special.polygamma": (lambda xp, x: xp.special.polygamma(1, x), POSITIVE),
    "special.logsumexp": (lambda xp, x: xp.special.logsumexp(x, axis=1), X),
    "special.softmax": (lambda xp, x: xp.special.softmax(x, axis=0), X),
    "special.log_softmax": (lambda xp, x: xp.special.log_softmax(x), X),
}

NN: dict[str, Case] = {
    **named("relu elu softplus sigmoid log_sigmoid silu leaky_relu softmax log_softmax", X, prefix="nn."),
    "nn.gelu": (lambda xp, x: xp.nn.gelu(x, approximate=False), X),
    "nn.gelu, approximate": (lambda xp, x: xp.nn.gelu(x, approximate=True), X),
    "nn.softmax, axis 0": (lambda xp, x: xp.nn.softmax(x, axis=0), X),
    "nn.log_softmax, axis 0": (lambda xp, x: xp.nn.log_softmax(x, axis=0), X),
    "cross entropy": (lambda xp, x: -xp.mean(xp.nn.log_softmax(x, axis=-1)[np.arange(3), np.array([1, 0, 3])]), X),
}

CASES: dict[str, Case] = {**REAL, **COMPLEX, **SPECIAL, **NN}
