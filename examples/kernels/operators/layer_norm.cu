// Layer norm: a block and a tree in shared memory for each row.
#include <cuda_runtime.h>
#define ROWS 32
#define COLS 128

__device__ float block_sum(float v) {
  __shared__ float part[COLS];
  part[threadIdx.x] = v;
  __syncthreads();
  for (int half = COLS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  v = part[0];
  __syncthreads();
  return v;
}

__global__ void layer_norm_kernel(const float* x, const float* gamma, const float* beta, float* y) {
  int row = blockIdx.x, col = threadIdx.x;
  float v = x[row * COLS + col];
  float mean = block_sum(v) * (1.0f / COLS);
  float variance = block_sum((v - mean) * (v - mean)) * (1.0f / COLS);
  y[row * COLS + col] = (v - mean) * (1.0f / sqrtf(variance + 1e-5f)) * gamma[col] + beta[col];
}

extern "C" void layer_norm(const float* x, const float* gamma, const float* beta, float* y) {
  float *d_x, *d_gamma, *d_beta, *d_y;
  cudaMalloc(&d_x, ROWS * COLS * sizeof(float));
  cudaMemcpy(d_x, x, ROWS * COLS * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_gamma, COLS * sizeof(float));
  cudaMemcpy(d_gamma, gamma, COLS * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_beta, COLS * sizeof(float));
  cudaMemcpy(d_beta, beta, COLS * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, ROWS * COLS * sizeof(float));
  layer_norm_kernel<<<ROWS, COLS>>>(d_x, d_gamma, d_beta, d_y);
  cudaMemcpy(y, d_y, ROWS * COLS * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_gamma);
  cudaFree(d_beta);
  cudaFree(d_y);
}
