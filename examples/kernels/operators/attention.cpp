// Attention: scores of a query, then its weights, then its sum.
#include <cmath>
#define HEADS 2
#define LENGTH 64
#define DIM 32
#define SCALE 0.176776695f

void attention(const float* q, const float* k, const float* v, float* y) {
#pragma omp parallel for collapse(2)
  for (int head = 0; head < HEADS; head++)
    for (int row = 0; row < LENGTH; row++) {
      float weight[LENGTH], best = -INFINITY, total = 0.0f;
      for (int j = 0; j < LENGTH; j++) {
        float score = 0.0f;
        for (int d = 0; d < DIM; d++) score += q[(head * LENGTH + row) * DIM + d] * k[(head * LENGTH + j) * DIM + d];
        weight[j] = score * SCALE;
        best = fmaxf(best, weight[j]);
      }
      for (int j = 0; j < LENGTH; j++) {
        weight[j] = expf(weight[j] - best);
        total += weight[j];
      }
      for (int d = 0; d < DIM; d++) {
        float sum = 0.0f;
        for (int j = 0; j < LENGTH; j++) sum += weight[j] * v[(head * LENGTH + j) * DIM + d];
        y[(head * LENGTH + row) * DIM + d] = sum / total;
      }
    }
}
