// Bias and rectifier: 8 elements at a time.
#include <immintrin.h>

#include <cmath>
#define ROWS 32
#define COLS 128

void bias_relu(const float* x, const float* bias, float* y) {
#pragma omp parallel for
  for (int row = 0; row < ROWS; row++) {
    for (int col = 0; col < COLS; col += 8) {
      __m256 v = _mm256_add_ps(_mm256_loadu_ps(x + row * COLS + col), _mm256_loadu_ps(bias + col));
      _mm256_storeu_ps(y + row * COLS + col, _mm256_max_ps(v, _mm256_setzero_ps()));
    }
  }
}
