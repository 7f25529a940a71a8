// C = A * B^T: an element to a lane.
#include <hip/hip_runtime.h>
#define M 64
#define N 64
#define K 64

__global__ void gemm_kernel(const float* a, const float* b, float* c) {
  int row = blockIdx.y * 4 + threadIdx.y, col = blockIdx.x * 64 + threadIdx.x;
  float sum = 0.0f;
#pragma unroll 4
  for (int k = 0; k < K; k++) sum += a[row * K + k] * b[col * K + k];
  c[row * N + col] = sum;
}

extern "C" void gemm(const float* a, const float* b, float* c) {
  float *d_a, *d_b, *d_c;
  hipMalloc(&d_a, M * K * sizeof(float));
  hipMemcpy(d_a, a, M * K * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_b, N * K * sizeof(float));
  hipMemcpy(d_b, b, N * K * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_c, M * N * sizeof(float));
  hipLaunchKernelGGL(gemm_kernel, dim3(N / 64, M / 4), dim3(64, 4), 0, 0, d_a, d_b, d_c);
  hipMemcpy(c, d_c, M * N * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_a);
  hipFree(d_b);
  hipFree(d_c);
}
