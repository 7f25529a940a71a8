"""Wrong input: a stable code at the right line, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvm_xpiler import Options, translate
from tvm_xpiler.core.errors import CODES, XpilerError

LAUNCH = {"grid": (2, 1, 1), "block": (64, 1, 1)}
IO = {"buffers": {"x": (128, "in"), "y": (128, "out")}, **LAUNCH}

CASES = {
    "parse": ("XP100", 2, "__global__ void k(const float* x, float* y) {\n  y[0] = x[0]\n}\n", IO),
    "builtin": ("XP101", 2, "__global__ void k(const float* x, float* y) {\n  y[0] = __frob(x[0]);\n}\n", IO),
    "no kernel": ("XP102", 0, "void k(const float* x, float* y) {\n  y[0] = x[0];\n}\n", IO),
    "two kernels": ("XP103", 2, "__global__ void k(float* y) { y[0] = 0; }\n__global__ void j(float* y) { y[0] = 0; }\n", IO),
    "recursion": (
        "XP104",
        1,
        "__device__ int f(int n) { return n < 2 ? 1 : n * f(n - 1); }\n__global__ void k(const float* x, float* y) {\n  y[0] = f(3) + x[0];\n}\n",
        IO,
    ),
    "assembly": ("XP105", 2, '__global__ void k(const float* x, float* y) {\n  asm("bar.sync 0;");\n  y[0] = x[0];\n}\n', IO),
    "no launch": ("XP110", 0, "__global__ void k(const float* x, float* y) {\n  y[0] = x[0];\n}\n", {}),
    "bad block": ("XP111", 0, "__global__ void k(const float* x, float* y) {\n  y[0] = x[0];\n}\n", {**IO, "block": (2048, 1, 1)}),
    "race": (
        "XP201",
        3,
        "__global__ void k(const float* x, float* y) {\n  __shared__ float s[64];\n  s[threadIdx.x] = x[threadIdx.x];\n  y[blockIdx.x * 64 + threadIdx.x] = s[63 - threadIdx.x];\n}\n",
        IO,
    ),
    "divergent barrier": (
        "XP204",
        4,
        "__global__ void k(const float* x, float* y) {\n  __shared__ float s[64];\n  if (threadIdx.x < 32) { __syncthreads(); s[threadIdx.x] = 0; }\n"
        "  else { s[threadIdx.x] = x[threadIdx.x]; __syncthreads(); }\n  y[blockIdx.x * 64 + threadIdx.x] = s[threadIdx.x];\n}\n",
        IO,
    ),
    "out of bounds": (
        "XP202",
        3,
        "__global__ void k(const float* x, float* y) {\n  int i = blockIdx.x * 64 + threadIdx.x;\n  y[i] = x[i + 1];\n}\n",
        IO,
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_code_and_line(name: str) -> None:
    code, line, text, options = CASES[name]
    with pytest.raises(XpilerError) as caught:
        translate(text, "llvm", Options(**options))
    assert caught.value.code == code, caught.value.render()
    if line:
        assert caught.value.span is not None
        assert caught.value.span.line == line
        assert "^" in caught.value.render()


def test_same_value_from_many_threads_is_a_note() -> None:
    text = "__global__ void k(const float* x, float* y) {\n  y[blockIdx.x] = x[blockIdx.x];\n}\n"
    result = translate(text, "llvm", Options(**{**IO, "buffers": {"x": (2, "in"), "y": (2, "out")}}))
    assert result.ok
    assert result.examination.benign


def test_files(tmp_path: Path) -> None:
    for name, content in {"empty.cu": b"", "binary.cu": b"\x00\x01\xff", "other.txt": b"__global__ void k() {}\n"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(XpilerError) as caught:
            translate(tmp_path / name, "llvm")
        assert caught.value.code in {"XP001", "XP002"}
    with pytest.raises(XpilerError, match="no such file"):
        translate(tmp_path / "missing.cu", "llvm")


def test_every_code_is_explained() -> None:
    for code in CODES.values():
        assert len(code.explanation) > 40
