// Sign, where zero counts as positive: vectorized by the compiler.
#include <cmath>
#define COUNT 4096

void sign(const float* x, float* y) {
#pragma omp parallel for simd
  for (int i = 0; i < COUNT; i++) y[i] = x[i] >= 0.0f ? 1.0f : -1.0f;
}
