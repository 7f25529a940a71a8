// Dot products of rows with one vector; the lanes are folded by hand.
#include <immintrin.h>

static float horizontal_sum(__m256 v) {
  __m128 low = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  __m128 pairs = _mm_add_ps(low, _mm_movehl_ps(low, low));
  return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
}

extern "C" void dot_avx2(const float* A, const float* x, float* y, int rows, int cols) {
  for (int r = 0; r < rows; r++) {
    __m256 sum = _mm256_setzero_ps();
    for (int c = 0; c < cols; c += 8) sum = _mm256_fmadd_ps(_mm256_loadu_ps(A + r * cols + c), _mm256_loadu_ps(x + c), sum);
    y[r] = horizontal_sum(sum);
  }
}
