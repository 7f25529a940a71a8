/* Layer norm as plain C. */
#include <math.h>

void layer_norm_serial(const float* x, const float* gamma, const float* beta, float* y, int rows, int cols) {
  for (int r = 0; r < rows; r++) {
    float mean = 0.0f, variance = 0.0f;
    for (int c = 0; c < cols; c++) mean += x[r * cols + c];
    mean /= cols;
    for (int c = 0; c < cols; c++) {
      float d = x[r * cols + c] - mean;
      variance += d * d;
    }
    variance /= cols;
    for (int c = 0; c < cols; c++) y[r * cols + c] = (x[r * cols + c] - mean) / sqrtf(variance + 1e-5f) * gamma[c] + beta[c];
  }
}
