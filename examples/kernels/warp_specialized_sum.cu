// Warp 0 fetches the next tile of a row into shared memory while warps 1 to 4 sum the present one.
#include <cuda_runtime.h>
#define TILE 128

__global__ void warp_specialized_sum(const float* x, float* y, int cols) {
  __shared__ float tile[2][TILE];
  __shared__ float part[4];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const float* row = x + blockIdx.x * cols;
  if (warp == 0)
    for (int i = lane; i < TILE; i += 32) tile[0][i] = row[i];
  __syncthreads();
  float sum = 0.0f;
  for (int t = 0; t < cols / TILE; t++) {
    if (warp == 0) {
      if (t + 1 < cols / TILE)
        for (int i = lane; i < TILE; i += 32) tile[(t + 1) & 1][i] = row[(t + 1) * TILE + i];
    } else {
      sum += tile[t & 1][(warp - 1) * 32 + lane];
    }
    __syncthreads();
  }
  if (warp > 0) {
    for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_down_sync(0xffffffff, sum, offset);
    if (lane == 0) part[warp - 1] = sum;
  }
  __syncthreads();
  if (threadIdx.x == 0) y[blockIdx.x] = part[0] + part[1] + part[2] + part[3];
}
