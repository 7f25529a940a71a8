// Products of matrices, the right ones transposed: a row of the left in LDS.
#include <hip/hip_runtime.h>
#define BATCH 4
#define M 16
#define N 64
#define K 32

__global__ void batched_gemm_kernel(const float* a, const float* b, float* c) {
  __shared__ float line[K];
  int row = blockIdx.x, batch = blockIdx.y, col = threadIdx.x;
  if (col < K) line[col] = a[(batch * M + row) * K + col];
  __syncthreads();
  float sum = 0.0f;
  for (int k = 0; k < K; k++) sum += line[k] * b[(batch * N + col) * K + k];
  c[(batch * M + row) * N + col] = sum;
}

extern "C" void batched_gemm(const float* a, const float* b, float* c) {
  float *d_a, *d_b, *d_c;
  hipMalloc(&d_a, BATCH * M * K * sizeof(float));
  hipMemcpy(d_a, a, BATCH * M * K * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_b, BATCH * N * K * sizeof(float));
  hipMemcpy(d_b, b, BATCH * N * K * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_c, BATCH * M * N * sizeof(float));
  hipLaunchKernelGGL(batched_gemm_kernel, dim3(M, BATCH), dim3(N), 0, 0, d_a, d_b, d_c);
  hipMemcpy(c, d_c, BATCH * M * N * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_a);
  hipFree(d_b);
  hipFree(d_c);
}
