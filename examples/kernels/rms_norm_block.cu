// One block a row; the sum of squares crosses the block by shuffles and shared memory.
__global__ void __launch_bounds__(256) rms_norm(const float* __restrict__ x, const float* __restrict__ weight, float* __restrict__ y, int cols, float eps) {
  __shared__ float warps[8];
  __shared__ float scale;
  float sum = 0.0f;
  for (int c = threadIdx.x; c < cols; c += 256) {
    float v = __ldg(&x[blockIdx.x * cols + c]);
    sum += v * v;
  }
  for (int d = 16; d > 0; d >>= 1) sum += __shfl_down_sync(0xffffffff, sum, d);
  if ((threadIdx.x & 31) == 0) warps[threadIdx.x >> 5] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0.0f;
    for (int w = 0; w < 8; ++w) total += warps[w];
    scale = rsqrtf(total / cols + eps);
  }
  __syncthreads();
  for (int c = threadIdx.x; c < cols; c += 256) y[blockIdx.x * cols + c] = x[blockIdx.x * cols + c] * scale * weight[c];
}
