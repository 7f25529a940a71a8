// Depthwise convolution: one index for all outputs, one loop for all taps.
#include <hip/hip_runtime.h>
#define H 10
#define W 12
#define C 64
#define R 3

__global__ void depthwise_conv_kernel(const float* x, const float* w, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= (H - R + 1) * (W - R + 1) * C) return;
  int c = i % C, col = i / C % (W - R + 1), row = i / C / (W - R + 1);
  float sum = 0.0f;
  for (int tap = 0; tap < R * R; tap++) sum += x[((row + tap / R) * W + col + tap % R) * C + c] * w[tap * C + c];
  y[i] = sum;
}

extern "C" void depthwise_conv(const float* x, const float* w, float* y) {
  float *d_x, *d_w, *d_y;
  hipMalloc(&d_x, H * W * C * sizeof(float));
  hipMemcpy(d_x, x, H * W * C * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_w, R * R * C * sizeof(float));
  hipMemcpy(d_w, w, R * R * C * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, ((H - R + 1) * (W - R + 1) * C) * sizeof(float));
  hipLaunchKernelGGL(depthwise_conv_kernel, dim3(((H - R + 1) * (W - R + 1) * C + 255) / 256), dim3(256), 0, 0, d_x, d_w, d_y);
  hipMemcpy(y, d_y, ((H - R + 1) * (W - R + 1) * C) * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_x);
  hipFree(d_w);
  hipFree(d_y);
}
