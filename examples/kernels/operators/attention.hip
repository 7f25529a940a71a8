// Attention with an online softmax: a lane for each query.
#include <hip/hip_runtime.h>
#define HEADS 2
#define LENGTH 64
#define DIM 32
#define SCALE 0.176776695f

__global__ void attention_kernel(const float* q, const float* k, const float* v, float* y) {
  int row = blockIdx.x * blockDim.x + threadIdx.x, head = blockIdx.y;
  const float* mine = q + (head * LENGTH + row) * DIM;
  float best = -INFINITY, total = 0.0f, sum[DIM];
  for (int d = 0; d < DIM; d++) sum[d] = 0.0f;
  for (int j = 0; j < LENGTH; j++) {
    float score = 0.0f;
    for (int d = 0; d < DIM; d++) score += mine[d] * k[(head * LENGTH + j) * DIM + d];
    score = score * SCALE;
    float higher = fmaxf(best, score), keep = expf(best - higher), weight = expf(score - higher);
    total = total * keep + weight;
    for (int d = 0; d < DIM; d++) sum[d] = sum[d] * keep + weight * v[(head * LENGTH + j) * DIM + d];
    best = higher;
  }
  for (int d = 0; d < DIM; d++) y[(head * LENGTH + row) * DIM + d] = sum[d] / total;
}

extern "C" void attention(const float* q, const float* k, const float* v, float* y) {
  float *d_q, *d_k, *d_v, *d_y;
  hipMalloc(&d_q, HEADS * LENGTH * DIM * sizeof(float));
  hipMemcpy(d_q, q, HEADS * LENGTH * DIM * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_k, HEADS * LENGTH * DIM * sizeof(float));
  hipMemcpy(d_k, k, HEADS * LENGTH * DIM * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_v, HEADS * LENGTH * DIM * sizeof(float));
  hipMemcpy(d_v, v, HEADS * LENGTH * DIM * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, HEADS * LENGTH * DIM * sizeof(float));
  hipLaunchKernelGGL(attention_kernel, dim3(1, HEADS), dim3(LENGTH), 0, 0, d_q, d_k, d_v, d_y);
  hipMemcpy(y, d_y, HEADS * LENGTH * DIM * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_q);
  hipFree(d_k);
  hipFree(d_v);
  hipFree(d_y);
}
