// Root mean square norm: a wavefront for each row, lanes paired by shuffles.
#include <hip/hip_runtime.h>
#define ROWS 32
#define COLS 128

__device__ float wave_sum(float v) {
  for (int mask = 32; mask > 0; mask /= 2) v += __shfl_xor(v, mask);
  return v;
}

__global__ void rms_norm_kernel(const float* x, const float* gamma, float* y) {
  int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  float total = 0.0f;
  for (int col = lane; col < COLS; col += 64) total += x[row * COLS + col] * x[row * COLS + col];
  float scale = 1.0f / sqrtf(wave_sum(total) * (1.0f / COLS) + 1e-5f);
  for (int col = lane; col < COLS; col += 64) y[row * COLS + col] = x[row * COLS + col] * scale * gamma[col];
}

extern "C" void rms_norm(const float* x, const float* gamma, float* y) {
  float *d_x, *d_gamma, *d_y;
  hipMalloc(&d_x, ROWS * COLS * sizeof(float));
  hipMemcpy(d_x, x, ROWS * COLS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_gamma, COLS * sizeof(float));
  hipMemcpy(d_gamma, gamma, COLS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, ROWS * COLS * sizeof(float));
  hipLaunchKernelGGL(rms_norm_kernel, dim3(ROWS / 4), dim3(64, 4), 0, 0, d_x, d_gamma, d_y);
  hipMemcpy(y, d_y, ROWS * COLS * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_x);
  hipFree(d_gamma);
  hipFree(d_y);
}
