// Each block sums one slice of K; the slices meet in C by atomics. C holds the bias before.
#include <cuda_runtime.h>

__global__ void gemm_split_k(const float* A, const float* B, float* C, int M, int N, int K, int slice) {
  const int row = blockIdx.y * blockDim.y + threadIdx.y, col = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= M || col >= N) return;
  float sum = 0.0f;
  for (int k = blockIdx.z * slice; k < (blockIdx.z + 1) * slice; k++) sum += A[row * K + k] * B[k * N + col];
  atomicAdd(&C[row * N + col], sum);
}
