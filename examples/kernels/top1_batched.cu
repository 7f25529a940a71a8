// The position of the largest value of each row, the first of equals: a warp a row, values and positions exchanged together.
#include <cuda_runtime.h>

__global__ void top1_batched(const float* x, int* position, float* value, int rows, int cols) {
  const int row = blockIdx.x * blockDim.y + threadIdx.y;
  if (row >= rows) return;
  float best = -INFINITY;
  int at = 0;
  for (int c = threadIdx.x; c < cols; c += 32) {
    const float v = x[row * cols + c];
    if (v > best) {
      best = v;
      at = c;
    }
  }
  for (int offset = 16; offset > 0; offset >>= 1) {
    const float other = __shfl_down_sync(0xffffffff, best, offset);
    const int where = __shfl_down_sync(0xffffffff, at, offset);
    if (other > best || (other == best && where < at)) {
      best = other;
      at = where;
    }
  }
  if (threadIdx.x == 0) {
    position[row] = at;
    value[row] = best;
  }
}
