// Layer norm: rows over the threads.
#include <cmath>
#define ROWS 32
#define COLS 128

void layer_norm(const float* x, const float* gamma, const float* beta, float* y) {
#pragma omp parallel for
  for (int row = 0; row < ROWS; row++) {
    float total = 0.0f, squares = 0.0f;
    for (int col = 0; col < COLS; col++) total += x[row * COLS + col];
    float mean = total * (1.0f / COLS);
    for (int col = 0; col < COLS; col++) squares += (x[row * COLS + col] - mean) * (x[row * COLS + col] - mean);
    float scale = 1.0f / sqrtf(squares * (1.0f / COLS) + 1e-5f);
    for (int col = 0; col < COLS; col++) y[row * COLS + col] = (x[row * COLS + col] - mean) * scale * gamma[col] + beta[col];
  }
}
