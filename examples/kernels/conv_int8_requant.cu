// Convolution of int8 by int8 with int32 sums, then bias, scale, rounding and a clamp back to int8.
#include <cuda_runtime.h>
#include <stdint.h>

__global__ void conv_int8_requant(const int8_t* x, const int8_t* w, const int* bias, const float* scale, int8_t* y, int H, int W, int C, int O, int R) {
  const int o = threadIdx.x, col = blockIdx.x, row = blockIdx.y;
  const int OW = W - R + 1;
  int sum = bias[o];
  for (int r = 0; r < R; r++)
    for (int s = 0; s < R; s++)
      for (int c = 0; c < C; c++) sum += (int)x[((row + r) * W + col + s) * C + c] * (int)w[((o * R + r) * R + s) * C + c];
  float scaled = rintf((float)sum * scale[o]);
  scaled = fminf(fmaxf(scaled, -128.0f), 127.0f);
  y[(row * OW + col) * O + o] = (int8_t)(int)scaled;
}
