// Weighted sum: a thread for each element.
#include <cuda_runtime.h>
#define COUNT 4096

__global__ void axpby_kernel(const float* a, const float* b, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < COUNT) y[i] = 2.5f * a[i] + 0.75f * b[i];
}

extern "C" void axpby(const float* a, const float* b, float* y) {
  float *d_a, *d_b, *d_y;
  cudaMalloc(&d_a, COUNT * sizeof(float));
  cudaMemcpy(d_a, a, COUNT * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_b, COUNT * sizeof(float));
  cudaMemcpy(d_b, b, COUNT * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, COUNT * sizeof(float));
  axpby_kernel<<<(COUNT + 255) / 256, 256>>>(d_a, d_b, d_y);
  cudaMemcpy(y, d_y, COUNT * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_a);
  cudaFree(d_b);
  cudaFree(d_y);
}
