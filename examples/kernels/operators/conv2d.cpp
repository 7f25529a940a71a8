// Convolution, channels last: plain loops.
#include <cmath>
#define H 10
#define W 12
#define C 16
#define O 64
#define R 3

void conv2d(const float* x, const float* w, float* y) {
#pragma omp parallel for collapse(2)
  for (int row = 0; row < H - R + 1; row++)
    for (int col = 0; col < W - R + 1; col++)
      for (int o = 0; o < O; o++) {
        float sum = 0.0f;
        for (int p = 0; p < R; p++)
          for (int q = 0; q < R; q++)
            for (int c = 0; c < C; c++) sum += w[((o * R + p) * R + q) * C + c] * x[((row + p) * W + col + q) * C + c];
        y[(row * (W - R + 1) + col) * O + o] = sum;
      }
}
