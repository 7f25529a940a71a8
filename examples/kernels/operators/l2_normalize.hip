// Rows of unit length: a wavefront for each row, lanes paired by shuffles.
#include <hip/hip_runtime.h>
#define ROWS 32
#define COLS 128

__device__ float wave_sum(float v) {
  for (int mask = 32; mask > 0; mask /= 2) v += __shfl_xor(v, mask);
  return v;
}

__global__ void l2_normalize_kernel(const float* x, float* y) {
  int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  float total = 0.0f;
  for (int col = lane; col < COLS; col += 64) {
    float v = x[row * COLS + col];
    total += v * v;
  }
  float scale = 1.0f / sqrtf(wave_sum(total) + 1e-6f);
  for (int col = lane; col < COLS; col += 64) y[row * COLS + col] = x[row * COLS + col] * scale;
}

extern "C" void l2_normalize(const float* x, float* y) {
  float *d_x, *d_y;
  hipMalloc(&d_x, ROWS * COLS * sizeof(float));
  hipMemcpy(d_x, x, ROWS * COLS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, ROWS * COLS * sizeof(float));
  hipLaunchKernelGGL(l2_normalize_kernel, dim3(ROWS / 4), dim3(64, 4), 0, 0, d_x, d_y);
  hipMemcpy(y, d_y, ROWS * COLS * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_x);
  hipFree(d_y);
}
