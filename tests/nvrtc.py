"""NVRTC, NVIDIA's compiler of CUDA C++ at run time, for tests: it compiles for a GPU without one being there."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import metadata
from typing import Any

WHEELS = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")


@cache
def library() -> Any:
    """Return the library that one of the wheels brought, or None."""
    for wheel in WHEELS:
        try:
            files = metadata.files(wheel) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name.startswith(("libnvrtc.so", "nvrtc64")) and ".alt." not in file.name:
                return ctypes.CDLL(str(file.locate()))
    return None


def why_missing() -> str | None:
    """Return why nothing can be compiled here, or None."""
    return None if library() is not None else f"NVRTC is not installed: pip install {WHEELS[0]}"


def compiled(text: str, options: tuple[str, ...]) -> bytes:
    """Compile a program to machine code of a GPU.

    Parameters
    ----------
    text : str
        CUDA C++.
    options : tuple of str
        Such as ``"--gpu-architecture=sm_90"``.

    Raises
    ------
    ValueError
        NVRTC does not accept it; with what it says.
    """
    nvrtc, program, size = library(), ctypes.c_void_p(), ctypes.c_size_t()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None))
    try:
        failed = nvrtc.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        )
        if failed:
            _check(nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
            log = ctypes.create_string_buffer(size.value)
            _check(nvrtc.nvrtcGetProgramLog(program, log))
            raise ValueError(log.value.decode())
        _check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        code = ctypes.create_string_buffer(size.value)
        _check(nvrtc.nvrtcGetCUBIN(program, code))
        return code.raw
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _check(failed: int) -> None:
    assert not failed, f"NVRTC failed with {failed}"
