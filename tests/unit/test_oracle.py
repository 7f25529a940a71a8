"""The oracle's own semantics, against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lift.front import read
from lift.launch import from_options
from tvm_xpiler import judge, translate
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.platforms import Platform
from tvm_xpiler.core.repeated import repeated
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.emit.execute import run_library
from tvm_xpiler.session import Options, Session, oracle_of
from tvm_xpiler.verify.verdict import examine


def run(text: str, options: Options, inputs: dict[str, np.ndarray], mode: str = "native", order: int = 0) -> dict[str, np.ndarray]:
    front = read(SourceFile("k.cu", text), Platform.CUDA)
    problem = from_options(front, options.given, Platform.CUDA)
    fill = {t.name: np.zeros(t.size, dtype=t.dtype) for t in problem.outputs}
    return oracle_of(front, options).run(mode, problem, inputs, fill, order=order).outputs


def test_warp_operations_in_any_thread_order() -> None:
    text = """
__global__ void k(const int* x, int* y) {
  int v = x[threadIdx.x];
  int up = __shfl_up_sync(0xffffffff, v, 1), down = __shfl_down_sync(0xffffffff, v, 2), flip = __shfl_xor_sync(0xffffffff, v, 5);
  unsigned votes = __ballot_sync(0xffffffff, v > 0);
  int sum = __reduce_add_sync(0xffffffff, v);
  y[threadIdx.x] = up + 10 * down + 100 * flip + 1000 * __popc(votes) + sum;
}
"""
    x = np.arange(-20, 44, dtype=np.int32)
    options = Options(buffers={"x": (64, "in"), "y": (64, "out")}, grid=(1, 1, 1), block=(64, 1, 1))
    want = []
    for base in (0, 32):
        v = x[base : base + 32]
        up, down = np.concatenate([v[:1], v[:-1]]), np.concatenate([v[2:], v[-2:]])
        want.append(up + 10 * down + 100 * v[np.arange(32) ^ 5] + 1000 * (v > 0).sum() + v.sum())
    for order in (0, 1, 2, 3):
        np.testing.assert_array_equal(run(text, options, {"x": x}, order=order)["y"], np.concatenate(want))


def test_error_bounds_cover_the_rounding_and_not_much_more() -> None:
    text = "__global__ void k(const float* x, float* y) { float s = 0; for (int i = 0; i < 1000; ++i) s += x[i]; y[0] = s; }\n"
    x = np.random.default_rng(3).standard_normal(1000).astype(np.float32)
    options = Options(buffers={"x": (1000, "in"), "y": (1, "out")}, grid=(1, 1, 1), block=(1, 1, 1))
    value, bound = run(text, options, {"x": x}, "tracked")["y"][0]
    native = float(run(text, options, {"x": x})["y"][0])
    assert abs(value - x.astype(np.float64).sum()) < 1e-9
    assert abs(native - value) <= bound < 1e-2


def test_divergence_and_early_exit_do_not_hang() -> None:
    text = """
