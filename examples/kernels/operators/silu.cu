// Sigmoid linear unit: a thread for each element.
#include <cuda_runtime.h>
#define COUNT 4096

__global__ void silu_kernel(const float* x, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < COUNT) y[i] = x[i] * (1.0f / (1.0f + expf(-x[i])));
}

extern "C" void silu(const float* x, float* y) {
  float *d_x, *d_y;
  cudaMalloc(&d_x, COUNT * sizeof(float));
  cudaMemcpy(d_x, x, COUNT * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, COUNT * sizeof(float));
  silu_kernel<<<(COUNT + 255) / 256, 256>>>(d_x, d_y);
  cudaMemcpy(y, d_y, COUNT * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_y);
}
