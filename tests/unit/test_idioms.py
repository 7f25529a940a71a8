"""Ways of writing that kernels share: closures, function objects, references, cooperative groups, tails of vector loops, short floats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tvm_xpiler import Options, lift, translate
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.emit.execute import run_library

pytestmark = pytest.mark.usefixtures("text_alone")

BLOCK_REDUCE = """
struct Sum { __device__ float operator()(float a, float b) const { return a + b; } static __device__ float init() { return 0.f; } };
struct Largest { __device__ float operator()(float a, float b) const { return a > b ? a : b; } static __device__ float init() { return -3.0e38f; } };
template <typename Op> __device__ __forceinline__ float warp_reduce(float v, Op op) {
#pragma unroll
  for (int o = 16; o > 0; o >>= 1) v = op(v, __shfl_xor_sync(0xffffffffu, v, o));
  return v;
}
template <typename Op> __device__ float block_reduce(float v, Op op) {
  static __shared__ float s[32];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  v = warp_reduce(v, op);
  if (lane == 0) s[warp] = v;
  __syncthreads();
  v = threadIdx.x < blockDim.x / 32 ? s[lane] : Op::init();
  if (warp == 0) v = warp_reduce(v, op);
  if (threadIdx.x == 0) s[0] = v;
  __syncthreads();
  v = s[0];
  __syncthreads();
  return v;
}
__global__ void log_softmax(const float* x, float* y, int cols) {
  const float* r = x + blockIdx.x * cols;
  float m = -3.0e38f, s = 0.f;
  for (int i = threadIdx.x; i < cols; i += blockDim.x) m = fmaxf(m, r[i]);
  m = block_reduce(m, Largest());
  for (int i = threadIdx.x; i < cols; i += blockDim.x) s += expf(r[i] - m);
  s = logf(block_reduce(s, Sum()));
  for (int i = threadIdx.x; i < cols; i += blockDim.x) y[blockIdx.x * cols + i] = r[i] - m - s;
}
"""
CLOSURE = """
#include <cuda_pipeline.h>
template <class F> __device__ void each(int n, F f) { for (int i = 0; i < n; i++) f(i); }
__global__ void staged(const float* x, float* y, int n) {
  __shared__ float tile[2][64];
  int t = threadIdx.x, base = blockIdx.x * n;
  auto fetch = [&](int stage, int at) {
    if (t < 16) __pipeline_memcpy_async(&tile[stage][t * 4], &x[base + at + t * 4], 16);
    __pipeline_commit();
  };
  float sum = 0.0f;
  fetch(0, 0);
  for (int at = 0, s = 0; at < n; at += 64, s ^= 1) {
    if (at + 64 < n) { fetch(s ^ 1, at + 64); __pipeline_wait_prior(1); } else __pipeline_wait_prior(0);
    __syncthreads();
    each(2, [&](int i) { sum += tile[s][t * 2 + i]; });
    __syncthreads();
  }
  y[blockIdx.x * 32 + t] = sum;
}
"""
GROUPS = """
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
namespace cg = cooperative_groups;
__global__ void row_norm(const float* x, float* y, int cols) {
  cg::thread_block block = cg::this_thread_block();
  cg::thread_block_tile<32> warp = cg::tiled_partition<32>(block);
  int row = blockIdx.x * warp.meta_group_size() + warp.meta_group_rank();
  float s = 0;
  for (int i = warp.thread_rank(); i < cols; i += warp.size()) s += x[row * cols + i] * x[row * cols + i];
  s = cg::reduce(warp, s, cg::plus<float>());
  if (warp.thread_rank() == 0) y[row] = sqrtf(s);
}
"""
BFLOAT16 = """
#include <cuda_bf16.h>
__global__ void add(const __nv_bfloat16* a, const __nv_bfloat16* b, __nv_bfloat16* c, int n) {
  int i = (blockIdx.x * blockDim.x + threadIdx.x) * 2;
  if (i >= n) return;
  __nv_bfloat162 x = *reinterpret_cast<const __nv_bfloat162*>(a + i), y = *reinterpret_cast<const __nv_bfloat162*>(b + i);
  *reinterpret_cast<__nv_bfloat162*>(c + i) = __hadd2(x, y);
}
"""
TAILS = """
#include <immintrin.h>
static inline float largest(__m256 v) {
  __m128 a = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  a = _mm_max_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
}
void scaled(const float* x, float* y, int rows, int cols) {
  for (int r = 0; r < rows; ++r) {
    const float* p = x + r * cols;
    __m256 m = _mm256_set1_ps(0.0f);
    int c = 0;
    for (; c + 8 <= cols; c += 8) m = _mm256_max_ps(m, _mm256_loadu_ps(p + c));
    float best = largest(m);
    for (; c < cols; ++c) best = p[c] > best ? p[c] : best;
    for (c = 0; c <= cols - 8; c += 8)
      _mm256_storeu_ps(y + r * cols + c, _mm256_mul_ps(_mm256_loadu_ps(p + c), _mm256_set1_ps(best)));
    while (c < cols) { y[r * cols + c] = p[c] * best; c++; }
  }
}
"""
REFERENCES = """
template <typename T, int N> struct Pack {
  T v[N];
  __device__ T& operator[](int i) { return v[i]; }
  __device__ const T& operator[](int i) const { return v[i]; }
};
template <typename T, int N> __device__ Pack<T, N> load(const T* p) { Pack<T, N> r; for (int i = 0; i < N; ++i) r[i] = p[i]; return r; }
template <bool RELU> __global__ void residual(const float* a, const float* b, float* c, int n) {
  int i = (blockIdx.x * blockDim.x + threadIdx.x) * 4;
  if (i >= n) return;
  auto x = load<float, 4>(a + i), y = load<float, 4>(b + i);
  Pack<float, 4> z;
  for (int k = 0; k < 4; ++k) { z[k] = x[k] + y[k]; if constexpr (RELU) z[k] = z[k] > 0.f ? z[k] : 0.f; }
  for (int k = 0; k < 4; ++k) c[i + k] = z[k];
}
"""
CLUSTER = """
__mlu_shared__ float held[64 * 64];
__mlu_entry__ void product(const float* a, const float* w, float* c, int m) {
  __nram__ float line[64], result[64];
  __wram__ float weight[64 * 64];
  if (coreId == 0) __memcpy(held, w, 64 * 64 * sizeof(float), GDRAM2SRAM);
  __sync_cluster();
  __memcpy(weight, held, 64 * 64 * sizeof(float), SRAM2WRAM);
  for (int i = taskId; i < m; i += taskDim) {
    __memcpy(line, a + i * 64, 64 * sizeof(float), GDRAM2NRAM);
    __bang_mlp(result, line, weight, 64, 64);
    __memcpy(c + i * 64, result, 64 * sizeof(float), NRAM2GDRAM);
  }
}
"""
IM2COL = """
#include <stdlib.h>
void conv(const float* x, const float* w, float* y, int C, int H, int W, int O, int R) {
  int OH = H - R + 1, OW = W - R + 1, K = C * R * R;
  float* col = (float*)malloc(sizeof(float) * K * OH * OW);
  for (int c = 0; c < C; c++) for (int a = 0; a < R; a++) for (int b = 0; b < R; b++)
    for (int i = 0; i < OH; i++) for (int j = 0; j < OW; j++)
      col[((c * R + a) * R + b) * OH * OW + i * OW + j] = x[(c * H + i + a) * W + j + b];
  for (int o = 0; o < O; o++) for (int p = 0; p < OH * OW; p++) {
    float s = 0;
    for (int k = 0; k < K; k++) s += w[o * K + k] * col[k * OH * OW + p];
    y[o * OH * OW + p] = s;
  }
  free(col);
}
"""
SPARSE = """
__global__ void spmv(const int* ptr, const int* col, const float* val, const float* x, float* y, int rows) {
  int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  float s = 0;
  for (int j = ptr[row] + lane; j < ptr[row + 1]; j += 32) s += val[j] * x[col[j]];
  for (int o = 16; o; o /= 2) s += __shfl_down_sync(~0u, s, o);
  if (!lane) y[row] = s;
}
"""
VIEWS = """
#include <math.h>
void levels(const float* x, const int* sizes, float* y) {
  float offset[1], corner[8];
  for (int i = 0; i < 4; i++) {
    ((int*)offset)[0] = 0;
    for (int k = 0; k < i; k++) ((int*)offset)[0] = ((int*)offset)[0] + (sizes[k] & 7);
    for (int j = 0; j < 8; j++) ((float*)corner)[j] = x[i * 8 + j] * (float)((int*)offset)[0];
    for (int j = 0; j < 8; j++) y[i * 8 + j] = corner[j];
  }
}
"""
RAGGED = """
__global__ void shifted(const float* x, float* y) {
  int row = blockIdx.x * 64 + threadIdx.x;
  if (row < 100) {
    float m = x[row * 128];
    for (int c = 1; c < 128; c++) m = fmaxf(m, x[threadIdx.x * 128 + c]);
    for (int c = 0; c < 128; c++) y[row * 128 + c] = x[row * 128 + c] - m;
  }
}
"""
UNSIGNED = """
#include <stdint.h>
void sums(const int8_t* a, const int8_t* b, float* y) {
  for (int i = 0; i < 64; i++) {
    int32_t s = 0;
    for (int k = 0; k < 32; k++) s += a[i * 32 + k] * b[k];
    y[i] = (uint32_t)s;
  }
}
"""
SYMBOL = """
#define R 3
__constant__ float weights[2 * R + 1];
__global__ void conv(const float* x, float* y, int n) {
  __shared__ float tile[128 + 2 * R];
  int i = blockIdx.x * 128 + threadIdx.x;
  tile[threadIdx.x + R] = i < n ? x[i] : 0.f;
  if (threadIdx.x < R) {
    tile[threadIdx.x] = i >= R ? x[i - R] : 0.f;
    tile[128 + R + threadIdx.x] = i + 128 < n ? x[i + 128] : 0.f;
  }
  __syncthreads();
  if (i >= n) return;
  float s = 0;
  for (int k = -R; k <= R; ++k) s += weights[k + R] * tile[threadIdx.x + R + k];
  y[i] = s;
}
extern "C" void run(const float* x, const float* w, float* y, int n) {
  float *dx, *dy;
  cudaMalloc(&dx, n * sizeof(float)); cudaMalloc(&dy, n * sizeof(float));
  cudaMemcpy(dx, x, n * sizeof(float), cudaMemcpyHostToDevice);
  cudaMemcpyToSymbol(weights, w, (2 * R + 1) * sizeof(float));
  conv<<<(n + 127) / 128, 128>>>(dx, dy, n);
  cudaMemcpy(y, dy, n * sizeof(float), cudaMemcpyDeviceToHost);
}
"""
SWITCH = """
__global__ void act(const float* x, float* y, int n, int kind) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if ((unsigned)(i - 3) >= (unsigned)n) return;
  float v = x[i - 3];
  switch (kind) { default: v = 0.f; break; case 0: v = fmaxf(v, 0.f); break; case 1: v = v * 2.f; case 2: v = v + 1.f; break; }
  y[i - 3] = v;
}
"""
SWAP = """
__device__ void larger(float* a, float v) {
  int* p = (int*)a;
  int old = *p, assumed;
  do { assumed = old; if (__int_as_float(assumed) >= v) break; old = atomicCAS(p, assumed, __float_as_int(v)); } while (assumed != old);
}
__global__ void most(const float* x, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) larger(out, x[i]);
}
"""
NETWORK = """
static inline void order(float& a, float& b) { float t = a < b ? a : b; b = a < b ? b : a; a = t; }
void median(const float* x, float* y, int n) {
  for (int i = 0; i < n; i++) {
    float v[3];
    for (int a = 0; a < 3; ++a) v[a] = x[i * 3 + a];
    for (int p = 0; p < 2; ++p) for (int q = p + 1; q < 3; ++q) order(v[p], v[q]);
    y[i] = v[1];
  }
}
"""
HASH = """
__device__ unsigned hash(unsigned x) { x ^= x >> 16; x *= 0x7feb352dU; x ^= x >> 15; x *= 0x846ca68bU; x ^= x >> 16; return x; }
__global__ void dropout(const float* x, float* y, unsigned seed, float p, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float u = (hash(seed + i * 2654435761u) >> 8) * (1.0f / 16777216.0f);
  y[i] = u >= p ? x[i] / (1.f - p) : 0.f;
}
"""
MASKED = """
__global__ void attend(const float* q, const int* pick, float* out, int t) {
  __shared__ float s[64];
  int row = blockIdx.x;
  s[threadIdx.x] = threadIdx.x <= row ? q[pick[row] * t + threadIdx.x] : -INFINITY;
  __syncthreads();
  float m = -INFINITY, z = 0;
  for (int j = 0; j < t; ++j) m = fmaxf(m, s[j]);
  for (int j = 0; j < t; ++j) z += expf(s[j] - m);
  out[row * t + threadIdx.x] = expf(s[threadIdx.x] - m) / z;
}
"""
CASES = {
    "symbol.cu": (SYMBOL, Options(scalars={"n": 1000})),
    "switch.cu": (SWITCH, Options(scalars={"n": 500, "kind": 1}, buffers={"x": ("n", "in"), "y": ("n", "out")}, grid=(4, 1, 1), block=(128, 1, 1))),
    "swap.cu": (SWAP, Options(scalars={"n": 200}, buffers={"x": ("n", "in"), "out": (1, "inout")}, grid=(2, 1, 1), block=(128, 1, 1))),
    "network.cpp": (NETWORK, Options(scalars={"n": 20})),
    "hash.cu": (HASH, Options(scalars={"seed": 42, "p": 0.25, "n": 500}, buffers={"x": ("n", "in"), "y": ("n", "out")}, grid=(4, 1, 1), block=(128, 1, 1))),
    "masked.cu": (MASKED, Options(scalars={"t": 64}, buffers={"q": ("8*t", "in"), "pick": (64, "in"), "out": ("64*t", "out")}, grid=(64, 1, 1), block=(64, 1, 1))),
    "views.c": (VIEWS, Options()),
    "ragged.cu": (RAGGED, Options(buffers={"x": (12800, "in"), "y": (12800, "out")}, grid=(2, 1, 1), block=(64, 1, 1))),
    "unsigned.c": (UNSIGNED, Options()),
    "block_reduce.cu": (BLOCK_REDUCE, Options(scalars={"cols": 700}, buffers={"x": ("6*cols", "in"), "y": ("6*cols", "out")}, grid=(6, 1, 1), block=(256, 1, 1))),
    "closure.cu": (CLOSURE, Options(scalars={"n": 256}, buffers={"x": ("3*n", "in"), "y": (96, "out")}, grid=(3, 1, 1), block=(32, 1, 1))),
    "groups.cu": (GROUPS, Options(scalars={"cols": 200}, buffers={"x": ("16*cols", "in"), "y": (16, "out")}, grid=(4, 1, 1), block=(128, 1, 1))),
    "bfloat16.cu": (BFLOAT16, Options(scalars={"n": 1000}, buffers={"a": ("n", "in"), "b": ("n", "in"), "c": ("n", "out")}, grid=(4, 1, 1), block=(128, 1, 1))),
    "references.cu": (REFERENCES, Options(entry="residual<true>", scalars={"n": 1000}, buffers={"a": ("n", "in"), "b": ("n", "in"), "c": ("n", "out")}, grid=(2, 1, 1), block=(128, 1, 1))),
    "cluster.mlu": (CLUSTER, Options(scalars={"m": 24}, grid=(8, 1, 1))),
    "im2col.c": (IM2COL, Options(scalars={"C": 3, "H": 9, "W": 10, "O": 5, "R": 3})),
    "sparse.cu": (SPARSE, Options(scalars={"rows": 10}, buffers={"ptr": (11, "in"), "col": (300, "in"), "val": (300, "in"), "x": (50, "in"), "y": (10, "out")}, grid=(3, 1, 1), block=(128, 1, 1))),
    "tails.cpp": (TAILS, Options(scalars={"rows": 7, "cols": 45})),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_idiom_goes_to_every_target(name: str) -> None:
    text, options = CASES[name]
    result = translate(SourceFile(name, text), ["llvm", "cuda", "bang"], replace(options, sets=3))
    assert result.ok, {k: [v.reason or v.mismatch for v in t.verdicts] for k, t in result.targets.items()}
    # A length that depends on data has no normal form, nor has a loop of exchanges.
    grade = {"sparse.cu": "B", "swap.cu": "C"}.get(name, "A")
    assert result.lifted.grade == grade, result.lifted.reason


@pytest.mark.parametrize("dtype", ["float", "double"])
def test_small_arguments_of_tanh_keep_their_digits(dtype: str) -> None:
    text = f"__global__ void k(const {dtype}* x, {dtype}* y) {{ int i = blockIdx.x * 256 + threadIdx.x; y[i] = tanh(x[i]); }}\n"
    options = Options(buffers={"x": (4096, "in"), "y": (4096, "out")}, grid=(16, 1, 1), block=(256, 1, 1), sets=1)
    result = translate(SourceFile("tanh.cu", text), "llvm", options)
    held, unit = (np.float32, 2.0**-24) if dtype == "float" else (np.float64, 2.0**-53)
    x = (np.logspace(-30, 2, 4096) * np.where(np.arange(4096) % 2, 1, -1)).astype(held)
    got = run_library(result.targets["llvm"].emitted, result.problem, {"x": x}, {"y": np.zeros(4096, held)})["y"]
    np.testing.assert_allclose(got, np.tanh(x.astype(np.float64)), rtol=4 * unit)


FIRST = """
__global__ void f(const float* x, const float* b, float* y, int n) {
  int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= 20) return;
  float sum, most;
  for (int i = 0; i < n; ++i) {
    if (i == 0) { sum = b[r]; most = -1e30f; }
    sum += x[r * n + i] * 2.0f;
    most = fmaxf(most, x[r * n + i]);
  }
  y[r] = sum * most;
}
"""


def test_the_first_iteration_may_set_what_a_loop_carries() -> None:
    options = Options(scalars={"n": 32}, grid=(1, 1, 1), block=(32, 1, 1))
    result = translate(SourceFile("first.cu", FIRST), "llvm", options)
    assert result.ok
    assert result.lifted.grade == "A", result.lifted.reason
    assert result.lifted.func.script().count("T.init()") == 2


LEAKY = """
#include <immintrin.h>
void leaky(const float* x, float* y, int n) {
  __m512 zero = _mm512_setzero_ps();
  for (int i = 0; i < n; i += 16) {
    __mmask16 m = n - i >= 16 ? 0xFFFF : (__mmask16)((1u << (n - i)) - 1);
    __m512 v = _mm512_maskz_loadu_ps(m, x + i);
    v = _mm512_mask_mul_ps(v, _mm512_cmp_ps_mask(v, zero, _CMP_LT_OQ), v, _mm512_set1_ps(0.1f));
    _mm512_mask_storeu_ps(y + i, m, v);
  }
}
"""


def test_masks_of_comparisons_are_conditions() -> None:
    result = translate(SourceFile("leaky.c", LEAKY), "llvm", Options(scalars={"n": 100}, sets=3))
    assert result.ok
    assert result.lifted.grade == "A", result.lifted.reason
    script = result.lifted.func.script()
    assert "<<" not in script
    assert ">>" not in script
    assert "< T.float32(0.0)" in script


TAIL = "__mmask16 m = (__mmask16)((1u << (n - i)) - 1);"
CUT = "__mmask16 m = n - i >= 16 ? 0xFFFF : (__mmask16)((1u << (n - i)) - 1);"
SCALED = "_mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_set1_ps(0.5f)));"


@pytest.mark.parametrize(
    "body",
    [
        f"int i = 0; for (; i + 16 <= n; i += 16) {{ __mmask16 m = 0xFFFF; {SCALED} }} if (i < n) {{ {TAIL} {SCALED} }}",
        f"for (int i = 0; i < n; i += 16) {{ {CUT} {SCALED} }}",
        f"for (int i = 0; i < n; i += 16) {{ __mmask16 m = (__mmask16)(0xFFFFu >> (n - i < 16 ? 16 - (n - i) : 0)); {SCALED} }}",
        f"for (int i = 0; i < n; i += 16) {{ __mmask16 m = n - i < 16 ? _kand_mask16(0xFFFF, (__mmask16)((1u << (n - i)) - 1)) : 0xFFFF; {SCALED} }}",
    ],
)
def test_masks_of_tails_are_ranges(body: str) -> None:
    text = f"#include <immintrin.h>\nvoid k(const float* x, float* y, int n) {{ {body} }}\n"
    lifted = lift(SourceFile("k.c", text), Options(scalars={"n": 100}))
    assert lifted.grade == "A", lifted.reason
    script = lifted.func.script()
    assert script.count("with T.sblock(") == 2  # the root, and one stage
    assert "T.axis.spatial(100," in script
    assert "where" not in script
    assert "if_then_else" not in script


PIPELINE = """#include <bang.h>
#define N 256
__mlu_entry__ void scale(const float* x, float* y, int pieces) {
  __nram__ float in[2][N], out[2][N];
  int per = pieces / taskDim, first = taskId * per;
  __memcpy_async(in[0], x + first * N, N * sizeof(float), GDRAM2NRAM);
  __sync();
  for (int p = 0; p < per; p++) {
    if (p + 1 < per) __memcpy_async(in[(p + 1) % 2], x + (first + p + 1) * N, N * sizeof(float), GDRAM2NRAM);
    __bang_mul(out[p % 2], in[p % 2], in[p % 2], N);
    __memcpy_async(y + (first + p) * N, out[p % 2], N * sizeof(float), NRAM2GDRAM);
    __sync();
  }
}
"""


def test_what_a_core_copied_ahead_is_its_own() -> None:
    lifted = lift(SourceFile("scale.mlu", PIPELINE), Options(scalars={"pieces": 64}, grid=(4, 1, 1)))
    assert lifted.grade == "A", lifted.reason
    assert "T.axis.spatial(16384," in lifted.func.script()


@pytest.mark.parametrize(("held", "grade"), [("at", "A"), ("held += x[k * 64 + t]", "B")])
def test_what_another_thread_carries_through_a_loop(held: str, grade: str) -> None:
    """The value of a neighbour is in the neighbour's coordinates, or there is no closed form."""
    text = f"""
__global__ void steps(const float* x, float* y, int n) {{
  __shared__ float s[64];
  int t = threadIdx.x, at = 3 * t;
  float held = x[t];
  for (int k = 0; k < n; k++) {{
    s[t] = {held};
    at += 2;
    __syncthreads();
    y[k * 64 + t] = s[63 - t];
    __syncthreads();
  }}
}}
"""
    options = Options(scalars={"n": 200}, buffers={"x": (12800, "in"), "y": (12800, "out")}, grid=(1, 1, 1), block=(64, 1, 1), sets=2)
    result = translate(SourceFile("steps.cu", text), "llvm", options)
    assert result.ok
    assert result.lifted.grade == grade, result.lifted.reason
    assert "was not verified" not in result.lifted.reason


def test_bits_of_a_remainder_are_not_those_of_the_number() -> None:
    text = "void k(int* y, int n) { for (int i = 0; i < n; i++) for (int b = 0; b < 8; b++) y[i * 8 + b] = ((((1u << (i % 16)) - 1) % 1000) >> b) & 1; }\n"
    result = translate(SourceFile("k.c", text), "llvm", Options(scalars={"n": 64}, sets=2))
    assert result.ok
    assert not any("was not verified" in note for note in result.targets["llvm"].emitted.notes)


def test_small_powers_are_products() -> None:
    """``powf(x, 3)`` is a call that no vector unit has; the product is as exact and vectorizes."""
    source = """
    __global__ void cube(const float* a, float* b) {
      int i = blockIdx.x * 64 + threadIdx.x;
      b[i] = powf(a[i], 3.0f) + powf(a[i], 2) + powf(a[i], 0.3f);
    }
    """
    text = lift(SourceFile("k.cu", source), Options(grid=(4, 1, 1), block=(64, 1, 1))).func.script()
    assert text.count("T.pow") == 1
    assert "a[v_i0] * a[v_i0] * a[v_i0]" in text
