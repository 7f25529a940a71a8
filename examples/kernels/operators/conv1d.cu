// Correlation with a short filter: a piece with its halo in shared memory.
#include <cuda_runtime.h>
#define COUNT 512
#define TAPS 5

__global__ void conv1d_kernel(const float* x, const float* w, float* y) {
  __shared__ float piece[128 + TAPS - 1];
  int start = blockIdx.x * 128;
  for (int i = threadIdx.x; i < 128 + TAPS - 1; i += 128) piece[i] = x[start + i];
  __syncthreads();
  float sum = 0.0f;
  for (int r = 0; r < TAPS; r++) sum += piece[threadIdx.x + r] * w[r];
  y[start + threadIdx.x] = sum;
}

extern "C" void conv1d(const float* x, const float* w, float* y) {
  float *d_x, *d_w, *d_y;
  cudaMalloc(&d_x, (COUNT + TAPS - 1) * sizeof(float));
  cudaMemcpy(d_x, x, (COUNT + TAPS - 1) * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_w, TAPS * sizeof(float));
  cudaMemcpy(d_w, w, TAPS * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, COUNT * sizeof(float));
  conv1d_kernel<<<COUNT / 128, 128>>>(d_x, d_w, d_y);
  cudaMemcpy(y, d_y, COUNT * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_w);
  cudaFree(d_y);
}
