// Matrix by vector: a lane for each row, unrolled by four.
#include <hip/hip_runtime.h>
#define M 128
#define K 64

__global__ void gemv_kernel(const float* a, const float* x, float* y) {
  int row = blockIdx.x * blockDim.x + threadIdx.x;
  float sum = 0.0f;
  for (int k = 0; k < K; k += 4) sum += a[row * K + k] * x[k] + a[row * K + k + 1] * x[k + 1] + a[row * K + k + 2] * x[k + 2] + a[row * K + k + 3] * x[k + 3];
  y[row] = sum;
}

extern "C" void gemv(const float* a, const float* x, float* y) {
  float *d_a, *d_x, *d_y;
  hipMalloc(&d_a, M * K * sizeof(float));
  hipMemcpy(d_a, a, M * K * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_x, K * sizeof(float));
  hipMemcpy(d_x, x, K * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, M * sizeof(float));
  hipLaunchKernelGGL(gemv_kernel, dim3(M / 64), dim3(64), 0, 0, d_a, d_x, d_y);
  hipMemcpy(y, d_y, M * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_a);
  hipFree(d_x);
  hipFree(d_y);
}
