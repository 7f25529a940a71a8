// Weighted sum: wavefronts stride over the elements.
#include <hip/hip_runtime.h>
#define COUNT 4096

__global__ void axpby_kernel(const float* a, const float* b, float* y) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < COUNT; i += gridDim.x * blockDim.x) y[i] = 2.5f * a[i] + 0.75f * b[i];
}

extern "C" void axpby(const float* a, const float* b, float* y) {
  float *d_a, *d_b, *d_y;
  hipMalloc(&d_a, COUNT * sizeof(float));
  hipMemcpy(d_a, a, COUNT * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_b, COUNT * sizeof(float));
  hipMemcpy(d_b, b, COUNT * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, COUNT * sizeof(float));
  hipLaunchKernelGGL(axpby_kernel, dim3(8), dim3(64), 0, 0, d_a, d_b, d_y);
  hipMemcpy(y, d_y, COUNT * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_a);
  hipFree(d_b);
  hipFree(d_y);
}
