// RMS norm of rows, 16 floats at a time.
#include <immintrin.h>

#include <cmath>

void rms_norm_avx512(const float* x, const float* weight, float* y, int rows, int cols, float eps) {
#pragma omp parallel for
  for (int r = 0; r < rows; r++) {
    __m512 squares = _mm512_setzero_ps();
    for (int c = 0; c < cols; c += 16) {
      __m512 v = _mm512_loadu_ps(x + r * cols + c);
      squares = _mm512_fmadd_ps(v, v, squares);
    }
    float scale = 1.0f / sqrtf(_mm512_reduce_add_ps(squares) / cols + eps);
    for (int c = 0; c < cols; c += 16) {
      __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + r * cols + c), _mm512_set1_ps(scale));
      _mm512_storeu_ps(y + r * cols + c, _mm512_mul_ps(v, _mm512_loadu_ps(weight + c)));
    }
  }
}
