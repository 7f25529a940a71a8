// Bias and rectifier: a block and a tree in shared memory for each row.
#include <cuda_runtime.h>
#define ROWS 32
#define COLS 128

__global__ void bias_relu_kernel(const float* x, const float* bias, float* y) {
  int row = blockIdx.x, col = threadIdx.x;
  y[row * COLS + col] = fmaxf(x[row * COLS + col] + bias[col], 0.0f);
}

extern "C" void bias_relu(const float* x, const float* bias, float* y) {
  float *d_x, *d_bias, *d_y;
  cudaMalloc(&d_x, ROWS * COLS * sizeof(float));
  cudaMemcpy(d_x, x, ROWS * COLS * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_bias, COLS * sizeof(float));
  cudaMemcpy(d_bias, bias, COLS * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, ROWS * COLS * sizeof(float));
  bias_relu_kernel<<<ROWS, COLS>>>(d_x, d_bias, d_y);
  cudaMemcpy(y, d_y, ROWS * COLS * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_bias);
  cudaFree(d_y);
}
