"""CUDA kernels without a GPU, for tests: a C++ compiler makes host code of the same text, a fiber for each thread.

Threads of a block go on in turns, from one barrier to the next. That they all come to the same barriers is checked.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from eagerflow.capture.kernels.cuda.functions import program
from eagerflow.capture.kernels.cuda.kernel import sizes, workspace
from eagerflow.capture.kernels.cuda.launch import Launch, finishing, launch
from eagerflow.capture.kernels.cuda.scope import Argument
from eagerflow.capture.kernels.cuda.source import Source

BEFORE = r"""#include <math.h>
#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static

struct Place { unsigned x, y; };
static Place threadIdx, blockIdx, blockDim, gridDim;

static double __longlong_as_double(long long bits) { double x; memcpy(&x, &bits, 8); return x; }

static unsigned __float_as_uint(float x) { unsigned bits; memcpy(&bits, &x, 4); return bits; }
static float __uint_as_float(unsigned bits) { float x; memcpy(&x, &bits, 4); return x; }

// Instructions of the GPU that the prelude has by name.
static void from_half(float& x, unsigned short bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    x = exponent == 31 ? (fraction ? NAN : INFINITY) : exponent ? ldexpf(1024 + fraction, exponent - 25)
        : ldexpf(fraction, -24);
    if (bits >> 15) x = -x;
}
static void to_half(unsigned short& bits, float x) {
    const float size = fabsf(x);
    int exponent = 0;
    frexpf(size, &exponent);  // size is below 2**exponent
    const float unit = ldexpf(1, (exponent < -13 ? -13 : exponent) - 11), rounded = rintf(size / unit) * unit;
    if (x != x) { bits = 0x7e00; return; }
    if (rounded >= 65536) bits = 0x7c00;
    else if (rounded < ldexpf(1, -14)) bits = ldexpf(rounded, 24);
    else { frexpf(rounded, &exponent); bits = (exponent + 13) * 1024 + int(ldexpf(rounded, 11 - exponent)); }
    if (signbit(x)) bits |= 0x8000;
}
// It starts in its context, and goes on where it left: jumps are faster than changes of context.
struct Fiber { ucontext_t context; jmp_buf left; char* stack; unsigned long long passed; bool started, done; };
static Fiber fibers[1024];
static ucontext_t around;
static void (*body)(void*);
static void* arguments;
static unsigned long long slots[1024];

static void to_next(bool leave) {
    const unsigned own = threadIdx.x;
    unsigned next = own;
    do next = (next + 1) % blockDim.x; while (fibers[next].done && next != own);
    if (leave && fibers[next].done) setcontext(&around);
    if (next == own || (!leave && _setjmp(fibers[own].left))) return;
    threadIdx.x = next;
    if (fibers[next].started) _longjmp(fibers[next].left, 1);
    fibers[next].started = true;
    setcontext(&fibers[next].context);
}
static void barrier(int kind) {
    fibers[threadIdx.x].passed = fibers[threadIdx.x].passed * 1000003 + kind;
    to_next(false);
}
static void __syncthreads() { barrier(1); }
template <class T> static T __shfl_xor_sync(unsigned, T x, int mask) {
    slots[threadIdx.x] = 0;
    memcpy(&slots[threadIdx.x], &x, sizeof(T));
    barrier(2 + mask);
    memcpy(&x, &slots[threadIdx.x ^ mask], sizeof(T));
    barrier(2 + mask);
    return x;
}
static void thread() {
    body(arguments);
    fibers[threadIdx.x].done = true;
    to_next(true);
}
static int emulate(unsigned across, unsigned down, unsigned threads, void (*kernel)(void*), void* given) {
    body = kernel; arguments = given;
    blockDim.x = threads; blockDim.y = 1; gridDim.x = across; gridDim.y = down;
    for (blockIdx.y = 0; blockIdx.y < down; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < across; blockIdx.x++) {
            for (unsigned i = 0; i < threads; i++) {
                Fiber& fiber = fibers[i];
                if (!fiber.stack) fiber.stack = new char[65536];
                fiber.passed = 0; fiber.started = i == 0; fiber.done = false;
                getcontext(&fiber.context);
                fiber.context.uc_stack.ss_sp = fiber.stack;
                fiber.context.uc_stack.ss_size = 65536;
                fiber.context.uc_link = &around;
                makecontext(&fiber.context, thread, 0);
            }
            threadIdx.x = threadIdx.y = 0;
            swapcontext(&around, &fibers[0].context);
            for (unsigned i = 0; i < threads; i++)
                if (!fibers[i].done || fibers[i].passed != fibers[0].passed) return 1;
        }
    return 0;
}
static int in_turn(unsigned across, unsigned down, unsigned threads, void (*kernel)(void*), void* given) {
    blockDim.x = threads; blockDim.y = 1; gridDim.x = across; gridDim.y = down;
    for (blockIdx.y = 0; blockIdx.y < down; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < across; blockIdx.x++)
            for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++) kernel(given);
    return 0;
}
"""


@cache
def compiler() -> str | None:
    """Return the path of a C++ compiler, or None."""
    return shutil.which("g++") if sys.platform == "linux" else None


def why_missing() -> str | None:
    """Return why nothing can be run here, or None."""
    return None if compiler() is not None else "g++ on Linux is not there"


class Program:
    """Kernels that the host can run.

    Parameters
    ----------
    sources : sequence of Source
        Groups, each of which has a name of its own.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self.functions = functions(program(*[source.kernels for source in sources]))

    def run(self, source: Source, arrays: Sequence[np.ndarray], size: Launch | None = None) -> list[np.ndarray]:
        """Run a group; `size` is that of the first launch, where another one is to be tried."""
        size = size or launch(source)
        found = {f"a{i}": np.ascontiguousarray(x) for i, x in enumerate(arrays)}
        made = [_unwritten(x.spec.size, x.dtype).reshape(x.shape) for x in source.graph.outputs]
        found |= {f"o{i}": x for i, x in enumerate(made)}
        found |= {name: _unwritten(length, dtype) for name, length, dtype in workspace(source, size)}
        self._launch(source.name, size, source.arguments, found, sizes(source, size))
        if source.finish:
            self._launch(f"{source.name}_finish", finishing(source), source.finish, found, sizes(source, size))
        return made

    def _launch(self, name: str, size: Launch, arguments: list[Argument], arrays: Any, lengths: Any) -> None:
        given = [
            lengths[item.name] if item.role == "size" else item.item if item.role == "number" else arrays[item.name]
            for item in arguments
        ]
        self.functions[name]((size.across, size.down), (size.threads,), given)


