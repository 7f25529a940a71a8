// Bias and rectifier: a wavefront for each row, lanes paired by shuffles.
#include <hip/hip_runtime.h>
#define ROWS 32
#define COLS 128

__global__ void bias_relu_kernel(const float* x, const float* bias, float* y) {
  int row = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  for (int col = lane; col < COLS; col += 64) y[row * COLS + col] = fmaxf(x[row * COLS + col] + bias[col], 0.0f);
}

extern "C" void bias_relu(const float* x, const float* bias, float* y) {
  float *d_x, *d_bias, *d_y;
  hipMalloc(&d_x, ROWS * COLS * sizeof(float));
  hipMemcpy(d_x, x, ROWS * COLS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_bias, COLS * sizeof(float));
  hipMemcpy(d_bias, bias, COLS * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, ROWS * COLS * sizeof(float));
  hipLaunchKernelGGL(bias_relu_kernel, dim3(ROWS / 4), dim3(64, 4), 0, 0, d_x, d_bias, d_y);
  hipMemcpy(y, d_y, ROWS * COLS * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_x);
  hipFree(d_bias);
  hipFree(d_y);
}
