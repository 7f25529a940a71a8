// Sum: a thread for each element.
#include <cuda_runtime.h>
#define COUNT 4096

__global__ void add_kernel(const float* a, const float* b, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < COUNT) y[i] = a[i] + b[i];
}

extern "C" void add(const float* a, const float* b, float* y) {
  float *d_a, *d_b, *d_y;
  cudaMalloc(&d_a, COUNT * sizeof(float));
  cudaMemcpy(d_a, a, COUNT * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_b, COUNT * sizeof(float));
  cudaMemcpy(d_b, b, COUNT * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, COUNT * sizeof(float));
  add_kernel<<<(COUNT + 255) / 256, 256>>>(d_a, d_b, d_y);
  cudaMemcpy(y, d_y, COUNT * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_a);
  cudaFree(d_b);
  cudaFree(d_y);
}
