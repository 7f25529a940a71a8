// Depthwise 3 x 3 convolution, NHWC with zero padding: a block stages its patch with a halo in shared memory.
#include <cuda_runtime.h>
#define TILE 8

__global__ void depthwise_conv_shared(const float* x, const float* w, float* y, int H, int W, int C) {
  __shared__ float patch[TILE + 2][TILE + 2];
  const int c = blockIdx.z, top = blockIdx.y * TILE, left = blockIdx.x * TILE;
  for (int i = threadIdx.y * TILE + threadIdx.x; i < (TILE + 2) * (TILE + 2); i += TILE * TILE) {
    const int r = top + i / (TILE + 2) - 1, s = left + i % (TILE + 2) - 1;
    patch[i / (TILE + 2)][i % (TILE + 2)] = (r >= 0 && r < H && s >= 0 && s < W) ? x[(r * W + s) * C + c] : 0.0f;
  }
  __syncthreads();
  const int row = top + threadIdx.y, col = left + threadIdx.x;
  if (row < H && col < W) {
    float sum = 0.0f;
#pragma unroll
    for (int r = 0; r < 3; r++)
#pragma unroll
      for (int s = 0; s < 3; s++) sum += patch[threadIdx.y + r][threadIdx.x + s] * w[(r * 3 + s) * C + c];
    y[(row * W + col) * C + c] = sum;
  }
}
