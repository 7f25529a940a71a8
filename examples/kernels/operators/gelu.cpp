// Gaussian error linear unit: vectorized by the compiler.
#include <cmath>
#define COUNT 4096

void gelu(const float* x, float* y) {
#pragma omp parallel for simd
  for (int i = 0; i < COUNT; i++) y[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678118654752f));
}
