"""Functions: the text that comes before every CUDA kernel: types, functions of one element, reductions.

The source of scalar expressions is Python and C++ at once: `float32(x)` is a conversion in both. So the types bear
NumPy's names, and compute as NumPy does: integers wrap around, where C++ leaves open what signed ones do.
"""

from __future__ import annotations

# Functions of CUDA that take one or two numbers, by our name: CUDA's of float64; that of float32 has an f behind it.
# Off by at most 4 units in the last place in float32 and 2 in float64.
UNARY = {
    **{name: name for name in (
        "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "tanh", "sinh", "cosh", "erf", "erfc", "sin", "cos",
        "tan", "asin", "acos", "atan", "asinh", "acosh", "atanh", "cbrt", "sqrt", "floor", "ceil", "trunc", "rint",
    )},
    "abs": "fabs",
}  # fmt: skip
BINARY = {"pow": "pow", "copysign": "copysign", "atan2": "atan2", "hypot": "hypot", "fmod": "fmod"}

TYPES = """\
template <class S, class U> struct Wrapping {
    S value;
    Wrapping() = default;
    template <class T> __device__ explicit Wrapping(T x) : value(S(x)) {}
    __device__ operator S() const { return value; }
    friend __device__ Wrapping operator+(Wrapping a, Wrapping b) { return Wrapping(U(a.value) + U(b.value)); }
    friend __device__ Wrapping operator-(Wrapping a, Wrapping b) { return Wrapping(U(a.value) - U(b.value)); }
    friend __device__ Wrapping operator*(Wrapping a, Wrapping b) { return Wrapping(U(a.value) * U(b.value)); }
    friend __device__ Wrapping operator-(Wrapping a) { return Wrapping(U(0) - U(a.value)); }
};
typedef Wrapping<signed char, unsigned> int8;
typedef Wrapping<short, unsigned> int16;
typedef Wrapping<int, unsigned> int32;
typedef Wrapping<long long, unsigned long long> int64;
typedef Wrapping<unsigned char, unsigned> uint8;
typedef Wrapping<unsigned short, unsigned> uint16;
typedef Wrapping<unsigned, unsigned> uint32;
typedef Wrapping<unsigned long long, unsigned long long> uint64;
// Of 16 bits: stored and read; computed with as float32.
struct float16 {
    unsigned short bits;
    float16() = default;
    __device__ explicit float16(float x) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
    __device__ operator float() const {
        float x;
        asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
        return x;
    }
};
struct bfloat16 {
    unsigned short bits;
    bfloat16() = default;
    __device__ explicit bfloat16(float x) {
        const unsigned all = __float_as_uint(x);
        bits = x != x ? 0x7fc0 : (all + 0x7fff + (all >> 16 & 1)) >> 16;
    }
    __device__ operator float() const { return __uint_as_float(unsigned(bits) << 16); }
};
typedef float float32;
typedef double float64;
const bool True = true, False = false;
struct Infinity { __device__ operator double() const { return __longlong_as_double(0x7ff0000000000000LL); } };
struct NotANumber { __device__ operator double() const { return __longlong_as_double(0x7ff8000000000000LL); } };
__device__ const struct { Infinity inf; NotANumber nan; } np = {};
"""

FUNCTIONS = """\
template <class T> __device__ T where(bool condition, T a, T b) { return condition ? a : b; }
// What & and | give of truth values is an integer in C++.
__device__ inline bool where(bool condition, bool a, int b) { return condition ? a : b != 0; }
__device__ inline bool where(bool condition, int a, bool b) { return condition ? a != 0 : b; }
template <class T> __device__ T abs(T x) { return x < T(0) ? -x : x; }
template <class T> __device__ T floor(T x) { return x; }
template <class T> __device__ T ceil(T x) { return x; }
template <class T> __device__ T trunc(T x) { return x; }
template <class T> __device__ T rint(T x) { return x; }
template <class T> __device__ bool isnan(T x) { return x != x; }
template <class T> __device__ bool isinf(T x) { return false; }
template <class T> __device__ bool isfinite(T x) { return true; }
template <class T> __device__ bool signbit(T x) { return x < T(0); }
__device__ inline bool isinf(float x) { return fabsf(x) == float(np.inf); }
__device__ inline bool isinf(double x) { return ::fabs(x) == double(np.inf); }
__device__ inline bool isfinite(float x) { return fabsf(x) < float(np.inf); }
__device__ inline bool isfinite(double x) { return ::fabs(x) < double(np.inf); }
__device__ inline bool signbit(float x) { return copysignf(1.0f, x) < 0.0f; }
__device__ inline bool signbit(double x) { return ::copysign(1.0, x) < 0.0; }
template <class T> __device__ bool truth(T x) { return x != T(0); }
template <class T> __device__ bool logical_not(T x) { return !truth(x); }
template <class A, class B> __device__ bool logical_and(A a, B b) { return truth(a) & truth(b); }
template <class A, class B> __device__ bool logical_or(A a, B b) { return truth(a) | truth(b); }
template <class A, class B> __device__ bool logical_xor(A a, B b) { return truth(a) != truth(b); }
template <class T> __device__ T sign(T x) { return x != x ? x : T(int(x > T(0)) - int(x < T(0))); }
template <class T> __device__ T maximum(T x, T y) { return x != x || x > y ? x : y; }
template <class T> __device__ T minimum(T x, T y) { return x != x || x < y ? x : y; }
template <class T> __device__ T fmax(T x, T y) { return y != y || x > y ? x : y; }
template <class T> __device__ T fmin(T x, T y) { return y != y || x < y ? x : y; }
template <class T> __device__ T sigmoid(T x) {
    const T e = exp(-abs(x));
    return (x < T(0) ? e : T(1)) / (T(1) + e);
}

// NumPy's quotients, rounded down, and what they leave.
template <class S, class U> __device__ bool opposite(Wrapping<S, U> y) { return S(-1) < S(0) && y.value == S(-1); }
template <class S, class U> __device__ Wrapping<S, U> fmod(Wrapping<S, U> x, Wrapping<S, U> y) {
    return Wrapping<S, U>(y.value == 0 || opposite(y) ? S(0) : S(x.value % y.value));
}
template <class S, class U> __device__ bool apart(Wrapping<S, U> x, Wrapping<S, U> y) {
    return fmod(x, y).value != 0 && (x.value < 0) != (y.value < 0);
}
template <class S, class U> __device__ Wrapping<S, U> floor_divide(Wrapping<S, U> x, Wrapping<S, U> y) {
    if (y.value == 0) return Wrapping<S, U>(0);
    if (opposite(y)) return -x;
    return Wrapping<S, U>(S(x.value / y.value) - S(apart(x, y)));
}
template <class S, class U> __device__ Wrapping<S, U> remainder(Wrapping<S, U> x, Wrapping<S, U> y) {
    return apart(x, y) ? fmod(x, y) + y : fmod(x, y);
}
template <class T> __device__ T real_remainder(T x, T y) {
    const T left = fmod(x, y);
    if (y == T(0)) return T(np.nan);
    return left == T(0) ? copysign(T(0), y) : (left < T(0)) != (y < T(0)) ? left + y : left;
}
template <class T> __device__ T real_floor_divide(T x, T y) {
    const T left = fmod(x, y);
    if (y == T(0)) return x / y;
    T whole = (x - left) / y;
    if (left != T(0) && (left < T(0)) != (y < T(0))) whole = whole - T(1);
    if (whole == T(0)) return copysign(T(0), x / y);
    const T down = floor(whole);
    return whole - down > T(0.5) ? down + T(1) : down;
}
__device__ inline float floor_divide(float x, float y) { return real_floor_divide(x, y); }
__device__ inline double floor_divide(double x, double y) { return real_floor_divide(x, y); }
__device__ inline float remainder(float x, float y) { return real_remainder(x, y); }
__device__ inline double remainder(double x, double y) { return real_remainder(x, y); }
"""

