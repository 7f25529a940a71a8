// A wavefront of 64 lanes sums a row by halving shuffles.
#include <hip/hip_runtime.h>

__global__ void row_sum_wave64(const float* __restrict__ x, float* __restrict__ y, int cols) {
  float sum = 0.0f;
  for (int i = threadIdx.x; i < cols; i += 64) sum += x[blockIdx.x * cols + i];
  for (int delta = 32; delta > 0; delta /= 2) sum += __shfl_down(sum, delta);
  if (threadIdx.x == 0) y[blockIdx.x] = sum;
}
