// One block a row: maximum and sum by trees in shared memory, barriers between them.
#include <cuda_runtime.h>
#define THREADS 128

__global__ void softmax(const float* x, float* y, int cols) {
  __shared__ float buffer[THREADS];
  const int row = blockIdx.x, tid = threadIdx.x;
  float best = -3.4e38f;
  for (int c = tid; c < cols; c += THREADS) best = fmaxf(best, x[row * cols + c]);
  buffer[tid] = best;
  __syncthreads();
  for (int s = THREADS / 2; s > 0; s >>= 1) {
    if (tid < s) buffer[tid] = fmaxf(buffer[tid], buffer[tid + s]);
    __syncthreads();
  }
  best = buffer[0];
  __syncthreads();
  float sum = 0.0f;
  for (int c = tid; c < cols; c += THREADS) sum += expf(x[row * cols + c] - best);
  buffer[tid] = sum;
  __syncthreads();
  for (int s = THREADS / 2; s > 0; s >>= 1) {
    if (tid < s) buffer[tid] += buffer[tid + s];
    __syncthreads();
  }
  sum = buffer[0];
  for (int c = tid; c < cols; c += THREADS) y[row * cols + c] = expf(x[row * cols + c] - best) / sum;
}

extern "C" void softmax_host(const float* x, float* y, int rows, int cols) {
  float *dx, *dy;
  size_t bytes = sizeof(float) * rows * cols;
  cudaMalloc(&dx, bytes);
  cudaMalloc(&dy, bytes);
  cudaMemcpy(dx, x, bytes, cudaMemcpyHostToDevice);
  softmax<<<rows, THREADS>>>(dx, dy, cols);
  cudaMemcpy(y, dy, bytes, cudaMemcpyDeviceToHost);
  cudaFree(dx);
  cudaFree(dy);
}
