"""Operands of contractions that are padded or converted are stages of their own, and what follows is a plain product."""

from __future__ import annotations

import pytest

from lift.canonical import canonical_text
from tvm_xpiler import Options, lift, translate
from tvm_xpiler.core.source import SourceFile

pytestmark = pytest.mark.usefixtures("text_alone")

HEAD = """
#include <cuda_fp16.h>
template <class T> __global__ void conv(const T* x, const T* w, float* y, int N, int H, int W, int C, int K) {
  int k = threadIdx.x, ow = blockIdx.x, oh = blockIdx.y, n = blockIdx.z;
  float sum = 0;
  for (int r = 0; r < 3; ++r)
    for (int s = 0; s < 3; ++s) {
      int ih = STRIDE * oh + r - 1, iw = STRIDE * ow + s - 1;
"""
TAIL = "    }\n  y[((n * gridDim.y + oh) * gridDim.x + ow) * K + k] = sum;\n}\n"
LOAD = "x[((n * H + ih) * W + iw) * C + c]"
WEIGHT = "(float)w[((r * 3 + s) * C + c) * K + k]"
INSIDE = "ih >= 0 && ih < H && iw >= 0 && iw < W"
CHOSEN = f"for (int c = 0; c < C; ++c) {{ T v = {INSIDE} ? {LOAD} : (T)0.0f; sum += (float)v * {WEIGHT}; }}\n"
BRANCH = f"for (int c = 0; c < C; ++c) {{ T v = (T)0.0f; if ({INSIDE}) v = {LOAD}; sum += {WEIGHT} * (float)v; }}\n"
SKIPPED = f"if (!({INSIDE})) continue; for (int c = 0; c < C; ++c) sum += (float){LOAD} * {WEIGHT};\n"
STAGED = """
__global__ void fill(const float* x, float* p, int H, int W, int C) {
  int ih = blockIdx.y - 1, iw = blockIdx.x - 1, n = blockIdx.z, c = threadIdx.x;
  p[((n * (H + 2) + ih + 1) * (W + 2) + iw + 1) * C + c] = ih >= 0 && ih < H && iw >= 0 && iw < W ? x[((n * H + ih) * W + iw) * C + c] : 0.0f;
}
__global__ void conv(const float* p, const float* w, float* y, int H, int W, int C, int K) {
  int k = threadIdx.x, ow = blockIdx.x, oh = blockIdx.y, n = blockIdx.z;
  float sum = 0;
  for (int r = 0; r < 3; ++r)
    for (int s = 0; s < 3; ++s)
      for (int c = 0; c < C; ++c) sum += p[((n * (H + 2) + oh + r) * (W + 2) + ow + s) * C + c] * w[((r * 3 + s) * C + c) * K + k];
  y[((n * H + oh) * W + ow) * K + k] = sum;
}
void host(const float* x, const float* w, float* y, int N, int H, int W, int C, int K) {
  float *dx, *dw, *dy, *p;
  cudaMalloc(&dx, N * H * W * C * 4); cudaMalloc(&dw, 9 * C * K * 4); cudaMalloc(&dy, N * H * W * K * 4); cudaMalloc(&p, N * (H + 2) * (W + 2) * C * 4);
  cudaMemcpy(dx, x, N * H * W * C * 4, cudaMemcpyHostToDevice); cudaMemcpy(dw, w, 9 * C * K * 4, cudaMemcpyHostToDevice);
  fill<<<dim3(W + 2, H + 2, N), C>>>(dx, p, H, W, C);
  conv<<<dim3(W, H, N), K>>>(p, dw, dy, H, W, C, K);
  cudaMemcpy(y, dy, N * H * W * K * 4, cudaMemcpyDeviceToHost);
}
"""  # fmt: skip
SIZES = {"N": 1, "H": 6, "W": 16, "C": 32, "K": 64}


