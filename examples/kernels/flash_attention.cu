// Attention with an online softmax: a thread owns a query, keys and values come through shared memory in tiles of 16.
#include <cuda_runtime.h>
#define TILE 16

template <int D>
__global__ void flash_attention(const float* q, const float* k, const float* v, float* out, int length, float scale) {
  __shared__ float keys[TILE][D], values[TILE][D];
  const int query = blockIdx.x * blockDim.x + threadIdx.x;
  const float* base = q + (blockIdx.y * length + query) * D;
  float mine[D], sum[D];
  for (int d = 0; d < D; d++) {
    mine[d] = base[d] * scale;
    sum[d] = 0.0f;
  }
  float best = -INFINITY, total = 0.0f;
  for (int start = 0; start < length; start += TILE) {
    for (int i = threadIdx.x; i < TILE * D; i += blockDim.x) {
      keys[i / D][i % D] = k[(blockIdx.y * length + start) * D + i];
      values[i / D][i % D] = v[(blockIdx.y * length + start) * D + i];
    }
    __syncthreads();
    for (int j = 0; j < TILE; j++) {
      float score = 0.0f;
      for (int d = 0; d < D; d++) score += mine[d] * keys[j][d];
      float higher = fmaxf(best, score);
      float keep = expf(best - higher), weight = expf(score - higher);
      total = total * keep + weight;
      for (int d = 0; d < D; d++) sum[d] = sum[d] * keep + weight * values[j][d];
      best = higher;
    }
    __syncthreads();
  }
  for (int d = 0; d < D; d++) out[(blockIdx.y * length + query) * D + d] = sum[d] / total;
}
