// Transpose in blocks of 8 by 8.
#include <cmath>
#define ROWS 64
#define COLS 96

void transpose(const float* x, float* y) {
  for (int i0 = 0; i0 < COLS; i0 += 8)
    for (int j0 = 0; j0 < ROWS; j0 += 8)
      for (int i = i0; i < i0 + 8; i++)
        for (int j = j0; j < j0 + 8; j++) y[i * ROWS + j] = x[j * COLS + i];
}
