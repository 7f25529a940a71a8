// Depthwise convolution: 16 channels at a time.
#include <immintrin.h>

#include <cmath>
#define H 10
#define W 12
#define C 64
#define R 3

void depthwise_conv(const float* x, const float* w, float* y) {
  for (int row = 0; row < H - R + 1; row++)
    for (int col = 0; col < W - R + 1; col++)
      for (int c = 0; c < C; c += 16) {
        __m512 sum = _mm512_setzero_ps();
        for (int p = 0; p < R; p++)
          for (int q = 0; q < R; q++) {
            __m512 v = _mm512_loadu_ps(x + ((row + p) * W + col + q) * C + c);
            sum = _mm512_fmadd_ps(v, _mm512_loadu_ps(w + (p * R + q) * C + c), sum);
          }
        _mm512_storeu_ps(y + (row * (W - R + 1) + col) * C + c, sum);
      }
}
