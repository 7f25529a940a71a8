// Convolution, channels last: the window in LDS, unrolled to one loop.
#include <hip/hip_runtime.h>
#define H 10
#define W 12
#define C 16
#define O 64
#define R 3

__global__ void conv2d_kernel(const float* x, const float* w, float* y) {
  __shared__ float window[R * R * C];
  int o = threadIdx.x, col = blockIdx.x, row = blockIdx.y;
  for (int i = o; i < R * R * C; i += O) window[i] = x[((row + i / (R * C)) * W + col + i / C % R) * C + i % C];
  __syncthreads();
  float sum = 0.0f;
  for (int i = 0; i < R * R * C; i++) sum += w[o * R * R * C + i] * window[i];
  y[(row * (W - R + 1) + col) * O + o] = sum;
}

extern "C" void conv2d(const float* x, const float* w, float* y) {
  float *d_x, *d_w, *d_y;
  hipMalloc(&d_x, H * W * C * sizeof(float));
  hipMemcpy(d_x, x, H * W * C * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_w, O * R * R * C * sizeof(float));
  hipMemcpy(d_w, w, O * R * R * C * sizeof(float), hipMemcpyHostToDevice);
  hipMalloc(&d_y, ((H - R + 1) * (W - R + 1) * O) * sizeof(float));
  hipLaunchKernelGGL(conv2d_kernel, dim3(W - R + 1, H - R + 1), dim3(O), 0, 0, d_x, d_w, d_y);
  hipMemcpy(y, d_y, ((H - R + 1) * (W - R + 1) * O) * sizeof(float), hipMemcpyDeviceToHost);
  hipFree(d_x);
  hipFree(d_w);
  hipFree(d_y);
}