__global__ void k(const float* x, float* y) {
  __shared__ float s[64];
  if (threadIdx.x >= 40) return;
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[39 - threadIdx.x];
}
"""
    x = np.arange(64, dtype=np.float32)
    options = Options(buffers={"x": (64, "in"), "y": (64, "out")}, grid=(1, 1, 1), block=(64, 1, 1))
    np.testing.assert_array_equal(run(text, options, {"x": x})["y"][:40], x[:40][::-1])


@pytest.mark.parametrize("mode", ["native", "tracked"])
def test_data_beyond_memory_is_run_on_a_sample_of_blocks(mode: str) -> None:
    text = "__global__ void k(const float* x, float* y) { long i = blockIdx.x * 256L + threadIdx.x; y[i] = 2 * x[i]; }\n"
    size = 256 << 22  # 4 GiB each
    options = Options(buffers={"x": (size, "in"), "y": (size, "out")}, grid=(1 << 22, 1, 1), block=(256, 1, 1))
    front = read(SourceFile("k.cu", text), Platform.CUDA)
    problem = from_options(front, options.given, Platform.CUDA)
    x = np.arange(4096 * 5, dtype=np.float32)
    result = oracle_of(front, options).run(mode, problem, {"x": x}, {"y": np.full(4096, np.nan, np.float32)}, budget=0.05)
    assert result.sampled
    assert result.where is not None
    where, y = result.where["y"], result.outputs["y"]
    wrote = ~np.isnan(y if mode == "native" else y[:, 0])
    assert 512 <= wrote.sum() == 256 * result.blocks_run
    assert (where[wrote][0], where[wrote][-1]) == (0, size - 1)  # both corners
    np.testing.assert_array_equal((y if mode == "native" else y[:, 0])[wrote], 2 * x[where[wrote] % len(x)])


def test_a_repeated_array_reads_everywhere_and_takes_writes() -> None:
    period = np.arange(4096, dtype=np.float32)
    array = repeated(period, 1 << 34)
    array[4096] = -1
    assert (array[(1 << 34) - 1], array[4096], array[0], array[8192]) == (4095, -1, 0, 0)


@pytest.mark.parametrize(
    "local",
    [
        "float a[2]; if (threadIdx.x < 30) a[0] = 0; a[0] += x[threadIdx.x];",
        "float a[1], s; if (threadIdx.x < 30) s = 0; a[0] = s + x[threadIdx.x];",
    ],
)
def test_what_a_lucky_zero_hides_is_found(local: str) -> None:
    kernel = "__global__ void k(const float* x, float* y) { %s y[threadIdx.x] = a[0]; }\n"
    options = Options(buffers={"x": (32, "in"), "y": (32, "out")}, grid=(1, 1, 1), block=(32, 1, 1))
    good = SourceFile("good.cu", kernel % "float a[1]; a[0] = x[threadIdx.x];")
    assert judge(good, SourceFile("same.cu", good.text), options).grade == "tested"
    assert judge(good, SourceFile("bad.cu", kernel % local), options).grade == "failed"


def test_elements_that_nothing_determines_are_not_compared() -> None:
    host = """
extern "C" void host(const float* x, float* y, int n) {
  float* scratch;
  cudaMalloc(&scratch, n * sizeof(float));
  k<<<1, 64>>>(x, y, scratch);
}
"""
    staged = """
__global__ void k(const float* x, float* y, float* s) {
  if (threadIdx.x < 40) s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}
"""
    direct = """
__global__ void k(const float* x, float* y, float* s) {
  if (threadIdx.x < 40) y[threadIdx.x] = x[threadIdx.x];
}
"""
    options = Options(scalars={"n": 64}, buffers={"x": (64, "in"), "y": (64, "out")})
    verdict = judge(SourceFile("staged.cu", staged + host), SourceFile("direct.cu", direct + host), options)
    assert verdict.grade == "tested", verdict
    assert {m.elements for m in verdict.matches} == {40}
    assert any("24 elements depend on memory that nothing wrote" in line for line in verdict.sampled)


def test_a_cut_off_run_of_two_launches_is_no_evidence() -> None:
    text = """
__global__ void first(const float* x, float* t, int n) {
  float s = 0;
  for (int i = 0; i < n; ++i) s += x[i];
  t[blockIdx.x * 64 + threadIdx.x] = s;
}
__global__ void second(const float* t, float* y) { y[blockIdx.x * 64 + threadIdx.x] = t[blockIdx.x * 64 + threadIdx.x]; }
extern "C" void both(const float* x, float* y, int n) {
  float* t;
  cudaMalloc(&t, 64 * 64 * sizeof(float));
  first<<<64, 64>>>(x, t, n);
  second<<<64, 64>>>(t, y);
}
"""
    options = Options(scalars={"n": 3000}, buffers={"x": (3000, "in"), "y": (4096, "out")})
    front = read(SourceFile("k.cu", text), Platform.CUDA)
    session = Session(SourceFile("k.cu", text), None, options)
    found = examine(oracle_of(front, options), session.problem(), 1, budget=0.01)
    assert found.blocks_run < found.blocks_total
    assert found.findings == ()


def test_a_translation_that_updates_its_argument_is_judged_on_data(tmp_path: Path) -> None:
    text = """
