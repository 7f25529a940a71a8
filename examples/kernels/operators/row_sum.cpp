// Sum of each row: 16 partial sums.
#include <immintrin.h>

#include <cmath>
#define ROWS 32
#define COLS 128

void row_sum(const float* x, float* y) {
#pragma omp parallel for
  for (int row = 0; row < ROWS; row++) {
    __m512 total = _mm512_setzero_ps();
    for (int col = 0; col < COLS; col += 16) total = _mm512_add_ps(total, _mm512_loadu_ps(x + row * COLS + col));
    y[row] = _mm512_reduce_add_ps(total);
  }
}
