// Largest of each window: a channel to a thread.
#include <cuda_runtime.h>
#define H 13
#define W 15
#define C 64
#define R 3
#define S 2
#define OH ((H - R) / S + 1)
#define OW ((W - R) / S + 1)

__global__ void max_pool_kernel(const float* x, float* y) {
  int c = threadIdx.x, col = blockIdx.x, row = blockIdx.y;
  float r = -INFINITY;
  for (int p = 0; p < R; p++)
    for (int q = 0; q < R; q++) {
      float v = x[((row * S + p) * W + col * S + q) * C + c];
      r = fmaxf(r, v);
    }
  y[(row * OW + col) * C + c] = r;
}

extern "C" void max_pool(const float* x, float* y) {
  float *d_x, *d_y;
  cudaMalloc(&d_x, H * W * C * sizeof(float));
  cudaMemcpy(d_x, x, H * W * C * sizeof(float), cudaMemcpyHostToDevice);
  cudaMalloc(&d_y, OH * OW * C * sizeof(float));
  max_pool_kernel<<<dim3(OW, OH), C>>>(d_x, d_y);
  cudaMemcpy(y, d_y, OH * OW * C * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(d_x);
  cudaFree(d_y);
}
