// Softmax of each row: a block and a tree in shared memory for each row.
#include <cuda_runtime.h>
#define ROWS 32
#define COLS 128

__device__ float block_max(float v) {
  __shared__ float part[COLS];
  part[threadIdx.x] = v;
  __syncthreads();
  for (int half = COLS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] = fmaxf(part[threadIdx.x], part[threadIdx.x + half]);
    __syncthreads();
  }
  v = part[0];
  __syncthreads();
  return v;
}

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

__global__ void softmax_kernel(const float* x, float* y) {
  int row = blockIdx.x, col = threadIdx.x;
  float v = x[row * COLS + col];
  float e = expf(v - block_max(v));
  y[row * COLS + col] = e * (1.0f / block_sum(e));
}

extern "C" void softmax(const float* x, float* y) {
  float *d_x, *d_y;
  cudaMalloc(&d_x, ROWS * COLS * sizeof(float));
  cudaMemcpy(d_x, x, ROWS * COLS * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, ROWS * COLS * sizeof(float));
  softmax_kernel<<<ROWS, COLS>>>(d_x, d_y);
  cudaMemcpy(y, d_y, ROWS * COLS * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_y);
}
