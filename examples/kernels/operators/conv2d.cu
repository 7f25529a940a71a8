// Convolution, channels last: an output channel to a thread.
#include <cuda_runtime.h>
#define H 10
#define W 12
#define C 16
#define O 64
#define R 3

__global__ void conv2d_kernel(const float* x, const float* w, float* y) {
  int o = threadIdx.x, col = blockIdx.x, row = blockIdx.y;
  float sum = 0.0f;
  for (int p = 0; p < R; p++)
    for (int q = 0; q < R; q++)
      for (int c = 0; c < C; c++) sum += w[((o * R + p) * R + q) * C + c] * x[((row + p) * W + col + q) * C + c];
  y[(row * (W - R + 1) + col) * O + o] = sum;
}

extern "C" void conv2d(const float* x, const float* w, float* y) {
  float *d_x, *d_w, *d_y;
  cudaMalloc(&d_x, H * W * C * sizeof(float));
  cudaMemcpy(d_x, x, H * W * C * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_w, O * R * R * C * sizeof(float));
  cudaMemcpy(d_w, w, O * R * R * C * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, ((H - R + 1) * (W - R + 1) * O) * sizeof(float));
  conv2d_kernel<<<dim3(W - R + 1, H - R + 1), O>>>(d_x, d_w, d_y);
  cudaMemcpy(y, d_y, ((H - R + 1) * (W - R + 1) * O) * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_w);
  cudaFree(d_y);
}
