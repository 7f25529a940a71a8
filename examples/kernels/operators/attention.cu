// Attention: a block for each query, scores in shared memory.
#include <cuda_runtime.h>
#define HEADS 2
#define LENGTH 64
#define DIM 32
#define SCALE 0.176776695f

__global__ void attention_kernel(const float* q, const float* k, const float* v, float* y) {
  __shared__ float weight[LENGTH];
  __shared__ float best, total;
  int row = blockIdx.x, head = blockIdx.y, j = threadIdx.x;
  const float* mine = q + (head * LENGTH + row) * DIM;
  float score = 0.0f;
  for (int d = 0; d < DIM; d++) score += mine[d] * k[(head * LENGTH + j) * DIM + d];
  weight[j] = score * SCALE;
  __syncthreads();
  if (j == 0) {
    float m = -INFINITY;
    for (int i = 0; i < LENGTH; i++) m = fmaxf(m, weight[i]);
    best = m;
  }
  __syncthreads();
  weight[j] = expf(weight[j] - best);
  __syncthreads();
  if (j == 0) {
    float s = 0.0f;
    for (int i = 0; i < LENGTH; i++) s += weight[i];
    total = s;
  }
  __syncthreads();
  if (j < DIM) {
    float sum = 0.0f;
    for (int i = 0; i < LENGTH; i++) sum += weight[i] * v[(head * LENGTH + i) * DIM + j];
    y[(head * LENGTH + row) * DIM + j] = sum / total;
  }
}

extern "C" void attention(const float* q, const float* k, const float* v, float* y) {
  float *d_q, *d_k, *d_v, *d_y;
  cudaMalloc(&d_q, HEADS * LENGTH * DIM * sizeof(float));
  cudaMemcpy(d_q, q, HEADS * LENGTH * DIM * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_k, HEADS * LENGTH * DIM * sizeof(float));
  cudaMemcpy(d_k, k, HEADS * LENGTH * DIM * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_v, HEADS * LENGTH * DIM * sizeof(float));
  cudaMemcpy(d_v, v, HEADS * LENGTH * DIM * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, HEADS * LENGTH * DIM * sizeof(float));
  attention_kernel<<<dim3(LENGTH, HEADS), LENGTH>>>(d_q, d_k, d_v, d_y);
  cudaMemcpy(y, d_y, HEADS * LENGTH * DIM * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_q);
  cudaFree(d_k);
  cudaFree(d_v);
  cudaFree(d_y);
}
