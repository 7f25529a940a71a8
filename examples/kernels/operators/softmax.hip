// Softmax of each row: a wavefront for each row, lanes paired by shuffles.
#include <hip/hip_runtime.h>
#define ROWS 32
#define COLS 128

__device__ float wave_max(float v) {
  for (int mask = 32; mask > 0; mask /= 2) v = fmaxf(v, __shfl_xor(v, mask));
  return v;
}

__device__ float wave_sum(float v) {
  for (int mask = 32; mask > 0; mask /= 2) v += __shfl_xor(v, mask);
  return v;
}

__global__ void softmax_kernel(const float* x, float* y) {
  int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  float best = -INFINITY, total = 0.0f;
  for (int col = lane; col < COLS; col += 64) best = fmaxf(best, x[row * COLS + col]);
  best = wave_max(best);
  for (int col = lane; col < COLS; col += 64) total += expf(x[row * COLS + col] - best);
  total = 1.0f / wave_sum(total);
  for (int col = lane; col < COLS; col += 64) y[row * COLS + col] = expf(x[row * COLS + col] - best) * total;
}

extern "C" void softmax(const float* x, float* y) {
  float *d_x, *d_y;
  hipMalloc(&d_x, ROWS * COLS * sizeof(float));
  hipMemcpy(d_x, x, ROWS * COLS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, ROWS * COLS * sizeof(float));
  hipLaunchKernelGGL(softmax_kernel, dim3(ROWS / 4), dim3(64, 4), 0, 0, d_x, d_y);
  hipMemcpy(y, d_y, ROWS * COLS * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_x);
  hipFree(d_y);
}