def functions(text: str) -> dict[str, Callable[..., None]]:
    """Return the kernels of a program: ``function(blocks, threads, arguments)`` runs one."""
    kernels = re.findall(r'^extern "C" __global__ void (\w+)\((.*)\) \{$', text, re.MULTILINE)
    for instruction, function in _INSTRUCTIONS.items():
        text = text.replace(instruction, function)
    parameters = {name: [part.rsplit(" ", 1) for part in listed.split(", ")] for name, listed in kernels}
    entries = [_entry(name, given, text) for name, given in parameters.items()]
    end = text.rindex("}")
    with tempfile.TemporaryDirectory() as folder:
        path, made = Path(folder, "kernels.cpp"), Path(folder, "kernels.so")
        path.write_text("\n".join((BEFORE, text[:end], *entries, text[end:])))
        command = [compiler() or "", "-std=c++17", "-O1", "-w", "-ffp-contract=off", "-shared", "-fPIC"]
        done = subprocess.run([*command, path, "-o", made], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        library = ctypes.CDLL(str(made), mode=os.RTLD_LOCAL)
    return {name: _function(library, name, [kind for kind, _ in given]) for name, given in parameters.items()}


def _function(library: Any, name: str, kinds: list[str]) -> Callable[..., None]:
    types = [_TYPES.get(kind, ctypes.c_void_p) for kind in kinds]
    function = getattr(library, f"run_{name}")
    function.argtypes = [ctypes.c_uint] * 3 + types

    def run(blocks: tuple[int, ...], threads: tuple[int], arguments: Sequence[Any]) -> None:
        given = [
            x.ctypes.data if isinstance(x, np.ndarray) else kind(x) for x, kind in zip(arguments, types, strict=True)
        ]
        failed = function(*blocks, *threads, *given)
        assert not failed, "the threads of a block do not come to the same barriers"

    return run


# What host compilers do not know, as functions.
_INSTRUCTIONS = {
    'asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x))': "to_half(bits, x)",
    'asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits))': "from_half(x, bits)",
}
_TYPES: dict[str, Any] = {"int": ctypes.c_int, "long long": ctypes.c_longlong, "double": ctypes.c_double}


def _unwritten(size: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array of numbers that nobody takes for results."""
    return np.frombuffer(b"\x7b" * (size * dtype.itemsize), np.uint8).copy().view(dtype)


def _entry(name: str, given: list[list[str]], text: str) -> str:
    """Return a function that runs all blocks of a kernel."""
    parameters = ", ".join(" ".join(item) for item in given)
    fields = " ".join(f"{' '.join(item)};" for item in given)
    names = ", ".join(item[1] for item in given)
    fields_of = ", ".join(f"given.{item[1]}" for item in given)
    start = text.index(f"void {name}(")
    code = text[start : text.index("\n}\n", start)]
    how = "emulate" if "reduced<" in code or "across<" in code else "in_turn"
    return f"""
struct Given_{name} {{ {fields} }};
static void call_{name}(void* p) {{ Given_{name}& given = *(Given_{name}*)p; {name}({fields_of}); }}
extern "C" int run_{name}(unsigned across, unsigned down, unsigned threads, {parameters}) {{
    Given_{name} given = {{{names}}};
    return {how}(across, down, threads, call_{name}, &given);
}}
"""


class RawModule:
    """What CuPy has under this name, for its stand-in."""

    def __init__(self, code: str, options: tuple[str, ...] = ()) -> None:
        self.functions = functions(code)

    def get_function(self, name: str) -> Callable[..., None]:
        """Return a kernel that takes arrays of the stand-in."""
        function = self.functions[name]
        return lambda blocks, threads, arguments: function(
            blocks, threads, [getattr(x, "_host", x) for x in arguments]
        )  # fmt: skip
