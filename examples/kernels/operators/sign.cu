// Sign, where zero counts as positive: a thread for each element.
#include <cuda_runtime.h>
#define COUNT 4096

__global__ void sign_kernel(const float* x, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < COUNT) y[i] = x[i] >= 0.0f ? 1.0f : -1.0f;
}

extern "C" void sign(const float* x, float* y) {
  float *d_x, *d_y;
  cudaMalloc(&d_x, COUNT * sizeof(float));
  cudaMemcpy(d_x, x, COUNT * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, COUNT * sizeof(float));
  sign_kernel<<<(COUNT + 255) / 256, 256>>>(d_x, d_y);
  cudaMemcpy(y, d_y, COUNT * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_y);
}
