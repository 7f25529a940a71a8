// Rows of unit length: 16 elements at a time.
#include <immintrin.h>

#include <cmath>
#define ROWS 32
#define COLS 128

void l2_normalize(const float* x, float* y) {
#pragma omp parallel for
  for (int row = 0; row < ROWS; row++) {
    __m512 total = _mm512_setzero_ps();
    for (int col = 0; col < COLS; col += 16) {
      __m512 v = _mm512_loadu_ps(x + row * COLS + col);
      total = _mm512_fmadd_ps(v, v, total);
    }
    __m512 scale = _mm512_set1_ps(1.0f / sqrtf(_mm512_reduce_add_ps(total) + 1e-6f));
    for (int col = 0; col < COLS; col += 16) _mm512_storeu_ps(y + row * COLS + col, _mm512_mul_ps(_mm512_loadu_ps(x + row * COLS + col), scale));
  }
}
