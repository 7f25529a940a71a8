// Logistic function: vectorized by the compiler.
#include <cmath>
#define COUNT 4096

void sigmoid(const float* x, float* y) {
#pragma omp parallel for simd
  for (int i = 0; i < COUNT; i++) y[i] = 1.0f / (1.0f + expf(-x[i]));
}
