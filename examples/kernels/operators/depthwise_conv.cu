// Depthwise convolution: a channel to a thread, taps unrolled.
#include <cuda_runtime.h>
#define H 10
#define W 12
#define C 64
#define R 3

__global__ void depthwise_conv_kernel(const float* x, const float* w, float* y) {
  int c = threadIdx.x, col = blockIdx.x, row = blockIdx.y;
  float sum = 0.0f;
#pragma unroll
  for (int p = 0; p < R; p++)
#pragma unroll
    for (int q = 0; q < R; q++) sum += x[((row + p) * W + col + q) * C + c] * w[(p * R + q) * C + c];
  y[(row * (W - R + 1) + col) * C + c] = sum;
}

extern "C" void depthwise_conv(const float* x, const float* w, float* y) {
  float *d_x, *d_w, *d_y;
  cudaMalloc(&d_x, H * W * C * sizeof(float));
  cudaMemcpy(d_x, x, H * W * C * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_w, R * R * C * sizeof(float));
  cudaMemcpy(d_w, w, R * R * C * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, ((H - R + 1) * (W - R + 1) * C) * sizeof(float));
  depthwise_conv_kernel<<<dim3(W - R + 1, H - R + 1), C>>>(d_x, d_w, d_y);
  cudaMemcpy(y, d_y, ((H - R + 1) * (W - R + 1) * C) * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_w);
  cudaFree(d_y);
}