REDUCTIONS = """\
struct Sum { template <class T> static __device__ T of(T a, T b) { return a + b; } };
struct Product { template <class T> static __device__ T of(T a, T b) { return a * b; } };
struct Maximum { template <class T> static __device__ T of(T a, T b) { return maximum(a, b); } };
struct Minimum { template <class T> static __device__ T of(T a, T b) { return minimum(a, b); } };
struct Or { static __device__ bool of(bool a, bool b) { return a | b; } };
struct And { static __device__ bool of(bool a, bool b) { return a & b; } };

__device__ inline float exchanged(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
__device__ inline double exchanged(double x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
__device__ inline bool exchanged(bool x, int mask) { return __shfl_xor_sync(0xffffffffu, int(x), mask) != 0; }
template <class S, class U> __device__ Wrapping<S, U> exchanged(Wrapping<S, U> x, int mask) {
    return Wrapping<S, U>(__shfl_xor_sync(0xffffffffu, U(x.value), mask));
}

// All of a team's, for each of its threads: a power of two of them, within a warp or the whole block.
template <class Op, class T> __device__ T reduced(T x, int team) {
    for (int mask = (team < 32 ? team : 32) / 2; mask > 0; mask /= 2) x = Op::of(x, exchanged(x, mask));
    if (team > 32) {
        __shared__ T parts[32];
        const int thread = threadIdx.x;
        __syncthreads();
        if (thread % 32 == 0) parts[thread / 32] = x;
        __syncthreads();
        x = parts[0];
        for (int i = 1; i < team / 32; i++) x = Op::of(x, parts[i]);
    }
    return x;
}

// All of the threads that have the same place in their warps.
template <class Op, class T> __device__ T across(T x) {
    __shared__ T parts[1024];
    const int thread = threadIdx.x, threads = blockDim.x;
    __syncthreads();
    parts[thread] = x;
    __syncthreads();
    x = parts[thread % 32];
    for (int i = thread % 32 + 32; i < threads; i += 32) x = Op::of(x, parts[i]);
    return x;
}
"""


def _real(name: str, called: str, inputs: str) -> str:
    """Return a function of float32 and one of float64."""
    lines = []
    for kind, suffix in (("float", "f"), ("double", "")):
        parameters = ", ".join(f"{kind} {x}" for x in inputs)
        call = f"::{called}{suffix}({', '.join(inputs)})"
        lines.append(f"__device__ inline {kind} {name}({parameters}) {{ return {call}; }}\n")
    return "".join(lines)


REAL = "".join(
    [*[_real(name, called, "x") for name, called in UNARY.items()],
     *[_real(name, called, "xy") for name, called in BINARY.items()]]
)  # fmt: skip

#: What comes before kernels, in a namespace of its own.
PRELUDE = f"{TYPES}\n{REAL}{FUNCTIONS}\n{REDUCTIONS}"


def program(*kernels: str) -> str:
    """Return a program of kernels.

    Parameters
    ----------
    *kernels : str
        The text of each, without what comes before all.

    Returns
    -------
    str
        Source that NVRTC compiles without any header.
    """
    return "namespace eagerflow {\n" + "\n".join((PRELUDE, *kernels)) + "\n}  // namespace eagerflow\n"