__global__ void k(float* y, const float* x, int n) { int i = blockIdx.x * 32 + threadIdx.x; if (i < n) y[i] += 2 * x[i]; }
extern "C" void axpy(float* y, const float* x, int n) {
  float *p, *q; cudaMalloc(&p, n * 4); cudaMalloc(&q, n * 4);
  cudaMemcpy(p, y, n * 4, cudaMemcpyHostToDevice); cudaMemcpy(q, x, n * 4, cudaMemcpyHostToDevice);
  k<<<(n + 31) / 32, 32>>>(p, q, n);
  cudaMemcpy(y, p, n * 4, cudaMemcpyDeviceToHost);
}
"""
    names = ["k.cu", "right.cu", "wrong.cu"]
    for name, change in zip(names, ("2 * x", "x[i] + x", "3 * x"), strict=True):
        (tmp_path / name).write_text(text.replace("2 * x", change))
    original, right, wrong = (tmp_path / name for name in names)
    options = Options(scalars={"n": 70})
    found = judge(original, right, options)
    assert found.ok
    assert all(match.written for match in found.matches)
    mismatch = judge(original, wrong, options).mismatch
    assert mismatch is not None
    assert np.isfinite(mismatch.want)


def test_vectors_of_words_move_the_bits_of_halves() -> None:
    text = """
#include <cuda_fp16.h>
__global__ void staged(const half* __restrict__ x, half* __restrict__ y) {
  __shared__ half tile[512];
  int base = blockIdx.x * 512, t = threadIdx.x;
  *reinterpret_cast<uint4*>(&tile[t * 8]) = *reinterpret_cast<const uint4*>(&x[base + t * 8]);
  __syncthreads();
  half r[8];
  for (int i = 0; i < 8; i++) r[i] = __hmul(tile[511 - (t * 8 + i)], __float2half(2.0f));
  *reinterpret_cast<float4*>(&y[base + t * 8]) = *reinterpret_cast<float4*>(r);
}
"""
    options = Options(grid=(2, 1, 1), block=(64, 1, 1), buffers={"x": (1024, "in"), "y": (1024, "out")}, sets=3)
    result = translate(SourceFile("staged.cu", text), ["llvm", "cuda"], options)
    assert result.ok
    assert result.lifted.grade == "A"
    assert result.lifted.punned
    assert {v.bounds for t in result.targets.values() for v in t.verdicts} == {"relative"}
    x = np.random.default_rng(3).standard_normal(1024).astype(np.float16)
    got = run_library(result.targets["llvm"].emitted, result.problem, {"x": x}, {"y": np.zeros(1024, np.float16)})["y"]
    np.testing.assert_array_equal(got, (x.reshape(2, 512)[:, ::-1] * np.float16(2)).reshape(-1))


def test_files_outside_the_model_are_judged() -> None:
    kernel = """__global__ void k(const float* x, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (x[i] > 0.f) goto positive;
  y[i] = %s;
  return;
positive:
  y[i] = x[i] * 2.f;
}
"""
    options = Options(entry="k", grid=(4, 1, 1), block=(64, 1, 1), buffers={"x": (256, "in"), "y": (256, "out")})
    original = SourceFile("original.cu", kernel % "-x[i]")
    assert judge(original, SourceFile("same.cu", kernel % "0.f - x[i]"), options).grade == "tested"
    assert judge(original, SourceFile("wrong.cu", kernel % "x[i]"), options).grade == "failed"


def test_shared_arrays_of_classes_have_no_hidden_state() -> None:
    """g++ guards a static array of a class, which looked like a race of all threads."""
    source = """