def _options(dtype: str, stride: int = 1) -> Options:
    grid = (SIZES["W"] // stride, SIZES["H"] // stride, SIZES["N"])
    return Options(scalars=SIZES, grid=grid, block=(64, 1, 1), sets=2, entry=f"conv<{dtype}>", define=(f"STRIDE={stride}",))


def _source(body: str) -> SourceFile:
    return SourceFile("conv.cu", HEAD + body + TAIL)


def test_every_way_to_pad_is_one_form() -> None:
    chosen, branch = (lift(_source(body), _options("float")) for body in (CHOSEN, BRANCH))
    staged = lift(SourceFile("staged.cu", STAGED), Options(scalars=SIZES))
    assert {f.grade for f in (chosen, branch, staged)} == {"A"}
    assert canonical_text(chosen.func) == canonical_text(branch.func) == canonical_text(staged.func)
    assert "padded" in chosen.func.script()


def test_what_is_skipped_is_not_multiplied_by_zero() -> None:
    """An infinite weight counts for nothing where the source leaves it out: the product stays under its guard, in one block."""
    text = lift(_source(SKIPPED), _options("float")).func.script()
    assert text.count("T.axis.remap") == 1
    assert "padded" not in text


@pytest.mark.parametrize(
    ("body", "stride", "targets"), [(CHOSEN, 1, ("cuda", "bang")), (CHOSEN, 2, ("llvm", "bang")), (SKIPPED, 1, ("llvm", "cuda"))]
)
def test_it_is_verified(body: str, stride: int, targets: tuple[str, ...]) -> None:
    done = translate(_source(body), targets, _options("half", stride))
    assert done.ok, {name: t.verdicts for name, t in done.targets.items()}
    for target, builtin in (("cuda", "mma_sync"), ("bang", "__bang_matmul")):
        assert target not in targets or (builtin in done.targets[target].emitted.text) == (body is CHOSEN)


def test_a_conversion_under_the_guard_is_kept() -> None:
    body = CHOSEN.replace(f"? {LOAD}", f"? (T)(signed char){LOAD}")
    done = translate(_source(body), ("llvm", "bang"), _options("float"))
    assert done.ok, {name: t.verdicts for name, t in done.targets.items()}
    assert "int8" in done.lifted.func.script()


FILTER = """
__global__ void fir(const float* x, const float* w, float* y) {
  int i = threadIdx.x, c = blockIdx.x;
  float sum = 0;
  for (int k = 0; k < 16; ++k) sum += (i >= k ? x[i - k] : 0.0f) * w[c * 16 + k];
  y[c * 64 + i] = sum;
}
"""


def test_a_filter_that_runs_backwards_is_left_alone() -> None:
    """What its guard compares is a difference, which starts below zero."""
    done = translate(SourceFile("fir.cu", FILTER), "llvm", Options(grid=(32, 1, 1), block=(64, 1, 1), sets=2))
    assert done.ok, done.targets["llvm"].verdicts
    assert done.lifted.grade == "A"


CONVERTED = """
#include <stdint.h>
extern "C" void product(const float* a, const float* b, float* c) {
  for (int i = 0; i < 32; ++i)
    for (int j = 0; j < 64; ++j) {
      int32_t sum = 0;
      for (int k = 0; k < 64; ++k) sum += (int32_t)(uint8_t)a[i * 64 + k] * (int32_t)(int8_t)b[k * 64 + j];
      c[i * 64 + j] = (float)sum;
    }
}
"""


def test_operands_are_converted_once() -> None:
    options = Options(buffers={"a": (2048, "in"), "b": (4096, "in"), "c": (2048, "out")}, sets=3, arch="cascadelake")
    done = translate(SourceFile("product.c", CONVERTED), "llvm", options)
    assert done.ok, done.targets["llvm"].verdicts
    assert done.lifted.func.script().count("T.axis.remap") == 4  # two conversions, the product, its conversion
    assert "dpbusd" in done.targets["llvm"].emitted.text
