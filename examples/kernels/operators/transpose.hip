// Transpose: reads go across.
#include <hip/hip_runtime.h>
#define ROWS 64
#define COLS 96

__global__ void transpose_kernel(const float* x, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = x[i % ROWS * COLS + i / ROWS];
}

extern "C" void transpose(const float* x, float* y) {
  float *d_x, *d_y;
  hipMalloc(&d_x, ROWS * COLS * sizeof(float));
  hipMemcpy(d_x, x, ROWS * COLS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, COLS * ROWS * sizeof(float));
  hipLaunchKernelGGL(transpose_kernel, dim3(COLS * ROWS / 64), dim3(64), 0, 0, d_x, d_y);
  hipMemcpy(y, d_y, COLS * ROWS * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_x);
  hipFree(d_y);
}
