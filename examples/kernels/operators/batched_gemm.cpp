// Products of matrices, the right ones transposed: plain loops.
#include <cmath>
#define BATCH 4
#define M 16
#define N 64
#define K 32

void batched_gemm(const float* a, const float* b, float* c) {
#pragma omp parallel for collapse(2)
  for (int batch = 0; batch < BATCH; batch++)
    for (int i = 0; i < M; i++)
      for (int j = 0; j < N; j++) {
        float sum = 0.0f;
        for (int k = 0; k < K; k++) sum += a[(batch * M + i) * K + k] * b[(batch * N + j) * K + k];
        c[(batch * M + i) * N + j] = sum;
      }
}
