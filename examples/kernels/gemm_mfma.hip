// One wavefront computes a 16x16 tile of C = A * B with v_mfma_f32_16x16x16_f16.
#include <hip/hip_fp16.h>
#include <hip/hip_runtime.h>

typedef _Float16 half4 __attribute__((ext_vector_type(4)));
typedef float float4_ __attribute__((ext_vector_type(4)));

__global__ void gemm_mfma(const half* __restrict__ A, const half* __restrict__ B, float* __restrict__ C, int N, int K) {
  int row0 = blockIdx.y * 16, col0 = blockIdx.x * 16;
  int lane = threadIdx.x % 16, group = threadIdx.x / 16;
  float4_ acc = {0.0f, 0.0f, 0.0f, 0.0f};
  for (int k0 = 0; k0 < K; k0 += 16) {
    half4 a, b;
    for (int i = 0; i < 4; ++i) {
      a[i] = A[(row0 + lane) * K + k0 + group * 4 + i];
      b[i] = B[(k0 + group * 4 + i) * N + col0 + lane];
    }
    acc = __builtin_amdgcn_mfma_f32_16x16x16f16(a, b, acc, 0, 0, 0);
  }
  for (int i = 0; i < 4; ++i) C[(row0 + group * 4 + i) * N + col0 + lane] = acc[i];
}

extern "C" void gemm_f16(const half* A, const half* B, float* C, int M, int N, int K) {
  half *dA, *dB;
  float* dC;
  hipMalloc(&dA, M * K * sizeof(half));
  hipMalloc(&dB, K * N * sizeof(half));
  hipMalloc(&dC, M * N * sizeof(float));
  hipMemcpy(dA, A, M * K * sizeof(half), hipMemcpyHostToDevice);
  hipMemcpy(dB, B, K * N * sizeof(half), hipMemcpyHostToDevice);
  hipLaunchKernelGGL(gemm_mfma, dim3(N / 16, M / 16), dim3(64), 0, 0, dA, dB, dC, N, K);
  hipMemcpy(C, dC, M * N * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(dA);
  hipFree(dB);
  hipFree(dC);
}
