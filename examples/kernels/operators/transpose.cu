// Transpose through a padded tile.
#include <cuda_runtime.h>
#define ROWS 64
#define COLS 96

__global__ void transpose_kernel(const float* x, float* y) {
  __shared__ float tile[32][33];
  int col = blockIdx.x * 32 + threadIdx.x, row = blockIdx.y * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8) tile[threadIdx.y + j][threadIdx.x] = x[(row + j) * COLS + col];
  __syncthreads();
  col = blockIdx.y * 32 + threadIdx.x, row = blockIdx.x * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8) y[(row + j) * ROWS + col] = tile[threadIdx.x][threadIdx.y + j];
}

extern "C" void transpose(const float* x, float* y) {
  float *d_x, *d_y;
  cudaMalloc(&d_x, ROWS * COLS * sizeof(float));
  cudaMemcpy(d_x, x, ROWS * COLS * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, COLS * ROWS * sizeof(float));
  transpose_kernel<<<dim3(COLS / 32, ROWS / 32), dim3(32, 8)>>>(d_x, d_y);
  cudaMemcpy(y, d_y, COLS * ROWS * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_y);
}
