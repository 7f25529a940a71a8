// Matrix by vector: a warp for each row.
#include <cuda_runtime.h>
#define M 128
#define K 64

__global__ void gemv_kernel(const float* a, const float* x, float* y) {
  int row = blockIdx.x * blockDim.y + threadIdx.y;
  float sum = 0.0f;
  for (int k = threadIdx.x; k < K; k += 32) sum += a[row * K + k] * x[k];
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffff, sum, offset);
  if (threadIdx.x == 0) y[row] = sum;
}

extern "C" void gemv(const float* a, const float* x, float* y) {
  float *d_a, *d_x, *d_y;
  cudaMalloc(&d_a, M * K * sizeof(float));
  cudaMemcpy(d_a, a, M * K * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_x, K * sizeof(float));
  cudaMemcpy(d_x, x, K * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, M * sizeof(float));
  gemv_kernel<<<M / 4, dim3(32, 4)>>>(d_a, d_x, d_y);
  cudaMemcpy(y, d_y, M * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_a);
  cudaFree(d_x);
  cudaFree(d_y);
}
