// Products of matrices, the right ones transposed: rows and columns are threads.
#include <cuda_runtime.h>
#define BATCH 4
#define M 16
#define N 64
#define K 32

__global__ void batched_gemm_kernel(const float* a, const float* b, float* c) {
  int row = blockIdx.x * blockDim.y + threadIdx.y, col = threadIdx.x, batch = blockIdx.y;
  float sum = 0.0f;
  for (int k = 0; k < K; k++) sum += a[(batch * M + row) * K + k] * b[(batch * N + col) * K + k];
  c[(batch * M + row) * N + col] = sum;
}

extern "C" void batched_gemm(const float* a, const float* b, float* c) {
  float *d_a, *d_b, *d_c;
  cudaMalloc(&d_a, BATCH * M * K * sizeof(float));
  cudaMemcpy(d_a, a, BATCH * M * K * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_b, BATCH * N * K * sizeof(float));
  cudaMemcpy(d_b, b, BATCH * N * K * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_c, BATCH * M * N * sizeof(float));
  batched_gemm_kernel<<<dim3(M / 4, BATCH), dim3(N, 4)>>>(d_a, d_b, d_c);
  cudaMemcpy(c, d_c, BATCH * M * N * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_a);
  cudaFree(d_b);
  cudaFree(d_c);
}
