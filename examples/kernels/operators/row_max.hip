// Largest element of each row: a wavefront for each row, lanes paired by shuffles.
#include <hip/hip_runtime.h>
#define ROWS 32
#define COLS 128

__device__ float wave_max(float v) {
  for (int mask = 32; mask > 0; mask /= 2) v = fmaxf(v, __shfl_xor(v, mask));
  return v;
}

__global__ void row_max_kernel(const float* x, float* y) {
  int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  float best = -INFINITY;
  for (int col = lane; col < COLS; col += 64) best = fmaxf(best, x[row * COLS + col]);
  best = wave_max(best);
  if (lane == 0) y[row] = best;
}

extern "C" void row_max(const float* x, float* y) {
  float *d_x, *d_y;
  hipMalloc(&d_x, ROWS * COLS * sizeof(float));
  hipMemcpy(d_x, x, ROWS * COLS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, ROWS * sizeof(float));
  hipLaunchKernelGGL(row_max_kernel, dim3(ROWS / 4), dim3(64, 4), 0, 0, d_x, d_y);
  hipMemcpy(y, d_y, ROWS * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_x);
  hipFree(d_y);
}
