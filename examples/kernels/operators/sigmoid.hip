// Logistic function: wavefronts stride over the elements.
#include <hip/hip_runtime.h>
#define COUNT 4096

__global__ void sigmoid_kernel(const float* x, float* y) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < COUNT; i += gridDim.x * blockDim.x) y[i] = 1.0f / (1.0f + expf(-x[i]));
}

extern "C" void sigmoid(const float* x, float* y) {
  float *d_x, *d_y;
  hipMalloc(&d_x, COUNT * sizeof(float));
  hipMemcpy(d_x, x, COUNT * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, COUNT * sizeof(float));
  hipLaunchKernelGGL(sigmoid_kernel, dim3(8), dim3(64), 0, 0, d_x, d_y);
  hipMemcpy(y, d_y, COUNT * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_x);
  hipFree(d_y);
}
