// An element of a product of square matrices of halves; its sum is float.
#include <cuda_fp16.h>
static __device__ void element(const half* A, const half* B, half* C, int N) {
  int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
  float sum = 0.0f;
  for (int k = 0; k < N; ++k) sum += __half2float(A[row * N + k]) * __half2float(B[k * N + column]);
  C[row * N + column] = __float2half(sum);
}
