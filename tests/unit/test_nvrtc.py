"""Candidates are compiled with small headers from memory: they must say what libcu++'s say, and be taken without the files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tvm_xpiler.autotune import nvrtc as small
from tvm_xpiler.autotune.launches import bindings_here

_NAMES = """
#include <cuda/std/cstdint>
#include <cuda/std/limits>
#include <cuda/std/type_traits>
using namespace cuda::std;
static_assert(sizeof(int8_t) == 1 && sizeof(int16_t) == 2 && sizeof(int32_t) == 4 && sizeof(int64_t) == 8);
static_assert(is_same_v<uint64_t, cuda::std::conditional<true, uint64_t, int>::type> && !is_same<int32_t, uint32_t>::value);
static_assert(is_integral<uint8_t>::value && is_integral<bool>::value && is_integral<char>::value && !is_integral<float>::value);
static_assert(is_signed<int64_t>::value && is_signed<double>::value && !is_signed<uint16_t>::value && !is_signed<bool>::value);
static_assert(is_unsigned<bool>::value && is_unsigned<uint64_t>::value && !is_unsigned<int8_t>::value && !is_unsigned<float>::value);
static_assert(is_floating_point<float>::value && !is_floating_point<int>::value && is_same_v<enable_if<true, int>::type, int>);
extern "C" __global__ void fill(float *out, int64_t n) { if (n > 0) out[0] = numeric_limits<float>::infinity(); }
"""


@pytest.fixture
def headers() -> Path:
    """Return the toolkit's headers."""
    if not bindings_here():
        pytest.skip("NVIDIA's Python bindings are not installed")
    from cuda.bindings import nvrtc

    try:
        nvrtc.nvrtcVersion()
    except RuntimeError:
        pytest.skip("NVRTC is not installed")
    from tvm.support.nvcc import find_cuda_path

    return Path(find_cuda_path()) / "include"


def _compiled(headers: Path, text: str) -> tuple[bool, str]:
    """Return whether NVRTC takes a program, and what it says."""
    from cuda.bindings import nvrtc

    _, program = nvrtc.nvrtcCreateProgram(text.encode(), b"names.cu", 0, None, None)
    options = [b"-default-device", b"--gpu-architecture=sm_90", f"-I{headers}".encode(), f"-I{headers / 'cccl'}".encode()]
    (result,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytearray(size)
    nvrtc.nvrtcGetProgramLog(program, log)
    return result == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.decode()


def test_small_headers_say_what_the_files_say(headers: Path) -> None:
    for text in (_NAMES, _NAMES.replace("!is_signed<bool>", "is_signed<bool>")):
        by_files = _compiled(headers, text)
        with small._headers_from_memory():
            from_memory = _compiled(headers, text)
        assert by_files[0] == from_memory[0] == (text is _NAMES), by_files[1] + from_memory[1]


def test_headers_are_given_while_tvm_compiles_and_asked_for_again_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """With bindings that only say what they were given, so that it is tested everywhere."""
    bindings, nvrtc = ModuleType("cuda.bindings"), ModuleType("cuda.bindings.nvrtc")
    seen: list[tuple[object, ...]] = []
    create = nvrtc.nvrtcCreateProgram = lambda *given: seen.append(given)  # type: ignore[attr-defined]
    bindings.nvrtc = nvrtc  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", nvrtc)

    def by_tvm(code: str) -> bytes:
        nvrtc.nvrtcCreateProgram(code, b"k.cu", 0, None, None)
        if seen[-1][2] and "files" in code:
            raise RuntimeError("no such name")
        return b"binary"

    given: dict[str, Callable[[str], bytes]] = {}
    monkeypatch.setattr(small, "global_function", lambda name: by_tvm)
    monkeypatch.setattr(small, "register_global_function", given.__setitem__)
    small._compile_with_headers_from_memory.__wrapped__()
    (compiled,) = given.values()
    assert compiled("plain") == compiled("needs files") == b"binary"
    assert [(code, count) for code, _, count, *_ in seen] == [("plain", 3), ("needs files", 3), ("needs files", 0)]
    assert b"cuda/std/cstdint" in seen[0][4]  # type: ignore[operator]
    assert nvrtc.nvrtcCreateProgram is create


def test_what_small_headers_lack_is_found_in_the_files(headers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TVM's own function is asked again, with the files."""
    asked: list[bool] = []

    def by_tvm(code: str) -> bytes:
        good, log = _compiled(headers, code)
        asked.append(good)
        if not good:
            raise RuntimeError(log)
        return b"binary"

    given = {}
    monkeypatch.setattr(small, "global_function", lambda name: by_tvm)
    monkeypatch.setattr(small, "register_global_function", given.__setitem__)
    small._compile_with_headers_from_memory.__wrapped__()
    compiled = given["tvm_callback_cuda_compile"]
    assert compiled(_NAMES) == b"binary"
    assert asked == [True]
    more = _NAMES + "static_assert(cuda::std::is_pointer<int *>::value);"
    assert compiled(more) == b"binary"
    assert asked == [True, False, True]
    with pytest.raises(RuntimeError, match="error"):
        compiled(_NAMES + "nonsense")
