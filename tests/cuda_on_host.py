"""CUDA kernels without a GPU, for tests: a C++ compiler makes host code of the same text, a fiber for each thread.

Threads of a block go on in turns, from one barrier to the next. That they all come to the same barriers is checked.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from eagerflow.capture.kernels.cuda.functions import program
from eagerflow.capture.kernels.cuda.kernel import sizes, workspace
from eagerflow.capture.kernels.cuda.launch import Launch, finishing, launch
from eagerflow.capture.kernels.cuda.source import Argument, Source

BEFORE = r"""
#include <math.h>
#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__ static

struct Place { unsigned x, y; };
static Place threadIdx, blockIdx, blockDim, gridDim;

static double __longlong_as_double(long long bits) { double x; memcpy(&x, &bits, 8); return x; }

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
        parts = []
        for source in sources:
            parts.append(source.kernels)
            parts.append(_entry(source.name, source.arguments, source.kernels))
            if source.finish:
                parts.append(_entry(f"{source.name}_finish", source.finish, source.kernels))
        with tempfile.TemporaryDirectory() as folder:
            text, made = Path(folder, "kernels.cpp"), Path(folder, "kernels.so")
            text.write_text(BEFORE + program(*parts))
            command = [compiler(), "-std=c++17", "-O1", "-w", "-ffp-contract=off", "-shared", "-fPIC"]
            done = subprocess.run([*command, text, "-o", made], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            self.library = ctypes.CDLL(str(made), mode=os.RTLD_LOCAL)

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
        given: list[Any] = []
        for item in arguments:
            if item.role == "size":
                given.append((ctypes.c_int if item.type == "int" else ctypes.c_longlong)(lengths[item.name]))
            elif item.role == "number":
                given.append(ctypes.c_double(item.item))
            else:
                given.append(ctypes.c_void_p(arrays[item.name].ctypes.data))
        failed = getattr(self.library, f"run_{name}")(size.across, size.down, size.threads, *given)
        assert not failed, "the threads of a block do not come to the same barriers"


def _unwritten(size: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array of numbers that nobody takes for results."""
    return np.frombuffer(b"\x7b" * (size * dtype.itemsize), np.uint8).copy().view(dtype)


def _entry(name: str, arguments: list[Argument], text: str) -> str:
    """Return a function that runs all blocks of a kernel."""
    parameters = ", ".join(f"{item.type} {item.name}" for item in arguments)
    fields = " ".join(f"{item.type} {item.name};" for item in arguments)
    names = ", ".join(item.name for item in arguments)
    given = ", ".join(f"given.{item.name}" for item in arguments)
    how = "emulate" if "reduced<" in text or "across<" in text else "in_turn"
    return f"""
struct Given_{name} {{ {fields} }};
static void call_{name}(void* p) {{ Given_{name}& given = *(Given_{name}*)p; {name}({given}); }}
extern "C" int run_{name}(unsigned across, unsigned down, unsigned threads, {parameters}) {{
    Given_{name} given = {{{names}}};
    return {how}(across, down, threads, call_{name}, &given);
}}
"""
