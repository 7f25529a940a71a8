// One warp a row, butterfly shuffles.
__global__ void row_max(const float* x, float* y, int rows, int cols) {
  int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  int lane = threadIdx.x % 32;
  if (row >= rows) return;
  float best = -INFINITY;
  for (int c = lane; c < cols; c += 32) best = fmaxf(best, x[row * cols + c]);
  for (int mask = 16; mask > 0; mask >>= 1) best = fmaxf(best, __shfl_xor_sync(0xffffffff, best, mask));
  if (lane == 0) y[row] = best;
}
