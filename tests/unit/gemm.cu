#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <cstdint>
template <class T, class R, bool Left, bool Right, bool Swapped>
__global__ void gemm(const T* A, const T* B, R* C, int M, int N, int K) {
  int row = blockIdx.y * blockDim.y + threadIdx.y, col = blockIdx.x * blockDim.x + threadIdx.x, b = blockIdx.z;
  R sum = 0;
  for (int k = 0; k < K; k++) {
    R x = (R)A[b * M * K + (Left ? k * M + row : row * K + k)], y = (R)B[b * N * K + (Right ? col * K + k : k * N + col)];
    sum += Swapped ? y * x : x * y;
  }
  C[(b * M + row) * N + col] = sum;
}
