// C = A * B^T through shared memory.
#include <cuda_runtime.h>
#define M 64
#define N 64
#define K 64

#define TILE 16
__global__ void gemm_kernel(const float* a, const float* b, float* c) {
  __shared__ float left[TILE][TILE], right[TILE][TILE + 1];
  int row = blockIdx.y * TILE + threadIdx.y, col = blockIdx.x * TILE + threadIdx.x;
  float sum = 0.0f;
  for (int k0 = 0; k0 < K; k0 += TILE) {
    left[threadIdx.y][threadIdx.x] = a[row * K + k0 + threadIdx.x];
    right[threadIdx.y][threadIdx.x] = b[(blockIdx.x * TILE + threadIdx.y) * K + k0 + threadIdx.x];
    __syncthreads();
    for (int k = 0; k < TILE; k++) sum += left[threadIdx.y][k] * right[threadIdx.x][k];
    __syncthreads();
  }
  c[row * N + col] = sum;
}

extern "C" void gemm(const float* a, const float* b, float* c) {
  float *d_a, *d_b, *d_c;
  cudaMalloc(&d_a, M * K * sizeof(float));
  cudaMemcpy(d_a, a, M * K * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_b, N * K * sizeof(float));
  cudaMemcpy(d_b, b, N * K * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_c, M * N * sizeof(float));
  gemm_kernel<<<dim3(N / TILE, M / TILE), dim3(TILE, TILE)>>>(d_a, d_b, d_c);
  cudaMemcpy(c, d_c, M * N * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_a);
  cudaFree(d_b);
  cudaFree(d_c);
}
