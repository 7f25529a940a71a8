"""What a block stages in shared memory, by vectors and in padded rows, is seen as the matrix that it was."""

from __future__ import annotations

import pytest

from tvm_xpiler import Options, lift, translate
from tvm_xpiler.core.source import SourceFile

STAGED = """
#include <cuda_fp16.h>
extern "C" __global__ void sums(const half* __restrict__ x, float* __restrict__ y) {  // of 32 x 64: row sums, four lanes for eight elements
  __shared__ __align__(16) half tile[8 * PITCH];
  float sum = 0;
  for (int k = 0; k < 2; ++k) {
    __syncthreads();
    *(uint4*)(tile + threadIdx.y * PITCH + threadIdx.x * 8) =
        *(const uint4*)(x + (blockIdx.x * 8 + threadIdx.y) * 64 + k * 32 + threadIdx.x * 8);
    SECOND
    __syncthreads();
    for (int group = 0; group < 8; ++group)
      for (int i = 0; i < 4; ++i) sum += __half2float(tile[threadIdx.y * PITCH + group * 4 + i]);
  }
  if (threadIdx.x == 0) y[blockIdx.x * 8 + threadIdx.y] = sum;
}
"""
_OVER = "if (threadIdx.x == 0) tile[threadIdx.y * PITCH + 5] = __float2half(1.0f);"


@pytest.mark.parametrize("pitch", [32, 40])
@pytest.mark.parametrize("over", [False, True])
def test_vectors_fill_a_tile(pitch: int, over: bool) -> None:
    text = STAGED.replace("SECOND", _OVER if over else "").replace("PITCH", str(pitch))
    source, options = SourceFile("sums.cu", text), Options(grid=(4, 1, 1), block=(4, 8, 1), sets=2, prove=True)
    lifted = lift(source, options)
    assert lifted.grade == "A"
    form = str(lifted.func)
    assert ("x[v_i0, v_k0]" in form) != over
    assert ("if_then_else" in form or "Select" in form) == over
    result = translate(source, "hip", options)
    assert result.ok, result.targets["hip"].verdicts


TILE = """
extern "C" __global__ void product(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c) {  // 2 x 4 a thread
  float sum[8];
  for (int i = 0; i < 8; ++i) sum[i] = 0.0f;
  int row = threadIdx.y * 2, column = threadIdx.x * 4;
  for (int k = 0; k < 32; ++k) {
    float x = a[row * 32 + k], y = a[(row + 1) * 32 + k];
    LINES
  }
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 4; ++j) c[(row + i) * 32 + column + j] = sum[i * 4 + j];
}
"""


def test_sums_that_are_spelled_out_are_a_tile() -> None:
    lines = "".join(f"sum[{i * 4 + j}] += {'xy'[i]} * b[k * 32 + column + {j}];" for i in range(2) for j in range(4))
    options = Options(grid=(1, 1, 1), block=(8, 8, 1))
    lifted = lift(SourceFile("product.cu", TILE.replace("LINES", lines)), options)
    assert lifted.grade == "A"
    form = str(lifted.func)
    assert form.count("T.sblock(") == 2  # one is the root, in a comment
    assert "if_then_else" not in form
