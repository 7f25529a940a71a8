// Correlation with a short filter: straight from global memory.
#include <hip/hip_runtime.h>
#define COUNT 512
#define TAPS 5

__global__ void conv1d_kernel(const float* x, const float* w, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float sum = 0.0f;
  for (int r = 0; r < TAPS; r++) sum += x[i + r] * w[r];
  y[i] = sum;
}

extern "C" void conv1d(const float* x, const float* w, float* y) {
  float *d_x, *d_w, *d_y;
  hipMalloc(&d_x, (COUNT + TAPS - 1) * sizeof(float));
  hipMemcpy(d_x, x, (COUNT + TAPS - 1) * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_w, TAPS * sizeof(float));
  hipMemcpy(d_w, w, TAPS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, COUNT * sizeof(float));
  hipLaunchKernelGGL(conv1d_kernel, dim3(COUNT / 64), dim3(64), 0, 0, d_x, d_w, d_y);
  hipMemcpy(y, d_y, COUNT * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_x);
  hipFree(d_w);
  hipFree(d_y);
}
