"""Compiling candidates by NVRTC in a twentieth of the time: what TVM includes for every kernel is replaced by what kernels use of it.

For the names of integer types, for traits and for an infinity TVM puts three headers of libcu++ before each kernel, and NVRTC reads some
ten thousand lines of them: 0.55 s a kernel, where the kernel itself takes 0.03 (measured with CUDA 13.0). NVRTC takes headers from memory
before it looks for files; the three that are given here hold the same names. A kernel that wants more of them is compiled with the files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tvm_xpiler.autotune.launches import bindings_here
from tvm_xpiler.core.tir import global_function, register_global_function

_CALLBACK = "tvm_callback_cuda_compile"

_CSTDINT = """#pragma once
namespace cuda { namespace std {
using int8_t = signed char;
using int16_t = short;
using int32_t = int;
using int64_t = long;
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long;
} }
"""

_LIMITS = """#pragma once
namespace cuda { namespace std {
template <class T> struct numeric_limits;
template <> struct numeric_limits<float> { static __device__ float infinity() { return __int_as_float(0x7f800000); } };
} }
"""

_TYPE_TRAITS = """#pragma once
namespace cuda { namespace std {
template <bool B> struct bool_constant { static constexpr bool value = B; };
template <class T, class U> constexpr bool is_same_v = false;
template <class T> constexpr bool is_same_v<T, T> = true;
template <class T, class... Us> constexpr bool is_one_of = (is_same_v<T, Us> || ...);
template <class T> constexpr bool is_unsigned_v =
    is_one_of<T, bool, unsigned char, unsigned short, unsigned int, unsigned long, unsigned long long>;
template <class T> constexpr bool is_signed_v = is_one_of<T, char, signed char, short, int, long, long long, float, double>;
template <class T> constexpr bool is_floating_point_v = is_one_of<T, float, double>;
template <class T, class U> struct is_same : bool_constant<is_same_v<T, U>> {};
template <class T> struct is_integral : bool_constant<(is_unsigned_v<T> || is_signed_v<T>) && !is_floating_point_v<T>> {};
template <class T> struct is_signed : bool_constant<is_signed_v<T>> {};
template <class T> struct is_unsigned : bool_constant<is_unsigned_v<T>> {};
template <class T> struct is_floating_point : bool_constant<is_floating_point_v<T>> {};
template <bool B, class T = void> struct enable_if {};
template <class T> struct enable_if<true, T> { using type = T; };
template <bool B, class T, class F> struct conditional { using type = T; };
template <class T, class F> struct conditional<false, T, F> { using type = F; };
} }
"""

_HEADERS = {"cuda/std/cstdint": _CSTDINT, "cuda/std/limits": _LIMITS, "cuda/std/type_traits": _TYPE_TRAITS}


def choose_compiler() -> None:
    """Let TVM compile by NVRTC where its bindings and headers are, and show it the headers of fragments; by nvcc otherwise."""
    nvcc = shutil.which("nvcc")
    toolkit = os.environ.get("CUDA_PATH") or (Path(nvcc).resolve().parents[1] if nvcc else "/usr/local/cuda")
    headers = Path(toolkit) / "include"
    usable = bindings_here() and (headers / "cuda_runtime.h").is_file()
    if usable and (headers / "mma.h").is_file():
        os.environ.setdefault("TVM_CUDA_NVRTC_EXTRA_OPTS", f"-I{headers}")
    os.environ.setdefault("TVM_CUDA_COMPILE_MODE", "nvrtc" if usable or nvcc is None else "nvcc")
    if usable and os.environ["TVM_CUDA_COMPILE_MODE"] == "nvrtc":
        _compile_with_headers_from_memory()


@cache
def _compile_with_headers_from_memory() -> None:
    by_tvm = global_function(_CALLBACK)

    def compiled(code: str, *_: object) -> Any:
        try:
            with _headers_from_memory():
                return by_tvm(code)
        except RuntimeError:
            return by_tvm(code)

    register_global_function(_CALLBACK, compiled)


@contextmanager
def _headers_from_memory() -> Iterator[None]:
    """Let programs that TVM makes take some headers from memory; it has no option for that."""
    from cuda.bindings import nvrtc

    make = nvrtc.nvrtcCreateProgram
    names, texts = [n.encode() for n in _HEADERS], [t.encode() for t in _HEADERS.values()]
    nvrtc.nvrtcCreateProgram = lambda code, name, *_: make(code, name, len(names), texts, names)
    try:
        yield
    finally:
        nvrtc.nvrtcCreateProgram = make
