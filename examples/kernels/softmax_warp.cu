// One warp a row, the row in registers, butterfly shuffles for maximum and sum.
template <typename T> __device__ T warp_all_sum(T v) {
#pragma unroll
  for (int m = 16; m > 0; m >>= 1) v += __shfl_xor_sync(0xffffffff, v, m, 32);
  return v;
}
template <typename T> __device__ T warp_all_max(T v) {
#pragma unroll
  for (int m = 16; m > 0; m >>= 1) v = max(v, __shfl_xor_sync(0xffffffff, v, m, 32));
  return v;
}

template <int COLS> __global__ void softmax_warp(const float* x, float* y) {
  constexpr int PER = COLS / 32;
  const int row = blockIdx.x * blockDim.y + threadIdx.y;
  float held[PER];
  float best = -INFINITY;
#pragma unroll
  for (int i = 0; i < PER; ++i) {
    held[i] = x[row * COLS + i * 32 + threadIdx.x];
    best = max(best, held[i]);
  }
  best = warp_all_max(best);
  float sum = 0.f;
#pragma unroll
  for (int i = 0; i < PER; ++i) {
    held[i] = __expf(held[i] - best);
    sum += held[i];
  }
  sum = warp_all_sum(sum);
#pragma unroll
  for (int i = 0; i < PER; ++i) y[row * COLS + i * 32 + threadIdx.x] = held[i] / sum;
}