#include <cuda_bf16.h>
struct Complex { float re, im; Complex() = default; __host__ __device__ Complex(float a, float b) : re(a), im(b) {} };
template <class T, int N> __global__ void f(const T* x, float* y, const Complex* z) {
  __shared__ T s[N][2], other[N];
  static __shared__ __align__(16) Complex c[N];
  int t = threadIdx.x, at = blockIdx.x * N + t;
  s[t][0] = x[at]; other[t] = x[at]; c[t] = z[at];
  __syncthreads();
  y[at] = (float)s[N - 1 - t][0] + (float)other[t] + c[N - 1 - t].re * c[t].im;
}
"""
    options = Options(entry="f<__nv_bfloat16, 64>", grid=(4, 1, 1), block=(64, 1, 1), sets=3)
    assert translate(SourceFile("s.cu", source), "llvm", options).ok


def test_a_header_beside_the_kernel_is_the_users(tmp_path: Path) -> None:
    """Also one that is called like ours."""
    (tmp_path / "memory.h").write_text("#define TWICE(x) (2 * (x))\n")
    kernel = tmp_path / "k.cu"
    kernel.write_text('#include "memory.h"\n__global__ void f(const float* x, float* y) { y[threadIdx.x] = TWICE(x[threadIdx.x]); }\n')
    assert translate(kernel, "llvm", Options(grid=(1, 1, 1), block=(64, 1, 1), sets=2)).ok


def test_vectors_are_checked_element_by_element() -> None:
    """Builtins say once what they touch: the first element at fault is named, and operands are read before the result is written."""
    text = """#include <bang.h>
__mlu_entry__ void k(const float* x, float* y) {
  __nram__ float a[64], b[64];
  if (taskId == 0) {
    __memcpy(a, x, 60 * sizeof(float), GDRAM2NRAM);
    __bang_add(%s, a, a, 64);
    __memcpy(y, %s, 64 * sizeof(float), NRAM2GDRAM);
  }
}
"""
    options = Options(grid=(4, 1, 1), buffers={"x": (64, "in"), "y": (64, "out")}, sets=3)
    for result in "ab":
        findings = translate(SourceFile("k.mlu", text % (result, result)), "llvm", options).examination.findings
        assert {(f.code, f.line) for f in findings} >= {("XP203", 6)}
        assert all("byte 240" in f.message for f in findings)
    with pytest.raises(XpilerError, match=r"outside of its buffer \('x', byte 256\)"):
        translate(SourceFile("k.mlu", (text % ("b", "b")).replace("60", "80")), "llvm", options)


def test_a_port_that_is_launched_in_another_way() -> None:
    """The original has a host wrapper with a size, the port is a kernel alone; each has options of its own."""
    original = """
__global__ void k(const float* x, float* y, int n) { int i = blockIdx.x * 64 + threadIdx.x; if (i < n) y[i] = 2.0f * x[i]; }
extern "C" void scale(float* x, float* y, int n) {
  float *a, *b;
  cudaMalloc(&a, n * sizeof(float)); cudaMalloc(&b, n * sizeof(float));
  cudaMemcpy(a, x, n * sizeof(float), cudaMemcpyHostToDevice);
  k<<<(n + 63) / 64, 64>>>(a, b, n);
  cudaMemcpy(y, b, n * sizeof(float), cudaMemcpyDeviceToHost);
}
"""
    port = """#include <bang.h>
__mlu_entry__ void scale(const float* x, float* y) {
  __nram__ float a[64];
  __memcpy(a, x + taskId * 64, 64 * sizeof(float), GDRAM2NRAM);
  __bang_mul_scalar(a, a, %s, 64);
  __memcpy(y + taskId * 64, a, 64 * sizeof(float), NRAM2GDRAM);
}
"""
    options, theirs = Options(scalars={"n": 256}, sets=3), Options(grid=(4, 1, 1))
    source = SourceFile("scale.cu", original)
    assert judge(source, SourceFile("scale.mlu", port % "2.0f"), options, theirs).grade == "tested"
    assert judge(source, SourceFile("scale.mlu", port % "2.5f"), options, theirs).mismatch is not None
    with pytest.raises(XpilerError, match="reaches 512 elements, and 'x' has 256"):
        judge(source, SourceFile("scale.mlu", port % "2.0f"), options, Options(grid=(8, 1, 1)))
