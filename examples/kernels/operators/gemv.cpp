// Matrix by vector: two registers of partial sums.
#include <immintrin.h>

#include <cmath>
#define M 128
#define K 64

void gemv(const float* a, const float* x, float* y) {
#pragma omp parallel for
  for (int i = 0; i < M; i++) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    for (int k = 0; k < K; k += 16) {
      low = _mm256_fmadd_ps(_mm256_loadu_ps(a + i * K + k), _mm256_loadu_ps(x + k), low);
      high = _mm256_fmadd_ps(_mm256_loadu_ps(a + i * K + k + 8), _mm256_loadu_ps(x + k + 8), high);
    }
    float part[8], sum = 0.0f;
    _mm256_storeu_ps(part, _mm256_add_ps(low, high));
    for (int j = 0; j < 8; j++) sum += part[j];
    y[i] = sum;
  }
}
