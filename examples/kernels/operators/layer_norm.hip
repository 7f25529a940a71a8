// Layer norm: a wavefront for each row, lanes paired by shuffles.
#include <hip/hip_runtime.h>
#define ROWS 32
#define COLS 128

__device__ float wave_sum(float v) {
  for (int mask = 32; mask > 0; mask /= 2) v += __shfl_xor(v, mask);
  return v;
}

__global__ void layer_norm_kernel(const float* x, const float* gamma, const float* beta, float* y) {
  int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  float total = 0.0f, squares = 0.0f;
  for (int col = lane; col < COLS; col += 64) total += x[row * COLS + col];
  float mean = wave_sum(total) * (1.0f / COLS);
  for (int col = lane; col < COLS; col += 64) {
    float d = x[row * COLS + col] - mean;
    squares += d * d;
  }
  float scale = 1.0f / sqrtf(wave_sum(squares) * (1.0f / COLS) + 1e-5f);
  for (int col = lane; col < COLS; col += 64) y[row * COLS + col] = (x[row * COLS + col] - mean) * scale * gamma[col] + beta[col];
}

extern "C" void layer_norm(const float* x, const float* gamma, const float* beta, float* y) {
  float *d_x, *d_gamma, *d_beta, *d_y;
  hipMalloc(&d_x, ROWS * COLS * sizeof(float));
  hipMemcpy(d_x, x, ROWS * COLS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_gamma, COLS * sizeof(float));
  hipMemcpy(d_gamma, gamma, COLS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_beta, COLS * sizeof(float));
  hipMemcpy(d_beta, beta, COLS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, ROWS * COLS * sizeof(float));
  hipLaunchKernelGGL(layer_norm_kernel, dim3(ROWS / 4), dim3(64, 4), 0, 0, d_x, d_gamma, d_beta, d_y);
  hipMemcpy(y, d_y, ROWS * COLS * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_x);
  hipFree(d_gamma);
  hipFree(d_beta);
  hipFree(d_y);
}
