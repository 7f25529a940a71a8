// Weighted sum: 16 elements at a time.
#include <immintrin.h>

#include <cmath>
#define COUNT 4096

void axpby(const float* a, const float* b, float* y) {
  for (int i = 0; i < COUNT; i += 16) {
    __m512 first = _mm512_mul_ps(_mm512_loadu_ps(a + i), _mm512_set1_ps(2.5f));
    __m512 second = _mm512_mul_ps(_mm512_loadu_ps(b + i), _mm512_set1_ps(0.75f));
    _mm512_storeu_ps(y + i, _mm512_add_ps(first, second));
  }
}
