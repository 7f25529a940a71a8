// Root mean square norm: rows over the threads.
#include <cmath>
#define ROWS 32
#define COLS 128

void rms_norm(const float* x, const float* gamma, float* y) {
#pragma omp parallel for
  for (int row = 0; row < ROWS; row++) {
    float total = 0.0f;
    for (int col = 0; col < COLS; col++) total += x[row * COLS + col] * x[row * COLS + col];
    float scale = 1.0f / sqrtf(total * (1.0f / COLS) + 1e-5f);
    for (int col = 0; col < COLS; col++) y[row * COLS + col] = x[row * COLS + col] * scale * gamma[col];
  }
}
