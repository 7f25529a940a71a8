// C = A * B^T: dot products of 16 partial sums.
#include <immintrin.h>

#include <cmath>
#define M 64
#define N 64
#define K 64

void gemm(const float* a, const float* b, float* c) {
#pragma omp parallel for collapse(2)
  for (int i = 0; i < M; i++) {
    for (int j = 0; j < N; j++) {
      __m512 sum = _mm512_setzero_ps();
      for (int k = 0; k < K; k += 16) sum = _mm512_fmadd_ps(_mm512_loadu_ps(a + i * K + k), _mm512_loadu_ps(b + j * K + k), sum);
      c[i * N + j] = _mm512_reduce_add_ps(sum);
    }
  }
}
