// Root mean square norm: a block and a tree in shared memory for each row.
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

__global__ void rms_norm_kernel(const float* x, const float* gamma, float* y) {
  int row = blockIdx.x, col = threadIdx.x;
  float v = x[row * COLS + col];
  float scale = 1.0f / sqrtf(block_sum(v * v) * (1.0f / COLS) + 1e-5f);
  y[row * COLS + col] = v * scale * gamma[col];
}

extern "C" void rms_norm(const float* x, const float* gamma, float* y) {
  float *d_x, *d_gamma, *d_y;
  cudaMalloc(&d_x, ROWS * COLS * sizeof(float));
  cudaMemcpy(d_x, x, ROWS * COLS * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_gamma, COLS * sizeof(float));
  cudaMemcpy(d_gamma, gamma, COLS * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, ROWS * COLS * sizeof(float));
  rms_norm_kernel<<<ROWS, COLS>>>(d_x, d_gamma, d_y);
  cudaMemcpy(y, d_y, ROWS * COLS * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_gamma);
  cudaFree(d_y);
}
