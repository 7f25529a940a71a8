// Softmax of each row: three passes over a row.
#include <cmath>
#define ROWS 32
#define COLS 128

void softmax(const float* x, float* y) {
#pragma omp parallel for
  for (int row = 0; row < ROWS; row++) {
    float best = -INFINITY, total = 0.0f;
    for (int col = 0; col < COLS; col++) best = fmaxf(best, x[row * COLS + col]);
    for (int col = 0; col < COLS; col++) {
      float e = expf(x[row * COLS + col] - best);
      y[row * COLS + col] = e;
      total += e;
    }
    for (int col = 0; col < COLS; col++) y[row * COLS + col] *= 1.0f / total;
  }
}
