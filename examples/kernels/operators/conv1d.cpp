// Correlation with a short filter: 16 outputs at a time.
#include <immintrin.h>

#include <cmath>
#define COUNT 512
#define TAPS 5

void conv1d(const float* x, const float* w, float* y) {
  for (int i = 0; i < COUNT; i += 16) {
    __m512 sum = _mm512_setzero_ps();
    for (int r = 0; r < TAPS; r++) sum = _mm512_fmadd_ps(_mm512_loadu_ps(x + i + r), _mm512_set1_ps(w[r]), sum);
    _mm512_storeu_ps(y + i, sum);
  }
}
